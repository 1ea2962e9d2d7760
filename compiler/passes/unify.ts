/**
 * Solves equalities between affine indices over boxes of axes: what it means to read an element that another equation stores.
 *
 *   i = 8·α + β        (i: 32, α: 4, β: 8)     →  i := 8·α + β
 *   2·k + p = 4·o + f  (k: 8, p: 2, o: 4, f: 4)  →  f := 2·f' + p,  k := 2·o + f'      digit against digit of another radix
 *   i = 8·α + β        (i: 30)                 →  i := 8·α + β  where 29 - 8·α - β >= 0
 *
 * Every old axis becomes an affine expression of the new axes, and the points of the new box that meet the leftover constraints
 * correspond one to one to the points of the old box that meet the equalities. So a sum over the one is a sum over the other.
 *
 * The trap: digits may be compared one by one only where each stays below the radix of the next; everything else is substitution
 * of an axis with coefficient ±1, and where there is none the answer is 'unsolved'.
 */
import { add, affine, axisIndex, decide, gcd, isConstant, range, scale, substitute } from '../ir/affine.ts';
import type { Affine, AffineConstraint, AffineTerm, Axis } from '../ir/program.ts';

export type Unified =
  | {
      readonly kind: 'solved';
      readonly axes: readonly Axis[];
      /** Old axis → affine expression of the new axes. */
      readonly replace: readonly Affine[];
      readonly constraints: readonly AffineConstraint[];
    }
  /** No point meets the equalities. */
  | { readonly kind: 'empty' }
  | { readonly kind: 'unsolved' };

/** `keep(axis)`: of two equal axes the one to keep the name of; the higher number stays. */
export function unify(
  axes: readonly Axis[],
  equalities: readonly Affine[],
  keep: (axis: number) => number = () => 0,
): Unified {
  const state = new Solver(axes, keep);
  const pending = [...equalities];
  while (pending.length > 0) {
    // The easiest first: an axis that another equality settles splits no digit here.
    const standing = pending.map((e) => state.current(e));
    const easiest = standing.reduce((a, b) => (a.terms.length <= b.terms.length ? a : b));
    pending.splice(standing.indexOf(easiest), 1);
    const rest = state.solve(easiest);
    if (rest === 'empty') return { kind: 'empty' };
    if (rest === 'unsolved') return { kind: 'unsolved' };
    if (rest !== undefined) pending.unshift(rest);
  }
  return state.result();
}

/** The axes as they are split and replaced; old axes keep their positions, new digits are appended. */
class Solver {
  private readonly axes: Axis[];
  private readonly replaced = new Map<number, Affine>();
  private readonly constraints: AffineConstraint[] = [];
  private readonly originalCount: number;
  private readonly keep: (axis: number) => number;

  constructor(axes: readonly Axis[], keep: (axis: number) => number) {
    this.axes = [...axes];
    this.originalCount = axes.length;
    // An axis of the user's has the better name than a digit split off.
    this.keep = (axis) => (axis < axes.length ? keep(axis) : -1);
  }

  /** The expression in axes that still stand. */
  current(a: Affine): Affine {
    if (!a.terms.some((term) => this.replaced.has(term.axis))) return a;
    return this.current(substitute(a, (axis) => this.replaced.get(axis) ?? axisIndex(axis)));
  }

  /** Takes one step; gives back what remains of the equality `equality = 0`. */
  solve(equality: Affine): Affine | undefined | 'empty' | 'unsolved' {
    if (isConstant(equality)) return equality.constant === 0 ? undefined : 'empty';
    const divisor = equality.terms.reduce((g, term) => gcd(g, Math.abs(term.coefficient)), 0);
    if (equality.constant % divisor !== 0) return 'empty';
    const a = divisor === 1 ? equality : divide(equality, divisor);
    const { min, max } = range(a, this.axes);
    if (min > 0 || max < 0) return 'empty';
    const [first, second] = a.terms;
    // An axis of extent 1 is 0 already, and stays an axis as it would with a larger extent.
    if (a.terms.length === 1) {
      if (min === 0 && max === 0) return undefined;
      this.replaced.set(first.axis, affine(-a.constant / first.coefficient));
      return undefined;
    }
    if (a.terms.length === 2 && a.constant === 0 && first.coefficient * second.coefficient === -1) {
      this.identify(first.axis, second.axis);
      return undefined;
    }
    if (this.replaceByDigits(a)) return undefined;
    const long = a.terms.filter((term) => this.axes[term.axis].extent > 1);
    if (long.length < a.terms.length) return affine(a.constant, long);
    if (min === 0 || max === 0) return this.pinToCorner(a, max === 0);
    return this.matchDigits(a) ?? this.substituteAxis(a);
  }

  /**
   * i = R·h + r with an h of extent 1: no digit of i can be told from r, so i is written in both, as it would be for a longer h.
   */
  private replaceByDigits(a: Affine): boolean {
    if (a.terms.every((term) => this.axes[term.axis].extent > 1)) return false;
    for (const { axis, coefficient } of a.terms) {
      if (Math.abs(coefficient) !== 1 || this.axes[axis].extent === 1) continue;
      const others = a.terms.filter((term) => term.axis !== axis);
      const value = scale(affine(a.constant, others), -coefficient);
      const { min, max } = range(value, this.axes);
      if (min !== 0 || max !== this.axes[axis].extent - 1) continue;
      this.replaced.set(axis, value);
      return true;
    }
    return false;
  }

  /** The equality is an extreme value of its expression, so that every axis is at an end of its range. */
  private pinToCorner(a: Affine, atMaximum: boolean): undefined {
    for (const { axis, coefficient } of a.terms) {
      this.replaced.set(axis, affine(coefficient > 0 === atMaximum ? this.axes[axis].extent - 1 : 0));
    }
    return undefined;
  }

  /** a = b: the shorter stays, since the longer one takes no other values. */
  private identify(a: number, b: number): void {
    const [extentA, extentB] = [this.axes[a].extent, this.axes[b].extent];
    const stays = extentA !== extentB ? (extentA < extentB ? a : b) : this.keep(a) >= this.keep(b) ? a : b;
    this.replaced.set(stays === a ? b : a, axisIndex(stays));
  }

  /** Splits off the lowest digit of both sides, if both are numbers to a common radix. */
  private matchDigits(a: Affine): Affine | undefined {
    const left = new Side(a.terms.filter((term) => term.coefficient > 0));
    const right = new Side(a.terms.filter((term) => term.coefficient < 0));
    const radix = Math.min(left.radix, right.radix);
    if (
      !Number.isFinite(radix) ||
      radix === 1 ||
      a.constant % radix !== 0 ||
      left.lows.length > 1 ||
      right.lows.length > 1
    )
      return undefined;
    if (!this.splittable(left, radix) || !this.splittable(right, radix)) return undefined;
    const [lowLeft, lowRight] = [left.lows[0], right.lows[0]];
    if (lowLeft === undefined && lowRight === undefined) return undefined;
    const digitLeft = this.lowestDigit(lowLeft, radix);
    const digitRight = this.lowestDigit(lowRight, radix);
    if (digitLeft === undefined) this.replaced.set(digitRight as number, affine(0));
    else if (digitRight === undefined) this.replaced.set(digitLeft, affine(0));
    else this.identify(digitLeft, digitRight);
    return divide(this.current(a), radix);
  }

  /** Whether the low digit stays below the radix, or its axis can be split there. */
  private splittable(side: Side, radix: number): boolean {
    const low = side.lows[0];
    if (side.radix % radix !== 0 && Number.isFinite(side.radix)) return false;
    if (low === undefined) return true;
    const { extent } = this.axes[low];
    return extent <= radix || extent % radix === 0;
  }

  /** The axis that is `low` modulo the radix, split off where there is more to it. */
  private lowestDigit(low: number | undefined, radix: number): number | undefined {
    if (low === undefined) return undefined;
    const { name, extent } = this.axes[low];
    if (extent <= radix) return low;
    const high = this.axes.length;
    this.axes.push({ name, extent: extent / radix }, { name: `${name}'`, extent: radix });
    this.replaced.set(low, add(scale(axisIndex(high), radix), axisIndex(high + 1)));
    return high + 1;
  }

  /** Solves for the axis that leaves the fewest constraints behind. */
  private substituteAxis(a: Affine): undefined | 'unsolved' {
    const solutions = a.terms
      .filter((term) => Math.abs(term.coefficient) === 1)
      .map(({ axis, coefficient }) => {
        const rest = affine(
          a.constant,
          a.terms.filter((term) => term.axis !== axis),
        );
        const value = scale(rest, -coefficient);
        return { axis, value, bounds: this.boundsOf(axis, value) };
      });
    if (solutions.length === 0) return 'unsolved';
    const best = solutions.reduce((x, y) => {
      if (x.bounds.length !== y.bounds.length) return x.bounds.length < y.bounds.length ? x : y;
      const [extentX, extentY] = [this.axes[x.axis].extent, this.axes[y.axis].extent];
      if (extentX !== extentY) return extentX > extentY ? x : y;
      return this.keep(x.axis) <= this.keep(y.axis) ? x : y;
    });
    this.constraints.push(...best.bounds);
    this.replaced.set(best.axis, best.value);
    return undefined;
  }

  /** What remains to be asked so that `value` is one of the axis's. */
  private boundsOf(axis: number, value: Affine): readonly AffineConstraint[] {
    const bounds: readonly AffineConstraint[] = [
      { kind: 'nonnegative', affine: value },
      { kind: 'nonnegative', affine: add(affine(this.axes[axis].extent - 1), scale(value, -1)) },
    ];
    return bounds.filter((bound) => decide(bound, this.axes) !== 'always');
  }

  result(): Unified {
    const standing = this.axes.map((_, axis) => axis).filter((axis) => !this.replaced.has(axis));
    const position = new Map(standing.map((axis, i) => [axis, i]));
    const renumber = (a: Affine): Affine =>
      substitute(this.current(a), (axis) => axisIndex(position.get(axis) as number));
    const axes = standing.map((axis) => this.axes[axis]);
    const constraints = this.constraints
      .map(({ kind, affine: a }): AffineConstraint => ({ kind, affine: renumber(a) }))
      .filter((constraint) => decide(constraint, axes) !== 'always');
    if (constraints.some((constraint) => decide(constraint, axes) === 'never')) return { kind: 'empty' };
    const replace = Array.from({ length: this.originalCount }, (_, axis) => renumber(axisIndex(axis)));
    return { kind: 'solved', axes, replace, constraints };
  }
}

/** One side of an equality: the terms with coefficient ±1 and the radix at which the others begin. */
class Side {
  readonly lows: readonly number[];
  /** Greatest common divisor of the other coefficients; infinite if there are none. */
  readonly radix: number;

  constructor(terms: readonly AffineTerm[]) {
    this.lows = terms.filter((term) => Math.abs(term.coefficient) === 1).map((term) => term.axis);
    const others = terms.filter((term) => Math.abs(term.coefficient) !== 1);
    this.radix = others.reduce((g, term) => gcd(g, Math.abs(term.coefficient)), 0) || Number.POSITIVE_INFINITY;
  }
}

function divide(a: Affine, divisor: number): Affine {
  return affine(
    a.constant / divisor,
    a.terms.map((term) => ({ axis: term.axis, coefficient: term.coefficient / divisor })),
  );
}
