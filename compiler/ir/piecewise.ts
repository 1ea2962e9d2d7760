/**
 * Whole expressions of positions as affine pieces: what `min`, `%`, `/` and choices by position are between their corners.
 *
 *   min(t - u, 3)    →   t - u where t - u <= 3;   3 where t - u > 3
 *   (i - j) % D      →   i - j + D where i < j;    i - j where i >= j       (i, j: D)
 *
 * The pieces are disjoint and cover the box. An expression with many of them, or one that reads data, has none.
 */
import { add, affine, decide, isConstant, negation, range, scale, subtract } from './affine.ts';
import { negate } from './expression.ts';
import type { Affine, AffineConstraint, Axis, ComparisonOperator, Constraint, Expression } from './program.ts';

export interface Piece {
  readonly when: readonly AffineConstraint[];
  readonly value: Affine;
}

export function affinePieces(e: Expression, axes: readonly Axis[], most = 8): readonly Piece[] | undefined {
  const go = (part: Expression): readonly Piece[] | undefined => affinePieces(part, axes, most);
  const nonnegative = (a: Affine): AffineConstraint => ({ kind: 'nonnegative', affine: a });
  /** Both split further; `join` says of two affine values what they give, and where. */
  const joined = (
    left: readonly Piece[] | undefined,
    right: readonly Piece[] | undefined,
    join: (a: Affine, b: Affine) => readonly Piece[] | undefined,
  ): readonly Piece[] | undefined => {
    if (left === undefined || right === undefined || left.length * right.length > most) return undefined;
    const all: Piece[] = [];
    for (const p of left) {
      for (const q of right) {
        const parts = join(p.value, q.value);
        if (parts === undefined) return undefined;
        for (const part of parts) {
          const when = [...p.when, ...q.when, ...part.when].filter((c) => decide(c, axes) !== 'always');
          if (!when.some((c) => decide(c, axes) === 'never')) all.push({ when, value: part.value });
        }
      }
    }
    return all.length > most ? undefined : all;
  };
  /** What the quotient by a whole number above 0 is, stretch by stretch. */
  const stretches = (a: Affine, b: Affine, value: (quotient: number, divisor: number) => Affine) => {
    if (!isConstant(b) || b.constant <= 0) return undefined;
    const divisor = b.constant;
    const { min, max } = range(a, axes);
    const [first, last] = [Math.floor(min / divisor), Math.floor(max / divisor)];
    if (!(last - first < most)) return undefined;
    return Array.from({ length: last - first + 1 }, (_, i): Piece => {
      const low = subtract(a, affine((first + i) * divisor));
      return {
        when: [nonnegative(low), nonnegative(subtract(affine(divisor - 1), low))],
        value: value(first + i, divisor),
      };
    });
  };
  switch (e.kind) {
    case 'constant':
      return Number.isSafeInteger(e.value) ? [{ when: [], value: affine(e.value) }] : undefined;
    case 'index':
      return [{ when: [], value: e.affine }];
    case 'sum':
      return e.terms.map(go).reduce((a, b) => joined(a, b, (p, q) => [{ when: [], value: add(p, q) }]));
    case 'product':
      return e.factors.map(go).reduce((a, b) =>
        joined(a, b, (p, q) => {
          if (isConstant(q)) return [{ when: [], value: scale(p, q.constant) }];
          return isConstant(p) ? [{ when: [], value: scale(q, p.constant) }] : undefined;
        }),
      );
    case 'unary': {
      const zero = [{ when: [], value: affine(0) }];
      switch (e.operator) {
        case 'negate':
          return joined(go(e.operand), zero, (a) => [{ when: [], value: scale(a, -1) }]);
        case 'abs':
          return joined(go(e.operand), zero, (a) => [
            { when: [nonnegative(a)], value: a },
            { when: [nonnegative(subtract(affine(-1), a))], value: scale(a, -1) },
          ]);
        default:
          return undefined;
      }
    }
    case 'binary': {
      const [left, right] = [go(e.left), go(e.right)];
      switch (e.operator) {
        case 'minimum':
          return joined(left, right, (a, b) => [
            { when: [nonnegative(subtract(b, a))], value: a },
            { when: [nonnegative(subtract(subtract(a, b), affine(1)))], value: b },
          ]);
        case 'maximum':
          return joined(left, right, (a, b) => [
            { when: [nonnegative(subtract(a, b))], value: a },
            { when: [nonnegative(subtract(subtract(b, a), affine(1)))], value: b },
          ]);
        case 'quotient':
          return joined(left, right, (a, b) => stretches(a, b, (quotient) => affine(quotient)));
        case 'remainder':
          return joined(left, right, (a, b) =>
            stretches(a, b, (quotient, divisor) => subtract(a, affine(quotient * divisor))),
          );
        default:
          return undefined;
      }
    }
    case 'select': {
      const { condition } = e;
      if (condition.kind !== 'domain' || condition.constraints.length !== 1) return undefined;
      const [chosen] = condition.constraints;
      if (chosen.kind === 'data') return undefined;
      return joined(go(e.then), go(e.otherwise), (a, b) => [
        { when: [chosen], value: a },
        { when: [negation(chosen)], value: b },
      ]);
    }
    case 'load':
    case 'random':
      return undefined;
    default:
      return e satisfies never;
  }
}

/** The expression as one affine map, where it is one all over the box. */
export function wholeAffine(e: Expression, axes: readonly Axis[]): Affine | undefined {
  const pieces = affinePieces(e, axes);
  return pieces?.length === 1 && pieces[0].when.length === 0 ? pieces[0].value : undefined;
}

/** A comparison of whole numbers as constraints: affine ones where that can be. */
export function comparedWhole(
  left: Expression,
  operator: ComparisonOperator,
  right: Expression,
  axes: readonly Axis[],
): readonly Constraint[] {
  const go = (a: Expression, b: Expression): readonly Constraint[] => comparedWhole(a, operator, b, axes);
  const [a, b] = [wholeAffine(left, axes), wholeAffine(right, axes)];
  if (a !== undefined && b !== undefined) return [comparedAffine(a, operator, b)];
  const isAtLeast = operator === '>=' || operator === '>';
  const isAtMost = operator === '<=' || operator === '<';
  if (
    left.kind === 'binary' &&
    ((isAtLeast && left.operator === 'minimum') || (isAtMost && left.operator === 'maximum'))
  )
    return [...go(left.left, right), ...go(left.right, right)];
  if (
    right.kind === 'binary' &&
    ((isAtMost && right.operator === 'minimum') || (isAtLeast && right.operator === 'maximum'))
  )
    return [...go(left, right.left), ...go(left, right.right)];
  if (isAtMost && left.kind === 'unary' && left.operator === 'abs')
    return [...go(left.operand, right), ...go(negate(left.operand), right)];
  if (isAtLeast && right.kind === 'unary' && right.operator === 'abs')
    return [...go(left, right.operand), ...go(left, negate(right.operand))];
  return [{ kind: 'data', operator, left, right }];
}

export function comparedAffine(left: Affine, operator: ComparisonOperator, right: Affine): AffineConstraint {
  const nonnegative = (a: Affine): AffineConstraint => ({ kind: 'nonnegative', affine: a });
  switch (operator) {
    case '<=':
      return nonnegative(subtract(right, left));
    case '<':
      return nonnegative(subtract(right, { ...left, constant: left.constant + 1 }));
    case '>=':
      return nonnegative(subtract(left, right));
    case '>':
      return nonnegative(subtract(left, { ...right, constant: right.constant + 1 }));
    case '==':
      return { kind: 'zero', affine: subtract(left, right) };
    case '!=':
      return { kind: 'nonzero', affine: subtract(left, right) };
    default:
      return operator satisfies never;
  }
}
