/** A logsumexp in its two parts, as printed, and the same values. */
import { describe, expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { constant, negate, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../../compiler/ir/ndarray.ts';
import { printProgram } from '../../../../compiler/ir/print.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { splitLogSumExp } from '../../../../compiler/passes/for-kernels/log-sum-exp.ts';

const axes = { t: 3, u: 4 };
const lse = over(axes, ({ t, u }) => ({ store: [t], reducer: 'logsumexp' as const, value: at('S', t, u) }));
const weights = computed(
  'A',
  [3, 4],
  [over(axes, ({ t, u }) => ({ store: [t, u], value: unary('exp', sum([at('S', t, u), negate(at('L', t))])) }))],
);
const rows = ndarray([3, 4], [1, 2, 3, 4, -Infinity, -Infinity, -Infinity, -Infinity, Infinity, 0, 1, 2]);

function agree(have: ReadonlyMap<string, NdArray>, want: ReadonlyMap<string, NdArray>): void {
  for (const [name, { data }] of want) {
    for (const [i, x] of data.entries()) {
      if (Number.isFinite(x)) expect(have.get(name)!.data[i]).toBeCloseTo(x, 12);
      else expect(have.get(name)!.data[i]).toBe(x);
    }
  }
}

describe('splitLogSumExp', () => {
  test('readers read the parts: the large one in its place, the logarithm last', () => {
    const p = program(
      [
        input('S', [3, 4]),
        input('z', [3]),
        computed('L', [3], [lse]),
        weights,
        computed(
          'loss',
          [3],
          [over({ t: 3 }, ({ t }) => ({ store: [t], value: sum([at('L', t), negate(at('z', t))]) }))],
        ),
        computed(
          'half',
          [3],
          [over({ t: 3 }, ({ t }) => ({ store: [t], value: product([constant(0.5), at('L', t)]) }))],
        ),
      ],
      ['A', 'loss', 'half'],
    );
    const split = splitLogSumExp(p);
    expect(verify(split)).toEqual([]);
    expect(printProgram(split)).toMatchInlineSnapshot(`
      "input S: f32[3, 4]
      input z: f32[3]
      tensor L~max: f32[3]
        L~max[t] max= S[t, u]   over t: 3, u: 4
      tensor L~shift: f32[3]
        L~shift[i0] sum= select(abs(L~max[i0]) < Infinity, L~max[i0], 0)   over i0: 3
      tensor L~sum: f32[3]
        L~sum[t] sum= exp(S[t, u] - 1 * L~shift[t])   over t: 3, u: 4
      tensor L~log: f32[3]
        L~log[i0] sum= select(L~sum[i0] == 0, L~max[i0] - 1 * L~shift[i0], log(L~sum[i0]))   over i0: 3
      tensor A: f32[3, 4]
        A[t, u] sum= exp(S[t, u] - 1 * L~shift[t] - 1 * L~log[t])   over t: 3, u: 4
      tensor loss: f32[3]
        loss[t] sum= L~shift[t] - 1 * z[t] + L~log[t]   over t: 3
      tensor half: f32[3]
        half[t] sum= 0.5 * L~shift[t] + 0.5 * L~log[t]   over t: 3
      output A, loss, half
      "
    `);
    const given = new Map([
      ['S', rows],
      ['z', ndarray([3], [1, 2, 3])],
    ]);
    agree(interpret(split, given, p.outputs), interpret(p, given, p.outputs));
  });

  test('an output stays, and one among several equations is an equation like the others', () => {
    const bias = over({ t: 3 }, ({ t }) => ({ store: [t], value: at('z', t) }));
    const p = program(
      [input('S', [3, 4]), input('z', [3]), computed('L', [3], [lse]), weights, computed('M', [3], [lse, bias])],
      ['L', 'A', 'M'],
    );
    const split = splitLogSumExp(p);
    expect(verify(split)).toEqual([]);
    expect(split.tensors.map(({ name }) => name)).toContain('L');
    const given = new Map([
      ['S', rows],
      ['z', ndarray([3], [1, 2, 3])],
    ]);
    agree(interpret(split, given, p.outputs), interpret(p, given, p.outputs));
  });

  test('a program without one is the same object', () => {
    const p = program([input('S', [3, 4])], ['S']);
    expect(splitLogSumExp(p)).toBe(p);
  });
});
