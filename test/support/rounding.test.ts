/** The bound must be wide where f32 loses digits, and there alone. */
import { describe, expect, test } from 'vitest';
import { affine } from '../../compiler/ir/affine.ts';
import { at, computed, input, over, program } from '../../compiler/ir/build.ts';
import { constant, negate, product, select, sum, unary } from '../../compiler/ir/expression.ts';
import { interpret } from '../../compiler/ir/interpret.ts';
import { ndarray } from '../../compiler/ir/ndarray.ts';
import type { Expression, Program, Reducer } from '../../compiler/ir/program.ts';
import { asF32, roundingBounds } from './rounding.ts';

const [count, reduced] = [8, 6];
const x = ndarray(
  [count, reduced],
  Array.from({ length: count * reduced }, (_, i) => 0.25 + ((i * 29) % 48) / 48),
);

function bound(p: Program): number {
  const inputs = asF32(new Map([['x', x]]));
  return roundingBounds(p, inputs, interpret(p, inputs, p.outputs)).get(p.outputs[0])!;
}

function rowSums(value: (x: Expression) => Expression): Program {
  const equation = over({ i: count, j: reduced }, ({ i, j }) => ({ store: [i], value: value(at('x', i, j)) }));
  return program([input('x', [count, reduced]), computed('y', [count], [equation])], ['y']);
}

describe('the bound', () => {
  test('is a few last places where nothing cancels', () => {
    expect(bound(rowSums((v) => v))).toBeLessThan(4e-6);
    expect(bound(rowSums((v) => product([v, unary('tanh', v)])))).toBeLessThan(1e-5);
  });

  test('grows with the number of terms where they are the same, as their errors are', () => {
    const times = (n: number, reducer: Reducer): Program => {
      const value = sum([constant(1), product([constant(0.01), unary('tanh', at('x', affine(0), affine(0)))])]);
      const equation = over({ j: n }, () => ({ store: [], reducer, value }));
      return program([input('x', [count, reduced]), computed('y', [], [equation])], ['y']);
    };
    for (const reducer of ['sum', 'product'] as const) {
      expect(bound(times(300, reducer))).toBeGreaterThan(2 * bound(times(60, reducer)));
      expect(bound(times(300, reducer))).toBeLessThan(1e-4);
    }
  });

  test('is as wide as what cancels: 1 + x / 1000 - 1', () => {
    const one = unary('exp', product([constant(0), at('x', affine(0), affine(0))]));
    const p = rowSums((v) => sum([one, product([constant(1e-3), v]), negate(one)]));
    expect(bound(p)).toBeGreaterThan(1e-5);
    expect(bound(p)).toBeLessThan(1e-2);
  });

  test('is small where a condition asks which point has the maximum of products', () => {
    const square = (i: Parameters<typeof at>[1], j: Parameters<typeof at>[1]): Expression =>
      product([at('x', i, j), at('x', i, j), constant(1 / 3)]);
    const most = over({ i: count, j: reduced }, ({ i, j }) => ({ store: [i], reducer: 'max', value: square(i, j) }));
    const ties = over({ i: count, j: reduced }, ({ i, j }) => ({
      store: [i],
      value: select(
        { kind: 'compare', operator: '==', left: square(i, j), right: at('m', i) },
        at('x', i, j),
        constant(0),
      ),
    }));
    const p = program(
      [input('x', [count, reduced]), computed('m', [count], [most]), computed('y', [count], [ties])],
      ['y'],
    );
    expect(bound(p)).toBeLessThan(4e-6);
  });
});
