/**
 * A kernel as a stage of a resident one: in which tiles, and which of its workgroups make a piece.
 *
 * The trap: all stages have the same threads, whatever their sizes; where a tile has few sums, threads share its k (`slices`).
 */
import { holdsRows } from '../../../kernels/families/contraction/rows.ts';
import {
  type ContractionShape,
  type ContractionSizes,
  contractionSizes,
  productShapes,
  tileCount,
  tilesOf,
} from '../../../kernels/families/contraction/shape.ts';
import { mostSharedBytes } from '../../../kernels/families/contraction/tile-sizes.ts';
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

const shapeOf = (kernel: ContractionKernel, layouts: Layouts): ContractionShape => productShapes(kernel, layouts)[0];

/** Asks how kernels are cut; what it has found it keeps. */
export interface Cutter {
  /** Every number of pieces once: of a contraction in tiles, in those of so many rows, of others in the order of their threads. */
  readonly cutsOf: (kernel: Stageable, rows: number) => readonly Cut[];
  /** The cut into so many pieces of a kernel that has its threads in the order of its rows. */
  readonly cutInOrder: (kernel: Stageable, pieces: number) => Cut | undefined;
  /** The cut into so many pieces of a contraction in the given tiles, if these are a stage's: a choice that was forced may not be. */
  readonly cutInto: (kernel: ContractionKernel, pieces: number, tuning: ContractionTuning) => Cut | undefined;
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
  const cutsInOrder = (kernel: Stageable): readonly Cut[] => {
    const groups = groupsInOrder(kernel, workgroupSize, layouts) ?? 1;
    const counts = Array.from({ length: groups - 1 }, (_, i) => i + 2).filter((pieces) => groups % pieces === 0);
    return counts.map((pieces) => ({ pieces, outer: 1, inner: groups / pieces }));
  };
  const isOfStage = (kernel: ContractionKernel, tuning: ContractionTuning): boolean =>
    tuning.form === 'tiled' &&
    contractionThreads(tuning) === workgroupSize &&
    (kernel.rowLength === undefined || holdsRows(shapeOf(kernel, layouts), tuning, kernel.rowLength, target));
  return {
    cutInOrder,
    cutsOf: (kernel, rows) => {
      if (!isOfTiles(kernel)) return cutsInOrder(kernel);
      const sizes = contractionSizes(shapeOf(kernel, layouts));
      const tunings = stageTunings(sizes, rows, workgroupSize, target).filter((tuning) => isOfStage(kernel, tuning));
      const all = tunings.flatMap((tuning) => waysOf(kernel, tuning, layouts).map((way) => ({ ...way, tuning })));
      return [...new Map(all.toReversed().map((cut) => [cut.pieces, cut])).values()];
    },
    cutInto: (kernel, pieces, tuning) => {
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

/** Whether a stage may have other tiles than the kernel would alone. */
export const isOfTiles = (kernel: Stageable): kernel is ContractionKernel =>
  kernel.family === 'contraction' && !isOfLanes(kernel);

/**
 * Workgroups of a kernel that has its threads in the order of its rows, or of its tiles; undefined where that is no whole number, or of
 * another kernel.
 */
function groupsInOrder(kernel: Stageable, workgroupSize: number, layouts: Layouts): number | undefined {
  const invocations = invocationsInOrder(kernel, workgroupSize, layouts);
  return invocations % workgroupSize === 0 ? invocations / workgroupSize : undefined;
}

/** NaN where they are in no such order. */
function invocationsInOrder(kernel: Stageable, workgroupSize: number, layouts: Layouts): number {
  if (kernel.family === 'row') {
    const { lanes } = kernel.choice!.tuning;
    return workgroupSize % lanes === 0 ? elementCount(kernel.rows) * lanes : Number.NaN;
  }
  return isOfLanes(kernel) ? tileCount(contractionSizes(shapeOf(kernel, layouts)), kernel.choice!.tuning) : Number.NaN;
}

/** Columns of a tile. */
const widths = [16, 32, 64, 128, 256];
/**
 * Rows, and columns, of a thread's block. Of 64 tokens, a BTT matrix's product of 256 columns and 32 k, with the norm before and the product
 * in lanes after it, took 229 µs in tiles of 64 × 64, 290 in 64 × 128 of 8 × 4 a thread, 267 in 64 × 256 of 8 × 8
 * (H100, test/bench/records/2026-11-28-fewer-2.jsonl).
 */
const block = 4;
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
  const all = widths.flatMap((tileN): ContractionTuning[] => {
    const slices = (workgroupSize * block * block) / (tileM * tileN);
    if (![1, 2, 4].includes(slices)) return [];
    const tuning = { form: 'tiled' as const, tileM, tileN, tileK: depth, rows: block, columns: block };
    if (slices === 1) return [tuning];
    const tileK = sharedDepths.find((deep) => deep < 2 * k && fits({ ...tuning, tileK: deep, slices })) ?? depth;
    return [{ ...tuning, tileK, slices }];
  });
  return all.filter(fits).sort((a, b) => columnsOf(a) - columnsOf(b) || b.tileN - a.tileN);
}
