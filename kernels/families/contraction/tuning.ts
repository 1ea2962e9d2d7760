/** Forms and tile sizes of a contraction by default, by its sizes and the target; those of the tiled form in contraction/tile-sizes.ts. */
import { coefficientOf } from '../../../compiler/ir/affine.ts';
import { loads } from '../../../compiler/ir/expression.ts';
import { matrixLanes, type Target } from '../../target.ts';
import { type ContractionShape, type ContractionSizes, contractionSizes, tileCount } from './shape.ts';
import { fastestTiled } from './tile-sizes.ts';

export interface ContractionTuning {
  readonly form: 'tiled' | 'direct' | 'subgroup' | 'lanes' | 'matrix';
  readonly tileM: number;
  readonly tileN: number;
  readonly tileK: number;
  /**
   * Outputs of one thread: `rows × columns`; columns is a multiple of 4. Form `subgroup`: rows is a multiple of its lanes. Form
   * `matrix`: outputs of one subgroup, both multiples of 16.
   */
  readonly rows: number;
  readonly columns: number;
  /** Form `tiled`: pairs of slabs, 1 where it is not said. */
  readonly buffers?: 1 | 2;
  /** Form `tiled`: groups of threads that share the k of each slab (slices.ts), 1 where it is not said. Divides `rows` and `tileK`. */
  readonly slices?: number;
}

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
const lanesWorkgroupSize = 64;

/** Invocations of a workgroup. */
export function contractionThreads({ form, tileM, tileN, rows, columns, slices = 1 }: ContractionTuning): number {
  if (form === 'lanes') return lanesWorkgroupSize;
  return (tileM / rows) * (tileN / columns) * (form === 'matrix' ? matrixLanes : slices);
}

/** Threads side by side in a row of a tile, in forms that stage slabs. */
export function lanesAcross({ form, tileN, columns }: ContractionTuning): number {
  return form === 'matrix' ? matrixLanes : tileN / columns;
}

/** More threads than this in a row of a tile would each read quads of their own, and one of the left slab for all. */
const mostAcross = 32;
/** What two rows of a subgroup read of the slabs is 4 quads for 8 × 4 sums each, half of what one row would. */
const lanesOfGroup = 16;

/** Neighbouring lanes that lie side by side in a row of a tile. */
export function lanesTogether(tuning: ContractionTuning): number {
  const across = lanesAcross(tuning);
  return across <= mostAcross ? across : lanesOfGroup;
}

/** Threads of the `lanes` form, each `directBlock` large. */
export function laneThreads(s: ContractionShape): number {
  const { batch, m, n } = contractionSizes(s);
  const { rows, columns } = lanesForm(m, n);
  return batch * Math.ceil(m / rows) * Math.ceil(n / columns);
}

/** Workgroups of the `lanes` form that lie side by side in the largest which leaves no thread over, a power of two; 0 where one does. */
export function mostWholeLanes(s: ContractionShape, tuning: ContractionTuning): number {
  const threads = tileCount(contractionSizes(s), tuning);
  let count = 0;
  while (threads % (lanesWorkgroupSize * Math.max(1, 2 * count)) === 0) count = Math.max(1, 2 * count);
  return count;
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

export function defaultContractionTuning(s: ContractionShape, target: Target): ContractionTuning {
  const sizes = contractionSizes(s);
  const { m, n } = sizes;
  if (target.class === 'cpu') {
    return hasSmallSubgroups(target) && n >= leastShared ? subgroupForm(sizes) : directForm(m, n);
  }
  if (isInterleaved(s)) return lanesForm(m, n);
  return fastestTiled(sizes, target).tuning;
}

/** Whether register tiles pay: enough rows and columns to share what is read. */
export function worthTiling(s: ContractionShape): boolean {
  const { m, n, k } = contractionSizes(s);
  return m >= 4 && n >= 4 && m * n >= 64 && k >= 4;
}
