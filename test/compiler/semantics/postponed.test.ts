// What `check` says of a file whose sizes are not all bound: everything that does not depend on them, and nothing else.
import { expect, test } from 'vitest';
import { analysed, diagnose } from './support.ts';

const postponed = (text: string): readonly string[] => diagnose(text, { unbound: 'postpone' });

test('values, conditions, bounds and writes that depend on a size without a value', () => {
  const text = `size D, r
    axis i: D, t, u: 8, k: r
    input x[t] input z[i]
    param p[t] ~ normal(std = 1 / D) param q[i] ~ constant(log2(D) + D % 3)
    a[t] = x[t] / (D - 1) + log2(D) + D % 2
    b[t] = x[t - 1] where t >= D
    c[t - 1] = x[t] where t >= D
    d[t + u] = x[t] * x[u] where u == D
    e[i] = z[i - 1] where i > 0
    f[(t k)] = x[t] * k
    g[t] = mean[u](x[u - 1] where u >= D) + max[i](z[i] where i < t)
    h[t] = f[D * 8 + t]
    level l in 0 .. r - 1 { v[t] = x[t + l]  W[t] += v[t] }
    output a, b, c, d, e, g, h, p, q, W, v.0`;
  expect(postponed(text)).toEqual([]);
});

test('a check on a size without a value is left open, one beside it is not', () => {
  expect(postponed('size D, E = 3 check D > 2 "d" check E > 4 "e" y = D output y')).toEqual([
    expect.stringContaining('E0309 2:37 e: `E > 4` does not hold: E = 3'),
  ]);
});

test('bounds beside a condition that is wrong itself are not told', () => {
  expect(diagnose('axis t: 4 input x[t] y[t] = x[t - 1] where t >= q output y')).toEqual([
    'E0401 2:49 `q` is not known here | declare it: `size q`',
  ]);
});

test('a size that is used as a list counts as [1]', () => {
  const { diagnostics, interface: face } = analysed(
    'size ranks axis i: 2 input x[i] level l in 0 .. len(ranks) - 1 { axis r: ranks[l] S[i] += sum[r](x[i] * r) } output S',
    { unbound: 'one' },
  );
  expect(diagnostics).toEqual([]);
  expect(face?.sizes).toMatchObject([{ name: 'ranks', value: [1], unbound: true }]);
});

test('an instance whose sizes are postponed makes nothing else a mistake', () => {
  const text = `structure A { size n axis i: D, k: n input x[i] y[i] = sum[k](x[i] * k) output y }
    structure S { size m axis j: 3 input x[j] use A(x = x, n = m) as a y[j] = a.y[j] output y }`;
  expect(postponed(text)).toEqual([]);
});

test('mistakes in the body of a library function are told at the call', () => {
  const text = `structure S { axis i: 3, j: 2 input z[i, j] input t: i32\ny = cross_entropy[i, j](z[i, j], t) output y }`;
  expect(diagnose(text)).toEqual([
    expect.stringContaining('E0408 2:5 `v` stands for 2 axes in this call, and cannot be a number'),
  ]);
  const { program } = analysed('axis i: 3 input x[i] y[i] = layernorm[i](x[i], 1) output y', { unbound: 'one' });
  expect(program?.tensors.every(({ span }) => span?.file === 'main.mlbtc')).toBe(true);
});

test('a name that a level without iterations would define', () => {
  expect(diagnose('size n = 0 axis i: 3 input x[i] level l in 1 .. n { W[i] += x[i] } y[i] = W[i] output y')).toEqual([
    expect.stringContaining('E0401 2:75 `W` is not known here: what declares it stands in a level'),
  ]);
});

test('syntax errors and others in one run; what may follow from an item that was not read is not told', () => {
  const text = `structure S {
    axis i 3
    axis j: 7 / 2
    input x[i]
    y[i] = x[i] + qq
    output y
  }`;
  expect(diagnose(text).map((d) => d.split(' ').slice(0, 2).join(' '))).toEqual([
    'E0106 2:12',
    'E0304 3:13',
    'E0401 5:19',
  ]);
});
