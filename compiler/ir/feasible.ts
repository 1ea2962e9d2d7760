/**
 * Is there a whole-numbered point of a box that meets all of a list of affine constraints? The verifier, the bounds check of the
 * language and the passes ask this of loads under a domain: `x[t - u]` lies inside if no point of the domain has t - u < 0.
 *
 * The box is narrowed by interval reasoning (a constraint bounds each of its axes given the ranges of the others) and, where that
 * settles nothing, halved. What data say is left out: a point may be excluded by them all the same. Two contrary constraints over many axes would be narrowed one step at a time, so pairs whose sum is
 * negative everywhere are found first. The trap: the search is exact but may be long; past its budget it says 'unknown'.
 */
import { add, evaluate, gcd, isAffine, scale } from './affine.ts';
import { affineKey } from './hash.ts';
import type { Affine, Axis, Constraint } from './program.ts';

export type Feasibility =
  | { readonly kind: 'point'; readonly point: readonly number[] }
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown' };

interface Box {
  readonly low: number[];
  readonly high: number[];
}

/** Boxes looked at before the search gives up. */
const defaultBudget = 20_000;

export function findPoint(
  axes: readonly Axis[],
  conditions: readonly Constraint[],
  budget = defaultBudget,
): Feasibility {
  const constraints = conditions.filter(isAffine);
  const nonnegative = constraints.flatMap((c) =>
    c.kind === 'nonnegative' ? [c.affine] : c.kind === 'zero' ? [c.affine, scale(c.affine, -1)] : [],
  );
  const nonzero = constraints.filter((c) => c.kind === 'nonzero').map((c) => c.affine);
  const whole: Box = { low: axes.map(() => 0), high: axes.map((axis) => axis.extent - 1) };
  const equalities = constraints.filter((c) => c.kind === 'zero').map((c) => c.affine);
  if (equalities.some(hasNoWholeRoot)) return { kind: 'none' };
  const implied = pairSums(nonnegative);
  const pending: Box[] = [whole];
  let looked = 0;
  for (let box = pending.pop(); box !== undefined; box = pending.pop()) {
    if (++looked > budget) return { kind: 'unknown' };
    if (!narrow(box, nonnegative) || implied.some((a) => maximum(a, box as Box) < 0)) continue;
    const point = corners(box).find(
      (p) => nonnegative.every((a) => evaluate(a, p) >= 0) && nonzero.every((a) => evaluate(a, p) !== 0),
    );
    if (point !== undefined) return { kind: 'point', point };
    pending.push(...halves(box, [...nonnegative, ...nonzero]));
  }
  return { kind: 'none' };
}

/** Σ cᵢ aᵢ + c = 0 has no solution in whole numbers if the greatest common divisor of the cᵢ does not divide c. */
function hasNoWholeRoot(a: Affine): boolean {
  const divisor = a.terms.reduce((g, term) => gcd(g, Math.abs(term.coefficient)), 0);
  return divisor === 0 ? a.constant !== 0 : a.constant % divisor !== 0;
}

/** Sums of two constraints in which an axis cancels. */
function pairSums(nonnegative: readonly Affine[]): readonly Affine[] {
  const sums: Affine[] = [];
  for (let i = 0; i < nonnegative.length; i++) {
    for (let j = i + 1; j < nonnegative.length; j++) {
      for (const p of nonnegative[i].terms) {
        const q = nonnegative[j].terms.find((term) => term.axis === p.axis);
        if (q === undefined || p.coefficient * q.coefficient > 0) continue;
        sums.push(add(scale(nonnegative[i], Math.abs(q.coefficient)), scale(nonnegative[j], Math.abs(p.coefficient))));
      }
    }
  }
  const distinct = new Map(sums.map((a) => [affineKey(a), a]));
  return [...distinct.values()];
}

function maximum(a: Affine, box: Box): number {
  let value = a.constant;
  for (const { axis, coefficient } of a.terms) {
    value += coefficient * (coefficient > 0 ? box.high[axis] : box.low[axis]);
  }
  return value;
}

/** Narrows the box in place to what interval reasoning allows; false if nothing is left. */
function narrow(box: Box, nonnegative: readonly Affine[]): boolean {
  // A few rounds only: contrary constraints would take a round a unit, and halving is then quicker.
  for (let round = 0; round < 4; round++) {
    let changed = false;
    for (const a of nonnegative) {
      const most = maximum(a, box);
      if (most < 0) return false;
      for (const { axis, coefficient } of a.terms) {
        // coefficient · x + (the most of the rest) >= 0
        const rest = most - coefficient * (coefficient > 0 ? box.high[axis] : box.low[axis]);
        if (coefficient > 0) {
          const low = Math.ceil(-rest / coefficient);
          if (low > box.low[axis]) {
            box.low[axis] = low;
            changed = true;
          }
        } else {
          const high = Math.floor(rest / -coefficient);
          if (high < box.high[axis]) {
            box.high[axis] = high;
            changed = true;
          }
        }
        if (box.low[axis] > box.high[axis]) return false;
      }
    }
    if (!changed) return true;
  }
  return true;
}

/** Likely points: the lowest, the highest and the middle corner. */
function corners(box: Box): readonly (readonly number[])[] {
  return [box.low, box.high, box.low.map((low, axis) => (low + box.high[axis]) >> 1)];
}

/** The box cut across the widest axis that a constraint speaks of; nothing if there is none left to cut. */
function halves({ low, high }: Box, constraints: readonly Affine[]): readonly Box[] {
  let widest = -1;
  for (const { axis } of constraints.flatMap((a) => a.terms)) {
    if (high[axis] > low[axis] && (widest < 0 || high[axis] - low[axis] > high[widest] - low[widest])) widest = axis;
  }
  if (widest < 0) return [];
  const middle = (low[widest] + high[widest]) >> 1;
  return [
    { low: low.with(widest, middle + 1), high: [...high] },
    { low: [...low], high: high.with(widest, middle) },
  ];
}
