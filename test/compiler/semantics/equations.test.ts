// Tensor equations: indices, domains, reductions, functions, gathers, values; against values computed by hand.
import { describe, expect, test } from 'vitest';
import { gelu } from './reference.ts';
import { analysed, diagnose, nested, ramp, run } from './support.ts';

const x5 = 'axis t, u: 5 input x[t]';
const xs = [3, 1, 4, 1, 5];
const y = (text: string, inputs = {}, options = {}) => nested(run(`${text} output y`, inputs, options).y);
const close = (actual: unknown, expected: readonly number[]) => {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect((actual as number[])[i]).toBeCloseTo(value, 10);
};

describe('index expressions', () => {
  test('shifts, multiples, differences, slices', () => {
    expect(y('axis t: 2, u: 3, n: 5 input x[n] y[t, u] = x[t + u + 1]', { x: xs })).toEqual([
      [1, 4, 1],
      [4, 1, 5],
    ]);
    expect(y('axis t: 2, n: 5 input x[n] y[t] = x[2*t + 1]', { x: xs })).toEqual([1, 1]);
    expect(y('axis t: 2, n: 5 input x[n] y[t] = x[4 - t*2]', { x: xs })).toEqual([5, 4]);
    expect(y('size s = 3 axis n: 5 input x[n] y = x[s] + x[0]', { x: xs })).toBe(4);
    expect(y('size D = 8 axis t: 2, n: 5 input x[n] y[t] = x[D / 4 + t]', { x: xs })).toEqual([4, 1]);
    expect(y('axis t: 2, n: 5 input x[n] y[t] = x[(2*t + 2) / 2]', { x: xs })).toEqual([1, 4]);
  });

  test('a group is row-major', () => {
    const text = 'axis k: 2, p: 3, q: 2, n: 12 input x[n] y[p, q, k] = x[(k p q)]';
    const value = y(text, { x: ramp([12]) }) as number[][][];
    for (let k = 0; k < 2; k++)
      for (let p = 0; p < 3; p++) for (let q = 0; q < 2; q++) expect(value[p][q][k]).toBe((k * 3 + p) * 2 + q);
  });

  test('an axis may repeat on the left: block diagonals and diagonals; what nothing writes is 0', () => {
    expect(
      y('axis k, p: 2 input x[k, p] y[(k p), (k p)] = x[k, p]', {
        x: [
          [1, 2],
          [3, 4],
        ],
      }),
    ).toEqual([
      [1, 0, 0, 0],
      [0, 2, 0, 0],
      [0, 0, 3, 0],
      [0, 0, 0, 4],
    ]);
    expect(
      y('axis k: 2, p, q: 2 input x[k, p, q] y[(k p), (k q)] = x[k, p, q]', {
        x: [
          [
            [1, 2],
            [3, 4],
          ],
          [
            [5, 6],
            [7, 8],
          ],
        ],
      }),
    ).toEqual([
      [1, 2, 0, 0],
      [3, 4, 0, 0],
      [0, 0, 5, 6],
      [0, 0, 7, 8],
    ]);
  });

  test('and on the right: a diagonal', () => {
    expect(
      y('axis i, j: 2 input A[i, j] y[i] = A[i, i]', {
        A: [
          [1, 2],
          [3, 4],
        ],
      }),
    ).toEqual([1, 4]);
    expect(
      y('axis i, j: 2 input A[i, j] y = A[i, i] * 1', {
        A: [
          [1, 2],
          [3, 4],
        ],
      }),
    ).toBe(5);
  });

  test('the extent is the largest index written plus one, over all equations; a smaller axis may read', () => {
    const text = 'axis t: 3, s: 2 input x[t] y[2*t + 1] += x[t] y[s] += 10 z[s] = y[s] output z';
    expect(y(text, { x: [1, 2, 3] })).toEqual([10, 11, 0, 2, 0, 3]);
    expect(y('axis t: 3 input x[t] y[4] = x[0] y[t] += x[t]', { x: [1, 2, 3] })).toEqual([1, 2, 3, 0, 1]);
  });

  test('the extent follows what is written, not the domain: outside it there is 0', () => {
    expect(y(`${x5} y[t] = x[t] where t < 3`, { x: xs })).toEqual([3, 1, 4, 0, 0]);
  });

  test('`+=` may write an element many times', () => {
    expect(y('axis i, j: 2 input x[i] y[i + j] += x[i] * x[j]', { x: [1, 2] })).toEqual([1, 4, 4]);
  });

  test.each([
    ['y[t] = x[t + 1]', 'E0503 2:10 `t + 1` is 5 at t = 4, outside position 1 of `x`, which is 0 .. 4'],
    ['y[t] = x[t - 2]', 'E0503 2:10 `t - 2` is -2 at t = 0, outside'],
    ['y[t] = x[7]', 'E0503 2:10 `7`, outside position 1 of `x`, which is 0 .. 4'],
    ['y[t] = x[t + u] * x[u] where u < 4 - t', ''],
    ['y[t] = x[t + u] * x[u] where u <= 5 - t', 'E0503 2:10 `t + u` is 5 at t = '],
    ['y[t] = x[t * u] * x[u]', 'E0502 2:10 `t` * `u` is not affine in its axes'],
    ['y[t] = x[t / 2]', 'E0502 2:10 `t` / `2` is not affine'],
    ['y[t] = x[t % 2]', ''],
    ['y[t] = x[t % 7]', ''],
    ['y[t] = x[(t + 1) % 7]', 'E0503 2:10 `(t + 1) % 7` is 5 at t = 4, outside position 1 of `x`, which is 0 .. 4'],
    ['y[t] = x[2 ^ t]', 'E0502 2:14 `t` depends on an axis, where a number is needed'],
    ['y[t] = x[min(t, 3)]', ''],
    ['y[t] = x[min(t - 1, 3)]', 'E0503 2:10 `min(t - 1, 3)` is -1 at t = 0'],
    ['y[t] = x[min(t - 1, 3)] where min(t - 1, 3) >= 0', ''],
    ['y[t] = x[(t % 3) / 2]', 'E0510 2:10 `(t % 3) / 2` divides'],
    ['y[t] = x[0.5]', 'E0305 2:10 0.5 is not a whole number'],
    ['y[t] = x[7 / 2]', 'E0304 2:10 `7` / `2` is 7 / 2'],
    ['y[t] = x[t, t]', 'E0501 2:8 `x` has 1 axis (t), and is read with 2 indices'],
    ['y[t] = x[x[t]]', 'E0506 2:10 `x` is f32, and an index must be i32'],
    ['y[t] = x[x[t] + 1]', 'E0510 2:10 `x[t]` is f32, and an index or a condition takes whole numbers'],
    [
      'y[t - 1] = x[t]',
      'E0504 2:3 `t - 1` is -1 at t = 0, and indices count from 0 | leave it out: `… where t - 1 >= 0`',
    ],
    ['y[t - 1] = x[t] where t >= 1', ''],
    ['y[-5 - t] = x[t]', 'E0504 2:3 the largest index written here is -5'],
    ['y[t + u] = x[t] * x[u]', 'E0505 2:1 `y[t + u] =` writes an element of `y` twice: at t = '],
    ['y[t + u] = x[t] * x[u] where u == 0', ''],
    ['y[t + 5*u] = x[t] * x[u]', ''],
    ['y[t + 4*u] = x[t] * x[u]', 'E0505 2:1'],
    ['y[t - t] = x[t]', 'E0505 2:1'],
    ['y[x[t]] = x[t]', 'E0506 2:3 `x[t]` is a tensor, and an index on the left is made of axes'],
    ['y[t] += x[t] y[t, u] += x[t]', 'E0501 2:14 `y` has 2 indices here, and 1 in line 2'],
    ['y[(t q)] = x[t]', 'E0401 2:6 `q` is not known here'],
    ['y[t] = x[(t n)]', 'E0402 2:13 `n` is a size, not an axis'],
    ['y[2^30 * t + 2^30] = x[t]', 'E0508 2:3 the largest index written here is 5368709120'],
  ])('%s', (equation, expected) => {
    const found = diagnose(`structure S { size n = 3 check n > 0 "" ${x5}\n${equation} output y }`, { unbound: 'one' });
    if (expected === '') expect(found).toEqual([]);
    else {
      expect(found.join('\n')).toContain(expected);
      expect(found).toHaveLength(1);
    }
  });

  test('bounds are decided exactly for large extents too', () => {
    const text =
      'size T = 100000, w = 3 axis t, u: T input x[t] y[t] = x[t - u] * x[u] where u <= t and t - u <= w output y';
    expect(diagnose(text)).toEqual([]);
    expect(diagnose(text.replace('u <= t and ', ''))[0]).toContain('E0503');
  });

  test('a tensor too large for 32-bit indices', () => {
    expect(diagnose('axis i, j: 65536 input x[i, j] output x')).toEqual([
      'E0508 2:24 `x` of shape [65536, 65536] has 4294967296 elements, over 2147483647',
    ]);
  });
});

describe('gather', () => {
  const text = 'axis v: 4, i: 2, b: 3 input E[v, i] input tokens[b]: i32';
  const E = [
    [0, 1],
    [10, 11],
    [20, 21],
    [30, 31],
  ];

  test('an index may be an integer tensor', () => {
    expect(y(`${text} y[b, i] = E[tokens[b], i]`, { E, tokens: [2, 0, 3] })).toEqual([
      [20, 21],
      [0, 1],
      [30, 31],
    ]);
    expect(y(`${text} input s: i32 y[i] = E[s, i]`, { E, tokens: [2, 0, 3], s: 1 })).toEqual([10, 11]);
    expect(
      y(`${text} input p[v]: i32 y[b, i] = E[p[tokens[b]], i]`, { E, tokens: [2, 0, 3], p: [3, 2, 1, 0] }),
    ).toEqual([
      [10, 11],
      [30, 31],
      [0, 1],
    ]);
  });

  test('its own indices have bounds, and a `where` keeps it inside them', () => {
    expect(diagnose(`${text} y[b, i] = E[tokens[b + 1], i] output y`, { unbound: 'one' })[0]).toContain(
      'E0503 2:77 `b + 1` is 3 at b = 2',
    );
    expect(y(`${text} y[b, i] = E[tokens[b + 1], i] where b + 1 < 3`, { E, tokens: [2, 0, 3] })).toEqual([
      [0, 1],
      [30, 31],
      [0, 0],
    ]);
  });

  test('an Einstein axis may stand in its index', () => {
    expect(y(`${text} y[i] = E[tokens[b], i] * 2`, { E, tokens: [2, 0, 3] })).toEqual([100, 106]);
  });
});

describe('where', () => {
  test('a condition on a summed axis restricts the sums over it', () => {
    const causal = y(`${x5} y[t] = x[u] * 1 where u <= t`, { x: xs });
    expect(causal).toEqual([3, 4, 8, 9, 14]);
    // In a sum only the sums over it: x[t] is added everywhere.
    expect(y(`${x5} y[t] = x[t] + x[u] * 1 where u < t`, { x: xs })).toEqual([3, 4, 8, 9, 14]);
    // Also deep inside.
    expect(y(`${x5} y[t] = abs(x[u] * -1) where u <= t`, { x: xs })).toEqual(causal);
    expect(y(`${x5} y[t] = 2 * (1 + x[u] * 1) where u <= t`, { x: xs })).toEqual(
      (causal as number[]).map((n) => 2 + 2 * n),
    );
  });

  test('outside, the element is absent, and so is what is computed from it, `+` included', () => {
    expect(y(`${x5} y[t] = x[t] + (10 where t < 2)`, { x: xs })).toEqual([13, 11, 0, 0, 0]);
    expect(y(`${x5} y[t] = exp(0 * x[t] where t < 2) + 1`, { x: xs })).toEqual([2, 2, 0, 0, 0]);
    expect(y(`${x5} y[t] = max(x[t], 2 where t >= 3) * 2`, { x: xs })).toEqual([0, 0, 0, 4, 10]);
    expect(y(`${x5} y[t] = select(t < 4, x[t], 7 where t > 0)`, { x: xs })).toEqual([0, 1, 4, 1, 7]);
    expect(y(`${x5} y[t] = x[t] - x[u] * 1 + (1 where t > 2)`, { x: xs })).toEqual([0, 0, 0, 1 - 14 + 1, 5 - 14 + 1]);
    expect(y(`${x5} y[t] = x[t] ^ (1 where t == 2)`, { x: xs })).toEqual([0, 0, 4, 0, 0]);
    expect(y(`${x5} y[t] = 1 / (x[t] where t == 2)`, { x: xs })).toEqual([0, 0, 0.25, 0, 0]);
  });

  test('a reduction takes only what is present, and is itself present', () => {
    // The sum over u has nothing at t < 2, is 0 there, and 1 is added.
    expect(y(`${x5} y[t] = 1 + (x[u] where t >= 2) * 1`, { x: xs })).toEqual([1, 1, 15, 15, 15]);
    expect(y(`${x5} y[t] = 1 + sum[u](x[u] where u < t)`, { x: xs })).toEqual([1, 4, 5, 9, 10]);
    expect(y(`${x5} y[t] = mean[u](x[u] where u < t) + 1`, { x: xs })).toEqual([1, 4, 3, 8 / 3 + 1, 9 / 4 + 1]);
    expect(y(`${x5} y[t] = max[u](x[u] - 10 where u < t)`, { x: xs })).toEqual([0, -7, -7, -6, -6]);
    expect(y(`${x5} y[t] = min[u](x[u] where u < t)`, { x: xs })).toEqual([0, 3, 1, 1, 1]);
    expect(y(`${x5} y[t] = 2 * max[u](x[u] - 10 where u < t) + 1`, { x: xs })).toEqual([1, -13, -13, -11, -11]);
    close(y(`${x5} y[t] = var[u](x[u] where u <= t)`, { x: xs }), [0, 1, 14 / 9, 1.6875, 2.56]);
    close(y(`${x5} y[t] = rms[u](x[u] where u <= t)`, { x: xs }), [
      3,
      Math.sqrt(5),
      Math.sqrt(26 / 3),
      Math.sqrt(27 / 4),
      Math.sqrt(52 / 5),
    ]);
    close(y(`${x5} y[t] = logsumexp[u](x[u] where u < t)`, { x: xs }), [
      0,
      ...[1, 2, 3, 4].map((n) => Math.log(xs.slice(0, n).reduce((s, v) => s + Math.exp(v), 0))),
    ]);
  });

  test.each([
    ['max', 3],
    ['min', 1],
    ['logsumexp', Math.log(Math.exp(2) + Math.exp(1) + Math.exp(3))],
  ] as const)('%s stored twice to one element by += is added, not merged', (name, m) => {
    const x = [2, 1, 3];
    close(y(`axis i, k: 2, n: 3 input x[n] y[i + k] += ${name}[n](x[n])`, { x }), [m, 2 * m, m]);
    close(y(`axis i, k: 2, n: 3 input x[n] y[i + k] = ${name}[n](x[n]) where k == 0`, { x }), [m, m, 0]);
    // Digits of one number meet nowhere.
    close(y(`axis i, k: 2, n: 3 input x[n] y[(i k)] += ${name}[n](x[n])`, { x }), [m, m, m, m]);
  });

  test('a count that no axis varies is a number; over two axes it is a product', () => {
    expect(y(`${x5} y = mean[u](x[u] where u < 2 and u != 0)`, { x: xs })).toBe(1);
    expect(y(`${x5} y = mean[t, u](x[t] * x[u] where u < t)`, { x: xs })).toBe((3 * 1 + 4 * 4 + 1 * 8 + 5 * 9) / 10);
    expect(y(`${x5} y = mean[u](x[u] where u > 7) + 3`, { x: xs })).toBe(3);
    expect(y(`${x5} axis k: 2 input w[k] y[t] = mean[u, k](x[u] * w[k] where u <= t)`, { x: xs, w: [1, 3] })).toEqual([
      6,
      4,
      16 / 3,
      4.5,
      5.6,
    ]);
  });

  test('softmax is 0 at absent elements, and present there', () => {
    const A = y(`${x5} y[t, u] = softmax[u](x[u] where u <= t)`, { x: xs }) as number[][];
    for (let t = 0; t < 5; t++) {
      const total = xs.slice(0, t + 1).reduce((s, v) => s + Math.exp(v), 0);
      close(
        A[t],
        xs.map((v, u) => (u <= t ? Math.exp(v) / total : 0)),
      );
    }
    const plus = y(`${x5} y[t, u] = softmax[u](x[u] where u <= t) + 1`, { x: xs }) as number[][];
    expect(plus[0].slice(1)).toEqual([1, 1, 1, 1]);
    const two = y(`${x5} y[t, u] = softmax[u](x[u] where u <= t) + softmax[u](-x[u] where u >= t)`, {
      x: xs,
    }) as number[][];
    expect(two[4][0]).toBeCloseTo(A[4][0], 12);
    expect(two[0][0]).toBeGreaterThan(1);
    const none = y(`${x5} y[t, u] = exp(softmax[u](x[u] where u < t))`, { x: xs }) as number[][];
    expect(none[0]).toEqual([1, 1, 1, 1, 1]);
    const power = y(`${x5} y[t] = softmax[u](x[u] where u <= t) * x[u] + max[u](softmax[u](x[u] where u < t))`, {
      x: xs,
    }) as number[];
    expect(power[0]).toBe(3);
  });

  test('absence ends at a definition', () => {
    expect(y(`${x5} m[t] = x[t] where t < 2 y[t] = m[t] + 1`, { x: xs })).toEqual([4, 2, 1, 1, 1]);
    expect(y(`${x5} m[t] = x[t] where t < 2 y = mean[t](m[t])`, { x: xs })).toBe(0.8);
  });

  test('nothing is ever present', () => {
    expect(y(`${x5} y[t] = x[t] where t > 9`, { x: xs })).toEqual([0, 0, 0, 0, 0]);
    expect(y(`size c = 0 ${x5} y[t] = x[t] + x[u] * 1 where c == 1`, { x: xs })).toEqual([0, 0, 0, 0, 0]);
    expect(y(`${x5} y[t] = 1 + exp(max[u](x[u] where u > 9))`, { x: xs })).toEqual([2, 2, 2, 2, 2]);
  });

  test('every comparison, `and`, sizes and affine expressions', () => {
    const where = (c: string) => y(`size w = 2 check w == 2 "" ${x5} y[t, u] = 1 where ${c}`, { x: xs }) as number[][];
    const expected = (f: (t: number, u: number) => boolean) =>
      [0, 1, 2, 3, 4].map((t) => [0, 1, 2, 3, 4].map((u) => (f(t, u) ? 1 : 0)));
    expect(where('u <= t and t - u <= w')).toEqual(expected((t, u) => u <= t && t - u <= 2));
    expect(where('2*t == u + 1')).toEqual(expected((t, u) => 2 * t === u + 1));
    expect(where('t != u')).toEqual(expected((t, u) => t !== u));
    expect(where('(t > u + 1) and (t < w * 2)')).toEqual(expected((t, u) => t > u + 1 && t < 4));
    expect(where('u >= 5 - t')).toEqual(expected((t, u) => u >= 5 - t));
  });

  test('a read that only the `where` keeps inside its tensor, in a reduction under it', () => {
    expect(
      y(`${x5} axis n: 2 input A[t, n] y[t] = mean[n](A[t - 1, n]) where t >= 1`, { x: xs, A: ramp([5, 2]) }),
    ).toEqual([0, 0.5, 2.5, 4.5, 6.5]);
    expect(y(`${x5} y[t] = exp(x[t - u] * 0) + x[t - 1] where t >= 1 and u <= t`, { x: xs })).toEqual([0, 4, 2, 5, 2]);
    // The condition speaks of an axis that the inner reduction does not have.
    expect(
      y(`${x5} axis n: 1 input A[t, n] y[u] = abs(sum[n](A[t - 1, n])) * x[u] where u < t and u > 0`, {
        x: xs,
        A: ramp([5, 1], 1, 1),
      }),
    ).toEqual([0, 1 * (2 + 3 + 4), 4 * (3 + 4), 1 * 4, 0]);
  });

  test.each([
    [
      'y[t] = x[t] where x[t] > 0',
      'E0602 2:19 `x[t] > 0` compares reals, and `where` compares indices, sizes and integer tensors | choose by a value with `select',
    ],
    ['y[t] = x[t] where t', 'E0602 2:19 `t` is not a comparison'],
    ['y[t, u] = x[t] where t * u > 2', 'E0502 2:22 `t` * `u` is not affine'],
    ['y[t] = x[t] where t < 3 / 2', 'E0304 2:23 `3` / `2`'],
    [
      'y[t] = sum[u](x[u]) where u <= t',
      'E0601 2:27 `u` is neither on the left of `y` nor summed in what this condition restricts',
    ],
    ['y = x[u] * x[u] + x[t] * x[t] where u < t', 'E0606 2:37 no one sum is over `u` and `t`'],
  ])('%s', (equation, expected) => {
    const found = diagnose(`structure S { ${x5}\n${equation} output y }`);
    expect(found.join('\n')).toContain(expected);
    expect(found).toHaveLength(1);
  });
});

describe('reductions', () => {
  const A = [
    [1, 2, 3],
    [4, 5, 9],
  ];
  const text = 'axis i: 2, j: 3 input A[i, j]';

  test('over one axis, several, and all', () => {
    expect(y(`${text} y[i] = sum[j](A[i, j])`, { A })).toEqual([6, 18]);
    expect(y(`${text} y[j] = mean[i](A[i, j])`, { A })).toEqual([2.5, 3.5, 6]);
    expect(y(`${text} y = sum[i, j](A[i, j])`, { A })).toBe(24);
    expect(y(`${text} y = mean[*](A[i, j]^2)`, { A })).toBeCloseTo(136 / 6, 12);
    expect(y(`${text} y = max[*](A[i, j]) - min[*](A[i, j])`, { A })).toBe(8);
    expect(y(`${text} y[i] = max[j](A[i, j])`, { A })).toEqual([3, 9]);
    expect(y(`${text} y[i] = -max[j](A[i, j])`, { A })).toEqual([-3, -9]);
    close(y(`${text} y[i] = var[j](A[i, j])`, { A }), [2 / 3, 14 / 3]);
    close(y(`${text} y[i] = rms[j](A[i, j])`, { A }), [Math.sqrt(14 / 3), Math.sqrt(122 / 3)]);
    close(
      y(`${text} y[i] = logsumexp[j](A[i, j])`, { A }),
      A.map((r) => Math.log(r.reduce((s, v) => s + Math.exp(v), 0))),
    );
    expect(y(`${text} y = sum[*](2)`, { A })).toBe(2);
    expect(y(`${text} y = sum[i](2)`, { A })).toBe(4);
  });

  test('`[*]` binds every axis of its argument, those on the left too', () => {
    expect(y(`${text} y[i] = A[i, 0] - mean[*](A[i, j])`, { A })).toEqual([-3, 0]);
    expect(y(`${text} y = mean[*](A[i, j] * A[i, j])`, { A })).toBeCloseTo(136 / 6, 12);
  });

  test('a reduced axis is bound inside', () => {
    expect(y(`${text} y[i, j] = A[i, j] / sum[j](A[i, j]) * sum[j](sum[i](A[i, j]))`, { A })).toEqual([
      [4, 8, 12],
      [(4 / 18) * 24, (5 / 18) * 24, 12],
    ]);
    expect(y(`${text} y[i] = sum[i](sum[j](A[i, j]) * i)`, { A })).toEqual([18, 18]);
  });

  test('a reduction of a contraction reduces the contraction', () => {
    expect(y(`${text} input w[j] y = max[i](A[i, j] * w[j])`, { A, w: [1, 1, -1] })).toBe(0);
    const soft = y(`${text} input w[j] y[i] = softmax[i](A[i, j] * w[j])`, { A, w: [1, 1, -1] }) as number[];
    close(soft, [0.5, 0.5]);
    // The contraction is a tensor, and the sum of the softmax is over it.
    const names = analysed(`${text} input w[j] y[i] = softmax[i](A[i, j] * w[j]) output y`, {
      unbound: 'one',
    }).program?.tensors.map((t) => t.name);
    expect(names).toEqual(['A', 'w', 'y~sum', 'y~lse', 'y']);
  });

  test('softmax over several axes', () => {
    const s = y(`${text} y[i, j] = softmax[i, j](A[i, j])`, { A }) as number[][];
    expect(s.flat().reduce((p, q) => p + q)).toBeCloseTo(1, 12);
    expect(y(`${text} y[i, j] = softmax[*](A[i, j])`, { A })).toEqual(s);
  });

  test.each([
    ['y = sum[i, i](A[i, 0])', 'E0507 2:12 the axis `i` stands twice in the brackets of `sum`'],
    ['y = sum[k](A[0, 0])', 'E0401 2:9 `k` is not known here'],
    ['y = sum(A[i, j])', 'E0408 2:5 `sum(A[i, j])` does not say over which axes | write `sum[i, j](A[i, j])`'],
    ['y = mean(2)', 'E0408 2:5 `mean(2)` does not say over which axes'],
    ['y = sum[i](A[i, 0], 2)', 'E0408 2:5 `sum` takes 1 argument, not 2'],
    ['y[i] = max(A[i, 0])', 'E0408 2:8 `max(A[i, 0])` does not say over which axes'],
    ['y[i] = exp[i](A[i, 0])', 'E0408 2:8 `exp` takes no axes in brackets'],
    ['y[i] = pow(A[i, 0])', 'E0408 2:8'],
  ])('%s', (equation, expected) => {
    const found = diagnose(`structure S { ${text}\n${equation} output y }`, { unbound: 'one' });
    expect(found[0]).toContain(expected);
    expect(found).toHaveLength(1);
  });
});

describe('values', () => {
  test('pointwise functions', () => {
    const values = [-1.5, 0.5, 2];
    const text = 'axis i: 3 input x[i]';
    const f = (expression: string) => y(`${text} y[i] = ${expression}`, { x: values });
    close(
      f('exp(x[i]) + tanh(x[i]) + sin(x[i]) + cos(x[i])'),
      values.map((v) => Math.exp(v) + Math.tanh(v) + Math.sin(v) + Math.cos(v)),
    );
    close(
      f('log(x[i]^2) + sqrt(x[i]^2) + rsqrt(x[i]^2)'),
      values.map((v) => Math.log(v * v) + Math.abs(v) + 1 / Math.abs(v)),
    );
    close(f('abs(x[i]) * sign(x[i])'), values);
    close(
      f('relu(x[i]) + min(x[i], 1) + max(x[i], 1) + pow(abs(x[i]), 3)'),
      values.map((v) => Math.max(v, 0) + Math.min(v, 1) + Math.max(v, 1) + Math.abs(v) ** 3),
    );
    close(
      f('sigmoid(x[i]) + silu(x[i])'),
      values.map((v) => (1 + v) / (1 + Math.exp(-v))),
    );
    close(f('gelu(x[i])'), values.map(gelu));
    close(
      f('erf(x[i])'),
      values.map((v) => (2 * gelu(v * Math.SQRT2)) / (v * Math.SQRT2) - 1),
    );
  });

  test('precedence and real arithmetic of sizes', () => {
    expect(y('size D = 9, H = 2 y = D / H')).toBe(4.5);
    expect(y('size D = 9, H = 2 y = -D ^ 2 + 2 ^ 3 ^ H / 4')).toBe(-81 + 128);
    expect(y('size D = 9, H = 2 y = D ^ 0.5 / sqrt(H) * sqrt(2)')).toBeCloseTo(3, 12);
    expect(y('size D = 7, H = 2 y = D % H + log2(D * 2 + 2)')).toBe(5);
    expect(y('size r = [3, 4, 5] y = r[1] + len(r) + sum(r) + prefix(r, 2) + max(r) + min(r)')).toBe(
      4 + 3 + 12 + 7 + 5 + 3,
    );
    expect(y('size r = [3, 4] level l in 0 .. 1 { y += l * r[l] / 8 }')).toBe(0.5);
  });

  test('an axis as a value is its index', () => {
    expect(
      y('axis h: 2, t, u: 2 input S[h, t, u] input slope[h] y[h, t, u] = S[h, t, u] - slope[h] * (t - u)', {
        S: ramp([2, 2, 2]),
        slope: [1, 2],
      }),
    ).toEqual([
      [
        [0, 2],
        [1, 3],
      ],
      [
        [4, 7],
        [4, 7],
      ],
    ]);
    expect(y('axis t: 4 y = t * t')).toBe(14);
  });

  test('select, by indices and by values', () => {
    expect(y(`${x5} y[t] = select(x[t] > 2, x[t], -1)`, { x: xs })).toEqual([3, -1, 4, -1, 5]);
    expect(y(`${x5} y[t] = select(t < 2 and x[t] > 2, 1, 0)`, { x: xs })).toEqual([1, 0, 0, 0, 0]);
    expect(y(`${x5} y[t] = select(t * t == 4, 1, 0)`, { x: xs })).toEqual([0, 0, 1, 0, 0]);
    expect(y(`${x5} y[t] = select(t >= 3, 1, 0) + select(1 == 1, 10, 0)`, { x: xs })).toEqual([10, 10, 10, 11, 11]);
    expect(y(`${x5} input c[t]: i32 y = sum[t](select(t == c[t], x[t], 0))`, { x: xs, c: [0, 0, 2, 0, 0] })).toBe(7);
  });

  test.each([
    ['y = [1, 2]', 'E0603 2:5 a list is not a value'],
    ['y[t] = x[t] < 3', 'E0603 2:8 a comparison is not a value'],
    ['y = r', 'E0603 2:5 the size `r` is a list'],
    ['y[t] = x[t] % 2', 'E0603 2:15 `%` takes whole numbers: sizes, axes and integer tensors'],
    ['y = 1 / 0', 'E0604 2:9 `0` is 0, and divides'],
    ['y = log(0)', 'E0604 2:5 `log(0)` is -Infinity, not a finite number'],
    ['y = 1e39', 'E0604 2:5 `1e39` is 1e+39, too large for 32 bits'],
    ['y[t] = log2(x[t])', 'E0603 2:8 `log2` takes a size'],
    ['y[t] = select(x[t], 1, 2)', 'E0602 2:15 `x[t]` is not a comparison'],
    ['y[t] = t[0]', 'E0402 2:8 `t` is an axis, not a tensor'],
    ['y[t] = foo(x[t])', 'E0407 2:8 there is no function `foo`'],
  ])('%s', (equation, expected) => {
    const found = diagnose(`structure S { size r = [1, 2] check len(r) > 0 "" ${x5}\n${equation} output y }`, {
      unbound: 'one',
    });
    expect(found[0]).toContain(expected);
    expect(found).toHaveLength(1);
  });
});

describe('functions', () => {
  const text = 'structure S { axis i: 2, j: 3 input A[i, j] input x[j]';
  const A = [
    [1, 2, 3],
    [4, 5, 9],
  ];
  const x = [1, 2, -1];
  const f = (functions: string, equation: string) =>
    nested(run(`${functions} ${text} ${equation} output y }`, { A, x }).y);

  test('the sums of an argument are taken first, at the call; in the body nothing is summed', () => {
    expect(f('fn square(a) = a * a', 'y[i] = square(A[i, j] * x[j])')).toEqual([4, 25]);
    expect(f('fn plus(a, b) = a + b * b', 'y[i] = plus(A[i, 0], A[i, j] * x[j])')).toEqual([5, 29]);
  });

  test('an axis that the argument keeps is summed in the product around', () => {
    expect(f('fn double(a) = 2 * a', 'y[i] = double(A[i, j]) * x[j]')).toEqual([4, 10]);
  });

  test('bracketed axes are bound in the arguments, and stay free unless the body reduces them', () => {
    expect(f('fn total[k](a) = sum[k](a)', 'y[i] = total[j](A[i, j] * x[j])')).toEqual([2, 5]);
    expect(f('fn centred[k](a) = a - mean[k](a)', 'y[i, j] = centred[j](A[i, j] * x[j])')).toEqual([
      [1 / 3, 10 / 3, -11 / 3].map((n) => expect.closeTo(n, 12)),
      [4 - 5 / 3, 10 - 5 / 3, -9 - 5 / 3].map((n) => expect.closeTo(n, 12)),
    ]);
    // They are free in the result: the product around sums them.
    expect(f('fn keep[k](a) = a', 'y[i] = keep[j](A[i, j]) * x[j]')).toEqual([2, 5]);
    expect(f('fn at[k](a) = a * k', 'y[i] = at[j](A[i, j]) * x[j]')).toEqual([4 - 6, 10 - 18]);
  });

  test('several axes for the one that is declared', () => {
    expect(f('fn total[k](a) = sum[k](a)', 'y = total[i, j](A[i, j])')).toBe(24);
  });

  test('two axes, one for one', () => {
    expect(f('fn both[p, q](a) = max[p](sum[q](a))', 'y = both[i, j](A[i, j])')).toBe(18);
  });

  test('functions call each other, and hide those of the library', () => {
    expect(f('fn half(a) = a / 2 fn quarter(a) = half(half(a))', 'y[j] = quarter(x[j])')).toEqual([0.25, 0.5, -0.25]);
    expect(f('fn layernorm[k](a) = a + 1', 'y[j] = layernorm[j](x[j])')).toEqual([2, 3, 0]);
  });

  test('`where` in a body, with an argument in its condition and a read that it keeps inside', () => {
    expect(f('fn upto[p](a, n) = a where p < n', 'y[j] = upto[j](x[j], 4 / 2)')).toEqual([1, 2, 0]);
    expect(f('fn after[p](a) = a where p >= 1', 'y[j] = after[j](x[j - 1])')).toEqual([0, 1, 2]);
  });

  test('`[*]` in a body is what the argument keeps', () => {
    expect(f('fn scale(a) = a / max[*](a)', 'y[i] = scale(A[i, j] * x[j])')).toEqual([0.4, 1]);
    expect(f('fn scale(a) = a / max[*](a)', 'y[i] = scale(A[i, j]) * x[j]')).toEqual(
      [2 / 9, 5 / 9].map((n) => expect.closeTo(n, 12)),
    );
    expect(f('fn avg(a) = mean[*](a)', 'y[i] = avg(A[i, j]) + 0 * A[i, 0]')).toEqual([4, 4]);
  });

  test('layernorm, rmsnorm, cross_entropy, rms_clip', () => {
    const normal = (row: number[]) => {
      const mean = row.reduce((s, v) => s + v) / row.length;
      const variance = row.reduce((s, v) => s + (v - mean) ** 2, 0) / row.length;
      return row.map((v) => (v - mean) / Math.sqrt(variance + 1e-5));
    };
    const ln = f('', 'y[i, j] = layernorm[j](A[i, j], x[j])') as number[][];
    close(
      ln[1],
      normal(A[1]).map((v, j) => v * x[j]),
    );
    const all = f('', 'y[i, j] = layernorm[i, j](A[i, j], 1)') as number[][];
    close(all.flat(), normal(A.flat()));
    const rn = f('', 'y[i, j] = rmsnorm[j](A[i, j], x[j])') as number[][];
    close(
      rn[0],
      A[0].map((v, j) => (v / Math.sqrt(14 / 3 + 1e-5)) * x[j]),
    );
    const ce = run(
      'axis b: 2, v: 3 input z[b, v] input t[b]: i32 y = mean[b](cross_entropy[v](z[b, v], t[b])) output y',
      { z: A, t: [2, 0] },
    );
    const lse = A.map((r) => Math.log(r.reduce((s, v) => s + Math.exp(v), 0)));
    expect(nested(ce.y)).toBeCloseTo((lse[0] - 3 + lse[1] - 4) / 2, 12);
    const rho = Math.sqrt(136 / 6 + 1e-8);
    const sigma = Math.sqrt(2) / 3;
    close(
      (f('', 'y[i, j] = rms_clip(A[i, j], 3, 2)') as number[][]).flat(),
      A.flat().map((v) => (v * sigma) / rho),
    );
    close(
      (f('', 'y[i, j] = rms_clip(A[i, j] / 100, 3, 2)') as number[][]).flat(),
      A.flat().map((v) => v / 100),
    );
    // In a product the whole of W is taken for ρ, and the axes are summed outside.
    close(
      f('', 'y[i] = rms_clip(A[i, j], 3, 2) * x[j]') as number[],
      [2, 5].map((v) => (v * sigma) / rho),
    );
  });

  test.each([
    ['fn f(a) = a', 'y = f(1, 2)', 'E0408 2:5 `f` takes 1 argument, not 2'],
    ['fn f(a) = a', 'y[j] = f[j](x[j])', 'E0408 2:8 `f` takes no axes in brackets, not 1'],
    ['fn f[k](a) = a', 'y[j] = f(x[j])', 'E0408 2:8 `f` takes 1 axis in brackets, not 0 | write `f[j](x[j])`'],
    ['fn f[k, l](a) = a', 'y[j] = f[j](x[j])', 'E0408 2:8 `f` takes 2 axes in brackets, not 1'],
    ['fn f[k](a) = a', 'y[j] = f[*](x[j])', 'E0408 2:8 `[*]` is for reductions'],
    ['fn f[k](a) = a', 'y[j] = f[j, j](x[j])', 'E0507 2:13 the axis `j` stands twice'],
    ['fn f[k](a) = a * k', 'y = sum[i, j](f[i, j](A[i, j]))', 'E0408 1:18 `k` stands for 2 axes in this call'],
    ['fn f(a) = a + D', 'y[j] = f(x[j])', 'E0401 1:15 `D` is not known in this function'],
    ['fn f(a) = a[0]', 'y[j] = f(x[j])', 'E0402 1:11 `a` is a parameter of the function, not a tensor'],
    ['fn f(a) = f(a)', 'y[j] = f(x[j])', 'E0409 1:11 the function `f` calls itself: `f` → `f`'],
    ['fn f(a) = g(a) fn g(a) = f(a)', 'y[j] = f(x[j])', 'E0409 1:26 the function `f` calls itself: `f` → `g` → `f`'],
    ['fn exp(a) = a', 'y = 1', 'E0404 1:4 `exp` is a function of the language'],
    ['fn f(a, a) = a', 'y = f(1, 2)', 'E0404 1:9 `a` stands twice in the head of `f`'],
    ['fn f(a) = a fn f(a) = a', 'y = f(1)', 'E0404 1:16 there are two functions called `f`'],
    ['fn f(a) = hh(a)', 'y = 1', 'E0407 1:11 there is no function `hh`'],
  ])('%s; %s', (functions, equation, expected) => {
    const found = diagnose(`${functions} ${text}\n${equation} output y }`, { unbound: 'one' });
    expect(found[0]).toContain(expected);
    expect(found).toHaveLength(1);
  });

  test('what grows without end is refused in time', () => {
    const doubling = Array.from(
      { length: 40 },
      (_, k) => `fn f${k}(a) = ${k === 0 ? 'a' : `f${k - 1}(a) + f${k - 1}(a)`}`,
    ).join('\n');
    expect(diagnose(`${doubling} ${text} y[j] = f39(x[j]) output y }`, { unbound: 'one' })[0]).toContain('E0901');
    const nest = `${'layernorm[j]('.repeat(30)}x[j]${', 1)'.repeat(30)}`;
    expect(diagnose(`${text} y[j] = ${nest} output y, A }`, { unbound: 'one' })).toEqual([]);
  });
});

describe('the tensor program', () => {
  const tensors = (items: string) => analysed(`${items} output y`, { unbound: 'one' }).program?.tensors ?? [];

  test('identical reductions are one tensor; names follow the target', () => {
    const found = tensors(
      'axis i: 2, j: 3 input A[i, j] y[i, j] = (A[i, j] - mean[j](A[i, j])) / sqrt(var[j](A[i, j]) + mean[j](A[i, j]^2)) + exp(sum[j](A[i, j]))',
    );
    expect(found.map((t) => `${t.name} [${t.shape}]`)).toEqual([
      'A [2,3]',
      'y~mean [2]',
      'y~var [2]',
      'y~mean2 [2]',
      'y~sum [2]',
      'y [2,3]',
    ]);
  });

  test('spans and docs lead back to the source', () => {
    const text = 'axis i: 2 input x[i] y[i] = x[i] * sum[i](x[i]) output y';
    const found = tensors(text);
    const source = `structure S {\n${text} output y\n}\n`;
    expect(found.map(({ span }) => span && source.slice(span.start, span.end))).toEqual(['x', 'sum[i](x[i])', 'y']);
  });

  test('the same text gives the same program', () => {
    const text = 'axis i: 2 input x[i] z[i] = exp(x[i]) y[i] = softmax[i](z[i] * 2) + z[i]';
    expect(tensors(text)).toEqual(tensors(text));
  });

  test('a level of a structured matrix keeps its store map', () => {
    const [, , W] = tensors('axis k: 2, p, q: 2 input U[k, p] input V[k, q] y[(k p), (k q)] += U[k, p] * V[k, q]');
    expect(W.shape).toEqual([4, 4]);
    expect(W.source.kind === 'computed' && W.source.equations[0].store).toEqual([
      {
        kind: 'affine',
        constant: 0,
        terms: [
          { axis: 0, coefficient: 2 },
          { axis: 1, coefficient: 1 },
        ],
      },
      {
        kind: 'affine',
        constant: 0,
        terms: [
          { axis: 0, coefficient: 2 },
          { axis: 2, coefficient: 1 },
        ],
      },
    ]);
  });
});
