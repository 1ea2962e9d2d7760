/** Epilogues that reduce rows of a product's tiles, on ragged sizes, against the float64 interpreter. */
import { describe, expect, test } from 'vitest';
import { add, scale, subtract } from '../../../../compiler/ir/affine.ts';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { binary, constant, divide, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import type { Program, Reducer, Tensor } from '../../../../compiler/ir/program.ts';
import type { Plan } from '../../../../compiler/schedule/plan.ts';
import type { Target } from '../../../../kernels/target.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();
/** Shuffles reach four lanes on every device, so that what is exchanged otherwise is the same everywhere. */
const gpu: Target = {
  ...opened.target,
  class: 'gpu',
  subgroupSize: { min: 4, max: opened.target.subgroupSize?.max ?? 4 },
};
const tile = (tileN: number, columns: number, rows: number, slices = 1) => ({
  contraction: { form: 'tiled' as const, tileM: 16, tileN, tileK: 4, rows, columns, slices },
});

/** Products of a dispatch each, so that one with its epilogue is one. */
async function hold(p: Program, tileN: number, columns = 4, contractAll = true, rows = 4, slices = 1): Promise<Plan> {
  const options = { target: gpu, contractAll, combine: false, override: tile(tileN, columns, rows, slices) };
  const { worst, worstOutput, plan } = await compare(opened, p, feed(p), options);
  expect(worst, worstOutput).toBeLessThan(1e-5);
  return plan;
}

const makes = (plan: Plan): string[] => plan.kernels.map((kernel) => kernel.makes.join(' '));

/** y[t, h, e] = Σ_i x[t, i] W[h, e, i] */
const heads = (t: number, h: number, e: number, i = 7): Tensor[] => [
  input('x', [t, i]),
  input('W', [h, e, i]),
  computed(
    'y',
    [t, h, e],
    [
      over({ t, h, e, i }, ({ t, h, e, i }) => ({
        store: [t, h, e],
        value: product([at('x', t, i), at('W', h, e, i)]),
      })),
    ],
  ),
];

/** The norm of each head's features, with heads before tokens. */
function norm(t: number, h: number, e: number): Tensor[] {
  const extents = { t, h, e };
  return [
    computed(
      'mean',
      [h, t],
      [over(extents, ({ t, h, e }) => ({ store: [h, t], value: product([constant(1 / 4), at('y', t, h, e)]) }))],
    ),
    computed(
      'var',
      [h, t],
      [
        over(extents, ({ t, h, e }) => ({
          store: [h, t],
          value: binary('power', sum([at('y', t, h, e), product([constant(-1), at('mean', h, t)])]), constant(2)),
        })),
      ],
    ),
    computed(
      'q',
      [h, t, e],
      [
        over(extents, ({ t, h, e }) => ({
          store: [h, t, e],
          value: divide(
            sum([at('y', t, h, e), product([constant(-1), at('mean', h, t)])]),
            unary('sqrt', sum([at('var', h, t), constant(1e-2)])),
          ),
        })),
      ],
    ),
  ];
}

describe('a norm behind its product', () => {
  test.each([
    [5, 3, 4, 16, 4],
    [33, 2, 16, 16, 4],
    [17, 3, 8, 16, 4],
    [9, 5, 2, 16, 4],
    [20, 3, 8, 32, 8],
    [20, 1, 13, 16, 4],
  ])('%i tokens, %i heads of %i features, %i columns a tile, %i a thread', async (t, h, e, tileN, columns) => {
    const p = program([...heads(t, h, e), ...norm(t, h, e)], ['q', 'mean', 'var', 'y']);
    expect(makes(await hold(p, tileN, columns))).toEqual(['y mean var q']);
    expect(makes(await hold({ ...p, outputs: ['q'] }, tileN, columns))).toEqual(['y mean var q']);
  });

  // Tiles of 8, 16, 64 lanes side by side, in subgroups of 4 or 8; the widest has two rows of itself in a subgroup of 32.
  test.each([
    [5, 1, 32, 32, 4],
    [18, 1, 29, 32, 4],
    [19, 3, 16, 64, 4],
    [21, 2, 64, 64, 4],
    [9, 5, 8, 64, 4],
    [19, 1, 250, 256, 4],
    [5, 3, 64, 256, 4],
  ])(
    '%i tokens, %i heads of %i features, exchanged: %i columns a tile, %i a thread',
    async (t, h, e, tileN, columns) => {
      const p = program([...heads(t, h, e), ...norm(t, h, e)], ['q', 'mean', 'var', 'y']);
      const { wgsl, makes: made } = (await hold(p, tileN, columns)).kernels[0];
      expect(made).toEqual(['y', 'mean', 'var', 'q']);
      expect(wgsl).toContain('gathered_sum');
    },
  );

  test.each([
    [33, 2, 16, 16, 4, 4, 4],
    [17, 3, 8, 16, 4, 4, 2],
    [18, 1, 29, 32, 4, 8, 2],
    [9, 5, 8, 64, 4, 8, 2],
  ])(
    '%i tokens, %i heads of %i features, %i columns a tile, %i a thread of %i rows in %i slices',
    async (t, h, e, tileN, columns, rows, slices) => {
      const p = program([...heads(t, h, e), ...norm(t, h, e)], ['q', 'mean', 'var', 'y']);
      expect(makes(await hold(p, tileN, columns, true, rows, slices))).toEqual(['y mean var q']);
    },
  );

  test.each([
    [4, 1],
    [8, 2],
  ])(
    'exchanged in tiles side by side in a larger workgroup, beside another kernel: %i rows in %i slices',
    async (rows, slices) => {
      const other = over({ t: 9, u: 70 }, ({ t, u }) => ({ store: [t], value: at('z', t, u) }));
      const p = program(
        [...heads(63, 1, 30), ...norm(63, 1, 30), input('z', [9, 70]), computed('r', [9], [other])],
        ['q', 'r'],
      );
      const options = { target: gpu, contractAll: true, override: tile(32, 4, rows, slices) };
      const { worst, worstOutput, plan } = await compare(opened, p, feed(p), options);
      expect(worst, worstOutput).toBeLessThan(1e-5);
      expect(plan.kernels[0].wgsl).toContain('scratch_from');
      expect(makes(plan)).toEqual(['y mean var q r']);
    },
  );

  test('is a kernel of its own where a tile does not hold the row', async () => {
    const p = program([...heads(9, 2, 24), ...norm(9, 2, 24)], ['q']);
    expect(makes(await hold(p, 16))[0]).toBe('y');
  });

  test('and where lanes cannot tell each other', async () => {
    const p = program([...heads(9, 2, 8), ...norm(9, 2, 8)], ['q']);
    const target = { ...gpu, features: gpu.features.filter((f) => f !== 'subgroups') };
    const { plan } = await compare(opened, p, feed(p), { target, contractAll: true, combine: false });
    expect(makes(plan)[0]).toBe('y');
  });
});

test('Σ of a head, whose features are digits of a dimension, with another tensor', async () => {
  const [n, t, h, e] = [3, 5, 4, 8];
  const at8 = (o: Parameters<typeof scale>[0], f: Parameters<typeof scale>[0]) => add(scale(o, e), f);
  const p = program(
    [
      input('x', [n, t, 7]),
      input('W', [7, h * e]),
      input('z', [n, t, h * e]),
      computed(
        'y',
        [n, t, h * e],
        [
          over({ n, t, o: h * e, i: 7 }, ({ n, t, o, i }) => ({
            store: [n, t, o],
            value: product([at('x', n, t, i), at('W', i, o)]),
          })),
        ],
      ),
      computed(
        'D',
        [n, h, t],
        [
          over({ n, t, h, e }, ({ n, t, h, e }) => ({
            store: [n, h, t],
            value: product([constant(-1), at('y', n, t, at8(h, e)), at('z', n, t, at8(h, e))]),
          })),
        ],
      ),
    ],
    ['y', 'D'],
  );
  expect(makes(await hold(p, 16, 4, false))).toEqual(['y D']);
});

test.each([7, 8, 13, 16])('a causal softmax behind %i scores', async (t) => {
  const causal = ({ t, u }: { t: Parameters<typeof scale>[0]; u: Parameters<typeof scale>[0] }) => [
    { kind: 'nonnegative' as const, affine: subtract(t, u) },
  ];
  const p = program(
    [
      input('q', [3, t, 5]),
      input('k', [3, t, 5]),
      computed(
        'S',
        [3, t, t],
        [
          over({ b: 3, t, u: t, e: 5 }, ({ b, t, u, e }) => ({
            store: [b, t, u],
            value: product([at('q', b, t, e), at('k', b, u, e)]),
          })),
        ],
      ),
      computed(
        'L',
        [3, t],
        [
          over({ b: 3, t, u: t }, ({ b, t, u }) => ({
            store: [b, t],
            domain: causal({ t, u }),
            reducer: 'logsumexp',
            value: at('S', b, t, u),
          })),
        ],
      ),
      computed(
        'A',
        [3, t, t],
        [
          over({ b: 3, t, u: t }, ({ b, t, u }) => ({
            store: [b, t, u],
            domain: causal({ t, u }),
            value: unary('exp', sum([at('S', b, t, u), product([constant(-1), at('L', b, t)])])),
          })),
        ],
      ),
    ],
    ['A'],
  );
  const plan = await hold(p, 16);
  expect(plan.kernels.map(({ family }) => family)).toEqual(['contraction']);
  // Every token has itself, so nobody counts whether a row has anything.
  expect(plan.kernels[0].wgsl).not.toContain('found');
});

test.each([
  ['max', 3, 8, 16, 4],
  ['min', 3, 8, 16, 4],
  ['sum', 3, 8, 16, 4],
  ['max', 1, 30, 32, 8],
  ['min', 3, 8, 64, 8],
  ['sum', 1, 30, 32, 8],
] as const)(
  'the %s of a row, part of which its domain leaves out: %i of %i, %i columns a tile, %i rows a thread',
  async (reducer: Reducer, h, e, tileN, rows) => {
    const t = 22;
    const extents = { t, h, e };
    const p = program(
      [
        ...heads(t, h, e),
        computed(
          'r',
          [t, h],
          [
            over(extents, ({ t, h, e }) => ({
              store: [t, h],
              domain: [
                { kind: 'nonnegative', affine: subtract(subtract(t, e), { kind: 'affine', constant: 2, terms: [] }) },
              ],
              reducer,
              value: at('y', t, h, e),
            })),
          ],
        ),
      ],
      ['r', 'y'],
    );
    expect(makes(await hold(p, tileN, 4, true, rows))).toEqual(['y r']);
  },
);

describe('stays apart', () => {
  const together = async (tensor: Tensor): Promise<boolean> => {
    const p = program([...heads(6, 3, 8), tensor], ['y', tensor.name]);
    return makes(await hold(p, 16)).length === 1;
  };
  const extents = { t: 6, h: 3, e: 8 };
  test('what reduces other than the last axes', async () => {
    const over3 = over(extents, ({ t, h, e }) => ({ store: [t, e], value: at('y', t, h, e) }));
    expect(await together(computed('r', [6, 8], [over3]))).toBe(false);
  });

  test('what reads an element beside its own', async () => {
    const shifted = over({ t: 6, h: 3, e: 7 }, ({ t, h, e }) => ({
      store: [t, h],
      value: product([at('y', t, h, e), at('y', t, h, add(e, { kind: 'affine', constant: 1, terms: [] }))]),
    }));
    expect(await together(computed('r', [6, 3], [shifted]))).toBe(false);
  });

  test('what reads at its own place what is stored with dimensions exchanged', async () => {
    const [t, h, e] = [4, 4, 8];
    const turned = over({ t, h, e }, ({ t, h, e }) => ({ store: [t, h, e], value: unary('sin', at('q', t, h, e)) }));
    const p = program([...heads(t, h, e), ...norm(t, h, e), computed('z', [t, h, e], [turned])], ['z', 'q']);
    expect(makes(await hold(p, 16))).toEqual(['y mean var q', 'z']);
  });

  test('what reads its row turned around', async () => {
    const [a, b] = [4, 4];
    const square = over({ a, b, e: 8 }, ({ a, b, e }) => ({
      store: [a, b],
      value: product([at('y', a, b, e), at('y', b, a, e)]),
    }));
    const p = program([...heads(a, b, 8), computed('r', [a, b], [square])], ['y', 'r']);
    expect(makes(await hold(p, 16))).toHaveLength(2);
  });
});

describe('rows that lie across the lanes of small interleaved products', () => {
  /** y[t, h, b·a] = Σ_i x[t, i, h, b] W[h, b, a, i], an element of a row 4 · a + b, and the norm of its rows. */
  const interleaved = (t: number, h: number, a: number): Program => {
    const [b, i] = [4, 5];
    const product4 = over({ t, h, a, b, i }, ({ t, h, a, b, i }) => ({
      store: [t, h, add(scale(a, 4), b)],
      value: product([at('x', t, i, h, b), at('W', h, b, a, i)]),
    }));
    return program(
      [
        input('x', [t, i, h, b]),
        input('W', [h, b, a, i]),
        computed('y', [t, h, b * a], [product4]),
        ...norm(t, h, b * a),
      ],
      ['y', 'mean', 'var', 'q'],
    );
  };
  const run = async (p: Program): Promise<Plan> => {
    const contraction = { form: 'lanes' as const, tileM: 8, tileN: 4, tileK: 1, rows: 8, columns: 4 };
    const { worst, worstOutput, plan } = await compare(opened, p, feed(p), {
      target: gpu,
      contractAll: true,
      override: { contraction },
    });
    expect(worst, worstOutput).toBeLessThan(1e-5);
    return plan;
  };

  test.each([
    [16, 8, 4],
    [15, 8, 4],
    [13, 16, 3],
  ])('%i tokens, %i heads, %i × 4 features', async (t, h, a) => {
    expect(makes(await run(interleaved(t, h, a)))).toEqual(['y mean var q']);
  });

  test('are a kernel of their own where lanes are left over, or a lane has but a part of its columns', async () => {
    expect(makes(await run(interleaved(15, 6, 4)))[0]).toBe('y');
    expect(makes(await run(interleaved(16, 8, 5)))[0]).toBe('y');
  });
});
