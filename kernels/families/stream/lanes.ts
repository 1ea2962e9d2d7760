/**
 * Which rows and columns of a tile a lane has: x quads of columns by y quads of rows.
 *
 *   rows     lanes of a row of lanes side by side: (y, x) = (0, 0) (0, 1) (0, 2) …
 *   pairs    those of two rows in turns:           (0, 0) (1, 0) (0, 1) (1, 1) …
 *   blocks   in pairs, 32 lanes of 4 rows by 8:    so that they read 4 + 8 quads of two slabs, not 2 + 16
 *
 * A GPU takes quads out of workgroup memory for a quarter of a subgroup at a time, and for two quarters where neighbours read the same
 * one, as the lanes of CUTLASS's products without tensor cores do (`RowMajorInterleaved<2>`). What a row of lanes reduces by shuffles must
 * lie in one subgroup, which blocks do not hold.
 */
import type { StreamKernel } from '../../kernel.ts';
import { shuffledLanes, type Target } from '../../target.ts';
import type { StreamTuning } from './tuning.ts';

export type LaneOrder = 'rows' | 'pairs' | 'blocks';

export function laneOrder({ statements }: StreamKernel, tuning: StreamTuning, target: Target): LaneOrder {
  const { threadRows, threadColumns, interleave } = tuning;
  if (interleave !== 2 || threadRows % 2 !== 0) return 'rows';
  if (statements.some(({ kind }) => kind === 'extreme' || kind === 'total'))
    return 2 * threadColumns <= shuffledLanes(target) ? 'pairs' : 'rows';
  return threadColumns > 8 && threadColumns % 8 === 0 && threadRows % 4 === 0 ? 'blocks' : 'pairs';
}

/** WGSL of a lane's x and y. */
export function placeOfLane(
  order: LaneOrder,
  { threadColumns }: StreamTuning,
): { readonly x: string; readonly y: string } {
  const lane = 'i32(lane)';
  switch (order) {
    case 'rows':
      return { x: `${lane} % ${threadColumns}`, y: `${lane} / ${threadColumns}` };
    case 'pairs':
      return { x: `${lane} / 2 % ${threadColumns}`, y: `${lane} / ${2 * threadColumns} * 2 + ${lane} % 2` };
    case 'blocks':
      return {
        x: `${lane} / 32 % ${threadColumns / 8} * 8 + ${lane} / 2 % 8`,
        y: `${lane} / ${4 * threadColumns} * 4 + ${lane} / 16 % 2 * 2 + ${lane} % 2`,
      };
    default:
      return order satisfies never;
  }
}
