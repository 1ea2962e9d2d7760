/**
 * Which tensors could be hidden in streams: those whose readers all read them at one point of a space, and reduce that space over one
 * of two axes. Program → spaces.
 *
 *   S[b, h, t, u], A[b, h, t, u], cot~S[b, h, t, u]   →   one space with classes b, h, t, u and the pair (t, u)
 *
 * A class is a dimension that such tensors have in common, whatever its axis is called in each equation. Dimensions of one element
 * have none. The trap: a tensor that is no longer hidden changes what its neighbours may be, so that all is looked at again.
 */
import { asProduct, asSum, streamAxes } from '../../kernels/stream-shape.ts';
import type { Target } from '../../kernels/target.ts';
import { affine, asAxis, axisIndex, substitute } from '../ir/affine.ts';
import {
  equationsOf,
  hasSymbol,
  readTensors,
  reducedAxes,
  storeAxes,
  storesInside,
  tensorMap,
} from '../ir/equation.ts';
import {
  affinesOfIndex,
  constraintLoads,
  gatheredTensors,
  loadAxes,
  loads,
  product,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
} from '../ir/expression.ts';
import { addTo } from '../ir/lists.ts';
import { pointsInDomain } from '../ir/points.ts';
import type { Affine, Axis, Equation, Load, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { wholeAxes } from '../passes/block-axes.ts';
import { freshName } from '../passes/names.ts';
import { heldTensors } from '../passes/rename.ts';
import { isPointwise, plainAxes } from './plain.ts';

/** `always` and `never` are for tests, and for people who compare. */
export type Streaming = 'auto' | 'always' | 'never';

/** Axes of a space by class. */
export type Class = number;

export interface Space {
  readonly hidden: ReadonlySet<string>;
  readonly extentOf: ReadonlyMap<Class, number>;
  /** Rows and walk of its kernels, one way or the other. */
  readonly pair: readonly [Class, Class];
  /** Classes of the dimensions of each hidden tensor. */
  readonly dimensions: ReadonlyMap<string, readonly (Class | undefined)[]>;
  /** Tensors that reduce hidden ones. */
  readonly results: readonly Result[];
}

/** A tensor that reduces hidden ones: its equations that do so, and what they are to the space. */
export interface Result {
  readonly tensor: Tensor;
  /** Of the tensor's equations, in the program and as streams see them. */
  readonly given: readonly Equation[];
  readonly equations: readonly Equation[];
  /** It reduces nothing: an element for each point of the space, which is stored. */
  readonly isMap: boolean;
  /** Class of each axis of each equation, where it has one. */
  readonly classes: readonly ReadonlyMap<number, Class>[];
  readonly row: Class;
  readonly walk: Class;
  /** Reduced beside the walk. */
  readonly outer: readonly Class[];
  /** Stored beside the row. */
  readonly batch: readonly Class[];
}

/** An equation as streams see it. */
export function streamed(equation: Equation): Equation {
  const known = wholes.get(equation);
  if (known !== undefined) return known;
  const whole = wholeAxes(equation);
  wholes.set(equation, whole);
  return whole;
}
const wholes = new WeakMap<Equation, Equation>();

interface Read {
  readonly reader: Tensor;
  readonly equation: Equation;
}

export function findSpaces(
  program: Program,
  streaming: Exclude<Streaming, 'never'>,
  target: Target,
): { readonly program: Program; readonly spaces: readonly Space[] } {
  const kept = heldTensors(program);
  let current = sumsAtOnce(program, kept);
  let reads = readsOf(current);
  const hidden = new Set(current.tensors.filter((t) => isTile(t, kept, reads)).map(({ name }) => name));
  dropSmaller(hidden, current, reads);
  for (;;) {
    while (dropWrongly(hidden, reads));
    const found = arrange(current, hidden, reads);
    if (found.refused.length > 0) {
      for (const name of found.refused) hidden.delete(name);
      continue;
    }
    const wide = found.spaces.flatMap((space) => unbindable(space, current, target));
    if (wide.length > 0) {
      for (const name of wide) hidden.delete(name);
      continue;
    }
    const dear = streaming === 'always' ? [] : found.spaces.flatMap((space) => notWorth(space, current, target));
    if (dear.length > 0) {
      for (const name of dear) hidden.delete(name);
      continue;
    }
    if (found.splits.length === 0) return { program: current, spaces: found.spaces };
    for (const split of found.splits) current = rowsFirst(current, split, hidden);
    reads = readsOf(current);
  }
}

/**
 * A sum that shares nothing and that one other sum reads is a part of that: `s[t, u] = Σ_b S[b, t, u]`, `g = Σ_{t, u} s · (t - u)` costs
 * less to multiply than `g = Σ_{b, t, u} S · (t - u)`, but would have to be stored.
 */
function sumsAtOnce(program: Program, kept: ReadonlySet<string>): Program {
  const reads = readsOf(program);
  const gone = new Set<string>();
  const changed = new Map<Equation, Equation>();
  for (const tensor of program.tensors) {
    const [only, ...others] = equationsOf(tensor);
    const [read, ...more] = reads.get(tensor.name) ?? [];
    if (only === undefined || read === undefined || others.length + more.length > 0 || kept.has(tensor.name)) continue;
    if (only.reducer !== 'sum' || reducedAxes(only).length === 0 || tensor.dtype !== 'f32') continue;
    if (!readsWholePoints(only)) continue;
    const into = changed.get(read.equation) ?? read.equation;
    const joined = inlinedSum(tensor, only, into);
    if (joined === undefined) continue;
    gone.add(tensor.name);
    changed.set(read.equation, joined);
  }
  if (gone.size === 0) return program;
  const tensors = program.tensors.flatMap((tensor): Tensor[] => {
    if (gone.has(tensor.name)) return [];
    if (tensor.source.kind !== 'computed' || !tensor.source.equations.some((e) => changed.has(e))) return [tensor];
    const equations = tensor.source.equations.map((e) => changed.get(e) ?? e);
    return [{ ...tensor, source: { kind: 'computed', equations } }];
  });
  return { ...program, tensors };
}

/** Everything is read at all of the equation's axes: there is nothing that a sum of fewer would share. */
function readsWholePoints(equation: Equation): boolean {
  const long = [...equation.axes.keys()].filter((axis) => equation.axes[axis].extent > 1);
  const read = loads(equation.value);
  return read.length > 0 && read.every((l) => long.every((axis) => pointOf(l, equation)?.includes(axis)));
}

/** `Σ s · …` with the sum that s is in its place. */
function inlinedSum(tensor: Tensor, inner: Equation, outer: Equation): Equation | undefined {
  if (outer.reducer !== 'sum' || outer.value.kind !== 'product' || hasSymbol(inner) || hasSymbol(outer))
    return undefined;
  const at = outer.value.factors.filter((f) => f.kind === 'load' && f.tensor === tensor.name) as readonly Load[];
  const [only, ...others] = at;
  const plain = plainAxes(inner, tensor.shape);
  const total = loads(outer.value).filter((l) => l.tensor === tensor.name).length;
  if (only === undefined || others.length > 0 || total !== 1 || plain === undefined) return undefined;
  const point = pointOf(only, outer);
  const reduced = longReduced(outer).filter((axis) => point?.includes(axis));
  if (point === undefined || reduced.length < 2) return undefined;
  const extra = reducedAxes(inner);
  const place = (axis: number): Affine => {
    const d = plain.indexOf(axis);
    if (d >= 0) return only.indices[d] as Affine;
    return axisIndex(outer.axes.length + extra.indexOf(axis));
  };
  const rewrite = { affine: (a: Affine): Affine => substitute(a, place) };
  return {
    ...outer,
    axes: [...outer.axes, ...extra.map((axis) => inner.axes[axis])],
    domain: [...outer.domain, ...inner.domain.map((c) => rewriteConstraint(c, rewrite))],
    value: product([...outer.value.factors.filter((f) => f !== only), rewriteExpression(inner.value, rewrite)]),
  };
}

/** `g = Σ_{t, u} …` as `g~rows[t] = Σ_u …`, `g = Σ_t g~rows[t]`; where that cannot be, what it reads is no longer hidden. */
function rowsFirst(
  program: Program,
  { tensor, equation, row }: Obstacles['splits'][number],
  hidden: Set<string>,
): Program {
  const whole = streamed(equation);
  const stored = storeAxes(whole);
  const now = program.tensors.find(({ name }) => name === tensor.name)!;
  if (!storesInside(whole, tensor.shape) || whole.reducer !== 'sum') {
    for (const name of readTensors(equation)) hidden.delete(name);
    return program;
  }
  const name = freshName(`${tensor.name}~rows`, new Set(program.tensors.map((t) => t.name)));
  const kept = [...stored, row];
  const rows: Tensor = {
    name,
    dtype: 'f32',
    shape: kept.map((axis) => whole.axes[axis].extent),
    source: { kind: 'computed', equations: [{ ...whole, store: kept.map(axisIndex) }] },
  };
  const place = (axis: number): Affine => axisIndex(kept.indexOf(axis));
  const rest: Equation = {
    axes: kept.map((axis) => whole.axes[axis]),
    domain: [],
    store: whole.store.map((index) => rewriteIndex(index, { affine: (a) => substitute(a, place) })),
    reducer: 'sum',
    value: loadAxes(
      name,
      kept.map((_, axis) => axis),
    ),
  };
  const equations = equationsOf(now).map((e) => (e === equation ? rest : e));
  const tensors = program.tensors.flatMap((t) =>
    t === now ? [rows, { ...t, source: { kind: 'computed' as const, equations } }] : [t],
  );
  return { ...program, tensors };
}

function readsOf(program: Program): ReadonlyMap<string, readonly Read[]> {
  const reads = new Map<string, Read[]>();
  for (const reader of program.tensors) {
    if (reader.source.kind === 'view') addTo(reads, reader.source.base, { reader, equation: none });
    if (reader.source.kind === 'concat')
      for (const part of reader.source.parts) addTo(reads, part.tensor, { reader, equation: none });
    for (const equation of equationsOf(reader))
      for (const name of readTensors(equation)) addTo(reads, name, { reader, equation });
  }
  return reads;
}

const none: Equation = { axes: [], domain: [], store: [], reducer: 'product', value: { kind: 'constant', value: 0 } };

/** A tensor that could be a tile: an element for each point of at least two dimensions, every point stored plainly. */
function isTile(tensor: Tensor, kept: ReadonlySet<string>, reads: ReadonlyMap<string, readonly Read[]>): boolean {
  if (tensor.source.kind !== 'computed' || tensor.dtype !== 'f32' || kept.has(tensor.name)) return false;
  if (tensor.shape.filter((extent) => extent > 1).length < 2 || !reads.has(tensor.name)) return false;
  const { equations } = tensor.source;
  return (
    equations.length > 0 &&
    equations
      .map(streamed)
      .every((e) => e.reducer === 'sum' && !hasSymbol(e) && plainAxes(e, tensor.shape) !== undefined)
  );
}

/** Of a tensor that could be hidden and one that reduces it, the larger one is what is worth hiding. */
function dropSmaller(hidden: Set<string>, program: Program, reads: ReadonlyMap<string, readonly Read[]>): void {
  const sizes = new Map(program.tensors.map(({ name, shape }) => [name, elementCount(shape)]));
  const smaller = new Set<string>();
  for (const name of hidden) {
    for (const { reader, equation } of reads.get(name)!) {
      if (!hidden.has(reader.name)) continue;
      const whole = streamed(equation);
      const reduced = new Set(longReduced(whole));
      const read = loads(whole.value).filter((l) => l.tensor === name);
      const isReduced = read.some((l) =>
        l.indices.some((i) => affinesOfIndex(i).some((a) => a.terms.some((t) => reduced.has(t.axis)))),
      );
      if (isReduced) smaller.add(sizes.get(name)! <= sizes.get(reader.name)! ? name : reader.name);
    }
  }
  for (const name of smaller) hidden.delete(name);
}

/** Drops what is not read as it must be; whether there was any. */
function dropWrongly(hidden: Set<string>, reads: ReadonlyMap<string, readonly Read[]>): boolean {
  let dropped = false;
  for (const name of hidden) {
    const agree = reads
      .get(name)!
      .every(({ reader, equation }) => readsAsTile(name, reader, streamed(equation), hidden));
    if (!agree) dropped = hidden.delete(name) || dropped;
  }
  return dropped;
}

function readsAsTile(name: string, reader: Tensor, equation: Equation, hidden: ReadonlySet<string>): boolean {
  if (reader.source.kind !== 'computed' || reader.dtype !== 'f32' || hasSymbol(equation)) return false;
  const indexing = [...equation.store, ...loads(equation.value).flatMap((l) => l.indices)].flatMap(gatheredTensors);
  if (indexing.includes(name) || equation.domain.some((c) => constraintLoads(c).some((l) => l.tensor === name)))
    return false;
  const points = loads(equation.value)
    .filter((l) => l.tensor === name)
    .map((l) => pointOf(l, equation));
  if (points.includes(undefined)) return false;
  const axes = new Set(points.flatMap((point) => point!.filter((axis) => axis !== undefined)));
  const reduced = longReduced(equation);
  if (reduced.every((axis) => !axes.has(axis)) && (hidden.has(reader.name) || isMapped(equation, reader))) return true;
  return !hidden.has(reader.name) && isReduction(equation, reader, hidden);
}

/** Whether each point of the equation is an element of its own. */
function isMapped(equation: Equation, reader: Tensor): boolean {
  return equation.reducer === 'sum' && isPointwise(equation, reader.shape);
}

/** Axes of more than one value that the equation reduces. */
const longReduced = (equation: Equation): readonly number[] =>
  reducedAxes(equation).filter((axis) => equation.axes[axis].extent > 1);

const isContracted = (equation: Equation): boolean => longReduced(equation).length > 0;

/** The axis at which each dimension is read, none for those of one element; undefined where it is read another way. */
function pointOf(l: Load, { axes }: Equation): readonly (number | undefined)[] | undefined {
  const point: (number | undefined)[] = [];
  for (const index of l.indices) {
    if (index.kind !== 'affine') return undefined;
    const long = { ...index, terms: index.terms.filter((t) => axes[t.axis].extent > 1) };
    const axis = asAxis(long);
    if (axis === undefined && (long.terms.length > 0 || index.constant !== 0)) return undefined;
    if (axis !== undefined && point.includes(axis)) return undefined;
    point.push(axis);
  }
  return point;
}

/** Whether the equation reduces hidden tensors over axes of theirs alone, into elements that it stores one by one. */
function isReduction(equation: Equation, reader: Tensor, hidden: ReadonlySet<string>): boolean {
  if (!['sum', 'max', 'min'].includes(equation.reducer)) return false;
  if (equation.reducer !== 'sum' && equationsOf(reader).length > 1) return false;
  const points = loads(equation.value)
    .filter((l) => hidden.has(l.tensor))
    .map((l) => pointOf(l, equation));
  const axes = new Set(points.flatMap((point) => point ?? []));
  const reduced = longReduced(equation);
  if (reduced.length === 0 || !reduced.every((axis) => axes.has(axis))) return false;
  const stored = new Set<number>();
  return equation.store.every((index, d) => {
    if (index.kind !== 'affine') return false;
    const long = index.terms.filter((t) => equation.axes[t.axis].extent > 1);
    const isOne = long.length === 0 || (long.length === 1 && long[0].coefficient === 1);
    if (!isOne && digitsOf(index, equation, reader.shape[d]) === undefined) return false;
    if (long.some(({ axis }) => stored.has(axis))) return false;
    for (const { axis } of long) stored.add(axis);
    return true;
  });
}

/** The axes that number a whole dimension as digits, `64·h + e`; undefined where they do not. */
function digitsOf(index: Affine, { axes }: Equation, extent: number): readonly number[] | undefined {
  const long = index.terms.filter((t) => axes[t.axis].extent > 1).sort((a, b) => a.coefficient - b.coefficient);
  let step = 1;
  for (const { axis, coefficient } of long) {
    if (coefficient !== step) return undefined;
    step *= axes[axis].extent;
  }
  return index.constant === 0 && step === extent ? long.map(({ axis }) => axis) : undefined;
}

/** Dimensions that are one class, by union. */
class Classes {
  private readonly parents = new Map<string, string>();

  find(key: string): string {
    let root = key;
    for (let up = this.parents.get(root); up !== undefined; up = this.parents.get(root)) root = up;
    return root;
  }

  join(a: string, b: string): void {
    const [x, y] = [this.find(a), this.find(b)];
    if (x !== y) this.parents.set(y, x);
  }
}

const dimensionKey = (name: string, d: number): string => `${name} ${d}`;

/** What stands in the way of spaces. */
interface Obstacles {
  /** Tensors that cannot be hidden. */
  readonly refused: string[];
  /** Equations that reduce both rows and walk: first a row at a time, then the rows. */
  readonly splits: { readonly tensor: Tensor; readonly equation: Equation; readonly row: number }[];
}

interface Arrangement extends Obstacles {
  readonly spaces: readonly Space[];
}

function arrange(
  program: Program,
  hidden: ReadonlySet<string>,
  reads: ReadonlyMap<string, readonly Read[]>,
): Arrangement {
  const classes = new Classes();
  const spaces = new Classes();
  const readers = new Map<string, { readonly tensor: Tensor; readonly equations: Set<Equation> }>();
  for (const tensor of program.tensors) {
    if (!hidden.has(tensor.name)) continue;
    for (const { reader, equation } of reads.get(tensor.name)!) {
      const known = readers.get(reader.name) ?? { tensor: reader, equations: new Set() };
      readers.set(reader.name, known);
      known.equations.add(equation);
    }
  }
  for (const { tensor, equations } of readers.values()) {
    for (const given of equations) {
      const equation = streamed(given);
      const at = new Map<number, string>();
      const meet = (axis: number | undefined, key: string): void => {
        if (axis === undefined) return;
        const before = at.get(axis);
        if (before === undefined) at.set(axis, key);
        else classes.join(before, key);
      };
      if (hidden.has(tensor.name))
        plainAxes(equation, tensor.shape)!.forEach((axis, d) => {
          if (tensor.shape[d] > 1) meet(axis, dimensionKey(tensor.name, d));
        });
      const read = loads(equation.value).filter((l) => hidden.has(l.tensor));
      for (const l of read) {
        for (const [d, axis] of pointOf(l, equation)!.entries()) meet(axis, dimensionKey(l.tensor, d));
        spaces.join(read[0].tensor, l.tensor);
        if (hidden.has(tensor.name)) spaces.join(tensor.name, l.tensor);
      }
    }
  }
  const members = new Map<string, Tensor[]>();
  for (const tensor of program.tensors) if (hidden.has(tensor.name)) addTo(members, spaces.find(tensor.name), tensor);
  const spacesFound: Space[] = [];
  const obstacles: Obstacles = { refused: [], splits: [] };
  for (const tensors of members.values()) {
    const names = new Map<string, Class>();
    const extentOf = new Map<Class, number>();
    const dimensions = new Map<string, readonly (Class | undefined)[]>();
    for (const { name, shape } of tensors) {
      const own = shape.map((extent, d) => {
        if (extent === 1) return undefined;
        const root = classes.find(dimensionKey(name, d));
        const id = names.get(root) ?? names.size;
        names.set(root, id);
        extentOf.set(id, extent);
        return id;
      });
      const long = own.filter((id) => id !== undefined);
      if (new Set(long).size !== long.length) obstacles.refused.push(name);
      dimensions.set(name, own);
    }
    if (obstacles.refused.length > 0) continue;
    const own = new Set(tensors.map(({ name }) => name));
    const reading = [...readers.values()].filter(
      (r) => !hidden.has(r.tensor.name) && [...r.equations].some((e) => readTensors(e).some((name) => own.has(name))),
    );
    const space = pairUp(tensors, extentOf, dimensions, reading, obstacles);
    if (space !== undefined) spacesFound.push(space);
  }
  return { spaces: spacesFound, ...obstacles };
}

type Reading = { readonly tensor: Tensor; readonly equations: ReadonlySet<Equation> };

/** The space with the pair of classes that all its results allow; what stands in the way goes into `found`. */
function pairUp(
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
  const equations = reading.flatMap((r) => [...r.equations].map(streamed));
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
      const whole = streamed(equation);
      const reduced = rolesOf(whole, classesOf(whole)).reduced;
      if (pair.every((id) => reduced.includes(id))) {
        const row = [...classesOf(whole)].find(([, id]) => id === pair[0])![0];
        found.splits.push({ tensor, equation, row });
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
      .map(streamed)
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
  const equations = given.map(streamed);
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
  const isWide = parts.some(
    (p, i) => p!.own.length > 0 || places[i].some((digits, d) => digits === undefined && tensor.shape[d] > 1),
  );
  return isWide && (isMap || equations.some((e) => e.reducer !== 'sum')) ? undefined : result;
}

const noAxis: Axis = { name: '', extent: 1 };

/** The classes of a kernel's own axes, in their order. */
export function kernelClasses({
  batch,
  outer,
  row,
  walk,
}: Pick<Result, 'batch' | 'outer' | 'row' | 'walk'>): readonly Class[] {
  return [...batch, ...outer, row, walk];
}

/** The equation over a kernel's own axes, then those that are no class of the space. */
export function inKernel(
  equation: Equation,
  classes: ReadonlyMap<number, Class>,
  order: readonly Class[],
  extentOf: ReadonlyMap<Class, number>,
): Equation {
  const own = [...equation.axes.keys()].filter((axis) => !classes.has(axis) && equation.axes[axis].extent > 1);
  const named = new Map([...classes].map(([axis, id]) => [id, equation.axes[axis].name]));
  const axes: Axis[] = [
    ...order.map((id): Axis => ({ name: named.get(id) ?? `i${id}`, extent: extentOf.get(id)! })),
    ...own.map((axis) => equation.axes[axis]),
  ];
  const place = (axis: number): Affine => {
    const id = classes.get(axis);
    if (id !== undefined) return axisIndex(order.indexOf(id));
    const position = own.indexOf(axis);
    return position < 0 ? affine(0) : axisIndex(order.length + position);
  };
  const rewrite = { affine: (a: Affine): Affine => substitute(a, place) };
  return {
    ...equation,
    axes,
    domain: equation.domain.map((c) => rewriteConstraint(c, rewrite)),
    store: equation.store.map((index) => rewriteIndex(index, rewrite)),
    value: rewriteExpression(equation.value, rewrite),
  };
}

/** Classes of a hidden tensor's axes in one of its own equations. */
export function tileClasses(equation: Equation, tensor: Tensor, space: Space): ReadonlyMap<number, Class> {
  return classesOfTile(equation, tensor, space.dimensions.get(tensor.name)!);
}

function classesOfTile(
  equation: Equation,
  tensor: Tensor,
  dimensions: readonly (Class | undefined)[],
): ReadonlyMap<number, Class> {
  const classes = new Map<number, Class>();
  plainAxes(equation, tensor.shape)!.forEach((axis, d) => {
    const id = dimensions[d];
    if (axis !== undefined && id !== undefined) classes.set(axis, id);
  });
  return classes;
}

/** A key that kernels which could be one have in common. */
export function kernelKey({ batch, outer, row, walk }: Result): string {
  return [batch, outer, row, walk].map(String).join(' | ');
}

/** Hidden tensors behind a result that alone would bind more buffers than a kernel may. */
function unbindable(space: Space, program: Program, target: Target): readonly string[] {
  const tensors = tensorMap(program);
  return space.results.flatMap(({ equations }) => {
    const below = hiddenBelow(equations, space, tensors);
    const all = [...equations, ...[...below].flatMap((name) => equationsOf(tensors.get(name)!))].flatMap(readTensors);
    const bound = new Set(all.filter((name) => !below.has(name))).size + 1;
    if (bound <= target.limits.maxStorageBuffersPerShaderStage) return [];
    return equations.flatMap(readTensors).filter((name) => space.hidden.has(name));
  });
}

// What is worth hiding.

/** Multiply-adds of a stream, and bytes, a second, on the device that the rates were measured on (an H100). */
const multiplyAddsPerS = 12e12;
const bytesPerS = 2.2e12;
/** What memory that is not needed is worth, against time. */
const preference = 2;
/** Tiles of rows, of `tileRows`, that keep at least half of such a device at work. */
const leastTiles = 66;
const tileRows = 64;
/** Rows, and points of a walk, that fill a tile at least half. */
const leastSide = 16;
/** Hiding what is no larger than what it is made of saves nothing. */
const leastGrowth = 1.5;

/** The tensors of a space that is better stored. */
function notWorth(space: Space, program: Program, target: Target): readonly string[] {
  const tensors = tensorMap(program);
  const kernels = new Map<string, Set<string>>();
  const starved = new Set<string>();
  for (const result of space.results) {
    const batches = elementCount(result.batch.map((id) => space.extentOf.get(id)!));
    const isStarved = batches * Math.ceil(space.extentOf.get(result.row)! / tileRows) < leastTiles;
    for (const name of hiddenBelow(result.equations, space, tensors)) {
      if (isStarved) starved.add(name);
      const known = kernels.get(name) ?? new Set();
      kernels.set(name, known.add(kernelKey(result)));
    }
  }
  for (const results of groupsByKernel(space)) {
    // Where a kernel cannot bind all, what it makes again it makes twice.
    const below = hiddenBelow(
      results.flatMap((r) => r.equations),
      space,
      tensors,
    );
    const read = [...below]
      .flatMap((name) => equationsOf(tensors.get(name)!))
      .concat(results.flatMap((r) => r.equations));
    const bound = new Set([...read.flatMap(readTensors), ...results.map((r) => r.tensor.name)]);
    const count = [...bound].filter((name) => !below.has(name)).length;
    if (count > target.limits.maxStorageBuffersPerShaderStage) for (const name of below) starved.add(name);
  }
  const [domain] = space.results.map((r) => r.equations[0]);
  const share = pointsInDomain(domain.axes, domain.domain) / elementCount(domain.axes.map((a) => a.extent));
  const isTooSmall = space.pair.some((id) => space.extentOf.get(id)! < leastSide);
  const dear = [...space.hidden].filter((name) => {
    const tensor = tensors.get(name)!;
    const bytes = 4 * elementCount(tensor.shape);
    if (bytes > target.limits.maxStorageBufferBindingSize) return false;
    if (target.class === 'cpu' || starved.has(name)) return true;
    const contracted = equationsOf(tensor).map(streamed).filter(isContracted);
    if (contracted.length === 0) return false;
    if (isTooSmall || !contracted.every((e) => isProductOfSides(e, tensor, space))) return true;
    const sources = contracted.flatMap((e) => loads(e.value)).filter((l) => !space.hidden.has(l.tensor));
    const largest = Math.max(0, ...sources.map((l) => elementCount(tensors.get(l.tensor)!.shape)));
    if (elementCount(tensor.shape) < leastGrowth * largest) return true;
    const again = (kernels.get(name)?.size ?? 1) - 1;
    const points = contracted.reduce((n, e) => n + pointsInDomain(e.axes, e.domain), 0);
    const cost = (again * points * (contracted.some((e) => e.domain.length > 0) ? 1 : share)) / multiplyAddsPerS;
    const saved = (bytes * (2 + again)) / bytesPerS;
    return cost > preference * saved;
  });
  // Where scores must be stored, nothing is won by making again what is made from them.
  return dear.length > 0 || !hasContraction(space, tensors) ? [...space.hidden] : [];
}

/** Whether a contraction has one side of rows and one of the walk; else each element is computed by itself, from memory. */
function isProductOfSides(equation: Equation, tensor: Tensor, space: Space): boolean {
  const others = [...space.extentOf.keys()].filter((id) => !space.pair.includes(id));
  const order = [...others, ...space.pair];
  const own = inKernel(equation, tileClasses(equation, tensor, space), order, space.extentOf);
  return asProduct(own, streamAxes({ batch: others.map(() => noAxis), outer: [] }), space.hidden) !== undefined;
}

function groupsByKernel(space: Space): readonly (readonly Result[])[] {
  const groups = new Map<string, Result[]>();
  for (const result of space.results) addTo(groups, kernelKey(result), result);
  return [...groups.values()];
}

function hasContraction(space: Space, tensors: ReadonlyMap<string, Tensor>): boolean {
  return [...space.hidden].some((name) => equationsOf(tensors.get(name)!).map(streamed).some(isContracted));
}

/** The hidden tensors that equations need, those behind others too. */
export function hiddenBelow(
  equations: readonly Equation[],
  space: Pick<Space, 'hidden'>,
  tensors: ReadonlyMap<string, Tensor>,
): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (e: Equation): void => {
    for (const name of readTensors(e)) {
      if (!space.hidden.has(name) || found.has(name)) continue;
      for (const below of equationsOf(tensors.get(name)!)) visit(below);
      found.add(name);
    }
  };
  for (const e of equations) visit(e);
  return found;
}
