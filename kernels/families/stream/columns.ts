/**
 * The columns of a stream's sums: how many quads of them a lane has, which of them an equation adds to, what they take of a point of
 * the walk and how that is read, and where they are stored.
 */

import { constraintLoads, loads } from '../../../compiler/ir/expression.ts';
import type { Affine, Equation } from '../../../compiler/ir/program.ts';
import type { StreamStatement } from '../../kernel.ts';
import { affineText, constraintText } from '../../parts/address.ts';
import { coordinate, flatIndex } from '../../parts/linear.ts';
import { runsInQuads, type WideLoad, wideLoad, wideText } from '../../parts/loads.ts';
import { expressionText } from '../../parts/scalar.ts';
import type { Scope } from '../../parts/scope.ts';
import { f32Literal, guarded, operand, plus } from '../../wgsl/text.ts';
import {
  batchNames,
  clamped,
  loopOver,
  overRows,
  readyOf,
  type StreamCode,
  scopeOf,
  shapeOf,
  sideFunction,
  sizesOf,
  storeText,
} from './code.ts';
import { scaleOfColumn, scaleOfQuad, splitLevels } from './levels.ts';
import { columnDimensions, columnsOf, type TwoSided } from './shape.ts';
import { stagedQuads } from './tuning.ts';

export function sumQuads(s: StreamStatement, w: StreamCode): number {
  const joint = w.joints.get(s.tensor);
  if (joint !== undefined) return Math.ceil(joint.quads / w.tuning.threadColumns);
  return Math.ceil(columnsOf(s, shapeOf(s, w), w.axes) / (4 * columnLanes(s, w)));
}

/** Lanes that share a result's columns, a quad each in turns. */
export const columnLanes = ({ kind }: StreamStatement, w: StreamCode): number =>
  kind === 'across' ? acrossLanes(w).columns : w.tuning.threadColumns;

/**
 * How lanes share what they sum across: so many columns, in quads, each with so many points of a tile's walk, as many for each lane as leave
 * the fewest without any, but four at most.
 */
export function acrossLanes(w: StreamCode): {
  readonly columns: number;
  readonly points: number;
  readonly ofLane: number;
} {
  const { threads, tileColumns } = sizesOf(w.tuning);
  const sums = w.kernel.statements.filter(({ kind }) => kind === 'across');
  const quads = Math.max(...sums.map((s) => Math.ceil(columnsOf(s, shapeOf(s, w), w.axes) / 4)));
  let columns = w.tuning.threadRows;
  while (columns % 2 === 0 && columns / 2 >= quads && threads / (columns / 2) <= tileColumns) columns /= 2;
  const points = threads / columns;
  return { columns, points, ofLane: tileColumns / points };
}

/** The columns that an equation adds to: all, or where it has one dimension of them a stretch. */
export function columnSpan(
  s: StreamStatement,
  equation: Equation,
  w: StreamCode,
): { readonly from: number; readonly to: number } {
  const shape = shapeOf(s, w);
  const all = { from: 0, to: columnsOf(s, shape, w.axes) };
  const [only, ...others] = columnDimensions(s, shape, w.axes).filter(({ extent }) => extent > 1);
  if (only === undefined || others.length > 0 || only.base.terms.length > 0) return all;
  const index = equation.store[only.dimension] as Affine;
  const [term, ...more] = index.terms;
  if (more.length > 0) return all;
  if (term === undefined) return { from: index.constant, to: index.constant + 1 };
  return { from: index.constant, to: index.constant + (equation.axes[term.axis].extent - 1) * term.coefficient + 1 };
}

/** The levels whose columns are the sum's first ones, if no other term adds to those. */
export function levelsOfSum(s: StreamStatement, w: StreamCode): ReturnType<typeof splitLevels> {
  const equations = s.equations.map((equation) => readyOf(w, equation));
  const { levels, others } = splitLevels(equations, w.axes);
  const none = { levels: undefined, others: equations };
  if (levels === undefined) return none;
  const columns = levels.levels.at(-1)!.to;
  const { from, to } = columnSpan(s, levels.equation, w);
  const areTheirs = from === 0 && to === columns && others.every((e) => columnSpan(s, e, w).from >= columns);
  return areTheirs ? { levels, others } : none;
}

/**
 * What of a sum's right side is staged at once: `depth` of the points that are added up, of the walk or, across, of the rows; `quads` quads of
 * columns from `firstQuad` on, of `columns`.
 */
export interface Staged {
  readonly columns: number;
  readonly firstQuad: number;
  readonly quads: number;
  readonly depth: number;
}

export function stagedOf(s: StreamStatement, equation: Equation, w: StreamCode): Staged {
  const { from, to } = columnSpan(s, equation, w);
  const firstQuad = Math.floor(from / 4);
  const quads = Math.ceil(to / 4) - firstQuad;
  const columns = columnsOf(s, shapeOf(s, w), w.axes);
  return { columns, firstQuad, quads, depth: stagedPoints(s, quads, w) };
}

/** Points of a tile that a sum adds up: of the walk, or across those of the rows, which come in fours. */
export function summedPoints({ kind }: StreamStatement, { tuning }: StreamCode): number {
  const { tileRows, tileColumns } = sizesOf(tuning);
  return kind === 'across' ? tileRows : tileColumns;
}

/** How many of them are staged at once, of so many quads of columns. */
export function stagedPoints(s: StreamStatement, quads: number, w: StreamCode): number {
  const most = Math.max(1, 2 ** Math.floor(Math.log2(Math.max(1, stagedQuads / quads))));
  const staged = Math.min(summedPoints(s, w), w.tuning.depth, most);
  return s.kind === 'across' ? Math.max(4, staged - (staged % 4)) : staged;
}

/** The axis that a sum adds up, and its other side is of. */
const summedAxis = ({ kind }: StreamStatement, { axes }: StreamCode): number =>
  kind === 'across' ? axes.row : axes.walk;

/** WGSL of the quad `quad` of what is staged, at the place `place` of what is added up. */
export function stagedColumns(s: StreamStatement, p: TwoSided, staged: Staged, w: StreamCode): string {
  const { columns, firstQuad, quads } = staged;
  const wide = wideColumns(s, p, staged, w);
  if (wide !== undefined) {
    const own = new Map([
      [summedAxis(s, w), 'place'],
      [p.own[0], 'quad * 4'],
    ]);
    return wideText(wide, scopeOf(w, p.equation, own));
  }
  const right = columnFunction(s, p, w);
  const values = [0, 1, 2, 3].map((c) => {
    const column = plus('quad * 4', c + firstQuad * 4);
    const inside = clamped(column, (firstQuad + quads) * 4 <= columns, columns);
    return `${right}(${[...batchNames(w), 'place', inside].join(', ')})`;
  });
  return `vec4<f32>(${values.join(', ')})`;
}

/** The quads that all columns of a sum are in memory, where the kernel reads nothing else of their buffer: elements out of quads take longer. */
function wideColumns(s: StreamStatement, p: TwoSided, { columns, quads }: Staged, w: StreamCode): WideLoad | undefined {
  const { right, own, equation, onRight } = p;
  const shape = shapeOf(s, w);
  const along = columnDimensions(s, shape, w.axes).filter(({ extent }) => extent > 1);
  const isAll = along.length === 1 && own.length === 1 && equation.axes[own[0]].extent === columns;
  if (!isAll || onRight.length > 0 || quads * 4 !== columns || right.kind !== 'load') return undefined;
  const slotOf = (tensor: string): string => w.emitter.layout(tensor).slot;
  const readers = w.kernel.statements
    .flatMap(({ equations }) => equations)
    .flatMap((e) => [...loads(e.value), ...e.domain.flatMap(constraintLoads)])
    .filter(({ tensor }) => !w.variables.has(tensor) && slotOf(tensor) === slotOf(right.tensor));
  return readers.length > 1 ? undefined : wideLoad(right, own[0], equation.axes, (name) => w.emitter.layout(name));
}

/** `fn right_y(b, h, u, e)`: what a column takes of a point that is added up; 0 for columns that the equation does not add to. */
function columnFunction(s: StreamStatement, p: TwoSided, w: StreamCode): string {
  const { emitter, axes } = w;
  const { equation } = p;
  const name = emitter.global(s.kind === 'across' ? 'side_of_rows' : 'side_of_walk');
  const shape = shapeOf(s, w);
  const dimensions = columnDimensions(s, shape, axes);
  const extents = dimensions.map(({ extent }) => extent);
  const [place, e] = [emitter.fresh('place'), emitter.fresh('element')];
  const more = new Map<number, string>([[summedAxis(s, w), place]]);
  const lines: string[] = [];
  const conditions: string[] = [];
  dimensions.forEach(({ dimension, extent }, i) => {
    if (extent === 1) return;
    const at = extents.filter((other) => other > 1).length === 1 ? e : coordinate(e, extents, i);
    const store = equation.store[dimension] as Affine;
    const term = store.terms.find(({ axis }) => axis >= axes.own);
    if (term === undefined) conditions.push(`${at} == ${store.constant}`);
    else {
      const axis = equation.axes[term.axis];
      const isWhole = store.constant === 0 && axis.extent === extent;
      if (isWhole && at === e) more.set(term.axis, e);
      else {
        const own = emitter.named(axis.name);
        lines.push(`let ${own} = ${store.constant === 0 ? at : `${at} - ${store.constant}`};`);
        more.set(term.axis, own);
        if (!isWhole && axis.extent > 1) conditions.push(`${own} >= 0`, `${own} < ${axis.extent}`);
        if (!isWhole && axis.extent === 1) conditions.push(`${own} == 0`);
      }
    }
  });
  const scope: Scope = { ...scopeOf(w, equation, more), unguarded: true };
  conditions.push(...p.onRight.map((c) => constraintText(c, scope)));
  sideFunction(name, [place, e], lines, conditions, expressionText(p.right, scope), w);
  return name;
}

/** WGSL of where a column of a sum lies, along its column dimensions. */
export function columnPlaces(s: StreamStatement, w: StreamCode, element = 'element'): ReadonlyMap<number, string> {
  const shape = shapeOf(s, w);
  const dimensions = columnDimensions(s, shape, w.axes);
  const places = new Map<number, string>();
  const extents = dimensions.map(({ extent }) => extent);
  const isSingle = extents.filter((extent) => extent > 1).length === 1;
  // The columns' dimensions lie behind one another in memory more often than not, else each has its coordinate.
  const scope = scopeOf(w, s.equations[0]);
  dimensions.forEach(({ dimension, extent, base, step }, i) => {
    if (shape[dimension] === 1) return;
    const column = extent === 1 ? '0' : isSingle ? element : `(${coordinate(operand(element), extents, i)})`;
    const own = step === 1 ? column : `${step} * ${operand(column)}`;
    places.set(dimension, base.terms.length === 0 ? own : `${affineText(base, scope)} + ${own}`);
  });
  return places;
}

/**
 * The place of four columns of a sum from `element` on, where they lie in one quad of memory and tiles come out of matrices: neighbours have
 * neighbouring quads of a row then, and element by element each would ask for a sector of memory four times.
 */
export function quadOfColumns(s: StreamStatement, w: StreamCode): string | undefined {
  const { emitter, axes } = w;
  const [equation] = s.equations;
  const { shape, start } = emitter.layout(s.tensor);
  const flat = flatIndex(shape, equation.store);
  if (!w.tuning.matrices || flat === undefined || start % 4 !== 0) return undefined;
  if (!runsInQuads(flat, axes.own, equation.axes)) return undefined;
  return emitter.writesQuad(s.tensor, affineText(flat, scopeOf(w, equation, new Map([[axes.own, 'element']]))));
}

/** Stores a sum's rows. */
export function finishSum(s: StreamStatement, exists: readonly string[], w: StreamCode): string {
  const { emitter, tuning, axes } = w;
  const name = w.variables.get(s.tensor)!;
  const { shape } = emitter.layout(s.tensor);
  const columns = columnsOf(s, shape, axes);
  const quads = sumQuads(s, w);
  const member = w.joints.get(s.tensor)?.members.find(({ sum }) => sum === s);
  const lines: string[] = [];
  const factor = emitter.fresh('factor');
  if (s.finish !== undefined) lines.push(`let ${factor} = ${expressionText(s.finish, scopeOf(w, s.equations[0]))};`);
  const places = columnPlaces(s, w);
  const inner: string[] = [];
  const { levels, others } = levelsOfSum(s, w);
  const beyond = others.length === 0 ? [] : [{ to: columns, block: undefined, scale: 1 }];
  const scaled = levels && { ...levels, levels: [...levels.levels, ...beyond] };
  const factors = [
    `${name}[own_row${quads === 1 ? '' : ` * ${quads} + quad`}][own_column]`,
    ...(s.finish === undefined ? [] : [factor]),
    ...(scaled === undefined ? [] : scaleOfColumn(scaled, 'element', w)),
    ...(member === undefined || member.factor === 1 ? [] : [f32Literal(member.factor)]),
  ];
  const wide = quadOfColumns(s, w);
  if (wide !== undefined) {
    const scale = scaled === undefined ? [] : scaleOfQuad(scaled, 'element', w);
    const value = [`${name}[own_row * ${quads} + quad]`, ...(s.finish === undefined ? [] : [factor]), ...scale];
    const store = [`let element = (lane_x + quad * ${tuning.threadColumns}) * 4;`, `${wide} = ${value.join(' * ')};`];
    return overRows(w, guarded(exists, [...lines, loopOver('quad', quads, store.join('\n'), w)].join('\n')));
  }
  const store = `${emitter.writes(s.tensor, storeText(s, s.equations[0], places, w))} = ${factors.join(' * ')};`;
  const firstQuad = member?.firstQuad ?? 0;
  const quad = plus(quads === 1 ? 'lane_x' : `lane_x + quad * ${tuning.threadColumns}`, -firstQuad);
  inner.push(`let element = ${quad === 'lane_x' ? quad : `(${quad})`} * 4 + own_column;`);
  const inside = [
    ...(firstQuad === 0 ? [] : ['element >= 0']),
    ...(columns === (quads * tuning.threadColumns - firstQuad) * 4 ? [] : [`element < ${columns}`]),
  ];
  inner.push(inside.length === 0 ? store : `if (${inside.join(' && ')}) { ${store} }`);
  const overColumns = loopOver('own_column', 4, inner.join('\n'), w);
  const overQuads = quads === 1 ? overColumns : loopOver('quad', quads, overColumns, w);
  return overRows(w, guarded(exists, [...lines, overQuads].join('\n')));
}
