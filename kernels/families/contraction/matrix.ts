/**
 * The matrix form of a contraction: products of f32 on tensor cores, each operand as two f16 (split-library.ts):
 *
 *   A · B ≈ high · high + (high · low + low · high) · 2^-11,   the two sums in matrices of their own, f32
 *
 * A workgroup stages slabs of both operands in workgroup memory, `tileK` of k, high parts and low parts
 * (contraction/matrix-staging.ts), scaled by powers of two that make f16 hold them (contraction/matrix-scales.ts); each subgroup
 * multiplies its `rows × columns` of the tile in matrices of 16×16×16, while the next slabs are on their way from memory. At the end
 * the sums go to the threads that finish them (contraction/matrix-sums.ts).
 *
 * The traps. Tensor cores cut off what does not fit when they add, so an error grows with the length of a sum: after `longestSum` of k
 * the sums are added up in f32. All of a subgroup must do the same with a matrix, and WGSL does not see that `lane / 32` is the same for
 * all of it: that diagnostic is turned off for the body. And every thread must meet every barrier.
 */

import { kernelParts } from '../../statements.ts';
import { matrixLanes, matrixSize } from '../../target.ts';
import { multiplyAccumulate, operandMatrix, sumMatrix } from '../../wgsl/matrices.ts';
import { plus, wgsl } from '../../wgsl/text.ts';
import type { ElementsEnd } from './finish.ts';
import type { ContractionParts, Products } from './functions.ts';
import { finishStripRows } from './matrix-rows.ts';
import {
  chooseScales,
  lookAgain,
  noteFinite,
  noteLargest,
  noteOutgrown,
  noteSample,
  outgrownVariable,
  scaleVariables,
  untilScaled,
} from './matrix-scales.ts';
import {
  type MatrixMemory,
  matrixMemory,
  matrixStaging,
  perQuad,
  type SideName,
  slabOf,
  stagedVariables,
} from './matrix-staging.ts';
import {
  addToTotals,
  columnText,
  finishStrips,
  matricesOf,
  sumNames,
  takesSubgroupRows,
  valuesOfThread,
} from './matrix-sums.ts';
import { longestSum } from './matrix-tile-sizes.ts';
import { isWholeLoop, kIsExact, longestLoop, overProducts } from './range.ts';
import type { RowsEnd } from './rows.ts';
import type { ContractionTuning } from './tuning.ts';

/** `end` takes sums to memory. */
export function matrixBody(products: Products, head: string, end: ElementsEnd | RowsEnd): string {
  const [w] = products;
  const { tuning, emitter, kernel } = w;
  for (const name of ['power_of_two_f32', 'scaled_f32', 'largest_f32', 'split_f16']) emitter.use(name);
  const memory = matrixMemory(products);
  const inColumns = tuning.tileN / tuning.columns;
  const hasTotals = isBlocked(products);
  const make = madeSums(products, memory);
  const again = lookAgain(w, finiteLoops(products, memory));
  const finish =
    end.kind === 'rows' ? finishStripRows(w, memory, end, hasTotals) : finishStrips(w, memory, end, hasTotals);
  const isByLane = takesSubgroupRows(w);
  const isNoted = hasStretches(products);
  const all = wgsl`
    ${head}
    let zero_bits = ${emitter.unknownZero(kernelParts(kernel).find(({ stored }) => stored)!.tensor)};
    let lane_in = i32(lane % ${matrixLanes}u);
    let subgroup = i32(lane / ${matrixLanes}u);
    let subgroup_m = subgroup / ${inColumns};
    let subgroup_n = subgroup % ${inColumns};
    ${isByLane ? '' : `let column = ${columnText(w)};`}
    let n = tile_n + ${isByLane ? 'lane_in' : 'column'};
    ${stagedVariables(tuning)}
    ${scaleVariables(w)}
    ${isNoted ? outgrownVariable : ''}
    ${untilScaled(w, memory, { make, again, finish, isNoted })}
  `;
  return wgsl`
    // scratch: high and low parts of the left operand, from ${memory.right} on of the right one; sums; from ${memory.exponents} on what subgroups say of scales
    @diagnostic(off, chromium.subgroup_matrix_uniformity) {
      ${all}
    }
  `;
}

/** Whether the sums are longer than tensor cores may make them at once. */
function isBlocked(products: Products): boolean {
  return products.reduce((total, { sizes }) => total + sizes.k, 0) > longestSum;
}

/** Whether scales are chosen more than once, so that those of one stretch say nothing of what the ones before had to hold. */
function hasStretches(products: Products): boolean {
  const [w] = products;
  return products.length > 1 || isBlocked(products) || longestLoop(w) < w.sizes.k;
}

/** All matrices of sums, by their names. */
function sumsOf(tuning: ContractionTuning): string[] {
  const names = sumNames(tuning);
  return [...names.map(([high]) => high), ...names.map(([, low]) => low)];
}

/** A part of a product's k that is gone through in one loop. */
interface Part {
  readonly start: number;
  readonly length: number;
  /** Its sums are begun anew, not those of the part before. */
  readonly isFirst: boolean;
  /** Its sums are as long as they may be: they are the totals that the rest is added to. */
  readonly isLast: boolean;
}

/**
 * The parts of each product where their sums go to totals once, known beforehand: they are written out, and the sums of the first half are
 * the totals. A loop that sums live on through, and totals that are added to, cost more (8192×512×2048: 229 → 208 µs on an H200; of four
 * stretches the same took no less, test/bench/records/2026-11-27-matrix.jsonl).
 */
function partsOnce(products: Products): ReadonlyMap<ContractionParts, readonly Part[]> | undefined {
  if (!products.every((w) => isWholeLoop(w) && kIsExact(w))) return undefined;
  const lengths = products.flatMap((w) => {
    const whole = Math.floor(w.sizes.k / longestSum);
    const rest = w.sizes.k % longestSum;
    return [...Array.from({ length: whole }, () => longestSum), ...(rest === 0 ? [] : [rest])].map((length, i) => ({
      w,
      start: i * longestSum,
      length,
    }));
  });
  let since = 0;
  const begun = lengths.map((part, i) => {
    const isFirst = i === 0 || since + part.length > longestSum;
    since = isFirst ? part.length : since + part.length;
    return { ...part, isFirst };
  });
  if (begun.filter(({ isFirst }) => isFirst).length !== 2) return undefined;
  const parts = begun.map((part, i) => ({ ...part, isLast: begun[i + 1]?.isFirst === true }));
  return new Map(products.map((w) => [w, parts.filter((part) => part.w === w)]));
}

/** The loops of all products, and the sums that they add to. */
function madeSums(products: Products, memory: MatrixMemory): string {
  const { tuning } = products[0];
  const totals = `var totals = array<f32, ${valuesOfThread(tuning)}>();`;
  const loops = overStaged(products, memory, (one) => slabLoop(one, products, memory));
  const variables = [
    ...sumsOf(tuning).map((sum) => `var ${sum} = ${sumMatrix}();`),
    ...(isBlocked(products) ? [totals] : []),
    ...(isBlocked(products) && partsOnce(products) === undefined ? ['var since = 0;'] : []),
  ];
  return [...variables, loops].join('\n');
}

/** Goes through all that a thread stages of all products, and notes what is finite. */
function finiteLoops(products: Products, memory: MatrixMemory): string {
  const loop = (w: ContractionParts): string => wgsl`
    for (var k_at = k_from; k_at < k_to; k_at += ${w.tuning.tileK}) {
      ${matrixStaging(w, memory).fetch}
      ${noteFinite(w)}
    }
  `;
  return overStaged(products, memory, loop);
}

/** The loops of all products, each behind the places of what a thread stages of it. */
function overStaged(products: Products, memory: MatrixMemory, loop: (w: ContractionParts) => string): string {
  return overProducts(
    products,
    loop,
    (one) => matrixStaging(one, memory).places,
    () => '',
  );
}

/** The steps of a product from `k_from` to `k_to`, in stretches where the sums get longer than tensor cores may make them. */
function slabLoop(w: ContractionParts, products: Products, memory: MatrixMemory): string {
  if (!isBlocked(products)) {
    const whole: Stretch = { from: 'k_from', to: 'k_to', length: longestLoop(w), isExact: isWholeLoop(w) };
    const loop = stretchLoop(w, memory, whole, !hasStretches(products));
    return hasStretches(products) ? [noteOutgrown(w), loop].join('\n') : loop;
  }
  const parts = partsOnce(products)?.get(w);
  return parts === undefined ? sharedStretches(w, memory) : parts.map((part) => partLoop(w, memory, part)).join('\n');
}

function partLoop(w: ContractionParts, memory: MatrixMemory, { start, length, isFirst, isLast }: Part): string {
  const stretch: Stretch = { from: 'stretch', to: `(stretch + ${length})`, length, isExact: true };
  return wgsl`
    {
      let stretch = ${plus('k_from', start)};
      ${noteOutgrown(w)}
      ${stretchLoop(w, memory, stretch, isFirst)}
      ${isLast ? addToTotals(w, memory, true) : ''}
      ${isLast ? emptySums(w.tuning) : ''}
    }
  `;
}

/** Sums live on from stretch to stretch, also of other products, until they get too long. */
function sharedStretches(w: ContractionParts, memory: MatrixMemory): string {
  const whole = longestLoop(w);
  const length = Math.min(longestSum, whole);
  const isExact = isWholeLoop(w) && whole % length === 0;
  return wgsl`
    for (var stretch = k_from; stretch < k_to; stretch += ${length}) {
      if (since > ${longestSum - length}) {
        since = 0;
        ${addToTotals(w, memory, false)}
        ${emptySums(w.tuning)}
      }
      since += ${length};
      let stretch_to = min(stretch + ${length}, k_to);
      ${noteOutgrown(w)}
      ${stretchLoop(w, memory, { from: 'stretch', to: 'stretch_to', length, isExact }, false)}
    }
  `;
}

function emptySums(tuning: ContractionTuning): string {
  return sumsOf(tuning)
    .map((sum) => `${sum} = ${sumMatrix}();`)
    .join('\n');
}

/**
 * Steps of k of the gradients of weights whose scales come of a sample of every slab. Where these are tokens of many sequences, tiles were made
 * twice: in icl low_rank 16 256, of 64 tokens a sequence and pieces of 512 and 1024, a layer's dispatch of such gradients took 178 µs on an H100, 152
 * with samples in all of them, 137 with scales that left more room, so that nothing was made twice; a step 3.26 ms and 3.08. In lm low_rank 1024 512,
 * of 1024 tokens and stretches of 1024, a step took 17.35 ms, 17.78 with samples (test/bench/records/2026-11-28-lowrank-5.jsonl).
 */
const longestSampled = 512;

/** A part of k, by the names of its ends: at most so long, or always exactly. */
interface Stretch {
  readonly from: string;
  readonly to: string;
  readonly length: number;
  readonly isExact: boolean;
}

/**
 * A slab of both operands a step. The next one is on its way from memory while this one is multiplied. `isFirst` where there are no sums yet.
 * Operands that lie along m and n are gradients of weights: what they are summed over are tokens, whose cotangents grow or shrink along a
 * sequence, so scales come of the last slab too. With it tiles are made again less often: a step of lm low_rank 1024 512 took 19.76 ms on an
 * H100 without, 19.24 with it in all products (test/bench/records/2026-11-28-totals.jsonl). Short sums have more, a sample of
 * every slab (`longestSampled`).
 */
function stretchLoop(
  w: ContractionParts,
  memory: MatrixMemory,
  { from, to, length, isExact }: Stretch,
  isFirst: boolean,
): string {
  const { tuning } = w;
  const { tileK } = tuning;
  const { fetch, sample, store } = matrixStaging(w, memory);
  const steps = Math.ceil(length / tileK);
  const fetchAt = (place: string): string => wgsl`
    {
      let k_at = ${place};
      ${fetch}
    }
  `;
  const { left, right } = w.quads;
  const isOfTokens = isExact && steps > 1 && !left.alongK && !right.alongK;
  const samples = wgsl`
    for (var step = 1; step < ${w.emitter.bound(steps)}; step++) {
      let k_at = ${from} + step * ${tileK};
      ${sample}
      ${noteSample(w)}
    }
  `;
  const last = wgsl`
    ${fetchAt(plus(from, (steps - 1) * tileK))}
    ${noteLargest(w)}
  `;
  const ahead = w.sizes.k <= longestSampled ? samples : last;
  return wgsl`
    ${isOfTokens ? ahead : ''}
    ${fetchAt(from)}
    ${chooseScales(w, memory, isFirst ? [] : sumsOf(tuning))}
    for (var step = 0; step < ${w.emitter.bound(steps)}; step++) {
      let k0 = ${from} + step * ${tileK};
      ${isExact ? '' : `if (k0 >= ${to}) { break; }`}
      ${noteLargest(w)}
      ${store}
      workgroupBarrier();
      if (k0 + ${tileK} < ${to}) {
        let k_at = k0 + ${tileK};
        ${fetch}
      }
      for (var k_in = 0; k_in < ${tileK / matrixSize}; k_in++) {
        ${multiply(w, memory)}
      }
      workgroupBarrier();
    }
  `;
}

/** 16 steps of k: a subgroup's matrices of both slabs, and all their products but low · low. */
function multiply(w: ContractionParts, memory: MatrixMemory): string {
  const [rows, columns] = matricesOf(w.tuning);
  const loads = (side: SideName, i: number): string[] =>
    (['high', 'low'] as const).map((part) => `let ${side}_${part}_${i} = ${loadMatrix(w, memory, side, part, i)};`);
  const lines = Array.from({ length: columns }, (_, j) => loads('right', j)).flat();
  for (let i = 0; i < rows; i++) {
    lines.push(...loads('left', i));
    for (let j = 0; j < columns; j++)
      lines.push(multiplyAccumulate(`low_${i}_${j}`, `left_high_${i}`, `right_low_${j}`));
    for (let j = 0; j < columns; j++)
      lines.push(multiplyAccumulate(`low_${i}_${j}`, `left_low_${i}`, `right_high_${j}`));
    for (let j = 0; j < columns; j++)
      lines.push(multiplyAccumulate(`high_${i}_${j}`, `left_high_${i}`, `right_high_${j}`));
  }
  return lines.join('\n');
}

function loadMatrix(
  w: ContractionParts,
  memory: MatrixMemory,
  side: SideName,
  part: 'high' | 'low',
  i: number,
): string {
  const { alongK, stride, low } = slabOf(w, side);
  const [own, count] = side === 'left' ? ['subgroup_m', w.tuning.rows] : ['subgroup_n', w.tuning.columns];
  const base = memory[side] + (part === 'low' ? low : 0);
  const place = alongK
    ? plus(`${own} * ${count * stride} + k_in * ${matrixSize / perQuad}`, base + i * matrixSize * stride)
    : plus(`k_in * ${matrixSize * stride} + ${own} * ${count / perQuad}`, base + (i * matrixSize) / perQuad);
  const isRowMajor = (side === 'left') === alongK;
  const order = isRowMajor ? 'row_major' : 'col_major';
  return `subgroupMatrixLoad<${operandMatrix[side]}, ${order}>(&scratch, u32(${place}), ${stride})`;
}
