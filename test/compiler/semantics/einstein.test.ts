// The Einstein rule: every sentence of it, against values computed by hand.
import { describe, expect, test } from 'vitest';
import { diagnose, nested, run } from './support.ts';

const W = [
  [1, 2, 3],
  [4, 5, 6],
];
const x = [1, -1, 2];
const Wx = [1 - 2 + 6, 4 - 5 + 12];
const axes = 'axis i: 2, j, k: 3  input W[i, j]  input x[j]  input v[i]';
const v = [10, 20];
const inputs = { W, x, v };

describe('where an axis is summed', () => {
  test('in a product, once', () => {
    expect(nested(run(`${axes} y[i] = W[i, j] * x[j] output y`, inputs).y)).toEqual(Wx);
  });

  test('in a sum each term by itself', () => {
    const y = run(`${axes} y[i] = v[i] + W[i, j] * x[j] - 2 * x[j] output y`, inputs).y;
    expect(nested(y)).toEqual([10 + Wx[0] - 4, 20 + Wx[1] - 4]);
  });

  test('a coefficient makes a product, and so does a divisor', () => {
    const y = run(`${axes} y = 3 * x[j]  z = x[j] / 2 output y, z`, inputs);
    expect(nested(y.y)).toBe(6);
    expect(nested(y.z)).toBe(1);
  });

  test('a parenthesised product that is a factor is part of the product around it', () => {
    // Σ_j 2 W[i, j] x[j], not (2 Σ_j W[i, j]) · x.
    const y = run(`${axes} y[i] = (2 * W[i, j]) * x[j] output y`, inputs).y;
    expect(nested(y)).toEqual(Wx.map((n) => 2 * n));
  });

  test('a parenthesised sum that is a factor sums each term by itself', () => {
    const y = run(`${axes} y[i] = 0.5 * (W[i, j] * x[j] + W[i, k] * x[k] + v[i]) output y`, inputs).y;
    expect(nested(y)).toEqual([0.5 * (2 * Wx[0] + 10), 0.5 * (2 * Wx[1] + 20)]);
    const same = run(`${axes} y[i] = 0.5 * (W[i, j] * x[j] + W[i, j] * x[j] + v[i]) output y`, inputs).y;
    expect(nested(same)).toEqual(nested(y));
  });

  test('an axis inside a sum and outside it is summed outside', () => {
    // Σ_j (v[i] + W[i, j]) x[j]
    const y = run(`${axes} y[i] = (v[i] + W[i, j]) * x[j] output y`, inputs).y;
    expect(nested(y)).toEqual([10 * 2 + Wx[0], 20 * 2 + Wx[1]]);
  });

  test('a term that cannot sum for itself makes the product around sum', () => {
    // Σ_j (x[j] + x[j] x[j]) · 2
    const y = run(`${axes} y = (x[j] + x[j] * x[j]) * 2 output y`, inputs).y;
    expect(nested(y)).toBe(2 * (2 + 6));
  });

  test("a function's argument is an expression of its own", () => {
    const y = run(`${axes} y[i] = exp(W[i, j] * x[j]) * v[i] output y`, inputs).y;
    expect(nested(y)).toEqual([Math.exp(5) * 10, Math.exp(11) * 20]);
  });

  test('an axis inside an argument and outside it is summed outside', () => {
    const y = run(`${axes} y[i] = abs(W[i, j]) * x[j] + relu(x[j]) * x[j] output y`, inputs).y;
    expect(nested(y)).toEqual([Wx[0] + 5, Wx[1] + 5]);
    // Σ_j relu(2 x) x, although the argument is a product that could sum.
    const z = run(`${axes} z = relu(2 * x[j]) * x[j] output z`, inputs).z;
    expect(nested(z)).toEqual(2 * 1 + 0 + 4 * 2);
  });

  test('a divisor is an expression of its own', () => {
    const y = run(`${axes} y[i] = v[i] / (W[i, j] * x[j]) output y`, inputs).y;
    expect(nested(y)).toEqual([10 / Wx[0], 20 / Wx[1]]);
    const z = run(`${axes} z[i] = W[i, j] / x[j] output z`, inputs).z;
    expect(nested(z)).toEqual([1 - 2 + 1.5, 4 - 5 + 3]);
  });

  test("a power's base and exponent are expressions of their own", () => {
    const y = run(`${axes} y[i] = (W[i, j] * x[j]) ^ 2 output y`, inputs).y;
    expect(nested(y)).toEqual([25, 121]);
    const z = run(`${axes} z = 2 ^ (x[j] * x[j])  w = x[j] ^ 2 * 3 output z, w`, inputs);
    expect(nested(z.z)).toBe(64);
    expect(nested(z.w)).toBe(18);
  });

  test('a minus sign changes nothing', () => {
    const y = run(`${axes} y[i] = -W[i, j] * x[j]  z[i] = -(W[i, j] * x[j]) output y, z`, inputs);
    expect(nested(y.y)).toEqual(Wx.map((n) => -n));
    expect(nested(y.z)).toEqual(Wx.map((n) => -n));
  });

  test('several axes in one product, some inside, some outside', () => {
    const text = `${axes} y = v[i] * abs(W[i, j] * x[j]) output y`;
    expect(nested(run(text, inputs).y)).toBe(10 * 5 + 20 * 11);
  });

  test('an axis that a named reduction binds is not summed again', () => {
    const y = run(`${axes} y[i] = W[i, j] * sum[j](x[j]) + sum[j](W[i, j] * x[j]) output y`, inputs).y;
    // j of W is summed, j of sum[j] is its own.
    expect(nested(y)).toEqual([6 * 2 + Wx[0], 15 * 2 + Wx[1]]);
  });

  test('a free axis inside a reduction is summed in the smallest product there', () => {
    const y = run(`${axes} y = max[i](W[i, j] * x[j]) output y`, inputs).y;
    expect(nested(y)).toBe(11);
  });

  test('softmax keeps its axes free', () => {
    const { y } = run(`${axes} y[i] = softmax[j](W[i, j]) * x[j] output y`, inputs);
    const e = [1, Math.E, Math.E ** 2];
    const z = e[0] + e[1] + e[2];
    expect(y.data[0]).toBeCloseTo((e[0] - e[1] + 2 * e[2]) / z, 12);
  });

  test('with select the condition is one of the places', () => {
    const y = run(`${axes} y[i] = W[i, j] * select(j <= i, x[j], 10) output y`, inputs).y;
    expect(nested(y)).toEqual([1 + 20 + 30, 4 - 5 + 60]);
  });

  test('under `+=` the rule is the same', () => {
    const y = run(`${axes} y[i] += W[i, j] * x[j]  y[i] += v[i] output y`, inputs).y;
    expect(nested(y)).toEqual([15, 31]);
  });

  test('no axis on the left: everything is summed', () => {
    expect(nested(run(`${axes} y = W[i, j] * W[i, k] * x[j] * x[k] output y`, inputs).y)).toBe(25 + 121);
  });

  test('an axis on the left alone repeats', () => {
    expect(nested(run(`${axes} y[j, i] = v[i] output y`, inputs).y)).toEqual([v, v, v]);
  });
});

describe('an axis that stands in no product', () => {
  test.each([
    ['y = x[j]', 'E0601 2:5', 'sum[j](x[j])'],
    ['y = exp(x[j])', 'E0601 2:9', 'sum[j](exp(x[j]))'],
    ['y = x[j] ^ 2', 'E0601 2:5', 'sum[j](x[j] ^ 2)'],
    ['y[i] = W[i, j] * x[j] + x[k]', 'E0601 2:25', 'sum[k](x[k])'],
    ['y = layernorm[j](x[j], 1)', 'E0601 2:18', 'sum[j](layernorm[j](x[j], 1))'],
    ['y = softmax[j](x[j])', 'E0601 2:16', 'sum[j](softmax[j](x[j]))'],
    ['y[i] = v[i] where j <= i', 'E0601 2:19', 'sum[j]('],
  ])('%s', (equation, place, help) => {
    const [first, ...rest] = diagnose(`structure S { ${axes}\n${equation} output y }`);
    expect(rest).toEqual([]);
    expect(first).toContain(place);
    expect(first).toContain(help);
  });
});
