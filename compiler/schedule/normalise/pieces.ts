/**
 * Long sums for few results are made in pieces, so that a GPU has enough to do:
 *
 *   w[i] = Σ_n …   →   p[s, i] = Σ_{n in piece s} …;  w[i] = Σ_s p[s, i]
 *
 * The pieces are added in a fixed order, so the result has the same bits every time.
 */
import { piecesByRule } from '../../../kernels/families/contraction/matrix-tile-sizes.ts';
import { type ContractionShape, contractionShape } from '../../../kernels/families/contraction/shape.ts';
import { isInterleaved, laneThreads, worthTiling } from '../../../kernels/families/contraction/tuning.ts';
import type { Layouts, TensorLayout } from '../../../kernels/kernel.ts';
import { strides } from '../../../kernels/parts/linear.ts';
import type { Target } from '../../../kernels/target.ts';
import { add, affine, axisIndex, coefficientOf, scale, substitute } from '../../ir/affine.ts';
import { reducedAxes, storeAxes, storesInside } from '../../ir/equation.ts';
import {
  constraintAxes,
  load,
  loads,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
} from '../../ir/expression.ts';
import type { Affine, Axis, Equation, Load, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import { scatterAsProduct } from '../../passes/for-kernels/scatter-as-product.ts';
import { type Chooser, problemOf } from '../choose.ts';

/** Partial sums are worth a second kernel from here on (sums this long, or longer, on a GPU). */
const longSum = 1024;
/** Threads that fill an H100. */
const enoughThreads = 65536;
/** Rows of this number keep a GPU busy with one workgroup each, if they are not very long. */
export const fewRows = 132;
/**
 * Threads of a sum that looks for its terms: each waits for one whole number after another. With the gradient of an embedding of 96 words,
 * 512 features and 8192 tokens a dispatch took 574 µs on an H100, in 8 pieces 277, in 16 247 (records/2026-11-26-dispatches.jsonl).
 */
const scatterThreads = 2 ** 20;
/** A piece is at least so long. */
const leastPiece = 64;
/**
 * Of a sum whose terms lie side by side in memory a piece is a workgroup's, with four terms and more a lane: so many fill a GPU, and one
 * workgroup soon adds them up. For 4.7 million squares their 42352 pieces were made in 14 µs on an H200 and added up in 37, 896 in 14 and 2
 * (records/2026-11-27-small-kernels.jsonl).
 */
const enoughWorkgroups = 1024;
const leastPieceOfWorkgroup = 1024;

/** A tensor of the pieces, and the equation that adds them up. */
interface Pieces {
  readonly partial: Tensor;
  readonly rest: Equation;
}

export function splitLongSum(
  equation: Equation,
  tensor: Tensor,
  position: number,
  known: ReadonlyMap<string, Tensor>,
  target: Target,
  decide: Chooser['pieces'],
): Pieces | undefined {
  if (equation.reducer !== 'sum') return undefined;
  if (equation.store.some((index) => index.kind === 'gather'))
    return splitScatter(equation, tensor, position, known, decide);
  const reduced = reducedAxes(equation);
  const length = elementCount(reduced.map((axis) => equation.axes[axis].extent));
  if (length < longSum) return undefined;
  const stored = storeAxes(equation);
  if (!storesInsideAlone(equation, tensor.shape, stored)) return undefined;
  const layouts: Layouts = (name) => layoutOf(name, known);
  const contraction = contractionShape(equation, layouts, tensor.shape);
  const tiled = contraction !== undefined && worthTiling(contraction) ? contraction : undefined;
  const { tuning: pieces } = decide(problemOf(equation, tensor.shape, layouts), () =>
    tiled === undefined ? piecesOfLoop(equation, length, known) : piecesOfContraction(tiled, length, layouts, target),
  );
  if (pieces < 2) return undefined;
  const flats = loads(equation.value).map((l) => flatOf(l, known));
  const unit = tiled === undefined && isContiguousSum(equation, reduced, known) ? 4 : 1;
  const cut = chooseCut(equation, reduced, pieces, flats, unit);
  if (!cut) return undefined;
  if (tiled !== undefined && !isInterleaved(tiled))
    return makePieces(equation, tensor, position, asStored(equation, tensor.shape, stored), [cut]);
  const others = reduced.filter((axis) => axis !== cut.axis);
  const further = chooseCut(equation, others, Math.floor(pieces / cut.pieces), flats);
  const cuts = further === undefined ? [cut] : [cut, further];
  return makePieces(equation, tensor, position, contiguousLast(stored, flats), cuts);
}

/**
 * A sum that goes where whole numbers say, as a product, where that is one for tiles. With the gradient of an embedding of 96 words, 512
 * features and 8192 tokens a step of a language model took 0.2 ms less of 27 on an H200; with 96 words, 64 features and 512 tokens the
 * loop that looks takes half of the step on SwiftShader.
 */
export function tiledScatter(
  equation: Equation,
  tensor: Tensor,
  known: ReadonlyMap<string, Tensor>,
): Equation | undefined {
  const found = tensor.dtype === 'f32' ? scatterAsProduct(equation, tensor.shape) : undefined;
  const shape = found && contractionShape(found, (name) => layoutOf(name, known), tensor.shape);
  return shape !== undefined && worthTiling(shape) ? found : undefined;
}

/**
 * A sum that goes where whole numbers say, such as the gradient of an embedding: every element looks through all that may come to it.
 * Its pieces are as large as the tensor.
 */
function splitScatter(
  equation: Equation,
  tensor: Tensor,
  position: number,
  known: ReadonlyMap<string, Tensor>,
  decide: Chooser['pieces'],
): Pieces | undefined {
  const own = new Set(
    equation.store.flatMap((index) => (index.kind === 'affine' ? index.terms : [])).map((t) => t.axis),
  );
  const searched = equation.axes.flatMap(({ symbol }, axis) => (symbol !== undefined || own.has(axis) ? [] : [axis]));
  const length = elementCount(searched.map((axis) => equation.axes[axis].extent));
  if (length < longSum) return undefined;
  const { tuning: pieces } = decide(
    problemOf(equation, tensor.shape, (name) => layoutOf(name, known)),
    () => atLeastLong(scatterThreads / elementCount(tensor.shape), length),
  );
  if (pieces < 2) return undefined;
  const flats = loads(equation.value).map((l) => flatOf(l, known));
  const cut = chooseCut(equation, searched, pieces, flats);
  if (!cut) return undefined;
  const name = piecesName(tensor, position);
  const { newAxes, places, rewrite } = cutAxes(equation.axes, [cut]);
  const all = tensor.shape.map((_, d) => axisIndex(d));
  const partialEquation: Equation = {
    ...equation,
    axes: newAxes,
    domain: equation.domain.map((c) => rewriteConstraint(c, rewrite)),
    store: [...places, ...equation.store.map((index) => rewriteIndex(index, rewrite))],
    value: rewriteExpression(equation.value, rewrite),
  };
  const rest: Equation = {
    axes: [...tensor.shape.map((extent, d) => ({ name: `o${d}`, extent })), { name: 'piece', extent: cut.pieces }],
    domain: [],
    store: all,
    reducer: 'sum',
    value: load(name, [axisIndex(all.length), ...all]),
    ...(equation.span ? { span: equation.span } : {}),
  };
  return { partial: partialOf(name, [cut.pieces, ...tensor.shape], partialEquation), rest };
}

/** So many that each is long enough, 1 where fewer than two are wanted. */
function atLeastLong(wanted: number, length: number, least = leastPiece): number {
  return Math.max(1, Math.min(Math.floor(wanted), Math.floor(length / least)));
}

function piecesOfContraction(s: ContractionShape, length: number, layouts: Layouts, target: Target): number {
  if (isInterleaved(s)) return atLeastLong(enoughThreads / laneThreads(s), length);
  return piecesByRule(s, layouts, target, leastPiece);
}

/** A thread a result, or for few long rows a workgroup. */
function piecesOfLoop(equation: Equation, length: number, known: ReadonlyMap<string, Tensor>): number {
  const results = elementCount(storeAxes(equation).map((axis) => equation.axes[axis].extent));
  if (!isContiguousSum(equation, reducedAxes(equation), known)) return atLeastLong(enoughThreads / results, length);
  if (length <= 4 * longSum || results >= fewRows) return 1;
  return atLeastLong(enoughWorkgroups / results, length, leastPieceOfWorkgroup);
}

function layoutOf(name: string, known: ReadonlyMap<string, Tensor>): TensorLayout {
  const { shape, dtype } = known.get(name)!;
  return { shape, dtype, slot: name, start: 0 };
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

/** The pieces lie as what they add up to does, so that the addition reads and writes along memory. */
function asStored(equation: Equation, shape: readonly number[], stored: readonly number[]): readonly number[] {
  const stride = strides(shape);
  const strideOf = (axis: number): number =>
    equation.store.reduce((total, index, d) => total + stride[d] * coefficientOf(index as Affine, axis), 0);
  return [...stored].sort((a, b) => strideOf(b) - strideOf(a));
}

/** Whether the stored axes alone keep the store inside the tensor: the pieces are added without the reduced axes' constraints. */
function storesInsideAlone(equation: Equation, shape: readonly number[], stored: readonly number[]): boolean {
  return (
    storesInside(equation, shape) ||
    equation.domain.every((c) => constraintAxes(c).every((axis) => stored.includes(axis)))
  );
}

/** A reduced axis, and in how many equal pieces it is cut. */
interface Cut {
  readonly axis: number;
  readonly pieces: number;
}

/**
 * The reduced axis to cut and into how many equal pieces: the most up to `wanted`, of the axis with the longest stride. A piece of an axis that
 * goes in units goes in them too: of four neighbours, which a lane reads at once.
 */
function chooseCut(
  equation: Equation,
  reduced: readonly number[],
  wanted: number,
  flats: readonly Affine[],
  unit = 1,
): Cut | undefined {
  const stride = (axis: number): number => Math.max(0, ...flats.map((a) => Math.abs(coefficientOf(a, axis))));
  let best: Cut | undefined;
  for (const axis of reduced) {
    const { extent } = equation.axes[axis];
    const whole = extent % unit === 0 ? extent / unit : extent;
    for (let pieces = Math.min(wanted, whole); pieces >= 2; pieces--) {
      if (whole % pieces !== 0) continue;
      const longer = best?.pieces === pieces && stride(axis) > stride(best.axis);
      if (!best || pieces > best.pieces || longer) best = { axis, pieces };
      break;
    }
  }
  return best;
}

const piecesName = (tensor: Tensor, position: number): string =>
  `${tensor.name}~pieces${position === 0 ? '' : position}`;

/** The axes with some of them cut, which of them count the pieces, and what that makes of an expression. */
function cutAxes(axes: readonly Axis[], cuts: readonly Cut[]) {
  const lengthOf = ({ axis, pieces }: Cut): number => axes[axis].extent / pieces;
  const newAxes: Axis[] = [...axes, ...cuts.map(({ pieces }) => ({ name: 'piece', extent: pieces }))];
  for (const cut of cuts) newAxes[cut.axis] = { name: axes[cut.axis].name, extent: lengthOf(cut) };
  const rewrite = {
    affine: (a: Affine): Affine =>
      substitute(a, (axis) => {
        const i = cuts.findIndex((cut) => cut.axis === axis);
        if (i < 0) return axisIndex(axis);
        return affine(0, [
          { axis: axes.length + i, coefficient: lengthOf(cuts[i]) },
          { axis, coefficient: 1 },
        ]);
      }),
  };
  return { newAxes, places: cuts.map((_, i) => axisIndex(axes.length + i)), rewrite };
}

function partialOf(name: string, shape: readonly number[], equation: Equation): Tensor {
  return { name, dtype: 'f32', shape, source: { kind: 'computed', equations: [equation] } };
}

function makePieces(
  equation: Equation,
  tensor: Tensor,
  position: number,
  stored: readonly number[],
  cuts: readonly Cut[],
): Pieces {
  const { axes } = equation;
  const name = piecesName(tensor, position);
  const { newAxes, places, rewrite } = cutAxes(axes, cuts);
  const partialEquation: Equation = {
    ...equation,
    axes: newAxes,
    domain: equation.domain.map((c) => rewriteConstraint(c, rewrite)),
    store: [...places, ...stored.map(axisIndex)],
    value: rewriteExpression(equation.value, rewrite),
  };
  const shape = [...cuts.map(({ pieces }) => pieces), ...stored.map((axis) => axes[axis].extent)];
  const restAxes: Axis[] = [
    ...stored.map((axis) => axes[axis]),
    ...cuts.map(({ pieces }) => ({ name: 'piece', extent: pieces })),
  ];
  const place = (axis: number): Affine => (stored.includes(axis) ? axisIndex(stored.indexOf(axis)) : affine(0));
  const rest: Equation = {
    axes: restAxes,
    domain: equation.domain
      .filter((c) => constraintAxes(c).every((axis) => stored.includes(axis)))
      .map((c) => rewriteConstraint(c, { affine: (a) => substitute(a, place) })),
    store: equation.store.map((index) => rewriteIndex(index, { affine: (a) => substitute(a, place) })),
    reducer: 'sum',
    value: load(name, [...cuts.map((_, i) => axisIndex(stored.length + i)), ...stored.map((_, i) => axisIndex(i))]),
    ...(equation.span ? { span: equation.span } : {}),
  };
  return { partial: partialOf(name, shape, partialEquation), rest };
}
