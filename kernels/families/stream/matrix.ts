/**
 * A stream's products on tensor cores, each f32 as two f16 (split-library.ts): a subgroup has 16 rows of a tile, and walks 16 columns at a time.
 *
 *   S = q kᵀ            rows of q in registers as matrices, k staged as high and low parts; S goes through workgroup memory to the lanes
 *   A = exp(S - shift)  on f32 elements, as in every stream
 *   y += A v            A back through workgroup memory as high and low parts; y stays in matrices for `longestStretch` of the walk,
 *                       then is added to what the lanes have of it in f32
 *
 * Operands are scaled by a power of two: rows for each subgroup, what is staged for each tile, what a sum takes of a tile for each
 * subgroup, the latter two by the largest so far. Low parts are not weighted, so that one matrix takes all three products: what lies 2^-15
 * below the largest of its block is known to 2^-39 of that.
 *
 * Where a sum follows a shift, its matrices would have to be rescaled row by row, which they cannot. So the shift of the rows stays behind
 * until one has moved by `mostBehind`, then all of the workgroup's sums go to the lanes and are rescaled there.
 *
 * The traps: every thread must meet every barrier, so whether sums go to the lanes is decided for a workgroup. A matrix that is declared in a
 * loop is not empty the second time round. And a workgroup writes whole quads only, for lanes that share one may undo one another's writes.
 */

import { load, negate, sum as sumOf } from '../../../compiler/ir/expression.ts';
import type { StreamStatement } from '../../kernel.ts';
import { wideText } from '../../parts/loads.ts';
import { expressionText } from '../../parts/scalar.ts';
import { matrixLanes, matrixSize } from '../../target.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { overRows, readyOf, type StreamCode, scopeOf, sizesOf } from './code.ts';
import type { MatrixParts, MatrixProduct, MatrixSide, MatrixSum } from './matrix-parts.ts';
import { extremeStep, followedStep, isFollowed, totalStep } from './rows.ts';
import { takeWeights } from './sum.ts';
import { addPart, tileStep } from './tile.ts';

/** Points of the walk after which sums go from matrices to the lanes: tensor cores cut off where f32 units round. */
const longestStretch = 256;
/** How far a shift may stay behind, as a logarithm. */
const mostBehind = 8;
/** Scales are such that the exponent of the largest is this: the largest f16 is just below 2^16. */
const scaledExponent = 14;
/** Of operands that are smaller; the largest scale is 2^114. */
const leastExponent = -100;
/** Quads of a row of a 16×16 block in workgroup memory: its elements, or their high and low parts, and one that is left free. */
const blockPitch = 5;
const blockQuads = matrixSize * blockPitch;

const result = `subgroup_matrix_result<f32, ${matrixSize}, ${matrixSize}>`;
const operands = {
  left: `subgroup_matrix_left<f16, ${matrixSize}, ${matrixSize}>`,
  right: `subgroup_matrix_right<f16, ${matrixSize}, ${matrixSize}>`,
} as const;

/** What is staged of the walk, for all that reads it. */
interface Slab {
  readonly name: string;
  readonly side: MatrixSide;
  /** First quad in workgroup memory, quads from a point to the next, and to its low parts. */
  readonly start: number;
  readonly pitch: number;
  readonly low: number;
}

interface Product extends MatrixProduct {
  readonly tensor: string;
  readonly name: string;
  readonly slab: Slab;
  readonly area: number;
}

interface Sum extends MatrixSum {
  readonly tensor: string;
  readonly name: string;
  readonly slab: Slab;
  readonly area: number;
}

/** Everything that the form keeps, and where. */
interface MatrixStream {
  readonly w: StreamCode;
  readonly slabs: readonly Slab[];
  readonly products: readonly Product[];
  readonly sums: readonly Sum[];
  /** Quads: where the exponents of slabs begin, a quad for each subgroup, and where it is said that shifts move. */
  readonly exponents: number;
  readonly flag: number;
  readonly total: number;
}

export interface MatrixWalk {
  /** Before all walks: what is kept through them. */
  readonly before: string;
  /** A walk. */
  readonly walk: string;
  /** After all walks: sums to the lanes. */
  readonly after: string;
  readonly sharedQuads: number;
}

export function matrixWalk(w: StreamCode, parts: MatrixParts, zero: string): MatrixWalk {
  const m = openMatrices(w, parts);
  for (const name of ['power_of_two_f32', 'largest_f32', 'split_octet_f16', 'split_unweighted_f16'])
    w.emitter.use(name);
  const columns = sizesOf(w.tuning).tileColumns;
  const last = w.kernel.walk.extent - columns;
  // Where it is asked whether a shift moves, all have met before anything is put where parts lay.
  const meetsAnyway = w.kernel.statements.some((s) => s.kind === 'row' && isFollowed(s, w));
  const statements = w.kernel.statements.map((s) => statementText(s, m)).filter((text) => text !== '');
  const before = wgsl`
    let zero_bits = ${zero};
    let lane_in = i32(lane % ${matrixLanes}u);
    let subgroup = i32(lane / ${matrixLanes}u);
    var since = 0;
    ${m.slabs.map(slabVariables).join('\n')}
    ${m.sums.map(sumVariables).join('\n')}
  `;
  const walk = wgsl`
    let walk_first = walk_from / ${columns} * ${columns};
    ${m.products.map((p) => keepRows(p, m)).join('\n')}
    ${m.slabs.map((slab) => fetch(slab, `min(walk_first, ${last})`, w)).join('\n')}
    ${m.slabs.map((slab) => publish(slab, m)).join('\n')}
    workgroupBarrier();
    for (var walk_start = walk_first; walk_start < walk_to; walk_start += ${columns}) {
      ${m.slabs.map((slab) => stage(slab, m)).join('\n')}
      ${m.slabs.map((slab) => fetch(slab, `min(walk_start + ${columns}, ${last})`, w)).join('\n')}
      workgroupBarrier();
      ${m.products.map((p) => multiplyRows(p, m)).join('\n')}
      workgroupBarrier();
      ${m.products.map((p) => takePart(p, m)).join('\n')}
      ${meetsAnyway ? '' : 'workgroupBarrier();'}
      ${statements.join('\n')}
      ${m.sums.map((sum) => putWeights(sum, m)).join('\n')}
      ${m.slabs.map((slab) => publish(slab, m)).join('\n')}
      workgroupBarrier();
      ${m.sums.map((sum) => multiplyColumns(sum, m)).join('\n')}
      workgroupBarrier();
      since += ${columns};
      if (since >= ${longestStretch}) {
        since = 0;
        ${sumsToLanes(m)}
      }
    }
  `;
  const after = [
    sumsToLanes(m),
    ...w.kernel.statements.filter((s) => s.kind === 'row' && isFollowed(s, w)).map((s) => followedStep(s, w)),
  ].join('\n');
  return { before, walk, after, sharedQuads: m.total };
}

function openMatrices(w: StreamCode, { products, sums }: MatrixParts): MatrixStream {
  const subgroups = sizesOf(w.tuning).threads / matrixLanes;
  const slabs = new Map<string, Slab>();
  let quads = 0;
  const slabOf = (side: MatrixSide): Slab => {
    const key = [quadText(side, w.axes.walk, w), side.extent].join();
    const known = slabs.get(key);
    if (known !== undefined) return known;
    const low = side.extent / 8;
    const slab = { name: w.emitter.fresh('staged'), side, start: quads, pitch: 2 * low + 1, low };
    quads += matrixSize * slab.pitch;
    slabs.set(key, slab);
    return slab;
  };
  const ownProducts = [...products].map(([tensor, product], area) => {
    return { ...product, tensor, area, name: w.emitter.fresh('rows'), slab: slabOf(product.right) };
  });
  const ownSums = [...sums].map(([tensor, sum], area) => {
    return { ...sum, tensor, area, name: w.emitter.fresh('sums'), slab: slabOf(sum.right) };
  });
  const areaQuads = subgroups * blockQuads;
  const areas = quads;
  const exponents = areas + Math.max(ownProducts.length, ownSums.length) * areaQuads;
  const flag = exponents + slabs.size * subgroups;
  const placed = <T extends { readonly area: number }>(each: T): T => ({
    ...each,
    area: areas + each.area * areaQuads,
  });
  return {
    w,
    slabs: [...slabs.values()],
    products: ownProducts.map(placed),
    sums: ownSums.map(placed),
    exponents,
    flag,
    total: flag + 1,
  };
}

/** WGSL of the quad from `column` on of what is at `place`, which is along `position`. */
function quadText(side: MatrixSide, position: number, w: StreamCode, place = 'place', column = 'column'): string {
  const { load: wide, parts, axis } = side;
  const names = new Map([
    [position, place],
    [axis, column],
  ]);
  return wideText(wide, scopeOf(w, parts.equation, names));
}

const add = (sum: string, left: string, right: string): string =>
  `${sum} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${sum});`;
const matrixLoad = (side: 'left' | 'right', order: 'row_major' | 'col_major', place: string, pitch: number): string =>
  `subgroupMatrixLoad<${operands[side]}, ${order}>(&scratch, u32(${place}), ${pitch})`;
const count = (extent: number): readonly number[] => Array.from({ length: extent / matrixSize }, (_, i) => i);
/** Where a subgroup's block of an area lies, and a lane's quad of its first row there. */
const ownBlock = (area: number): string => `${area} + subgroup * ${blockQuads}`;
const ownQuad = (area: number): string => `${area} + lane_y * ${2 * blockPitch} + own_row * ${blockPitch} + lane_x`;

/** The rows of a product as matrices in registers, a matrix of them at a time through workgroup memory. */
function keepRows({ name, left, area }: Product, { w }: MatrixStream): string {
  const quad = (column: number): string =>
    quadText(left, w.axes.row, w, `${name}_place`, column === 0 ? `${name}_column` : `(${name}_column + ${column})`);
  const read = count(left.extent).flatMap((k) => [
    `let ${name}_first_${k} = ${quad(k * matrixSize)};`,
    `let ${name}_second_${k} = ${quad(k * matrixSize + 4)};`,
  ]);
  const bits = count(left.extent).map((k) => `largest_f32(${name}_first_${k}, ${name}_second_${k})`);
  const most = bits.reduce((a, b) => `max(${a}, ${b})`);
  const matrices = count(left.extent).map(
    (k) => wgsl`
      workgroupBarrier();
      {
        let parts = split_octet_f16(${name}_first_${k}, ${name}_second_${k}, power_of_two_f32(${scaledExponent} - ${name}_exponent), zero_bits);
        let at = ${ownBlock(area)} + lane_in / 2 * ${blockPitch} + lane_in % 2;
        scratch[at] = parts.high;
        scratch[at + 2] = parts.low;
      }
      workgroupBarrier();
      let ${name}_high_${k} = ${matrixLoad('left', 'row_major', ownBlock(area), blockPitch)};
      let ${name}_low_${k} = ${matrixLoad('left', 'row_major', plus(ownBlock(area), 2), blockPitch)};
    `,
  );
  return wgsl`
    let ${name}_place = row_start + subgroup * ${matrixSize} + lane_in / 2;
    let ${name}_column = lane_in % 2 * 8;
    ${read.join('\n')}
    let ${name}_exponent = max(i32(subgroupMax(${most}) >> 23u) - 127, ${leastExponent});
    ${matrices.join('\n')}
    workgroupBarrier();
  `;
}

/** What a lane holds of what is staged next, and the exponent of it all so far. */
const slabVariables = ({ name }: Slab): string =>
  [
    `var ${name}_first = vec4<f32>();`,
    `var ${name}_second = vec4<f32>();`,
    `var ${name}_exponent = ${leastExponent};`,
  ].join('\n');

/** Eight neighbouring elements of a point for each lane, as long as there are any. */
function unit(
  { side }: Slab,
  { tuning }: StreamCode,
): { readonly guards: readonly string[]; readonly lines: readonly string[] } {
  const octets = side.extent / 8;
  const units = matrixSize * octets;
  const { threads } = sizesOf(tuning);
  if (units > threads) throw new Error(`${units} pieces of work for ${threads} lanes`);
  return {
    guards: units < threads ? [`i32(lane) < ${units}`] : [],
    lines: [`let point = i32(lane) / ${octets};`, `let octet = i32(lane) % ${octets};`],
  };
}

function fetch(slab: Slab, from: string, w: StreamCode): string {
  const { guards, lines } = unit(slab, w);
  const { name, side } = slab;
  const text = wgsl`
    ${lines.join('\n')}
    let place = ${from} + point;
    let column = octet * 8;
    ${name}_first = ${quadText(side, w.axes.walk, w)};
    ${name}_second = ${quadText(side, w.axes.walk, w, 'place', '(column + 4)')};
  `;
  return guards.length === 0 ? `{\n${text}\n}` : guarded(guards, text);
}

/** A subgroup's exponent of what it has read, for all others. */
function publish({ name }: Slab, m: MatrixStream): string {
  const subgroups = sizesOf(m.w.tuning).threads / matrixLanes;
  const at = m.exponents + m.slabs.findIndex((slab) => slab.name === name) * subgroups;
  return wgsl`
    {
      let exponent = max(i32(subgroupMax(largest_f32(${name}_first, ${name}_second)) >> 23u) - 127, ${leastExponent});
      if (lane_in == 0) { scratch[${at} + subgroup] = vec4<f32>(f32(exponent)); }
    }
  `;
}

/** What was read, as high and low parts; where something larger has come, what was summed with it is made smaller. */
function stage(slab: Slab, m: MatrixStream): string {
  const { name, start, pitch, low } = slab;
  const subgroups = sizesOf(m.w.tuning).threads / matrixLanes;
  const at = m.exponents + m.slabs.indexOf(slab) * subgroups;
  const exponents = Array.from({ length: subgroups }, (_, i) => `scratch[${at + i}].x`).reduce(
    (a, b) => `max(${a}, ${b})`,
  );
  const { guards, lines } = unit(slab, m.w);
  const put = wgsl`
    ${lines.join('\n')}
    let parts = split_octet_f16(${name}_first, ${name}_second, power_of_two_f32(${scaledExponent} - ${name}_exponent), zero_bits);
    let at = ${start} + point * ${pitch} + octet;
    scratch[at] = parts.high;
    scratch[at + ${low}] = parts.low;
  `;
  const readers = m.sums.filter((sum) => sum.slab === slab);
  return wgsl`
    {
      let exponent = i32(${exponents});
      if (exponent > ${name}_exponent) {
        ${readers.length === 0 ? '' : `let by = power_of_two_f32(max(${name}_exponent - exponent, -126));`}
        ${readers.flatMap(shrink).join('\n')}
        ${name}_exponent = exponent;
      }
      ${guards.length === 0 ? put : guarded(guards, put)}
    }
  `;
}

const sumNames = ({ name, right }: Sum): readonly string[] => count(right.extent).map((e) => `${name}_${e}`);
const sumVariables = (sum: Sum): string =>
  [...sumNames(sum).map((each) => `var ${each} = ${result}();`), `var ${sum.name}_exponent = ${leastExponent};`].join(
    '\n',
  );
const shrink = (sum: Sum): readonly string[] =>
  sumNames(sum).map((each) => `${each} = subgroupMatrixScalarMultiply(${each}, by);`);

/** A tile's product, 16 rows of a subgroup by 16 points, to workgroup memory. */
function multiplyRows({ name, left, slab, area }: Product, _m: MatrixStream): string {
  const right = (k: number, low: number): string =>
    matrixLoad('right', 'col_major', String(slab.start + k * 2 + low), slab.pitch);
  const lines = count(left.extent).flatMap((k) => [
    `let high_${k} = ${right(k, 0)};`,
    `let low_${k} = ${right(k, slab.low)};`,
    add('product', `${name}_high_${k}`, `low_${k}`),
    add('product', `${name}_low_${k}`, `high_${k}`),
  ]);
  return wgsl`
    {
      var product = ${result}();
      ${lines.join('\n')}
      ${count(left.extent)
        .map((k) => add('product', `${name}_high_${k}`, `high_${k}`))
        .join('\n')}
      subgroupMatrixStore<row_major>(&scratch, u32(${ownBlock(area)}), product, ${blockPitch});
    }
  `;
}

/** A lane's elements of it, with the scales taken off. */
function takePart({ name, slab, area }: Product, _m: MatrixStream): string {
  return wgsl`
    var ${name}_part = array<vec4<f32>, 2>();
    for (var own_row = 0; own_row < 2; own_row++) {
      ${name}_part[own_row] = scratch[${ownQuad(area)}] * power_of_two_f32(${name}_exponent - ${scaledExponent}) * power_of_two_f32(${slab.name}_exponent - ${scaledExponent});
    }
  `;
}

function statementText(s: StreamStatement, m: MatrixStream): string {
  const { w } = m;
  switch (s.kind) {
    case 'tile': {
      const product = m.products.find(({ tensor }) => tensor === s.tensor);
      if (product === undefined)
        return tileStep(s, w)
          .map(({ text }) => text)
          .join('\n');
      const name = w.variables.get(s.tensor)!;
      return [`var ${name} = array<vec4<f32>, 2>();`, addPart(product.parts, `${product.name}_part`, name, w)].join(
        '\n',
      );
    }
    case 'extreme':
      return extremeStep(s, w);
    case 'total':
      return totalStep(s, w);
    case 'row':
      return isFollowed(s, w) ? moveShift(s, m) : '';
    case 'sum':
      return ''; // after all else: a shift that moves takes the place of weights
    case 'map':
      throw new Error(`${s.tensor} is stored at every point`);
    default:
      return s.kind satisfies never;
  }
}

/** A row tensor that moves with an extreme, and all sums with it, but not before one row has far to go. */
function moveShift(s: StreamStatement, m: MatrixStream): string {
  const { w } = m;
  const equation = readyOf(w, s.equations[0]);
  const name = w.variables.get(s.tensor)!;
  const [before, after] = [load(s.tensor, []), load(s.tensor, [])];
  const known = new Map([
    [before, `${name}[own_row / 4][own_row % 4]`],
    [after, 'moved'],
  ]);
  const way = expressionText(sumOf([before, negate(after)]), { ...scopeOf(w, equation), known });
  const far = w.emitter.fresh('far');
  const moved = wgsl`
    let moved = ${expressionText(equation.value, scopeOf(w, equation))};
    ${far} = ${far} || abs(${way}) > ${mostBehind}.0;
  `;
  return wgsl`
    var ${far} = false;
    ${overRows(w, moved)}
    if (${far}) { scratch[${m.flag}] = vec4<f32>(f32(walk_start + 1)); }
    if (workgroupUniformLoad(&scratch[${m.flag}]).x == f32(walk_start + 1)) {
      ${sumsToLanes(m)}
      ${followedStep(s, w)}
    }
  `;
}

/** What a sum takes of a subgroup's elements, as high and low parts in workgroup memory: neighbours write a quad of high and one of low parts. */
function putWeights(sum: Sum, m: MatrixStream): string {
  const { w } = m;
  const { name, area } = sum;
  const weights = w.emitter.fresh('weights');
  const scale = `power_of_two_f32(${scaledExponent} - ${name}_exponent)`;
  return wgsl`
    ${takeWeights(sum.parts, weights, w)}
    {
      let exponent = i32(subgroupMax(largest_f32(${weights}[0], ${weights}[1])) >> 23u) - 127;
      if (exponent > ${name}_exponent) {
        let by = power_of_two_f32(max(${name}_exponent - exponent, -126));
        ${shrink(sum).join('\n')}
        ${name}_exponent = exponent;
      }
      let upper = split_unweighted_f16(${weights}[0], ${scale}, zero_bits);
      let lower = split_unweighted_f16(${weights}[1], ${scale}, zero_bits);
      let is_even = lane_x % 2 == 0;
      let swapped = select(vec4<f32>(upper.xy, lower.xy), vec4<f32>(upper.zw, lower.zw), is_even);
      let other = subgroupShuffleXor(swapped, 1u);
      let at = ${area} + lane_y * ${2 * blockPitch} + lane_x / 2 + select(2, 0, is_even);
      scratch[at] = select(vec4<f32>(other.xy, upper.zw), vec4<f32>(upper.xy, other.xy), is_even);
      scratch[at + ${blockPitch}] = select(vec4<f32>(other.zw, lower.zw), vec4<f32>(lower.xy, other.zw), is_even);
    }
  `;
}

function multiplyColumns({ name, right, slab, area }: Sum, _m: MatrixStream): string {
  const lines = count(right.extent).flatMap((e) => {
    const staged = (low: number): string =>
      matrixLoad('right', 'row_major', String(slab.start + e * 2 + low), slab.pitch);
    return [
      `let high_${e} = ${staged(0)};`,
      `let low_${e} = ${staged(slab.low)};`,
      add(`${name}_${e}`, 'weights_high', `low_${e}`),
      add(`${name}_${e}`, 'weights_low', `high_${e}`),
      add(`${name}_${e}`, 'weights_high', `high_${e}`),
    ];
  });
  return wgsl`
    {
      let weights_high = ${matrixLoad('left', 'row_major', ownBlock(area), blockPitch)};
      let weights_low = ${matrixLoad('left', 'row_major', plus(ownBlock(area), 2), blockPitch)};
      ${lines.join('\n')}
    }
  `;
}

/** Adds what the matrices came to, 16 columns at a time, and empties them. */
function sumsToLanes(m: MatrixStream): string {
  return m.sums.map((sum) => sumToLanes(sum, m)).join('\n');
}

function sumToLanes({ name, tensor, right, slab }: Sum, { w, products }: MatrixStream): string {
  const variable = w.variables.get(tensor)!;
  const [{ area }] = products;
  const perRow = right.extent / matrixSize;
  const scale = `power_of_two_f32(${name}_exponent - ${scaledExponent}) * power_of_two_f32(${slab.name}_exponent - ${scaledExponent})`;
  const columns = count(right.extent).map(
    (e) => wgsl`
      subgroupMatrixStore<row_major>(&scratch, u32(${ownBlock(area)}), ${name}_${e}, ${blockPitch});
      workgroupBarrier();
      for (var own_row = 0; own_row < 2; own_row++) { ${variable}[${plus(perRow === 1 ? 'own_row' : `own_row * ${perRow}`, e)}] += scratch[${ownQuad(area)}] * ${scale}; }
      workgroupBarrier();
      ${name}_${e} = ${result}();
    `,
  );
  return [...columns, `${name}_exponent = ${leastExponent};`].join('\n');
}
