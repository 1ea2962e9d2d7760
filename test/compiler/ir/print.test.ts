import { expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, param, program } from '../../../compiler/ir/build.ts';
import { binary, constant, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { printExpression, printProgram } from '../../../compiler/ir/print.ts';

test('a program with every kind of tensor', () => {
  const attention = over({ t: 4, u: 4 }, ({ t, u }) => ({
    domain: [atLeastZero(subtract(t, u)), { kind: 'nonzero', affine: subtract(t, affine(1)) }],
    store: [t],
    reducer: 'logsumexp',
    value: product([at('x', t), at('x', gather('ids', u))]),
  }));
  const twoNames = {
    axes: [
      { name: 'i', extent: 2 },
      { name: 'i', extent: 3 },
    ],
    domain: [],
    store: [
      add(
        scale({ kind: 'affine', constant: 0, terms: [{ axis: 0, coefficient: 1 }] }, 3),
        affine(0, [{ axis: 1, coefficient: 1 }]),
      ),
    ],
    reducer: 'sum',
    value: constant(0.5),
  } as const;
  const p = program(
    [
      input('x', [4]),
      input('ids', [4], 'i32'),
      param('W', [2, 2], { kind: 'normal', std: 0.5, fanIn: 4 }),
      param('b', [2], { kind: 'constant', value: 0 }, true),
      computed('s', [4], [attention]),
      computed('v', [6], [twoNames]),
      computed('z', [3], []),
      { name: 'w', dtype: 'f32', shape: [2], source: { kind: 'view', base: 'x', offset: 1 } },
      {
        name: 'c',
        dtype: 'f32',
        shape: [10],
        source: {
          kind: 'concat',
          parts: [
            { tensor: 's', offset: 0 },
            { tensor: 'x', offset: 6 },
          ],
        },
      },
    ],
    ['s', 'c'],
    [{ state: 'x', next: 's' }],
  );
  expect(printProgram(p)).toBe(`\
input x: f32[4]
input ids: i32[4]
param W: f32[2, 2] ~ normal(std = 0.5, fan_in = 4)
param b: f32[2] ~ constant(0), fixed
tensor s: f32[4]
  s[t] logsumexp= x[t] * x[ids[u]]   over t: 4, u: 4   where t - u >= 0 and t - 1 != 0
tensor v: f32[6]
  v[3*i + i'] sum= 0.5   over i: 2, i': 3
tensor z: f32[3]
view w: f32[2] = x from 1
concat c: f32[10] = s at 0, x at 6
output s, c
update x = s
`);
});

test('parentheses stand exactly where the tree needs them', () => {
  const names = ['i', 'j'];
  const i = affine(0, [{ axis: 0, coefficient: 1 }]);
  const j = affine(0, [{ axis: 1, coefficient: 1 }]);
  const a = at('a', i);
  const b = at('b', j);
  const print = (e: Parameters<typeof printExpression>[0]): string => printExpression(e, names);
  expect(print(product([a, sum([a, b])]))).toBe('a[i] * (a[i] + b[j])');
  expect(print(sum([a, product([constant(-2), b]), unary('negate', a)]))).toBe('a[i] - 2 * b[j] - a[i]');
  expect(print(unary('negate', sum([a, b])))).toBe('-(a[i] + b[j])');
  expect(print(binary('divide', a, product([a, b])))).toBe('a[i] / (a[i] * b[j])');
  expect(print(binary('divide', product([a, b]), a))).toBe('(a[i] * b[j]) / a[i]');
  expect(print(product([a, binary('divide', a, b)]))).toBe('a[i] * (a[i] / b[j])');
  expect(print(binary('power', unary('negate', a), constant(2)))).toBe('(-a[i])^2');
  expect(print(unary('negate', binary('power', a, constant(-2))))).toBe('-a[i]^(-2)');
  expect(print(binary('power', binary('power', a, b), b))).toBe('(a[i]^b[j])^b[j]');
  expect(print(binary('maximum', sum([a, b]), constant(0)))).toBe('maximum(a[i] + b[j], 0)');
  expect(print(unary('exp', sum([a, constant(-1)])))).toBe('exp(a[i] - 1)');
  expect(print(sum([{ kind: 'index', affine: subtract(i, j) }, a]))).toBe('index(i - j) + a[i]');
  expect(print({ kind: 'index', affine: affine(3, [{ axis: 0, coefficient: -2 }]) })).toBe('index(3 - 2*i)');
  expect(
    print(
      select(
        { kind: 'compare', operator: '<=', left: a, right: b },
        constant(1),
        select({ kind: 'domain', constraints: [atLeastZero(j)] }, a, b),
      ),
    ),
  ).toBe('select(a[i] <= b[j], 1, select(j >= 0, a[i], b[j]))');
  expect(
    print({
      kind: 'random',
      distribution: 'normal',
      seed: at('seed'),
      stream: 3,
      step: constant(1),
      element: add(scale(i, 4), j),
    }),
  ).toBe('normal(seed = seed, stream = 3, step = 1, element = 4*i + j)');
});
