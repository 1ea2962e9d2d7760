/**
 * Whether stages of one kernel take no longer than dispatches of their own, by a model of the time on an H100: a product takes what its
 * multiply-adds take in its tile, and any kernel at least what its bytes take.
 *
 *   attention's output and residual │ its norm    26 + 4 µs as stages    ≤    13 + 4 µs and a dispatch
 *
 * Only where a multiprocessor has a piece or two: where it has more, dispatches of their own keep it as busy, and what stages read of each
 * other comes past the caches, which are closed to a kernel that writes it. Scores and what they mix, 512 pieces of 64 × 64, took 7 % of
 * a step of in-context regression more as one kernel; blocks of 16 tokens, 256 pieces, 11 % less
 * (H200, test/bench/records/2026-11-27-residents.jsonl).
 */
import { contractionUs } from '../../../kernels/families/contraction/matrix-tile-sizes.ts';
import { contractionSizes } from '../../../kernels/families/contraction/shape.ts';
import { chip, turns } from '../../../kernels/families/contraction/tile-sizes.ts';
import type { ContractionTuning } from '../../../kernels/families/contraction/tuning.ts';
import type { Layouts } from '../../../kernels/kernel.ts';
import { kernelParts, kernelReads } from '../../../kernels/statements.ts';
import type { Target } from '../../../kernels/target.ts';
import { elementCount } from '../../ir/program.ts';
import { type Cut, type Stageable, shapesOf } from './stages.ts';

/** Pieces that a multiprocessor takes at once: while one waits the other goes on. */
const piecesAtOnce = 2;
/** So many that all are begun at once. */
export const mostPieces = piecesAtOnce * chip.multiprocessors;

/**
 * What a dispatch takes beside what it does: of the device 8, for it begins when the last workgroup of the one before has ended, and fetches
 * its first slabs; of the host 7, which are free only while the device is the slower one.
 */
const dispatchUs = 15;
/**
 * Bytes a microsecond; of rows as stages, of which a multiprocessor has fewer threads than it would alone: norms of bilinear MLR's factors took
 * 20 µs more so, of 67.
 */
const bytesPerUs = 2.2e6;
const bytesOfRowsPerUs = 1.7e6;
/** What is kept between dispatches (the L2 of an H100). */
const cacheBytes = 50 * 2 ** 20;

/**
 * TFLOP/s of stages where a multiprocessor has as many pieces as it takes at once: the smaller a tile, the more its slabs bring for each
 * multiply-add. 22 in 16 × 256, 32 in 64 × 64 (test/bench/records/2026-11-28-fewer-2.jsonl).
 */
const stageTflops = ({ tileM, tileN }: ContractionTuning): number => 1 / (0.0186 + 0.405 * (1 / tileM + 1 / tileN));
/** Steps of k that a tile's beginning and end take as long as. */
const stepsAround = 10;
/** 128 pieces of 16 tokens took 28.3 µs where 256 took 41 (test/bench/records/2026-11-27-residents.jsonl). */
const beside = { each: 0.62, waiting: 0.38 };

/**
 * Whether the last of the kernels is worth joining the others, which are one already if they are several. A dispatch of its own it would share
 * with so many, itself included: it saves its part of one.
 */
export function isWorth(
  kernels: readonly Stageable[],
  cuts: readonly Cut[],
  sharing: number,
  layouts: Layouts,
  target: Target,
): boolean {
  if (cuts[0].pieces > mostPieces || delaysOthers(kernels, layouts)) return false;
  const last = kernels.length - 1;
  const joining = last === 1 ? [0, 1] : [last];
  const longerUs = joining.map((s) => stageUs(kernels[s], cuts[s], layouts) - aloneUs(kernels[s], layouts, target));
  return longerUs.reduce((a, b) => a + b) <= dispatchUs / sharing;
}

/**
 * Whether others would wait longer: what adds to sums that another product begins waits for that one too, and all that it joins would wait with
 * it; what is made beside them must find another place. A step of in-context regression took 1.319 ms in place of 1.284 (BTT, 64 features),
 * 18.97 in place of 18.26 (MLR); where dispatches would read back from memory what stages hand on, 16.89 in place of 17.15 (BTT, 256 features;
 * H100, test/bench/records/2026-11-28-fewer-2.jsonl).
 */
function delaysOthers(kernels: readonly Stageable[], layouts: Layouts): boolean {
  const last = kernels.at(-1)!;
  if (last.family === 'row' || !last.accumulate) return false;
  const read = kernelReads(last);
  const made = kernels.slice(0, -1).flatMap((kernel) => kernelParts(kernel).map(({ tensor }) => tensor));
  return made.every((name) => !read.has(name) || sizeBytes(name, layouts) < cacheBytes);
}

/** What a kernel takes in a dispatch of its own, beside the dispatch. */
export function aloneUs(kernel: Stageable, layouts: Layouts, target: Target): number {
  const memoryUs = bytesOf(kernel, layouts) / bytesPerUs;
  if (kernel.family === 'row' || kernel.choice!.tuning.form === 'lanes') return memoryUs;
  return Math.max(memoryUs, contractionUs(shapesOf(kernel, layouts), kernel.choice!.tuning, layouts, target));
}

/** What it takes as a stage. */
export function stageUs(kernel: Stageable, { pieces, outer, inner, tuning }: Cut, layouts: Layouts): number {
  const share = Math.min(1, pieces / chip.multiprocessors);
  const rate = kernel.family === 'row' ? bytesOfRowsPerUs : bytesPerUs;
  const memoryUs = bytesOf(kernel, layouts) / rate / share;
  if (kernel.family === 'row' || tuning === undefined) return memoryUs;
  const k = shapesOf(kernel, layouts).reduce((total, s) => total + contractionSizes(s).k, 0);
  const flops = 2 * tuning.tileM * tuning.tileN * (k + stepsAround) * outer * inner;
  const flopsPerUs = (stageTflops(tuning) * 1e6) / chip.multiprocessors;
  return Math.max(memoryUs, (turns(pieces, piecesAtOnce, beside) * flops) / flopsPerUs);
}

/** Of all tensors that it reads, and makes for others. */
function bytesOf(kernel: Stageable, layouts: Layouts): number {
  const parts = kernelParts(kernel);
  const inside = new Set(parts.map(({ tensor }) => tensor));
  const read = [...kernelReads(kernel)].filter((name) => !inside.has(name));
  const made = parts.filter(({ stored }) => stored).map(({ tensor }) => tensor);
  return [...read, ...made].reduce((bytes, name) => bytes + sizeBytes(name, layouts), 0);
}

const sizeBytes = (tensor: string, layouts: Layouts): number => 4 * elementCount(layouts(tensor).shape);
