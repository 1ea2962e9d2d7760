/**
 * How large a stream's tiles are. A workgroup of `threadRows × threadColumns` lanes holds a tile of scores, `4 · rowQuads` rows and 4
 * columns of it in each lane's registers.
 *
 * Sizes are bounded by workgroup memory: an H100's multiprocessor has 48 KiB for all its workgroups, so that a tile of 64 × 64 with
 * its slabs (19 KiB) leaves room for two (`gpu-facts`), and by registers: what is summed up has a row of its own in each lane.
 */
import type { Arrays, StreamKernel } from '../../kernel.ts';
import { hasTensorCores, matrixLanes, type Target } from '../../target.ts';
import { sizesOf } from './code.ts';
import { acrossQuads } from './matrix-across.ts';
import { blockQuads } from './matrix-operands.ts';
import { type MatrixParts, matrixParts } from './matrix-parts.ts';
import { mostPointQuads } from './matrix-points.ts';
import { slabQuads } from './matrix-slabs.ts';
import { columnsOf, streamAxes } from './shape.ts';

/** Quads of workgroup memory that a sum's right side is staged in at once, at most. */
export const stagedQuads = 256;

export interface StreamTuning {
  readonly threadRows: number;
  readonly threadColumns: number;
  /** Rows of a lane, in fours. */
  readonly rowQuads: number;
  /** Steps of a contraction that are staged at once. */
  readonly depth: number;
  /** How many slabs are read from memory ahead of the one that is multiplied (`ahead.ts`): none where it is not said. */
  readonly ahead?: 0 | 1;
  /** Rows whose lanes take turns (`lanes.ts`): one where it is not said. */
  readonly interleave?: 1 | 2;
  /** Products on tensor cores (`matrix.ts`): a lane has half a row of a tile, a subgroup 16 rows. Not where it is not said. */
  readonly matrices?: 1;
}

/** A walk at least so long is worth rows twice as many, which are read less often. */
const longWalk = 512;
/** Sums of one lane that its registers hold beside a tile. */
const mostSums = 96;

/** Half of `most` again and again, as long as that many fours still reach over `size`. */
function covering(size: number, most: number): number {
  let threads = most;
  while (threads > 2 && (threads / 2) * 4 >= size) threads /= 2;
  return threads;
}

/**
 * Of 64 × 64, 64 × 32 and others, 64 × 32 with 4 × 4 a lane was fastest at T = 64 (three kernels of a layer: 108 µs, the next 159), and
 * 8 × 4 a lane at T = 1024 (1.77 ms, 4 × 4 1.87): test/bench/records, 2026-11-26, an H100. At T = 1024, of a layer forward and backward:
 * 416 and 1120 µs as they were, 407 and 1105 with lanes of two rows in turns, 357 and 997 read ahead too (358 and 1049 that alone).
 */
export function defaultStreamTuning(kernel: StreamKernel, layouts: Arrays, target: Target): StreamTuning {
  const onTensorCores = matrixTuningOf(kernel, layouts, target);
  if (onTensorCores !== undefined) return onTensorCores;
  const { row, walk } = kernel;
  const axes = streamAxes(kernel);
  const columns = kernel.statements
    .filter((s) => s.kind === 'sum')
    .map((s) => columnsOf(s, layouts(s.tensor).shape, axes));
  if (target.class === 'cpu')
    return { threadRows: covering(row.extent, 4), threadColumns: covering(walk.extent, 4), rowQuads: 1, depth: 8 };
  const isLong = walk.extent >= longWalk && row.extent >= longWalk;
  const rowQuads = isLong ? 2 : 1;
  const more = { depth: 16, ...(isLong ? ({ ahead: 1, interleave: 2 } as const) : {}) };
  let threadColumns = covering(walk.extent, isLong ? 16 : 8);
  const sumsOfLane = (): number =>
    4 * rowQuads * columns.reduce((total, length) => total + Math.ceil(length / (4 * threadColumns)) * 4, 0);
  while (threadColumns < 32 && sumsOfLane() > mostSums) threadColumns *= 2;
  const most = target.limits.maxComputeWorkgroupStorageSize;
  const rows = isLong ? 8 : 16;
  let threadRows = covering(Math.ceil(row.extent / rowQuads), rows);
  while (threadRows > 2 && scratchBytes({ threadRows, threadColumns, rowQuads, ...more }) > most) threadRows /= 2;
  return { threadRows, threadColumns, rowQuads, ...more };
}

/** Workgroup memory of a tile that is exchanged, or of its slabs, and of a sum's right side. */
function scratchBytes(tuning: StreamTuning): number {
  const { tileColumns, pitch, columnPitch, exchangePitch } = sizesOf(tuning);
  return 16 * (Math.max(tileColumns * exchangePitch, tuning.depth * (pitch + columnPitch)) + stagedQuads);
}

/**
 * On tensor cores: four subgroups of 16 rows, 16 columns at a time. On an H200, 64 elements a head, T = 1024: forward 262 µs, both ways back
 * 689 in one dispatch, on f32 units 368 and 1039; with levels 250 and 792, on f32 units 348 and 1051. Eight subgroups take 228 µs forward, as long
 * as two workgroups of them fit a multiprocessor, by registers: with levels only one does, 347 (test/bench/records, 2026-11-27). At T = 256
 * 115 µs forward, 163 keys and values, 128 queries, on f32 units 147 and 433.
 */
export const matrixTuning: StreamTuning = { threadRows: 64, threadColumns: 2, rowQuads: 1, depth: 16, matrices: 1 };

/** A walk at least so long is worth the rows that are kept through it as matrices. */
const leastWalk = 256;

/** Where a walk is long, whole tiles cover it, and tiles and sums are all of plain products. */
function matrixTuningOf(kernel: StreamKernel, layouts: Arrays, target: Target): StreamTuning | undefined {
  const { row, walk } = kernel;
  const { tileRows, tileColumns } = sizesOf(matrixTuning);
  const isWhole = row.extent % tileRows === 0 && walk.extent % tileColumns === 0;
  const isLong = walk.extent >= leastWalk && row.extent >= leastWalk;
  if (!hasTensorCores(target) || !isLong || !isWhole) return undefined;
  const parts = matrixParts(kernel, layouts, tileRows);
  if (parts === undefined) return undefined;
  const most = target.limits.maxComputeWorkgroupStorageSize;
  return [tuningByParts(parts, row.extent), matrixTuning].find(
    (tuning) => 16 * matrixQuads(kernel, parts, tuning) <= most,
  );
}

/**
 * Where a subgroup holds matrices of one product and one sum, registers have room for twice as many rows, for which each tile is staged once.
 * Where tiles are read, little is staged: 64 × 8 heads of 256 × 256 scores and 32 values took 107 µs, with twice as many rows 122 (H100).
 */
function tuningByParts({ products, sums, across }: MatrixParts, rows: number): StreamTuning {
  const isPlain = [...products.values(), ...sums.values()].every(({ right }) => right.levels === undefined);
  const isFew =
    products.size === 1 &&
    sums.size === 1 &&
    across.size === 0 &&
    isPlain &&
    rows % (2 * matrixTuning.threadRows) === 0;
  return isFew ? { ...matrixTuning, threadRows: 2 * matrixTuning.threadRows } : matrixTuning;
}

/** Quads of workgroup memory that the form takes: slabs, blocks of all subgroups, and what is known of points, at most. */
function matrixQuads(kernel: StreamKernel, { products, sums, across }: MatrixParts, tuning: StreamTuning): number {
  const { threads } = sizesOf(tuning);
  const subgroups = threads / matrixLanes;
  const sides = [...products.values(), ...sums.values()].map(({ right }) => right);
  const slabs = new Map(sides.map(({ load, extent }) => [[load.tensor, load.offset.constant, extent].join(), extent]));
  const staged = [...slabs.values()].reduce((total, extent) => total + slabQuads(extent), 0);
  const blocks = (Math.max(products.size, sums.size) + across.size) * subgroups * blockQuads;
  const ofRows = [...across.values()].map((a) => acrossQuads(a, subgroups));
  return Math.max(staged + blocks, ...ofRows) + across.size * subgroups + mostPointQuads(kernel, threads) + 1;
}
