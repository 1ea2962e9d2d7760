/**
 * Whole numbers beyond 2^24 and beyond 2^31: comparisons, sums, differences, products and choices of integers are what integers
 * are, on the device as in float64, rounded once where they become reals.
 */
import { describe, expect, test } from 'vitest';
import { at, computed, gather, input, over, program } from '../../../compiler/ir/build.ts';
import { binary, constant, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import type { Affine, Expression, Program } from '../../../compiler/ir/program.ts';
import { wholeBounds } from '../../../compiler/ir/whole.ts';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { portableTarget } from '../../../kernels/target.ts';
import { testDevice } from '../../support/device.ts';
import { runOnDevice } from '../../support/run-on-device.ts';
import { i32, runTensors, withFile } from '../../support/run-structure.ts';

const opened = await testDevice();

const k = [16777217, 16777217, 2147483647, -2147483648, 5, -7, 0, 123456789, -1, 65537];
const a = [16777216, 16777217, -2147483648, 2147483647, -3, 2, 0, 123456788, 1, 65535];
const n = k.length;

interface Row {
  readonly value: (k: Expression, a: Expression, n: Affine) => Expression;
  readonly dtype?: 'i32';
}

const minus = (x: Expression, y: Expression): Expression => sum([x, product([constant(-1), y])]);
const chosen = (operator: '==' | '<' | '>=', left: Expression, right: Expression): Expression =>
  select({ kind: 'compare', operator, left, right }, constant(1), constant(0));

const rows: Readonly<Record<string, Row>> = {
  equal: { value: (k, a) => chosen('==', k, a) },
  less: { value: (k, a) => chosen('<', k, a) },
  difference: { value: minus },
  'product, beyond i32': { value: (k, a) => product([k, a]) },
  'difference of a product': { value: (k, a) => minus(product([k, a]), sum([k, a])) },
  'comparison of sums beyond i32': { value: (k, a) => chosen('>=', sum([k, k]), sum([a, k, constant(1)])) },
  'choice of integers': {
    value: (k, a) =>
      minus(select({ kind: 'compare', operator: '<', left: k, right: a }, k, a), binary('minimum', k, a)),
  },
  'difference beside a real': { value: (k, a, i) => sum([k, at('x', i), product([constant(-1), a])]) },
  absolute: { value: (k, a) => minus(unary('abs', minus(k, a)), minus(k, a)) },
  quotient: { value: (k) => binary('quotient', k, constant(4)), dtype: 'i32' },
  remainder: { value: (k) => binary('remainder', k, constant(1000)), dtype: 'i32' },
  'remainder of positions': {
    value: (_, __, i) => binary('remainder', { kind: 'index', affine: { ...i, constant: -5 } }, constant(3)),
    dtype: 'i32',
  },
};

function rowProgram({ value, dtype }: Row): Program {
  const equation = over({ n }, ({ n: i }) => ({ store: [i], value: value(at('k', i), at('a', i), i) }));
  return program(
    [input('k', [n], 'i32'), input('a', [n], 'i32'), input('x', [n]), computed('y', [n], [equation], dtype ?? 'f32')],
    ['y'],
  );
}

const inputs = new Map([
  ['k', ndarray([n], k)],
  ['a', ndarray([n], a)],
  ['x', ndarray([n], new Array(n).fill(0.5))],
]);

describe('integers stay integers', () => {
  test.each(Object.entries(rows))('%s', async (_, row) => {
    const p = rowProgram(row);
    const want = interpret(p, inputs, ['y']).get('y')!.data;
    const { values } = await runOnDevice(opened, p, inputs);
    for (const [i, value] of values.get('y')!.data.entries()) {
      expect(Math.abs(value - want[i]), `${i}: ${value} for ${want[i]}`).toBeLessThanOrEqual(
        2 ** -22 * Math.abs(want[i]),
      );
    }
  });

  test('a masked integer tensor is added up as integers', async () => {
    const p = program(
      [
        input('k', [n], 'i32'),
        computed(
          'm',
          [n],
          [
            over({ n }, ({ n: i }) => ({
              store: [i],
              domain: [{ kind: 'nonnegative', affine: { ...i, constant: -1 } }],
              value: sum([at('k', i), constant(0)]),
            })),
            over({ n }, ({ n: i }) => ({ store: [i], value: constant(1) })),
          ],
          'i32',
        ),
      ],
      ['m'],
    );
    const { values } = await runOnDevice(
      opened,
      p,
      new Map([
        [
          'k',
          ndarray(
            [n],
            k.map((v) => v >> 1),
          ),
        ],
      ]),
    );
    expect([...values.get('m')!.data]).toEqual(k.map((v, i) => (i === 0 ? 1 : (v >> 1) + 1)));
  });
});

test('a structure on i32 inputs', async () => {
  const text = `structure Ints {
    axis n: N
    input k[n]: i32
    input a[n]: i32
    z[n] = select(k[n] == a[n], 1, 0)
    w[n] = k[n] * a[n]
    d[n] = k[n] - a[n]
    h[n] = k[n] / 2
    e[n] = 0.5 * (k[n] - a[n]) + n
    output z, w, d, h, e
  }`;
  const tensors = new Map([
    ['k', i32([3], [16777217, 7, -2147483648])],
    ['a', i32([3], [16777216, 7, 2147483647])],
  ]);
  const result = await withFile(text, (file) => runTensors({ file, tensors }));
  const data = (name: string): readonly number[] => [...(result.get(name)!.data as Float32Array)];
  expect(data('z')).toEqual([0, 1, 0]);
  expect(data('d')).toEqual([1, 0, -4294967296]);
  expect(data('e')).toEqual([0.5, 1, -2147483648]);
  expect(data('h')).toEqual([8388608, 3.5, -1073741824]);
  expect(data('w')).toEqual([2 ** 48, 49, -(2 ** 62)]);
});

test('what fits into i32 is written as i32', () => {
  const text = (row: Row): string => schedule(rowProgram(row), { target: portableTarget }).kernels[0].wgsl;
  expect(text(rows.equal)).toContain('select(0.0, 1.0, k[element] == a[element])');
  expect(text({ value: (_, __, i) => sum([{ kind: 'index', affine: i }, constant(3)]) })).toContain('f32(element + 3)');
  expect(text(rows.difference)).toContain('real_of_wide(');
});

describe('bounds', () => {
  const axes = [{ name: 't', extent: 5 }];
  const t: Expression = {
    kind: 'index',
    affine: { kind: 'affine', constant: -2, terms: [{ axis: 0, coefficient: 1 }] },
  };
  const bounds = (e: Expression): readonly number[] | undefined => {
    const found = wholeBounds(e, axes, (name) => (name === 'k' ? { min: -9, max: 9 } : undefined));
    return found && [found.min, found.max];
  };
  test('of every operator, by hand', () => {
    expect(bounds(t)).toEqual([-2, 2]);
    expect(bounds(binary('quotient', t, constant(3)))).toEqual([-1, 0]);
    expect(bounds(binary('remainder', t, constant(3)))).toEqual([0, 2]);
    expect(bounds(binary('remainder', t, constant(100)))).toEqual([0, 99]);
    expect(bounds(unary('abs', t))).toEqual([0, 2]);
    expect(bounds(product([t, at('k')]))).toEqual([-18, 18]);
    expect(bounds(binary('minimum', t, constant(0)))).toEqual([-2, 0]);
    expect(bounds(product([t, constant(0.5)]))).toBeUndefined();
    expect(bounds(at('x'))).toBeUndefined();
  });
  test('a gather reads like any other', () => expect(bounds(at('k', gather('j', 0)))).toEqual([-9, 9]));
});
