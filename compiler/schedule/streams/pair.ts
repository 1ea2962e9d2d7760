/**
 * Rows and walk of a space: the two classes of which every result reduces one at least, and what each result is to them.
 */
import { asSum, streamAxes } from '../../../kernels/families/stream/shape.ts';
import { equationsOf, readTensors, reducedAxes } from '../../ir/equation.ts';
import { loads } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import { digitsOf, pointOf } from '../../ir/plain.ts';
import type { Affine, Equation, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import { wholeAxes } from '../../passes/for-streams/block-axes.ts';
import type { RowSplit } from '../../passes/for-streams/rows-first.ts';
import { type Class, classesOfTile, inKernel, kernelClasses, noAxis, type Result, type Space } from './space.ts';

/** What stands in the way of spaces. */
export interface Obstacles {
  /** Tensors that cannot be hidden. */
  readonly refused: string[];
  /** Equations that reduce both rows and walk: first a row at a time, then the rows. */
  readonly splits: RowSplit[];
}

export type Reading = { readonly tensor: Tensor; readonly equations: ReadonlySet<Equation> };

/** The space with the pair of classes that all its results allow; what stands in the way goes into `found`. */
export function pairUp(
  tiles: readonly Tensor[],
  extentOf: ReadonlyMap<Class, number>,
  dimensions: ReadonlyMap<string, readonly (Class | undefined)[]>,
  reading: readonly Reading[],
  found: Obstacles,
): Space | undefined {
  const hidden = new Set(tiles.map(({ name }) => name));
  const refuse = (names: Iterable<string>): void => {
    found.refused.push(...names);
  };
  const classesOf = (equation: Equation): ReadonlyMap<number, Class> => {
    const classes = new Map<number, Class>();
    for (const l of loads(equation.value)) {
      if (!hidden.has(l.tensor)) continue;
      pointOf(l, equation)!.forEach((axis, d) => {
        const id = dimensions.get(l.tensor)![d];
        if (axis !== undefined && id !== undefined) classes.set(axis, id);
      });
    }
    return classes;
  };
  const equations = reading.flatMap((r) => [...r.equations].map(wholeAxes));
  const extent = (id: Class): number => extentOf.get(id)!;
  const points = (own: readonly (Class | undefined)[]): number =>
    elementCount(own.map((id) => (id === undefined ? 1 : extent(id))));
  const largest = [...dimensions.values()].reduce((a, b) => (points(b) > points(a) ? b : a));
  const common = largest.filter((id) => id !== undefined);
  const roles = equations.map((e) => {
    const classes = classesOf(e);
    const isReduced = new Set(reducedAxes(e));
    return new Map([...classes].map(([axis, id]) => [id, isReduced.has(axis)]));
  });
  const pair = choosePair(
    common,
    roles,
    [...equations.map((e) => [e, classesOf(e)] as const), ...tilesWithClasses(tiles, dimensions)],
    hidden,
    extentOf,
  );
  if (pair === undefined) {
    refuse(hidden);
    return undefined;
  }
  const lacking = [...dimensions].filter(([, own]) => !pair.every((id) => own.includes(id)));
  if (lacking.length > 0) {
    refuse(lacking.map(([name]) => name));
    return undefined;
  }
  const results: Result[] = [];
  for (const { tensor, equations: given } of reading) {
    const groups = new Map<string, Equation[]>();
    for (const equation of given) {
      const whole = wholeAxes(equation);
      const reduced = rolesOf(whole, classesOf(whole)).reduced;
      if (pair.every((id) => reduced.includes(id))) {
        const rows = [...classesOf(whole)]
          .filter(([, id]) => id !== pair[1] && reduced.includes(id))
          .map(([axis]) => axis);
        found.splits.push({ tensor, equation, rows });
      } else addTo(groups, String(reduced), equation);
    }
    for (const own of groups.values()) {
      const result = resultOf(tensor, own, classesOf, pair, hidden, extentOf);
      if (result !== undefined) results.push(result);
      else for (const e of own) refuse(readTensors(e).filter((name) => hidden.has(name)));
    }
  }
  return found.refused.length + found.splits.length > 0 ? undefined : { hidden, extentOf, pair, dimensions, results };
}

type Roles = { readonly reduced: readonly Class[]; readonly stored: readonly Class[] };

function rolesOf(equation: Equation, classes: ReadonlyMap<number, Class>): Roles {
  const reduced = new Set(reducedAxes(equation));
  const of = (isReduced: boolean): Class[] =>
    [...classes]
      .filter(([axis]) => reduced.has(axis) === isReduced)
      .map(([, id]) => id)
      .sort((a, b) => a - b);
  return { reduced: of(true), stored: of(false) };
}

/** The equations of hidden tensors, with the classes of their axes. */
function tilesWithClasses(
  tiles: readonly Tensor[],
  dimensions: ReadonlyMap<string, readonly (Class | undefined)[]>,
): readonly (readonly [Equation, ReadonlyMap<number, Class>])[] {
  return tiles.flatMap((tensor) =>
    equationsOf(tensor)
      .map(wholeAxes)
      .map((e) => [e, classesOfTile(e, tensor, dimensions.get(tensor.name)!)] as const),
  );
}

/**
 * Two classes of which every result reduces one at least. Best where none reduces both, then where least of what is read depends on
 * both, for that is read at every point of a tile, then where much lies between them.
 */
function choosePair(
  common: readonly Class[],
  roles: readonly ReadonlyMap<Class, boolean>[],
  equations: readonly (readonly [Equation, ReadonlyMap<number, Class>])[],
  hidden: ReadonlySet<string>,
  extentOf: ReadonlyMap<Class, number>,
): readonly [Class, Class] | undefined {
  let best: { readonly pair: readonly [Class, Class]; readonly score: readonly number[] } | undefined;
  for (const [n, a] of common.entries()) {
    for (const b of common.slice(n + 1)) {
      const of = roles.map((r) => [r.get(a), r.get(b)]);
      const reductions = of.filter((_, i) => [...roles[i].values()].includes(true));
      if (reductions.some(([p, q]) => p !== true && q !== true) || reductions.length === 0) continue;
      const both = of.filter(([p, q]) => p === true && q === true).length;
      const within = equations.map(([e, classes]) => readsOfBoth(e, classes, a, b, hidden));
      const score = [-both, -within.reduce((n, reads) => n + reads, 0), extentOf.get(a)! * extentOf.get(b)!];
      const isBetter = best === undefined || isAfter(score, best.score);
      if (isBetter) best = { pair: [a, b], score };
    }
  }
  return best?.pair;
}

function isAfter(a: readonly number[], b: readonly number[]): boolean {
  const d = a.findIndex((x, i) => x !== b[i]);
  return d >= 0 && a[d] > b[d];
}

/** Reads of stored tensors that depend on both classes. */
function readsOfBoth(
  equation: Equation,
  classes: ReadonlyMap<number, Class>,
  a: Class,
  b: Class,
  hidden: ReadonlySet<string>,
): number {
  return loads(equation.value).filter((l) => {
    if (hidden.has(l.tensor)) return false;
    const axes = l.indices.flatMap((i) => (i.kind === 'affine' ? i.terms.map((t) => classes.get(t.axis)) : []));
    return axes.includes(a) && axes.includes(b);
  }).length;
}

/** The result that equations of one tensor are which reduce the same classes; undefined where a kernel cannot make it. */
function resultOf(
  tensor: Tensor,
  given: readonly Equation[],
  classesOf: (e: Equation) => ReadonlyMap<number, Class>,
  pair: readonly [Class, Class],
  hidden: ReadonlySet<string>,
  extentOf: ReadonlyMap<Class, number>,
): Result | undefined {
  const equations = given.map(wholeAxes);
  const classes = equations.map(classesOf);
  const roles = equations.map((e, i) => rolesOf(e, classes[i]));
  const [first, ...others] = roles;
  if (others.some((r) => String(r.stored) !== String(first.stored))) return undefined;
  const isMap = first.reduced.length === 0;
  const walks = isMap ? [pair[1]] : pair.filter((id) => first.reduced.includes(id));
  const rows = isMap ? [pair[0]] : pair.filter((id) => first.stored.includes(id));
  if (walks.length !== 1 || rows.length !== 1) return undefined;
  const result: Result = {
    tensor,
    given,
    equations,
    classes,
    isMap,
    row: rows[0],
    walk: walks[0],
    outer: first.reduced.filter((id) => id !== walks[0]),
    batch: first.stored.filter((id) => id !== rows[0] && !(isMap && id === walks[0])),
  };
  if (result.outer.length > 0 && equations.some((e) => e.reducer !== 'sum')) return undefined;
  // Rows and batches number whole dimensions of the tensor, alone or as digits, the same in each equation.
  const places = equations.map((e, i) =>
    e.store.map((index, d) =>
      digitsOf(index as Affine, e, tensor.shape[d])?.map((axis) => classes[i].get(axis) ?? 'column'),
    ),
  );
  const whole = new Set(places[0].flatMap((digits) => digits ?? []));
  if (![result.row, ...result.batch, ...(isMap ? [result.walk] : [])].every((id) => whole.has(id))) return undefined;
  const isKernels = (digits: readonly (Class | 'column')[] | undefined): string =>
    digits?.some((id) => id !== 'column') === true ? String(digits) : 'columns';
  if (places.some((p) => String(p.map(isKernels)) !== String(places[0].map(isKernels)))) return undefined;
  const order = kernelClasses(result);
  const axes = streamAxes({ batch: result.batch.map(() => noAxis), outer: result.outer.map(() => noAxis) });
  const parts = equations.map((e, i) => asSum(inKernel(e, classes[i], order, extentOf), axes, hidden));
  if (parts.includes(undefined)) return undefined;
  const ofOthers = places.map((place) => place.some((digits, d) => digits === undefined && tensor.shape[d] > 1));
  const isWide = parts.some((p, i) => p!.own.length > 0 || ofOthers[i]);
  // Where a number says which column it is, columns are of one dimension.
  if (parts.some((p, i) => p!.place !== undefined && ofOthers[i])) return undefined;
  return isWide && (isMap || equations.some((e) => e.reducer !== 'sum')) ? undefined : result;
}
