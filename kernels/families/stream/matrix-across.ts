/**
 * Sums across on tensor cores: of all subgroups' rows, for each point of the walk. A subgroup makes sixteen of the columns.
 *
 *   q[t, r] += Σ_u dS[u, t]·k[u, r]      16 points t by 16 columns r, over the rows u of one subgroup after another
 *
 * The parts of dS are those that a sum of the rows takes too (matrix-sums.ts), read the other way round; those of a subgroup's columns of k stay
 * in registers. What a tile comes to passes through workgroup memory while the next one's products do, and is added to memory by
 * lanes, in f32 and each by the same lane in every tile of rows: no lane waits for what another has written.
 *
 * The traps: parts of dS are in units of 2^(e - 14) of a subgroup's own e, times the scales of the points of that sum's other side, which come off
 * last. The sum is kept in units of one subgroup after another, by at most 2^60 of them less than the largest: what lies below
 * is less than what any of the parts is known to.
 */
import type { StreamStatement } from '../../kernel.ts';
import { matrixLanes, matrixSize } from '../../target.ts';
import { sumMatrix } from '../../wgsl/matrices.ts';
import { leastExponent } from '../../wgsl/split-library.ts';
import { guarded, indent, plus, wgsl } from '../../wgsl/text.ts';
import { laterTurns, placeOfQuad, type QuadPlace, storeQuad, takeQuad } from './across.ts';
import { type StreamCode, sizesOf } from './code.ts';
import {
  blockOf,
  blockPitch,
  blockQuads,
  matricesOf,
  matrixLoad,
  matrixStore,
  multiplyParts,
  quadText,
} from './matrix-operands.ts';
import type { MatrixAcross } from './matrix-parts.ts';
import { scaledExponent } from './matrix-slabs.ts';
import { mostBelow, type Sum, tellExponent } from './matrix-sums.ts';

export interface Across extends MatrixAcross {
  readonly statement: StreamStatement;
  readonly name: string;
  /** The sum whose weights it takes. */
  readonly sum: Sum;
  /** Where its matrices go through workgroup memory. */
  readonly exchange: number;
}

/** Quads of workgroup memory that its side takes before the walk. */
export const acrossQuads = ({ right }: MatrixAcross, subgroups: number): number =>
  matricesOf(right.extent).length * subgroups * blockQuads;

const subgroupsOf = ({ tuning }: StreamCode): number => sizesOf(tuning).threads / matrixLanes;

/** Before a walk: a subgroup's columns of all rows of the tile, as matrices in registers, and the exponents of each subgroup's rows. */
export function keepColumns({ name, right, sum }: Across, w: StreamCode): string {
  const subgroups = subgroupsOf(w);
  const blocks = matricesOf(right.extent);
  const octet = (e: number, from: number): string =>
    quadText(right, w.axes.row, w, '(row_start + lane_y)', `(lane_x * 8 + ${e * matrixSize + from})`);
  const read = blocks.flatMap((e) => [
    `let ${name}_first_${e} = ${octet(e, 0)};`,
    `let ${name}_second_${e} = ${octet(e, 4)};`,
  ]);
  const most = blocks.map((e) => `largest_order_f32(${name}_first_${e}, ${name}_second_${e})`);
  const put = blocks.map((e) => {
    const at = `${e * subgroups * blockQuads} + lane_y * ${blockPitch} + lane_x`;
    return wgsl`
      {
        let parts = split_octet_f16(${name}_first_${e}, ${name}_second_${e}, power_of_two_f32(${scaledExponent} - ${name}_own), zero_bits);
        scratch[${at}] = parts.high;
        scratch[${plus(at, 2)}] = parts.low;
      }
    `;
  });
  const kept = Array.from({ length: subgroups }, (_, j) => {
    const at = `${name}_block * ${subgroups * blockQuads} + ${j * blockQuads}`;
    return wgsl`
      let ${name}_high_${j} = ${matrixLoad('right', 'row_major', at, blockPitch)};
      let ${name}_low_${j} = ${matrixLoad('right', 'row_major', plus(at, 2), blockPitch)};
      let ${name}_rows_${j} = i32(scratch[${sum.told! + j}].x);
    `;
  });
  return wgsl`
    let ${name}_block = subgroup % ${blocks.length};
    var ${name}_earlier = array<vec4<f32>, 2>();
    var ${name}_exponent = 0;
    ${read.join('\n')}
    let ${name}_own = max(order_exponent_f32(subgroupMax(${most.reduce((a, b) => `max(${a}, ${b})`)})), ${leastExponent});
    ${put.join('\n')}
    ${tellExponent(sum.told!, `${name}_own`)}
    workgroupBarrier();
    ${kept.join('\n')}
    workgroupBarrier();
    ${tellExponent(sum.told!, String(leastExponent))}
  `;
}

/** Reads what the tiles of rows before have come to, at the tile of the walk from `start` on. */
export function fetchAcross(across: Across, start: string, w: StreamCode): string {
  const later = laterTurns(w);
  if (later.length === 0) return '';
  return guarded(
    later,
    overBlock(across, start, (own, place) => takeQuad(`${across.name}_earlier[${own}]`, place), w),
  );
}

/** Of a tile, what lies in workgroup memory, to what was read. */
export function addAcross(across: Across, start: string, w: StreamCode): string {
  const { name, exchange } = across;
  const own = `${exchange} + lane_y * ${blockPitch} + lane_x * 2`;
  // The exponent may be twice what a power of two has.
  const scale = `power_of_two_f32(${name}_exponent / 2) * power_of_two_f32(${name}_exponent - ${name}_exponent / 2)`;
  const sum = (i: number): string => `${name}_earlier[${i}] + scratch[${plus(own, i)}] * ${scale}`;
  return overBlock(across, start, (i, place) => storeQuad(place, `(${sum(i)})`), w);
}

/** What the first tile of rows does not reach, from `start` on, is 0. */
export const emptyBlock = (across: Across, start: string, w: StreamCode): string =>
  overBlock(across, start, (_, place) => storeQuad(place, 'vec4<f32>()'), w);

/** Of a lane's two quads, `text` of its number and place, at the tile of the walk that begins at `start`. */
function overBlock(
  { statement, name, right }: Across,
  start: string,
  text: (own: number, place: QuadPlace) => string,
  w: StreamCode,
): string {
  const blocks = matricesOf(right.extent).length;
  const walk = w.names.get(w.axes.walk)!;
  const quads = [0, 1].map(
    (own) => wgsl`
      {
        let element = ${plus(`${name}_block * ${matrixSize} + lane_x * 8`, 4 * own)};
        ${text(own, placeOfQuad(statement, right.extent, w))}
      }
    `,
  );
  const lines = [...(walk === '0' ? [] : [`let ${walk} = ${start} + lane_in / 2;`]), ...quads];
  const guards = blocks < subgroupsOf(w) ? [`subgroup < ${blocks}`] : [];
  return guards.length === 0 ? `{\n${indent(lines.join('\n'))}\n}` : guarded(guards, lines.join('\n'));
}

/** The exponent of what a lane's point of the tile is scaled by: found long before it is asked for, 531 µs back in place of 569 (an H100). */
export const scaledAcross = ({ name, sum: { slab } }: Across): string =>
  `let ${name}_scaled = order_exponent_f32(order_f32(scratch[${slab.scales} + lane_in / ${(2 * matrixLanes) / slab.lanes}]).x);`;

/** Weights of all subgroups, the other way round, times what is kept of their rows. */
export function multiplyAcross({ name, sum, exchange }: Across, w: StreamCode): string {
  const subgroups = Array.from({ length: subgroupsOf(w) }, (_, j) => j);
  const steps = subgroups.map((j) => {
    const at = sum.area + j * blockQuads;
    const by = `power_of_two_f32(max(${name}_units_${j - 1} - ${name}_units_${j}, -126))`;
    return wgsl`
      let ${name}_left_high_${j} = ${matrixLoad('left', 'col_major', at, blockPitch)};
      let ${name}_left_low_${j} = ${matrixLoad('left', 'col_major', at + 2, blockPitch)};
      ${j === 0 ? '' : `${name}_sum = subgroupMatrixScalarMultiply(${name}_sum, ${by});`}
      ${multiplyParts(`${name}_sum`, [`${name}_left_high_${j}`, `${name}_left_low_${j}`], [`${name}_high_${j}`, `${name}_low_${j}`]).join('\n')}
    `;
  });
  const last = subgroups.at(-1)!;
  return wgsl`
    ${subgroups.map((j) => `let ${name}_both_${j} = ${name}_rows_${j} + i32(scratch[${sum.told! + j}].x);`).join('\n')}
    let ${name}_least = ${subgroups.map((j) => `${name}_both_${j}`).reduce((a, b) => `max(${a}, ${b})`)} - ${mostBelow};
    ${subgroups.map((j) => `let ${name}_units_${j} = max(${name}_both_${j}, ${name}_least);`).join('\n')}
    var ${name}_sum = ${sumMatrix}();
    ${steps.join('\n')}
    ${name}_exponent = clamp(${name}_units_${last} - ${2 * scaledExponent} - ${name}_scaled, -252, 254);
    ${matrixStore(blockOf(exchange), `${name}_sum`)}
  `;
}
