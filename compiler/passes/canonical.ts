/**
 * Keys under which equal computations are found, whatever their axes are called and in whatever order their axes and factors stand.
 *
 *   t[b, k] sum= V[k, j] * x[b, j]   and   s[p, q] sum= x[p, r] * V[q, r]   have one key; dimension 0 of t is dimension 0 of s
 *
 * The trap: factors are sorted by their text without axes, so that two reads of one tensor in a product stay as they are written.
 * Equal keys mean equal values; equal values may still have different keys.
 */
import { asAxis } from '../ir/affine.ts';
import { factorsOf, productOf } from '../ir/contraction.ts';
import {
  affinesOf,
  affinesOfConstraint,
  affinesOfIndex,
  rewriteConstraint,
  rewriteExpression,
} from '../ir/expression.ts';
import { affineKey, constraintKey, expressionKey } from '../ir/hash.ts';
import type { Affine, Axis, Constraint, Equation, Expression, Index } from '../ir/program.ts';
import { remembered } from '../ir/remembered.ts';

/** `Σ value` over the axes that are not kept; the result has one dimension for each kept axis. */
export interface Summed {
  readonly axes: readonly Axis[];
  readonly domain: readonly Constraint[];
  readonly value: Expression;
  readonly kept: readonly number[];
}

export interface CanonicalSum {
  readonly key: string;
  /** Axis → its number in the canonical order. */
  readonly numbering: ReadonlyMap<number, number>;
}

/** The key of a sum, in which the order of the kept axes does not count. */
export function canonicalSum({ axes, domain, value, kept }: Summed): CanonicalSum {
  const sorted = sortFactors(value);
  const numbering = numberAxes([...affinesOf(sorted), ...domain.flatMap(affinesOfConstraint)], kept);
  const renaming = renamingOf(numbering);
  const extents = [...numbering.keys()].map((axis) => axes[axis].extent).join('x');
  const constraints = domain
    .map((c) => rewriteConstraint(c, { affine: renaming }))
    .map(constraintKey)
    .sort();
  const keptNumbers = kept.map((axis) => numbering.get(axis) as number).sort((a, b) => a - b);
  const text = expressionKey(rewriteExpression(sorted, { affine: renaming }));
  return { key: `${extents} {${constraints}} [${keptNumbers}] ${text}`, numbering };
}

const equationKeys = new WeakMap<Equation, string>();

/** The key of an equation, store map and all. */
export function canonicalEquation(equation: Equation): string {
  return remembered(equationKeys, equation, keyOfEquation);
}

function keyOfEquation(equation: Equation): string {
  const { axes, domain, store, reducer } = equation;
  const value = sortFactors(equation.value);
  const all = [...store.flatMap(affinesOfIndex), ...affinesOf(value), ...domain.flatMap(affinesOfConstraint)];
  const numbering = numberAxes(all, []);
  const renaming = renamingOf(numbering);
  // An axis that nothing speaks of still repeats its points.
  const silent = axes.filter((_, axis) => !numbering.has(axis)).reduce((points, axis) => points * axis.extent, 1);
  const extents = [...numbering.keys()].map((axis) => axes[axis].extent).join('x');
  const constraints = domain
    .map((c) => rewriteConstraint(c, { affine: renaming }))
    .map(constraintKey)
    .sort();
  const stored = store.map((index) => indexKey(index, renaming));
  const text = expressionKey(rewriteExpression(value, { affine: renaming }));
  return `${reducer} ${silent} ${extents} {${constraints}} [${stored}] ${text}`;
}

function indexKey(index: Index, renaming: (a: Affine) => Affine): string {
  if (index.kind === 'affine') return affineKey(renaming(index));
  return `'${index.tensor}'[${index.indices.map((i) => indexKey(i, renaming))}]`;
}

function numberAxes(affines: readonly Affine[], first: readonly number[]): Map<number, number> {
  const numbering = new Map<number, number>();
  for (const a of affines) {
    for (const { axis } of a.terms) if (!numbering.has(axis)) numbering.set(axis, numbering.size);
  }
  for (const axis of first) if (!numbering.has(axis)) numbering.set(axis, numbering.size);
  return numbering;
}

function renamingOf(numbering: ReadonlyMap<number, number>): (a: Affine) => Affine {
  return (a) => ({
    ...a,
    terms: a.terms
      .map(({ axis, coefficient }) => ({ axis: numbering.get(axis) as number, coefficient }))
      .sort((x, y) => x.axis - y.axis),
  });
}

function sortFactors(value: Expression): Expression {
  const { constant, factors } = factorsOf(value);
  if (factors.length < 2) return value;
  const keyed = factors.map((factor, position) => ({ factor, position, key: withoutAxes(factor) }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.position - b.position));
  return productOf({ constant, factors: keyed.map((k) => k.factor) });
}

function withoutAxes(expression: Expression): string {
  if (expression.kind === 'load' && expression.indices.every((index) => asAxis(index as Affine) !== undefined)) {
    return expression.tensor;
  }
  return expressionKey(rewriteExpression(expression, { affine: (a) => ({ ...a, terms: [] }) }));
}
