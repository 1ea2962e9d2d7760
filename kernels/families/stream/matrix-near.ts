/**
 * Levels of blocks within a tile of rows, which matrices do not part: few columns, near the diagonal, added by each lane for its elements. Blocks
 * are of a multiple of four, so that four neighbouring points of the walk are in the same ones, and have the same leading columns.
 *
 *   S[t, u] += Σ_e q[t, e]·k[u, e]        e from the first of such columns to leading(t, u)
 *   y[t, e] += Σ_u A[t, u]·v[u, e]        both lanes of a row have sums of their own, which meet when all is done
 */
import { guarded, wgsl } from '../../wgsl/text.ts';
import { loopOver, type StreamCode } from './code.ts';
import { levelNames, scaleOfQuad } from './levels.ts';
import { quadText } from './matrix-operands.ts';
import type { MatrixLevels, MatrixProduct, MatrixSide } from './matrix-parts.ts';

/** A side's levels within a tile of rows, if it has any. */
const nearOf = ({ levels }: MatrixSide): MatrixLevels | undefined => (levels?.fine ? levels : undefined);

/** WGSL of 1 for those of four columns from `column` on that matrices leave, of 0 for the others. */
const leftColumns = ({ to }: MatrixLevels, column: number): string =>
  `vec4<f32>(${[0, 1, 2, 3].map((c) => (column + c < to ? '0.0' : '1.0')).join(', ')})`;

/** First columns of the quads that have any of them. */
function quadsOf({ levels, to }: MatrixLevels): readonly number[] {
  const first = Math.floor(to / 4);
  return Array.from({ length: Math.ceil(levels.levels.at(-1)!.to / 4) - first }, (_, i) => (first + i) * 4);
}

/** Of a lane's quads of a tile, where it has any such columns: `text` may speak of its first point, and of how many columns count. */
function overNear(levels: MatrixLevels, w: StreamCode, text: string): string {
  const block = levels.levels.levels.find(({ to }) => to > levels.to)!.block!;
  const { rowTile, columnTile } = w;
  const last = { row: `${rowTile.start} + ${rowTile.rows - 1}`, walk: `${columnTile.start} + ${columnTile.rows - 1}` };
  const touched = [
    `${rowTile.start} / ${block} <= (${last.walk}) / ${block}`,
    `${columnTile.start} / ${block} <= (${last.row}) / ${block}`,
  ];
  const quad = wgsl`
    let point = walk_start + own_quad * 8 + lane_x * 4;
    let count = ${levelNames(levels.levels, w).leading}(row_start + lane_y, point);
    ${text}
  `;
  return guarded(touched, loopOver('own_quad', 2, quad, w));
}

const counts = (column: number): string =>
  `vec4<i32>(${[0, 1, 2, 3].map((c) => column + c).join(', ')}) < vec4<i32>(count)`;

/** A side's quad of columns at each of four points. */
const atPoints = (side: MatrixSide, column: number, w: StreamCode): readonly string[] =>
  [0, 1, 2, 3].map((c) => quadText(side, w.axes.walk, w, `(point + ${c})`, String(column)));

/** Adds such columns to a lane's elements of a product. */
export function addNearProducts({ left, right }: MatrixProduct, name: string, w: StreamCode): string {
  const levels = nearOf(right);
  if (levels === undefined) return '';
  const lines = quadsOf(levels).map((column) => {
    const row = [
      ...(column < levels.to ? [leftColumns(levels, column)] : []),
      ...scaleOfQuad(levels.levels, String(column), w),
      quadText(left, w.axes.row, w, '(row_start + lane_y)', String(column)),
    ];
    const dots = atPoints(right, column, w).map((quad) => `dot(row, ${quad})`);
    return wgsl`
      {
        let row = select(vec4<f32>(), ${row.join(' * ')}, ${counts(column)});
        ${name}[own_quad] += vec4<f32>(${dots.join(', ')});
      }
    `;
  });
  return overNear(levels, w, lines.join('\n'));
}

/** Sums of such columns. */
export interface NearSums {
  readonly name: string;
  readonly right: MatrixSide;
}

export function nearVariables({ name, right }: NearSums): string {
  const levels = nearOf(right);
  return levels === undefined ? '' : `var ${name}_near = array<vec4<f32>, ${quadsOf(levels).length}>();`;
}

/** Adds a tile's weights times the walk's side of those columns. */
export function addNearSums({ name, right }: NearSums, weights: string, w: StreamCode): string {
  const levels = nearOf(right);
  if (levels === undefined) return '';
  const lines = quadsOf(levels).map((column, i) => {
    const terms = atPoints(right, column, w).map((quad, c) => `${weights}[own_quad][${c}] * ${quad}`);
    return `${name}_near[${i}] += select(vec4<f32>(), ${terms.join(' + ')}, ${counts(column)});`;
  });
  return overNear(levels, w, lines.join('\n'));
}

/** What both lanes of a row have summed, to the one that stores it: `variable` has a lane's quads of the row. */
export function nearToLanes({ name, right }: NearSums, variable: string): string {
  const levels = nearOf(right);
  if (levels === undefined) return '';
  return quadsOf(levels)
    .map((column, i) => {
      const quad = column / 4;
      const add = `${variable}[${Math.floor(quad / 2)}] += ${leftColumns(levels, column)} * (${name}_near[${i}] + other);`;
      return `{\n  let other = subgroupShuffleXor(${name}_near[${i}], 1u);\n  if (lane_x == ${quad % 2}) { ${add} }\n}`;
    })
    .join('\n');
}
