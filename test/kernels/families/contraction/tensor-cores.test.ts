/**
 * The matrix form where a device has tensor cores, skipped elsewhere: what it computes on ragged sizes and in every order of axes against
 * the interpreter, its error beside that of the tiled form, and what is not finite.
 */
import { describe, expect, test } from 'vitest';
import { subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { constant, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import { type NdArray, ndarray } from '../../../../compiler/ir/ndarray.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import type { Halves } from '../../../../compiler/schedule/halves.ts';
import { longestSum, matrixCandidates } from '../../../../kernels/families/contraction/matrix-tile-sizes.ts';
import { tiledCandidates } from '../../../../kernels/families/contraction/tile-sizes.ts';
import type { ContractionTuning } from '../../../../kernels/families/contraction/tuning.ts';
import { hasTensorCores } from '../../../../kernels/target.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { normed } from '../../../support/normed.ts';
import { type OperandKind, one, operandKinds, type Weight } from '../../../support/operand-kinds.ts';
import { normals, uniforms } from '../../../support/random-values.ts';
import { compare, runOnDevice } from '../../../support/run-on-device.ts';

const opened = await testDevice();
const candidates = matrixCandidates(opened.target);
const forced = (contraction: ContractionTuning) => ({ contractAll: true, override: { contraction } });

interface Order {
  readonly left: 'ik' | 'ki';
  readonly right: 'jk' | 'kj';
}

/** y[b, i, j] = Σ_k x · w, operands in either order. */
function matmul([b, i, j, k]: readonly number[], { left, right }: Order): Program {
  const equation = over({ b, i, j, k }, ({ b, i, j, k }) => ({
    store: [b, i, j],
    value: product([
      left === 'ik' ? at('x', b, i, k) : at('x', b, k, i),
      right === 'jk' ? at('w', b, j, k) : at('w', b, k, j),
    ]),
  }));
  return program(
    [
      input('x', left === 'ik' ? [b, i, k] : [b, k, i]),
      input('w', right === 'jk' ? [b, j, k] : [b, k, j]),
      computed('y', [b, i, j], [equation]),
    ],
    ['y'],
  );
}

const orders: readonly Order[] = [
  { left: 'ik', right: 'jk' },
  { left: 'ik', right: 'kj' },
  { left: 'ki', right: 'kj' },
  { left: 'ki', right: 'jk' },
];

/** Largest error of an element relative to Σ|x||w|, of y[i, j] = Σ_k x[i, k] · w[j, k]; `halves`: w is taken apart beforehand. */
async function errorOf(
  x: NdArray,
  w: NdArray,
  contraction: ContractionTuning,
  halves: Halves = 'never',
): Promise<number> {
  const [i, k] = x.shape;
  const [j] = w.shape;
  const p = matmul([1, i, j, k], orders[0]);
  const { values, plan } = await runOnDevice(
    opened,
    p,
    new Map([
      ['x', ndarray([1, i, k], x.data)],
      ['w', ndarray([1, j, k], w.data)],
    ]),
    { ...forced(contraction), halves },
  );
  expect(plan.kernels.map(({ tuning }) => tuning.form)).toContain(contraction.form);
  expect(plan.kernels.some(({ family }) => family === 'halves')).toBe(halves === 'always');
  const y = values.get('y')!.data;
  const [a, b] = [Float32Array.from(x.data), Float32Array.from(w.data)];
  let worst = 0;
  for (let m = 0; m < i; m++) {
    for (let n = 0; n < j; n++) {
      let [exact, size] = [0, 0];
      for (let l = 0; l < k; l++) {
        const value = a[m * k + l] * b[n * k + l];
        exact += value;
        size += Math.abs(value);
      }
      if (size > 0) worst = Math.max(worst, Math.abs(y[m * j + n] - exact) / size);
    }
  }
  return worst;
}

function weighted({ shape, data }: NdArray, weight: Weight): NdArray {
  return ndarray(
    shape,
    Float32Array.from(data, (x, at) => x * weight(Math.floor(at / shape[1]), at % shape[1])),
  );
}

describe.skipIf(!hasTensorCores(opened.target))('on tensor cores', () => {
  const sizes = [
    [1, 128, 128, 64],
    [2, 192, 132, 100],
    [3, 37, 41, 19],
    [1, 70, 260, longestSum + 37],
    [1, 5, 3, 700],
  ];
  const cases = candidates.flatMap((tuning) => [
    ...orders.map((order) => ({ tuning, size: sizes[0], order })),
    ...sizes.slice(1).map((size, i) => ({ tuning, size, order: orders[i % orders.length] })),
  ]);
  test.each(cases)('$size, $order, $tuning', async ({ tuning, size, order }) => {
    const p = matmul(size, order);
    const { worst, plan } = await compare(opened, p, feed(p), forced(tuning));
    expect(plan.kernels[0].tuning.form).toBe('matrix');
    expect(worst).toBeLessThan(2e-6);
  });

  test.each(candidates)(
    'products of different orders and scales into the same sums, an epilogue: $tileM × $tileN',
    async (tuning) => {
      const [i, j, k] = [150, 140, 68];
      const p = program(
        [
          input('x', [i, k]),
          input('w', [j, k]),
          input('v', [k, i]),
          input('u', [k, j]),
          input('z', [i, j]),
          computed(
            'y',
            [i, j],
            [
              over({ i, j, k }, ({ i, j, k }) => ({ store: [i, j], value: product([at('x', i, k), at('w', j, k)]) })),
              over({ i, j, k }, ({ i, j, k }) => ({
                store: [i, j],
                value: product([constant(0.7), at('v', k, i), at('u', k, j)]),
              })),
            ],
          ),
          computed(
            'o',
            [i, j],
            [
              over({ i, j }, ({ i, j }) => ({
                store: [i, j],
                value: sum([unary('gelu', at('y', i, j)), product([constant(0.5), at('z', i, j)])]),
              })),
            ],
          ),
        ],
        ['o'],
      );
      const { worst } = await compare(opened, p, feed(p), forced(tuning));
      expect(worst).toBeLessThan(2e-6);
    },
  );

  const masks = candidates.flatMap((tuning) =>
    [
      [2, 160, 96, 192],
      [1, 256, 128, 256],
      [1, 37, 41, 19],
    ].flatMap((size) => (['k <= t', 't <= k'] as const).map((mask) => ({ tuning, size, mask }))),
  );
  test.each(masks)('a domain of (h, t) and k, $mask: $size, $tuning', async ({ tuning, size: [b, t, j, k], mask }) => {
    const p = program(
      [
        input('x', [2, b, t, k]),
        input('w', [b, k, j]),
        computed(
          'y',
          [2, b, t, j],
          [
            over({ h: 2, b, t, j, k }, ({ h, b, t, j, k }) => ({
              store: [h, b, t, j],
              domain: [atLeastZero(mask === 'k <= t' ? subtract(t, k) : subtract(k, t))],
              value: product([at('x', h, b, t, k), at('w', b, k, j)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
    const { worst, plan } = await compare(opened, p, feed(p), forced(tuning));
    expect(plan.kernels[0].tuning.form).toBe('matrix');
    expect(worst).toBeLessThan(2e-6);
  });

  test.each(candidates)('norms of rows behind their product: $tileM × $tileN', async (tuning) => {
    const cases = [
      [300, 3, 64, 100],
      [77, 5, 16, 36],
      [130, 2, 32, longestSum + 37],
    ] as const;
    const wide = [
      [150, 1, 256, 200],
      [75, 1, 250, longestSum + 37],
    ] as const;
    for (const [t, h, e, i] of tuning.tileN < 256 ? cases : [...cases, ...wide]) {
      const p = { ...normed(t, h, e, i), outputs: ['y', 'mean', 'var', 'q'] };
      const { worst, plan } = await compare(opened, p, feed(p), { ...forced(tuning), combine: false });
      expect(plan.kernels.map((kernel) => kernel.makes)).toEqual([['y', 'mean', 'var', 'q']]);
      expect(worst).toBeLessThan(1e-5);
    }
  });

  test('several in one dispatch', async () => {
    const [i, j, k] = [96, 80, 64];
    const made = (name: string, left: string, right: string) =>
      computed(
        name,
        [i, j],
        [over({ i, j, k }, ({ i, j, k }) => ({ store: [i, j], value: product([at(left, i, k), at(right, j, k)]) }))],
      );
    const p = program(
      [input('x', [i, k]), input('v', [i, k]), input('w', [j, k]), made('y', 'x', 'w'), made('z', 'v', 'w')],
      ['y', 'z'],
    );
    for (const tuning of candidates) {
      const { worst, plan } = await compare(opened, p, feed(p), forced(tuning));
      expect(plan.kernels).toHaveLength(1);
      expect(worst).toBeLessThan(1e-6);
    }
  });

  const kinds: Readonly<Record<string, OperandKind>> = {
    ...operandKinds,
    'one in 300 10^4 times the others': { weight: (row, k) => ((row * 7 + k) % 301 === 7 ? 1e4 : 1) },
    'growing along k': { weight: (_, k) => Math.exp((k % 1024) / 32 - 16) },
  };
  const [tiled] = tiledCandidates(opened.target);
  test.each(Object.keys(kinds).flatMap((kind) => [512, 1024, 8192].map((k) => [kind, k] as const)))(
    'at most four times the error of the tiled form, or six: %s, %i',
    async (kind, k) => {
      const { weight, isPositive = false } = kinds[kind];
      // Of one sign and in several pieces, what tensor cores cut off adds up, and what is rounded cancels: 1.33e-6 and 2.49e-7 on an H100.
      const most = isPositive && k > longestSum ? 6 : 4;
      const draw = (seed: number) => (isPositive ? uniforms([128, k], seed, 0, 1) : normals([128, k], seed));
      const [x, w] = [weighted(draw(1), weight), weighted(draw(2), kind.startsWith('rows') ? weight : one)];
      const plain = await errorOf(x, w, tiled);
      for (const tuning of candidates)
        for (const halves of ['never', 'always'] as const)
          expect(await errorOf(x, w, tuning, halves)).toBeLessThanOrEqual(most * plain);
    },
  );

  test('what is not finite makes its row not finite, and no other', async () => {
    const [i, k] = [64, 64];
    const x = weighted(normals([i, k], 1), (row, at) =>
      row === 2 && at === 40 ? Number.POSITIVE_INFINITY : row === 21 && at === 9 ? Number.NaN : 1,
    );
    const w = normals([i, k], 2);
    const p = matmul([1, i, i, k], orders[0]);
    for (const tuning of candidates) {
      const inputs = (a: NdArray) =>
        new Map([
          ['x', ndarray([1, i, k], a.data)],
          ['w', ndarray([1, i, k], w.data)],
        ] as const);
      const made = (await runOnDevice(opened, p, inputs(x), forced(tuning))).values.get('y')!.data;
      const clean = ndarray(
        x.shape,
        x.data.map((value) => (Number.isFinite(value) ? value : 0)),
      );
      const want = (await runOnDevice(opened, p, inputs(clean), forced(tuning))).values.get('y')!.data;
      for (let m = 0; m < i; m++) {
        const row = made.slice(m * i, (m + 1) * i);
        if (m === 2 || m === 21) expect(row.some(Number.isFinite)).toBe(false);
        else expect(row).toEqual(want.slice(m * i, (m + 1) * i));
      }
    }
  });

  test('the same bits every time', async () => {
    const p = matmul([1, 300, 200, 700], orders[2]);
    const inputs = feed(p);
    const read = async () => (await runOnDevice(opened, p, inputs, forced(candidates[0]))).values.get('y')!.data;
    expect(await read()).toEqual(await read());
  });
});
