/**
 * Tile sizes of the tiled form: the table, what was measured with them, and a model of how long a product takes with each, by
 * which the default is chosen, and in how many pieces a long sum is made.
 *
 * A multiprocessor works on as many workgroups at once as its memory and registers hold: each costs what its multiply-adds cost at
 * the tile's rate, those of padding included. Fewer leave it waiting for memory: w of h that it can hold take as long as
 * `each · w + waiting · h` would, if that is more than w. Slices (slices.ts) are as many workgroups with a part of k each. Rates and these
 * numbers fit 494 times of the products of the six training steps alone, in 19 tiles, of 4 to 500 µs, and choose a tile that takes 4 % more
 * than the fastest of them on average (test/bench/records/2026-11-27-choice.jsonl).
 */

import type { Target } from '../../target.ts';
import { type ContractionSizes, tileCount } from './shape.ts';
import { slicedQuads } from './slices.ts';
import { type ContractionTuning, contractionThreads } from './tuning.ts';

interface TiledForm {
  readonly tuning: ContractionTuning;
  /** TFLOP/s of a product large enough for every tile, on an H100 (test/bench/records/2026-11-2*). */
  readonly tflops: number;
}

function tiled(
  tileM: number,
  tileN: number,
  tileK: number,
  [rows, columns]: readonly [number, number],
  buffers: 1 | 2 = 1,
): ContractionTuning {
  return { form: 'tiled', tileM, tileN, tileK, rows, columns, buffers };
}

const tiledForms: readonly TiledForm[] = [
  { tuning: tiled(128, 64, 16, [8, 4]), tflops: 37 },
  { tuning: tiled(64, 64, 16, [8, 4]), tflops: 34 },
  { tuning: tiled(128, 32, 16, [8, 4]), tflops: 32 },
  { tuning: tiled(32, 128, 16, [4, 8]), tflops: 31 },
  { tuning: tiled(64, 32, 16, [8, 4]), tflops: 31 },
  { tuning: tiled(32, 64, 16, [4, 4]), tflops: 30 },
  { tuning: tiled(128, 16, 16, [4, 4]), tflops: 20 },
  { tuning: tiled(16, 128, 16, [4, 4]), tflops: 27 },
  { tuning: tiled(32, 32, 16, [4, 4]), tflops: 25 },
  { tuning: { ...tiled(32, 64, 32, [4, 4]), slices: 2 }, tflops: 27 },
];

/**
 * More for epilogues that ask for whole rows: long ones lie in a tile. In one wave of 128 workgroups it took 40 µs for 4096 × 256 × 256 and
 * its norm, of which the model has 33; in two dispatches 31.
 */
const rowForms: readonly TiledForm[] = [{ tuning: tiled(32, 256, 16, [8, 4]), tflops: 20 }];

/** Others that a tuner tries. Blocks of 8×8 a thread were slower on the H100, 30 TFLOP/s at n = 4096, with one buffer or two. */
const otherTunings: readonly ContractionTuning[] = [
  tiled(128, 128, 8, [8, 8]),
  tiled(128, 128, 8, [8, 8], 2),
  tiled(128, 128, 16, [8, 8]),
  tiled(128, 64, 8, [8, 8], 2),
  tiled(128, 64, 16, [8, 8]),
  tiled(64, 128, 16, [8, 8]),
  tiled(64, 64, 16, [8, 4], 2),
  tiled(64, 64, 16, [4, 4]),
  tiled(64, 64, 32, [4, 4]),
  tiled(64, 16, 16, [4, 4]),
  { ...tiled(32, 64, 64, [8, 4]), slices: 4 },
];

/** Of an H100: what a tile is chosen for, until a tuner has measured the device at hand. */
export const chip = { multiprocessors: 132, workgroupBytes: 48 * 1024, threads: 2048, registers: 65536 } as const;
/** Registers of a thread beside its sums. */
const otherRegisters = 56;
const company: Company = { each: 0.83, waiting: 0.13 };
/** Steps of k that a workgroup's beginning and end take as long as. */
const stepsAround = 28;

function slabBytes(t: ContractionTuning): number {
  return 16 * Math.max((t.buffers ?? 1) * t.tileK * (t.tileM / 4 + 1 + t.tileN / 4 + 1), slicedQuads(t));
}

/** Whether the target has the threads and the workgroup memory that a tiled form takes. */
function fits(t: ContractionTuning, { limits }: Target): boolean {
  return (
    contractionThreads(t) <= limits.maxComputeInvocationsPerWorkgroup &&
    slabBytes(t) <= limits.maxComputeWorkgroupStorageSize
  );
}

/** What a tuner tries: every form of the table that the target has room for. */
export function tiledCandidates(target: Target): readonly ContractionTuning[] {
  return [...[...tiledForms, ...rowForms].map(({ tuning }) => tuning), ...otherTunings].filter((t) => fits(t, target));
}

/** Workgroups that a multiprocessor works on at once. */
function resident(t: ContractionTuning): number {
  const threads = contractionThreads(t);
  const registers = threads * (t.rows * t.columns + otherRegisters);
  return Math.min(
    Math.floor(chip.workgroupBytes / slabBytes(t)),
    Math.floor(chip.threads / threads),
    Math.floor(chip.registers / registers),
  );
}

/** What a workgroup takes beside others, as a part of its share of a multiprocessor that is full, and what waiting for memory adds to it. */
export interface Company {
  readonly each: number;
  readonly waiting: number;
}

/** How long the multiprocessor with the most of so many workgroups takes, as a multiple of a workgroup's share of one that is full. */
export function turns(groups: number, resident: number, { each, waiting }: Company): number {
  const whole = Math.floor(groups / (chip.multiprocessors * resident)) * resident;
  const left = Math.ceil(groups / chip.multiprocessors - whole);
  return whole + (left === 0 ? 0 : Math.max(left, each * left + waiting * resident));
}

function timeUs(sizes: ContractionSizes, { tuning, tflops }: TiledForm): number {
  const { tileM, tileN, slices = 1 } = tuning;
  const flopsPerUs = (tflops * 1e6) / chip.multiprocessors;
  const shares = slices * turns(tileCount(sizes, tuning), resident(tuning), company);
  return (shares * 2 * tileM * tileN * (sizes.k / slices + stepsAround)) / flopsPerUs;
}

/** A tile, and how long the model takes it to take. */
export interface Timed {
  readonly tuning: ContractionTuning;
  readonly timeUs: number;
}

function timed(sizes: ContractionSizes, target: Target, forms = tiledForms): readonly Timed[] {
  return forms
    .filter(({ tuning }) => fits(tuning, target))
    .map((form) => ({ tuning: form.tuning, timeUs: timeUs(sizes, form) }));
}

const faster = (a: Timed, b: Timed): Timed => (b.timeUs < a.timeUs ? b : a);

/** The tile that the model takes to be fastest, and its time. */
export function fastestTiled(sizes: ContractionSizes, target: Target): Timed {
  return timed(sizes, target).reduce(faster);
}

/** Threads of the workgroups that most dispatches have: in these several tiles lie side by side. */
const sharedThreads = 256;
/** Workgroup memory of workgroups side by side: two such are at home in a multiprocessor of NVIDIA, which has twice as much. */
export const mostSharedBytes = 24576;

/**
 * The tile that keeps a multiprocessor busy for the shortest, however long the product takes: for dispatches that many share, so without slices, and
 * such that several lie side by side in a workgroup. Undefined where none is so: what no dispatch has room for waits in one of its own, and
 * all that it is made of waits in memory.
 */
export function leastWork(sizes: ContractionSizes, target: Target): ContractionTuning | undefined {
  const { k } = sizes;
  const { maxComputeInvocationsPerWorkgroup: mostThreads, maxComputeWorkgroupStorageSize: mostBytes } = target.limits;
  const work = ({ tuning, tflops }: TiledForm): number =>
    (tileCount(sizes, tuning) * tuning.tileM * tuning.tileN * (k + stepsAround)) / tflops;
  const suits = ({ tuning }: TiledForm): boolean => {
    const together = sharedThreads / contractionThreads(tuning);
    const hasRoom =
      sharedThreads <= mostThreads && together * slabBytes(tuning) <= Math.min(mostSharedBytes, mostBytes);
    return tuning.slices === undefined && together > 1 && tileCount(sizes, tuning) % together === 0 && hasRoom;
  };
  const [first, ...others] = tiledForms.filter(suits);
  return first && others.reduce((a, b) => (work(b) < work(a) ? b : a), first).tuning;
}

/** Every tile that an epilogue with rows may have, and how long the product takes in it. */
export function tiledTimesWithRows(sizes: ContractionSizes, target: Target): readonly Timed[] {
  return timed(sizes, target, [...tiledForms, ...rowForms]);
}

/** Elements that a thread takes through an epilogue with rows at once, and how long the last workgroups take for so many. */
export const rowsAtOnce = 16;
const rowsTurnUs = 1;

/** What an epilogue with rows takes in such a tile after the last sum: the more elements a thread has, those of padding included, the longer. */
export function rowsEndUs(tuning: ContractionTuning): number {
  const elements = (tuning.tileM * tuning.tileN) / contractionThreads(tuning);
  return Math.ceil(elements / rowsAtOnce) * rowsTurnUs;
}

/** What a dispatch of its own takes for what an epilogue does, which reads the output once more. */
export function epilogueAloneUs({ batch, m, n }: ContractionSizes): number {
  return dispatchUs + (4 * batch * m * n) / bytesPerUs;
}

/** Bytes a microsecond that partial sums are written and read at, and what a dispatch that adds them up takes beside. */
const bytesPerUs = 1.5e6;
const dispatchUs = 3;

/** In how many pieces a long sum is fastest, none shorter than `leastPiece`; `timeOf` tells how long a product takes. */
export function fastestPieces(
  sizes: ContractionSizes,
  leastPiece: number,
  timeOf: (sizes: ContractionSizes) => number,
): number {
  const { batch, m, n, k } = sizes;
  const resultBytes = 4 * batch * m * n;
  const timeWith = (pieces: number): number => {
    const adding = pieces === 1 ? 0 : dispatchUs + ((2 * pieces + 1) * resultBytes) / bytesPerUs;
    return timeOf({ batch: batch * pieces, m, n, k: k / pieces }) + adding;
  };
  let best = { pieces: 1, timeUs: timeWith(1) };
  for (let pieces = 2; pieces * leastPiece <= k; pieces *= 2) {
    const timeUs = timeWith(pieces);
    if (timeUs < best.timeUs) best = { pieces, timeUs };
  }
  return best.pieces;
}
