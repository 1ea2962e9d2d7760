/**
 * Long sums for few results are made in pieces, so that a GPU has enough to do:
 *
 *   w[i] = Σ_n …   →   p[s, i] = Σ_{n in piece s} …;  w[i] = Σ_s p[s, i]
 *
 * The pieces are added in a fixed order, so the result has the same bits every time.
 */
import { type ContractionShape, contractionShape, contractionSizes } from '../../kernels/contraction-shape.ts';
import { fastestPieces } from '../../kernels/contraction-tiles.ts';
import { isInterleaved, laneThreads, worthTiling } from '../../kernels/contraction-tuning.ts';
import type { Layouts } from '../../kernels/kernel.ts';
import { strides } from '../../kernels/linear.ts';
import type { Target } from '../../kernels/target.ts';
import { add, affine, axisIndex, coefficientOf, scale, substitute } from '../ir/affine.ts';
import { reducedAxes, storeAxes, storesInside } from '../ir/equation.ts';
import { constraintAxes, load, loads, rewriteConstraint, rewriteExpression, rewriteIndex } from '../ir/expression.ts';
import type { Affine, Axis, Equation, Load, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { type Chooser, problemOf } from './choose.ts';

/** Partial sums are worth a second kernel from here on (sums this long, or longer, on a GPU). */
const longSum = 1024;
/** Threads that fill an H100. */
const enoughThreads = 65536;
/** Rows of this number keep a GPU busy with one workgroup each, if they are not very long. */
export const fewRows = 132;
/** A piece is at least so long. */
const leastPiece = 64;

export function splitLongSum(
  equation: Equation,
  tensor: Tensor,
  position: number,
  known: ReadonlyMap<string, Tensor>,
  target: Target,
  decide: Chooser['pieces'],
): { partial: Tensor; rest: Equation } | undefined {
  if (equation.reducer !== 'sum' || equation.store.some((i) => i.kind === 'gather')) return undefined;
  const reduced = reducedAxes(equation);
  const length = elementCount(reduced.map((axis) => equation.axes[axis].extent));
  if (length < longSum) return undefined;
  const stored = storeAxes(equation);
  if (!storesInsideAlone(equation, tensor.shape, stored)) return undefined;
  const layouts: Layouts = (name) => ({
    shape: known.get(name)!.shape,
    dtype: known.get(name)!.dtype,
    slot: name,
    start: 0,
  });
  const contraction = contractionShape(equation, layouts, tensor.shape);
  const tiled = contraction !== undefined && worthTiling(contraction) ? contraction : undefined;
  const { tuning: pieces } = decide(problemOf(equation, tensor.shape, layouts), () =>
    tiled === undefined ? piecesOfLoop(equation, length, known) : piecesOfContraction(tiled, length, target),
  );
  if (pieces < 2) return undefined;
  const flats = loads(equation.value).map((l) => flatOf(l, known));
  const cut = chooseCut(equation, reduced, pieces, flats);
  if (!cut) return undefined;
  const order = tiled !== undefined && !isInterleaved(tiled) ? stored : contiguousLast(stored, flats);
  return makePieces(equation, tensor, position, order, cut);
}

/** So many that each is long enough, 1 where fewer than two are wanted. */
function atLeastLong(wanted: number, length: number): number {
  return Math.max(1, Math.min(Math.floor(wanted), Math.floor(length / leastPiece)));
}

function piecesOfContraction(s: ContractionShape, length: number, target: Target): number {
  if (isInterleaved(s)) return atLeastLong(enoughThreads / laneThreads(s), length);
  return fastestPieces(contractionSizes(s), leastPiece, target);
}

/** A thread a result, or for few long rows a workgroup. */
function piecesOfLoop(equation: Equation, length: number, known: ReadonlyMap<string, Tensor>): number {
  const results = elementCount(storeAxes(equation).map((axis) => equation.axes[axis].extent));
  const isLeft =
    isContiguousSum(equation, reducedAxes(equation), known) && (length <= 4 * longSum || results >= fewRows);
  return isLeft ? 1 : atLeastLong(enoughThreads / results, length);
}

/** Sums whose points lie side by side in memory are done by one workgroup a result, without pieces. */
function isContiguousSum(equation: Equation, reduced: readonly number[], known: ReadonlyMap<string, Tensor>): boolean {
  return loads(equation.value).every((l) => {
    const flat = flatOf(l, known);
    return flat.terms.length === 0 || reduced.some((axis) => coefficientOf(flat, axis) === 1);
  });
}

function flatOf(l: Load, known: ReadonlyMap<string, Tensor>): Affine {
  const stride = strides(known.get(l.tensor)!.shape);
  return l.indices.reduce<Affine>(
    (a, index, d) => (index.kind === 'affine' ? add(a, scale(index, stride[d])) : a),
    affine(0),
  );
}

/** Neighbouring threads make neighbouring elements of the pieces: the axis that most operands are contiguous in goes last. */
function contiguousLast(stored: readonly number[], flats: readonly Affine[]): readonly number[] {
  const count = (axis: number): number => flats.filter((a) => coefficientOf(a, axis) === 1).length;
  const best = stored.reduce((a, b) => (count(b) >= count(a) ? b : a), stored[0]);
  return best === undefined ? stored : [...stored.filter((axis) => axis !== best), best];
}

/** Whether the stored axes alone keep the store inside the tensor: the pieces are added without the reduced axes' constraints. */
function storesInsideAlone(equation: Equation, shape: readonly number[], stored: readonly number[]): boolean {
  return (
    storesInside(equation, shape) ||
    equation.domain.every((c) => constraintAxes(c).every((axis) => stored.includes(axis)))
  );
}

/** The reduced axis to cut and into how many equal pieces: the most up to `wanted`, of the axis with the longest stride. */
function chooseCut(
  equation: Equation,
  reduced: readonly number[],
  wanted: number,
  flats: readonly Affine[],
): { axis: number; pieces: number } | undefined {
  const stride = (axis: number): number => Math.max(0, ...flats.map((a) => Math.abs(coefficientOf(a, axis))));
  let best: { axis: number; pieces: number } | undefined;
  for (const axis of reduced) {
    const { extent } = equation.axes[axis];
    for (let pieces = Math.min(wanted, extent); pieces >= 2; pieces--) {
      if (extent % pieces !== 0) continue;
      const longer = best?.pieces === pieces && stride(axis) > stride(best.axis);
      if (!best || pieces > best.pieces || longer) best = { axis, pieces };
      break;
    }
  }
  return best;
}

function makePieces(
  equation: Equation,
  tensor: Tensor,
  position: number,
  stored: readonly number[],
  cut: { axis: number; pieces: number },
): { partial: Tensor; rest: Equation } {
  const { axes } = equation;
  const whole = axes[cut.axis];
  const length = whole.extent / cut.pieces;
  const piece = axes.length;
  const newAxes: Axis[] = [...axes, { name: 'piece', extent: cut.pieces }];
  newAxes[cut.axis] = { name: whole.name, extent: length };
  const rewrite = {
    affine: (a: Affine): Affine =>
      substitute(a, (axis) =>
        axis === cut.axis
          ? affine(0, [
              { axis: piece, coefficient: length },
              { axis, coefficient: 1 },
            ])
          : axisIndex(axis),
      ),
  };
  const name = `${tensor.name}~pieces${position === 0 ? '' : position}`;
  const partialEquation: Equation = {
    ...equation,
    axes: newAxes,
    domain: equation.domain.map((c) => rewriteConstraint(c, rewrite)),
    store: [axisIndex(piece), ...stored.map(axisIndex)],
    value: rewriteExpression(equation.value, rewrite),
  };
  const partial: Tensor = {
    name,
    dtype: 'f32',
    shape: [cut.pieces, ...stored.map((axis) => axes[axis].extent)],
    source: { kind: 'computed', equations: [partialEquation] },
  };
  const restAxes: Axis[] = [...stored.map((axis) => axes[axis]), { name: 'piece', extent: cut.pieces }];
  const place = (axis: number): Affine => (stored.includes(axis) ? axisIndex(stored.indexOf(axis)) : affine(0));
  const rest: Equation = {
    axes: restAxes,
    domain: equation.domain
      .filter((c) => constraintAxes(c).every((axis) => stored.includes(axis)))
      .map((c) => rewriteConstraint(c, { affine: (a) => substitute(a, place) })),
    store: equation.store.map((index) => rewriteIndex(index, { affine: (a) => substitute(a, place) })),
    reducer: 'sum',
    value: load(name, [axisIndex(stored.length), ...stored.map((_, i) => axisIndex(i))]),
    ...(equation.span ? { span: equation.span } : {}),
  };
  return { partial, rest };
}
