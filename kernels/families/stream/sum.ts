/**
 * The sums of a stream: what is taken of a tile goes through workgroup memory, so that a lane meets all of a row's columns of the walk,
 * and is multiplied with the side of the walk, staged beside it.
 *
 *   y[t, e] += Σ_u A[t, u]·v[u, e]      a lane sums columns 4·x … 4·x + 3 of its rows, then those X quads further
 */
import type { Affine, Equation } from '../../../compiler/ir/program.ts';
import type { StreamStatement } from '../../kernel.ts';
import { affineText, constraintText } from '../../parts/address.ts';
import { coordinate } from '../../parts/linear.ts';
import { expressionText, integerText } from '../../parts/scalar.ts';
import type { Scope } from '../../parts/scope.ts';
import { guarded, indent, plus, wgsl } from '../../wgsl/text.ts';
import {
  batchNames,
  clamped,
  loopOver,
  masks,
  overElements,
  overLanes,
  overRows,
  places,
  readyOf,
  rowsOfLane,
  type StreamCode,
  scopeOf,
  sideFunction,
  sizesOf,
  storeText,
} from './code.ts';
import { asSum, columnDimensions, columnsOf, type Place, type TwoSided, touches } from './shape.ts';
import { stagedQuads } from './tuning.ts';

export function sumQuads(s: StreamStatement, w: StreamCode): number {
  const columns = columnsOf(s, w.emitter.layout(s.tensor).shape, w.axes);
  return Math.ceil(columns / (4 * w.tuning.threadColumns));
}

export function sumStep(s: StreamStatement, w: StreamCode): string {
  return s.equations.map((equation) => sumStage(s, readyOf(w, equation), w)).join('\n');
}

function sumStage(s: StreamStatement, equation: Equation, w: StreamCode): string {
  const parts = asSum(equation, w.axes, w.tiles);
  if (parts === undefined) throw new Error(`${s.tensor} does not part into a tile and what is summed with it`);
  const loop = parts.place === undefined ? sumOfProducts(s, parts, w) : sumByPlace(s, parts, parts.place, w);
  const ofBlocks = parts.onTile.filter((c) => c.kind === 'data');
  const skip = touches(ofBlocks, w.kernel, w.rowTile, w.columnTile);
  return skip.length === 0 ? loop : `if (${skip.join(' && ')}) ${loop}`;
}

/** What is taken of a tile times the side of the walk, which is staged beside it. */
function sumOfProducts(s: StreamStatement, parts: TwoSided, w: StreamCode): string {
  const { tileColumns } = sizesOf(w.tuning);
  const staged = stagedOf(s, parts.equation, w);
  const { depth, quads } = staged;
  w.stagedQuads = Math.max(w.stagedQuads, depth * quads);
  const right = columnFunction(s, parts, w);
  return wgsl`
    {
      ${exchangeWeights(parts, w)}
      for (var from_point = 0; from_point < ${tileColumns}; from_point += ${depth}) {
        ${stageColumns(right, staged, w)}
        workgroupBarrier();
        for (var point = 0; point < ${w.emitter.bound(depth)}; point++) {
          ${multiplyColumns(s, staged, w)}
        }
        workgroupBarrier();
      }
    }
  `;
}

/** What is taken of a tile, each element added to the column that it is for. */
function sumByPlace(s: StreamStatement, parts: TwoSided, place: Place, w: StreamCode): string {
  const { threadRows, threadColumns, rowQuads } = w.tuning;
  const name = w.variables.get(s.tensor)!;
  const perLane = sumQuads(s, w);
  const weights = exchangeWeights(parts, w);
  const placeOf = placeFunction(parts.equation, place, w);
  const { rowsWhole, columnsWhole } = places(w);
  const columns: string[] = [];
  for (let e = 0; e < perLane; e++)
    columns.push(`let columns_${e} = vec4<i32>((${plus('lane_x', e * threadColumns)}) * 4) + vec4<i32>(0, 1, 2, 3);`);
  const add: string[] = [];
  for (let i = 0; i < 4 * rowQuads; i++) {
    const quad = i < 4 ? 'lane_y' : `(${plus('lane_y', (i >> 2) * threadRows)})`;
    const row = clamped(plus(`row_start + ${quad} * 4`, i % 4), rowsWhole, w.kernel.row.extent);
    add.push(`let place_${i} = vec4<i32>(${placeOf}(${[...batchNames(w), row, 'walk'].join(', ')}));`);
    const value = `vec4<f32>(weight_${i >> 2}[${i % 4}])`;
    for (let e = 0; e < perLane; e++)
      add.push(`${name}[${i * perLane + e}] += select(vec4<f32>(), ${value}, columns_${e} == place_${i});`);
  }
  return wgsl`
    {
      ${weights}
      workgroupBarrier();
      ${columns.join('\n')}
      for (var point = 0; point < ${w.emitter.bound(sizesOf(w.tuning).tileColumns)}; point++) {
        let walk = ${clamped('walk_start + point', columnsWhole, w.kernel.walk.extent)};
        ${weightsAt('point', w)}
        ${add.join('\n')}
      }
      workgroupBarrier();
    }
  `;
}

/** `fn place_of(b, h, t, u)`: the column that an element of a tile is for. */
function placeFunction(equation: Equation, { at }: Place, w: StreamCode): string {
  const { emitter, axes } = w;
  const name = emitter.global('place_of');
  const [row, walk] = [emitter.fresh('row'), emitter.fresh('column')];
  const more = new Map([
    [axes.row, row],
    [axes.walk, walk],
  ]);
  const scope: Scope = { ...scopeOf(w, equation, more), unguarded: true };
  const parameters = [...batchNames(w), row, walk].map((p) => `${p}: i32`);
  w.functions.push(wgsl`
    fn ${name}(${parameters.join(', ')}) -> i32 {
      return ${integerText(at, scope)};
    }
  `);
  return name;
}

/** What of a sum's right side is staged at once: `depth` points of the walk, `quads` quads of columns from `firstQuad` on, of `columns`. */
interface Staged {
  readonly columns: number;
  readonly firstQuad: number;
  readonly quads: number;
  readonly depth: number;
}

function stagedOf(s: StreamStatement, equation: Equation, w: StreamCode): Staged {
  const { from, to } = columnSpan(s, equation, w);
  const firstQuad = Math.floor(from / 4);
  const quads = Math.ceil(to / 4) - firstQuad;
  const most = Math.max(1, 2 ** Math.floor(Math.log2(Math.max(1, stagedQuads / quads))));
  return {
    columns: columnsOf(s, w.emitter.layout(s.tensor).shape, w.axes),
    firstQuad,
    quads,
    depth: Math.min(sizesOf(w.tuning).tileColumns, w.tuning.depth, most),
  };
}

/** What the sum takes of a lane's elements, to workgroup memory: a quad of rows for each column of the walk. */
function exchangeWeights({ equation, left, onTile }: TwoSided, w: StreamCode): string {
  const { threadRows, threadColumns, rowQuads } = w.tuning;
  const { pitch } = sizesOf(w.tuning);
  const weights = w.emitter.fresh('weights');
  const value = expressionText(left, scopeOf(w, equation));
  const put: string[] = [];
  for (let q = 0; q < rowQuads; q++) {
    for (let j = 0; j < 4; j++) {
      const rows = [0, 1, 2, 3].map((c) => `${weights}[${q * 4 + c}][${j}]`);
      const place = `(${plus('lane_x', j * threadColumns)}) * ${pitch} + ${plus('lane_y', q * threadRows)}`;
      put.push(`scratch[${place}] = vec4<f32>(${rows.join(', ')});`);
    }
  }
  return wgsl`
    var ${weights} = array<vec4<f32>, ${rowsOfLane(w)}>();
    ${overElements(w, guarded(masks(w, equation, onTile), `${weights}[own_row][own_column] = ${value};`))}
    workgroupBarrier();
    ${put.join('\n')}
  `;
}

/** What a lane's rows have at a point of the walk: `weight_0`, of its first four rows, and on. */
function weightsAt(point: string, w: StreamCode): string {
  const { threadRows, rowQuads } = w.tuning;
  const { pitch } = sizesOf(w.tuning);
  return Array.from(
    { length: rowQuads },
    (_, q) => `let weight_${q} = scratch[${point} * ${pitch} + ${plus('lane_y', q * threadRows)}];`,
  ).join('\n');
}

/** The right side to workgroup memory, by the function `right` of its elements. */
function stageColumns(right: string, { columns, firstQuad, quads, depth }: Staged, w: StreamCode): string {
  const walk = clamped('walk_start + from_point + point', places(w).columnsWhole, w.kernel.walk.extent);
  const values = [0, 1, 2, 3].map((c) => {
    const column = plus('quad * 4', c + firstQuad * 4);
    const inside = clamped(column, (firstQuad + quads) * 4 <= columns, columns);
    return `${right}(${[...batchNames(w), 'place', inside].join(', ')})`;
  });
  return overLanes(w, depth * quads, (index) => [
    `let quad = ${index} % ${quads};`,
    `let point = ${index} / ${quads};`,
    `let place = ${walk};`,
    `scratch[${w.exchangeQuads} + point * ${quads} + quad] = vec4<f32>(${values.join(', ')});`,
  ]);
}

/** One point of the walk: a lane's rows times its quads of columns. */
function multiplyColumns(s: StreamStatement, { firstQuad, quads }: Staged, w: StreamCode): string {
  const { threadColumns, rowQuads } = w.tuning;
  const name = w.variables.get(s.tensor)!;
  const perLane = sumQuads(s, w);
  const texts = [weightsAt('(from_point + point)', w)];
  for (let e = 0; e < perLane; e++) {
    const quad = plus('lane_x', e * threadColumns);
    const lines = [`let summed = scratch[${w.exchangeQuads} + point * ${quads} + ${plus(quad, -firstQuad)}];`];
    for (let i = 0; i < 4 * rowQuads; i++)
      lines.push(`${name}[${i * perLane + e}] += weight_${i >> 2}[${i % 4}] * summed;`);
    const guards: string[] = [];
    if (e * threadColumns < firstQuad) guards.push(`${quad} >= ${firstQuad}`);
    if ((e + 1) * threadColumns > firstQuad + quads) guards.push(`${quad} < ${firstQuad + quads}`);
    const text = lines.join('\n');
    texts.push(guards.length === 0 ? `{\n${indent(text)}\n}` : guarded(guards, text));
  }
  return texts.join('\n');
}

/** The columns that an equation adds to: all, or where it has one dimension of them a stretch. */
function columnSpan(
  s: StreamStatement,
  equation: Equation,
  w: StreamCode,
): { readonly from: number; readonly to: number } {
  const { shape } = w.emitter.layout(s.tensor);
  const all = { from: 0, to: columnsOf(s, shape, w.axes) };
  const [only, ...others] = columnDimensions(s, shape, w.axes).filter(({ extent }) => extent > 1);
  if (only === undefined || others.length > 0 || only.base.terms.length > 0) return all;
  const index = equation.store[only.dimension] as Affine;
  const [term, ...more] = index.terms;
  if (more.length > 0) return all;
  if (term === undefined) return { from: index.constant, to: index.constant + 1 };
  return { from: index.constant, to: index.constant + (equation.axes[term.axis].extent - 1) * term.coefficient + 1 };
}

/** `fn right_y(b, h, u, e)`: what a column takes of a point of the walk; 0 for columns that the equation does not add to. */
function columnFunction(s: StreamStatement, p: TwoSided, w: StreamCode): string {
  const { emitter, axes } = w;
  const { equation } = p;
  const name = emitter.global('side_of_walk');
  const { shape } = emitter.layout(s.tensor);
  const dimensions = columnDimensions(s, shape, axes);
  const extents = dimensions.map(({ extent }) => extent);
  const [place, e] = [emitter.fresh('place'), emitter.fresh('element')];
  const more = new Map<number, string>([[axes.walk, place]]);
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

export function finishSum(s: StreamStatement, exists: readonly string[], w: StreamCode): string {
  const { emitter, tuning, axes } = w;
  const name = w.variables.get(s.tensor)!;
  const { shape } = emitter.layout(s.tensor);
  const dimensions = columnDimensions(s, shape, axes);
  const columns = columnsOf(s, shape, axes);
  const quads = sumQuads(s, w);
  const lines: string[] = [];
  const factor = emitter.fresh('factor');
  if (s.finish !== undefined) lines.push(`let ${factor} = ${expressionText(s.finish, scopeOf(w, s.equations[0]))};`);
  const places = new Map<number, string>();
  const inner: string[] = [];
  const extents = dimensions.map(({ extent }) => extent);
  const isSingle = extents.filter((extent) => extent > 1).length === 1;
  // The columns' dimensions lie behind one another in memory more often than not, else each has its coordinate.
  const scope = scopeOf(w, s.equations[0]);
  dimensions.forEach(({ dimension, extent, base, step }, i) => {
    if (shape[dimension] === 1) return;
    const column = extent === 1 ? '0' : isSingle ? 'element' : `(${coordinate('element', extents, i)})`;
    const own = step === 1 ? column : `${step} * ${column}`;
    places.set(dimension, base.terms.length === 0 ? own : `${affineText(base, scope)} + ${own}`);
  });
  const value = `${name}[own_row${quads === 1 ? '' : ` * ${quads} + quad`}][own_column]${s.finish === undefined ? '' : ` * ${factor}`}`;
  const store = `${emitter.writes(s.tensor, storeText(s, s.equations[0], places, w))} = ${value};`;
  const isExact = columns === quads * 4 * tuning.threadColumns;
  inner.push(`let element = ${quads === 1 ? 'lane_x' : `(lane_x + quad * ${tuning.threadColumns})`} * 4 + own_column;`);
  inner.push(isExact ? store : `if (element < ${columns}) { ${store} }`);
  const overColumns = loopOver('own_column', 4, inner.join('\n'), w);
  const overQuads = quads === 1 ? overColumns : loopOver('quad', quads, overColumns, w);
  return overRows(w, guarded(exists, [...lines, overQuads].join('\n')));
}
