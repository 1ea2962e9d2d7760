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
import { productShapes, sizesTogether } from '../../../kernels/families/contraction/shape.ts';
import { chip, turns } from '../../../kernels/families/contraction/tile-sizes.ts';
import type { ContractionTuning } from '../../../kernels/families/contraction/tuning.ts';
import type { Layouts } from '../../../kernels/kernel.ts';
import { kernelParts, kernelReads } from '../../../kernels/statements.ts';
import type { Target } from '../../../kernels/target.ts';
import { elementCount } from '../../ir/program.ts';
import type { Cut, Stageable } from './stages.ts';

/** Pieces that a multiprocessor takes at once: while one waits the other goes on. */
const piecesAtOnce = 2;
/** So many that all are begun at once. */
export const mostPieces = piecesAtOnce * chip.multiprocessors;

/**
 * What a dispatch takes beside what the model has of it. Of the device: dispatches of one kernel took 9.5 more, the median of 29 under 60 µs in
 * the six steps of test/bench, for each begins when the last workgroup of the one before has ended; a stage takes 1 to 2 to begin. Of the host
 * 7, for which a slower one has the device wait (test/bench/records/2026-11-28-fewer-3.jsonl). Both buy fewer dispatches, not time where the
 * host keeps up: 6 to 7 of the 9.5 were the profile's own. Norms' gradients with the products behind them, 12 µs longer than in two, make icl low_rank
 * 16 256 90 dispatches of 96, and a step 0.06 to 0.13 ms longer on an H100 (test/bench/records/2026-11-28-small-4.jsonl).
 */
const dispatchUs = { device: 8, host: 7 };
/**
 * Bytes a microsecond; of rows as stages, of which a multiprocessor has at most 512 threads asking for a quad each, where alone it has up to
 * 2048: norms of bilinear MLR's factors took 71 µs so, 55 alone (H100, test/bench/records/2026-11-28-fewer-3.jsonl).
 */
const bytesPerUs = 2.2e6;
const bytesOfRowsPerUs = 1.7e6;

/**
 * TFLOP/s of stages where a multiprocessor has as many pieces as it takes at once: the smaller a tile, the more its slabs bring for each
 * multiply-add. 22 in 16 × 256, 32 in 64 × 64 (test/bench/records/2026-11-28-fewer-2.jsonl).
 */
const stageTflops = ({ tileM, tileN }: ContractionTuning): number => 1 / (0.0186 + 0.405 * (1 / tileM + 1 / tileN));
/** Steps of k that a tile's beginning and end take as long as. */
const stepsAround = 10;
/**
 * What each further slice of a tile takes: a slab is so much deeper, and all of it is waited for before the first sum; the sums meet in workgroup
 * memory. Blocks of 16 tokens, tiles of 16 × 64 in four slices, take 2.3 µs more a tile than their multiply-adds, of two slices 0.7
 * (H100, test/bench/records/2026-11-28-fewer-3.jsonl).
 */
const sliceUs = 0.6;
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
  if (cuts[0].pieces > mostPieces || onlyAdds(kernels)) return false;
  const last = kernels.length - 1;
  const joining = last === 1 ? [0, 1] : [last];
  const longerUs = joining.map((s) => stageUs(kernels[s], cuts[s], layouts) - aloneUs(kernels[s], layouts, target));
  return longerUs.reduce((a, b) => a + b) <= (dispatchUs.device + dispatchUs.host) / sharing;
}

/**
 * Whether the last adds to sums that the others begin, and reads nothing else of them: it could be made beside any other dispatch. As a stage it
 * leaves the way through all kernels a dispatch shorter, and what is made beside that way in the company of larger ones: a step of bilinear MLR
 * took 18.19 ms so in 127 dispatches, 17.38 in 132, with other loops beside a layer's streams, 1154 µs and 924 (H100,
 * test/bench/records/2026-11-28-fewer-3.jsonl).
 */
function onlyAdds(kernels: readonly Stageable[]): boolean {
  const last = kernels.at(-1)!;
  if (last.family === 'row' || !last.accumulate) return false;
  const read = kernelReads(last);
  const made = kernels.slice(0, -1).flatMap((kernel) => kernelParts(kernel).map(({ tensor }) => tensor));
  return made.every((name) => name === last.tensor || !read.has(name));
}

/** What a kernel takes in a dispatch of its own, beside the dispatch. */
export function aloneUs(kernel: Stageable, layouts: Layouts, target: Target): number {
  const memoryUs = bytesOf(kernel, layouts) / bytesPerUs;
  if (kernel.family === 'row' || kernel.choice!.tuning.form === 'lanes') return memoryUs;
  return Math.max(memoryUs, contractionUs(productShapes(kernel, layouts), kernel.choice!.tuning, layouts, target));
}

/** What it takes as a stage. */
export function stageUs(kernel: Stageable, { pieces, outer, inner, tuning }: Cut, layouts: Layouts): number {
  const share = Math.min(1, pieces / chip.multiprocessors);
  const rate = kernel.family === 'row' ? bytesOfRowsPerUs : bytesPerUs;
  const memoryUs = bytesOf(kernel, layouts) / rate / share;
  if (kernel.family === 'row' || tuning === undefined) return memoryUs;
  const { k } = sizesTogether(productShapes(kernel, layouts));
  const { tileM, tileN, slices = 1 } = tuning;
  const tiles = outer * inner;
  const flops = 2 * tileM * tileN * (k + stepsAround) * tiles;
  const flopsPerUs = (stageTflops(tuning) * 1e6) / chip.multiprocessors;
  const sumsUs = (turns(pieces, piecesAtOnce, beside) * flops) / flopsPerUs;
  return Math.max(memoryUs, sumsUs + tiles * (slices - 1) * sliceUs);
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
