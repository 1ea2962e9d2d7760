/**
 * Sets of whole-numbered tuples, each given by affine columns over the points of a domain, and the algebra that following
 * dependences needs: what is left of the axes that no column names is eliminated, so that long chains stay short.
 *
 *   { (t, u) : t = 4·c + y, v = 4·c + z, v = u, u <= t }   →   { (4·c + y, 4·c + z) : z <= y }
 *
 * Every step keeps the set exactly as it is: an equality is solved where a coefficient is ±1, split where its digits allow, and an
 * axis without a column is projected out where its coefficients are ±1. What cannot be simplified stays as it stands.
 *
 * The trap: an axis goes only with its extent; where it is replaced by an expression, the expression must stay inside.
 */
import { add, affine, asAxis, axisIndex, coefficientOf, decide, negation, scale, substitute } from '../ir/affine.ts';
import { findPoint } from '../ir/feasible.ts';
import type { Affine, AffineConstraint, Axis } from '../ir/program.ts';

export interface Relation {
  readonly axes: readonly Axis[];
  readonly domain: readonly AffineConstraint[];
  readonly columns: readonly Affine[];
}

/** Boxes that a test of emptiness looks at: beyond it a relation counts as not empty, which is never wrong, only longer. */
const emptinessBudget = 2000;
/** Projecting an axis out pairs its lower with its upper bounds; more pairs than this are not worth the axis. */
const largestPairing = 16;

/** The same set, simpler and in one form for equal derivations; undefined where it is empty. */
export function simplifyRelation(relation: Relation): Relation | undefined {
  let current: Relation | undefined = relation;
  for (let before: Relation | undefined; current !== undefined && current !== before; ) {
    before = current;
    current = splitDigits(current);
    current = solveEquality(current);
    current = current && projectAxis(current);
    current = current && settle(current);
  }
  if (current === undefined) return undefined;
  if (findPoint(current.axes, current.domain, emptinessBudget).kind === 'none') return undefined;
  return renumber(mergeDigits(current));
}

export function relationKey({ axes, domain, columns }: Relation): string {
  return JSON.stringify([axes.map(({ extent }) => extent), domain, columns]);
}

/** Whether every tuple of `small` is one of `big`. False also where it cannot be told. */
export function contains(big: Relation, small: Relation): boolean {
  const columnOf = big.axes.map((_, axis) => big.columns.findIndex((column) => asAxis(column) === axis));
  if (columnOf.includes(-1)) return relationKey(big) === relationKey(small);
  const inSmall = (a: Affine): Affine => substitute(a, (axis) => small.columns[columnOf[axis]]);
  const wanted: AffineConstraint[] = [
    ...big.axes.flatMap(({ extent }, axis) => insideExtent(inSmall(axisIndex(axis)), extent)),
    ...big.domain.map((c) => ({ kind: c.kind, affine: inSmall(c.affine) })),
    ...big.columns.map(
      (column, k): AffineConstraint => ({ kind: 'zero', affine: add(inSmall(column), scale(small.columns[k], -1)) }),
    ),
  ];
  return wanted.every((c) => decide(c, small.axes) === 'always' || isEmpty(small, negation(c)));
}

/** Whether no tuple is left under one more constraint; false also where it cannot be told. */
export function isEmpty({ axes, domain }: Relation, extra: AffineConstraint): boolean {
  return findPoint(axes, [...domain, extra]).kind === 'none';
}

export function insideExtent(a: Affine, extent: number): readonly AffineConstraint[] {
  return [
    { kind: 'nonnegative', affine: a },
    { kind: 'nonnegative', affine: add(affine(extent - 1), scale(a, -1)) },
  ];
}

/** `4·c + y - 4·c' - z = 0` with y, z below 4 is `c - c' = 0` and `y - z = 0`. */
function splitDigits(relation: Relation): Relation {
  const domain = relation.domain.flatMap((c) => (c.kind === 'zero' ? digitsOf(c, relation.axes) : [c]));
  return domain.length === relation.domain.length ? relation : { ...relation, domain };
}

function digitsOf(constraint: AffineConstraint, axes: readonly Axis[]): readonly AffineConstraint[] {
  const { terms, constant } = constraint.affine;
  for (const radix of new Set(terms.map(({ coefficient }) => Math.abs(coefficient)))) {
    const high = terms.filter(({ coefficient }) => coefficient % radix === 0);
    if (radix === 1 || high.length === terms.length) continue;
    const low = affine(
      constant,
      terms.filter(({ coefficient }) => coefficient % radix !== 0),
    );
    const inside = [add(affine(radix - 1), low), add(affine(radix - 1), scale(low, -1))];
    if (!inside.every((a) => decide({ kind: 'nonnegative', affine: a }, axes) === 'always')) continue;
    return [{ kind: 'zero', affine: affine(0, high) }, ...digitsOf({ kind: 'zero', affine: low }, axes)];
  }
  return [constraint];
}

/** Puts the rest of an equality in the place of an axis that it holds with coefficient ±1. */
function solveEquality(relation: Relation): Relation {
  for (const [at, { kind, affine: a }] of relation.domain.entries()) {
    if (kind !== 'zero') continue;
    const unit = a.terms.findLast(({ coefficient }) => Math.abs(coefficient) === 1);
    if (unit === undefined) continue;
    const rest = affine(
      a.constant,
      a.terms.filter((term) => term !== unit),
    );
    const value = scale(rest, -unit.coefficient);
    const replace = (b: Affine): Affine => substitute(b, (axis) => (axis === unit.axis ? value : axisIndex(axis)));
    const domain = relation.domain.filter((_, i) => i !== at).map((c) => ({ kind: c.kind, affine: replace(c.affine) }));
    return {
      axes: relation.axes,
      domain: [...domain, ...insideExtent(value, relation.axes[unit.axis].extent)],
      columns: relation.columns.map(replace),
    };
  }
  return relation;
}

/** Drops an axis that no column names: exact where it is bounded with coefficients ±1 only. */
function projectAxis(relation: Relation): Relation {
  const { axes, domain, columns } = relation;
  for (const [axis, { extent }] of axes.entries()) {
    if (columns.some((column) => coefficientOf(column, axis) !== 0)) continue;
    const bounding = domain.filter((c) => coefficientOf(c.affine, axis) !== 0);
    const isSimple = (c: AffineConstraint) => c.kind === 'nonnegative' && Math.abs(coefficientOf(c.affine, axis)) === 1;
    if (bounding.length === 0 || !bounding.every(isSimple)) continue;
    const bounds = [...bounding.map((c) => c.affine), ...insideExtent(axisIndex(axis), extent).map((c) => c.affine)];
    const lower = bounds.filter((a) => coefficientOf(a, axis) > 0);
    const upper = bounds.filter((a) => coefficientOf(a, axis) < 0);
    if (lower.length * upper.length > largestPairing) continue;
    const pairs = lower.flatMap((l) =>
      upper.map((u): AffineConstraint => ({ kind: 'nonnegative', affine: add(l, u) })),
    );
    return { axes, domain: [...domain.filter((c) => !bounding.includes(c)), ...pairs], columns };
  }
  return relation;
}

/** Leaves out what always holds and what another constraint says more narrowly; undefined where one never holds. */
function settle(relation: Relation): Relation | undefined {
  const narrowest = new Map<string, AffineConstraint>();
  for (const constraint of relation.domain) {
    const answer = decide(constraint, relation.axes);
    if (answer === 'never') return undefined;
    if (answer === 'always') continue;
    const { kind, affine: a } = constraint;
    const key = JSON.stringify([kind, kind === 'nonnegative' ? a.terms : a]);
    const known = narrowest.get(key);
    if (known === undefined || a.constant < known.affine.constant) narrowest.set(key, constraint);
  }
  const domain = [...narrowest.values()];
  const isSame = domain.length === relation.domain.length && domain.every((c, i) => c === relation.domain[i]);
  return isSame ? relation : { ...relation, domain };
}

/** A column that counts through free digits, `8·α + β`, is one free axis. */
function mergeDigits(relation: Relation): Relation {
  const { domain, columns } = relation;
  const axes = [...relation.axes];
  const uses = (axis: number): number =>
    [...columns, ...domain.map((c) => c.affine)].filter((a) => coefficientOf(a, axis) !== 0).length;
  const merged = columns.map((column) => {
    if (column.terms.length < 2 || column.terms.some(({ axis }) => uses(axis) > 1)) return column;
    const digits = column.terms.toSorted((a, b) => a.coefficient - b.coefficient);
    let extent = 1;
    for (const { axis, coefficient } of digits) {
      if (coefficient !== extent) return column;
      extent *= axes[axis].extent;
    }
    axes.push({ name: axes[digits[0].axis].name, extent });
    return affine(column.constant, [{ axis: axes.length - 1, coefficient: 1 }]);
  });
  return { axes, domain, columns: merged };
}

/** Axes in the order in which columns and then constraints name them; the others, which say nothing, are left out. */
function renumber({ axes, domain, columns }: Relation): Relation {
  const used = new Set([...columns, ...domain.map((c) => c.affine)].flatMap((a) => a.terms.map(({ axis }) => axis)));
  const order = [...used].filter((axis) => axes[axis].extent > 1);
  const place = new Map(order.map((axis, i) => [axis, i]));
  const rename = (a: Affine): Affine =>
    substitute(a, (axis) => {
      const at = place.get(axis);
      return at === undefined ? affine(0) : axisIndex(at);
    });
  const renamed = domain.map((c) => ({ kind: c.kind, affine: rename(c.affine) }));
  const keyed = renamed.map((c) => [JSON.stringify(c), c] as const).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return {
    axes: order.map((axis) => axes[axis]),
    domain: [...new Map(keyed).values()],
    columns: columns.map(rename),
  };
}
