import { describe, expect, test } from 'vitest';
import { nonFiniteCause } from '../../../compiler/analysis/non-finite.ts';
import { equationsOf } from '../../../compiler/ir/equation.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { analyse } from '../../../compiler/semantics/analyse.ts';

/** Why element `at` of `y` is not finite; every axis has extent 3. */
function cause(lines: readonly string[], given: Readonly<Record<string, readonly number[]>>, at: readonly number[]) {
  const inputs = Object.entries(given).map(([name, data]) => [name, data.length === 9 ? [3, 3] : [3], data] as const);
  const text = [
    'structure S {',
    '  axis i, j: 3',
    ...inputs.map(([name, shape]) => `  input ${name}[${shape.length === 2 ? 'i, j' : 'j'}]`),
    ...lines.map((line) => `  ${line}`),
    '  output y',
    '}\n',
  ].join('\n');
  const { program, diagnostics } = analyse({
    source: { file: 's.mlbtc', text },
    resolve: () => undefined,
    sizes: {},
    unbound: 'refuse',
  });
  if (program === undefined) throw new Error(JSON.stringify(diagnostics));
  const values = interpret(program, new Map(inputs.map(([name, shape, data]) => [name, ndarray(shape, data)])));
  const y = program.tensors.find(({ name }) => name === 'y')!;
  return nonFiniteCause(equationsOf(y), at, values);
}

describe('the operation that leaves the finite numbers', () => {
  test('inside an expression', () => {
    const found = cause(['y[j] = 2 * log(x[j] - 1) + x[j]'], { x: [3, 4, 0.5] }, [2]);
    expect(found?.operation).toEqual({ text: expect.stringMatching(/^log\(.*x\[j\].*\)$/), value: Number.NaN });
    expect(found?.inputs).toEqual([{ element: 'x[2]', value: 0.5 }]);
    expect(found?.equation.span).toBeDefined();
  });

  test('at one point of many of a sum', () => {
    const x = [1, 1, 1, 1, 0, 1, 1, 1, 1];
    const found = cause(['y[i] = sum[j](1 / x[i, j])'], { x }, [1]);
    expect(found?.operation).toMatchObject({ value: Number.POSITIVE_INFINITY });
    expect(found?.inputs).toEqual([{ element: 'x[1, 1]', value: 0 }]);
  });

  test('in the branch that is taken alone', () => {
    const found = cause(['y[j] = select(x[j] > 0, log(x[j]), sqrt(x[j]))'], { x: [1, -2, 1] }, [1]);
    expect(found?.operation?.text).toContain('sqrt');
  });

  test('what is beyond f32 counts as infinite, as on the device', () => {
    const found = cause(['y[j] = exp(x[j]) * 1e-20'], { x: [1, 90, 1] }, [1]);
    expect(found?.operation?.text).toBe('exp(x[j])');
  });

  test('no value of a sum: the sum itself', () => {
    const found = cause(['y[i] = sum[j](x[i, j])'], { x: new Array(9).fill(3e38) }, [2]);
    expect(found?.operation).toBeUndefined();
    expect(found?.inputs).toEqual([{ element: 'x[2, 0]', value: 3e38 }]);
  });
});
