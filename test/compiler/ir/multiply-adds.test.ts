/** What an equation multiplies, by hand, and points of domains against counting them one by one. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { affine, holds } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, over } from '../../../compiler/ir/build.ts';
import { binary, constant, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { multiplyAddsOf } from '../../../compiler/ir/multiply-adds.ts';
import { pointsInDomain } from '../../../compiler/ir/points.ts';
import type { AffineConstraint, Axis } from '../../../compiler/ir/program.ts';

const term = (axis: number, coefficient: number) => ({ axis, coefficient });

describe('points of a domain', () => {
  test('a window is not a box', () => {
    const axes = [512, 512, 8].map((extent) => ({ name: 'a', extent }));
    const causal = atLeastZero(affine(0, [term(0, 1), term(1, -1)]));
    const near = atLeastZero(affine(128, [term(0, -1), term(1, 1)]));
    expect(pointsInDomain(axes, [])).toBe(512 * 512 * 8);
    expect(pointsInDomain(axes, [causal])).toBe((8 * 512 * 513) / 2);
    expect(pointsInDomain(axes, [causal, near])).toBe(8 * (129 * 512 - (128 * 129) / 2));
    expect(pointsInDomain(axes, [atLeastZero(affine(-512, [term(0, 1)]))])).toBe(0);
  });

  test('one by one', () => {
    const axis = fc.integer({ min: 1, max: 5 }).map((extent): Axis => ({ name: 'a', extent }));
    const constraint = (axes: number): fc.Arbitrary<AffineConstraint> =>
      fc.record({
        kind: fc.constantFrom('nonnegative' as const, 'zero' as const, 'nonzero' as const),
        affine: fc
          .tuple(
            fc.integer({ min: -4, max: 4 }),
            fc.array(fc.tuple(fc.nat(axes - 1), fc.integer({ min: -3, max: 3 })), { maxLength: 3 }),
          )
          .map(([c, terms]) =>
            affine(
              c,
              terms.map(([a, k]) => term(a, k)),
            ),
          ),
      });
    const domain = fc
      .array(axis, { minLength: 1, maxLength: 4 })
      .chain((axes) => fc.tuple(fc.constant(axes), fc.array(constraint(axes.length), { maxLength: 4 })));
    fc.assert(
      fc.property(domain, ([axes, constraints]) => {
        let found = 0;
        const visit = (point: readonly number[]): void => {
          if (point.length === axes.length) found += constraints.every((c) => holds(c, point)) ? 1 : 0;
          else for (let i = 0; i < axes[point.length].extent; i++) visit([...point, i]);
        };
        visit([]);
        expect(pointsInDomain(axes, constraints)).toBe(found);
      }),
      { numRuns: 500, seed: 9 },
    );
  });
});

describe('multiply-adds', () => {
  const [x, y] = [at('x', 0), at('y', 0)];
  const count = (value: Parameters<typeof unary>[1]) =>
    multiplyAddsOf(over({ i: 3, j: 4 }, ({ i }) => ({ store: [i], value })));

  test.each([
    ['a product', product([x, y]), 12],
    ['of three', product([x, y, x]), 12],
    ['a square', binary('power', x, constant(2)), 12],
    ['a root', binary('power', x, constant(0.5)), 0],
    ['by a constant', product([constant(3), x]), 0],
    ['a division', binary('divide', x, y), 0],
    ['a sum', sum([x, y]), 0],
    ['two products added', sum([product([x, y]), product([y, y])]), 24],
    ['inside a function', unary('exp', product([x, y])), 12],
  ])('%s', (_, value, expected) => {
    expect(count(value)).toBe(expected);
  });

  test('a branch counts where it is taken, a maximum as a sum does', () => {
    const lower = over({ i: 4, j: 4 }, ({ i, j }) => ({
      store: [i],
      reducer: 'max',
      value: select(
        { kind: 'domain', constraints: [atLeastZero(affine(0, [term(0, 1), term(1, -1)]))] },
        product([at('x', i), at('y', j)]),
        at('x', i),
      ),
    }));
    expect(multiplyAddsOf(lower)).toBe(10);
  });
});
