/**
 * A kernel as a stage of a resident one: in which tiles, and which of its workgroups make a piece.
 *
 * The trap: all stages have the same threads, whatever their sizes; where a tile has few sums, threads share its k (`slices`).
 */
import { mostSharedBytes } from '../../../kernels/families/contraction/contraction.ts';
import { holdsRows } from '../../../kernels/families/contraction/rows.ts';
import {
  type ContractionShape,
  type ContractionSizes,
  contractionShape,
  contractionSizes,
  tileCount,
  tilesOf,
} from '../../../kernels/families/contraction/shape.ts';
import { slabQuads } from '../../../kernels/families/contraction/tiled.ts';
import { type ContractionTuning, contractionThreads } from '../../../kernels/families/contraction/tuning.ts';
import type { ContractionKernel, Kernel, Layouts, ResidentStage } from '../../../kernels/kernel.ts';
import type { Target } from '../../../kernels/target.ts';
import { elementCount } from '../../ir/program.ts';
import { type Touched, touchedByLanes, touchedByRows, touchedByTiles } from './touched.ts';

/** A kernel that may be a stage. */
export type Stageable = ResidentStage['kernel'];

export function isStageable(kernel: Kernel): kernel is Stageable {
  if (kernel.family === 'row') return true;
  return kernel.family === 'contraction' && ['tiled', 'matrix', 'lanes'].includes(kernel.choice!.tuning.form);
}

/** Which workgroups of a stage make a piece (`ResidentStage`). */
export interface Cut {
  readonly pieces: number;
  readonly outer: number;
  readonly inner: number;
  /** Of a contraction in tiles, which a stage may have others of than it would have alone. */
  readonly tuning?: ContractionTuning;
}

/** The ways in which a piece may take a contraction's tiles: each its own piece, those side by side in a row, those of all batches too. */
function waysOf(
  kernel: ContractionKernel,
  tuning: ContractionTuning,
  layouts: Layouts,
): readonly Omit<Cut, 'tuning'>[] {
  const sizes = contractionSizes(shapeOf(kernel, layouts));
  const { batch } = sizes;
  const [tilesM, tilesN] = tilesOf(sizes, tuning);
  const ways = [
    { pieces: tilesM, outer: batch, inner: tilesN },
    { pieces: batch * tilesM, outer: 1, inner: tilesN },
    { pieces: batch * tilesM * tilesN, outer: 1, inner: 1 },
  ];
  return ways.filter(({ pieces }) => pieces > 1);
}

export const shapeOf = (kernel: ContractionKernel, layouts: Layouts): ContractionShape =>
  contractionShape(kernel.equation, layouts, layouts(kernel.tensor).shape)!;

/** Asks how kernels are cut; what it has found it keeps. */
export interface Cutter {
  /** In tiles of so many rows, every number of pieces once. */
  readonly cutsOf: (kernel: Stageable, rows: number) => readonly Cut[];
  /** The cut into so many pieces of a kernel that has its threads in the order of its rows. */
  readonly cutInOrder: (kernel: Stageable, pieces: number) => Cut | undefined;
  /** The cut into so many pieces, of a contraction in tiles in the given ones, if these are a stage's: a choice that was forced may not be. */
  readonly cutInto: (kernel: Stageable, pieces: number, tuning?: ContractionTuning) => Cut | undefined;
  readonly touchedIn: (kernel: Stageable, cut: Cut) => readonly Touched[];
}

export function createCutter(workgroupSize: number, layouts: Layouts, target: Target): Cutter {
  const known = new WeakMap<Stageable, Map<string, readonly Touched[]>>();
  const touchedBy = (kernel: Stageable, { tuning }: Cut): readonly Touched[] =>
    kernel.family === 'row'
      ? touchedByRows(kernel, workgroupSize / kernel.choice!.tuning.lanes, layouts)
      : tuning === undefined
        ? touchedByLanes(kernel, workgroupSize, layouts)
        : touchedByTiles(kernel, tuning, layouts);
  const cutInOrder = (kernel: Stageable, pieces: number): Cut | undefined => {
    const groups = groupsInOrder(kernel, workgroupSize, layouts);
    return groups !== undefined && groups % pieces === 0 ? { pieces, outer: 1, inner: groups / pieces } : undefined;
  };
  const isOfStage = (kernel: ContractionKernel, tuning: ContractionTuning): boolean =>
    tuning.form === 'tiled' &&
    contractionThreads(tuning) === workgroupSize &&
    (kernel.rowLength === undefined || holdsRows(shapeOf(kernel, layouts), tuning, kernel.rowLength, target));
  return {
    cutInOrder,
    cutsOf: (kernel, rows) => {
      if (kernel.family === 'row' || isOfLanes(kernel)) return [];
      const sizes = contractionSizes(shapeOf(kernel, layouts));
      const tunings = stageTunings(sizes, rows, workgroupSize, target).filter((tuning) => isOfStage(kernel, tuning));
      const all = tunings.flatMap((tuning) => waysOf(kernel, tuning, layouts).map((way) => ({ ...way, tuning })));
      return [...new Map(all.toReversed().map((cut) => [cut.pieces, cut])).values()];
    },
    cutInto: (kernel, pieces, tuning) => {
      if (kernel.family === 'row' || tuning === undefined) return cutInOrder(kernel, pieces);
      if (!isOfStage(kernel, tuning)) return undefined;
      const way = waysOf(kernel, tuning, layouts).find((way) => way.pieces === pieces);
      return way && { ...way, tuning };
    },
    touchedIn: (kernel, cut) => {
      const key = JSON.stringify(cut.tuning ?? null);
      const ofKernel = known.get(kernel) ?? new Map<string, readonly Touched[]>();
      known.set(kernel, ofKernel);
      const touched = ofKernel.get(key) ?? touchedBy(kernel, cut);
      ofKernel.set(key, touched);
      return touched;
    },
  };
}

const isOfLanes = (kernel: ContractionKernel): boolean => kernel.choice!.tuning.form === 'lanes';

/**
 * Workgroups of a kernel that has its threads in the order of its rows, or of its tiles; undefined where that is no whole number, or of
 * another kernel.
 */
function groupsInOrder(kernel: Stageable, workgroupSize: number, layouts: Layouts): number | undefined {
  if (kernel.family === 'contraction') {
    if (!isOfLanes(kernel)) return undefined;
    const groups = tileCount(contractionSizes(shapeOf(kernel, layouts)), kernel.choice!.tuning) / workgroupSize;
    return Number.isInteger(groups) ? groups : undefined;
  }
  const { lanes } = kernel.choice!.tuning;
  const groups = (elementCount(kernel.rows) * lanes) / workgroupSize;
  return workgroupSize % lanes === 0 && Number.isInteger(groups) ? groups : undefined;
}

/** Columns of a tile, and blocks of a thread. */
const widths = [16, 32, 64, 128, 256];
const blocks = [
  [4, 4],
  [8, 4],
  [4, 8],
] as const;
/** Depth of a slab, and what it may be where threads share its k. */
const depth = 16;
const sharedDepths = [64, 32];
/**
 * Tiles of so many rows, for so many threads: first what covers n with the fewest columns of padding, then what does so in the fewest turns.
 * Slabs whose threads share their k are as deep as workgroup memory and k let them be: the threads wait for each slab anew, and beyond k they
 * would multiply zeros. A block of 16 tokens forward took 44.4 µs, profiled, in slabs of 64 and 46.9 in slabs of 32
 * (test/bench/records/2026-11-28-slabs-along-k.jsonl).
 */
function stageTunings(
  { n, k }: Pick<ContractionSizes, 'n' | 'k'>,
  tileM: number,
  workgroupSize: number,
  target: Target,
): readonly ContractionTuning[] {
  const memory = Math.min(mostSharedBytes, target.limits.maxComputeWorkgroupStorageSize);
  const fits = (tuning: ContractionTuning): boolean => 16 * slabQuads(tuning) <= memory;
  const columnsOf = ({ tileN }: ContractionTuning): number => Math.ceil(n / tileN) * tileN;
  const all = widths.flatMap((tileN) =>
    blocks.flatMap(([rows, columns]): ContractionTuning[] => {
      const slices = workgroupSize / ((tileM / rows) * (tileN / columns));
      if (![1, 2, 4].includes(slices)) return [];
      const tuning = { form: 'tiled' as const, tileM, tileN, tileK: depth, rows, columns };
      if (slices === 1) return [tuning];
      const tileK = sharedDepths.find((deep) => deep < 2 * k && fits({ ...tuning, tileK: deep, slices })) ?? depth;
      return [{ ...tuning, tileK, slices }];
    }),
  );
  return all
    .filter(fits)
    .sort((a, b) => columnsOf(a) - columnsOf(b) || b.tileN - a.tileN || (a.slices ?? 1) - (b.slices ?? 1));
}
