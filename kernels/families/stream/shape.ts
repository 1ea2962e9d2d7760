/**
 * What a stream's equations are to its tiles: the products that are contracted in slabs, the two sides of a sum, and which stretch of
 * the walk a tile of rows needs.
 *
 * Axes are numbered as `StreamKernel` says: batch, outer, row, walk, then the equation's own. The trap: a term that is no product of a
 * side of rows and a side of the walk is still right, computed element by element from memory; only slower.
 */
import { asAxis, coefficientOf, decide, isAffine } from '../../../compiler/ir/affine.ts';
import { axesOf, constraintAxes, loads, product } from '../../../compiler/ir/expression.ts';
import { constraintKey, expressionKey } from '../../../compiler/ir/hash.ts';
import type { Affine, Constraint, Equation, Expression } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import type { StreamKernel, StreamStatement } from '../../kernel.ts';

/** The kernel's own axes, by position. */
export interface StreamAxes {
  readonly row: number;
  readonly walk: number;
  /** The first axis that is an equation's own. */
  readonly own: number;
}

export function streamAxes({ batch, outer }: Pick<StreamKernel, 'batch' | 'outer'>): StreamAxes {
  const row = batch.length + outer.length;
  return { row, walk: row + 1, own: row + 2 };
}

/** An equation whose value is a factor of rows times a factor of the walk, both over axes of its own, times a scale of neither. */
export interface TwoSided {
  readonly equation: Equation;
  readonly left: Expression;
  readonly right: Expression;
  readonly scale: Expression;
  /** The equation's own axes of more than one value. */
  readonly own: readonly number[];
  readonly onLeft: readonly Constraint[];
  readonly onRight: readonly Constraint[];
  /** Those of row and walk. */
  readonly onTile: readonly Constraint[];
}

function factorsOf({ value }: Equation): readonly Expression[] {
  return value.kind === 'product' ? value.factors : [value];
}

/** Constraints that may fail. */
function pending(equation: Equation): readonly Constraint[] {
  return equation.domain.filter((c) => decide(c, equation.axes) !== 'always');
}

/** A tile's term as a contraction over the equation's own axes; undefined where it is none. `held` are the tiles themselves. */
export function asProduct(equation: Equation, axes: StreamAxes, held: ReadonlySet<string>): TwoSided | undefined {
  const isOwn = (axis: number): boolean => axis >= axes.own;
  const [left, right, scale]: Expression[][] = [[], [], []];
  for (const factor of factorsOf(equation)) {
    const over = axesOf(factor);
    if (!over.some(isOwn)) scale!.push(factor);
    else if (loads(factor).some((l) => held.has(l.tensor))) return undefined;
    else if (!over.includes(axes.walk)) left!.push(factor);
    else if (!over.includes(axes.row)) right!.push(factor);
    else return undefined;
  }
  const [onLeft, onRight, onTile]: Constraint[][] = [[], [], []];
  for (const c of pending(equation)) {
    const over = constraintAxes(c);
    if (!over.some(isOwn)) onTile!.push(c);
    else if (!over.includes(axes.walk)) onLeft!.push(c);
    else if (!over.includes(axes.row)) onRight!.push(c);
    else return undefined;
  }
  const own = ownAxes(equation, axes);
  if (own.length === 0) return undefined;
  return {
    equation,
    left: product(left!),
    right: product(right!),
    scale: product(scale!),
    own,
    onLeft: onLeft!,
    onRight: onRight!,
    onTile: onTile!,
  };
}

export function ownAxes(equation: Equation, axes: StreamAxes): readonly number[] {
  return [...equation.axes.keys()].filter((axis) => axis >= axes.own && equation.axes[axis].extent > 1);
}

/** A whole number that says for which place along an axis an element of a tile is. */
export interface Place {
  readonly axis: number;
  readonly at: Expression;
}

/** What a constraint says so of a column that stands in it alone: `t - u - n == 0`, `bucket[t, u] == n`. */
function placeOf(constraint: Constraint, isColumn: (axis: number) => boolean): Place | undefined {
  if (constraint.kind === 'zero') {
    const { terms } = constraint.affine;
    const [only, ...others] = terms.filter((t) => isColumn(t.axis));
    if (only?.coefficient !== -1 || others.length > 0) return undefined;
    const rest = { ...constraint.affine, terms: terms.filter((t) => t !== only) };
    return { axis: only.axis, at: { kind: 'index', affine: rest } };
  }
  if (constraint.kind !== 'data' || constraint.operator !== '==') return undefined;
  const { left, right } = constraint;
  const axis = right.kind === 'index' ? asAxis(right.affine) : undefined;
  if (axis === undefined || !isColumn(axis)) return undefined;
  return { axis, at: left };
}

/** A sum's term. Where a whole number says for which column an element of the tile is, nothing is on the right. */
export interface SummedTile extends TwoSided {
  readonly place: Place | undefined;
}

/** A sum's term: `left` is what it takes of a tile, `right` is of the walk and the columns; undefined where they do not part. */
export function asSum(equation: Equation, axes: StreamAxes, held: ReadonlySet<string>): SummedTile | undefined {
  const isOwn = (axis: number): boolean => axis >= axes.own;
  const own = ownAxes(equation, axes);
  const [left, right]: Expression[][] = [[], []];
  for (const factor of factorsOf(equation)) {
    const over = axesOf(factor);
    if (!over.some(isOwn)) left!.push(factor);
    else if (over.includes(axes.row) || loads(factor).some((l) => held.has(l.tensor))) return undefined;
    else right!.push(factor);
  }
  const [onRight, onTile]: Constraint[][] = [[], []];
  let place: Place | undefined;
  for (const c of pending(equation)) {
    const over = constraintAxes(c);
    if (!over.some(isOwn)) onTile!.push(c);
    else {
      const found = place === undefined && right!.length === 0 && own.length === 1 ? placeOf(c, isOwn) : undefined;
      place ??= found;
      if (found !== undefined) continue;
      if (over.includes(axes.row)) return undefined;
      onRight!.push(c);
    }
  }
  if (place !== undefined && onRight!.length > 0) return undefined;
  return {
    equation,
    left: product(left!),
    right: product(right!),
    scale: product([]),
    own,
    onLeft: [],
    onRight: onRight!,
    onTile: onTile!,
    place,
  };
}

/** The same of a sum across: `right` is of the rows and the columns. */
export const asSumAcross = (
  equation: Equation,
  { row, walk, own }: StreamAxes,
  held: ReadonlySet<string>,
): SummedTile | undefined => asSum(equation, { row: walk, walk: row, own }, held);

/** What a sum takes of a tile, and where, as a text: sums of one key take the same. */
export const takenKey = ({ left, onTile }: Pick<TwoSided, 'left' | 'onTile'>): string =>
  [expressionKey(left), ...onTile.map(constraintKey)].join(' ');

export function tilesOf(kernel: StreamKernel): ReadonlySet<string> {
  return new Set(kernel.statements.filter((s) => s.kind === 'tile').map((s) => s.tensor));
}

/** A dimension of a sum's tensor that columns run over, wholly or as digits of it: e of `y[n, t, 64·h + e]` or of `y[n, t, 8·e + h]`. */
export interface ColumnDimension {
  readonly dimension: number;
  readonly extent: number;
  /** What the kernel's own axes add to the column's place. */
  readonly base: Affine;
  /** From one column to the next along the dimension. */
  readonly step: number;
}

export function columnDimensions(
  { equations }: Pick<StreamStatement, 'equations'>,
  shape: readonly number[],
  axes: StreamAxes,
): readonly ColumnDimension[] {
  const [{ store, axes: all }] = equations;
  return store.flatMap((index, dimension): ColumnDimension[] => {
    const terms = (index as Affine).terms.filter((t) => all[t.axis].extent > 1);
    const base: Affine = { kind: 'affine', constant: 0, terms: terms.filter((t) => t.axis < axes.own) };
    const own = terms.filter((t) => t.axis >= axes.own);
    if (base.terms.length === 0) return [{ dimension, extent: shape[dimension], base, step: 1 }];
    return own.length === 0 ? [] : [{ dimension, extent: all[own[0].axis].extent, base, step: own[0].coefficient }];
  });
}

/** Length of a row of a sum: its columns. */
export function columnsOf(statement: StreamStatement, shape: readonly number[], axes: StreamAxes): number {
  return elementCount(columnDimensions(statement, shape, axes).map(({ extent }) => extent));
}

/** How far along the walk a tile of rows must go: WGSL of the first and of the end. */
export interface WalkRange {
  readonly from: string;
  readonly to: string;
  /** Later rows have further to go. */
  readonly grows: boolean;
}

/** A tile of rows: its first row in WGSL, its length. */
export interface RowTile {
  readonly start: string;
  readonly rows: number;
}

/** The range that all results of the kernel need together. */
export function walkRange(kernel: StreamKernel, tile: RowTile, bound: string): WalkRange {
  const axes = streamAxes(kernel);
  const results = kernel.statements.filter((s) => s.kind !== 'tile' && s.kind !== 'row');
  // What is stored at every point is 0 where it has no value.
  const all: WalkBounds = { from: [], to: [] };
  const ranges = results.flatMap((s) =>
    s.kind === 'map' ? [all] : s.equations.map((e) => rangeOf(e, kernel, axes, tile)),
  );
  const common = (list: readonly (readonly string[])[], join: string): readonly string[] => {
    if (list.some((bounds) => bounds.length === 0)) return [];
    const each = list.map((bounds) => nested(bounds, join === 'max' ? 'min' : 'max'));
    return [nested([...new Set(each)], join)];
  };
  const to = common(
    ranges.map((r) => r.to),
    'max',
  );
  const from = common(
    ranges.map((r) => r.from),
    'min',
  );
  return {
    from: from.length === 0 ? '0' : `max(0, ${from[0]})`,
    to: to.length === 0 ? bound : `min(${bound}, ${to[0]})`,
    grows: to.length > 0,
  };
}

interface WalkBounds {
  readonly from: readonly string[];
  readonly to: readonly string[];
}

function nested(texts: readonly string[], call: string): string {
  return texts.reduce((a, b) => `${call}(${a}, ${b})`);
}

function rangeOf(equation: Equation, kernel: StreamKernel, { row, walk }: StreamAxes, tile: RowTile): WalkBounds {
  const [from, to]: string[][] = [[], []];
  for (const c of equation.domain) {
    if (!isAffine(c) || c.kind === 'nonzero') continue;
    if (!c.affine.terms.every((t) => t.axis === row || t.axis === walk)) continue;
    for (const affine of c.kind === 'zero' ? [c.affine, negated(c.affine)] : [c.affine]) {
      const along = coefficientOf(affine, walk);
      if (Math.abs(along) !== 1) continue;
      const most = largest(affine, row, tile, kernel.row.extent);
      if (along < 0) to!.push(`${most} + 1`);
      else from!.push(`-(${most})`);
    }
  }
  return { from: from!, to: to! };
}

function negated(a: Affine): Affine {
  return { ...a, constant: -a.constant, terms: a.terms.map((t) => ({ ...t, coefficient: -t.coefficient })) };
}

/** The largest value in a tile of what an affine map takes of its rows and its constant. */
function largest(a: Affine, row: number, { start, rows }: RowTile, extent: number): string {
  const factor = coefficientOf(a, row);
  if (factor === 0) return String(a.constant);
  const place = factor > 0 ? `min(${start} + ${rows - 1}, ${extent - 1})` : start;
  const scaled = Math.abs(factor) === 1 ? place : `${Math.abs(factor)} * ${place}`;
  const text = factor < 0 ? `-${scaled}` : scaled;
  return a.constant === 0 ? text : a.constant > 0 ? `${text} + ${a.constant}` : `${text} - ${-a.constant}`;
}

/** WGSL of whether anything of a tile can be within constraints of row and walk; empty where they say nothing of whole tiles. */
export function touches(
  constraints: readonly Constraint[],
  kernel: StreamKernel,
  rows: RowTile,
  columns: RowTile,
): readonly string[] {
  const { row, walk } = streamAxes(kernel);
  return constraints.flatMap((c): string[] => {
    if (c.kind === 'data') {
      const size = blockSize(c, { row, walk });
      if (size === undefined) return [];
      const last = (t: RowTile): string => `(${t.start} + ${t.rows - 1}) / ${size}`;
      return [`${rows.start} / ${size} <= ${last(columns)}`, `${columns.start} / ${size} <= ${last(rows)}`];
    }
    if (c.kind !== 'nonnegative' || !c.affine.terms.every((t) => t.axis === row || t.axis === walk)) return [];
    return [`${largestOfTile({ ...c.affine, constant: 0 }, kernel, rows, columns)} >= ${-c.affine.constant}`];
  });
}

/** WGSL of whether something of a tile lies outside constraints of row and walk; undefined where that is not told of a tile as a whole. */
export function leavesOut(
  constraints: readonly Constraint[],
  kernel: StreamKernel,
  rows: RowTile,
  columns: RowTile,
): string | undefined {
  const { row, walk } = streamAxes(kernel);
  const texts = constraints.map((c): string | undefined => {
    if (!isAffine(c) || !c.affine.terms.every((t) => t.axis === row || t.axis === walk)) return undefined;
    const { constant } = c.affine;
    const most = (a: Affine): string => largestOfTile({ ...a, constant: 0 }, kernel, rows, columns);
    const [largest, least] = [most(c.affine), most(negated(c.affine))];
    switch (c.kind) {
      case 'nonnegative':
        return `${least} > ${constant}`;
      case 'zero':
        return `(${largest} > ${-constant} || ${least} > ${constant})`;
      case 'nonzero':
        return `(${largest} >= ${-constant} && ${least} >= ${constant})`;
      default:
        return c satisfies never;
    }
  });
  return texts.length > 0 && texts.every((text) => text !== undefined) ? texts.join(' || ') : undefined;
}

/** WGSL of the largest value in a tile of what is affine in row and walk, without a constant. */
function largestOfTile(a: Affine, kernel: StreamKernel, rows: RowTile, columns: RowTile): string {
  const { row, walk } = streamAxes(kernel);
  const parts = [largest(a, row, rows, kernel.row.extent), largest(a, walk, columns, kernel.walk.extent)];
  return parts
    .filter((text) => text !== '0')
    .join(' + ')
    .replaceAll('+ -', '- ');
}

/** The size of the blocks, where a constraint says that row and walk lie in one block. */
export function blockSize(c: Constraint, { row, walk }: Pick<StreamAxes, 'row' | 'walk'>): number | undefined {
  if (c.kind !== 'data' || c.operator !== '==') return undefined;
  const [a, b] = [blockOf(c.left), blockOf(c.right)];
  if (a === undefined || b === undefined || a.size !== b.size) return undefined;
  return (a.axis === row && b.axis === walk) || (a.axis === walk && b.axis === row) ? a.size : undefined;
}

function blockOf(e: Expression): { readonly axis: number; readonly size: number } | undefined {
  if (e.kind !== 'binary' || e.operator !== 'quotient' || e.left.kind !== 'index' || e.right.kind !== 'constant')
    return undefined;
  const { constant, terms } = e.left.affine;
  const [term] = terms;
  if (constant !== 0 || terms.length !== 1 || term.coefficient !== 1) return undefined;
  return { axis: term.axis, size: e.right.value };
}

/** The shape that a statement's equations store to: of one piece, where several have a sum each. */
export const shapeOfPiece = (
  { kind }: StreamStatement,
  shape: readonly number[],
  { pieces }: StreamKernel,
): readonly number[] => (kind === 'across' && pieces!.count > 1 ? shape.slice(1) : shape);
