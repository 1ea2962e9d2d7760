/**
 * Arithmetic on affine index expressions: the only algebra that maps, domains and strides need.
 * All functions keep the normal form of `Affine` (terms sorted by axis, no zero coefficient), so equal values are equal data.
 */
import type { Affine, AffineConstraint, AffineTerm, Axis, ComparisonOperator, Constraint } from './program.ts';

export function affine(constant: number, terms: readonly AffineTerm[] = []): Affine {
  // `+ 0` turns the -0 that scaling by -1 leaves into 0: they are equal numbers but not equal data.
  return { kind: 'affine', constant: constant + 0, terms: isNormal(terms) ? terms : normalised(terms) };
}

function isNormal(terms: readonly AffineTerm[]): boolean {
  return terms.every(({ axis, coefficient }, i) => coefficient !== 0 && (i === 0 || axis > terms[i - 1].axis));
}

function normalised(terms: readonly AffineTerm[]): readonly AffineTerm[] {
  const sums: { axis: number; coefficient: number }[] = [];
  for (const { axis, coefficient } of terms.toSorted((a, b) => a.axis - b.axis)) {
    const last = sums.at(-1);
    if (last?.axis === axis) last.coefficient += coefficient;
    else sums.push({ axis, coefficient });
  }
  return sums.filter(({ coefficient }) => coefficient !== 0);
}

/** The affine expression that is one axis. */
export function axisIndex(axis: number): Affine {
  return { kind: 'affine', constant: 0, terms: [{ axis, coefficient: 1 }] };
}

export function add(a: Affine, b: Affine): Affine {
  return affine(a.constant + b.constant, [...a.terms, ...b.terms]);
}

export function scale(a: Affine, factor: number): Affine {
  return affine(
    a.constant * factor,
    a.terms.map((term) => ({ axis: term.axis, coefficient: term.coefficient * factor })),
  );
}

export function subtract(a: Affine, b: Affine): Affine {
  return add(a, scale(b, -1));
}

export function coefficientOf(a: Affine, axis: number): number {
  return a.terms.find((term) => term.axis === axis)?.coefficient ?? 0;
}

/** The smallest step, up or down, that any of the axes makes; infinite where none of them moves it. */
export function leastStep(a: Affine, axes: readonly number[]): number {
  const steps = axes.map((axis) => Math.abs(coefficientOf(a, axis))).filter((step) => step > 0);
  return Math.min(Number.POSITIVE_INFINITY, ...steps);
}

export function isConstant(a: Affine): boolean {
  return a.terms.length === 0;
}

/** The axis that `a` is, with coefficient 1 and no constant; undefined otherwise. */
export function asAxis(a: Affine): number | undefined {
  return a.constant === 0 && a.terms.length === 1 && a.terms[0].coefficient === 1 ? a.terms[0].axis : undefined;
}

export function equalAffine(a: Affine, b: Affine): boolean {
  return (
    a.constant === b.constant &&
    a.terms.length === b.terms.length &&
    a.terms.every((term, i) => term.axis === b.terms[i].axis && term.coefficient === b.terms[i].coefficient)
  );
}

/** Puts an affine expression in the place of each axis. `replace(axis)` speaks of the new axes. */
export function substitute(a: Affine, replace: (axis: number) => Affine): Affine {
  let { constant } = a;
  const terms: AffineTerm[] = [];
  for (const { axis, coefficient } of a.terms) {
    const value = replace(axis);
    constant += coefficient * value.constant;
    for (const term of value.terms) terms.push({ axis: term.axis, coefficient: coefficient * term.coefficient });
  }
  return affine(constant, terms);
}

export function evaluate(a: Affine, point: ArrayLike<number>): number {
  let value = a.constant;
  for (const { axis, coefficient } of a.terms) value += coefficient * point[axis];
  return value;
}

/** Smallest and largest value over the whole box of the axes, both included. */
export function range(a: Affine, axes: readonly Axis[]): { readonly min: number; readonly max: number } {
  let min = a.constant;
  let max = a.constant;
  for (const { axis, coefficient } of a.terms) {
    const reach = coefficient * (axes[axis].extent - 1);
    if (reach < 0) min += reach;
    else max += reach;
  }
  return { min, max };
}

/** The constraint says something of the axes alone. */
export function isAffine(constraint: Constraint): constraint is AffineConstraint {
  return constraint.kind !== 'data';
}

export function holds(constraint: AffineConstraint, point: ArrayLike<number>): boolean {
  const value = evaluate(constraint.affine, point);
  switch (constraint.kind) {
    case 'nonnegative':
      return value >= 0;
    case 'zero':
      return value === 0;
    case 'nonzero':
      return value !== 0;
    default:
      return constraint.kind satisfies never;
  }
}

/**
 * 'always' or 'never' where the box of the axes decides a constraint, or one that is known to hold does whose terms are the same or
 * their negatives; 'sometimes' where they do not (or cannot tell).
 */
export function decide(
  constraint: Constraint,
  axes: readonly Axis[],
  known: readonly Constraint[] = [],
): 'always' | 'never' | 'sometimes' {
  if (constraint.kind === 'data') return 'sometimes';
  let { min, max } = range(constraint.affine, axes);
  for (const k of known) {
    if (k.kind !== 'nonnegative' && k.kind !== 'zero') continue;
    // constraint.affine = ± k.affine + rest, and k.affine is at least 0, or 0.
    for (const sign of [1, -1]) {
      const rest = restOf(constraint.affine, k.affine, sign);
      if (rest === undefined) continue;
      if (sign === 1 || k.kind === 'zero') min = Math.max(min, rest);
      if (sign === -1 || k.kind === 'zero') max = Math.min(max, rest);
    }
  }
  switch (constraint.kind) {
    case 'nonnegative':
      return min >= 0 ? 'always' : max < 0 ? 'never' : 'sometimes';
    case 'zero':
      return min === 0 && max === 0 ? 'always' : min > 0 || max < 0 ? 'never' : 'sometimes';
    case 'nonzero':
      return min > 0 || max < 0 ? 'always' : min === 0 && max === 0 ? 'never' : 'sometimes';
    default:
      return constraint satisfies never;
  }
}

/** `a - sign·b` where it is a number. */
function restOf(a: Affine, b: Affine, sign: number): number | undefined {
  const isSame =
    a.terms.length === b.terms.length &&
    a.terms.every(
      ({ axis, coefficient }, i) => b.terms[i].axis === axis && b.terms[i].coefficient * sign === coefficient,
    );
  return isSame ? a.constant - sign * b.constant : undefined;
}

/** Whether two constraints cannot both hold. */
export function isContradiction(domain: readonly Constraint[], axes: readonly Axis[]): boolean {
  return domain.some((c, i) => decide(c, axes, domain.slice(0, i)) === 'never');
}

/** The constraint that holds exactly where this one does not. */
export function negation(constraint: AffineConstraint): AffineConstraint;
export function negation(constraint: Constraint): Constraint;
export function negation(constraint: Constraint): Constraint {
  if (constraint.kind === 'data') return { ...constraint, operator: contrary[constraint.operator] };
  const { kind, affine: a } = constraint;
  switch (kind) {
    case 'nonnegative':
      return { kind: 'nonnegative', affine: subtract(affine(-1), a) };
    case 'zero':
      return { kind: 'nonzero', affine: a };
    case 'nonzero':
      return { kind: 'zero', affine: a };
    default:
      return kind satisfies never;
  }
}

/** The comparison that holds where this one does not. Of whole numbers; a NaN meets neither. */
export const contrary: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  '<': '>=',
  '<=': '>',
  '>': '<=',
  '>=': '<',
  '==': '!=',
  '!=': '==',
};

/**
 * Where a conjunction fails, as disjoint conjunctions: not c1; c1 and not c2; c1, c2 and not c3; …
 * A conjunction of nothing fails nowhere.
 */
export function complement(constraints: readonly Constraint[]): readonly (readonly Constraint[])[] {
  return constraints.map((c, i) => [...constraints.slice(0, i), negation(c)]);
}

/** The greatest common divisor of two whole numbers, neither negative. */
export function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
