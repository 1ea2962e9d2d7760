// The shadow of a domain against all its points, one by one.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { affine, axisIndex, holds, subtract } from '../../../compiler/ir/affine.ts';
import type { AffineConstraint, Axis } from '../../../compiler/ir/program.ts';
import { shadowOf } from '../../../compiler/ir/shadow.ts';

const axis = (name: string, extent: number): Axis => ({ name, extent });

test('by hand', () => {
  const axes = [axis('t', 6), axis('u', 6)];
  const atLeastZero = (a: AffineConstraint['affine']): AffineConstraint => ({ kind: 'nonnegative', affine: a });
  const onT = (domain: readonly AffineConstraint[]) => shadowOf(domain, axes, (a) => a === 0);
  const [t, u] = [axisIndex(0), axisIndex(1)];
  expect(onT([atLeastZero(subtract(t, u))])).toEqual({ constraints: [], exact: true });
  // u < t: the first t has none.
  expect(onT([atLeastZero(subtract(subtract(t, u), affine(1)))])).toEqual({
    constraints: [atLeastZero(subtract(t, affine(1)))],
    exact: true,
  });
  // u <= t and t - u <= 2: every t has itself.
  expect(onT([atLeastZero(subtract(t, u)), atLeastZero(subtract(affine(2), subtract(t, u)))])).toEqual({
    constraints: [],
    exact: true,
  });
  expect(onT([{ kind: 'nonzero', affine: subtract(t, u) }])).toEqual({ constraints: [], exact: true });
});

const extents = [3, 4, 2, 5];
const axes = extents.map((extent, i) => axis('ijkl'[i], extent));

const constraint: fc.Arbitrary<AffineConstraint> = fc.record({
  kind: fc.constantFrom('nonnegative', 'nonnegative', 'zero', 'nonzero'),
  affine: fc
    .record({
      constant: fc.integer({ min: -4, max: 4 }),
      coefficients: fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 4, maxLength: 4 }),
    })
    .map(({ constant, coefficients }) =>
      affine(
        constant,
        coefficients.map((coefficient, a) => ({ axis: a, coefficient })),
      ),
    ),
});

test('it holds every point that something stands above, and where it is exact no other', () => {
  let exact = 0;
  fc.assert(
    fc.property(fc.array(constraint, { minLength: 1, maxLength: 4 }), fc.subarray([0, 1, 2, 3]), (domain, kept) => {
      const shadow = shadowOf(domain, axes, (a) => kept.includes(a));
      if (shadow.exact) exact++;
      const cast = new Set<string>();
      const all = new Map<string, number[]>();
      for (let n = 0; n < 120; n++) {
        const point = [n % 3, Math.floor(n / 3) % 4, Math.floor(n / 12) % 2, Math.floor(n / 24)];
        const key = kept.map((a) => point[a]).join();
        all.set(key, point);
        if (domain.every((c) => holds(c, point))) cast.add(key);
      }
      for (const [key, point] of all) {
        const inside = shadow.constraints.every((c) => c.kind === 'data' || holds(c, point));
        if (cast.has(key)) expect(inside).toBe(true);
        else if (shadow.exact) expect(inside).toBe(false);
      }
    }),
    { numRuns: 1500, seed: 8 },
  );
  expect(exact).toBeGreaterThan(300);
});
