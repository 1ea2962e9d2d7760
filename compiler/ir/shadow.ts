/**
 * The shadow of a domain on some of its axes: at which of their points the other axes can meet the domain at all.
 *
 *   { u <= t, t - u <= w }  on t, over u: 0 .. T-1     everywhere          { i + w < 2 }  on i, over w: 0 .. 1     i < 2
 *
 * A sum over the other axes is empty outside the shadow, so what stands beside the sum is excluded there. Axes are eliminated one
 * by one (Fourier and Motzkin): every lower bound of an axis lies below every upper one. Over whole numbers that is exact where
 * one of the two has the coefficient 1. The trap: where it is not, or an axis must differ from something, the shadow is too large.
 */
import {
  add,
  affine,
  axisIndex,
  coefficientOf,
  decide,
  equalAffine,
  isAffine,
  scale,
  substitute,
  subtract,
} from './affine.ts';
import { constraintAxes } from './expression.ts';
import type { Affine, AffineConstraint, Axis, Constraint } from './program.ts';

export interface Shadow {
  /** On the kept axes alone; what the box says by itself is left out. */
  readonly constraints: readonly Constraint[];
  /** Whether there is a point of the domain above every point of the shadow. */
  readonly exact: boolean;
}

/** More constraints than this are not multiplied out. */
const mostConstraints = 64;

export function shadowOf(
  domain: readonly Constraint[],
  axes: readonly Axis[],
  isKept: (axis: number) => boolean,
): Shadow {
  let current = tidy(domain.filter(isAffine), axes);
  // What data say of kept axes alone is said of the shadow too; the rest is not known.
  const data = domain.filter((c) => c.kind === 'data');
  const standing = data.filter((c) => constraintAxes(c).every(isKept));
  let exact = standing.length === data.length;
  for (const axis of axes.keys()) {
    if (isKept(axis) || !current.some((c) => coefficientOf(c.affine, axis) !== 0)) continue;
    const step = eliminate(axis, current, axes);
    current = tidy(step.constraints, axes);
    exact &&= step.exact;
  }
  return { constraints: [...current, ...standing], exact };
}

function eliminate(
  axis: number,
  constraints: readonly AffineConstraint[],
  axes: readonly Axis[],
): Shadow & { readonly constraints: readonly AffineConstraint[] } {
  const rest = constraints.filter((c) => coefficientOf(c.affine, axis) === 0);
  const about = constraints.filter((c) => coefficientOf(c.affine, axis) !== 0);
  const { extent } = axes[axis];
  const box = [axisIndex(axis), subtract(affine(extent - 1), axisIndex(axis))];
  const equal = about.find((c) => c.kind === 'zero' && Math.abs(coefficientOf(c.affine, axis)) === 1);
  if (equal !== undefined) {
    // c·x + r = 0 with c = ±1: x is -c·r, wherever it stands.
    const coefficient = coefficientOf(equal.affine, axis);
    const value = scale(without(equal.affine, axis), -coefficient);
    const put = (a: Affine): Affine => substitute(a, (other) => (other === axis ? value : axisIndex(other)));
    const others = about.filter((c) => c !== equal).map((c) => ({ ...c, affine: put(c.affine) }));
    const inside = box.map((a): AffineConstraint => ({ kind: 'nonnegative', affine: put(a) }));
    return { constraints: [...rest, ...others, ...inside], exact: true };
  }
  const differing = about.filter((c) => c.kind === 'nonzero');
  if (differing.length === about.length) return { constraints: rest, exact: about.length < extent };
  const bounds = [
    ...box,
    ...about.flatMap((c) =>
      c.kind === 'nonnegative' ? [c.affine] : c.kind === 'zero' ? [c.affine, scale(c.affine, -1)] : [],
    ),
  ];
  const lower = bounds.filter((a) => coefficientOf(a, axis) > 0);
  const upper = bounds.filter((a) => coefficientOf(a, axis) < 0);
  if (rest.length + lower.length * upper.length > mostConstraints) return { constraints: rest, exact: false };
  let exact = differing.length === 0 && about.every((c) => c.kind !== 'zero');
  const pairs = lower.flatMap((below) =>
    upper.map((above): AffineConstraint => {
      const [p, q] = [coefficientOf(below, axis), -coefficientOf(above, axis)];
      if (p !== 1 && q !== 1) exact = false;
      return { kind: 'nonnegative', affine: add(scale(below, q), scale(above, p)) };
    }),
  );
  return { constraints: [...rest, ...pairs], exact };
}

function without(a: Affine, axis: number): Affine {
  return { ...a, terms: a.terms.filter((term) => term.axis !== axis) };
}

/** Without what always holds, stands twice, or follows from a constraint that differs in its constant alone. */
function tidy(constraints: readonly AffineConstraint[], axes: readonly Axis[]): readonly AffineConstraint[] {
  const kept: AffineConstraint[] = [];
  for (const c of constraints) {
    if (decide(c, axes) === 'always') continue;
    const twin = kept.findIndex((k) => k.kind === c.kind && sameTerms(k.affine, c.affine, c.kind));
    if (twin < 0) kept.push(c);
    else if (c.affine.constant < kept[twin].affine.constant) kept[twin] = c;
  }
  return kept;
}

function sameTerms(a: Affine, b: Affine, kind: Constraint['kind']): boolean {
  return equalAffine(kind === 'nonnegative' ? { ...a, constant: b.constant } : a, b);
}
