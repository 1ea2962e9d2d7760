/**
 * All tensors of an analysis in an order in which each comes after those that it reads, otherwise as in the source; a
 * circle of definitions is a mistake. The trap: a chain of definitions is as long as the file, hence a stack of our
 * own.
 */
import { dependencies } from '../ir/equation.ts';
import type { Tensor } from '../ir/program.ts';
import type { Report } from './report.ts';

interface Visit {
  readonly tensor: Tensor;
  readonly needs: readonly string[];
  next: number;
}

/** `tensors` in source order; `lifted` only where something reads them. Undefined after a circle has been reported. */
export function inOrder(
  tensors: readonly Tensor[],
  lifted: Iterable<Tensor>,
  report: Report,
): readonly Tensor[] | undefined {
  const byName = new Map<string, Tensor>();
  for (const tensor of lifted) byName.set(tensor.name, tensor);
  for (const tensor of tensors) byName.set(tensor.name, tensor);
  const state = new Map<string, 'open' | 'done'>();
  const ordered: Tensor[] = [];
  let sound = true;
  const visit = (tensor: Tensor): Visit => {
    state.set(tensor.name, 'open');
    return { tensor, needs: dependencies(tensor), next: 0 };
  };
  for (const tensor of tensors) {
    if (state.has(tensor.name)) continue;
    const stack: Visit[] = [visit(tensor)];
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (top.next === top.needs.length) {
        state.set(top.tensor.name, 'done');
        ordered.push(top.tensor);
        stack.pop();
        continue;
      }
      const name = top.needs[top.next++];
      const needed = byName.get(name);
      if (needed === undefined || state.get(name) === 'done') continue;
      if (state.get(name) === 'open') {
        const from = stack.findIndex((v) => v.tensor.name === name);
        reportCircle(
          stack.slice(from).map((v) => v.tensor),
          report,
        );
        sound = false;
        continue;
      }
      stack.push(visit(needed));
    }
  }
  return sound ? ordered : undefined;
}

const shownInCircle = 8;

function reportCircle(ring: readonly Tensor[], report: Report): void {
  const named = ring.filter((tensor) => !tensor.name.includes('~'));
  const first = named[0] ?? ring[0];
  const names = named.map((tensor) => `\`${tensor.name}\``);
  const shown = names.length > shownInCircle ? [...names.slice(0, shownInCircle - 1), '…'] : names;
  const way = [...shown, names[0]].join(' → ');
  const help = 'a recurrence needs a tensor for each step: `z.(l + 1)[…] = … z.l[…]` in a level';
  if (first.span !== undefined) {
    report.error(
      'E0406',
      first.span,
      `\`${first.name}\` is defined by itself: ${way}`,
      named.length === 1 ? help : undefined,
    );
  }
}
