// Two readings are an error whose help mends the file both ways; likely slips are warnings; one reading is left alone.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { analysed, diagnose, shown, tensor } from './support.ts';

const declared = `axis i, j, k: 3, t, u: 2, r: 2
  input a[i], b[i] input c[i] input d[i] input g[i] input s[t] input Q[r, i] input K[r, i] input x[t, i]`;
const declarations = declared.replace('input a[i], b[i]', 'input a[i] input b[i]');

/** The one diagnostic of an equation, and the expressions that its help offers. */
function helped(equation: string): { readonly diagnostic: string; readonly offers: readonly string[] } {
  const found = told(equation);
  expect(found).toHaveLength(1);
  const [, help] = found[0].split(' | ');
  return { diagnostic: found[0], offers: [...help.matchAll(/`([^`]*sum\[[^`]*)`/g)].map((m) => m[1]) };
}

/** What is told of an equation's sums; unused declarations are another matter. */
function told(equation: string): readonly string[] {
  const found = diagnose(`structure S {\n${declarations}\n${equation}\noutput y }`);
  return found.filter((d) => !d.startsWith('W02'));
}

function value(equation: string): readonly number[] {
  const { program, ...rest } = analysed(`structure S {\n${declarations}\n${equation}\noutput y }`);
  if (program === undefined) throw new Error(shown(rest as Parameters<typeof shown>[0]).join('\n'));
  const vectors = { a: [1, 2, 3], b: [2, -1, 1], c: [1, 1, 2], d: [3, 1, -1], g: [1, 2, -1], s: [1, 2] };
  const matrices = {
    Q: [
      [1, 0, 2],
      [0, 1, 1],
    ],
    K: [
      [1, 1, 0],
      [2, 0, 1],
    ],
    x: [
      [1, 2, 3],
      [0, -1, 1],
    ],
  };
  const given = Object.entries({ ...vectors, ...matrices }).map(([name, nested]) => [name, tensor(nested)] as const);
  const y = interpret(program, new Map(given)).get('y');
  return [...(y?.data ?? [])];
}

describe('two readings', () => {
  test.each<[equation: string, column: number, apart: string, once: string]>([
    [
      'y = silu(a[i] * b[i]) * (c[i] * d[i])',
      5,
      'silu(sum[i](a[i] * b[i])) * sum[i](c[i] * d[i])',
      'sum[i](silu(a[i] * b[i]) * (c[i] * d[i]))',
    ],
    [
      'y[t, u] = Q[r, i] * x[t, i] * (K[r, i] * x[u, i])',
      11,
      'Q[r, i] * x[t, i] * sum[i](K[r, i] * x[u, i])',
      'sum[i](Q[r, i] * x[t, i] * (K[r, i] * x[u, i]))',
    ],
    ['y = (a[i] * b[i]) * c[i]', 5, 'sum[i](a[i] * b[i]) * sum[i](c[i])', 'sum[i]((a[i] * b[i]) * c[i])'],
    ['y = a[i] / (b[i] * c[i])', 5, 'sum[i](a[i]) / sum[i](b[i] * c[i])', 'sum[i](a[i] / (b[i] * c[i]))'],
    ['y = exp(a[i] * b[i]) / c[i]', 5, 'sum[i](exp(sum[i](a[i] * b[i])) / c[i])', 'sum[i](exp(a[i] * b[i]) / c[i])'],
    ['y = (a[i] * b[i])^2 * c[i]', 5, 'sum[i](a[i] * b[i])^2 * sum[i](c[i])', 'sum[i]((a[i] * b[i])^2 * c[i])'],
    ['y = 2^(a[i] * b[i]) * c[i]', 5, '2^sum[i](a[i] * b[i]) * sum[i](c[i])', 'sum[i](2^(a[i] * b[i]) * c[i])'],
    ['y = -(a[i] * b[i]) * c[i]', 5, '-sum[i](a[i] * b[i]) * sum[i](c[i])', 'sum[i](-(a[i] * b[i]) * c[i])'],
    [
      'y = a[i] * (b[i] * g[i] + c[i])',
      5,
      'a[i] * (sum[i](b[i] * g[i]) + c[i])',
      'sum[i](a[i] * (b[i] * g[i] + c[i]))',
    ],
    [
      'y = max(a[i] * b[i], c[i] + 1) * 2',
      5,
      'sum[i](max(sum[i](a[i] * b[i]), c[i] + 1)) * 2',
      'sum[i](max(a[i] * b[i], c[i] + 1) * 2)',
    ],
    [
      'y[t] = softmax[u](x[t, i] * x[u, i]) * s[u] * x[u, i]',
      8,
      'softmax[u](sum[i](x[t, i] * x[u, i])) * s[u] * sum[i](x[u, i])',
      'sum[i](softmax[u](x[t, i] * x[u, i]) * s[u] * x[u, i])',
    ],
    [
      'y[t, r] = layernorm[r](Q[r, i] * x[t, i], K[r, i]) * s[t] * c[i] * d[i]',
      11,
      'layernorm[r](sum[i](Q[r, i] * x[t, i]), K[r, i]) * s[t] * c[i] * d[i]',
      'sum[i](layernorm[r](Q[r, i] * x[t, i], K[r, i]) * s[t] * c[i] * d[i])',
    ],
    // In a longer right-hand side the product alone is written anew.
    [
      'y = 1 + a[j] * (b[i] * c[i] // that\n * d[j]) * g[i]',
      9,
      'a[j] * sum[i](b[i] * c[i] * d[j]) * sum[i](g[i])',
      'sum[i](a[j] * (b[i] * c[i] * d[j]) * g[i])',
    ],
  ])('%s', (equation, column, apart, once) => {
    const { diagnostic, offers } = helped(equation);
    expect(diagnostic).toMatch(new RegExp(`^E0607 4:${column} two readings: `));
    expect(offers).toEqual([apart, once]);
    for (const offer of offers) {
      const mended = equation.slice(0, column - 1) + offer;
      expect(told(mended)).toEqual([]);
      expect(value(mended)).not.toContain(Number.NaN);
    }
  });

  test('both are what they say', () => {
    const { offers } = helped('y = (a[i] * b[i])^2 * (c[i] * d[i])');
    expect(value(`y = ${offers[0]}`)).toEqual([3 ** 2 * 2]);
    expect(value(`y = ${offers[1]}`)).toEqual([2 ** 2 * 3 + (-2) ** 2 * 1 + 3 ** 2 * -2]);
  });

  test('two axes at once are one error', () => {
    const { offers } = helped('y = Q[r, i] * x[t, i] * s[t] * exp(K[r, i] * Q[r, i])');
    expect(offers).toEqual([
      'Q[r, i] * x[t, i] * s[t] * exp(sum[r, i](K[r, i] * Q[r, i]))'.replace('Q[r, i] * x', 'sum[r](Q[r, i]) * x'),
      'sum[r, i](Q[r, i] * x[t, i] * s[t] * exp(K[r, i] * Q[r, i]))',
    ]);
    for (const offer of offers) expect(told(`y = ${offer}`)).toEqual([]);
  });
});

describe('one reading', () => {
  test.each([
    'y = exp(a[i]) * b[i]',
    'y = (a[i] + b[i]) * c[i]',
    'y = a[i] * (layernorm[i](b[i], g[i]) + c[i])',
    'y = exp(a[i] * b[i]) * c[j] * d[j]',
    'y = (a[i] * b[i]) * (c[j] * d[j])',
    'y = a[i] * (b[i] * 2)',
    'y = (a[i] * b[i]) / sqrt(3)',
    'y = (a[i] * b[i] + c[i] * d[i])^2 * 3',
    'y[t] = exp(x[t, i] * g[i]) * s[t]',
    // The axis stands on the left, or is bound: nothing is summed by the rule.
    'y[i] = a[i] * (b[i] * c[i])',
    'y[i] = a[i] * silu(b[i] * c[i])',
    'y = sum[i](a[i] * (b[i] * c[i]))',
    'y = mean[i](a[i] / (b[i] * c[i]))',
    'y = a[i] * softmax[i](b[i] * c[i])',
    'y = a[i] * b[i] * sum[i](c[i] * d[i])',
    'y = a[i] * max[*](b[i] * c[i]) * d[i]',
    'y[i] = layernorm[i](a[i] * b[i], g[i]) * c[i]',
    'y = (a[i] * b[i] - 1) * 2',
    'y = (s[t] * (a[i] - 2) * s[t]) * b[i]',
  ])('%s', (equation) => {
    expect(told(equation).filter((d) => d.startsWith('E'))).toEqual([]);
  });

  const vectors = ['a', 'b', 'c', 'd', 'g'];
  const leaf = fc.constantFrom(...vectors);
  // Products in which no region holds two factors of an axis that also stands outside it.
  const factor = (axis: string) =>
    fc.oneof(
      leaf.map((v) => `${v}[${axis}]`),
      leaf.map((v) => `exp(${v}[${axis}])`),
      leaf.map((v) => `(${v}[${axis}] * 2)`),
      fc.tuple(leaf, leaf).map(([v, w]) => `(${v}[${axis}] - ${w}[${axis}])`),
      leaf.map((v) => `softmax[${axis}](${v}[${axis}] * 3)`),
      leaf.map((v) => `layernorm[${axis}](${v}[${axis}], g[${axis}] * 2)`),
      leaf.map((v) => `sum[${axis}](${v}[${axis}] * ${v}[${axis}])`),
    );
  test('is never refused, whatever the product', () => {
    const product = fc.tuple(
      leaf.map((v) => `${v}[i]`),
      fc.array(fc.oneof(factor('i'), factor('j')), { minLength: 1, maxLength: 5 }),
      // An axis that stands in a region alone is summed there.
      fc.option(fc.tuple(leaf, leaf).map(([v, w]) => `silu(${v}[k] * ${w}[k])`)),
      leaf.map((v) => `${v}[j]`),
    );
    fc.assert(
      fc.property(product, fc.constantFrom('*', '* 2 *'), ([first, more, own, last], by) => {
        const equation = `y = ${[first, ...more, ...(own === null ? [] : [own]), last].join(` ${by} `)}`;
        expect(told(equation).filter((d) => d.startsWith('E'))).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  test('and two are refused wherever the pair stands, with both ways out', () => {
    const region = fc.tuple(
      leaf,
      leaf,
      fc.constantFrom('exp(_)', '(_)', '(_)^2', 'tanh(1 + _)', '(_ - 1)', 'abs((_))'),
    );
    const product = fc.tuple(
      fc.array(factor('i'), { maxLength: 2 }),
      region.map(([v, w, shape]) => shape.replace('_', `${v}[i] * ${w}[i]`)),
      fc.array(factor('i'), { maxLength: 2 }),
      leaf.map((v) => `${v}[i]`),
    );
    fc.assert(
      fc.property(product, ([before, pair, after, last]) => {
        const equation = `y = ${[...before, pair, ...after, last].join(' * ')}`;
        const { diagnostic, offers } = helped(equation);
        expect(diagnostic).toContain('E0607 4:5');
        for (const offer of offers) expect(told(`y = ${offer}`).filter((d) => !d.startsWith('W0602'))).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});

describe('likely slips', () => {
  test.each([
    ['y[t] = x[t, i] * s[t]', 'W0601 4:8', '`x[t, i]`', 'sum[i](x[t, i] * s[t])'],
    ['y = 3 * a[i]', 'W0601 4:5', '`a[i]`', 'sum[i](3 * a[i])'],
    ['y = a[i] / 2 + s[t] * s[t]', 'W0601 4:5', '`a[i]`', 'sum[i](a[i] / 2)'],
    ['y = (a[i] + b[i] * c[i]) * 2', 'W0601 4:5', '`(a[i] + b[i] * c[i])`', 'sum[i]((a[i] + b[i] * c[i]) * 2)'],
    [
      'y[t, u] = Q[r, i] * x[t, i] * K[r, i] * x[u, i]',
      'W0602 4:11',
      '`x` twice',
      'sum[i](Q[r, i] * x[t, i] * K[r, i] * x[u, i])',
    ],
    ['y = a[i] * (b[i]) * a[i]', 'W0602 4:5', '`a` twice', 'sum[i](a[i] * (b[i]) * a[i])'],
  ])('%s', (equation, place, what, offer) => {
    const { diagnostic, offers } = helped(equation);
    expect(diagnostic.startsWith(place)).toBe(true);
    expect(diagnostic).toContain(what);
    expect(offers).toEqual([offer]);
    const column = Number(place.split(':')[1]);
    const rest = equation.includes(' + s[t]') ? ' + s[t] * s[t]' : '';
    expect(told(equation.slice(0, column - 1) + offer + rest)).toEqual([]);
  });

  test.each([
    'y = a[i] * b[i]',
    'y[t, u] = x[t, i] * x[u, i]',
    'y = a[i] * b[i] * c[i] * d[i]',
    'y = g[i] * a[i] * sigmoid(a[i])',
    'y[t, u] = Q[r, i] * x[t, i] * K[r, j] * x[u, j]',
    'y = sum[i](3 * a[i])',
    'y = a[i] * i',
    'y = a[i] * select(i <= 1, 1, 0)',
  ])('%s is none', (equation) => {
    expect(told(equation)).toEqual([]);
  });
});
