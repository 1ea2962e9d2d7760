/**
 * What does not change in a loop, taken out of it: `1 / sqrt(var[row] + eps)` is computed once a row, not once a point. GPU
 * compilers do so themselves; software devices do not, and there a load costs more than ten multiply-adds.
 *
 * The trap: outside the loop nothing guards a load, so its offset is clamped where the axes alone do not keep it inside.
 */
import { axesOf, children } from '../../compiler/ir/expression.ts';
import type { Expression } from '../../compiler/ir/program.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { expressionText } from './scalar.ts';
import type { Scope } from './scope.ts';

/** Variables that hold invariants, by their WGSL text, so that a later loop of the kernel finds them again. */
export type Invariants = Map<string, string>;

/** Writes `let` lines for the largest parts of `expression` without the axes of the loop; returns the scope that knows them. */
export function hoistInvariants(
  expression: Expression,
  loopAxes: readonly number[],
  scope: Scope,
  invariants: Invariants,
): { readonly lines: readonly string[]; readonly scope: Scope } {
  const known = new Map<Expression, string>();
  const lines: string[] = [];
  const outside: Scope = { ...scope, unguarded: true };
  const visit = (e: Expression): void => {
    if (axesOf(e).some((axis) => loopAxes.includes(axis))) {
      for (const child of children(e)) visit(child);
      return;
    }
    const inner = withoutSign(e);
    if (inner !== undefined) {
      visit(inner);
      return;
    }
    if (!costs(e, scope)) return;
    const text = expressionText(e, outside);
    const name = invariants.get(text) ?? nameOf(e, scope.emitter);
    if (!invariants.has(text)) lines.push(`let ${name} = ${text};`);
    invariants.set(text, name);
    known.set(e, name);
  };
  visit(expression);
  return { lines, scope: known.size === 0 ? scope : { ...scope, known } };
}

/** What a sign or constant factors stand before: written with the terms around it, `a - b[row]`, so it stays where it is. */
function withoutSign(e: Expression): Expression | undefined {
  if (e.kind === 'unary') return e.operator === 'negate' ? e.operand : undefined;
  if (e.kind !== 'product') return undefined;
  const parts = e.factors.filter((factor) => factor.kind !== 'constant');
  return parts.length === 1 ? parts[0] : undefined;
}

function nameOf(e: Expression, emitter: Emitter): string {
  return e.kind === 'load' ? emitter.named(e.tensor, 'of_row') : emitter.fresh('of_row');
}

/** Whether there is anything to save: a load from memory, or arithmetic. */
export function costs(e: Expression, scope: Scope): boolean {
  switch (e.kind) {
    case 'constant':
    case 'index':
      return false;
    case 'load':
      return scope.held?.(e) === undefined;
    default:
      return true;
  }
}
