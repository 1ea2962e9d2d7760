/**
 * Where the positions of an input lie in what is made from it, and so which tensors are scores: those with two sides, each of
 * which is a position of its own.
 *
 *   q[b, h, t, r] of x[b, t, i]     x's dimension 1 lies in q's dimension 2
 *   S[b, h, t, u] of q and k        x's dimension 1 lies in 2, through q, and in 3, through k: two sides
 *   softmax[m](W[m, i] * x[b, t, i])   m is no position of x: no score
 *
 * Found by the indices alone: an index of a load that stands as it is in the store carries over, else whatever shares its axes
 * does (a position split into digits lies in several dimensions). It does not matter what becomes of the score.
 *
 * The trap: inputs of two kinds, queries from one and keys from another, are two sides as well; but so is any product of two
 * inputs, so that this alone makes no score.
 */

import { equalAffine } from '../ir/affine.ts';
import type { AxisSet } from '../ir/contraction.ts';
import { axesIn, axisSet } from '../ir/contraction.ts';
import { equationsOf } from '../ir/equation.ts';
import { affinesOfIndex, loads } from '../ir/expression.ts';
import { addTo } from '../ir/lists.ts';
import type { Equation, Expression, Index, Load, Program, Tensor } from '../ir/program.ts';

/** A dimension of an input. */
export interface Origin {
  readonly input: string;
  readonly dimension: number;
}

/** Dimensions of a tensor in which an origin's positions lie: as often as it is read at positions of its own. */
export interface Carried {
  readonly origin: Origin;
  readonly dimensions: readonly number[];
}

export type Carriers = ReadonlyMap<string, readonly Carried[]>;

export function carriersOf(program: Program): Carriers {
  const found = new Map<string, readonly Carried[]>();
  for (const tensor of program.tensors) {
    const { name, shape, source } = tensor;
    if (source.kind === 'input') {
      found.set(
        name,
        shape.map((_, dimension) => ({ origin: { input: name, dimension }, dimensions: [dimension] })),
      );
    } else if (source.kind === 'computed') {
      found.set(name, distinct(equationsOf(tensor).flatMap((equation) => carriedBy(equation, found))));
    }
  }
  return found;
}

function carriedBy(equation: Equation, found: Carriers): readonly Carried[] {
  return readsWithIndices(equation.value).flatMap((load) =>
    (found.get(load.tensor) ?? []).flatMap(({ origin, dimensions }) => {
      const lies = [...new Set(dimensions.flatMap((d) => storeDimensions(equation, load.indices[d])))];
      return lies.length === 0 ? [] : [{ origin, dimensions: lies.sort((a, b) => a - b) }];
    }),
  );
}

/** The loads, and the integer tensors that they are indexed by as loads of their own. */
function readsWithIndices(value: Expression): readonly Load[] {
  const gathered = (index: Index): readonly Load[] =>
    index.kind === 'affine'
      ? []
      : [{ kind: 'load', tensor: index.tensor, indices: index.indices }, ...index.indices.flatMap(gathered)];
  return loads(value).flatMap((load) => [load, ...load.indices.flatMap(gathered)]);
}

function storeDimensions({ store }: Equation, index: Index): readonly number[] {
  if (index.kind !== 'affine' || index.terms.length === 0) return [];
  const all = store.map((_, d) => d);
  const same = all.filter((d) => isSame(store[d], index));
  return same.length > 0 ? same : all.filter((d) => (axesOfIndices([store[d]]) & axesOfIndices([index])) !== 0n);
}

function isSame(a: Index, b: Index): boolean {
  return a.kind === 'affine' && b.kind === 'affine' && equalAffine(a, b);
}

function distinct(carried: readonly Carried[]): readonly Carried[] {
  return [...new Map(carried.map((c) => [JSON.stringify(c), c])).values()];
}

export function axesOfIndices(indices: readonly Index[]): AxisSet {
  return axisSet(indices.flatMap(affinesOfIndex).flatMap((a) => a.terms.map((term) => term.axis)));
}

/** The two positions that an expression speaks of, as sets of an equation's axes. Blocks that both lie in are in both. */
export interface Sides {
  readonly first: AxisSet;
  readonly second: AxisSet;
  /** Dimensions of inputs whose positions they are. */
  readonly origins: readonly Origin[];
  /** Of one input each. */
  readonly isCross: boolean;
}

/** `among` are the origins that may be positions; any, unless said. */
export function sidesOf(value: Expression, carriers: Carriers, among?: readonly Origin[]): Sides | undefined {
  const places = new Map<string, AxisSet[]>();
  const origins = new Map<string, Origin>();
  for (const { tensor, indices } of readsWithIndices(value)) {
    for (const { origin, dimensions } of carriers.get(tensor) ?? []) {
      if (among !== undefined && !among.some((o) => isSameOrigin(o, origin))) continue;
      const axes = axesOfIndices(dimensions.map((d) => indices[d]));
      const key = JSON.stringify(origin);
      if (axes === 0n || places.get(key)?.includes(axes)) continue;
      origins.set(key, origin);
      addTo(places, key, axes);
    }
  }
  let [first, second] = [0n, 0n];
  const paired: Origin[] = [];
  for (const [key, sets] of places) {
    const narrow = sets.filter((set) => !sets.some((other) => other !== set && (other & ~set) === 0n));
    if (narrow.length > 2) return undefined;
    if (narrow.length < 2) continue;
    first |= narrow[0];
    second |= narrow[1];
    paired.push(origins.get(key) as Origin);
  }
  if (paired.length > 0) {
    const isApart = (first & ~second) !== 0n && (second & ~first) !== 0n;
    return isApart ? { first, second, origins: paired, isCross: false } : undefined;
  }
  return crossSides(places, origins);
}

export function isSameOrigin(a: Origin, b: Origin): boolean {
  return a.input === b.input && a.dimension === b.dimension;
}

/** Positions of two inputs, of which each has some of its own. */
function crossSides(
  places: ReadonlyMap<string, readonly AxisSet[]>,
  origins: ReadonlyMap<string, Origin>,
): Sides | undefined {
  const byInput = new Map<string, { axes: AxisSet; origins: Origin[] }>();
  const all = [...places].map(([key, sets]) => ({ origin: origins.get(key) as Origin, sets }));
  for (const { origin, sets } of all) {
    const isShared = (set: AxisSet) => all.some((o) => o.origin.input !== origin.input && o.sets.includes(set));
    const own = sets.filter((set) => !isShared(set));
    if (own.length === 0) continue;
    const known = byInput.get(origin.input) ?? { axes: 0n, origins: [] };
    byInput.set(origin.input, {
      axes: own.reduce((a, b) => a | b, known.axes),
      origins: [...known.origins, origin],
    });
  }
  if (byInput.size !== 2) return undefined;
  const [a, b] = byInput.values();
  return { first: a.axes, second: b.axes, origins: [...a.origins, ...b.origins], isCross: true };
}

/** The sides of a tensor, by its own dimensions: those of a read of all of it. */
export function sidesOfTensor(
  { name, shape }: Tensor,
  carriers: Carriers,
): { readonly first: readonly number[]; readonly second: readonly number[]; readonly sides: Sides } | undefined {
  const whole: Load = {
    kind: 'load',
    tensor: name,
    indices: shape.map((_, axis) => ({ kind: 'affine', constant: 0, terms: [{ axis, coefficient: 1 }] })),
  };
  const sides = sidesOf(whole, carriers);
  return sides && { first: axesIn(sides.first), second: axesIn(sides.second), sides };
}
