/** A normalised tensor is read where it is all that a gradient needs, and nothing changes where what was normalised stays in use. */
import { expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { equationsOf } from '../../../../compiler/ir/equation.ts';
import { constant, divide, negate, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { printEquation } from '../../../../compiler/ir/print.ts';
import type { Expression, Program, Tensor } from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { reuseQuotients } from '../../../../compiler/passes/for-kernels/reuse-quotients.ts';
import { feed } from '../../../support/feed.ts';
import { relativeError } from '../../../support/relative-error.ts';

const [T, I, O] = [5, 4, 3];
type At = Parameters<typeof at>[1];

const spread = (t: At): Expression => unary('sqrt', sum([at('var', t), constant(1e-5)]));
const centred = (t: At, i: At): Expression => sum([at('k', t, i), negate(at('mean', t))]);

/** k = x², its rows normalised to n, a product with n, and a gradient that reads the rows again. */
const rows = [
  input('x', [T, I]),
  input('c', [T, I]),
  input('W', [O, I]),
  computed(
    'k',
    [T, I],
    [over({ t: T, i: I }, ({ t, i }) => ({ store: [t, i], value: product([at('x', t, i), at('x', t, i)]) }))],
  ),
  computed(
    'mean',
    [T],
    [over({ t: T, i: I }, ({ t, i }) => ({ store: [t], value: product([constant(1 / I), at('k', t, i)]) }))],
  ),
  computed(
    'var',
    [T],
    [
      over({ t: T, i: I }, ({ t, i }) => ({
        store: [t],
        value: product([constant(1 / I), centred(t, i), centred(t, i)]),
      })),
    ],
  ),
  computed(
    'n',
    [T, I],
    [over({ t: T, i: I }, ({ t, i }) => ({ store: [t, i], value: divide(centred(t, i), spread(t)) }))],
  ),
  computed(
    'y',
    [T, O],
    [over({ t: T, o: O, i: I }, ({ t, o, i }) => ({ store: [t, o], value: product([at('W', o, i), at('n', t, i)]) }))],
  ),
];

const gradient = computed(
  'g',
  [T, I],
  [
    over({ j: I, s: T }, ({ j, s }) => ({
      store: [s, j],
      value: sum([product([at('c', s, j), divide(centred(s, j), spread(s))]), product([at('mean', s), centred(s, j)])]),
    })),
  ],
);

function hold(p: Program): Program {
  const after = reuseQuotients(p);
  expect(verify(after)).toEqual([]);
  const inputs = feed(p);
  const [want, have] = [p, after].map((q) => interpret(q, inputs, q.outputs));
  for (const name of p.outputs) expect(relativeError(have.get(name)!.data, want.get(name)!.data)).toBeLessThan(1e-12);
  return after;
}

const text = (p: Program, name: string): string => {
  const tensor = p.tensors.find((t) => t.name === name) as Tensor;
  return printEquation(equationsOf(tensor)[0], name);
};

test('the quotient, and its dividend as a product', () => {
  const after = hold(program([...rows, gradient], ['y', 'g']));
  expect(text(after, 'g')).toBe(
    'g[s, j] sum= c[s, j] * n[s, j] + mean[s] * n[s, j] * sqrt(var[s] + 0.00001)   over j: 4, s: 5',
  );
});

test('not where the caller reads what is divided, or something else does', () => {
  const read = program([...rows, gradient], ['k', 'y', 'g']);
  expect(reuseQuotients(read)).toBe(read);
  const other = computed(
    'e',
    [T, I],
    [over({ t: T, i: I }, ({ t, i }) => ({ store: [t, i], value: unary('exp', at('k', t, i)) }))],
  );
  const both = program([...rows, gradient, other], ['y', 'g', 'e']);
  expect(reuseQuotients(both)).toBe(both);
});

test('not where no sum of products has the quotient in memory', () => {
  const without = program([...rows.filter(({ name }) => name !== 'y'), gradient], ['n', 'g']);
  expect(reuseQuotients(without)).toBe(without);
});
