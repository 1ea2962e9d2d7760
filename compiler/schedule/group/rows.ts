/**
 * Which tensors a row kernel takes: reductions of rows, and maps over the points of rows that read what the kernel makes.
 *
 *   m[t] = max_u S[t, u];  P[t, u] = exp(S[t, u] - m[t])   →   one kernel, a row for every t
 *
 * The trap: a statement may read what the kernel itself makes in its own row only. What another row makes is not there yet, and
 * no barrier reaches it.
 */
import type { LoopKernel, RowKernel, RowStatement } from '../../../kernels/kernel.ts';
import { flatIndex } from '../../../kernels/parts/linear.ts';
import { readAsIndex } from '../../../kernels/statements.ts';
import type { Target } from '../../../kernels/target.ts';
import { asAxis, coefficientOf, leastStep } from '../../ir/affine.ts';
import { equationsOf, readTensors, reducedAxes, reducedCount } from '../../ir/equation.ts';
import { loads } from '../../ir/expression.ts';
import { isPointwise, plainAxes, sameShape } from '../../ir/plain.ts';
import type { Equation, Index, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import { fewRows } from '../normalise/pieces.ts';

/** Points a row that one workgroup may map without keeping the others waiting. */
const longRowMap = 2048;
/** Terms of a column that take one thread longer than the reduction over many. */
const longColumn = 512;
/** Rows that keep a software device's threads at work. */
const fewRowsOnCpu = 8;

type ShapeOf = (tensor: string) => readonly number[];

/** The tensor as the first statement of a row kernel, where rows serve it better than a thread an element. */
export function openingRow(tensor: Tensor, shapeOf: ShapeOf, target: Target): RowStatement | undefined {
  const statement = asReduction(tensor);
  if (statement === undefined || reducedAxes(statement.equation).length === 0) return undefined;
  return readsRowsInOrder(statement, shapeOf) || isLongColumn(statement, target) ? statement : undefined;
}

/** The tensor as one more statement of a row kernel, if it keeps to the kernel's rows. */
export function joiningRow(
  kernel: RowKernel,
  tensor: Tensor,
  shapeOf: ShapeOf,
  target: Target,
): RowStatement | undefined {
  const [equation, ...others] = equationsOf(tensor);
  if (!equation || others.length > 0 || tensor.dtype !== 'f32') return undefined;
  if (!sharesWith(kernel, equation) || readAsIndex(equation).length > 0) return undefined;
  const reduction = asReduction(tensor);
  if (reduction && sameShape(tensor.shape, kernel.rows)) {
    const isReduced = reducedAxes(equation).length > 0;
    if (isReduced && !readsRowsInOrder(reduction, shapeOf)) return undefined;
    return keepsToRows(kernel, reduction) ? reduction : undefined;
  }
  if (!isPointwise(equation, tensor.shape)) return undefined;
  const rowAxes = rowAxesOfMap(kernel, equation);
  if (!rowAxes || wouldStarve(kernel, tensor, target)) return undefined;
  const map: RowStatement = { kind: 'map', tensor: tensor.name, equation, rowAxes, stored: true };
  return keepsToRows(kernel, map) ? map : undefined;
}

/**
 * The row kernel that the reduction opens together with what a loop kernel alone makes and it reads, which is a map of the same rows then.
 *
 *   x[t, i] = p[0, t, i] + p[1, t, i];  m[t] = Σ_i x[t, i]   →   one kernel, a row for every t
 */
export function openingMap(loop: LoopKernel, reduction: RowStatement, target: Target): RowKernel | undefined {
  const [{ tensor, equations }, ...others] = loop.statements;
  const [equation, ...terms] = equations;
  // On a software device another dispatch costs next to nothing.
  if (target.class !== 'gpu' || others.length + terms.length > 0) return undefined;
  if (!isPointwise(equation, loop.shape) || readAsIndex(equation).length > 0) return undefined;
  const rows = reduction.rowAxes.map((axis) => reduction.equation.axes[axis].extent);
  if (elementCount(rows) < fewRows) return undefined;
  const [read] = loads(reduction.equation.value).filter((l) => l.tensor === tensor);
  const dimensions = reduction.rowAxes.map((row) => read.indices.findIndex((index) => axisOf(index) === row));
  const rowAxes = dimensions.map((d) => (d < 0 ? undefined : axisOf(equation.store[d])));
  if (rowAxes.includes(undefined)) return undefined;
  const map: RowStatement = { kind: 'map', tensor, equation, rowAxes: rowAxes as number[], stored: true };
  const kernel: RowKernel = { family: 'row', rows, statements: [map] };
  return keepsToRows(kernel, reduction) ? { ...kernel, statements: [map, reduction] } : undefined;
}

/** A reduction of a tensor's rows, one element of `tensor` a row. */
function asReduction(tensor: Tensor): RowStatement | undefined {
  const [equation, ...others] = equationsOf(tensor);
  if (!equation || others.length > 0 || tensor.dtype !== 'f32') return undefined;
  const rowAxes = plainAxes(equation, tensor.shape);
  if (!rowAxes || rowAxes.includes(undefined) || readAsIndex(equation).length > 0) return undefined;
  return { kind: 'reduce', tensor: tensor.name, equation, rowAxes: rowAxes as number[], stored: true };
}

/** Lanes that walk along a row should walk through memory; a reduction down the columns is better one thread a column. */
function readsRowsInOrder({ equation, rowAxes }: RowStatement, shapeOf: ShapeOf): boolean {
  const inner = reducedAxes(equation);
  return loads(equation.value)
    .map((l) => flatIndex(shapeOf(l.tensor), l.indices)!)
    .filter((flat) => inner.some((axis) => coefficientOf(flat, axis) !== 0))
    .every((flat) => leastStep(flat, inner) <= leastStep(flat, rowAxes));
}

/** A few long columns would each keep one thread waiting for its next term; many threads a column may read out of order. */
function isLongColumn({ equation, rowAxes }: RowStatement, target: Target): boolean {
  const columns = elementCount(rowAxes.map((axis) => equation.axes[axis].extent));
  return target.class === 'gpu' && columns < fewRows && reducedCount(equation) >= longColumn;
}

/** Whether the equation reads something that the kernel makes, or reads as well. */
function sharesWith(kernel: RowKernel, equation: Equation): boolean {
  return readTensors(equation).some((name) =>
    kernel.statements.some((s) => s.tensor === name || readTensors(s.equation).includes(name)),
  );
}

/** A large tensor over a few rows would be left to a few workgroups. */
function wouldStarve(kernel: RowKernel, tensor: Tensor, target: Target): boolean {
  const rows = elementCount(kernel.rows);
  const few = target.class === 'gpu' ? fewRows : fewRowsOnCpu;
  return rows < few && elementCount(tensor.shape) > rows * longRowMap;
}

const axisOf = (index: Index): number | undefined => (index.kind === 'affine' ? asAxis(index) : undefined);

/** The dimensions of a statement's tensor that run over the rows; -1 where there is none. */
function rowDimensions(maker: RowStatement): readonly number[] {
  if (maker.kind === 'reduce') return maker.rowAxes.map((_, d) => d);
  return maker.rowAxes.map((row) => maker.equation.store.findIndex((index) => axisOf(index) === row));
}

/** The axes of a pointwise equation that are the kernel's rows, as something that the kernel makes is read there. */
function rowAxesOfMap(kernel: RowKernel, equation: Equation): readonly number[] | undefined {
  for (const l of loads(equation.value)) {
    const maker = kernel.statements.find((s) => s.tensor === l.tensor);
    if (!maker) continue;
    const axes = l.indices.map(axisOf);
    const rows = rowDimensions(maker).map((d) => (d < 0 ? undefined : axes[d]));
    const fits = rows.every((axis, d) => axis !== undefined && equation.axes[axis].extent === kernel.rows[d]);
    if (fits && rows.length === kernel.rows.length && new Set(rows).size === rows.length) return rows as number[];
  }
  return undefined;
}

/** What the kernel itself makes is read in the statement's own row only. */
function keepsToRows(kernel: RowKernel, { equation, rowAxes }: RowStatement): boolean {
  if (readAsIndex(equation).some((name) => kernel.statements.some((s) => s.tensor === name))) return false;
  return loads(equation.value).every((l) => {
    const maker = kernel.statements.find((s) => s.tensor === l.tensor);
    if (!maker) return true;
    const axes = l.indices.map(axisOf);
    return rowDimensions(maker).every((dimension, d) => dimension >= 0 && axes[dimension] === rowAxes[d]);
  });
}
