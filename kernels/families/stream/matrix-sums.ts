/**
 * Sums of a stream on tensor cores, 16 rows of a subgroup by all columns, in matrices. Where they shall move with the shift of their rows,
 * which matrices cannot do row by row, or where much has been added up (tensor cores cut off where f32 units round), they are added to what
 * lies in memory, where they end anyway, and begin again; few tiles of a walk do that.
 *
 *   y = y·exp(base - before) + matrices      what lies in memory is relative to shift `base`, the matrices are to `before`
 */
import type { StreamStatement } from '../../kernel.ts';
import { sumMatrix } from '../../wgsl/matrices.ts';
import { leastExponent } from '../../wgsl/split-library.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { loopOver, overRows, type StreamCode, storeText } from './code.ts';
import { columnPlaces, quadOfColumns } from './columns.ts';
import { takeElements } from './matrix-masks.ts';
import { addNearSums, nearToLanes, nearVariables } from './matrix-near.ts';
import { blockOf, blockPitch, laneIn, matricesOf, matrixLoad, matrixStore, multiplyParts } from './matrix-operands.ts';
import type { MatrixSum } from './matrix-parts.ts';
import { type Slab, scaledExponent, scaleOfQuad, whereCounted } from './matrix-slabs.ts';
import { factorBetween } from './rows.ts';

/** Tiles after which sums go from matrices to memory: tensor cores cut off where f32 units round. */
export const longestStretch = 16;

export interface Sum extends MatrixSum {
  readonly statement: StreamStatement;
  readonly name: string;
  readonly slab: Slab;
  /** Where its weights lie in workgroup memory, and where its matrices go through it. */
  readonly area: number;
  readonly exchange: number;
  /** Where a sum across takes its weights too: first of the quads, one a subgroup, that tell their exponents. */
  readonly told: number | undefined;
}

/** By so much may an exponent of weights fall at once, and one lie below the largest of those that are added up as one. */
export const mostBelow = 60;

/** WGSL by which a subgroup tells an exponent to all. */
export const tellExponent = (told: number, exponent: string): string =>
  `if (lane_in == 0) { scratch[${told} + subgroup] = vec4<f32>(f32(${exponent})); }`;

const sumNames = ({ name, right }: Sum): readonly string[] => matricesOf(right.extent).map((e) => `${name}_${e}`);

export const sumVariables = (sum: Sum): string =>
  [
    ...sumNames(sum).map((each) => `var ${each} = ${sumMatrix}();`),
    `var ${sum.name}_exponent = ${leastExponent};`,
    nearVariables(sum),
  ].join('\n');

/**
 * What a sum takes of a tile, times the scales of the points, as high and low parts to workgroup memory. A lane has quads x and x + 2 of a row,
 * its neighbour the others: the first lane takes both first halves, the second both second ones.
 */
export function putWeights(sum: Sum, w: StreamCode): string {
  const { name, area, slab } = sum;
  const { equation, left, onTile } = sum.parts;
  const { text, name: weights } = takeElements(equation, left, onTile, w);
  const at = laneIn(area);
  return wgsl`
    ${text}
    ${addNearSums(sum, weights, w)}
    {
      let first = ${weights}[0] * ${scaleOfQuad(slab, 'lane_x')};
      let second = ${weights}[1] * ${scaleOfQuad(slab, 'lane_x + 2')};
      let exponent = order_exponent_f32(subgroupMax(largest_order_f32(first, second)));
      ${moveExponent(sum, w)}
      let scale = power_of_two_f32(${scaledExponent} - ${name}_exponent);
      let first_parts = split_unweighted_f16(first, scale, zero_bits);
      let second_parts = split_unweighted_f16(second, scale, zero_bits);
      let is_first = lane_x == 0;
      let given = select(first_parts, second_parts, is_first);
      let other = subgroupShuffleXor(given, 1u);
      let near = select(other, first_parts, is_first);
      let far = select(second_parts, other, is_first);
      scratch[${at}] = vec4<f32>(near.xy, far.xy);
      scratch[${plus(at, 2)}] = vec4<f32>(near.zw, far.zw);
    }
  `;
}

/**
 * A sum's unit, larger where a tile's weights are too large for it. Where there are sums across, matrices are multiplied in any case: back in
 * one sweep that takes 561 µs, with a branch around them 601; forward 240 and 232 (H100, test/bench/records/2026-11-28-matrix-4.jsonl).
 * Weights that a sum across takes too count for each point by itself: where the sum goes to memory, their unit begins anew.
 */
function moveExponent(sum: Sum, { kernel }: StreamCode): string {
  const { name, told } = sum;
  const raised = `max(${name}_exponent, exponent)`;
  const anew = `max(exponent, max(${name}_exponent - ${mostBelow}, ${leastExponent}))`;
  const shrink = sumNames(sum)
    .map((each) => `${each} = subgroupMatrixScalarMultiply(${each}, by);`)
    .join('\n');
  if (kernel.pieces === undefined)
    return wgsl`
      if (exponent > ${name}_exponent) {
        let by = power_of_two_f32(max(${name}_exponent - exponent, -126));
        ${shrink}
        ${name}_exponent = exponent;
      }
    `;
  return wgsl`
    let next = ${told === undefined ? raised : `select(${raised}, ${anew}, since >= ${longestStretch})`};
    let by = power_of_two_f32(max(${name}_exponent - next, -126));
    ${shrink}
    ${name}_exponent = next;
    ${told === undefined ? '' : tellExponent(told, 'next')}
  `;
}

/** The weights of all lanes, before anything else goes through where they lie. */
export const weightsOf = ({ name, area }: Sum): string => wgsl`
  let ${name}_high = ${matrixLoad('left', 'row_major', blockOf(area), blockPitch)};
  let ${name}_low = ${matrixLoad('left', 'row_major', plus(blockOf(area), 2), blockPitch)};
`;

export function multiplyColumns({ name, right, slab }: Sum): string {
  const staged = (e: number, low: number): string =>
    matrixLoad('right', 'row_major', slab.start + e * 2 + low, slab.pitch);
  return matricesOf(right.extent)
    .map((e) => {
      const lines = [
        `let ${name}_right_high_${e} = ${staged(e, 0)};`,
        `let ${name}_right_low_${e} = ${staged(e, slab.low)};`,
        ...multiplyParts(
          `${name}_${e}`,
          [`${name}_high`, `${name}_low`],
          [`${name}_right_high_${e}`, `${name}_right_low_${e}`],
        ),
      ];
      return guarded(whereCounted(slab, e), lines.join('\n'));
    })
    .join('\n');
}

/** Adds all sums to memory and empties them. */
export const sumsToMemory = (sums: readonly Sum[], w: StreamCode): string =>
  sums
    .map((sum) => {
      const add = [addMemory(sum, w), overMemory(sum, w, (at, c) => `${at} = values${c};`)].join('\n');
      return overChunks(
        sum,
        w,
        '_before',
        () => add,
        (e) => `${sum.name}_${e} = ${sumMatrix}();`,
      );
    })
    .join('\n');

/** What memory and matrices came to, to the lanes: relative to the shift as it is. */
export const sumsToLanes = (sums: readonly Sum[], w: StreamCode): string =>
  sums
    .map((sum) => {
      const variable = w.variables.get(sum.statement.tensor)!;
      const add = addMemory(sum, w);
      const chunks = overChunks(sum, w, '', (e) => [add, `${variable}[${2 * e} + own_quad] = values;`].join('\n'));
      return [chunks, nearToLanes(sum, variable)].join('\n');
    })
    .join('\n');

/** What a lane's quad of columns is in memory, or each of its elements: `c` is which of them. */
function overMemory({ statement }: Sum, w: StreamCode, text: (at: string, c: string) => string): string {
  const quad = quadOfColumns(statement, w);
  if (quad !== undefined) return `{\n  let element = place;\n  ${text(quad, '')}\n}`;
  const places = columnPlaces(statement, w);
  const at = w.emitter.writes(statement.tensor, storeText(statement, statement.equations[0], places, w));
  const element = [`let element = place + own_column;`, text(at, '[own_column]')].join('\n');
  return loopOver('own_column', 4, element, w);
}

const addMemory = (sum: Sum, w: StreamCode): string =>
  guarded(
    ['stored'],
    overMemory(sum, w, (at, c) => `values${c} += earlier * ${at};`),
  );

/** Sixteen columns after the other through workgroup memory: `text` is about a lane's quad of them, `values`, and its first column, `place`. */
function overChunks(
  sum: Sum,
  w: StreamCode,
  now: '' | '_before',
  text: (e: number) => string,
  then = (_: number) => '',
): string {
  const { name, exchange, statement, right } = sum;
  const shifts = w.kernel.statements.filter(({ tensor }) => statement.follows.includes(tensor));
  const factors = shifts.map((s) => {
    const shift = w.variables.get(s.tensor)!;
    return factorBetween(s, `${shift}_base`, now === '' ? `${shift}[own_row / 4][own_row % 4]` : `${shift}${now}`, w);
  });
  const chunks = matricesOf(right.extent).map(
    (e) => wgsl`
      ${matrixStore(blockOf(exchange), `${name}_${e}`)}
      workgroupBarrier();
      for (var own_quad = 0; own_quad < ${w.emitter.bound(2)}; own_quad++) {
        var values = scratch[${laneIn(exchange)} + 2 * own_quad] * power_of_two_f32(${name}_exponent - ${scaledExponent});
        let place = ${e * 16} + own_quad * 8 + lane_x * 4;
        ${text(e)}
      }
      workgroupBarrier();
      ${then(e)}
    `,
  );
  return overRows(w, [`let earlier = ${factors.length === 0 ? '1.0' : factors.join(' * ')};`, ...chunks].join('\n'));
}
