/** `mlbtc run` on the device against the interpreter, for structures of every kind; and what it says of tensors that do not fit. */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { relativeError } from '../support/run-on-device.ts';
import {
  f32,
  i32,
  interpreted,
  randomTensors,
  runTensors,
  type Sizes,
  withFile,
  writtenProgram,
} from '../support/run-structure.ts';

const shared = (name: string): string => fileURLToPath(new URL(`../structures/${name}.mlbtc`, import.meta.url));

async function holds(file: string, sizes: Sizes, tolerance = 2e-5): Promise<void> {
  const program = writtenProgram(file, sizes);
  const tensors = randomTensors(program);
  const wanted = interpreted(program, tensors);
  const results = await runTensors({ file, sizes, tensors, vjp: true });
  expect([...results.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [name, { shape, data }] of wanted) {
    expect(results.get(name)!.shape).toEqual(shape);
    expect(relativeError(results.get(name)!.data as Float32Array, data), name).toBeLessThan(tolerance);
  }
}

describe('shared structures, values and gradients', () => {
  const cases: readonly (readonly [string, Sizes])[] = [
    ['btt', { D: 36, N: 3 }],
    ['mlr', { D: 24, ranks: [3, 2, 1], B: 5 }],
    ['butterfly', { depth: 3, N: 2 }],
    ['tensor_train', { N: 2, m: 2 }],
    ['attention', { D: 24, H: 4, B: 2, T: 7 }],
    ['bilinear_btt', { D: 12, H: 2, N: 2, T: 5 }],
    ['sliding_window', { D: 16, H: 2, B: 1, T: 9, w: 3 }],
  ];
  test.each(cases)('%s %o', async (name, sizes) => {
    await holds(shared(name), sizes, 1e-4);
  });
});

describe('every program that check accepts', () => {
  const programs: Readonly<Record<string, readonly [string, Sizes]>> = {
    'a scalar output': [
      'structure S { axis i: I  input x[i]  param g ~ ones  loss = g * sum[i](x[i]^2)  output loss }',
      { I: 5 },
    ],
    'an output that is an input': ['structure S { axis i: I  input x[i]  y[i] = 2 * x[i]  output x, y }', { I: 4 }],
    'an output that is a param, read twice': [
      'structure S { axis i: I  param w[i] ~ zeros  y[i] = w[i] * w[i]  output w, y, w }',
      { I: 3 },
    ],
    'an input that nothing reads': [
      'structure S { axis i: I  input x[i], z[i]  y[i] = x[i]  output y }'.replace(', z[i]', ' input z[i]'),
      { I: 3 },
    ],
    'a constant, nothing given': ['structure S { axis i: 4  y[i] = i^2 + 1  output y }', {}],
    'an output of zeros': ['structure S { axis i: I  input x[i]  y[i] = x[i] where i < 0  output y }', { I: 3 }],
    'a gather and a scatter-add': [
      'structure S { axis v: 3, i: 4, b: B  input t[b]: i32  param E[v, i] ~ normal(std = 1)  y[b, i] = E[t[b], i]  output y }',
      { B: 7 },
    ],
    'integers as numbers, and put out': [
      'structure S { axis b: B  input t[b]: i32  input x[b]  y[b] = x[b] * t[b]  output y, t }',
      { B: 6 },
    ],
    'a structure in a structure': [
      `import "btt"
       structure S { axis n: N, i: 16  input z[n, i]  use BTT(D = 16, x = z) as m  y[n, i] = tanh(m.y[n, i])  output y, m.y }`,
      { N: 2 },
    ],
    'levels with members named': [
      'structure S { size depth = 3 axis i, j: 5 input x[i] z.0[i] = x[i] level l in 0 .. depth - 1 { param U[i, j] ~ ones z.(l + 1)[i] = sin(U[i, j] * z.l[j]) } output z.depth }',
      {},
    ],
    'names with a taken look': [
      'structure S { axis i: 3  input grad[i]  param cot[i] ~ ones  y[i] = grad[i] * cot[i]  output y }',
      {},
    ],
  };
  test.each(Object.entries(programs))('%s', async (_, [text, sizes]) => {
    await withFile(text, (file) => holds(file, sizes));
  });
});
