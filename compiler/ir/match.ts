/**
 * Equality of expressions up to the numbering of their axes: `match` looks for a one-to-one correspondence of axes that turns one
 * into the other. Passes use it to find that a value is already stored under other axis positions.
 */
import type { Affine, Condition, Constraint, Expression, Index } from './program.ts';

/** Axes of the left side to axes of the right one, filled as the match proceeds. */
export interface AxisMatch {
  readonly forth: Map<number, number>;
  readonly back: Map<number, number>;
}

export function emptyMatch(): AxisMatch {
  return { forth: new Map(), back: new Map() };
}

/** True if `b` is `a` under the correspondence, which grows by what had to be assumed; after a false it is of no use. */
export function matchExpression(a: Expression, b: Expression, axes: AxisMatch): boolean {
  const all = (left: readonly Expression[], right: readonly Expression[]): boolean =>
    left.length === right.length && left.every((e, i) => matchExpression(e, right[i], axes));
  switch (a.kind) {
    case 'constant':
      return b.kind === 'constant' && Object.is(a.value, b.value);
    case 'index':
      return b.kind === 'index' && matchAffine(a.affine, b.affine, axes);
    case 'load':
      return b.kind === 'load' && a.tensor === b.tensor && matchIndices(a.indices, b.indices, axes);
    case 'sum':
      return b.kind === 'sum' && all(a.terms, b.terms);
    case 'product':
      return b.kind === 'product' && all(a.factors, b.factors);
    case 'unary':
      return b.kind === 'unary' && a.operator === b.operator && matchExpression(a.operand, b.operand, axes);
    case 'binary':
      return b.kind === 'binary' && a.operator === b.operator && all([a.left, a.right], [b.left, b.right]);
    case 'select':
      return (
        b.kind === 'select' &&
        matchCondition(a.condition, b.condition, axes) &&
        all([a.then, a.otherwise], [b.then, b.otherwise])
      );
    case 'random':
      return (
        b.kind === 'random' &&
        a.distribution === b.distribution &&
        a.stream === b.stream &&
        matchAffine(a.element, b.element, axes) &&
        all([a.seed, a.step], [b.seed, b.step])
      );
    default:
      return a satisfies never;
  }
}

function matchCondition(a: Condition, b: Condition, axes: AxisMatch): boolean {
  if (a.kind === 'domain') {
    if (b.kind !== 'domain' || a.constraints.length !== b.constraints.length) return false;
    return a.constraints.every((c, i) => matchConstraint(c, b.constraints[i], axes));
  }
  if (b.kind !== 'compare' || a.operator !== b.operator) return false;
  return matchExpression(a.left, b.left, axes) && matchExpression(a.right, b.right, axes);
}

export function matchConstraint(a: Constraint, b: Constraint, axes: AxisMatch): boolean {
  if (a.kind === 'data' || b.kind === 'data') {
    if (a.kind !== 'data' || b.kind !== 'data' || a.operator !== b.operator) return false;
    return matchExpression(a.left, b.left, axes) && matchExpression(a.right, b.right, axes);
  }
  return a.kind === b.kind && matchAffine(a.affine, b.affine, axes);
}

export function matchIndices(a: readonly Index[], b: readonly Index[], axes: AxisMatch): boolean {
  return a.length === b.length && a.every((index, d) => matchIndex(index, b[d], axes));
}

function matchIndex(a: Index, b: Index, axes: AxisMatch): boolean {
  if (a.kind === 'affine') return b.kind === 'affine' && matchAffine(a, b, axes);
  return b.kind === 'gather' && a.tensor === b.tensor && matchIndices(a.indices, b.indices, axes);
}

function matchAffine(a: Affine, b: Affine, axes: AxisMatch): boolean {
  if (a.constant !== b.constant || a.terms.length !== b.terms.length) return false;
  const open = [];
  for (const { axis, coefficient } of a.terms) {
    const known = axes.forth.get(axis);
    if (known === undefined) open.push({ axis, coefficient });
    else if (!b.terms.some((term) => term.axis === known && term.coefficient === coefficient)) return false;
  }
  const free = b.terms.filter((term) => !axes.back.has(term.axis));
  if (free.length !== open.length) return false;
  for (const { axis, coefficient } of open) {
    const at = free.findIndex((term) => term.coefficient === coefficient);
    if (at < 0) return false;
    const [{ axis: partner }] = free.splice(at, 1);
    axes.forth.set(axis, partner);
    axes.back.set(partner, axis);
  }
  return true;
}
