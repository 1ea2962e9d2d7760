/**
 * What the matrix form computes, on any device: with its matrices as numbers (emulated-matrices.ts), on ragged sizes, in every order of axes,
 * with sums that are longer than tensor cores may make them.
 */
import { describe, expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { product } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../../compiler/ir/ndarray.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { longestSum } from '../../../../kernels/families/contraction/matrix-tile-sizes.ts';
import type { ContractionTuning } from '../../../../kernels/families/contraction/tuning.ts';
import { createExecutor } from '../../../../runtime/executor.ts';
import { testDevice } from '../../../support/device.ts';
import { emulateMatrices, withMatrices } from '../../../support/emulated-matrices.ts';
import { feed } from '../../../support/feed.ts';
import { relativeError } from '../../../support/relative-error.ts';

const opened = await testDevice();
const target = withMatrices(opened.target);

interface Sizes {
  readonly b: number;
  readonly i: number;
  readonly j: number;
  readonly k: number;
}

/** y[b, i, j] = Σ_k x · w, operands in either order; the sum of as many products as `pairs` says. */
function matmul({ b, i, j, k }: Sizes, left: 'ik' | 'ki', right: 'jk' | 'kj', pairs = 1): Program {
  const names = Array.from({ length: pairs }, (_, p) => [`x${p}`, `w${p}`] as const);
  const equations = names.map(([x, w]) =>
    over({ b, i, j, k }, ({ b, i, j, k }) => ({
      store: [b, i, j],
      value: product([
        left === 'ik' ? at(x, b, i, k) : at(x, b, k, i),
        right === 'jk' ? at(w, b, j, k) : at(w, b, k, j),
      ]),
    })),
  );
  const inputs = names.flatMap(([x, w]) => [
    input(x, left === 'ik' ? [b, i, k] : [b, k, i]),
    input(w, right === 'jk' ? [b, j, k] : [b, k, j]),
  ]);
  return program([...inputs, computed('y', [b, i, j], equations)], ['y']);
}

/** Relative L2 error of `y` against the interpreter. */
async function errorOf(p: Program, contraction: ContractionTuning): Promise<number> {
  const plan = schedule(p, { target, contractAll: true, override: { contraction } });
  expect(plan.kernels.map(({ tuning }) => tuning.form)).toEqual(['matrix']);
  const executor = await createExecutor(opened, emulateMatrices(plan));
  try {
    const inputs = new Map([...feed(p)].map(([name, v]) => [name, ndarray(v.shape, Float32Array.from(v.data))]));
    for (const [name, { data }] of inputs) executor.upload(name, Float32Array.from(data));
    executor.run();
    const made = (await executor.download('y')).get('y')!;
    return relativeError(made, interpret(p, inputs, ['y']).get('y')!.data);
  } finally {
    executor.destroy();
  }
}

const square: ContractionTuning = { form: 'matrix', tileM: 64, tileN: 64, tileK: 32, rows: 32, columns: 32 };
const small: ContractionTuning = { form: 'matrix', tileM: 32, tileN: 32, tileK: 16, rows: 16, columns: 32 };
const tolerance = 2e-6;

describe('against the interpreter', () => {
  test.each([
    ['ik', 'jk', { b: 1, i: 128, j: 64, k: 64 }, square],
    ['ki', 'kj', { b: 2, i: 92, j: 36, k: 100 }, square],
    ['ki', 'jk', { b: 1, i: 37, j: 41, k: 19 }, small],
    ['ik', 'kj', { b: 2, i: 70, j: 40, k: 52 }, small],
  ] as const)('x %s, w %s, %j, %j', async (left, right, sizes, tuning) => {
    expect(await errorOf(matmul(sizes, left, right), tuning)).toBeLessThan(tolerance);
  });
  // Primes, which cannot be made in pieces.
  test.each([1061, 2053])('a sum of %i', async (k) => {
    expect(k).toBeGreaterThan(longestSum);
    expect(await errorOf(matmul({ b: 1, i: 20, j: 24, k }, 'ik', 'kj'), small)).toBeLessThan(tolerance);
  });
  test('products that are too long together', async () => {
    expect(await errorOf(matmul({ b: 1, i: 20, j: 24, k: 600 }, 'ki', 'jk', 2), small)).toBeLessThan(tolerance);
  });
});
