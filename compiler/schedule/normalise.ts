/**
 * Makes a program ready to be cut into kernels, without changing what it means; program → program.
 *
 *   pointwise equations of one tensor become one:      T = a;  T += b where c   →   T = a + select(c, b, 0)
 *   a factor known to be 0 somewhere limits the sum:   O += A·v, A = 0 beyond u <= t   →   O += A·v where u <= t
 *   a long sum for few results is made in pieces:      w[i] = Σ_n …   →   p[s, i] = Σ_{n in piece s} …;  w[i] = Σ_s p[s, i]
 *
 * The pieces are summed in a fixed order, so the result has the same bits every time.
 */
import { contractionShape, contractionSizes, worthTiling } from '../../kernels/contraction.ts';
import { strides } from '../../kernels/scalar.ts';
import type { Target } from '../../kernels/target.ts';
import { add, affine, asAxis, axisIndex, coefficientOf, equalAffine, range, scale, substitute } from '../ir/affine.ts';
import { reducedAxes, storeAxes, tensorMap } from '../ir/equation.ts';
import {
  load,
  loads,
  renameAxes,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
  select,
  sum,
} from '../ir/expression.ts';
import type { Affine, Axis, Constraint, Equation, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';

/** Partial sums are worth a second kernel from here on (sums this long, or longer, on a GPU). */
const longSum = 1024;
/** Workgroups (contraction) and threads (other sums) that fill an H100: two waves over 132 multiprocessors. */
const enoughGroups = 264;
const enoughThreads = 16384;
/** A piece is at least so long. */
const leastPiece = 64;

export function normalise(program: Program, target: Target): Program {
  const known = new Map(tensorMap(program));
  const tensors: Tensor[] = [];
  for (const tensor of program.tensors) {
    if (tensor.source.kind !== 'computed') {
      tensors.push(tensor);
      continue;
    }
    const limited = tensor.source.equations.map((e) => limitToNonzero(e, known));
    const merged = mergePointwise(tensor.shape, limited);
    const equations: Equation[] = [];
    for (const [i, equation] of merged.entries()) {
      const split = target.class === 'gpu' ? splitLongSum(equation, tensor, i, known, target) : undefined;
      if (split) {
        tensors.push(split.partial);
        known.set(split.partial.name, split.partial);
      }
      equations.push(split ? split.rest : equation);
    }
    const ready: Tensor = { ...tensor, source: { kind: 'computed', equations } };
    known.set(tensor.name, ready);
    tensors.push(ready);
  }
  return { ...program, tensors };
}

/** One distinct axis of full extent for every dimension; extents of 1 may be the number 0. */
export function plainAxes(equation: Equation, shape: readonly number[]): readonly (number | undefined)[] | undefined {
  const axes: (number | undefined)[] = [];
  for (const [d, index] of equation.store.entries()) {
    if (index.kind !== 'affine') return undefined;
    const axis = asAxis(index);
    if (axis === undefined) {
      if (shape[d] !== 1 || index.terms.length > 0) return undefined;
    } else if (axes.includes(axis) || equation.axes[axis]!.extent !== shape[d]) return undefined;
    axes.push(axis);
  }
  return axes;
}

/** No reduced axis (of extent above 1) and a plain store. */
export function isPointwise(equation: Equation, shape: readonly number[]): boolean {
  if (equation.reducer === 'logsumexp' || !plainAxes(equation, shape)) return false;
  return reducedAxes(equation).every((axis) => equation.axes[axis]!.extent === 1);
}

function mergePointwise(shape: readonly number[], equations: readonly Equation[]): readonly Equation[] {
  const pointwise = equations.filter((e) => isPointwise(e, shape));
  if (pointwise.length === 0) return equations;
  const names = shape.map((extent, d): Axis => {
    const axis = plainAxes(pointwise[0]!, shape)![d];
    return { name: axis === undefined ? `o${d}` : pointwise[0]!.axes[axis]!.name, extent };
  });
  const parts = pointwise.map((e) => ontoDimensions(e, shape));
  const store = shape.map((_, d) => axisIndex(d));
  const merged: Equation =
    parts.length === 1
      ? { ...pointwise[0]!, axes: names, store, domain: parts[0]!.domain, value: parts[0]!.value, reducer: 'sum' }
      : { ...pointwise[0]!, axes: names, store, domain: [], value: sum(parts.map(guarded)), reducer: 'sum' };
  return [...equations.filter((e) => !pointwise.includes(e)), merged];
}

interface Part {
  readonly domain: readonly Constraint[];
  readonly value: Equation['value'];
}

function guarded(part: Part): Equation['value'] {
  if (part.domain.length === 0) return part.value;
  return select({ kind: 'domain', constraints: part.domain }, part.value, { kind: 'constant', value: 0 });
}

/** The equation's value and domain in terms of the tensor's dimensions. */
function ontoDimensions(equation: Equation, shape: readonly number[]): Part {
  const plain = plainAxes(equation, shape)!;
  const positions = equation.axes.map((_, axis): Affine => {
    const d = plain.indexOf(axis);
    return d < 0 ? affine(0) : axisIndex(d);
  });
  const rename = (a: Affine): Affine => substitute(a, (axis) => positions[axis]!);
  return {
    domain: equation.domain.map((c) => rewriteConstraint(c, { affine: rename })),
    value: renameAxes(equation.value, positions),
  };
}

/** Adds to a product's domain what limits the nonzero elements of its factors. */
function limitToNonzero(equation: Equation, known: ReadonlyMap<string, Tensor>): Equation {
  if (equation.reducer !== 'sum' || equation.value.kind !== 'product' || reducedAxes(equation).length === 0)
    return equation;
  const domain = [...equation.domain];
  for (const factor of equation.value.factors) {
    if (factor.kind !== 'load') continue;
    for (const constraint of nonzeroWithin(known.get(factor.tensor))) {
      if (factor.indices.some((i) => i.kind !== 'affine')) continue;
      const mapped = {
        kind: constraint.kind,
        affine: substitute(constraint.affine, (d) => factor.indices[d] as Affine),
      };
      if (!domain.some((c) => c.kind === mapped.kind && equalAffine(c.affine, mapped.affine))) domain.push(mapped);
    }
  }
  return domain.length === equation.domain.length ? equation : { ...equation, domain };
}

/** Constraints on a tensor's indices outside which it is 0; axis d of the result is dimension d. */
function nonzeroWithin(tensor: Tensor | undefined): readonly Constraint[] {
  if (tensor?.source.kind !== 'computed' || tensor.source.equations.length !== 1) return [];
  const [equation] = tensor.source.equations as [Equation];
  const plain = plainAxes(equation, tensor.shape);
  if (!plain) return [];
  const { value } = equation;
  // A logsumexp over zeros is no zero.
  const chosen =
    equation.reducer !== 'logsumexp' &&
    value.kind === 'select' &&
    value.condition.kind === 'domain' &&
    isZero(value.otherwise)
      ? value.condition.constraints
      : [];
  const onto = (a: Affine): Affine => substitute(a, (axis) => axisIndex(plain.indexOf(axis)));
  return [...equation.domain, ...chosen]
    .filter((c) => c.kind === 'nonnegative' && c.affine.terms.every((t) => plain.includes(t.axis)))
    .map((c) => rewriteConstraint(c, { affine: onto }));
}

function isZero(e: Equation['value']): boolean {
  return e.kind === 'constant' && e.value === 0;
}

function splitLongSum(
  equation: Equation,
  tensor: Tensor,
  position: number,
  known: ReadonlyMap<string, Tensor>,
  target: Target,
): { partial: Tensor; rest: Equation } | undefined {
  if (equation.reducer !== 'sum' || equation.store.some((i) => i.kind === 'gather')) return undefined;
  const reduced = reducedAxes(equation).filter((axis) => equation.axes[axis]!.extent > 1);
  const length = elementCount(reduced.map((axis) => equation.axes[axis]!.extent));
  if (length < longSum) return undefined;
  const stored = storeAxes(equation).filter((axis) => equation.axes[axis]!.extent > 1);
  const results = elementCount(stored.map((axis) => equation.axes[axis]!.extent));
  const layouts = (name: string): { shape: readonly number[]; dtype: 'f32'; slot: string } => ({
    shape: known.get(name)!.shape,
    dtype: 'f32',
    slot: name,
  });
  const contraction = contractionShape(equation, layouts, tensor.shape);
  const tiled = contraction !== undefined && worthTiling(contraction);
  let pieces = 1;
  if (tiled) {
    const { batch, m, n } = contractionSizes(contraction);
    pieces = enoughGroups / (Math.ceil(m / 64) * Math.ceil(n / 64) * batch);
  } else {
    if (isContiguousSum(equation, reduced, known) && length <= 16 * longSum) return undefined;
    pieces = enoughThreads / results;
  }
  pieces = Math.min(Math.floor(pieces), Math.floor(length / leastPiece));
  if (pieces < 2 || !storesInsideAlone(equation, tensor.shape, stored)) return undefined;
  const cut = chooseCut(equation, reduced, pieces);
  if (!cut) return undefined;
  void target;
  return makePieces(equation, tensor, position, stored, cut);
}

/** Sums whose points lie side by side in memory are done by one workgroup a result, without pieces. */
function isContiguousSum(equation: Equation, reduced: readonly number[], known: ReadonlyMap<string, Tensor>): boolean {
  return loads(equation.value).every((l) => {
    const stride = strides(known.get(l.tensor)!.shape);
    const flat = l.indices.reduce<Affine>(
      (a, index, d) => (index.kind === 'affine' ? add(a, scale(index, stride[d]!)) : a),
      affine(0),
    );
    return flat.terms.length === 0 || reduced.some((axis) => coefficientOf(flat, axis) === 1);
  });
}

/** Whether the stored axes alone keep the store inside the tensor: the pieces are added without the reduced axes' constraints. */
function storesInsideAlone(equation: Equation, shape: readonly number[], stored: readonly number[]): boolean {
  const fits = equation.store.every((index, d) => {
    if (index.kind !== 'affine') return false;
    const { min, max } = range(index, equation.axes);
    return min >= 0 && max < shape[d]!;
  });
  return fits || equation.domain.every((c) => c.affine.terms.every((t) => stored.includes(t.axis)));
}

/** The reduced axis to cut and into how many equal pieces: the most pieces up to `wanted`. */
function chooseCut(
  equation: Equation,
  reduced: readonly number[],
  wanted: number,
): { axis: number; pieces: number } | undefined {
  let best: { axis: number; pieces: number } | undefined;
  for (const axis of reduced) {
    const { extent } = equation.axes[axis]!;
    for (let pieces = Math.min(wanted, extent); pieces >= 2; pieces--) {
      if (extent % pieces !== 0) continue;
      if (!best || pieces > best.pieces) best = { axis, pieces };
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
  const whole = axes[cut.axis]!;
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
    shape: [cut.pieces, ...stored.map((axis) => axes[axis]!.extent)],
    source: { kind: 'computed', equations: [partialEquation] },
  };
  const restAxes: Axis[] = [...stored.map((axis) => axes[axis]!), { name: 'piece', extent: cut.pieces }];
  const place = (axis: number): Affine => (stored.includes(axis) ? axisIndex(stored.indexOf(axis)) : affine(0));
  const rest: Equation = {
    axes: restAxes,
    domain: equation.domain
      .filter((c) => c.affine.terms.every((t) => stored.includes(t.axis)))
      .map((c) => rewriteConstraint(c, { affine: (a) => substitute(a, place) })),
    store: equation.store.map((index) => rewriteIndex(index, { affine: (a) => substitute(a, place) })),
    reducer: 'sum',
    value: load(name, [axisIndex(stored.length), ...stored.map((_, i) => axisIndex(i))]),
    ...(equation.span ? { span: equation.span } : {}),
  };
  return { partial, rest };
}
