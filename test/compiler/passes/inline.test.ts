/** Definitions put into contractions, by hand: digits of other radices, slices, gathers, domains, and what must stay stored. */
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, param, program } from '../../../compiler/ir/build.ts';
import { equationsOf } from '../../../compiler/ir/equation.ts';
import { product, sum, unary } from '../../../compiler/ir/expression.ts';
import { printEquation } from '../../../compiler/ir/print.ts';
import type { Affine, Equation, Program, Tensor } from '../../../compiler/ir/program.ts';
import { optimise } from '../../../compiler/passes/pipeline.ts';
import { expectSameOutputs, randomInputs } from './agree.ts';

/** The equations of y before they are ordered. */
function inlined(before: Program, name = 'y'): string[] {
  const after = optimise(before, { disabled: new Set(['order']) });
  const inputs = randomInputs(before, 1);
  for (const { name: given, dtype, shape } of before.tensors) {
    if (dtype === 'i32')
      inputs.set(given, { shape, data: Float64Array.from({ length: shape[0] }, (_, i) => (i * 5) % 7) });
  }
  expectSameOutputs(before, after, inputs);
  expectSameOutputs(before, optimise(before), inputs);
  const y = after.tensors.find((tensor) => tensor.name === name) as Tensor;
  return equationsOf(y).map((e) => printEquation(e, name).replace(/ {3}/g, ' | '));
}

const u = param('u', [12]);
const v = param('v', [12]);
const outer = (name: string): Tensor =>
  computed(
    name,
    [12, 12],
    [over({ i: 12, j: 12 }, ({ i, j }) => ({ store: [i, j], value: product([at('u', i), at('v', j)]) }))],
  );
const x = input('x', [5, 12]);
const apply = (value: (n: Affine, i: Affine, j: Affine) => Equation['value']): Tensor =>
  computed(
    'y',
    [5, 12],
    [
      over({ n: 5, i: 12, j: 12 }, ({ n, i, j }) => ({
        store: [n, i],
        value: value(n, i, j),
      })),
    ],
  );

describe('unified', () => {
  test('full axes', () => {
    const y = apply((n, i, j) => product([at('W', i, j), at('x', n, j)]));
    expect(inlined(program([u, v, x, outer('W'), y], ['y']))).toEqual([
      'y[n, i] sum= u[i] * v[j] * x[n, j] | over n: 5, i: 12, j: 12',
    ]);
  });

  test('digits of the reader into a full axis of the definition', () => {
    const y = computed(
      'y',
      [5, 12],
      [
        over({ n: 5, i: 12, o: 3, f: 4 }, ({ n, i, o, f }) => ({
          store: [n, i],
          value: product([at('W', i, add(scale(o, 4), f)), at('x', n, add(scale(f, 3), o))]),
        })),
      ],
    );
    expect(inlined(program([u, v, x, outer('W'), y], ['y']))).toEqual([
      'y[n, i] sum= u[i] * v[4*o + f] * x[n, o + 3*f] | over n: 5, i: 12, o: 3, f: 4',
    ]);
  });

  test('digits against digits of another radix', () => {
    const P = param('P', [2, 6, 12]);
    const W = computed(
      'W',
      [12, 12],
      [
        over({ a: 2, b: 6, j: 12 }, ({ a, b, j }) => ({
          store: [add(scale(a, 6), b), j],
          value: product([at('P', a, b, j), at('v', j), at('u', b)]),
        })),
      ],
    );
    const y = computed(
      'y',
      [5, 12],
      [
        over({ n: 5, c: 6, d: 2, j: 12 }, ({ n, c, d, j }) => ({
          store: [n, add(c, scale(d, 6))],
          value: product([at('W', add(scale(c, 2), d), j), at('x', n, j)]),
        })),
      ],
    );
    // Row 6·a + b is row 2·c + d: b = 2·b' + d and c = 3·a + b'.
    expect(inlined(program([u, v, P, x, W, y], ['y']))).toHaveLength(1);
  });

  test('a slice and a definition longer than what is read', () => {
    const y = computed(
      'y',
      [5, 4],
      [
        over({ n: 5, i: 4, j: 12 }, ({ n, i, j }) => ({
          store: [n, i],
          value: product([at('W', add(i, affine(3)), j), at('x', n, j)]),
        })),
      ],
    );
    expect(inlined(program([u, v, x, outer('W'), y], ['y']))).toEqual([
      'y[n, i] sum= u[i + 3] * v[j] * x[n, j] | over n: 5, i: 4, j: 12',
    ]);
  });

  test('a definition that covers less: the rest is 0 and drops out', () => {
    const W = computed(
      'W',
      [12, 12],
      [
        over({ a: 4, j: 12 }, ({ a, j }) => ({
          store: [add(a, affine(2)), j],
          value: product([at('u', a), at('v', j)]),
        })),
      ],
    );
    const y = apply((n, i, j) => product([at('W', i, j), at('x', n, j)]));
    expect(inlined(program([u, v, x, W, y], ['y']))).toEqual([
      'y[n, a + 2] sum= u[a] * v[j] * x[n, j] | over n: 5, j: 12, a: 4',
    ]);
  });

  test('a domain of the definition becomes one of the reader', () => {
    const W = computed(
      'W',
      [12, 12],
      [
        over({ i: 12, j: 12 }, ({ i, j }) => ({
          store: [i, j],
          domain: [atLeastZero(subtract(i, j))],
          value: product([at('u', i), at('v', j)]),
        })),
      ],
    );
    const y = computed(
      'y',
      [5],
      [over({ n: 5, i: 12, j: 12 }, ({ n, i, j }) => ({ store: [n], value: product([at('W', i, j), at('x', n, j)]) }))],
    );
    const [line] = inlined(program([u, v, x, W, y], ['y']));
    expect(line).toBe('y[n] sum= u[i] * v[j] * x[n, j] | over n: 5, i: 12, j: 12 | where i - j >= 0');
  });

  test('several equations and a sum in brackets distribute', () => {
    const V = computed('V', [12, 12], [...equationsOf(outer('W')), ...equationsOf(outer('W'))]);
    const y = apply((n, i, j) => product([sum([at('V', i, j), at('W', j, i)]), at('x', n, j)]));
    expect(inlined(program([u, v, x, outer('W'), V, y], ['y']))).toEqual([
      'y[n, i] sum= u[i] * v[j] * x[n, j] | over n: 5, i: 12, j: 12',
      'y[n, i] sum= u[i] * v[j] * x[n, j] | over n: 5, i: 12, j: 12',
      'y[n, i] sum= u[j] * v[i] * x[n, j] | over n: 5, i: 12, j: 12',
    ]);
  });

  test('a gathered row of a factored table', () => {
    const ids = input('ids', [5], 'i32');
    const L = param('L', [100, 2]);
    const R = param('R', [12, 2]);
    const E = computed(
      'E',
      [100, 12],
      [
        over({ t: 100, j: 12, r: 2 }, ({ t, j, r }) => ({
          store: [t, j],
          value: product([at('L', t, r), at('R', j, r)]),
        })),
      ],
    );
    const y = computed(
      'y',
      [5, 12],
      [
        over({ n: 5, i: 12, j: 12 }, ({ n, i, j }) => ({
          store: [n, i],
          value: product([at('E', gather('ids', n), j), at('C', i, j)]),
        })),
      ],
    );
    expect(inlined(program([ids, L, R, param('C', [12, 12]), E, y], ['y']))).toEqual([
      'y[n, i] sum= L[ids[n], r] * R[j, r] * C[i, j] | over n: 5, i: 12, j: 12, r: 2',
    ]);
  });
});

describe('stored', () => {
  test('a table whose definition leaves rows out: a gathered row may be one of them', () => {
    const E = computed(
      'E',
      [100, 12],
      [
        over({ t: 4, j: 12, r: 2 }, ({ t, j, r }) => ({
          store: [t, j],
          value: product([at('L', t, r), at('R', j, r)]),
        })),
      ],
    );
    const y = computed(
      'y',
      [5, 12],
      [
        over({ n: 5, i: 12, j: 12 }, ({ n, i, j }) => ({
          store: [n, i],
          value: product([at('E', gather('ids', n), j), at('C', i, j)]),
        })),
      ],
    );
    const given = [input('ids', [5], 'i32'), param('L', [4, 2]), param('R', [12, 2]), param('C', [12, 12])];
    expect(inlined(program([...given, E, y], ['y']))[0]).toContain('E[ids[n], j]');
  });

  const stays = (before: Program, name: string): void => {
    const after = optimise(before);
    expectSameOutputs(before, after, randomInputs(before, 1));
    expect(after.tensors.map((tensor) => tensor.name)).toContain(name);
  };

  test('what is read under a function', () => {
    stays(
      program([u, v, x, outer('W'), apply((n, i, j) => product([unary('exp', at('W', i, j)), at('x', n, j)]))], ['y']),
      'W',
    );
  });

  test('what is reduced by a maximum', () => {
    const m = computed(
      'm',
      [12],
      [over({ i: 12, j: 12 }, ({ i, j }) => ({ reducer: 'max', store: [i], value: at('W', i, j) }))],
    );
    stays(program([u, v, outer('W'), m], ['m']), 'W');
  });

  test('a hidden layer: two products of the same cost', () => {
    const A = param('A', [12, 12]);
    const h = computed(
      'h',
      [5, 12],
      [
        over({ n: 5, i: 12, j: 12 }, ({ n, i, j }) => ({
          store: [n, i],
          value: product([at('A', i, j), at('x', n, j)]),
        })),
      ],
    );
    stays(program([A, x, h, apply((n, i, j) => product([at('A', i, j), at('h', n, j)]))], ['y']), 'h');
  });

  test('pointwise work', () => {
    const h = computed(
      'h',
      [5, 12],
      [over({ n: 5, i: 12 }, ({ n, i }) => ({ store: [n, i], value: product([at('x', n, i), at('u', i)]) }))],
    );
    stays(
      program([u, param('A', [12, 12]), x, h, apply((n, i, j) => product([at('A', i, j), at('h', n, j)]))], ['y']),
      'h',
    );
  });
});

describe('a matrix that is stored in parts, each where a condition holds', () => {
  const D = 6;
  const c = param('c', [D]);
  const shifted = (by: number): Equation =>
    over({ i: D, j: D }, ({ i, j }) => ({
      store: [i, j],
      value: at('c', add(subtract(i, j), affine(by))),
      domain: [atLeastZero(by === 0 ? subtract(i, j) : subtract(subtract(j, i), affine(1)))],
    }));
  const circulant = computed('W', [D, D], [shifted(0), shifted(D)]);

  test('is read in its parts and never formed', () => {
    const y = computed(
      'y',
      [5, D],
      [
        over({ n: 5, i: D, j: D }, ({ n, i, j }) => ({
          store: [n, i],
          value: product([at('W', i, j), at('x', n, j)]),
        })),
      ],
    );
    const before = program([c, input('x', [5, D]), circulant, y], ['y']);
    expect(inlined(before)).toEqual([
      'y[n, i] sum= c[i - j] * x[n, j] | over n: 5, i: 6, j: 6 | where i - j >= 0',
      'y[n, i] sum= c[i - j + 6] * x[n, j] | over n: 5, i: 6, j: 6 | where j - i - 1 >= 0',
    ]);
    expect(optimise(before).tensors.some(({ name }) => name === 'W')).toBe(false);
  });

  test('neither in a product of three, whichever are joined first', () => {
    for (const rows of [1, 40]) {
      const y = computed(
        'y',
        [rows, 2],
        [
          over({ n: rows, r: 2, i: D, j: D }, ({ n, r, i, j }) => ({
            store: [n, r],
            value: product([at('V', r, i), at('W', i, j), at('x', n, j)]),
          })),
        ],
      );
      const before = program([c, param('V', [2, D]), input('x', [rows, D]), circulant, y], ['y']);
      inlined(before);
      expect(optimise(before).tensors.some(({ name }) => name === 'W')).toBe(false);
    }
  });
});
