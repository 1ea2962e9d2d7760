/** What ordering makes, beyond the order itself: lifted operands, scalars, constraints, scatters, sharing. */
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, param, program } from '../../../../compiler/ir/build.ts';
import { binary, constant, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import { printProgram } from '../../../../compiler/ir/print.ts';
import type { Equation, Program, Tensor } from '../../../../compiler/ir/program.ts';
import { orderContractions } from '../../../../compiler/passes/contraction-order/contraction-order.ts';
import { optimise } from '../../../../compiler/passes/pipeline.ts';
import { expectSameOutputs, randomInputs } from '../agree.ts';

const n = 20;
const A = param('A', [6, 3]);
const B = param('B', [3, 8]);
const x = input('x', [n, 8]);

function ordered(tensors: readonly Tensor[], outputs: readonly string[] = ['y']): string[] {
  const before: Program = program(tensors, outputs);
  const after = optimise(before);
  const inputs = randomInputs(before, 1);
  for (const { name, dtype, shape } of before.tensors) {
    if (dtype === 'i32')
      inputs.set(name, { shape, data: Float64Array.from({ length: shape[0] }, (_, i) => (i * 5) % 3) });
  }
  expectSameOutputs(before, after, inputs);
  const lines = printProgram(after).split('\n');
  return lines.filter((line) => line.startsWith('  ')).map((line) => line.trim().replace(/ {3}/g, ' | '));
}

const chain = { n, i: 6, j: 3, k: 8 };

describe('ordered', () => {
  test('constants go to the last step', () => {
    const y = over(chain, ({ n, i, j, k }) => ({
      store: [n, i],
      value: product([constant(0.5), at('A', i, j), at('B', j, k), at('x', n, k)]),
    }));
    expect(ordered([A, B, x, computed('y', [n, 6], [y])])).toEqual([
      'y~1[n, j] sum= B[j, k] * x[n, k] | over n: 20, j: 3, k: 8',
      'y[n, i] sum= 0.5 * A[i, j] * y~1[n, j] | over n: 20, i: 6, j: 3',
    ]);
  });

  test('a scalar goes to the smallest operand that is computed anyway, which keeps its layout', () => {
    const s = input('s', []);
    const y = over({ n, i: 6, k: 8 }, ({ n, i, k }) => ({
      store: [n, i],
      value: product([unary('tanh', at('C', k, i)), at('x', n, k), at('s')]),
    }));
    expect(ordered([s, param('C', [8, 6]), x, computed('y', [n, 6], [y])])).toEqual([
      'y~1[k, i] sum= s * tanh(C[k, i]) | over k: 8, i: 6',
      'y[n, i] sum= y~1[k, i] * x[n, k] | over n: 20, i: 6, k: 8',
    ]);
  });

  test('an axis of one operand alone is summed before, where it pays', () => {
    const y = over({ i: 6, l: 8, j: 3, k: 3 }, ({ i, l, j, k }) => ({
      store: [i, l],
      value: product([at('A', i, j), at('B', k, l)]),
    }));
    expect(ordered([A, B, computed('y', [6, 8], [y])])).toEqual([
      'y~1[i] sum= A[i, j] | over i: 6, j: 3',
      'y~2[l] sum= B[k, l] | over l: 8, k: 3',
      'y[i, l] sum= y~1[i] * y~2[l] | over i: 6, l: 8',
    ]);
  });

  test('a constraint is asked where its axes meet, and keeps them until then', () => {
    const y = over(chain, ({ n, i, j, k }) => ({
      store: [n],
      domain: [atLeastZero(subtract(k, i))],
      value: product([at('A', i, j), at('B', j, k), at('x', n, k)]),
    }));
    const lines = ordered([A, B, x, computed('y', [n], [y])]);
    expect(lines.filter((line) => line.includes('where'))).toHaveLength(1);
    expect(lines.at(-1)).toBe('y[n] sum= y~1[k] * x[n, k] | over n: 20, k: 8');
  });

  test('a load that only a far constraint keeps inside leaves the equation as it is', () => {
    // j <= i and i <= 4 keep j + 2 below 7; a step without i could not know.
    const y = over({ n, i: 6, j: 7, k: 8 }, ({ n, i, j, k }) => ({
      store: [n],
      domain: [atLeastZero(subtract(i, j)), atLeastZero(subtract(affine(4), i))],
      value: product([at('C', i, add(j, affine(2))), at('E', add(j, affine(2)), k), at('x', n, k)]),
    }));
    expect(ordered([param('C', [6, 7]), param('E', [7, 8]), x, computed('y', [n], [y])])).toHaveLength(1);
  });

  test('a row reduction stays in one piece', () => {
    const y = over({ n, k: 8 }, ({ n, k }) => ({
      store: [n],
      value: product([at('x', n, k), unary('exp', at('x', n, k)), at('r', n), at('r', n)]),
    }));
    expect(ordered([x, input('r', [n]), computed('y', [n], [y])])).toHaveLength(1);
  });

  test('a scatter stores what is contracted before', () => {
    const ids = input('ids', [n], 'i32');
    const y = over({ n, i: 6, j: 3, k: 8 }, ({ n, i, j, k }) => ({
      store: [gather('ids', n), i],
      value: product([at('A', i, j), at('B', j, k), at('x', n, k)]),
    }));
    expect(ordered([ids, A, B, x, computed('y', [3, 6], [y])]).at(-1)).toBe(
      'y[ids[n], i] sum= y~2[n, i] | over n: 20, i: 6',
    );
  });

  test('groups in the store and in the reads become digits of the intermediates', () => {
    const P = param('P', [2, 3]);
    const y = over({ n, a: 2, b: 3, c: 2, d: 4 }, ({ n, a, b, c, d }) => ({
      store: [n, add(scale(a, 3), b)],
      value: product([at('P', a, b), at('Q', b, c), at('x', n, add(scale(c, 4), d))]),
    }));
    expect(ordered([P, param('Q', [3, 2]), x, computed('y', [n, 6], [y])])).toEqual([
      'y~1[n, c] sum= x[n, 4*c + d] | over n: 20, c: 2, d: 4',
      'y~2[n, b] sum= Q[b, c] * y~1[n, c] | over n: 20, b: 3, c: 2',
      'y[n, 3*a + b] sum= P[a, b] * y~2[n, b] | over n: 20, a: 2, b: 3',
    ]);
  });
});

describe('shared', () => {
  const through = (last: string): Equation =>
    over(chain, ({ n, i, j, k }) => ({
      store: [n, i],
      value: product([at(last, i, j), at('B', j, k), at('x', n, k)]),
    }));

  test('two contractions with a part in common compute it once', () => {
    const z = computed('z', [n, 6], [through('C')]);
    expect(ordered([A, B, param('C', [6, 3]), x, computed('y', [n, 6], [through('A')]), z], ['y', 'z'])).toEqual([
      'y~1[n, j] sum= B[j, k] * x[n, k] | over n: 20, j: 3, k: 8',
      'y[n, i] sum= A[i, j] * y~1[n, j] | over n: 20, i: 6, j: 3',
      'z[n, i] sum= C[i, j] * y~1[n, j] | over n: 20, i: 6, j: 3',
    ]);
  });

  test('what each alone would order otherwise is shared where that is cheaper', () => {
    const [P, Q] = [param('P', [20, 20]), param('Q', [20, 20])];
    const [v, w] = [input('v', [18, 20]), input('w', [18, 20])];
    const y = (vector: string): Equation =>
      over({ m: 18, i: 20, j: 20, k: 20 }, ({ m, i, j, k }) => ({
        store: [m, i],
        value: product([at('P', i, j), at('Q', j, k), at(vector, m, k)]),
      }));
    const lines = ordered(
      [P, Q, v, w, computed('y', [18, 20], [y('v')]), computed('z', [18, 20], [y('w')])],
      ['y', 'z'],
    );
    // Alone: 18 · (400 + 400) each way. Shared: 8000 once and 18 · 400 twice.
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('P[i, j] * Q[j, k]');
  });

  test('a product that is there already is free, and changes the order', () => {
    // With one row C · (E · x) is cheapest; with C · E there it is not.
    const one = input('one', [8]);
    const CE = over({ i: 6, j: 7, k: 8 }, ({ i, j, k }) => ({
      store: [k, i],
      value: product([at('C', i, j), at('E', j, k)]),
    }));
    const y = over({ i: 6, j: 7, k: 8 }, ({ i, j, k }) => ({
      store: [i],
      value: product([at('C', i, j), at('E', j, k), at('one', k)]),
    }));
    expect(
      ordered(
        [param('C', [6, 7]), param('E', [7, 8]), one, computed('CE', [8, 6], [CE]), computed('y', [6], [y])],
        ['CE', 'y'],
      ),
    ).toEqual([
      'CE[k, i] sum= C[i, j] * E[j, k] | over i: 6, j: 7, k: 8',
      'y[i] sum= CE[k, i] * one[k] | over i: 6, k: 8',
    ]);
  });

  test('a product whose points are repeated is another one', () => {
    const [C, E, one] = [param('C', [6, 7]), param('E', [7, 8]), input('one', [8])];
    const repeated = over({ i: 6, j: 7, k: 8, s: 3 }, ({ i, j, k }) => ({
      store: [k, i],
      value: product([at('C', i, j), at('E', j, k)]),
    }));
    const y = over({ i: 6, j: 7, k: 8 }, ({ i, j, k }) => ({
      store: [i],
      value: product([at('C', i, j), at('E', j, k), at('one', k)]),
    }));
    const before = program([C, E, one, computed('R', [8, 6], [repeated]), computed('y', [6], [y])], ['R', 'y']);
    expectSameOutputs(before, orderContractions(before), randomInputs(before, 1));
  });

  test('a clipped core of two readers is made once', () => {
    const clip = binary('maximum', constant(1), sum([at('s'), constant(1)]));
    const y = over({ n, i: 6, k: 8 }, ({ n, i, k }) => ({
      store: [n, i],
      value: product([binary('divide', at('C', i, k), clip), at('x', n, k)]),
    }));
    const z = over({ b: n, o: 6, q: 8 }, ({ b, o, q }) => ({
      store: [b, o],
      value: product([at('w', b, q), binary('divide', at('C', o, q), clip)]),
    }));
    const lines = ordered(
      [
        input('s', []),
        param('C', [6, 8]),
        x,
        input('w', [n, 8]),
        computed('y', [n, 6], [y]),
        computed('z', [n, 6], [z]),
      ],
      ['y', 'z'],
    );
    expect(lines.filter((line) => line.includes('maximum'))).toHaveLength(1);
  });
});
