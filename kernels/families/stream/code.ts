/**
 * What the parts of a stream's code share: its names, the loops over a lane's rows and over the elements that it holds of a tile,
 * and where an equation is written there.
 */
import type { Affine, Constraint, Equation, Load } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import type { StreamKernel, StreamStatement } from '../../kernel.ts';
import { affineText, constraintText } from '../../parts/address.ts';
import { flattenLoads, strides } from '../../parts/linear.ts';
import type { Scope } from '../../parts/scope.ts';
import type { Emitter } from '../../wgsl/emitter.ts';
import { indent, wgsl } from '../../wgsl/text.ts';
import type { Joint } from './joint.ts';
import type { LaneOrder } from './lanes.ts';
import { type RowTile, type StreamAxes, shapeOfPiece } from './shape.ts';
import type { StreamTuning } from './tuning.ts';

/** What the code of a tile calls the columns of its levels. */
export interface LevelNames {
  /** `fn leading(row, column)`: how many columns count. */
  readonly leading: string;
  /** How many count for some element of the tile, and how many for all. */
  readonly most: string;
  readonly least: string;
}

/** What the parts of one stream's code share. */
export interface StreamCode {
  readonly kernel: StreamKernel;
  readonly axes: StreamAxes;
  readonly emitter: Emitter;
  readonly tuning: StreamTuning;
  /** WGSL of the kernel's own axes. */
  readonly names: ReadonlyMap<number, string>;
  readonly tiles: ReadonlySet<string>;
  /** Variables: tiles and sums are arrays of vec4 (a row, four columns), what a row has is an array of vec4 of four rows. */
  readonly variables: Map<string, string>;
  readonly rowTile: RowTile;
  readonly columnTile: RowTile;
  readonly lanes: LaneOrder;
  readonly shuffles: boolean;
  /** Functions written so far, and the names of those that are called more than once. */
  readonly functions: string[];
  readonly shared: Map<string, string>;
  /** What is found at the beginning of a tile: of levels of columns, by what they are. */
  readonly tileHead: string[];
  readonly levels: Map<string, LevelNames>;
  /** Of sums that are made as one, by name. */
  readonly joints: Map<string, Joint>;
  /** What of a tile lies exchanged in workgroup memory, when a result is asked for its step. */
  exchanged: string | undefined;
  /** Arrays of what has been taken of a tile out of matrices, by what that is (`matrix-masks.ts`). */
  readonly taken: Map<string, string>;
  /** Quads of workgroup memory: slabs or an exchanged tile, and behind them a sum's right side. */
  readonly exchangeQuads: number;
  stagedQuads: number;
  /** WGSL of what is known of rows and of columns before the tile (`matrix-points.ts`). */
  pointValues?: ((load: Load, equation: Equation) => string | undefined) | undefined;
}

/** Rows of a lane. */
const rowsOf = ({ rowQuads, matrices }: Pick<StreamTuning, 'rowQuads' | 'matrices'>): number =>
  matrices ? 1 : 4 * rowQuads;

export const sizesOf = ({ threadRows, threadColumns, rowQuads, interleave = 1, matrices }: StreamTuning) => ({
  threads: threadRows * threadColumns,
  tileRows: rowsOf({ rowQuads, matrices }) * threadRows,
  tileColumns: (matrices ? 8 : 4) * threadColumns,
  /** Quads of rows, and of columns, and one more, so that neighbours lie in other banks. */
  pitch: rowQuads * threadRows + 1,
  columnPitch: threadColumns + 1,
  /** Of an exchanged tile, where as many rows as take turns are neighbours too. */
  exchangePitch: rowQuads * threadRows + interleave,
});

export const rowsOfLane = ({ tuning }: StreamCode): number => rowsOf(tuning);

/** Quads of a tile that a lane has: one of each of its rows, or, where tiles come out of matrices, two of its one row. */
export const quadsOfLane = (w: StreamCode): number => (w.tuning.matrices ? 2 : rowsOfLane(w));
export const quadOfLane = ({ tuning }: StreamCode): string => (tuning.matrices ? 'own_quad' : 'own_row');
/** WGSL of a lane's element of what it holds of a tile. */
export const elementOf = (name: string, w: StreamCode): string => `${name}[${quadOfLane(w)}][own_column]`;

/** WGSL of a lane's `own_row`-th row, of its `own_column`-th column, and of the same kept inside. */
export function places({ kernel, tuning, rowTile, columnTile }: StreamCode) {
  const { threadRows, threadColumns, rowQuads, matrices } = tuning;
  const quad = rowQuads === 1 ? 'lane_y' : `(own_row / 4 * ${threadRows} + lane_y)`;
  const rows = `row_start + ${quad} * 4 + ${rowQuads === 1 ? 'own_row' : 'own_row % 4'}`;
  const row = matrices ? 'row_start + lane_y' : rows;
  const column = matrices
    ? `walk_start + own_quad * ${4 * threadColumns} + lane_x * 4 + own_column`
    : `walk_start + own_column * ${threadColumns} + lane_x`;
  const isWhole = (size: number, tile: RowTile): boolean => size % tile.rows === 0;
  return {
    row,
    column,
    rowsWhole: isWhole(kernel.row.extent, rowTile),
    columnsWhole: isWhole(kernel.walk.extent, columnTile),
  };
}

export const clamped = (text: string, isWhole: boolean, size: number): string =>
  isWhole ? text : `min(${text}, ${size - 1})`;

/** Loops over the rows of a lane, and over its columns, which bind the axes; `body` may speak of `own_row` and `own_column`. */
export function overRows(w: StreamCode, body: string): string {
  const { row, rowsWhole } = places(w);
  const name = w.names.get(w.axes.row)!;
  return wgsl`
    for (var own_row = 0; own_row < ${w.emitter.bound(rowsOfLane(w))}; own_row++) {
      ${name === '0' ? '' : `let ${name} = ${clamped(row, rowsWhole, w.kernel.row.extent)};`}
      ${body}
    }
  `;
}

export function overElements(w: StreamCode, body: string): string {
  const { column, columnsWhole } = places(w);
  const name = w.names.get(w.axes.walk)!;
  const columns = wgsl`
    for (var own_column = 0; own_column < ${w.emitter.bound(4)}; own_column++) {
      ${columnsWhole ? '' : `let column = ${column};`}
      ${name === '0' ? '' : `let ${name} = ${columnsWhole ? column : `min(column, ${w.kernel.walk.extent - 1})`};`}
      ${body}
    }
  `;
  return overRows(w, w.tuning.matrices ? loopOver('own_quad', quadsOfLane(w), columns, w) : columns);
}

/** A loop over all values of an axis, which `body` knows as `name`. */
export function loopOver(name: string, extent: number, body: string, { emitter }: StreamCode): string {
  return `for (var ${name} = 0; ${name} < ${emitter.bound(extent)}; ${name}++) {\n${indent(body)}\n}`;
}

/** Shares `count` pieces of work out to the lanes, in as many turns as that takes; `body` is given WGSL of the piece's number. */
export function overLanes(
  { tuning }: StreamCode,
  count: number,
  body: (index: string, turn: number) => readonly string[],
): string {
  const { threads } = sizesOf(tuning);
  const turns: string[] = [];
  for (let first = 0; first < count; first += threads) {
    const index = first === 0 ? 'i32(lane)' : `(i32(lane) + ${first})`;
    const guard = count - first < threads ? `if (${index} < ${count}) ` : '';
    turns.push(`${guard}{\n${indent(body(index, turns.length).join('\n'))}\n}`);
  }
  return turns.join('\n');
}

/** Where an equation is written at an element of a tile, or at a row. */
export function scopeOf(w: StreamCode, equation: Equation, more: ReadonlyMap<number, string> = new Map()): Scope {
  const { emitter, names, variables, kernel } = w;
  const kinds = new Map(kernel.statements.map((s) => [s.tensor, s.kind]));
  return {
    emitter,
    axes: equation.axes,
    axis: (axis) => (equation.axes[axis].extent === 1 ? '0' : (more.get(axis) ?? names.get(axis)!)),
    held: (l: Load) => {
      const kind = kinds.get(l.tensor);
      const name = variables.get(l.tensor);
      if (kind === undefined || name === undefined || kind === 'sum' || kind === 'across')
        return more.size === 0 ? w.pointValues?.(l, equation) : undefined;
      return kind === 'tile' || kind === 'map' ? elementOf(name, w) : `${name}[own_row / 4][own_row % 4]`;
    },
  };
}

/** The equation with flat loads; what the kernel holds is told by its name alone. */
export const readyOf = ({ emitter }: StreamCode, equation: Equation): Equation =>
  flattenLoads(equation, (name) => emitter.layout(name));

/** What holds of an element for it to count: its column exists, and it lies in the domain. */
export function masks(w: StreamCode, equation: Equation, constraints: readonly Constraint[]): readonly string[] {
  const { columnsWhole } = places(w);
  const scope = scopeOf(w, equation);
  return [
    ...(columnsWhole ? [] : [`column < ${w.kernel.walk.extent}`]),
    ...constraints.map((c) => constraintText(c, scope)),
  ];
}

export const batchNames = (w: StreamCode): readonly string[] =>
  [...w.names].filter(([axis, name]) => axis < w.axes.row && name !== '0').map(([, name]) => name);

/** A function of the batch and two places more: a value where the conditions hold, else 0. */
export function sideFunction(
  name: string,
  places: readonly [string, string],
  lines: readonly string[],
  conditions: readonly string[],
  value: string,
  w: StreamCode,
): void {
  const body =
    conditions.length === 0 ? `return ${value};` : `if (${conditions.join(' && ')}) { return ${value}; }\nreturn 0.0;`;
  const parameters = [...batchNames(w), ...places].map((p) => `${p}: i32`);
  w.functions.push(wgsl`
    fn ${name}(${parameters.join(', ')}) -> f32 {
      ${lines.join('\n')}
      ${body}
    }
  `);
}

/** The shape that a statement's equations store to. */
export const shapeOf = (s: StreamStatement, { kernel, emitter }: StreamCode): readonly number[] =>
  shapeOfPiece(s, emitter.layout(s.tensor).shape, kernel);

/** WGSL of an offset in that shape, in the tensor. */
export const inPiece = (s: StreamStatement, offset: string, w: StreamCode): string =>
  s.kind === 'across' && w.kernel.pieces!.count > 1 ? `piece * ${elementCount(shapeOf(s, w))} + ${offset}` : offset;

/** The flat element of a statement's tensor; `columns` are names for its column dimensions. */
export function storeText(
  s: StreamStatement,
  equation: Equation,
  columns: ReadonlyMap<number, string>,
  w: StreamCode,
): string {
  const shape = shapeOf(s, w);
  const stride = strides(shape);
  const scope = scopeOf(w, equation);
  const terms = equation.store.flatMap((index, d) => {
    if (shape[d] === 1) return [];
    const at = columns.get(d) ?? affineText(index as Affine, scope);
    const whole = at.includes(' ') && stride[d] > 1 ? `(${at})` : at;
    return at === '0' ? [] : [stride[d] === 1 ? at : `${whole} * ${stride[d]}`];
  });
  return inPiece(s, terms.length === 0 ? '0' : terms.join(' + '), w);
}
