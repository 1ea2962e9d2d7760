/**
 * Dispatches that have one code, told before it is written: layers of a model do the same in other places.
 *
 *   h.0.q = Σ W0·x0  in buffers A, B, A   and   h.1.q = Σ W1·x1  in A, C, A   →   one key, where each tensor is the number of its first mention
 *
 * The trap: the key must say all that the families look at, and no name. What they look at of a tensor is its layout.
 */
import { equationKey, expressionKey } from '../compiler/ir/hash.ts';
import { type EmitOptions, emitDispatch } from './emit.ts';
import type { DispatchCode, Kernel, KernelChoice, Shapes, Statement, StreamKernel } from './kernel.ts';

/** `emitDispatch` that writes each code once, whoever asks again gets it with tensors and buffers of their own. */
export function createEmitter(): typeof emitDispatch {
  const known = new Map<string, { readonly code: DispatchCode; readonly met: Met }>();
  return (kernels, options) => {
    const met: Met = { tensors: new Map(), slots: new Map() };
    const key = dispatchKey(kernels, options, met);
    const before = known.get(key);
    if (before !== undefined) return renamed(before.code, before.met, met);
    const code = emitDispatch(kernels, options);
    known.set(key, { code, met });
    return code;
  };
}

/** Kernels as a problem: all that is said of them but names, and the shapes of their tensors. */
export function kernelsText(kernels: readonly Kernel[], shapes: Shapes): string {
  const met = new Map<string, number>();
  const text = numberedText(kernels, met);
  return [text, ...[...met.keys()].map((name) => shapes(name).shape.join('x'))].join('\n');
}

/** Names by the number of their first mention. */
interface Met {
  readonly tensors: Map<string, number>;
  readonly slots: Map<string, number>;
}

function numbered(names: Map<string, number>, name: string): number {
  const known = names.get(name) ?? names.size;
  names.set(name, known);
  return known;
}

function dispatchKey(kernels: readonly Kernel[], { layouts, readWrite }: EmitOptions, met: Met): string {
  const text = numberedText(kernels, met.tensors);
  const places = [...met.tensors.keys()].map((name) => {
    const { shape, dtype, slot, start, cutsQuad = false, inHalves = false } = layouts(name);
    const of = `${readWrite(slot) ? ' written' : ''}${cutsQuad ? ' cut' : ''}${inHalves ? ' halves' : ''}`;
    return `${dtype} ${shape.join('x')} in ${numbered(met.slots, slot)} from ${start}${of}`;
  });
  return [text, ...places].join('\n');
}

const numberedText = (kernels: readonly Kernel[], met: Map<string, number>): string =>
  kernels
    .map(kernelText)
    .join('\n')
    .replaceAll(/'([^']*)'/g, (_, name: string) => `'${numbered(met, name)}'`);

/** The space that a stream goes through, and how its rows are shared out, if they are. */
export function spaceTexts({ batch, outer, row, walk, pieces }: StreamKernel): readonly string[] {
  const extents = [batch, outer, [row], [walk]].map((axes) => axes.map((a) => a.extent).join('x'));
  const shared = pieces === undefined ? [] : [`${pieces.count} pieces of blocks of ${pieces.rows}`];
  return [extents.join(' '), ...shared];
}

/** All that is said of a kernel but its names of axes; those of tensors stand in quotes. */
function kernelText(kernel: Kernel): string {
  switch (kernel.family) {
    case 'loop':
      return [`loop ${kernel.shape.join('x')}`, ...kernel.statements.map(statementText)].join('\n');
    case 'row': {
      const statements = kernel.statements.map(
        (s) => `${s.kind} over ${s.rowAxes} ${statementText({ ...s, equations: [s.equation] })}`,
      );
      return [`row ${kernel.rows.join('x')} ${choiceText(kernel.choice)}`, ...statements].join('\n');
    }
    case 'contraction': {
      const { tensor, equation, products, addends, accumulate, stored, epilogue, rowLength } = kernel;
      const finishing = epilogue.map((s) => `${JSON.stringify(s.inRows ?? null)} ${statementText(s)}`);
      return [
        `contraction ${accumulate} ${products.length} rows of ${rowLength ?? 0} ${choiceText(kernel.choice)}`,
        statementText({ tensor, equations: [equation, ...products, ...addends], stored }),
        ...finishing,
      ].join('\n');
    }
    case 'stream': {
      const statements = kernel.statements.map(({ kind, follows, finish, ...s }) => {
        const finished = finish === undefined ? '' : expressionKey(finish);
        return `${kind} ${statementText(s)} follows ${follows.map((name) => `'${name}'`)} finish ${finished}`;
      });
      return [`stream ${spaceTexts(kernel).join(' ')} ${choiceText(kernel.choice)}`, ...statements].join('\n');
    }
    case 'resident': {
      const stages = kernel.stages.map((s) => `${s.outer} of ${s.inner} ${kernelText(s.kernel)}`);
      return [`resident ${kernel.pieces} by ${kernel.workgroupSize}`, ...stages].join('\n');
    }
    case 'halves':
      return kernel.statements.map((s) => `halves by '${s.largest}' ${statementText(s)}`).join('\n');
    default:
      return kernel satisfies never;
  }
}

function statementText({ tensor, equations, stored }: Statement): string {
  return `${stored ? 'stored' : 'held'} '${tensor}' ${equations.map(equationKey).join(' ; ')}`;
}

const choiceText = (choice: KernelChoice<unknown> | undefined): string => JSON.stringify(choice?.tuning ?? null);

/** A code with the tensors and buffers of another dispatch of its key. */
function renamed(code: DispatchCode, from: Met, to: Met): DispatchCode {
  const [tensors, slots] = [[...to.tensors.keys()], [...to.slots.keys()]];
  const bindings = code.bindings.map((b) => ({
    ...b,
    slot: slots[from.slots.get(b.slot)!],
    tensors: b.tensors.map((name) => tensors[from.tensors.get(name)!]),
  }));
  return { ...code, bindings };
}
