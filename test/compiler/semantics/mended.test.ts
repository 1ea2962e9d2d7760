// The help of a message, followed to the letter, mends the file: what is in its backticks replaces what is underlined.
import { describe, expect, test } from 'vitest';
import { analysed, diagnose, file, nested, run } from './support.ts';

const near = `size D = 64, H = 4, r = 8
  axis b: B, t, u: T, i, j: D, h: H, k: r
  input x[b, t, i]
  param Q[h, k, i] ~ normal(fan_in = i)
  param K[h, k, i] ~ normal(fan_in = i)
  param slope[h] ~ zeros
  S[b, h, t, u] = Q[h, k, i] * x[b, t, i] * K[h, k, j] * x[b, u, j] / sqrt(r) - slope[h] * (t - u)
  A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)
  output A`;

/** The text with its one mistake mended by the help. */
function mended(text: string): string {
  const whole = file(text);
  const { diagnostics } = analysed(text, { unbound: 'postpone' });
  expect(diagnostics).toHaveLength(1);
  const [{ span, help = '' }] = diagnostics;
  const written = [...help.matchAll(/`([^`]*)`/g)].at(-1)?.[1] ?? '';
  const start = /^output /.test(written) ? whole.lastIndexOf('output', span.start) : span.start;
  return whole.slice(0, start) + written + whole.slice(span.end);
}

describe('a slip in a structure', () => {
  test.each([
    ['softmax[u](S[b, h, t, u] where', 'softmax(S[b, h, t, u] where'],
    ['K[h, k, j]', 'K[h, j, k]'],
    ['x[b, t, i] *', 'x[b, i, t] *'],
    ['output A', 'output B'],
    ['where u <= t', 'where u < = t'],
    ['softmax[u](S[b, h, t, u] where u <= t)', 'softmax[u](S[b, h, t, u] if u <= t else 0)'],
    ['where u <= t)', 'where u <= t or u < 4)'],
    ['where u <= t)', 'where u == t or t - u > 3 and u < 9)'],
  ])('%s written %s', (right, wrong) => {
    expect(near).toContain(right);
    const sized = near.replace('axis b: B, t, u: T', 'size T = 16 axis b: B, t, u: T');
    const text = mended(sized.replace(right, wrong));
    expect(diagnose(text, { unbound: 'postpone' })).toEqual([]);
    const exact = !wrong.includes(' or ') && !wrong.includes(' if ');
    if (exact) expect(text.replace(/\s+/g, ' ')).toBe(file(sized).replace(/\s+/g, ' '));
  });
});

describe('brackets that were left out', () => {
  const axes = 'axis b, t, u: 4, i, j: 3 input x[b, t, i] input W[i, j] input g[i] input s[t, u]';
  test.each([
    ['y[b, t] = sum(x[b, t, i])', 'sum[i](x[b, t, i])'],
    ['y[t, i] = max(x[b, t, i])', 'max[b](x[b, t, i])'],
    ['y = mean((x[b, t, i] - 1)^2)', 'mean[b, t, i]((x[b, t, i] - 1)^2)'],
    ['y = mean(3)', 'mean[*](3)'],
    ['y[t, i] = softmax(s[t, u]) * x[t, u, i]', 'softmax[u](s[t, u])'],
    ['y[t, u] = softmax(s[t, u])', 'softmax[u](s[t, u])'],
    ['y[b, t, i] = layernorm(x[b, t, i], g[i])', 'layernorm[i](x[b, t, i], g[i])'],
    ['y[b, t, j] = layernorm(W[i, j] * x[b, t, i], g[j])', 'layernorm[j](W[i, j] * x[b, t, i], g[j])'],
    ['y[b, t, j] = W[i, j] * layernorm(x[b, t, i], g[i])', 'layernorm[i](x[b, t, i], g[i])'],
  ])('%s', (equation, call) => {
    const text = `${axes}\n${equation} output y`;
    const found = diagnose(text);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`write \`${call}\``);
    expect(diagnose(mended(text)).filter((d) => !d.startsWith('W0202'))).toEqual([]);
  });
});

describe('a name that is only the size of an axis', () => {
  test('in a value it is to be declared, and that is all', () => {
    const text = 'axis i: 3, r: R input x[i, r] y[i] = x[i, r] * x[i, r] / sqrt(R) output y';
    expect(diagnose(text, { unbound: 'postpone' })).toEqual([
      'E0401 2:63 `R` is not declared, and stands here as more than the size of an axis | declare it: `size R`',
    ]);
    expect(diagnose(`size R ${text}`, { unbound: 'postpone' })).toEqual([]);
  });

  test('named like a tensor it gets another name', () => {
    const text = 'axis b: B, t: 3\ninput x[b, t]\nB[b, t] = x[b, t]\noutput B';
    const found = diagnose(text, { unbound: 'postpone' });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain('E0313 2:9 `B` is a tensor');
    expect(diagnose(mended(text), { unbound: 'postpone' })).toEqual([]);
  });

  test('as an extent, beside others, it is declared by that', () => {
    expect(diagnose('axis t: T, s: 2 * T + 1 input x[t] y[s] = 1 output y, x', { unbound: 'postpone' })).toEqual([]);
  });
});

test('the absolute value of a distance is a condition, as two comparisons are', () => {
  const x = 'axis t, u: 5 y[t] = sum[u](u where';
  const { y } = run(`${x} abs(t - u) <= 1) output y`);
  expect(nested(y)).toEqual([1, 3, 6, 9, 7]);
  expect(nested(run(`${x} t - u <= 1 and u - t <= 1) output y`).y)).toEqual(nested(y));
});

test('`max` of differences is what `or` would be', () => {
  const { y } = run('axis t, u: 5 y[t] = sum[u](1 where max(u - t - 2, min(t - u, u - t)) >= 0) output y');
  // u == t, or u >= t + 2
  expect(nested(y)).toEqual([4, 3, 2, 1, 1]);
});

describe('what a name, an index or a condition should have been is told', () => {
  const items = `size T = 8, D = 8, H = 2
  axis b: 4, t, u: T, i: D, h: H
  input x[b, t, i]
  input w[h]
  S[b, t, u] = x[b, t, i] * x[b, u, i]
  A[b, h, t, u] = softmax[u](w[h] * S[b, t, u] where u <= t)
  output A`;
  test.each([
    ['w[h] * S', 'w * S', '`w[h]`'],
    ['x[b, t, i] *', 'x[b, t] *', '`x[b, t, i]`'],
    ['input x[b, t, i]', 'input x', '`input x[…]`'],
    ['input w[h]', 'input w[H]', '`h`'],
    ['output A', '', '`output A`'],
    ['where u <= t', 'where not (u > t)', '`u <= t`'],
    ['where u <= t', 'where true', 'leave it out'],
    ['where u <= t', 'where u <= 1.5 * t', '`2 * u <= 3 * t`'],
    ['where u <= t', 'where u <= t / 2', '`n[t]: i32 = t / 2`'],
    ['w[h] * S', 'w[h * u] * S', '`n[h, u]: i32 = h * u`'],
    ['softmax[u](w[h]', 'softmax(u, w[h]', '`softmax[u](w[h] * S[b, t, u] where u <= t)`'],
    ['softmax[u](', 'softmax[-1](', 'an axis has a name'],
    ['w[h] * S', 'clamp(w[h], 0, 1) * S', '`min(max(w[h], 0), 1)`'],
    ['w[h] * S', 'softplus(2 * w[h]) * S', '`(max((2 * w[h]), 0) + log(1 + exp(-abs((2 * w[h])))))`'],
    ['w[h] * S', 'math.exp(w[h]) * S', '`exp(…)`'],
    ['w[h] * S', 'exp[h] * S', '`exp(…)`'],
    ['w[h] * S', 'pi * w[h] * S', '`const pi = 3.141592653589793`'],
    ['x[b, t, i] *', 'х[b, t, i] *', '`х` is U+0445 and only looks like `x`, U+0078'],
  ])('%s written %s', (right, wrong, help) => {
    expect(items).toContain(right);
    const { diagnostics } = analysed(items.replace(right, wrong), { unbound: 'postpone' });
    expect(diagnostics.map((d) => d.help ?? '').join('\n')).toContain(help);
  });

  test('a name that is not known is told once, with how often it stands there', () => {
    const found = diagnose(items.replace(', h: H', ''), { unbound: 'postpone' }).filter((d) => d.startsWith('E'));
    expect(found).toEqual(['E0401 5:11 `h` is not known here, nor at 2 more places | declare it: `axis h: N`']);
  });

  test('a declaration behind a division that is none', () => {
    const found = diagnose('size D = 8 // 2, H = 2\naxis i: D, h: H + 1\ninput x[i, h]\noutput x');
    expect(found.join('\n')).toContain('in line 2 it stands behind `//`, which begins a comment; to divide write `/`');
  });
});

test('20,000 names that are not known, on one line, take no longer than they have to', () => {
  const names = Array.from({ length: 20_000 }, (_, i) => `q${i}[i]`).join(' + ');
  const before = process.cpuUsage().user;
  expect(diagnose(`axis i: 2 input x[i] y[i] = ${names} // q\noutput y, x`).length).toBeGreaterThan(100);
  expect((process.cpuUsage().user - before) / 1e6).toBeLessThan(20);
});
