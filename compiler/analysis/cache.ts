/**
 * What decoding token by token would have to remember: the tensors that are read at another token than the one that asks.
 *
 *   S[b, h, t, u] sum= q[b, h, t, r] * k[b, h, u, r]   →   k: h·r elements a token
 *
 * A tensor that several levels read counts once, and one that is made of others that are kept not at all. Of the two sides of a score, the keys are the one that is summed over; in the score
 * itself, the one that its reader sums over, else the later.
 *
 * The trap: a structure of scores holds no values; they are whatever the model makes of them, and come on top.
 */

import type { AxisSet } from '../ir/contraction.ts';
import { axesOfStore } from '../ir/contraction.ts';
import { dependencies, equationsOf, neededFor, tensorMap } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import type { Equation, Load, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { dtypeBytes } from './cost.ts';
import { scoresOf } from './scores.ts';
import { axesOfIndices, type Carriers, carriersOf, isSameOrigin, type Sides, sidesOf } from './tokens.ts';

export interface CachedTensor {
  readonly tensor: string;
  readonly elementsPerToken: number;
  readonly bytesPerToken: number;
}

/** The tensors to keep for each token of one layer; none where there is no score. */
export function cachedTensors(program: Program): readonly CachedTensor[] {
  const carriers = carriersOf(program);
  const positions = scoresOf(program, carriers).flatMap(({ sides }) => sides.origins);
  if (positions.length === 0) return [];
  const tensors = tensorMap(program);
  const cached = new Map<string, CachedTensor>();
  /** Dimensions of keys, as the readers of a tensor have them. */
  const keyDimensions = new Map<string, readonly number[]>();
  const needed = neededFor(program, program.outputs);
  for (const tensor of program.tensors.toReversed()) {
    if (!needed.has(tensor.name)) continue;
    for (const equation of equationsOf(tensor)) {
      const sides = sidesOf(equation.value, carriers, positions);
      if (sides === undefined) continue;
      const keys = keyAxes(equation, sides, keyDimensions.get(tensor.name));
      const queries = keys === sides.first ? sides.second : sides.first;
      for (const load of loads(equation.value)) {
        const dimensions = load.indices.flatMap((index, d) => (isOf(axesOfIndices([index]), keys, queries) ? [d] : []));
        if (dimensions.length === 0) continue;
        if (!keyDimensions.has(load.tensor)) keyDimensions.set(load.tensor, dimensions);
        const isOfQueries = load.indices.some((index) => isOf(axesOfIndices([index]), queries, keys));
        const read = tensors.get(load.tensor) as Tensor;
        if (isOfQueries || !carriesAny(load, dimensions, sides, carriers)) continue;
        const counted = [...dimensions, ...batchDimensions(equation, load, sides, carriers)];
        const elementsPerToken = elementCount(read.shape.filter((_, d) => !counted.includes(d)));
        const bytesPerToken = elementsPerToken * dtypeBytes[read.dtype];
        cached.set(read.name, { tensor: read.name, elementsPerToken, bytesPerToken });
      }
    }
  }
  return program.tensors.filter((tensor) => !isMadeOf(tensor, cached)).flatMap(({ name }) => cached.get(name) ?? []);
}

/** Made of what is kept and nothing else, as the mean of a key is: it can be made again. */
function isMadeOf(tensor: Tensor, cached: ReadonlyMap<string, CachedTensor>): boolean {
  const reads = dependencies(tensor);
  return reads.length > 0 && reads.every((name) => cached.has(name));
}

/** Whether axes are of one side, and not only of the blocks that both lie in. */
function isOf(axes: AxisSet, side: AxisSet, other: AxisSet): boolean {
  return (axes & side & ~other) !== 0n && (axes & other & ~side) === 0n;
}

function keyAxes(equation: Equation, { first, second }: Sides, dimensions: readonly number[] | undefined): AxisSet {
  const stored = axesOfStore(equation);
  if ((first & ~second & stored) === 0n) return first;
  if ((second & ~first & stored) === 0n) return second;
  const firstOwn = (d: number) => isOf(axesOfIndices([equation.store[d]]), first, second);
  if (dimensions !== undefined) return dimensions.some(firstOwn) ? first : second;
  const place = (side: AxisSet, other: AxisSet) =>
    equation.store.findIndex((index) => isOf(axesOfIndices([index]), side, other));
  return place(first, second) < place(second, first) ? second : first;
}

/** Whether positions of the score lie there: a param that is read at a key is no token's. */
function carriesAny(load: Load, dimensions: readonly number[], { origins }: Sides, carriers: Carriers): boolean {
  return (carriers.get(load.tensor) ?? []).some(
    (carried) =>
      carried.dimensions.some((d) => dimensions.includes(d)) &&
      origins.some((origin) => isSameOrigin(origin, carried.origin)),
  );
}

/** The input's own first dimension, where it is no position of the score, is the batch. */
function batchDimensions(equation: Equation, load: Load, { origins }: Sides, carriers: Carriers): readonly number[] {
  const stored = axesOfStore(equation);
  return (carriers.get(load.tensor) ?? [])
    .filter(({ origin }) => origin.dimension === 0 && origins.some(({ input }) => input === origin.input))
    .filter(({ origin }) => !origins.some((o) => o.input === origin.input && o.dimension === 0))
    .flatMap(({ dimensions }) => dimensions)
    .filter((d) => (axesOfIndices([load.indices[d]]) & ~stored) === 0n);
}
