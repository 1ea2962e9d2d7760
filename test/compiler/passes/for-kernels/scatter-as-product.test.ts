/** A sum that goes where whole numbers say as a product: the same values, and only where it is one. */
import { expect, test } from 'vitest';
import { add, affine, subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, program } from '../../../../compiler/ir/build.ts';
import { constant, product } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { printEquation } from '../../../../compiler/ir/print.ts';
import type { Equation, Program } from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { scatterAsProduct } from '../../../../compiler/passes/for-kernels/scatter-as-product.ts';
import { feed } from '../../../support/feed.ts';

const shape = [7, 5];
const programOf = (equation: Equation): Program =>
  program(
    [input('ids', [4, 6], 'i32'), input('more', [4], 'i32'), input('c', [4, 6, 5]), computed('g', shape, [equation])],
    ['g'],
  );

const embedding = over({ n: 4, t: 6, i: 5 }, ({ n, t, i }) => ({
  store: [gather('ids', n, t), i],
  domain: [atLeastZero(subtract(t, n))],
  value: product([constant(0.5), at('c', n, t, i)]),
}));

test('the gradient of an embedding', () => {
  const found = scatterAsProduct(embedding, shape)!;
  expect(printEquation(found, 'g')).toMatchInlineSnapshot(
    `"g[place, i] sum= 0.5 * select(ids[n, t] == index(place), 1, 0) * c[n, t, i]   over n: 4, t: 6, i: 5, place: 7   where t - n >= 0"`,
  );
  const inputs = feed(programOf(embedding));
  expect(verify(programOf(found))).toEqual([]);
  const [have, want] = [found, embedding].map((e) => interpret(programOf(e), inputs, ['g']).get('g')!.data);
  expect(have).toEqual(want);
});

test('a place that its own columns say too, two places, and a maximum stay as they are', () => {
  const axes = { n: 4, t: 6, i: 5 };
  const others = [
    over({ n: 4, t: 5 }, ({ n, t }) => ({ store: [gather('ids', n, t), t], value: at('c', n, t, 0) })),
    over({ n: 4, t: 6 }, ({ n, t }) => ({ store: [gather('ids', n, t), gather('more', n)], value: at('c', n, t, 0) })),
    over(axes, ({ n, t, i }) => ({ store: [gather('ids', n, t), i], reducer: 'max', value: at('c', n, t, i) })),
    over(axes, ({ n, t, i }) => ({ store: [add(n, affine(1)), i], value: at('c', n, t, i) })),
  ];
  for (const equation of others) expect(scatterAsProduct(equation, shape)).toBeUndefined();
});
