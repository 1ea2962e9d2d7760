/**
 * A tensor whose dimension is two axes or more taken together wherever it is written and read gets a dimension for each of them:
 *
 *   y[8·n + t, o] sum= W[o, i] * x[n, t, i]          y[n, t, o] sum= W[o, i] * x[n, t, i]
 *   z[n, t, o]    sum= x[n, t, o] + y[8·n + t, o] →  z[n, t, o] sum= x[n, t, o] + y[n, t, o]
 *
 * That is how a matrix that fills a slot sees the axes of its caller, and what comes before and after it fits together again. Where an
 * equation goes along the whole dimension by one axis, `y2[b, o] sum= V[o, i] * y[b, i]`, that axis is cut in two, and with it the tensors
 * that it goes along.
 *
 * The trap: an axis that is cut may go along a param, an input or an output too, `W[o, i]`, whose index is then taken together,
 * `W[|r|·h + r, i]`. So there is a cut only where it takes apart more indices than it takes together, and none where the axis stands in
 * a domain or in a value.
 */
import { add, asAxis, axisIndex, scale } from '../ir/affine.ts';
import { equationLoads, equationsOf } from '../ir/equation.ts';
import {
  affinesOf,
  affinesOfConstraint,
  affinesOfIndex,
  axisRenaming,
  load,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
  zero,
} from '../ir/expression.ts';
import type { Affine, Axis, Equation, Index, Load, Program, Tensor } from '../ir/program.ts';
import { heldTensors, mapEquations } from './rename.ts';

/** Extents that a dimension or an axis is cut into, outermost first, with the names of the axes that it is made of somewhere. */
type Cut = readonly Axis[];

/** One index of a tensor in an equation. */
interface Use {
  readonly key: string;
  readonly equation: Equation;
  readonly index: Index;
}

/** Every index of the program, by the dimension that it is of and by the equation that it stands in. */
interface Uses {
  readonly ofDimension: ReadonlyMap<string, readonly Use[]>;
  readonly inEquation: ReadonlyMap<Equation, readonly Use[]>;
}

export function unfoldAxes(program: Program): Program {
  const uses = collectUses(program);
  const free = freeDimensions(program);
  const cuts = new Map<string, Cut>();
  for (const [key, extent] of free) {
    const cut = cuts.has(key) ? undefined : cutOfUses(uses.ofDimension.get(key) ?? [], extent);
    if (cut === undefined) continue;
    const closure = closureOf(key, cut, uses, free);
    const fits = (each: string) => {
      const known = cuts.get(each);
      return known === undefined || sameCut(known, cut);
    };
    if (closure === undefined || ![...closure].every(fits)) continue;
    for (const each of closure) cuts.set(each, cut);
  }
  return cuts.size === 0 ? program : rewritten(program, cuts);
}

const keyOf = (tensor: string, dimension: number): string => `${dimension} ${tensor}`;

/** Dimensions of tensors that are computed and that nothing outside the program sees, with their extents. */
function freeDimensions(program: Program): ReadonlyMap<string, number> {
  const kept = heldTensors(program);
  const free = program.tensors.filter(({ name, source }) => source.kind === 'computed' && !kept.has(name));
  return new Map(free.flatMap(({ name, shape }) => shape.map((extent, d) => [keyOf(name, d), extent] as const)));
}

function collectUses(program: Program): Uses {
  const ofDimension = new Map<string, Use[]>();
  const inEquation = new Map<Equation, Use[]>();
  for (const tensor of program.tensors) {
    for (const equation of equationsOf(tensor)) {
      for (const [name, indices] of indexings(tensor, equation)) {
        for (const [d, index] of indices.entries()) {
          const use = { key: keyOf(name, d), equation, index };
          append(ofDimension, use.key, use);
          append(inEquation, equation, use);
        }
      }
    }
  }
  return { ofDimension, inEquation };
}

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const known = lists.get(key);
  if (known === undefined) lists.set(key, [value]);
  else known.push(value);
}

type Indexing = readonly [tensor: string, indices: readonly Index[]];

/** The store, every load, and every tensor that is read for an index. */
function indexings({ name }: Pick<Tensor, 'name'>, equation: Equation): readonly Indexing[] {
  const gathers = (index: Index): readonly Indexing[] =>
    index.kind === 'affine' ? [] : [[index.tensor, index.indices], ...index.indices.flatMap(gathers)];
  const own: readonly Indexing[] = [
    [name, equation.store],
    ...equationLoads(equation).map(({ tensor, indices }): Indexing => [tensor, indices]),
  ];
  return own.flatMap((indexing) => [indexing, ...indexing[1].flatMap(gathers)]);
}

/** How a dimension is taken together, the same wherever it is; undefined where it never is, or in two ways. */
function cutOfUses(uses: readonly Use[], extent: number): Cut | undefined {
  let found: Cut | undefined;
  for (const { equation, index } of uses) {
    const cut = index.kind === 'affine' ? takenTogether(index, equation, extent) : undefined;
    if (cut === undefined) continue;
    if (found !== undefined && !sameCut(found, cut)) return undefined;
    found ??= cut;
  }
  return found;
}

/** The axes of `|t|·n + t`, outermost first, where they go once through all of the dimension. */
function takenTogether(index: Affine, { axes }: Equation, extent: number): Cut | undefined {
  if (index.terms.length < 2 || index.constant !== 0) return undefined;
  const terms = outermostFirst(index);
  let covered = 1;
  for (const { axis, coefficient } of [...terms].reverse()) {
    if (coefficient !== covered || axes[axis].symbol !== undefined) return undefined;
    covered *= axes[axis].extent;
  }
  return covered === extent ? terms.map(({ axis }) => axes[axis]) : undefined;
}

function outermostFirst({ terms }: Affine): Affine['terms'] {
  return [...terms].sort((a, b) => b.coefficient - a.coefficient);
}

function sameCut(a: Cut, b: Cut): boolean {
  return a.length === b.length && a.every(({ extent }, i) => extent === b[i].extent);
}

/** A dimension and all that has to be cut with it; undefined where that cannot be, or gains nothing. */
function closureOf(
  first: string,
  cut: Cut,
  { ofDimension, inEquation }: Uses,
  free: ReadonlyMap<string, number>,
): ReadonlySet<string> | undefined {
  const found = new Set([first]);
  let [apart, together] = [0, 0];
  // What is added while it is gone through is gone through too.
  for (const key of found) {
    const extent = free.get(key) as number;
    for (const { equation, index } of ofDimension.get(key) ?? []) {
      if (index.kind !== 'affine') return undefined;
      const taken = takenTogether(index, equation, extent);
      if (taken !== undefined && sameCut(taken, cut)) {
        apart += 1;
        continue;
      }
      const axis = asAxis(index);
      if (axis === undefined || equation.axes[axis].extent !== extent || equation.axes[axis].symbol !== undefined) {
        return undefined;
      }
      const along = dimensionsAlong(axis, equation, inEquation.get(equation) ?? []);
      if (along === undefined) return undefined;
      for (const other of along) {
        if (free.has(other)) found.add(other);
        else together += 1;
      }
    }
  }
  return apart > together ? found : undefined;
}

/** Dimensions along which an equation's axis goes; undefined where it stands anywhere else. */
function dimensionsAlong(axis: number, equation: Equation, uses: readonly Use[]): readonly string[] | undefined {
  const { store, domain, value } = equation;
  const affines = [...store.flatMap(affinesOfIndex), ...domain.flatMap(affinesOfConstraint), ...affinesOf(value)];
  const mentions = affines.filter(({ terms }) => terms.some((term) => term.axis === axis)).length;
  const along = uses.filter(({ index }) => index.kind === 'affine' && asAxis(index) === axis);
  return along.length === mentions ? along.map(({ key }) => key) : undefined;
}

function rewritten(program: Program, cuts: ReadonlyMap<string, Cut>): Program {
  const cutOf: CutOf = (name, d) => cuts.get(keyOf(name, d));
  const changed = mapEquations(program, (equation, tensor) => [cutEquation(equation, tensor, cutOf)]);
  return {
    ...changed,
    tensors: changed.tensors.map((tensor) => {
      const shape = tensor.shape.flatMap((extent, d) => cutOf(tensor.name, d)?.map((axis) => axis.extent) ?? [extent]);
      return shape.length === tensor.shape.length ? tensor : { ...tensor, shape };
    }),
  };
}

type CutOf = (tensor: string, dimension: number) => Cut | undefined;

/** The equation over the pieces of its axes, with an index for each piece of a dimension that is cut. */
function cutEquation(equation: Equation, tensor: Tensor, cutOf: CutOf): Equation {
  const pieces = equation.axes.map((axis): readonly Axis[] => [axis]);
  let isCut = false;
  for (const [name, indices] of indexings(tensor, equation)) {
    for (const [d, index] of indices.entries()) {
      const cut = cutOf(name, d);
      if (cut === undefined || index.kind !== 'affine') continue;
      isCut = true;
      const axis = asAxis(index);
      if (axis !== undefined) pieces[axis] = cut;
    }
  }
  if (!isCut) return equation;
  const rename = { affine: axisRenaming(placesOf(pieces)) };
  const spread = (name: string, indices: readonly Index[]): readonly Index[] =>
    indices.flatMap((index, d): readonly Index[] => {
      if (index.kind !== 'affine') return [{ ...index, indices: spread(index.tensor, index.indices) }];
      return cutOf(name, d) === undefined ? [index] : outermostFirst(index).map(({ axis }) => axisIndex(axis));
    });
  const spreading = { load: (read: Load) => load(read.tensor, spread(read.tensor, read.indices)) };
  const store = equation.store.map((index) => rewriteIndex(index, rename));
  return {
    ...equation,
    axes: pieces.flat(),
    store: spread(tensor.name, store),
    domain: equation.domain.map((constraint) => rewriteConstraint(rewriteConstraint(constraint, rename), spreading)),
    value: rewriteExpression(rewriteExpression(equation.value, rename), spreading),
  };
}

/** What each axis is of the pieces of all of them. */
function placesOf(pieces: readonly (readonly Axis[])[]): readonly Affine[] {
  let place = 0;
  return pieces.map((some) => {
    const first = place;
    place += some.length;
    return some.reduce((index, { extent }, i) => add(scale(index, extent), axisIndex(first + i)), zero);
  });
}
