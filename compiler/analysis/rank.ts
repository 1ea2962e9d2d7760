/**
 * Bounds on ranks, from the sizes alone: the least cut between row digits and column digits.
 *
 *   W[8·α + β, 8·γ + δ] = L[β, α, γ] R[γ, δ, β]     rows {α, β} | L | R | columns {γ, δ}
 *   cut between L and R: axes β and γ pass, so rank W ≤ |β|·|γ|; no cut is dearer than all rows or all columns
 *
 * Every operand stands on the row side or the column side; an axis that both sides speak of is cut, and the rank is at most the
 * product of the extents of the cut axes, for the best of all sides. Axes that index the batch are fixed, not cut. A sum of
 * equations adds ranks; a chain of tensors takes the least along it.
 *
 * The trap: it bounds the rank for every value of the params; nothing is said about what they are.
 */
import type { AxisSet } from '../ir/contraction.ts';
import { axesIn, axesOfExpression, axisSet, factorsOf, pointsOf, readsTensor } from '../ir/contraction.ts';
import { dependencies, equationsOf, tensorMap } from '../ir/equation.ts';
import { affinesOfIndex, loads } from '../ir/expression.ts';
import type { Equation, Expression, Index, Load, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { matrixShape } from './cost.ts';

/** Operands beyond which only the two trivial cuts and the cuts along the written order are tried. */
const exhaustiveLimit = 12;

/** Bound on the rank of the matrix of a matrix structure (see `matrixShape`); undefined for other programs. */
export function matrixRankBound(program: Program): number | undefined {
  const shape = matrixShape(program);
  if (shape === undefined) return undefined;
  const tensors = tensorMap(program);
  const fed = new Set([shape.input]);
  for (const tensor of program.tensors) if (dependencies(tensor).some((name) => fed.has(name))) fed.add(tensor.name);
  const known = new Map<string, number | undefined>();
  /** Bound on the rank of the map from x to the tensor, for one index of dimension 0. */
  const rankOf = (name: string): number | undefined => {
    if (name === shape.input) return shape.columns;
    if (!known.has(name))
      known.set(name, sumOf((tensors.get(name) as Tensor).shape, equationsOf(tensors.get(name) as Tensor)));
    return known.get(name);
  };
  const sumOf = (extents: readonly number[], equations: readonly Equation[]): number | undefined => {
    let total = 0;
    for (const equation of equations) {
      const reads = factorsOf(equation.value).factors.filter((factor) => loads(factor).some((l) => fed.has(l.tensor)));
      const [read, ...others] = reads;
      if (equation.reducer !== 'sum' || read?.kind !== 'load' || others.length > 0) return undefined;
      const before = rankOf(read.tensor);
      if (before === undefined) return undefined;
      total += Math.min(before, cutOf(equation, axesOfIndices(equation.store), read, batchAxes(equation, read)));
    }
    return Math.min(total, elementCount(extents) / shape.batch);
  };
  return rankOf(shape.output);
}

/** The axes of dimension 0, which numbers the rows of x, in the store and in the read. */
function batchAxes(equation: Equation, read: Load): AxisSet {
  return axesOfIndices([equation.store[0]]) & axesOfIndices([read.indices[0]]);
}

export interface ScoreRank {
  /** The score's tensor, before the softmax. */
  readonly tensor: string;
  /** Bound on the rank of each (tokens × tokens) matrix. */
  readonly rankBound: number;
}

/** A bound for every score: a tensor of four or more dimensions that a `logsumexp` reduces over its last. */
export function scoreRankBounds(program: Program): readonly ScoreRank[] {
  return scoreTensors(program).flatMap((tensor) => {
    const rows = tensor.shape.length - 2;
    let total = 0;
    for (const equation of equationsOf(tensor)) {
      const [row, column] = [axesOfIndices([equation.store[rows]]), axesOfIndices([equation.store[rows + 1]])];
      const batch = axesOfIndices(equation.store.slice(0, rows));
      total += cutBetween(equation, row, column, batch);
    }
    return [{ tensor: tensor.name, rankBound: Math.min(total, tensor.shape[rows], tensor.shape[rows + 1]) }];
  });
}

/** Contractions, of at least (heads, tokens, tokens), that the value of a `logsumexp` over the last dimension reads. */
export function scoreTensors(program: Program): readonly Tensor[] {
  const tensors = tensorMap(program);
  const found = new Map<string, Tensor>();
  const visit = (tensor: Tensor | undefined, depth: number): void => {
    if (tensor === undefined || tensor.shape.length < 3 || tensor.source.kind !== 'computed') return;
    if (tensor.source.equations.some((equation) => factorsOf(equation.value).factors.filter(readsTensor).length > 1)) {
      found.set(tensor.name, tensor);
    } else if (depth > 0) {
      // A scaled or masked score is made pointwise from the score itself.
      for (const name of dependencies(tensor)) visit(tensors.get(name), depth - 1);
    }
  };
  for (const equation of program.tensors.flatMap(equationsOf)) {
    if (equation.reducer !== 'logsumexp') continue;
    for (const read of loads(equation.value)) {
      const last = read.indices[read.indices.length - 1];
      const isReduced = last !== undefined && (axesOfIndices([last]) & ~axesOfIndices(equation.store)) !== 0n;
      if (isReduced) visit(tensors.get(read.tensor), 3);
    }
  }
  return [...found.values()];
}

export function axesOfIndices(indices: readonly Index[]): AxisSet {
  return axisSet(indices.flatMap(affinesOfIndex).flatMap((a) => a.terms.map((term) => term.axis)));
}

/** The least cut between the store's axes and those of one factor, which is a vertex of its own and on the column side. */
function cutOf(equation: Equation, rows: AxisSet, columns: Load, batch: AxisSet): number {
  const operands = factorsOf(equation.value).factors.filter((factor) => factor !== columns);
  return leastCut(equation, operands, rows, axesOfIndices(columns.indices), batch);
}

/** The least cut between two sets of axes of a product. */
function cutBetween(equation: Equation, rows: AxisSet, columns: AxisSet, batch: AxisSet): number {
  return leastCut(equation, factorsOf(equation.value).factors, rows, columns, batch);
}

function leastCut(
  equation: Equation,
  operands: readonly Expression[],
  rows: AxisSet,
  columns: AxisSet,
  batch: AxisSet,
): number {
  const sets = operands.map(axesOfExpression).filter((axes) => axes !== 0n);
  const subsets: number = sets.length <= exhaustiveLimit ? 2 ** sets.length : 0;
  let least = Number.POSITIVE_INFINITY;
  const consider = (onRowSide: (operand: number) => boolean): void => {
    let [left, right] = [rows, columns];
    sets.forEach((axes, operand) => {
      if (onRowSide(operand)) left |= axes;
      else right |= axes;
    });
    least = Math.min(least, pointsOf(left & right & ~batch, equation.axes));
  };
  for (let subset = 0; subset < subsets; subset++) consider((operand) => ((subset >> operand) & 1) === 1);
  for (let cut = 0; subsets === 0 && cut <= sets.length; cut++) {
    consider((operand) => operand < cut);
    consider((operand) => operand >= cut);
  }
  const sideOf = (side: AxisSet): number => pointsOf(side & ~batch, equation.axes);
  return Math.min(least, axesIn(rows).length === 0 ? 1 : sideOf(rows), sideOf(columns));
}
