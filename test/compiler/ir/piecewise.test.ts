/** Affine pieces against the expression itself, point by point: every point in exactly one piece, with its value. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { affine, evaluate, holds } from '../../../compiler/ir/affine.ts';
import { binary, constant, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { firstPoint, valueAt } from '../../../compiler/ir/interpret.ts';
import { affinePieces, comparedWhole } from '../../../compiler/ir/piecewise.ts';
import type { Axis, ComparisonOperator, Expression } from '../../../compiler/ir/program.ts';
import { wholeBounds } from '../../../compiler/ir/whole.ts';

const axes: readonly Axis[] = [
  { name: 't', extent: 5 },
  { name: 'u', extent: 4 },
];
const points = Array.from({ length: 20 }, (_, i) => [Math.floor(i / 4), i % 4]);

const leaf: fc.Arbitrary<Expression> = fc.oneof(
  fc.integer({ min: -4, max: 4 }).map(constant),
  fc.tuple(fc.integer({ min: -3, max: 3 }), fc.integer({ min: -2, max: 2 }), fc.integer({ min: -2, max: 2 })).map(
    ([c, t, u]): Expression => ({
      kind: 'index',
      affine: affine(c, [
        { axis: 0, coefficient: t },
        { axis: 1, coefficient: u },
      ]),
    }),
  ),
);

const whole: fc.Arbitrary<Expression> = fc.letrec<{ e: Expression }>((tie) => ({
  e: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.tuple(tie('e'), tie('e')).map(sum),
    fc.tuple(fc.integer({ min: -2, max: 2 }).map(constant), tie('e')).map(product),
    tie('e').map((e) => unary('abs', e)),
    fc
      .tuple(fc.constantFrom('minimum' as const, 'maximum' as const), tie('e'), tie('e'))
      .map(([operator, a, b]) => binary(operator, a, b)),
    fc
      .tuple(fc.constantFrom('quotient' as const, 'remainder' as const), tie('e'), fc.integer({ min: 1, max: 4 }))
      .map(([operator, a, b]) => binary(operator, a, constant(b))),
    fc
      .tuple(tie('e'), tie('e'))
      .map(([a, b]) =>
        select(
          { kind: 'domain', constraints: [{ kind: 'nonnegative', affine: affine(-1, [{ axis: 0, coefficient: 1 }]) }] },
          a,
          b,
        ),
      ),
  ),
})).e;

describe('whole expressions of positions', () => {
  test('pieces are disjoint, cover the box, and have the value', () => {
    let split = 0;
    fc.assert(
      fc.property(whole, (e) => {
        const pieces = affinePieces(e, axes);
        if (pieces === undefined) return;
        if (pieces.length > 1) split++;
        for (const point of points) {
          const at = pieces.filter(({ when }) => when.every((c) => holds(c, point)));
          expect(at).toHaveLength(1);
          expect(evaluate(at[0].value, point) + 0).toBe(valueAt(e, point, new Map()) + 0);
        }
      }),
      { numRuns: 400, seed: 11 },
    );
    expect(split).toBeGreaterThan(40);
  });

  test('bounds hold at every point', () => {
    fc.assert(
      fc.property(whole, (e) => {
        const bounds = wholeBounds(e, axes, () => undefined);
        for (const point of points) {
          const value = valueAt(e, point, new Map());
          expect(value >= bounds!.min && value <= bounds!.max).toBe(true);
        }
      }),
      { numRuns: 400, seed: 12 },
    );
  });

  test('a comparison is the conjunction of what it becomes', () => {
    const operators = fc.constantFrom<ComparisonOperator>('<', '<=', '>', '>=', '==', '!=');
    fc.assert(
      fc.property(whole, operators, whole, (left, operator, right) => {
        const found = comparedWhole(left, operator, right, axes);
        for (const point of points) {
          const [a, b] = [valueAt(left, point, new Map()), valueAt(right, point, new Map())];
          const want = { '<': a < b, '<=': a <= b, '>': a > b, '>=': a >= b, '==': a === b, '!=': a !== b }[operator];
          const here = point.map((at, axis) => ({
            kind: 'zero' as const,
            affine: affine(-at, [{ axis, coefficient: 1 }]),
          }));
          expect(firstPoint(axes, [...here, ...found], new Map()) !== undefined).toBe(want);
        }
      }),
      { numRuns: 300, seed: 13 },
    );
  });
});
