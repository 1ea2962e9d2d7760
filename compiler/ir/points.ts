/**
 * How many points of a box of axes meet a list of affine constraints: what a loop over a domain does, exactly.
 *
 *   t: 512, u: 512, h: 8   where t - u >= 0 and u - t + 128 >= 0   →   8 · 57,792
 *
 * Axes that no constraint ties together are counted apart and multiplied. Of those that are tied, all but the longest are walked
 * through, and of the longest the interval is taken that the constraints leave.
 *
 * What the data decide is known only when they are there: such a condition is left out, and all points that it could let through count.
 *
 * The trap: axes tied by many constraints are many points to walk. Beyond a bound the constraints of such a group are left out, and
 * the number is only the most that there can be.
 */
import { affine, coefficientOf, decide, evaluate, isAffine } from './affine.ts';
import type { Affine, AffineConstraint, Axis, Constraint } from './program.ts';

/** Points walked through for one group of axes at most: a tenth of a second. */
const mostWalked = 1 << 22;

export function pointsInDomain(axes: readonly Axis[], constraints: readonly Constraint[]): number {
  const open = constraints.filter((c) => decide(c, axes) !== 'always');
  if (open.some((c) => decide(c, axes) === 'never')) return 0;
  const groups = tiedAxes(open.filter(isAffine));
  const tied = new Set(groups.flatMap((group) => group.axes));
  const free = axes.reduce((n, { extent }, axis) => (tied.has(axis) ? n : n * extent), 1);
  return groups.reduce((n, group) => n * countGroup(group, axes), free);
}

interface Group {
  readonly axes: readonly number[];
  readonly constraints: readonly AffineConstraint[];
}

/** The constraints in groups that share no axis. */
function tiedAxes(constraints: readonly AffineConstraint[]): readonly Group[] {
  let groups: readonly Group[] = [];
  for (const constraint of constraints) {
    const own = constraint.affine.terms.map(({ axis }) => axis);
    const touched = groups.filter((group) => group.axes.some((axis) => own.includes(axis)));
    const axes = [...new Set([...touched.flatMap((group) => group.axes), ...own])];
    const all = [...touched.flatMap((group) => group.constraints), constraint];
    groups = [...groups.filter((group) => !touched.includes(group)), { axes, constraints: all }];
  }
  return groups;
}

function countGroup({ axes: group, constraints }: Group, axes: readonly Axis[]): number {
  const [last, ...walked] = [...group].sort((a, b) => axes[b].extent - axes[a].extent);
  const walkedPoints = walked.reduce((n, axis) => n * axes[axis].extent, 1);
  if (walkedPoints > mostWalked) return walkedPoints * axes[last].extent;
  const point = axes.map(() => 0);
  const rules = constraints.map(({ kind, affine: a }) => ({
    kind,
    step: coefficientOf(a, last),
    rest: affine(
      a.constant,
      a.terms.filter(({ axis }) => axis !== last),
    ),
  }));
  let total = 0;
  const walk = (depth: number): void => {
    if (depth === walked.length) {
      total += countLast(rules, point, axes[last].extent);
      return;
    }
    const axis = walked[depth];
    for (point[axis] = 0; point[axis] < axes[axis].extent; point[axis]++) walk(depth + 1);
  };
  walk(0);
  return total;
}

interface Rule {
  readonly kind: AffineConstraint['kind'];
  readonly step: number;
  readonly rest: Affine;
}

/** Values x of the last axis with `step · x + rest` as each rule wants it. */
function countLast(rules: readonly Rule[], point: readonly number[], extent: number): number {
  let [low, high] = [0, extent - 1];
  const excluded = new Set<number>();
  for (const { kind, step, rest } of rules) {
    const value = evaluate(rest, point);
    const root = step === 0 ? Number.NaN : -value / step;
    switch (kind) {
      case 'nonnegative':
        if (step > 0) low = Math.max(low, Math.ceil(root));
        else if (step < 0) high = Math.min(high, Math.floor(root));
        else if (value < 0) return 0;
        break;
      case 'zero':
        if (step === 0 ? value !== 0 : !Number.isInteger(root)) return 0;
        if (step !== 0) [low, high] = [Math.max(low, root), Math.min(high, root)];
        break;
      case 'nonzero':
        if (step === 0 && value === 0) return 0;
        if (Number.isInteger(root)) excluded.add(root + 0);
        break;
      default:
        kind satisfies never;
    }
  }
  const gone = [...excluded].filter((x) => x >= low && x <= high).length;
  return Math.max(0, high - low + 1 - gone);
}
