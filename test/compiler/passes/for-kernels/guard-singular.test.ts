// What a guard excludes contributes nothing to a gradient: values by hand, at every stage.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSource } from '../../../../compiler/command-line/source.ts';
import { compileProgram } from '../../../../compiler/compile.ts';
import { printProgram } from '../../../../compiler/ir/print.ts';
import { factsOf } from '../../../../compiler/passes/facts.ts';
import { guardSingular } from '../../../../compiler/passes/for-kernels/guard-singular.ts';
import { analyse } from '../../../../compiler/semantics/analyse.ts';
import { portableTarget } from '../../../../kernels/target.ts';
import { type Data, stagesOf, valuesOf } from '../../../support/guarded-gradients.ts';

const infinity = Number.POSITIVE_INFINITY;

function hold(text: string, data: Data, want: Data): void {
  for (const [stage, program] of Object.entries(stagesOf(text))) {
    const values = valuesOf(program, data);
    for (const [name, right] of Object.entries(want)) {
      const wrong = `${name} is ${values[name]}, not ${right}, ${stage}:\n${printProgram(program)}`;
      right.forEach((r, n) => {
        const have = values[name][n];
        if (have !== r && !(Math.abs(have - r) <= 1e-12 * Math.abs(r))) expect.fail(wrong);
      });
    }
  }
}

describe('a guard inside', () => {
  const x = [-1, 0, 4];
  test.each([
    ['sqrt(relu(x[n]))', [0, 0, 2], [0, 0, 0.25]],
    ['sqrt(select(x[n] > 0, x[n], 0))', [0, 0, 2], [0, 0, 0.25]],
    ['log(relu(x[n]))', [-infinity, -infinity, Math.log(4)], [0, 0, 0.25]],
    // A tie gives its gradient to the first, and 1 / 0 has the slope -∞.
    ['1 / max(x[n], 0)', [infinity, infinity, 0.25], [0, -infinity, -0.0625]],
    ['1 / max(0, x[n])', [infinity, infinity, 0.25], [0, 0, -0.0625]],
    ['rsqrt(relu(x[n]))', [infinity, infinity, 0.5], [0, 0, -0.0625]],
    ['relu(x[n]) ^ 0.5', [0, 0, 2], [0, 0, 0.25]],
    ['relu(x[n]) ^ -1', [infinity, infinity, 0.25], [0, 0, -0.0625]],
    ['log(min(x[n], 0) + 1)', [-infinity, 0, 0], [infinity, 1, 0]],
    ['tanh(sqrt(relu(x[n])))', [0, 0, Math.tanh(2)], [0, 0, 0.25 * (1 - Math.tanh(2) ** 2)]],
  ])('%s', (e, y, gradient) => {
    hold(`axis n: 3 input x[n] y[n] = ${e}`, { x }, { y, x: gradient });
    // The guard, what is singular, and what comes after it, each a tensor.
    hold(`axis n: 3 input x[n] z[n] = ${e} y[n] = 1 * z[n]`, { x }, { x: gradient });
  });

  test('in another tensor than what is singular', () => {
    const text = 'axis n: 3 input x[n] r[n] = relu(x[n]) s[n] = sqrt(r[n]) t[n] = s[n] * 3 y = sum[n](t[n] * t[n] ^ 0)';
    hold(text, { x }, { x: [0, 0, 0.75] });
  });
});

describe('a guard around', () => {
  const x = [-1, 0, 4];
  test.each([
    ['select(x[n] > 0, log(x[n]), 0)', [0, 0, 0.25]],
    ['select(x[n] > 0, sqrt(x[n]) / x[n], 2)', [0, 0, -0.0625]],
    ['relu(log(x[n]))', [0, 0, 0.25]],
    ['min(1, 1 / x[n])', [-1, 0, -0.0625]],
  ])('%s', (e, gradient) => {
    hold(`axis n: 3 input x[n] y[n] = ${e}`, { x }, { x: gradient });
  });

  test('in another tensor than what is singular', () => {
    hold('axis n: 3 input x[n] l[n] = log(x[n]) y = sum[n](select(x[n] > 0, l[n], 0))', { x }, { x: [0, 0, 0.25] });
    hold(
      'axis n: 3 input x[n] l[n] = log(x[n]) y[n] = l[n] where n > 1',
      { x },
      { y: [0, 0, Math.log(4)], x: [0, 0, 0.25] },
    );
    hold(
      'axis n: 3 input x[n] l[n] = 1 / x[n] m[n] = l[n] * 2 y = sum[n](m[n] where n != 1)',
      { x },
      { x: [-2, 0, -0.125] },
    );
  });

  test('an exponential that is too large where its branch is not taken', () => {
    const large = [1, 2, 1000];
    const text = (e: string): string => `axis n: 3 input x[n] y[n] = select(x[n] < 10, ${e}, x[n])`;
    hold(text('exp(x[n])'), { x: large }, { x: [Math.exp(1), Math.exp(2), 1] });
    hold(text('exp(x[n]) / x[n]'), { x: large }, { x: [0, Math.exp(2) / 4, 1] });
  });

  test('of a matrix product whose other operand is infinite', () => {
    const text = `axis i, j: 2 input x[i, j], v[j], m[i]
      s[i] = sum[j](log(x[i, j]) * v[j])
      y = sum[i](select(m[i] > 0, s[i], 0))`.replace(', v[j], m[i]', ' input v[j] input m[i]');
    const data = { x: [0, 1, 2, 4], v: [1, 3], m: [-1, 1] };
    hold(text, data, { y: [Math.log(2) + 3 * Math.log(4)], v: [Math.log(2), Math.log(4)], x: [0, 0, 0.5, 0.75] });
  });
});

describe('a domain', () => {
  test('a divisor that is 0 only where it is excluded', () => {
    const text = 'axis a: 3, o: 2 input W[o] y = sum[a](W[o] / a where a > 0)';
    hold(text, { W: [1, 2] }, { y: [4.5], W: [1.5, 1.5] });
    hold(
      'axis a: 3, o: 2 input W[o, a] y[o, a] = tanh(W[o, a] / a) where a > 0',
      {},
      { y: [0, Math.tanh(1), Math.tanh(0.5), 0, Math.tanh(1), Math.tanh(0.5)] },
    );
    const slopes = [0, 1 - Math.tanh(1) ** 2, 0.5 * (1 - Math.tanh(0.5) ** 2)];
    hold('axis a: 3, o: 2 input W[o, a] y[o, a] = tanh(W[o, a] / a) where a > 0', {}, { W: [...slopes, ...slopes] });
    hold('axis a, b: 3, o: 2 input W[o] y = sum[a, b](W[o] / (a - b) where a > b)', {}, { W: [2.5, 2.5] });
  });

  test('a root of nothing, times an empty sum', () => {
    const text = 'axis i: 3, w: 2 input x[w, i] input s y[i] = rms[w](x[w, i] * s where i + w < 2)';
    const data = { x: [1, 2, 3, 4, 5, 6], s: [1] };
    const root = Math.sqrt(8.5);
    hold(text, data, { y: [root, 2, 0], s: [root + 2], x: [0.5 / root, 1, 0, 2 / root, 0, 0] });
  });

  test('a factor that is infinite for some results, and excluded from the others', () => {
    // y[t] sums u <= t: x[2] is 0, and nothing before y[2] sees it.
    const text = 'axis t, u: 3 input x[u] input L[t, u] r[u] = 1 / x[u] y[t] = sum[u](L[t, u] * r[u] where u <= t)';
    hold(text, { x: [1, 2, 0] }, { y: [1, 1.5, infinity], L: [1, 0, 0, 1, 0.5, 0, 1, 0.5, infinity] });
    const three =
      'axis t, u: 3, d: 2 input x[u] input L[t, u] input v[u, d] r[u] = 1 / x[u] y[t, d] = sum[u](L[t, u] * r[u] * v[u, d] where u <= t)';
    hold(three, { x: [1, 2, 0] }, { y: [1, 1, 1.5, 1.5, infinity, infinity], L: [2, 0, 0, 2, 1, 0, 2, 1, infinity] });
  });
});

describe('no guard is made where nothing can be infinite', () => {
  test.each([
    'axis n: 3 input x[n] y[n] = relu(x[n]) * 2',
    'axis n: 3, i: 4 input x[n, i] y[n, i] = relu(x[n, i] - mean[i](x[n, i])) / sqrt(var[i](x[n, i]) + 1e-5)',
    'axis t, u: 4 input q[t] input k[u] A[t, u] = softmax[u](q[t] * k[u] where u <= t) y[t] = sum[u](A[t, u] * relu(k[u]))',
    'axis t, u: 4 input q[t] input k[u] e[t, u] = exp(q[t] * k[u]) where u <= t y[t] = relu(sum[u](e[t, u] * k[u] where u <= t) / sum[u](exp(q[t] * k[u]) where u <= t))',
  ])('%s', (text) => {
    const { compiled } = stagesOf(text);
    const printed = printProgram(compiled);
    // A guard is a factor 1 or 0.
    expect(printed.replaceAll(/select\([^()]*(\[[^\]]*\])*[^()]*, 1, 0\)/g, '')).not.toContain('!= 0');
  });
});

test('the library has nothing that may be infinite, and so no guards', () => {
  for (const name of ['attention', 'bilinear_btt', 'bilinear_mlr', 'mlr_attention', 'sliding_window']) {
    const { source, resolve } = openSource(join(import.meta.dirname, `../../../structures/${name}.mlbtc`));
    const { program } = analyse({ source, resolve, sizes: {}, unbound: 'one' });
    const compiled = compileProgram(program!, { target: portableTarget, gradients: true }).program;
    const facts = factsOf(compiled.tensors);
    expect(compiled.tensors.filter((t) => !facts.bounds(t.name).finite).map((t) => t.name)).toEqual([]);
    expect(guardSingular(compiled)).toBe(compiled);
    expect(printProgram(compiled)).not.toContain('!= 0');
  }
});
