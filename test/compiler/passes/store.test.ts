/** What store maps do, and the one rewrite that must look at the reducer: splitting a sum. */
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { constant, product, sum } from '../../../compiler/ir/expression.ts';
import type { Affine, Reducer } from '../../../compiler/ir/program.ts';
import { distributeSums } from '../../../compiler/passes/distribute.ts';
import { fillsOnce, plainStore, storesOnce } from '../../../compiler/passes/store.ts';
import { expectSameOutputs, randomInputs } from './agree.ts';

describe('store maps', () => {
  const stored = (a: number, b: number, index: (i: Affine, j: Affine) => Affine) =>
    over({ i: a, j: b }, ({ i, j }) => ({ store: [index(i, j)], value: constant(1) }));

  test('digits store once, overlapping steps do not', () => {
    expect(storesOnce(stored(4, 3, (i, j) => add(scale(i, 3), j)))).toBe(true);
    expect(storesOnce(stored(4, 3, (i, j) => add(scale(i, 2), j)))).toBe(false);
    expect(storesOnce(stored(4, 3, (i) => i))).toBe(false);
    // As with any other extent: what is fused must not hang on one.
    expect(storesOnce(stored(4, 1, (i) => i))).toBe(false);
    expect(storesOnce(stored(4, 1, (i, j) => add(i, j)))).toBe(false);
    expect(storesOnce(stored(1, 3, (i, j) => add(scale(i, 3), j)))).toBe(true);
    expect(storesOnce(stored(4, 3, (i, j) => subtract(scale(i, 5), j)))).toBe(true);
  });

  test('filled is every element, without a domain', () => {
    const group = stored(4, 3, (i, j) => add(scale(i, 3), j));
    expect(fillsOnce(group, [12])).toBe(true);
    expect(fillsOnce(group, [13])).toBe(false);
    expect(
      fillsOnce(
        stored(4, 3, (i, j) => add(scale(i, 4), j)),
        [15],
      ),
    ).toBe(false);
    expect(fillsOnce({ ...group, domain: [atLeastZero(affine(0))] }, [12])).toBe(false);
    expect(
      fillsOnce(
        over({ i: 4 }, ({ i }) => ({ store: [i, i], value: constant(1) })),
        [4, 4],
      ),
    ).toBe(false);
  });

  test('plain stores', () => {
    expect(plainStore(over({ i: 4, j: 3 }, ({ i, j }) => ({ store: [j, i], value: constant(1) })))).toEqual([1, 0]);
    expect(plainStore(over({ i: 4 }, ({ i }) => ({ store: [i, i], value: constant(1) })))).toBeUndefined();
  });
});

test.each<[Reducer, number]>([
  ['sum', 2],
  ['max', 1],
])('a %s of two contractions is %i equations', (reducer, count) => {
  const y = over({ i: 4, j: 3 }, ({ i, j }) => ({
    reducer,
    store: [i],
    value: sum([product([at('A', i, j), at('x', j)]), product([at('A', i, j), at('z', j)])]),
  }));
  const given = [input('A', [4, 3]), input('x', [3]), input('z', [3])];
  const before = program([...given, computed('y', [4], [y])], ['y']);
  const after = distributeSums(before);
  const made = after.tensors[3].source;
  expect(made.kind === 'computed' && made.equations.length).toBe(count);
  expectSameOutputs(before, after, randomInputs(before, 1));
});
