/**
 * When a contraction runs on tensor cores, and in which tile: what the target must have and the operands be, the table of tiles with
 * what was measured with them, and a model of the time, by which the matrix form is weighed against the tiled one.
 */

import type { Layouts } from '../../kernel.ts';
import type { Target } from '../../target.ts';
import { operandQuads } from './functions.ts';
import { holdsRows } from './rows.ts';
import { type ContractionShape, type ContractionSizes, contractionSizes } from './shape.ts';
import {
  chip,
  epilogueAloneUs,
  faster,
  fastestTiled,
  rowsEndUs,
  type Timed,
  tiledTimesWithRows,
} from './tile-sizes.ts';
import { type ContractionTuning, contractionThreads, defaultContractionTuning, matrixLanes } from './tuning.ts';

/** Rows, columns and k of the matrices. */
export const matrixSize = 16;

/**
 * Steps of k that tensor cores may add up, before the sums are added to totals in f32. They cut off where f32 units round, so the error
 * grows with the length: with positive operands it is 3.5 times that of the tiled form at 1024, 6 at 2048
 * (test/bench/records/2026-11-26-split.jsonl).
 */
export const longestSum = 1024;

interface MatrixForm {
  readonly tuning: ContractionTuning;
  /** TFLOP/s of a product large enough for every tile, on an H100. */
  readonly tflops: number;
  /** Workgroups that a multiprocessor works on at once: as many as it has workgroup memory and registers for. */
  readonly resident: number;
}

function matrix(
  tileM: number,
  tileN: number,
  tileK: number,
  [rows, columns]: readonly [number, number],
): ContractionTuning {
  return { form: 'matrix', tileM, tileN, tileK, rows, columns };
}

const matrixForms: readonly MatrixForm[] = [
  { tuning: matrix(128, 128, 32, [64, 32]), tflops: 63, resident: 1 },
  { tuning: matrix(64, 64, 32, [32, 32]), tflops: 50, resident: 2 },
];

/**
 * More for epilogues that ask for whole rows. It reads twice as much into slabs as 128 × 128 does, and one workgroup waits for its own rows:
 * scores of 512 × (256×80×256) with their softmax took it 593 µs on an H100, 128 × 128 and rows by themselves 236 and 93.
 */
const matrixRowForms: readonly MatrixForm[] = [{ tuning: matrix(32, 256, 32, [32, 32]), tflops: 13, resident: 1 }];

const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as const;

/** Whether subgroups of the target multiply matrices of f16, 16×16×16, with sums in f32. */
export function hasTensorCores({ features: present, subgroupSize, subgroupMatrices = [] }: Target): boolean {
  const hasMatrices = subgroupMatrices.some(
    ({ component, result, m, n, k }) =>
      component === 'f16' && result === 'f32' && [m, n, k].every((size) => size === matrixSize),
  );
  const isOneSize = subgroupSize?.min === matrixLanes && subgroupSize.max === matrixLanes;
  return hasMatrices && isOneSize && features.every((feature) => present.includes(feature));
}

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
 * Whether the products can be made on tensor cores, whatever their length: both operands come out of memory in quads. Those that are
 * expressions are taken apart anew by every workgroup that reads them, so they stay with the tiled form.
 */
function suit(shapes: readonly ContractionShape[], layouts: Layouts, target: Target): boolean {
  const [{ tuning } = { tuning: undefined }] = formsFor(target);
  if (tuning === undefined) return false;
  return shapes.every((s) => {
    const { left, right } = operandQuads(s, tuning, layouts);
    return left.load !== undefined && right.load !== undefined;
  });
}

/** Steps of k that a workgroup's beginning and end take as long as. */
const stepsAround = 32;

function timeUs({ batch, m, n, k }: ContractionSizes, { tuning, tflops, resident }: MatrixForm): number {
  const { tileM, tileN } = tuning;
  const groups = Math.ceil(m / tileM) * Math.ceil(n / tileN) * batch;
  const rounds = Math.ceil(groups / (chip.multiprocessors * resident));
  const flopsPerUs = (tflops * 1e6) / chip.multiprocessors;
  return (rounds * resident * 2 * tileM * tileN * (k + stepsAround)) / flopsPerUs;
}

function matrixTimes(sizes: ContractionSizes, target: Target, forms = matrixForms): readonly Timed[] {
  return formsFor(target, forms).map((form) => ({ tuning: form.tuning, timeUs: timeUs(sizes, form) }));
}

/** What takes the tiled form less time is not worth the longer code: it takes 0.2 to 0.4 s to compile, that of the tiled form 0.05. */
const leastUs = 40;

/** The fastest of the tiled form and, where the operands suit them, those on tensor cores. */
function fastest(sizes: ContractionSizes, mayBeMatrix: boolean, target: Target): Timed {
  const tiled = fastestTiled(sizes, target);
  return isWorthMatrices(tiled, mayBeMatrix) ? matrixTimes(sizes, target).reduce(faster, tiled) : tiled;
}

const isWorthMatrices = (tiled: Timed, mayBeMatrix: boolean): boolean => mayBeMatrix && tiled.timeUs >= leastUs;

/** The form by default of products into the same sums; `rowLength` of an epilogue that has rows, if there is one. */
export function contractionRule(
  shapes: readonly [ContractionShape, ...ContractionShape[]],
  layouts: Layouts,
  target: Target,
  rowLength?: number,
): ContractionTuning {
  const [first] = shapes;
  const tuning = defaultContractionTuning(first, target);
  if (tuning.form !== 'tiled') return tuning;
  const mayBeMatrix = suit(shapes, layouts, target);
  const k = shapes.reduce((total, s) => total + contractionSizes(s).k, 0);
  const sizes = { ...contractionSizes(first), k };
  if (rowLength !== undefined)
    return fastestHolding(sizes, mayBeMatrix, target, (t) => holdsRows(first, t, rowLength, target));
  return mayBeMatrix ? fastest(sizes, true, target).tuning : tuning;
}

const wholeUs = ({ tuning, timeUs }: Timed): number => timeUs + (tuning.form === 'tiled' ? rowsEndUs(tuning) : 0);

/** The fastest that holds what an epilogue asks for; any where that takes longer than a dispatch of its own for the epilogue would. */
function fastestHolding(
  sizes: ContractionSizes,
  mayBeMatrix: boolean,
  target: Target,
  holds: (tuning: ContractionTuning) => boolean,
): ContractionTuning {
  const best = fastest(sizes, mayBeMatrix, target);
  const mostUs = best.timeUs + epilogueAloneUs(sizes);
  const all = [
    ...tiledTimesWithRows(sizes, target),
    ...(isWorthMatrices(fastestTiled(sizes, target), mayBeMatrix)
      ? matrixTimes(sizes, target, [...matrixForms, ...matrixRowForms])
      : []),
  ];
  const holding = all.filter(({ tuning }) => holds(tuning));
  if (holding.every(({ timeUs }) => timeUs > mostUs)) return best.tuning;
  return holding.reduce((a, b) => (wholeUs(b) < wholeUs(a) ? b : a)).tuning;
}

/** How long a product of these operands takes by the rule, as a function of its sizes. */
export function timeByRule(s: ContractionShape, layouts: Layouts, target: Target): (sizes: ContractionSizes) => number {
  const mayBeMatrix = suit([s], layouts, target);
  return (sizes) => fastest(sizes, mayBeMatrix, target).timeUs;
}
