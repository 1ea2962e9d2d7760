/** Forms and tile sizes of a contraction, by its sizes and the target: the table, and the measurements that chose its numbers. */
import { coefficientOf } from '../compiler/ir/affine.ts';
import { loads } from '../compiler/ir/expression.ts';
import { type ContractionShape, type ContractionSizes, contractionSizes } from './contraction-shape.ts';
import type { Target } from './target.ts';

export interface ContractionTuning {
  readonly form: 'tiled' | 'direct' | 'subgroup' | 'lanes';
  readonly tileM: number;
  readonly tileN: number;
  readonly tileK: number;
  /** Outputs of one thread: `rows × columns`; columns is a multiple of 4. Form `subgroup`: rows is a multiple of its lanes. */
  readonly rows: number;
  readonly columns: number;
  /** Form `tiled`: pairs of slabs, 1 where it is not said. */
  readonly buffers?: 1 | 2;
}

/**
 * Tiles by size, measured on an H100 (test/bench/records/2026-11-24-kernels.jsonl): 32-37 TFLOP/s at n = 4096, 27-32 at
 * 16384 rows of 256. The first that fills its tile at least half and gives the chip at least a wave of workgroups (132
 * multiprocessors).
 * Two slabs in turn, with one barrier a step, were 10-25 % slower than one: the registers cost more than the barrier.
 */
const tiledForms: readonly ContractionTuning[] = [
  { form: 'tiled', tileM: 128, tileN: 64, tileK: 16, rows: 8, columns: 4 },
  { form: 'tiled', tileM: 64, tileN: 64, tileK: 16, rows: 8, columns: 4 },
  { form: 'tiled', tileM: 128, tileN: 32, tileK: 16, rows: 8, columns: 4 },
  { form: 'tiled', tileM: 32, tileN: 128, tileK: 16, rows: 4, columns: 8 },
  { form: 'tiled', tileM: 128, tileN: 16, tileK: 16, rows: 4, columns: 4 },
  { form: 'tiled', tileM: 16, tileN: 128, tileK: 16, rows: 4, columns: 4 },
  { form: 'tiled', tileM: 32, tileN: 32, tileK: 16, rows: 4, columns: 4 },
];
/** Others that a tuner tries. */
const triedForms: readonly ContractionTuning[] = [
  ...tiledForms,
  { form: 'tiled', tileM: 128, tileN: 128, tileK: 8, rows: 8, columns: 8 },
  { form: 'tiled', tileM: 128, tileN: 128, tileK: 8, rows: 8, columns: 8, buffers: 2 },
  { form: 'tiled', tileM: 128, tileN: 128, tileK: 16, rows: 8, columns: 8 },
  { form: 'tiled', tileM: 128, tileN: 64, tileK: 8, rows: 8, columns: 8, buffers: 2 },
  { form: 'tiled', tileM: 128, tileN: 64, tileK: 16, rows: 8, columns: 8 },
  { form: 'tiled', tileM: 64, tileN: 128, tileK: 16, rows: 8, columns: 8 },
  { form: 'tiled', tileM: 64, tileN: 64, tileK: 16, rows: 8, columns: 4, buffers: 2 },
  { form: 'tiled', tileM: 64, tileN: 64, tileK: 16, rows: 4, columns: 4 },
  { form: 'tiled', tileM: 64, tileN: 32, tileK: 16, rows: 8, columns: 4 },
  { form: 'tiled', tileM: 32, tileN: 64, tileK: 16, rows: 4, columns: 4 },
];
/** Multiprocessors of that chip. */
const wave = 132;

/** Of 4×4, 8×4, 4×8 and 8×8, 8×4 was fastest on SwiftShader (1.1 GFLOP/s, 4×4: 0.6) and second on lavapipe (2.4, 4×4: 2.8). */
const directBlock = { rows: 8, columns: 4 };
/** A direct workgroup covers at most so much of m and n; less where they are smaller, so that no lane idles. */
const directTile = 32;

function directForm(m: number, n: number): ContractionTuning {
  const rows = m <= 4 ? 4 : directBlock.rows;
  const { columns } = directBlock;
  const covering = (size: number, block: number): number => Math.min(directTile, Math.ceil(size / block) * block);
  return { form: 'direct', tileM: covering(m, rows), tileN: covering(n, columns), tileK: 1, rows, columns };
}

const subgroupLanes = 4;

/** Subgroups are of 4 lanes always, as SwiftShader's are. */
function hasSmallSubgroups({ subgroupSize, features }: Target): boolean {
  const isFixed = subgroupSize?.min === subgroupLanes && subgroupSize.max === subgroupLanes;
  return isFixed && features.includes('subgroups');
}

/** Fewer columns than this leave most of a subgroup's tile empty. */
const leastShared = 9;

/** From so many multiply-adds on, a tile of 32×32 is worth the longer code, which takes 0.1 s more to compile. */
const muchWork = 2 ** 20;

/**
 * 16×16 outputs a subgroup of 4 lanes take 8 loads where the direct form takes 24, and a load costs SwiftShader more than eight
 * multiply-adds. 512×128×32 on two cores: direct 3.2 ms, 16×16 2.0 ms, 32×32 1.5 ms.
 */
function subgroupForm({ batch, m, n, k }: ContractionSizes): ContractionTuning {
  const isLarge = Math.min(m, n) >= 32 && batch * m * n * k >= muchWork;
  const rows = Math.min(isLarge ? 32 : 16, Math.ceil(m / subgroupLanes) * subgroupLanes);
  const columns = isLarge ? 8 : 4;
  return { form: 'subgroup', tileM: rows, tileN: subgroupLanes * columns, tileK: 1, rows, columns };
}

/** Fewer rows or columns than this waste most of a tile. */
const leastTiled = 16;
/** So many batches side by side fill a subgroup. */
const leastLanes = 32;
export const lanesWorkgroupSize = 64;

/** Invocations of a workgroup. */
export function contractionThreads({ form, tileM, tileN, rows, columns }: ContractionTuning): number {
  return form === 'lanes' ? lanesWorkgroupSize : (tileM / rows) * (tileN / columns);
}

/** Threads of the `lanes` form, each `directBlock` large. */
export function laneThreads(s: ContractionShape): number {
  const { batch, m, n } = contractionSizes(s);
  const { rows, columns } = lanesForm(m, n);
  return batch * Math.ceil(m / rows) * Math.ceil(n / columns);
}

function lanesForm(m: number, n: number): ContractionTuning {
  const [rows, columns] = [m <= 4 ? 4 : 8, n <= 4 ? 4 : 8];
  return { form: 'lanes', tileM: rows, tileN: columns, tileK: 1, rows, columns };
}

/** Small products whose last batch axis is the contiguous one of both operands or of the output and one of them. */
export function isInterleaved(s: ContractionShape): boolean {
  const { batch, m, n } = contractionSizes(s);
  const last = s.batch.at(-1);
  if (last === undefined || batch < leastLanes || Math.min(m, n) >= leastTiled) return false;
  const flats = [s.left, s.right].flatMap((e) => loads(e).flatMap((l) => l.indices)).concat(s.equation.store);
  const contiguous = flats.filter((index) => index.kind === 'affine' && coefficientOf(index, last) === 1);
  return contiguous.length >= 2;
}

function slabBytes(t: ContractionTuning): number {
  return 16 * (t.buffers ?? 1) * t.tileK * (t.tileM / 4 + 1 + t.tileN / 4 + 1);
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
  return triedForms.filter((t) => fits(t, target));
}

export function defaultContractionTuning(s: ContractionShape, target: Target): ContractionTuning {
  const sizes = contractionSizes(s);
  const { batch, m, n } = sizes;
  if (target.class === 'cpu') {
    return hasSmallSubgroups(target) && n >= leastShared ? subgroupForm(sizes) : directForm(m, n);
  }
  if (isInterleaved(s)) return lanesForm(m, n);
  const padded = (t: ContractionTuning): number => Math.ceil(m / t.tileM) * t.tileM * Math.ceil(n / t.tileN) * t.tileN;
  const groups = (t: ContractionTuning): number => Math.ceil(m / t.tileM) * Math.ceil(n / t.tileN) * batch;
  const possible = tiledForms.filter((t) => fits(t, target));
  const good = possible.filter((t) => m * n * 2 >= padded(t));
  const busy = good.find((t) => groups(t) >= wave);
  return busy ?? good.at(-1) ?? possible.reduce((a, b) => (padded(b) < padded(a) ? b : a));
}

/** Whether register tiles pay: enough rows and columns to share what is read. */
export function worthTiling(s: ContractionShape): boolean {
  const { m, n, k } = contractionSizes(s);
  return m >= 4 && n >= 4 && m * n >= 64 && k >= 4;
}
