/**
 * Random valid tensor programs with values for their inputs, for property tests of every stage. A program is built from a tape of
 * bytes, each read as a choice among a few; the first choice is always the simplest, so that fast-check's shrinking of the tape
 * towards zeros and a short end shrinks the program.
 *
 * The trap is kinks: at max(x, y), abs, relu and comparisons central differences are wrong. They are only ever applied to loads of
 * inputs, whose elements are all at least 1/N apart from each other and 1/4 from zero.
 */
import fc from 'fast-check';
import { add, affine, axisIndex, range, scale, subtract } from '../../compiler/ir/affine.ts';
import { computed, inOrder, input, param } from '../../compiler/ir/build.ts';
import { dependencies, equation as makeEquation } from '../../compiler/ir/equation.ts';
import { binary, constant, load, product, sum } from '../../compiler/ir/expression.ts';
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import type {
  Affine,
  Axis,
  Constraint,
  Equation,
  Expression,
  Index,
  Program,
  Reducer,
  Tensor,
} from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import type { Choices } from './choices.ts';
import { choicesFrom } from './choices.ts';
import { randomExpression, randomLeaf } from './random-expression.ts';
import { integers } from './random-values.ts';

export interface RandomCase {
  readonly program: Program;
  /** Values of every input and param. */
  readonly inputs: ReadonlyMap<string, NdArray>;
  /** The floating inputs and params. */
  readonly wrt: readonly string[];
}

export interface RandomProgramOptions {
  /** Computed tensors at most, 6 unless told. */
  readonly tensors?: number;
}

export function randomProgram(options: RandomProgramOptions = {}): fc.Arbitrary<RandomCase> {
  return fc
    .uint8Array({ minLength: 40, maxLength: 240, size: 'max' })
    .map((tape) => buildCase(choicesFrom(tape), options.tensors ?? 6));
}

/** Extents: 1, primes, and such as divide each other. */
const extents = [3, 2, 1, 5, 4, 6];
/** Points of an equation's axes at most. */
const mostPoints = 400;
/** Factors of a product that may be anything between -2 and 2; an element of the output may have them all. */
const fewFactors = 12;

/** What an equation may read, and the axes that it reads with. */
export interface Scope {
  readonly choices: Choices;
  readonly axes: readonly Axis[];
  readonly readable: readonly Tensor[];
}

function buildCase(choices: Choices, most: number): RandomCase {
  const given = givenTensors(choices);
  const tensors: Tensor[] = [...given, ...computedIntegers(given, choices)];
  const count = choices.between(2, most);
  for (let i = 0; i < count; i++) tensors.push(randomTensor(`t${i}`, tensors, choices));
  if (choices.oneIn(4)) tensors.push(flatTogether(tensors.filter((t) => t.source.kind === 'computed').slice(-2)));
  const read = new Set(tensors.flatMap((t) => dependencies(t)));
  const outputs = tensors
    .filter((t) => t.dtype !== 'i32' && !given.includes(t) && !read.has(t.name))
    .map((t) => t.name);
  const program: Program = { tensors: inOrder(tensors), outputs, updates: [] };
  const caller = given.filter((t) => t.source.kind !== 'view');
  return { program, inputs: valuesOf(caller), wrt: caller.filter((t) => t.dtype !== 'i32').map((t) => t.name) };
}

function givenTensors(choices: Choices): readonly Tensor[] {
  const shape = (): number[] =>
    Array.from({ length: choices.pick([1, 2, 3, 0]) }, () => choices.pick(extents.slice(0, 5)));
  const floats = Array.from({ length: choices.between(2, 4) }, (_, i) =>
    i % 2 === 0 ? input(`x${i}`, shape()) : param(`W${i}`, shape()),
  );
  const ids = choices.oneIn(2) ? [input('ids', [choices.pick(extents)], 'i32')] : [];
  if (!choices.oneIn(4)) return [...floats, ...ids];
  const viewShape = [choices.pick(extents), choices.pick(extents)];
  const offset = choices.between(0, 3);
  const arena = input('arena', [offset + elementCount(viewShape) + choices.between(0, 2)]);
  const view: Tensor = { name: 'v', dtype: 'f32', shape: viewShape, source: { kind: 'view', base: 'arena', offset } };
  return [...floats, ...ids, arena, view];
}

/** An integer tensor made of positions and the ids, whose elements are below `idBound` too. */
function computedIntegers(given: readonly Tensor[], choices: Choices): readonly Tensor[] {
  const ids = given.find((t) => t.dtype === 'i32');
  if (ids === undefined || choices.oneIn(2)) return [];
  const axes = [
    { name: 'i', extent: choices.pick(extents) },
    { name: 'j', extent: ids.shape[0] },
  ];
  const difference = sum([
    { kind: 'index', affine: subtract(scale(axisIndex(0), 2), axisIndex(1)) },
    load(ids.name, [axisIndex(1)]),
  ]);
  const value = choices.pick([
    binary('remainder', difference, constant(idBound)),
    binary('maximum', constant(0), binary('minimum', difference, constant(idBound - 1))),
    binary('remainder', binary('quotient', difference, constant(3)), constant(idBound)),
  ]);
  const equation = makeEquation({ axes, store: [axisIndex(0), axisIndex(1)], value });
  return [
    {
      name: 'code',
      dtype: 'i32',
      shape: axes.map((a) => a.extent),
      source: { kind: 'computed', equations: [equation] },
    },
  ];
}

/** ids are below this, so that they index any dimension at least as long. */
export const idBound = 2;

/** All floating elements are distinct magnitudes in 0.25 .. 1.25, signs mixed, in an order that looks like none. */
function valuesOf(tensors: readonly Tensor[]): ReadonlyMap<string, NdArray> {
  const floats = tensors.filter((t) => t.dtype !== 'i32');
  const total = floats.reduce((sum, t) => sum + elementCount(t.shape), 0);
  // Steps of a number prime to the total visit every rank once.
  let stride = Math.floor(total * 0.618) + 1;
  while (gcd(stride, total) !== 1) stride++;
  let position = 0;
  return new Map(
    tensors.map(({ name, shape, dtype }) => {
      if (dtype === 'i32') return [name, integers(shape, 7, idBound)];
      const data = Float64Array.from({ length: elementCount(shape) }, () => {
        const rank = (position++ * stride) % total;
        return (0.25 + rank / total) * ((rank * 7 + (rank >> 2)) % 3 === 0 ? -1 : 1);
      });
      return [name, { shape, data }];
    }),
  );
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

function randomAxes(choices: Choices): readonly Axis[] {
  const axes: Axis[] = [];
  const count = choices.pick([2, 3, 1, 4, 0]);
  for (let points = 1; axes.length < count; ) {
    const extent = choices.pick(extents);
    const fits = points * extent <= mostPoints;
    axes.push({ name: 'ijklm'[choices.oneIn(8) ? 0 : axes.length], extent: fits ? extent : 1 });
    if (fits) points *= extent;
  }
  return axes;
}

function randomTensor(name: string, readable: readonly Tensor[], choices: Choices): Tensor {
  const firstScope: Scope = { choices, axes: randomAxes(choices), readable };
  const store = randomStore(firstScope);
  const shape = store.map(({ extent }) => extent);
  const first = randomEquation(
    firstScope,
    store.map(({ index }) => index),
    [],
  );
  const more = choices.pick([0, 0, 1, 2]);
  if (first.reducer !== 'sum') return computed(name, shape, [first]);
  const others = Array.from({ length: more }, () => {
    const scope: Scope = { choices, axes: randomAxes(choices), readable };
    const guards: Constraint[] = [];
    const indices = shape.map((extent) => indexInto(extent, scope, guards));
    return { ...randomEquation(scope, indices, guards), reducer: 'sum' as const };
  });
  return computed(name, shape, [first, ...others]);
}

/** A store map, and the extents of the tensor that it fills (or more than fills). */
function randomStore(scope: Scope): readonly { readonly index: Index; readonly extent: number }[] {
  const { choices, axes } = scope;
  const rank = choices.pick([1, 2, 3, 0]);
  if (rank === 2 && axes.length >= 3 && choices.oneIn(4)) {
    // Block diagonal: [(k p), (k q)]
    return [1, 2].map((a) => ({
      index: add(scale(axisIndex(0), axes[a].extent), axisIndex(a)),
      extent: axes[0].extent * axes[a].extent,
    }));
  }
  const ids = idsOf(scope);
  return Array.from({ length: rank }, (_, d) => {
    const axis = axes.length === 0 ? undefined : choices.oneIn(4) ? choices.below(axes.length) : d % axes.length;
    if (axis === undefined) return { index: affine(choices.below(2)), extent: 2 };
    const { extent } = axes[axis];
    switch (choices.pick(['axis', 'axis', 'axis', 'offset', 'stride', 'constant', 'gather'])) {
      case 'offset':
        return { index: add(axisIndex(axis), affine(1)), extent: extent + 1 + choices.below(2) };
      case 'stride':
        return { index: scale(axisIndex(axis), 2), extent: 2 * extent - 1 + choices.below(2) };
      case 'constant':
        return { index: affine(1), extent: 2 };
      case 'gather':
        if (ids === undefined || extent > (ids.shape.at(-1) ?? 0)) return { index: axisIndex(axis), extent };
        return {
          index: {
            kind: 'gather',
            tensor: ids.name,
            indices: ids.shape.map((_, at) => (at === ids.shape.length - 1 ? axisIndex(axis) : affine(0))),
          },
          extent: idBound + choices.below(2),
        };
      default:
        return { index: axisIndex(axis), extent };
    }
  });
}

function idsOf({ readable }: Scope): Tensor | undefined {
  return readable.findLast((t) => t.dtype === 'i32');
}

function randomEquation(scope: Scope, store: readonly Index[], guards: Constraint[]): Equation {
  const { choices, axes } = scope;
  const reducer: Reducer = choices.pick(['sum', 'sum', 'sum', 'sum', 'logsumexp', 'max', 'min', 'product']);
  const value = randomOperand(reducer, scope, guards);
  const extra = axes.length > 0 && choices.oneIn(3) ? [randomConstraint(scope)] : [];
  return makeEquation({ axes, domain: [...guards, ...extra], store, reducer, value });
}

/** What is reduced at each point: kinks stand on inputs alone, and a reduction of many points stays in f32's range. */
function randomOperand(reducer: Reducer, scope: Scope, guards: Constraint[]): Expression {
  switch (reducer) {
    case 'sum':
      return randomExpression(scope, guards, 'any');
    case 'logsumexp':
      return randomExpression(scope, guards, 'bounded');
    case 'product': {
      const factor = randomExpression(scope, guards, 'bounded');
      const points = scope.axes.reduce((count, { extent }) => count * extent, 1);
      // f32 has no 0.25^250. Of many factors each differs from 1 by so little that all of them together stay near it.
      return points <= fewFactors ? factor : sum([constant(1), product([constant(2 / points), factor])]);
    }
    case 'max':
    case 'min':
      return randomLeaf(scope, guards);
    default:
      return reducer satisfies never;
  }
}

/** A condition on the axes that some points meet and some may not. */
export function randomConstraint({ choices, axes, readable }: Scope): Constraint {
  const integers = readable.filter((t) => t.dtype === 'i32');
  if (integers.length > 0 && choices.oneIn(2)) {
    const { name, shape } = choices.pick(integers);
    const indices = shape.map((extent) => {
      const fitting = [...axes.keys()].filter((axis) => axes[axis].extent <= extent);
      return fitting.length === 0 ? affine(0) : axisIndex(choices.pick(fitting));
    });
    const operator = choices.pick(['==', '!=', '<'] as const);
    return { kind: 'data', operator, left: load(name, indices), right: constant(1) };
  }
  const a = choices.below(axes.length);
  const b = choices.below(axes.length);
  const middle = axes[a].extent >> 1;
  return choices.pick<Constraint>([
    { kind: 'nonnegative', affine: subtract(axisIndex(a), axisIndex(b)) },
    { kind: 'nonnegative', affine: subtract(affine(middle), axisIndex(a)) },
    { kind: 'nonnegative', affine: subtract(affine(middle + 1), add(axisIndex(a), scale(axisIndex(b), 2))) },
    { kind: 'nonzero', affine: subtract(axisIndex(a), affine(middle)) },
    { kind: 'zero', affine: subtract(axisIndex(a), axisIndex(b)) },
  ]);
}

/** An index into a dimension of the given extent; what it needs to stay inside is added to `guards`. */
export function indexInto(extent: number, scope: Scope, guards: Constraint[]): Index {
  const { choices, axes } = scope;
  const every = axes.map((_, axis) => axis);
  const exact = every.filter((axis) => axes[axis].extent === extent);
  if (exact.length > 0 && !choices.oneIn(3)) return axisIndex(choices.pick(exact));
  const options: (() => Index)[] = [];
  const inside = (a: Affine): boolean => range(a, axes).min >= 0 && range(a, axes).max < extent;
  const offer = (...candidates: readonly Affine[]): void => {
    for (const a of candidates) if (inside(a)) options.push(() => a);
  };
  for (const a of every) {
    const i = axisIndex(a);
    offer(i, subtract(affine(extent - 1), i), add(i, affine(1)), scale(i, 2));
    if (axes[a].extent > extent) {
      options.push(() => {
        guards.push({ kind: 'nonnegative', affine: subtract(affine(extent - 1), i) });
        return i;
      });
    }
    for (const b of every) {
      const j = axisIndex(b);
      if (a === b) continue;
      offer(add(i, j), add(scale(i, axes[b].extent), j));
      if (axes[a].extent <= extent) {
        options.push(() => {
          guards.push({ kind: 'nonnegative', affine: subtract(i, j) });
          return subtract(i, j);
        });
      }
    }
    const ids = idsOf(scope);
    if (ids !== undefined && extent >= idBound) {
      const indices = ids.shape.map((length) => (axes[a].extent <= length ? i : affine(0)));
      options.push(() => ({ kind: 'gather', tensor: ids.name, indices }));
    }
  }
  offer(affine(0), affine(extent - 1));
  return choices.pick(options)();
}

function flatTogether(parts: readonly Tensor[]): Tensor {
  let end = 1;
  const laid = parts.map(({ name, shape }) => {
    const offset = end;
    end += elementCount(shape) + 1;
    return { tensor: name, offset };
  });
  return { name: 'flat', dtype: 'f32', shape: [end], source: { kind: 'concat', parts: laid } };
}
