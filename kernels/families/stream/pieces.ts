/**
 * The rows of a batch shared out to several workgroups, which all walk as far as their rows ask: blocks of rows go to the pieces in turns,
 * back and forth, so that walks that grow, or shrink, from row to row come to the same for all.
 *
 *   4 pieces     block 0 1 2 3 4 5 6 7 8 …       piece 0 has blocks 0, 7, 8, 15, piece 1 has 1, 6, 9, 14, …
 *                piece 0 1 2 3 3 2 1 0 0 …
 */
import type { StreamKernel, StreamPieces } from '../../kernel.ts';
import { operand } from '../../wgsl/text.ts';
import { sizesOf } from './code.ts';
import type { StreamTuning } from './tuning.ts';

/** Rounds in which each piece gets a block. */
export const roundsOf = ({ count, rows }: StreamPieces, extent: number): number => Math.ceil(extent / (count * rows));

/**
 * WGSL of the first row of the `turn`-th tile of a piece. Throws where tiles of so many rows do not fill the blocks of several pieces: the
 * tensor that holds their sums says which rows each has.
 */
export function firstRow({ count, rows }: StreamPieces, tileRows: number, turn: string): string {
  if (count === 1) return turn === '0' ? '0' : `${turn} * ${tileRows}`;
  if (rows % tileRows !== 0) throw new Error(`tiles of ${tileRows} rows do not fill blocks of ${rows}`);
  if (turn === '0') return `piece * ${rows}`;
  const tiles = rows / tileRows;
  const round = tiles === 1 ? turn : `${turn} / ${tiles}`;
  const block = `(${round} * ${count} + select(piece, ${count - 1} - piece, ${operand(round)} % 2 == 1))`;
  return tiles === 1 ? `${block} * ${tileRows}` : `(${block} * ${tiles} + ${turn} % ${tiles}) * ${tileRows}`;
}

/** Tiles of rows that a workgroup takes, those beyond the last row among them. */
export function turnsOf({ pieces, row }: StreamKernel, tuning: StreamTuning): number {
  const { tileRows } = sizesOf(tuning);
  if (pieces === undefined || pieces.count === 1) return Math.ceil(row.extent / tileRows);
  return roundsOf(pieces, row.extent) * Math.ceil(pieces.rows / tileRows);
}
