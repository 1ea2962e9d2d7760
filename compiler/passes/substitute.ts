/**
 * Puts one equation of a producer in the place of a load in a product: the step that `inline.ts` repeats.
 *
 *   W[8·α + β, 8·γ + δ] sum= L[β, α, γ] * R[γ, δ, β]
 *   y[n, i]             sum= W[i, j] * x[n, j]
 *   →  y[n, 8·α + β]    sum= L[β, α, γ] * R[γ, δ, β] * x[n, 8·γ + δ]
 *
 * An element of W is the sum of the points that store to it, so the joint axes are the consumer's and the producer's, and the
 * store map equals the load's map. What no point stores to is 0 and drops out of the sum.
 *
 * The trap: this holds for a factor of a product under a sum, and nowhere else.
 */
import { asAxis, axisIndex, decide, subtract } from '../ir/affine.ts';
import { factorsOf, productOf } from '../ir/contraction.ts';
import {
  affinesOf,
  affinesOfConstraint,
  affinesOfIndex,
  axisRenaming,
  children,
  renameAxes,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
} from '../ir/expression.ts';
import type { Affine, Constraint, Equation, Expression, Gather, Index } from '../ir/program.ts';
import { unify } from './unify.ts';

/** What became of it: one equation, none where no point is left, or undefined where the maps cannot be solved. */
export type Substituted = { readonly equations: readonly Equation[] } | undefined;

/**
 * Replaces factor `position` of the consumer's product, a load of a tensor with the given shape, by the value of `producer`, an
 * equation of that tensor. Both reducers must be sums.
 */
export function substituteFactor(
  consumer: Equation,
  position: number,
  producer: Equation,
  shape: readonly number[],
): Substituted {
  const own = factorsOf(consumer.value);
  const read = own.factors[position];
  if (read.kind !== 'load' || consumer.reducer !== 'sum' || producer.reducer !== 'sum') return undefined;
  const gathered = matchIndices(producer, read.indices, shape, consumer.axes.length);
  if (gathered === undefined) return undefined;

  const axes = [...consumer.axes, ...producer.axes];
  const isConsumers = (axis: number): number => (axis < consumer.axes.length ? 1 : 0);
  const solved = unify(axes, gathered.equalities, isConsumers);
  if (solved.kind === 'unsolved') return undefined;
  if (solved.kind === 'empty') return { equations: [] };

  const rename = { affine: axisRenaming(solved.replace) };
  const theirs = factorsOf(gathered.value);
  const value = productOf({
    constant: own.constant * theirs.constant,
    factors: own.factors.flatMap((factor, i) => (i === position ? theirs.factors : [factor])),
  });
  const domain = [...consumer.domain, ...gathered.domain]
    .map((constraint) => rewriteConstraint(constraint, rename))
    .concat(solved.constraints)
    .filter((constraint) => decide(constraint, solved.axes) !== 'always');
  if (domain.some((constraint) => decide(constraint, solved.axes) === 'never')) return { equations: [] };
  const joint: Equation = {
    ...consumer,
    axes: solved.axes,
    domain,
    store: consumer.store.map((index) => rewriteIndex(index, rename)),
    value: rewriteExpression(value, rename),
  };
  return { equations: [joint] };
}

interface Matched {
  readonly equalities: readonly Affine[];
  /** The producer's value and domain over the joint axes. */
  readonly value: Expression;
  readonly domain: readonly Constraint[];
}

/**
 * Store index = load index, dimension by dimension, over the joint axes. A dimension that the consumer gathers
 * (`E[tokens[b, t], i]`) can be matched where the producer stores a plain axis there that is itself only ever a whole index.
 */
function matchIndices(
  producer: Equation,
  indices: readonly Index[],
  shape: readonly number[],
  offset: number,
): Matched | undefined {
  const shift = producer.axes.map((_, axis) => offset + axis);
  const shifted = axisRenaming(shift);
  let value = renameAxes(producer.value, shift);
  const domain = producer.domain.map((constraint) => rewriteConstraint(constraint, { affine: shifted }));
  const equalities: Affine[] = [];
  for (const [d, index] of indices.entries()) {
    const stored = producer.store[d];
    if (stored.kind !== 'affine') return undefined;
    const target = shifted(stored);
    if (index.kind === 'affine') {
      equalities.push(subtract(index, target));
      continue;
    }
    const axis = asAxis(target);
    if (axis === undefined || mentions(producer, axis - offset) > 1) return undefined;
    // A gathered index may be any row, also one that no point stores to.
    if (producer.axes[axis - offset].extent !== shape[d]) return undefined;
    const replaced = replaceWholeIndex(value, axis, index);
    if (replaced === undefined) return undefined;
    value = replaced;
    // The axis is gone from everything; one point of it remains.
    equalities.push(axisIndex(axis));
  }
  return { equalities, value, domain };
}

/** How often an axis stands in the store map and the domain. */
function mentions(equation: Equation, axis: number): number {
  const affines = [...equation.store.flatMap(affinesOfIndex), ...equation.domain.flatMap(affinesOfConstraint)];
  return affines.filter((a) => a.terms.some((term) => term.axis === axis)).length;
}

/** The value with a gather in the place of an axis; undefined where the axis is part of a larger index. */
function replaceWholeIndex(value: Expression, axis: number, by: Gather): Expression | undefined {
  const uses = affinesOf(value).filter((a) => a.terms.some((term) => term.axis === axis)).length;
  if (uses !== countWhole(value, axis)) return undefined;
  const swap = (index: Index): Index => {
    if (index.kind === 'affine') return asAxis(index) === axis ? by : index;
    return { ...index, indices: index.indices.map(swap) };
  };
  return rewriteExpression(value, { load: (l) => ({ ...l, indices: l.indices.map(swap) }) });
}

function countWhole(value: Expression, axis: number): number {
  const inIndex = (index: Index): number =>
    index.kind === 'affine' ? Number(asAxis(index) === axis) : index.indices.reduce((n, i) => n + inIndex(i), 0);
  const own = value.kind === 'load' ? value.indices.reduce((n, index) => n + inIndex(index), 0) : 0;
  return children(value).reduce((n, child) => n + countWhole(child, axis), own);
}
