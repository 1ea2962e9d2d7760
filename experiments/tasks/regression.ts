/**
 * Prompts of in-context linear regression as equations (oracle, "ICL data and curriculum"): xs ~ N(0, 1 / dims) on the first
 * `dims` coordinates and 0 beyond, w ~ N(0, I), y = x · w, drawn where they are used from (seed, stream, step, element).
 *
 * The trap: `seed` and `step` are i32 scalars given at every run; as numbers in an expression they would lose their last bits
 * in float32, so each draw reads them as loads and nothing is computed from them.
 *
 * How many coordinates are in use is an input too, not a shape: stages of a curriculum that differ in `dims` alone are one program.
 *
 * With `pool`, prompt n is not a new one but number `example[n]` of a fixed set, and its weights number `task[n]`.
 */
import { affine } from '../../compiler/ir/affine.ts';
import { at, computed, input, over } from '../../compiler/ir/build.ts';
import { constant, product, select } from '../../compiler/ir/expression.ts';
import type { Affine, Expression, Tensor } from '../../compiler/ir/program.ts';

/** Streams of random numbers by use; params have theirs from 1024 on. Training and evaluation never share one. */
export const streams = {
  train: { xs: 0, w: 1 },
  evaluate: { xs: 2, w: 3 },
} as const;
/** Stream from which the host draws which prompt of a pool comes next. */
export const poolStream = 4;

export interface PromptShape {
  readonly batch: number;
  readonly points: number;
  readonly nDims: number;
}

/** The input that says which coordinates are in use: their number, and their standard deviation. */
export function dimsInput(dims: number): Float32Array {
  return new Float32Array([dims, 1 / Math.sqrt(dims)]);
}

/** Which of the two random parts comes from a pool. */
export interface Pool {
  readonly examples: boolean;
  readonly tasks: boolean;
}

/** The tensors `xs` and `ys` with what they are made of; inputs: seed, step, dims, and with a pool example or task. */
export function drawnPrompts(
  { batch, points, nDims }: PromptShape,
  stream: { readonly xs: number; readonly w: number },
  pool: Pool = { examples: false, tasks: false },
): readonly Tensor[] {
  const draw = (streamNumber: number, step: Expression, element: Affine): Expression => ({
    kind: 'random',
    distribution: 'normal',
    seed: at('seed'),
    stream: streamNumber,
    step,
    element,
  });
  const xs = over({ n: batch, p: points, j: nDims }, ({ n, p, j }) => {
    const step = pool.examples ? at('example', n) : at('step');
    const element = flat([pool.examples ? undefined : n, points], [p, nDims], [j, 1]);
    const inUse = { kind: 'compare', operator: '<', left: { kind: 'index', affine: j }, right: at('dims', 0) } as const;
    const value = select(inUse, product([at('dims', 1), draw(stream.xs, step, element)]), constant(0));
    return { store: [n, p, j], value };
  });
  const w = over({ n: batch, j: nDims }, ({ n, j }) => {
    const pooled = pool.tasks ? 'task' : pool.examples ? 'example' : undefined;
    const step = pooled === undefined ? at('step') : at(pooled, n);
    const element = flat([pooled === undefined ? n : undefined, nDims], [j, 1]);
    return { store: [n, j], value: draw(stream.w, step, element) };
  });
  const ys = over({ n: batch, p: points, j: nDims }, ({ n, p, j }) => ({
    store: [n, p],
    value: product([at('xs', n, p, j), at('w~drawn', n, j)]),
  }));
  return [
    input('seed', [], 'i32'),
    input('dims', [2]),
    ...(pool.examples && pool.tasks ? [] : [input('step', [], 'i32')]),
    ...(pool.examples ? [input('example', [batch], 'i32')] : []),
    ...(pool.tasks ? [input('task', [batch], 'i32')] : []),
    computed('xs', [batch, points, nDims], [xs]),
    computed('w~drawn', [batch, nDims], [w]),
    computed('ys', [batch, points], [ys]),
  ];
}

/** Row-major element number; each entry is an axis (absent: not counted) and the extent of the axis after it. */
function flat(...places: readonly (readonly [Affine | undefined, number])[]): Affine {
  let stride = 1;
  const terms = [];
  for (const [axis, next] of [...places].reverse()) {
    stride *= next;
    if (axis !== undefined) terms.push({ axis: axis.terms[0].axis, coefficient: stride });
  }
  return affine(0, terms);
}
