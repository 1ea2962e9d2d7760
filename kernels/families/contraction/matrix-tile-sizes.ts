/**
 * When a contraction runs on tensor cores, and in which tile: what the target must have and the operands be, the table of tiles with
 * what was measured with them, and a model of the time, by which the matrix form is weighed against the tiled one.
 */

import type { Layouts } from '../../kernel.ts';
import { hasTensorCores, matrixSize, type Target } from '../../target.ts';
import { operandQuads } from './functions.ts';
import { holdsRows } from './rows.ts';
import {
  type ContractionShape,
  type ContractionSizes,
  contractionSizes,
  type ProductShapes,
  sizesTogether,
  tileCount,
} from './shape.ts';
import {
  type Company,
  chip,
  epilogueAloneUs,
  fastestPieces,
  fastestTiled,
  leastWork,
  rowsEndUs,
  type Timed,
  tiledTimesWithRows,
  turns,
} from './tile-sizes.ts';
import { type ContractionTuning, contractionThreads, defaultContractionTuning } from './tuning.ts';

/**
 * Steps of k that tensor cores may add up, before the sums are added to totals in f32. They cut off where f32 units round, so the error
 * grows with the length: with positive operands it is 3.5 times that of the tiled form at 1024, 6 at 2048
 * (test/bench/records/2026-11-26-split.jsonl).
 */
export const longestSum = 1024;

interface MatrixForm {
  readonly tuning: ContractionTuning;
  /** TFLOP/s of a product large enough for every tile, on an H100, of operands that both lie along m and n (`ratePerK`). */
  readonly tflops: number;
  /** Workgroups that a multiprocessor works on at once: as many as it has workgroup memory and registers for. */
  readonly resident: number;
  /** What each operand that lies along k adds to the rate, where that is not `ratePerK`. */
  readonly perK?: number;
  /** The rate where every multiprocessor has one tile at most, if that is another. */
  readonly tflopsInOneWave?: number;
}

function matrix(
  tileM: number,
  tileN: number,
  tileK: number,
  [rows, columns]: readonly [number, number],
): ContractionTuning {
  return { form: 'matrix', tileM, tileN, tileK, rows, columns };
}

/**
 * Rates as they were before addresses left the loop: 8192×512×2048 is made at 80 TFLOP/s since. The choices are right by these: with today's
 * rates a step of icl low_rank 16 256 took 3.77 ms in place of 3.70 on an H200 (test/bench/records/2026-11-27-matrix.jsonl). What a slab costs is
 * its barriers and the wait for the next one: slabs of 16, with which two to four times as many workgroups reside, take 1.1 to 2.8 times as long
 * (test/bench/records/2026-11-28-lowrank-3.jsonl).
 */
const matrixForms: readonly MatrixForm[] = [
  { tuning: matrix(128, 128, 32, [64, 32]), tflops: 63, resident: 1 },
  { tuning: matrix(64, 64, 32, [32, 32]), tflops: 50, resident: 2 },
];

/**
 * More for epilogues that ask for whole rows: one workgroup waits for its own. 32 × 256 reads twice as much into slabs as 128 × 128 does: scores of
 * 512 × (256×80×256) with their softmax took it 593 µs on an H100, 128 × 128 and rows by themselves 236 and 93. 64 × 256 reads a quarter more, and
 * what lies along k costs it more again: with a norm's gradient behind 64 × (2048×256×256) of operands along m and n the dispatch took 631 µs, 718
 * in two; a norm behind 16384 × 256 × 1024 of operands along k 186, 131 in two (test/bench/records/2026-11-27-rows-of-256.jsonl). Where there is
 * but one wave of them the weights are the same for all tiles at the same time: 4096 × 256 × 256 of operands along k, a residual and a norm took
 * 18 µs in 32 × 256, 25 in 64 × 256, 28 as stages on f32 units, 17 in two (test/bench/records/2026-11-28-small-4.jsonl).
 */
const matrixRowForms: readonly MatrixForm[] = [
  { tuning: matrix(64, 256, 32, [64, 32]), tflops: 58, resident: 1, perK: -0.1 },
  { tuning: matrix(32, 256, 32, [32, 32]), tflops: 13, resident: 1, tflopsInOneWave: 41 },
];

/** What a tuner tries: those of the table that the target has room for. */
export function matrixCandidates(target: Target): readonly ContractionTuning[] {
  return formsFor(target, [...matrixForms, ...matrixRowForms]).map(({ tuning }) => tuning);
}

/** Quads of workgroup memory that a form needs at most, for operands that lie along k. */
function mostQuads({ tileM, tileN, tileK }: ContractionTuning): number {
  return (tileM + tileN) * (tileK / 4 + 1) + (tileM + tileN) / matrixSize;
}

/** Whether a multiprocessor has no room for a second workgroup beside one of this form. */
export function fillsMultiprocessor(tuning: ContractionTuning): boolean {
  return tuning.form === 'matrix' && 2 * 16 * mostQuads(tuning) > chip.workgroupBytes;
}

/** Those that the target has tensor cores, threads and workgroup memory for. */
function formsFor(target: Target, forms = matrixForms): readonly MatrixForm[] {
  const { maxComputeInvocationsPerWorkgroup: threads, maxComputeWorkgroupStorageSize: bytes } = target.limits;
  if (target.class !== 'gpu' || !hasTensorCores(target)) return [];
  return forms.filter(({ tuning }) => contractionThreads(tuning) <= threads && 16 * mostQuads(tuning) <= bytes);
}

/**
 * How many operands of a product lie along k in memory, on average of the products; undefined where they cannot be made on tensor cores,
 * whatever their length: both operands must come out of memory in quads. Those that are expressions are taken apart anew by every
 * workgroup that reads them, so they stay with the tiled form.
 */
function operandsAlongK(shapes: readonly ContractionShape[], layouts: Layouts, target: Target): number | undefined {
  const [{ tuning } = { tuning: undefined }] = formsFor(target);
  if (tuning === undefined) return undefined;
  const operands = shapes.flatMap((s) => Object.values(operandQuads(s, tuning, layouts, false)));
  if (operands.some(({ load }) => load === undefined)) return undefined;
  return operands.filter(({ alongK }) => alongK).length / shapes.length;
}

/**
 * What each operand that lies along k adds to the rate, relative to the tiled form, which has to turn it over: 16384 × 256 × 1024 of
 * two such is made at 66 TFLOP/s (tiled 36), 16384 × 1024 → 1024 × 256, a weight's gradient, at 62 (tiled 40).
 */
const ratePerK = 0.17;
/**
 * Steps of k that a workgroup's beginning and end take as long as: scales are looked for, sums go by way of workgroup memory. For
 * 512 × (256×256×32) with an epilogue that reads two tensors of the output's size it takes twice as long as the tiled form.
 */
const stepsAround = 100;
/**
 * Steps of k that adding the sums to totals takes as long as: once, where it is written out, and each time in a loop (260 to 350 as measured;
 * less here, since pieces also take memory, and what reads the result is no longer at the end of the product). 2048 × 512 over 8192 and what
 * else its dispatch has took 432 µs on an H100 in two pieces, 392 in four, 389 in eight that took 10 more to add up
 * (test/bench/records/2026-11-28-totals.jsonl).
 */
const stepsOfTotals = { once: 60, inLoop: 200 };
/** One of two took 31 µs for 1024 of k, two 21 for 512. */
const company: Company = { each: 0.5, waiting: 0.5 };

function timeUs(
  sizes: ContractionSizes,
  alongK: number,
  { tuning, tflops, resident, perK = ratePerK, tflopsInOneWave = tflops }: MatrixForm,
): number {
  const { tileM, tileN } = tuning;
  const tiles = tileCount(sizes, tuning);
  const rate = tiles <= chip.multiprocessors ? tflopsInOneWave : tflops;
  const flopsPerUs = (rate * 1e6) / chip.multiprocessors;
  const totals = Math.ceil(sizes.k / longestSum) - 1;
  const adding = totals * (totals <= 1 ? stepsOfTotals.once : stepsOfTotals.inLoop);
  const steps = sizes.k / (1 + perK * alongK) + stepsAround + adding;
  return (turns(tiles, resident, company) * 2 * tileM * tileN * steps) / flopsPerUs;
}

function matrixTimes(
  sizes: ContractionSizes,
  alongK: number | undefined,
  target: Target,
  forms = matrixForms,
): readonly Timed[] {
  if (alongK === undefined) return [];
  return formsFor(target, forms).map((form) => ({ tuning: form.tuning, timeUs: timeUs(sizes, alongK, form) }));
}

/**
 * The matrix form is taken where the tiled one takes so many times as long: its code is longer and takes 0.2 to 0.4 s to compile, 0.05 that
 * of the tiled form, which also gains more by the company of other kernels in its dispatch. Sixteen gradients of 256 × 256 weights over 4096
 * rows took 235 µs in one dispatch of the tiled form, 17.4 each alone, and three with another product on tensor cores 19 each, 16 alone:
 * with 1.15 a step of icl low_rank 16 256 took 4.17 ms on an H200, with 1.2 4.00 (test/bench/records/2026-11-27-choice.jsonl).
 */
const leastGain = 1.2;

const costUs = ({ tuning, timeUs }: Timed): number => (tuning.form === 'matrix' ? leastGain : 1) * timeUs;
const wholeUs = (timed: Timed): number => costUs(timed) + rowsEndUs(timed.tuning);

function cheapest(all: readonly Timed[], cost: (timed: Timed) => number): Timed {
  return all.reduce((a, b) => (cost(b) < cost(a) ? b : a));
}

/** The best of the tiled form and, where the operands suit them, those on tensor cores. */
function fastest(sizes: ContractionSizes, alongK: number | undefined, target: Target): Timed {
  return cheapest([fastestTiled(sizes, target), ...matrixTimes(sizes, alongK, target)], costUs);
}

/**
 * What the gradient of a weight is made of where it is only a few tiles: pieces as long as tensor cores may add up, both operands along m and
 * n, in whole tiles of the largest form. They share dispatches with gradients of other weights and the next steps back
 * (compiler/schedule/dispatches/combine.ts), where the work of their workgroups counts, not how few these are. With four pieces of 1024 in
 * place of 16 of the tiled form for each gradient of 256 × 256 over 4096 a step of icl low_rank 16 256 took 3.69 ms on an H100 in place of
 * 3.76, 104 dispatches in place of 106; with eight of 512 3.89 (test/bench/records/2026-11-28-shared-pieces.jsonl).
 */
function isSharedPiece({ batch, m, n, k }: ContractionSizes, alongK: number | undefined, target: Target): boolean {
  const [{ tuning } = { tuning: undefined }] = formsFor(target);
  const isPiece = alongK === 0 && batch > 1 && k === longestSum;
  return isPiece && tuning !== undefined && m % tuning.tileM === 0 && n % tuning.tileN === 0;
}

/** In how many pieces a long sum is made, none shorter than `least`. */
export function piecesByRule(s: ContractionShape, layouts: Layouts, target: Target, least: number): number {
  const sizes = contractionSizes(s);
  const alongK = operandsAlongK([s], layouts, target);
  const fastestOf = (one: ContractionSizes): Timed => fastest(one, alongK, target);
  const pieces = fastestPieces(sizes, least, (one) => fastestOf(one).timeUs);
  const cut = (count: number): ContractionSizes => ({ ...sizes, batch: sizes.batch * count, k: sizes.k / count });
  const shared = sizes.k / longestSum;
  const isTiled = fastestOf(cut(pieces)).tuning.form === 'tiled';
  return isTiled && shared > 1 && shared < pieces && isSharedPiece(cut(shared), alongK, target) ? shared : pieces;
}

/** How long the model takes products into the same sums to take in tiles of its tables, the fastest of these where the given ones are no such. */
export function contractionUs(
  shapes: ProductShapes,
  tuning: ContractionTuning,
  layouts: Layouts,
  target: Target,
): number {
  const sizes = sizesTogether(shapes);
  const all = allTimes(sizes, operandsAlongK(shapes, layouts, target), target);
  const known = all.filter((timed) => isSameTile(timed.tuning, tuning));
  return Math.min(...(known.length > 0 ? known : all).map(({ timeUs }) => timeUs));
}

const isSameTile = (a: ContractionTuning, b: ContractionTuning): boolean =>
  a.form === b.form && a.tileM === b.tileM && a.tileN === b.tileN && a.slices === b.slices;

/** Of all tiles, those for epilogues that have rows too. */
function allTimes(sizes: ContractionSizes, alongK: number | undefined, target: Target): readonly Timed[] {
  return [
    ...tiledTimesWithRows(sizes, target),
    ...matrixTimes(sizes, alongK, target, [...matrixForms, ...matrixRowForms]),
  ];
}

/** The form by default of products into the same sums; `rowLength` of an epilogue that has rows, if there is one. */
export function contractionRule(
  shapes: ProductShapes,
  layouts: Layouts,
  target: Target,
  rowLength?: number,
): ContractionTuning {
  const [first] = shapes;
  const tuning = defaultContractionTuning(first, target);
  if (tuning.form !== 'tiled') return tuning;
  const alongK = operandsAlongK(shapes, layouts, target);
  const sizes = sizesTogether(shapes);
  if (rowLength !== undefined)
    return fastestHolding(sizes, alongK, target, (t) => holdsRows(first, t, rowLength, target));
  if (isSharedPiece(sizes, alongK, target)) return formsFor(target)[0].tuning;
  const { tuning: alone } = fastest(sizes, alongK, target);
  const isShared = alone.slices !== undefined && isPieceOfSum(first, alone, layouts);
  return (isShared && leastWork(sizes, target)) || alone;
}

/**
 * Whether it looks like a piece of a longer sum, as gradients of weights are made in: batches of operands that both lie along m and n. They share
 * dispatches, where the work of their workgroups counts: slices of k buy time of a product alone with more of it. With gradients of 256 × 64
 * weights over 4096 rows, 16 pieces each, in tiles of 64 × 64 in place of two slices of 32 × 64 a step of icl bilinear_BTT 16 64 took 1.194 ms on an
 * H100 in place of 1.224, in 64 × 32 and 16 × 128 1.217 in place of 1.226 (test/bench/records/2026-11-28-small-4.jsonl).
 */
function isPieceOfSum(s: ContractionShape, tuning: ContractionTuning, layouts: Layouts): boolean {
  const operands = Object.values(operandQuads(s, tuning, layouts, true));
  return contractionSizes(s).batch > 1 && operands.every(({ load, alongK }) => load !== undefined && !alongK);
}

/** The fastest that holds what an epilogue asks for; any where that takes longer than a dispatch of its own for the epilogue would. */
function fastestHolding(
  sizes: ContractionSizes,
  alongK: number | undefined,
  target: Target,
  holds: (tuning: ContractionTuning) => boolean,
): ContractionTuning {
  const best = fastest(sizes, alongK, target);
  const mostUs = best.timeUs + epilogueAloneUs(sizes);
  const holding = allTimes(sizes, alongK, target).filter(({ tuning }) => holds(tuning));
  if (holding.every(({ timeUs }) => timeUs > mostUs)) return best.tuning;
  return cheapest(holding, wholeUs).tuning;
}
