/**
 * What the matrix form computes, on any device: with its matrices as numbers (emulated-matrices.ts), on ragged sizes, in every order of axes,
 * with sums that are longer than tensor cores may make them.
 */
import { describe, expect, test } from 'vitest';
import { subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { product, sum, unary } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../../compiler/ir/ndarray.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import type { Halves } from '../../../../compiler/schedule/halves.ts';
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

interface MaskedSizes {
  readonly h: number;
  readonly t: number;
  readonly u: number;
  readonly j: number;
}

/** y[h, t, j] = Σ_u x[h, t, u] · w[u, j] where u ≤ t, or t ≤ u; tiles are of (h, t). */
function triangular({ h, t, u, j }: MaskedSizes, least: 't' | 'u'): Program {
  const equation = over({ h, t, u, j }, ({ h, t, u, j }) => ({
    store: [h, t, j],
    domain: [atLeastZero(least === 'u' ? subtract(t, u) : subtract(u, t))],
    value: product([at('x', h, t, u), at('w', u, j)]),
  }));
  return program([input('x', [h, t, u]), input('w', [u, j]), computed('y', [h, t, j], [equation])], ['y']);
}

/** y[t, j] = Σ_(h, u) x[h, t, u] · w[h, u, j] where u ≤ t: only u is cut short. */
function triangularSums({ h, t, u, j }: MaskedSizes): Program {
  const equation = over({ h, t, u, j }, ({ h, t, u, j }) => ({
    store: [t, j],
    domain: [atLeastZero(subtract(t, u))],
    value: product([at('x', h, t, u), at('w', h, u, j)]),
  }));
  return program([input('x', [h, t, u]), input('w', [h, u, j]), computed('y', [t, j], [equation])], ['y']);
}

/** y[h, t, u] = Σ_j x[t, j] · w[h, u, j] where u ≤ t: some tiles of t and (h, u) lie outside. */
function triangularResults({ h, t, u, j }: MaskedSizes): Program {
  const equation = over({ h, t, u, j }, ({ h, t, u, j }) => ({
    store: [h, t, u],
    domain: [atLeastZero(subtract(t, u))],
    value: product([at('x', t, j), at('w', h, u, j)]),
  }));
  return program([input('x', [t, j]), input('w', [h, u, j]), computed('y', [h, t, u], [equation])], ['y']);
}

/** y = Σ_k x · w, and o = gelu(y) + z behind it; both are stored. */
function withEpilogue({ i, j, k }: Omit<Sizes, 'b'>): Program {
  const y = over({ i, j, k }, ({ i, j, k }) => ({ store: [i, j], value: product([at('x', i, k), at('w', j, k)]) }));
  const o = over({ i, j }, ({ i, j }) => ({
    store: [i, j],
    value: sum([unary('gelu', at('y', i, j)), at('z', i, j)]),
  }));
  const inputs = [input('x', [i, k]), input('w', [j, k]), input('z', [i, j])];
  return program([...inputs, computed('y', [i, j], [y]), computed('o', [i, j], [o])], ['y', 'o']);
}

type Weight = (name: string, at: number) => number;

function weighted(p: Program, weight: Weight): Map<string, NdArray> {
  const scale = (name: string, { shape, data }: NdArray): NdArray =>
    ndarray(
      shape,
      Float32Array.from(data, (x, at) => x * weight(name, at)),
    );
  return new Map([...feed(p)].map(([name, v]) => [name, scale(name, v)]));
}

/** What one kernel makes of them, however long its sums; `halves`: of an operand that others have taken apart before. */
async function made(
  p: Program,
  contraction: ContractionTuning,
  inputs: ReadonlyMap<string, NdArray>,
  halves: Halves = 'never',
) {
  const options = { target, contractAll: true, halves, override: { contraction } };
  const whole = Object.fromEntries(Object.keys(schedule(p, options).choices.pieces).map((key) => [key, 1]));
  const plan = schedule(p, { ...options, choices: { pieces: whole } });
  expect(plan.kernels.at(-1)!.tuning.form).toBe('matrix');
  expect(plan.kernels.slice(0, -1).map(({ family }) => family)).toEqual(halves === 'never' ? [] : ['row', 'halves']);
  const executor = await createExecutor(opened, emulateMatrices(plan));
  try {
    for (const [name, { data }] of inputs) executor.upload(name, Float32Array.from(data));
    executor.run();
    return await executor.download(...p.outputs);
  } finally {
    executor.destroy();
  }
}

/** Relative L2 error of the outputs against the interpreter, the largest. */
async function errorOf(
  p: Program,
  contraction: ContractionTuning,
  weight: Weight = () => 1,
  halves: Halves = 'never',
): Promise<number> {
  const inputs = weighted(p, weight);
  const [have, want] = [await made(p, contraction, inputs, halves), interpret(p, inputs, p.outputs)];
  return Math.max(...p.outputs.map((name) => relativeError(have.get(name)!, want.get(name)!.data)));
}

const square: ContractionTuning = { form: 'matrix', tileM: 64, tileN: 64, tileK: 32, rows: 32, columns: 32 };
const small: ContractionTuning = { form: 'matrix', tileM: 32, tileN: 32, tileK: 16, rows: 16, columns: 32 };
const tolerance = 2e-6;

describe('masks, against the interpreter', () => {
  test.each([
    [{ h: 3, t: 64, u: 96, j: 36 }, 't'],
    [{ h: 2, t: 50, u: 44, j: 20 }, 't'],
    [{ h: 2, t: 37, u: 41, j: 19 }, 'u'],
  ] as const)('on an operand: %j, %s the least', async (sizes, least) => {
    expect(await errorOf(triangular(sizes, least), small)).toBeLessThan(tolerance);
  });
  test.each([
    { h: 3, t: 64, u: 64, j: 36 },
    // Longer than tensor cores may add up; primes, which cannot be made in pieces.
    { h: 29, t: 40, u: 37, j: 20 },
  ])('on one of two reduced axes: %j', async (sizes) => {
    expect(await errorOf(triangularSums(sizes), small)).toBeLessThan(tolerance);
  });
  test.each([
    { h: 3, t: 64, u: 64, j: 64 },
    { h: 2, t: 37, u: 41, j: 20 },
  ])('on the results: %j', async (sizes) => {
    expect(await errorOf(triangularResults(sizes), small)).toBeLessThan(tolerance);
  });
});

describe('against the interpreter', () => {
  test.each([
    ['ik', 'jk', { b: 1, i: 128, j: 64, k: 64 }, square],
    ['ki', 'kj', { b: 2, i: 92, j: 36, k: 100 }, square],
    ['ki', 'jk', { b: 1, i: 37, j: 41, k: 19 }, small],
    ['ik', 'kj', { b: 2, i: 70, j: 40, k: 52 }, small],
  ] as const)('x %s, w %s, %j, %j', async (left, right, sizes, tuning) => {
    expect(await errorOf(matmul(sizes, left, right), tuning)).toBeLessThan(tolerance);
  });
  test.each([1061, 2053, 2 * longestSum])('a sum of %i', async (k) => {
    expect(k).toBeGreaterThan(longestSum);
    expect(await errorOf(matmul({ b: 1, i: 20, j: 24, k }, 'ik', 'kj'), small)).toBeLessThan(tolerance);
  });
  // Scales come from what is first in k: from 10^-3, from 0, and of the first of two products.
  test.each([
    ['later ones are 10^6 times the first', 1, (_: string, k: number) => (k < 32 ? 1e-3 : 1e3)],
    ['the first are 0', 1, (_: string, k: number) => (k < 40 ? 0 : 1)],
    ['what is added to them is 10^8 times as large', 2, (name: string) => (name.endsWith('0') ? 1e-4 : 1e4)],
    ['what is added to them is 10^-6 as large', 2, (name: string) => (name.endsWith('0') ? 1 : 1e-6)],
  ] as const)('where %s', async (_, pairs, weight) => {
    const k = 100;
    const p = matmul({ b: 1, i: 37, j: 41, k }, 'ik', 'jk', pairs);
    expect(await errorOf(p, small, (name, at) => weight(name, at % k))).toBeLessThan(tolerance);
  });
  // What outgrows the scales of a stretch fits those of the next, which are chosen with it: 1024 and more of one product, a product of two.
  test.each([
    [1, 2 * longestSum, (_: string, k: number) => (k < 32 ? 1e-3 : 1e3)],
    [1, 2053, (_: string, k: number) => (k < 32 ? 1e-3 : 1e3)],
    [2, 100, (name: string, k: number) => (name.endsWith('1') || k >= 32 ? 1e3 : 1e-3)],
  ] as const)('where later ones of the first stretch outgrow it: %i products of %i', async (pairs, k, weight) => {
    const p = matmul({ b: 1, i: 20, j: 24, k }, 'ik', 'jk', pairs);
    expect(await errorOf(p, small, (name, at) => weight(name, at % k))).toBeLessThan(tolerance);
  });
  // Operands along m and n have their scales of the last slab too, short sums of parts of all slabs.
  test.each([
    ['later ones are 10^6 times the first', 100, (k: number) => (k < 32 ? 1e-3 : 1e3)],
    ['those between are 10^6 times the first and the last', 100, (k: number) => (k < 32 || k > 70 ? 1e-3 : 1e3)],
    [
      'those between are, in the first stretch',
      2 * longestSum,
      (k: number) => (k < 32 || (k > 990 && k < 1024) ? 1e-3 : 1e3),
    ],
    ['those are that are not looked at', 100, (k: number, column: number) => (k < 32 || column % 8 < 4 ? 1e-3 : 1e3)],
    [
      'those are that are not looked at, in the first stretch',
      2 * longestSum,
      (k: number, column: number) => (k < 32 || k >= 1024 || column % 8 < 4 ? 1e-3 : 1e3),
    ],
  ] as const)('along m and n, where %s', async (_, k, weight) => {
    const size = 20;
    const p = matmul({ b: 1, i: size, j: size, k }, 'ki', 'kj');
    expect(await errorOf(p, small, (_, at) => weight(Math.floor(at / size), at % size))).toBeLessThan(tolerance);
  });
  // Columns in quads, in quads beyond the last tile, and not; with totals.
  test.each([
    { i: 64, j: 64, k: 16 },
    { i: 37, j: 44, k: 20 },
    { i: 20, j: 41, k: 19 },
    { i: 8, j: 36, k: 1061 },
  ])('an epilogue that reads: %j', async (sizes) => {
    expect(await errorOf(withEpilogue(sizes), small)).toBeLessThan(tolerance);
  });
  // Met in the first slab, in a later one, or where the scale is outgrown too.
  test.each([
    [3, 1],
    [40, 1],
    [40, 1e6],
  ])(
    'what is not finite at k %i, later ones %f times the first: its row is not, and no other',
    async (place, growth) => {
      const [i, k] = [37, 100];
      const p = matmul({ b: 1, i, j: 41, k }, 'ik', 'jk');
      const inputs = weighted(p, (_, at) => (at % k < 32 ? 1 : growth));
      const want = interpret(p, inputs, ['y']).get('y')!.data;
      inputs.get('x0')!.data[2 * k + place] = Number.POSITIVE_INFINITY;
      const have = (await made(p, small, inputs)).get('y')!;
      const row = (data: ArrayLike<number>, m: number) => Array.from(data).slice(m * 41, (m + 1) * 41);
      expect(row(have, 2).some(Number.isFinite)).toBe(false);
      for (let m = 0; m < i; m++)
        if (m !== 2) expect(relativeError(row(have, m), row(want, m))).toBeLessThan(tolerance);
    },
  );
  // Sums that go to totals in a loop, and once, written out, behind the second; it outgrows the scales of the first.
  test.each([
    [600, 2],
    [352, 3],
  ])('products that are too long together: of %i, %i of them', async (k, pairs) => {
    const p = matmul({ b: 1, i: 20, j: 24, k }, 'ki', 'jk', pairs);
    expect(await errorOf(p, small, (name) => (name.endsWith('1') ? 1e3 : 1))).toBeLessThan(tolerance);
  });
});

describe('where an operand lies in memory as two f16, against the interpreter', () => {
  /** Column n of j. */
  const column = (data: ArrayLike<number>, n: number, j: number) => Array.from(data).filter((_, at) => at % j === n);
  test.each([
    ['ik', 'jk', { b: 1, i: 37, j: 41, k: 72 }, small],
    ['ki', 'kj', { b: 2, i: 92, j: 40, k: 100 }, square],
    ['ki', 'jk', { b: 1, i: 37, j: 41, k: 24 }, small],
    ['ik', 'kj', { b: 2, i: 70, j: 40, k: 52 }, small],
    // w is no octets, so it is x.
    ['ki', 'jk', { b: 1, i: 40, j: 41, k: 19 }, small],
  ] as const)('x %s, w %s, %j, %j', async (left, right, sizes, tuning) => {
    expect(await errorOf(matmul(sizes, left, right), tuning, () => 1, 'always')).toBeLessThan(tolerance);
  });
  test.each([1064, 2 * longestSum])('a sum of %i', async (k) => {
    expect(await errorOf(matmul({ b: 1, i: 20, j: 24, k }, 'ik', 'kj'), small, () => 1, 'always')).toBeLessThan(
      tolerance,
    );
  });
  // Each w of several products has a scale of its own; of nothing but 0 it is the largest there is.
  test.each([
    ['w grows', (name: string, p: number) => (name.startsWith('w') ? 10 ** (4 * p - 4) : 1)],
    ['w shrinks', (name: string, p: number) => (name.startsWith('w') ? 10 ** (4 - 4 * p) : 1)],
    ['x grows as w shrinks', (name: string, p: number) => 10 ** ((name.startsWith('w') ? -8 : 8) * (p - 1))],
    ['one w is 0', (name: string, p: number) => (name.startsWith('w') && p === 1 ? 0 : 1)],
    ['the first w is 0', (name: string, p: number) => (name.startsWith('w') && p === 0 ? 0 : 1)],
  ] as const)('of three products, where %s', async (_, weight) => {
    const p = matmul({ b: 1, i: 37, j: 41, k: 104 }, 'ik', 'jk', 3);
    const error = await errorOf(p, small, (name) => weight(name, Number(name.at(-1))), 'always');
    expect(error).toBeLessThan(tolerance);
  });
  test('later ones of x outgrow the first, in each of two products and of two stretches', async () => {
    for (const [pairs, k] of [
      [2, 104],
      [1, 2 * longestSum],
    ]) {
      const p = matmul({ b: 1, i: 20, j: 24, k }, 'ik', 'jk', pairs);
      const weight: Weight = (name, at) => (name.startsWith('x') && at % k >= 32 ? 1e6 : 1);
      expect(await errorOf(p, small, weight, 'always')).toBeLessThan(tolerance);
    }
  });
  // A row of w is a column of y.
  test('columns of very different size are each as exact', async () => {
    const [i, j, k] = [37, 40, 104];
    const p = matmul({ b: 1, i, j, k }, 'ik', 'jk');
    const inputs = weighted(p, (name, at) => (name === 'w0' ? 10 ** -(Math.floor(at / k) % 8) : 1));
    const have = (await made(p, small, inputs, 'always')).get('y')!;
    const want = interpret(p, inputs, ['y']).get('y')!.data;
    for (let n = 0; n < j; n++) expect(relativeError(column(have, n, j), column(want, n, j))).toBeLessThan(tolerance);
  });
  test('of what is not finite in w its column is not, and no other', async () => {
    const [i, j, k] = [37, 40, 104];
    const p = matmul({ b: 1, i, j, k }, 'ik', 'jk');
    const inputs = weighted(p, () => 1);
    const want = interpret(p, inputs, ['y']).get('y')!.data;
    inputs.get('w0')!.data[2 * k + 40] = Number.POSITIVE_INFINITY;
    inputs.get('w0')!.data[5 * k + 3] = Number.NaN;
    const have = (await made(p, small, inputs, 'always')).get('y')!;
    for (let n = 0; n < j; n++) {
      if (n === 2 || n === 5) expect(column(have, n, j).some(Number.isFinite)).toBe(false);
      else expect(relativeError(column(have, n, j), column(want, n, j))).toBeLessThan(tolerance);
    }
  });
});
