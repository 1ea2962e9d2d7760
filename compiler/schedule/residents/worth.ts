/**
 * Whether stages of one kernel take no longer than dispatches of their own, by a model of the time on an H100.
 *
 * Only where a multiprocessor has a piece or two: where it has more, dispatches of their own keep it as busy, and what stages read of each
 * other comes past the caches, which are closed to a kernel that writes it. Scores and what they mix, 512 pieces of 64 × 64, took 7 % of
 * a step of in-context regression more as one kernel; blocks of 16 tokens, 256 pieces, 11 % less
 * (H200, test/bench/records/2026-11-27-residents.jsonl).
 */
import { contractionSizes, tileCount } from '../../../kernels/families/contraction/shape.ts';
import { chip } from '../../../kernels/families/contraction/tile-sizes.ts';
import type { ContractionTuning } from '../../../kernels/families/contraction/tuning.ts';
import type { Layouts } from '../../../kernels/kernel.ts';
import { type Cut, type Stageable, shapeOf } from './stages.ts';

/** Pieces that a multiprocessor takes at once: while one waits the other goes on. */
const piecesAtOnce = 2;
/** So many that all are begun at once. */
export const mostPieces = piecesAtOnce * chip.multiprocessors;

/** What a dispatch takes beside what it does: it begins when the last workgroup of the one before has ended, and fetches its first slabs. */
const dispatchUs = 8;
/** Steps of k that a tile's beginning and end take as long as. */
const stepsAround = 64;

/** Multiply-adds a microsecond of a multiprocessor: in stages, and in dispatches of the tile, form and size of it. */
const stageRate = 75_000;
function rateAlone({ form, tileM, tileN }: ContractionTuning): number {
  if (form === 'matrix') return 200_000;
  return tileM * tileN >= 4096 ? 140_000 : 87_000;
}

export function isWorth(kernels: readonly Stageable[], cuts: readonly Cut[], layouts: Layouts): boolean {
  const [{ pieces }] = cuts;
  if (pieces > mostPieces) return false;
  return kernels.every((kernel, s) => {
    const { tuning } = cuts[s];
    if (kernel.family === 'row' || tuning === undefined) return true;
    const sizes = contractionSizes(shapeOf(kernel, layouts));
    const timeUs = (t: ContractionTuning, rate: number, most = Number.POSITIVE_INFINITY): number => {
      const tiles = tileCount(sizes, t);
      return (t.tileM * t.tileN * (sizes.k + stepsAround) * tiles) / Math.min(tiles, most, chip.multiprocessors) / rate;
    };
    const alone = kernel.choice!.tuning;
    return timeUs(tuning, stageRate, pieces) <= timeUs(alone, rateAlone(alone)) + dispatchUs;
  });
}
