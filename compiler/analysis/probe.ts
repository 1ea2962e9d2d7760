/**
 * Causality put to the test: the program is run in float64 with everything random, then again with all that goes in after a time
 * drawn anew. If anything put out up to that time has changed, it looks ahead.
 *
 *   x[0 … 3 | 4 … 7]   →   y[0 … 3 | …]   drawn anew behind the bar: is y the same before it?
 *
 * For what domains cannot tell: gathers by data, and values that come to 0 (`exp(-1e9)`). Params are drawn whatever their
 * initialisation, since one that starts at zero does not stay there.
 *
 * The trap: nothing seen is no proof. What only happens for rare data is met by luck.
 */
import { equationsOf, pointCount } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import { interpret } from '../ir/interpret.ts';
import type { NdArray } from '../ir/ndarray.ts';
import { stridesOf } from '../ir/ndarray.ts';
import { drawNormal, drawUniform } from '../ir/philox.ts';
import type { Index, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import type { Clock, Clocks } from './causality.ts';

/** Times that what is put out up to `at` was seen to depend on something after it. */
export interface Seen {
  readonly output: string;
  readonly at: number;
}

const seeds = [1, 2, 3];
/** Points of all equations together beyond which the program is not run. */
const mostPoints = 2e8;

export function canProbe(program: Program): boolean {
  return program.tensors.flatMap(equationsOf).reduce((total, e) => total + pointCount(e), 0) <= mostPoints;
}

/** What was seen to depend on later inputs; undefined where nothing was. */
export function probeCausality(program: Program, clocks: Clocks): Seen | undefined {
  const wanted = clocks.outputs.map(({ tensor }) => tensor);
  const tensors = new Map(program.tensors.map((tensor) => [tensor.name, tensor]));
  const last = Math.max(...clocks.outputs.map((clock) => timeOf(clock, lastIndex(tensors.get(clock.tensor), clock))));
  const bounds = indexBounds(program);
  for (const seed of seeds) {
    const values = drawn(program, seed, bounds);
    const before = interpret(program, values, wanted);
    for (const bar of new Set([0, last >> 1, last - 1])) {
      const after = interpret(program, redrawnAfter(values, clocks.inputs, bar, program, seed, bounds), wanted);
      for (const clock of clocks.outputs) {
        if (changedUpTo(bar, clock, before.get(clock.tensor) as NdArray, after.get(clock.tensor) as NdArray)) {
          return { output: clock.tensor, at: bar };
        }
      }
    }
  }
  return undefined;
}

function timeOf({ stride = 1, offset = 0 }: Clock, index: number): number {
  return stride * index + offset;
}

function lastIndex(tensor: Tensor | undefined, { dimension }: Clock): number {
  return (tensor?.shape[dimension] ?? 1) - 1;
}

function drawn(program: Program, seed: number, bounds: Bounds): Map<string, NdArray> {
  const given = program.tensors.filter(({ source }) => source.kind === 'input' || source.kind === 'param');
  return new Map(given.map((tensor, stream) => [tensor.name, draw(tensor, seed, stream, 0, bounds)]));
}

function draw(
  { name, dtype, shape, source }: Tensor,
  seed: number,
  stream: number,
  step: number,
  bounds: Bounds,
): NdArray {
  const count = elementCount(shape);
  const data = new Float64Array(count);
  const { init } = source.kind === 'param' ? source : { init: undefined };
  const [mean, std] = init?.kind === 'normal' ? [0, init.std] : init?.kind === 'constant' ? [init.value, 0.5] : [0, 1];
  for (let i = 0; i < count; i++) {
    data[i] =
      dtype === 'i32'
        ? Math.floor(drawUniform(seed, stream, step, i) * (bounds.get(name) ?? 8))
        : mean + std * drawNormal(seed, stream, step, i);
  }
  return { shape, data };
}

/** How large the values of an integer tensor may be: as the dimensions that it indexes allow. */
type Bounds = ReadonlyMap<string, number>;

function indexBounds(program: Program): Bounds {
  const shapes = new Map(program.tensors.map(({ name, shape }) => [name, shape]));
  const bounds = new Map<string, number>();
  const visit = (indices: readonly Index[], shape: readonly number[]): void => {
    for (const [d, index] of indices.entries()) {
      if (index.kind === 'affine') continue;
      bounds.set(index.tensor, Math.min(bounds.get(index.tensor) ?? Number.POSITIVE_INFINITY, shape[d]));
      visit(index.indices, shapes.get(index.tensor) ?? []);
    }
  };
  for (const tensor of program.tensors) {
    for (const equation of equationsOf(tensor)) {
      visit(equation.store, tensor.shape);
      for (const read of loads(equation.value)) visit(read.indices, shapes.get(read.tensor) ?? []);
    }
  }
  return bounds;
}

function redrawnAfter(
  values: ReadonlyMap<string, NdArray>,
  inputs: readonly Clock[],
  bar: number,
  program: Program,
  seed: number,
  bounds: Bounds,
): Map<string, NdArray> {
  const changed = new Map(values);
  for (const [stream, tensor] of program.tensors.entries()) {
    const clock = inputs.find((input) => input.tensor === tensor.name);
    if (clock === undefined) continue;
    const old = values.get(tensor.name) as NdArray;
    const fresh = draw(tensor, seed, stream, 1 + bar, bounds);
    const data = old.data.map((value, i) => (timeOf(clock, indexAt(i, clock, old)) > bar ? fresh.data[i] : value));
    changed.set(tensor.name, { shape: old.shape, data });
  }
  return changed;
}

/** Index along the clock's dimension of the element at a flat position. */
function indexAt(flat: number, { dimension }: Clock, { shape }: NdArray): number {
  return Math.floor(flat / stridesOf(shape)[dimension]) % shape[dimension];
}

function changedUpTo(bar: number, clock: Clock, before: NdArray, after: NdArray): boolean {
  return before.data.some(
    (value, i) => !Object.is(value, after.data[i]) && timeOf(clock, indexAt(i, clock, before)) <= bar,
  );
}
