/**
 * Which stretch of each tensor a workgroup of a kernel reads and makes: from the least to the most element that it may touch, never too
 * short, possibly too long. What is not told so, such as an element that a number in memory says, is all of the tensor.
 *
 *   y[t, o] = Σ_i x[t, i] W[o, i], tiles of 32 rows of 64    →    workgroup g: x from 2048 g to 2048 g + 2047, W all, y as x
 */
import {
  type ContractionSizes,
  contractionSizes,
  productShapes,
  tilesOf,
} from '../../../kernels/families/contraction/shape.ts';
import type { ContractionTuning } from '../../../kernels/families/contraction/tuning.ts';
import type { ContractionKernel, EpilogueStatement, Layouts, RowKernel, Statement } from '../../../kernels/kernel.ts';
import { flatIndex, flattenLoads, strides } from '../../../kernels/parts/linear.ts';
import { readAsIndex } from '../../../kernels/statements.ts';
import { coefficientOf } from '../../ir/affine.ts';
import { equationLoads, readTensors } from '../../ir/equation.ts';
import type { Affine, Equation } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';

/** From least to most, both included. */
export interface Stretch {
  readonly least: number;
  readonly most: number;
}

/** Stretches of one tensor by the number of a workgroup. */
export interface Touched {
  readonly tensor: string;
  readonly of: (group: number) => Stretch;
}

/** The values of an equation's axis that a workgroup goes through. */
type Box = (axis: number) => Stretch;

/** Positions of batch, m and n that a workgroup has. */
type Place = Readonly<Record<'batch' | 'm' | 'n', Stretch>>;

/** A tile a workgroup: `tileHead` of the family. */
function placeOfTile(group: number, sizes: ContractionSizes, tuning: ContractionTuning): Place {
  const [tilesM, tilesN] = tilesOf(sizes, tuning);
  const batch = Math.floor(group / (tilesM * tilesN));
  const tiles = (tile: number, size: number, of: number): Stretch => ({
    least: tile * size,
    most: Math.min((tile + 1) * size, of) - 1,
  });
  return {
    batch: { least: batch, most: batch },
    m: tiles(Math.floor(group / tilesN) % tilesM, tuning.tileM, sizes.m),
    n: tiles(group % tilesN, tuning.tileN, sizes.n),
  };
}

/** So many tiles, a thread each, neighbouring threads at neighbouring batches: `laneLines` of the family. */
function placeOfLanes(group: number, threads: number, sizes: ContractionSizes, tuning: ContractionTuning): Place {
  const { tileM, tileN } = tuning;
  const [, tilesN] = tilesOf(sizes, tuning);
  const own = { least: group * threads, most: (group + 1) * threads - 1 };
  const tiles = { least: Math.floor(own.least / sizes.batch), most: Math.floor(own.most / sizes.batch) };
  const rows = { least: Math.floor(tiles.least / tilesN), most: Math.floor(tiles.most / tilesN) };
  const columns = digitOf(tiles, 1, tilesN);
  return {
    batch: digitOf(own, 1, sizes.batch),
    m: { least: rows.least * tileM, most: Math.min((rows.most + 1) * tileM, sizes.m) - 1 },
    n: { least: columns.least * tileN, most: Math.min((columns.most + 1) * tileN, sizes.n) - 1 },
  };
}

/** Everything that a contraction's workgroups touch, a tile each. */
export function touchedByTiles(
  kernel: ContractionKernel,
  tuning: ContractionTuning,
  layouts: Layouts,
): readonly Touched[] {
  return touchedAt(kernel, (group, sizes) => placeOfTile(group, sizes, tuning), layouts);
}

/** The same of the `lanes` form, so many tiles each. */
export function touchedByLanes(kernel: ContractionKernel, threads: number, layouts: Layouts): readonly Touched[] {
  const { tuning } = kernel.choice!;
  return touchedAt(kernel, (group, sizes) => placeOfLanes(group, threads, sizes, tuning), layouts);
}

function touchedAt(
  kernel: ContractionKernel,
  placeIn: (group: number, sizes: ContractionSizes) => Place,
  layouts: Layouts,
): readonly Touched[] {
  const shapes = productShapes(kernel, layouts);
  const [first] = shapes;
  const sizes = contractionSizes(first);
  const placeOf = (group: number): Place => placeIn(group, sizes);
  const boxOf = (s: (typeof shapes)[number], group: number): Box => {
    const place = placeOf(group);
    const box = new Map<number, Stretch>();
    for (const side of ['batch', 'm', 'n'] as const) {
      const extents = s[side].map((axis) => s.equation.axes[axis].extent);
      for (const [d, axis] of s[side].entries()) box.set(axis, digitOf(place[side], strides(extents)[d], extents[d]));
    }
    return (axis) => box.get(axis) ?? wholeAxis(s.equation, axis);
  };
  const element = (group: number): Stretch => rangeOf(first.equation.store[0] as Affine, boxOf(first, group));
  return [
    { tensor: kernel.tensor, of: element },
    ...shapes.flatMap((s) => readBy(s.equation, layouts, (group) => boxOf(s, group))),
    ...kernel.addends.flatMap((e) => touchedAfter({ tensor: kernel.tensor, equations: [e] }, element, layouts)),
    ...kernel.epilogue.flatMap((statement) => touchedAfter(statement, element, layouts)),
  ];
}

/** What a statement over finished elements touches: its axes are digits of an element's number. */
function touchedAfter(
  { tensor, equations, inRows }: Pick<Statement, 'tensor' | 'equations'> & Pick<EpilogueStatement, 'inRows'>,
  element: (group: number) => Stretch,
  layouts: Layouts,
): Touched[] {
  return equations.flatMap((equation) => {
    const store = flatIndex(layouts(tensor).shape, equation.store)!;
    const stepOf = (axis: number): number => (inRows ? inRows.steps[axis] : coefficientOf(store, axis));
    const boxOf =
      (group: number): Box =>
      (axis) => {
        const step = stepOf(axis);
        const { extent } = equation.axes[axis];
        return step > 0 && extent > 1 ? digitOf(element(group), step, extent) : wholeAxis(equation, axis);
      };
    return [{ tensor, of: (group) => rangeOf(store, boxOf(group)) }, ...readBy(equation, layouts, boxOf)];
  });
}

/** Everything that a row kernel's workgroups touch, so many rows each. */
export function touchedByRows({ rows, statements }: RowKernel, rowsEach: number, layouts: Layouts): readonly Touched[] {
  const count = elementCount(rows);
  return statements.flatMap(({ tensor, equation, rowAxes }): Touched[] => {
    const boxOf =
      (group: number): Box =>
      (axis) => {
        const d = rowAxes.indexOf(axis);
        const own = { least: group * rowsEach, most: Math.min((group + 1) * rowsEach, count) - 1 };
        return d < 0 ? wholeAxis(equation, axis) : digitOf(own, strides(rows)[d], rows[d]);
      };
    const store = flatIndex(layouts(tensor).shape, equation.store)!;
    return [{ tensor, of: (group) => rangeOf(store, boxOf(group)) }, ...readBy(equation, layouts, boxOf)];
  });
}

function readBy(equation: Equation, layouts: Layouts, boxOf: (group: number) => Box): Touched[] {
  const all = equationLoads(flattenLoads(equation, layouts));
  return readTensors(equation).map((tensor) => {
    const flats = all.filter((l) => l.tensor === tensor).map(({ indices: [index] }) => index);
    const known = flats.filter((index) => index?.kind === 'affine');
    const isTold = known.length > 0 && known.length === flats.length && !readAsIndex(equation).includes(tensor);
    if (!isTold) return { tensor, of: () => wholeTensor(tensor, layouts) };
    return { tensor, of: (group) => hull(known.map((index) => rangeOf(index, boxOf(group)))) };
  });
}

export const hull = (stretches: readonly Stretch[]): Stretch => ({
  least: Math.min(...stretches.map(({ least }) => least)),
  most: Math.max(...stretches.map(({ most }) => most)),
});

const wholeAxis = ({ axes }: Equation, axis: number): Stretch => ({ least: 0, most: axes[axis].extent - 1 });

const wholeTensor = (tensor: string, layouts: Layouts): Stretch => ({
  least: 0,
  most: elementCount(layouts(tensor).shape) - 1,
});

/** The values of a digit of numbers from least to most: so many values, `step` numbers each. */
function digitOf({ least, most }: Stretch, step: number, extent: number): Stretch {
  const [from, to] = [Math.floor(least / step), Math.floor(most / step)];
  if (to - from >= extent || from % extent > to % extent) return { least: 0, most: extent - 1 };
  return { least: from % extent, most: to % extent };
}

function rangeOf({ constant, terms }: Affine, box: Box): Stretch {
  let [least, most] = [constant, constant];
  for (const { axis, coefficient } of terms) {
    const ends = box(axis);
    least += coefficient * (coefficient > 0 ? ends.least : ends.most);
    most += coefficient * (coefficient > 0 ? ends.most : ends.least);
  }
  return { least, most };
}
