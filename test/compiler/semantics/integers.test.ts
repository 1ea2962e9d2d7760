/** Integer tensors, conditions on data, indices that are not affine: their values by hand, and what is refused. */
import { describe, expect, test } from 'vitest';
import { diagnose, nested, run } from './support.ts';

describe('integer tensors', () => {
  test('rounding down, remainders that are never negative, extremes, choices', () => {
    const values = run(
      `axis t: 5
      a[t]: i32 = (t - 3) / 2
      b[t]: i32 = (t - 3) % 2
      c[t]: i32 = (3 - t) / -2
      d[t]: i32 = min(t, 2) * max(t - 1, 1, 0)
      e[t]: i32 = select(t > 2, 7, abs(t - 2))
      f[t]: i32 = t % -3 where t != 1
      g[t]: i32 += a[t] + 1
      g[t] += t where t >= 3
      h[t] = a[t] * 0.5 + t % 2
      output a, b, c, d, e, f, g, h`,
    );
    const of = (name: string) => nested(values[name]);
    expect(of('a')).toEqual([-2, -1, -1, 0, 0]);
    expect(of('b')).toEqual([1, 0, 1, 0, 1]);
    expect(of('c')).toEqual([-2, -1, -1, 0, 0]);
    expect(of('d')).toEqual([0, 1, 2, 4, 6]);
    expect(of('e')).toEqual([2, 1, 0, 7, 7]);
    expect(of('f')).toEqual([0, 0, 2, 0, 1]);
    expect(of('g')).toEqual([-1, 0, 0, 4, 5]);
    expect(of('h')).toEqual([-1, 0.5, -0.5, 1, 0]);
  });

  test('of integer inputs, through functions, as an index of an index', () => {
    const values = run(
      `fn next(k, n) = (k + 1) % n
      structure S {
        size V = 4, T = 3
        axis t: T, v: V
        input tokens[t]: i32
        input E[v]
        shifted[t]: i32 = next(tokens[t], V)
        y[t] = E[shifted[t]] + E[(tokens[t] + 1) % V] * 10
        z[t] = E[tokens[min(t + 1, T - 1)]]
        output y, z
      }`,
      { tokens: [3, 0, 2], E: [1, 2, 3, 4] },
    );
    expect(nested(values.y)).toEqual([11, 22, 44]);
    expect(nested(values.z)).toEqual([1, 3, 3]);
  });

  test('an index of positions is in bounds where it is used', () => {
    expect(
      nested(run('axis t: 3 input x[t] n[t]: i32 = t + 1 y[t] = x[n[t]] where t < 2 output y', { x: [4, 5, 6] }).y),
    ).toEqual([5, 6, 0]);
  });

  test('a circulant matrix, a bucketed bias', () => {
    const values = run(
      `size D = 3, NB = 2
      axis i, j: D, t, u: 4, n: NB
      input c[j], bias[n]
      W[i, j] = c[(i - j) % D]
      bucket[t, u]: i32 = min(t - u, NB - 1) where u <= t
      B[t, u] = bias[bucket[t, u]] where u <= t
      output W, B`.replace('input c[j], bias[n]', 'input c[j] input bias[n]'),
      { c: [1, 2, 3], bias: [5, 7] },
    );
    expect(nested(values.W)).toEqual([
      [1, 3, 2],
      [2, 1, 3],
      [3, 2, 1],
    ]);
    expect(nested(values.B)).toEqual([
      [5, 0, 0, 0],
      [7, 5, 0, 0],
      [7, 7, 5, 0],
      [7, 7, 7, 5],
    ]);
  });

  test.each([
    ['y[t]: i32 = x[t]', 'E0510 3:13 `x[t]` is f32, and an integer tensor takes whole numbers'],
    ['y[t]: i32 = 0.5 * t', 'E0510 3:13 0.5 is not a whole number, and an integer tensor takes only those'],
    ['y[t]: i32 = exp(t)', 'E0510 3:13 `exp` gives reals'],
    ['y[t]: i32 = sum[u](u)', 'E0510 3:13 `sum` reduces'],
    ['y[t]: i32 = k[u] * t', 'E0510 3:13 `k[u] * t` would be summed over `u`, and `y` is i32'],
    ['y[t]: i32 = t / 0', 'E0604 3:17 `0` is 0, and divides'],
    ['y[t]: i32 = t y[t]: f32 += 1', 'E0405 3:15 `y` is f32 here, and i32 in line 3'],
    ['y[t]: f16 = t', 'E0112 3:7 what is computed is not f16 | one of `f32` and `i32`'],
    ['y[t]: i32 = k[t + 1]', 'E0503'],
    [
      'n[t]: i32 = t + 1 y[t] = x[n[t]]',
      'E0503 3:19 `n`[2] is 3, and it indexes dimension 0 of `x`, where only 0 to 2 exist',
    ],
    ['n[t]: i32 = t * 2^30 y[t] = n[t]', 'E0510 3:1 `n` is 2147483648 at t = 2, beyond 32 bits'],
    ['y[t] = x[k[t] / 2]', 'E0510 3:10 `k[t] / 2` divides, and `/` rounds down in an integer tensor alone'],
    ['y[t] = x[t] where k[t] / 2 == 1', 'E0510 3:19 `k[t] / 2` divides'],
    ['y[t] = x[t] where k[t] == x[t]', 'E0602 3:19 `k[t] == x[t]` compares reals'],
  ])('%s', (text, expected) => {
    const found = diagnose(`structure S { axis t, u: 3 input x[t] input k[t]: i32\n\n${text} output y }`);
    expect(found.join('\n')).toContain(expected);
    expect(found).toHaveLength(1);
  });
});

describe('where on data', () => {
  const inputs = {
    seg: [0, 0, 1, 1],
    S: [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
      [9, 10, 11, 12],
      [13, 14, 15, 16],
    ],
  };
  const head = 'axis t, u: T input seg[t]: i32 input S[t, u]\n';
  const of = (text: string) => nested(run(`${head}${text} output y`, inputs).y);

  test('sums, means and extremes take what is present', () => {
    expect(of('y[t] = sum[u](S[t, u] where u <= t and seg[t] == seg[u])')).toEqual([1, 11, 11, 31]);
    expect(of('y[t] = mean[u](S[t, u] where seg[t] != seg[u])')).toEqual([3.5, 7.5, 9.5, 13.5]);
    expect(of('y[t] = max[u](-S[t, u] where seg[u] == 1)')).toEqual([-3, -7, -11, -15]);
    expect(of('y[t] = min[u](S[t, u] where seg[u] > 1)')).toEqual([0, 0, 0, 0]);
    expect(of('y[t] = logsumexp[u](0 * S[t, u] where seg[u] == seg[t])').toString()).toBe(
      [2, 2, 2, 2].map(Math.log).toString(),
    );
  });

  test('a softmax is 0 where the data exclude it', () => {
    const half = 0.5;
    expect(of('y[t, u] = softmax[u](0 * S[t, u] where u <= t and seg[t] == seg[u])')).toEqual([
      [1, 0, 0, 0],
      [half, half, 0, 0],
      [0, 0, 1, 0],
      [0, 0, half, half],
    ]);
  });

  test('an element that is absent is 0, and so is what is computed from it', () => {
    expect(of('y[t] = 1 + seg[t] * 10 where seg[t] == 1')).toEqual([0, 0, 11, 11]);
    expect(of('z[t] = 3 where seg[t] == 1 y[t] = z[t] + 1')).toEqual([1, 1, 4, 4]);
    expect(of('y[t] = (seg[t] where seg[t] == 1) + 1')).toEqual([0, 0, 2, 2]);
  });

  test('a condition on a summed axis, from the left side and from inside', () => {
    expect(of('y[t] = S[t, u] * S[t, u] where seg[u] == 1 and seg[t] == 0')).toEqual([25, 113, 0, 0]);
  });

  test('extremes and distances become positions again', () => {
    expect(of('y[t] = sum[u](S[t, u] where abs(t - u) <= 1 and min(t, u) >= 1)')).toEqual([0, 13, 33, 31]);
  });
});
