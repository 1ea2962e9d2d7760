/**
 * Which tensors a contraction's epilogue takes in rows: reductions of the elements that it makes, and what is then made of them.
 *
 *   y[t, 8h + e] = Σ_i …   D[h, t] = Σ_e y[t, 8h + e] · z[t, 8h + e]        →   one kernel, where a tile holds all e of a head
 *   y = Σ_i …   m = mean_e(y)   v = mean_e((y - m)²)   q = (y - m) / √v     →   one kernel
 *
 * A row is a run of elements side by side in the output, so that the axes of a statement are digits of an element's number: the lowest
 * are reduced. Statements may store in another order than the output's, as long as rows stay together.
 *
 * The trap: two tensors of one shape may lie over the output in different ways. What a statement reads of its own kernel is read of
 * its own element or row, and that is asked of every load.
 */
import type { ContractionKernel, EpilogueStatement } from '../../../kernels/kernel.ts';
import { flatIndex } from '../../../kernels/parts/linear.ts';
import { readAsIndex } from '../../../kernels/statements.ts';
import { affine, asAxis, coefficientOf, equalAffine } from '../../ir/affine.ts';
import { equationLoads, equationsOf } from '../../ir/equation.ts';
import { plainAxes } from '../../ir/plain.ts';
import type { Affine, Equation, Load, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';

type ShapeOf = (tensor: string) => readonly number[];

/** What an epilogue has made so far, as a later statement may read it. */
interface Made {
  /** Tensors with an element in the place of each of the output's. */
  readonly elements: ReadonlySet<string>;
  /** Tensors with a value a row: the step of an element's number for each of their dimensions, 0 for an extent of 1. */
  readonly rows: ReadonlyMap<string, readonly number[]>;
  /** Made, but not to be read: stored in another order. */
  readonly others: ReadonlySet<string>;
}

/** The tensor as one more statement of the epilogue, and the length of its rows, if it lies over them. */
export function joiningRows(
  kernel: ContractionKernel,
  tensor: Tensor,
  shapeOf: ShapeOf,
): { readonly statement: EpilogueStatement; readonly rowLength: number } | undefined {
  const [equation, ...more] = equationsOf(tensor);
  if (!equation || more.length > 0 || tensor.dtype !== 'f32') return undefined;
  const made = madeBy(kernel, shapeOf);
  const isMade = (name: string): boolean => made.elements.has(name) || made.rows.has(name) || made.others.has(name);
  if (readAsIndex(equation).some(isMade) || equationLoads(equation).some((l) => made.others.has(l.tensor)))
    return undefined;
  const stored = plainAxes(equation, tensor.shape);
  const steps = stepsOf(equation, made, shapeOf);
  if (!stored || !steps) return undefined;
  const count = elementCount(shapeOf(kernel.tensor));
  const { axes } = equation;
  const isLong = (axis: number): boolean => axes[axis].extent > 1;
  const reduced = axes.map((_, axis) => axis).filter((axis) => isLong(axis) && !stored.includes(axis));
  const statementOf = (kind: NonNullable<EpilogueStatement['inRows']>['kind']): EpilogueStatement => ({
    tensor: tensor.name,
    equations: [equation],
    stored: true,
    inRows: { kind, steps },
  });
  const points = elementCount(axes.map((axis) => axis.extent));
  const { rowLength } = kernel;
  if (reduced.length > 0) {
    const length = elementCount(reduced.map((axis) => axes[axis].extent));
    const areLowest = axes.every((_, axis) => !isLong(axis) || reduced.includes(axis) === steps[axis] < length);
    const isFitting = points === count && areLowest && length === (rowLength ?? length);
    if (!isFitting || !['sum', 'max', 'min'].includes(equation.reducer)) return undefined;
    return { statement: statementOf('reduce'), rowLength: length };
  }
  if (rowLength === undefined || !readsOf(equation, (name) => made.rows.has(name)).length) return undefined;
  if (points === count / rowLength) return { statement: statementOf('row'), rowLength };
  const flat = flatIndex(tensor.shape, equation.store)!;
  const keepsRows = axes.every(
    (_, axis) => !isLong(axis) || steps[axis] >= rowLength || coefficientOf(flat, axis) === steps[axis],
  );
  return points === count && keepsRows ? { statement: statementOf('element'), rowLength } : undefined;
}

/** Tensors of an epilogue that are stored in another order than the output: their elements are not those of the same number. */
export function storedOtherwise(kernel: ContractionKernel, shapeOf: ShapeOf): ReadonlySet<string> {
  return madeBy(kernel, shapeOf).others;
}

const readsOf = (equation: Equation, isWanted: (tensor: string) => boolean): readonly Load[] =>
  equationLoads(equation).filter((l) => isWanted(l.tensor));

function madeBy({ tensor, epilogue }: ContractionKernel, shapeOf: ShapeOf): Made {
  const elements = new Set([tensor]);
  const rows = new Map<string, readonly number[]>();
  const others = new Set<string>();
  for (const statement of epilogue) {
    const { inRows, equations } = statement;
    if (inRows === undefined) elements.add(statement.tensor);
    else if (inRows.kind === 'element') {
      const flat = flatIndex(shapeOf(statement.tensor), equations[0].store)!;
      (equalAffine(longTerms(flat, equations[0]), numberOf(inRows.steps)) ? elements : others).add(statement.tensor);
    } else {
      const stored = plainAxes(equations[0], shapeOf(statement.tensor))!;
      rows.set(
        statement.tensor,
        stored.map((axis) => (axis === undefined ? 0 : inRows.steps[axis])),
      );
    }
  }
  return { elements, rows, others };
}

/** An element's number, by how far a step of each axis goes. */
const numberOf = (steps: readonly number[]): Affine =>
  affine(
    0,
    steps.flatMap((coefficient, axis) => (coefficient === 0 ? [] : [{ axis, coefficient }])),
  );

const longTerms = (flat: Affine, { axes }: Equation): Affine =>
  affine(
    flat.constant,
    flat.terms.filter((term) => axes[term.axis].extent > 1),
  );

/** The step of an element's number for each axis, 0 for an extent of 1, as all loads of what the kernel makes say it. */
function stepsOf(equation: Equation, made: Made, shapeOf: ShapeOf): readonly number[] | undefined {
  const { axes } = equation;
  const steps = new Array<number>(axes.length).fill(0);
  const elements = readsOf(equation, (name) => made.elements.has(name));
  for (const [i, l] of elements.entries()) {
    const flat = flatIndex(shapeOf(l.tensor), l.indices);
    if (flat?.constant !== 0) return undefined;
    const number = longTerms(flat, equation);
    if (i === 0) for (const { axis, coefficient } of number.terms) steps[axis] = coefficient;
    else if (!equalAffine(number, numberOf(steps))) return undefined;
  }
  for (const l of readsOf(equation, (name) => made.rows.has(name))) {
    for (const [d, step] of made.rows.get(l.tensor)!.entries()) {
      const index = l.indices[d];
      if (step === 0) continue;
      const axis = index.kind === 'affine' ? asAxis(longTerms(index, equation)) : undefined;
      if (axis === undefined || axes[axis].extent !== shapeOf(l.tensor)[d]) return undefined;
      if (elements.length === 0 && steps[axis] === 0) steps[axis] = step;
      if (steps[axis] !== step) return undefined;
    }
  }
  return areDigits(equation, steps, elements.length > 0) ? steps : undefined;
}

/** Whether every axis is a digit of the element's number: each begins where the one below ends, if there are elements in it. */
function areDigits({ axes }: Equation, steps: readonly number[], fromFirst: boolean): boolean {
  const long = axes.flatMap(({ extent, symbol }, axis) =>
    extent === 1 && symbol === undefined ? [] : [{ extent, step: steps[axis] }],
  );
  if (long.some(({ step }) => step <= 0)) return false;
  const sorted = [...long].sort((a, b) => a.step - b.step);
  return sorted.every(({ step }, i) => {
    if (i > 0) return step === sorted[i - 1].step * sorted[i - 1].extent;
    return fromFirst ? step === 1 : true;
  });
}
