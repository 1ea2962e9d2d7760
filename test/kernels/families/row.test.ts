/** The row family with one lane a row and with several, through workgroup memory and through shuffles. */
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { binary, constant, negate, product, sum, unary } from '../../../compiler/ir/expression.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import type { Affine, Program, Reducer } from '../../../compiler/ir/program.ts';
import { fewRows } from '../../../compiler/schedule/normalise/pieces.ts';
import { type ScheduleOptions, schedule } from '../../../compiler/schedule/schedule.ts';
import type { RowTuning } from '../../../kernels/families/row.ts';
import { portableTarget, type Target } from '../../../kernels/target.ts';
import { testDevice } from '../../support/device.ts';
import { feed } from '../../support/feed.ts';
import { compare, relativeError, runOnDevice } from '../../support/run-on-device.ts';

const opened = await testDevice();

const subgroup = opened.target.features.includes('subgroups') ? (opened.target.subgroupSize?.min ?? 0) : 0;
const tunings: Readonly<Record<string, RowTuning>> = {
  '1 lane': { lanes: 1, workgroupSize: 4, shuffle: false },
  '8 lanes': { lanes: 8, workgroupSize: 16, shuffle: false },
  '32 lanes': { lanes: 32, workgroupSize: 32, shuffle: false },
  '1 lane, quads': { lanes: 1, workgroupSize: 4, shuffle: false, quads: true },
  '4 lanes, quads': { lanes: 4, workgroupSize: 16, shuffle: false, quads: true },
  '8 lanes, quads': { lanes: 8, workgroupSize: 16, shuffle: false, quads: true },
  ...(subgroup >= 2 ? { shuffle: { lanes: Math.min(subgroup, 8), workgroupSize: 32, shuffle: true } } : {}),
};

function forced(tuning: RowTuning): Partial<ScheduleOptions> {
  // The cpu class, so that long sums are not cut into pieces.
  return { target: { ...opened.target, class: 'cpu', unrollsLoops: tuning.lanes === 1 }, override: { row: tuning } };
}

async function hold(p: Program, tuning: RowTuning, families: readonly string[] = ['row']): Promise<void> {
  const { worst, worstOutput, plan } = await compare(opened, p, feed(p), forced(tuning));
  expect(plan.kernels.map((kernel) => kernel.family)).toEqual(families);
  expect(worst, worstOutput).toBeLessThan(2e-6);
}

const cases: Record<string, Program> = {};

for (const reducer of ['sum', 'max', 'min', 'logsumexp'] satisfies Reducer[]) {
  // Rows 0 and 1 are empty: 0 whatever the reducer.
  cases[`${reducer}, ragged, some rows empty`] = program(
    [
      input('x', [3, 7, 33]),
      computed(
        'y',
        [3, 7],
        [
          over({ b: 3, t: 7, u: 33 }, ({ b, t, u }) => ({
            store: [b, t],
            reducer,
            domain: [atLeastZero(subtract(scale(t, 5), add(u, affine(7))))],
            value: at('x', b, t, u),
          })),
        ],
      ),
    ],
    ['y'],
  );
}

function softmax(heads: number, tokens: number): Program {
  const axes = { h: heads, t: tokens, u: tokens };
  return program(
    [
      input('S', [heads, tokens, tokens]),
      computed(
        'L',
        [heads, tokens],
        [
          over(axes, ({ h, t, u }) => ({
            store: [h, t],
            reducer: 'logsumexp',
            domain: [atLeastZero(subtract(t, u))],
            value: at('S', h, t, u),
          })),
        ],
      ),
      computed(
        'A',
        [heads, tokens, tokens],
        [
          over(axes, ({ h, t, u }) => ({
            store: [h, t, u],
            domain: [atLeastZero(subtract(t, u))],
            value: unary('exp', sum([at('S', h, t, u), negate(at('L', h, t))])),
          })),
        ],
      ),
      computed(
        'e',
        [heads, tokens],
        [over(axes, ({ h, t, u }) => ({ store: [h, t], value: product([at('A', h, t, u), at('S', h, t, u)]) }))],
      ),
    ],
    ['L', 'A', 'e'],
  );
}
cases['causal softmax, and a sum that rereads it'] = softmax(3, 17);

function layerNorm(rows: number, width: number): Program {
  const axes = { t: rows, i: width };
  const centred = ({ t, i }: { t: Parameters<typeof at>[1]; i: Parameters<typeof at>[1] }) =>
    sum([at('x', t, i), negate(at('mean', t))]);
  return program(
    [
      input('x', [rows, width]),
      input('g', [width]),
      computed(
        'mean',
        [rows],
        [over(axes, ({ t, i }) => ({ store: [t], value: product([constant(1 / width), at('x', t, i)]) }))],
      ),
      computed(
        'variance',
        [rows],
        [
          over(axes, ({ t, i }) => ({
            store: [t],
            value: product([constant(1 / width), binary('power', centred({ t, i }), constant(2))]),
          })),
        ],
      ),
      computed(
        'y',
        [rows, width],
        [
          over(axes, ({ t, i }) => ({
            store: [t, i],
            value: product([centred({ t, i }), unary('rsqrt', sum([at('variance', t), constant(1e-5)])), at('g', i)]),
          })),
        ],
      ),
    ],
    ['y', 'mean'],
  );
}
cases['layer norm'] = layerNorm(9, 31);
cases['layer norm in quads'] = layerNorm(9, 32);

/** Points of two axes, the last of them side by side in memory. */
cases['quads along one of two axes, stored transposed'] = program(
  [
    input('x', [3, 8, 2, 4]),
    input('g', [4, 8]),
    computed(
      'm',
      [3, 2],
      [
        over({ a: 3, b: 2, r: 4, k: 8 }, ({ a, b, r, k }) => ({
          store: [a, b],
          value: product([at('x', a, k, b, r), at('g', r, k)]),
        })),
      ],
    ),
    computed(
      'y',
      [2, 3, 8, 4],
      [
        over({ a: 3, b: 2, r: 4, k: 8 }, ({ a, b, r, k }) => ({
          store: [b, a, k, r],
          value: product([sum([at('x', a, k, b, r), negate(at('m', a, b))]), at('g', r, k)]),
        })),
      ],
    ),
    computed(
      'z',
      [2, 4, 8, 3],
      [
        over({ a: 3, b: 2, r: 4, k: 8 }, ({ a, b, r, k }) => ({
          store: [b, r, k, a],
          value: product([at('x', a, k, b, r), at('m', a, b)]),
        })),
      ],
    ),
  ],
  ['m', 'y', 'z'],
);

cases['map transposed, rows of rank 2'] = program(
  [
    input('x', [2, 5, 7]),
    computed(
      'm',
      [2, 5],
      [over({ a: 2, b: 5, i: 7 }, ({ a, b, i }) => ({ store: [a, b], reducer: 'max', value: at('x', a, b, i) }))],
    ),
    computed(
      'y',
      [7, 5, 2],
      [
        over({ i: 7, b: 5, a: 2 }, ({ i, b, a }) => ({
          store: [i, b, a],
          value: sum([at('x', a, b, i), at('m', a, b)]),
        })),
      ],
    ),
  ],
  ['m', 'y'],
);
cases['two inner axes, digits'] = program(
  [
    input('x', [5, 12]),
    input('w', [3, 4]),
    computed(
      'y',
      [5],
      [
        over({ t: 5, p: 3, q: 4 }, ({ t, p, q }) => ({
          store: [t],
          domain: [{ kind: 'nonzero', affine: subtract(p, q) }],
          value: product([at('x', t, add(scale(p, 4), q)), at('w', p, q)]),
        })),
      ],
    ),
  ],
  ['y'],
);
cases['one scalar out of everything'] = program(
  [
    input('x', [7, 13]),
    computed('y', [], [over({ i: 7, j: 13 }, ({ i, j }) => ({ store: [], reducer: 'min', value: at('x', i, j) }))]),
  ],
  ['y'],
);

describe.each(Object.entries(tunings))('%s', (_, tuning) => {
  test.each(Object.entries(cases))('%s', (_name, p) => hold(p, tuning));
});

test('logsumexp keeps large and small values', async () => {
  const p = program(
    [
      input('x', [4, 3]),
      computed(
        'y',
        [4],
        [over({ t: 4, u: 3 }, ({ t, u }) => ({ store: [t], reducer: 'logsumexp', value: at('x', t, u) }))],
      ),
    ],
    ['y'],
  );
  const data = [1000, 999, -1000, -1e30, -1e30, -1e30, 3e38, 1, 2, -80, -90, -100];
  for (const tuning of Object.values(tunings)) {
    const { values } = await runOnDevice(opened, p, new Map([['x', ndarray([4, 3], data)]]), forced(tuning));
    const want = [1000 + Math.log1p(Math.exp(-1)), -1e30, 3e38, -80 + Math.log1p(Math.exp(-10) + Math.exp(-20))];
    want.forEach((value, row) => {
      expect(relativeError([values.get('y')!.data[row]], [value]), `row ${row}`).toBeLessThan(1e-6);
    });
  }
});

/** Of row t the first 5 - t are present; the rest is 5, as `whole` shows. */
test.each(['max', 'min', 'logsumexp'] as const)(
  '%s of nothing but -inf, of the lowest number, of nothing',
  async (reducer) => {
    const [none, lowest] = [Number.NEGATIVE_INFINITY, -3.4028234663852886e38];
    const rows = [
      [none, none, none, none, none],
      [lowest, lowest, lowest, lowest, lowest],
      [7, none, none, 5, 5],
      [none, none, 5, 5, 5],
      [-none, 5, 5, 5, 5],
      [5, 5, 5, 5, 5],
    ];
    const axes = { b: 6, u: 5 };
    const p = program(
      [
        input('x', [6, 5]),
        computed(
          'y',
          [6],
          [
            over(axes, ({ b, u }) => ({
              store: [b],
              reducer,
              domain: [atLeastZero(subtract(affine(4), add(b, u)))],
              value: at('x', b, u),
            })),
          ],
        ),
        computed('whole', [6], [over(axes, ({ b, u }) => ({ store: [b], reducer, value: at('x', b, u) }))]),
      ],
      ['y', 'whole'],
    );
    const inputs = new Map([['x', ndarray([6, 5], Float64Array.from(rows.flat()))]]);
    const want = interpret(p, inputs);
    expect([...want.get('y')!.data].map(Math.fround)).toEqual([
      none,
      lowest,
      reducer === 'min' ? none : 7,
      none,
      -none,
      0,
    ]);
    for (const tuning of Object.values(tunings)) {
      const { values } = await runOnDevice(opened, p, inputs, forced(tuning));
      for (const name of p.outputs)
        values.get(name)!.data.forEach((value, row) => {
          const right = Math.fround(want.get(name)!.data[row]);
          if (value !== right)
            expect(Math.abs(value / right - 1), `${name}[${row}] is ${value}, not ${right}`).toBeLessThan(1e-6);
        });
    }
    // The same without rows: a thread an element.
    const { values } = await runOnDevice(opened, p, inputs, { fuse: false });
    expect([...values.get('y')!.data].map(Math.fround)).toEqual([...want.get('y')!.data].map(Math.fround));
  },
);

describe('a map that a reduction of its rows reads first', () => {
  const [b, h, t, r] = [fewRows / 11, 2, 11, 4];
  /** q[b, h, t, r] in three pieces, its largest value of a token, and both. */
  const p = program(
    [
      input('pieces', [3, b, h, t, r]),
      computed(
        'q',
        [b, h, t, r],
        [
          over({ b, h, t, r }, (axes) => ({
            store: [axes.b, axes.h, axes.t, axes.r],
            value: sum([0, 1, 2].map((n) => at('pieces', affine(n), axes.b, axes.h, axes.t, axes.r))),
          })),
        ],
      ),
      computed(
        'm',
        [b, t],
        [
          over({ b, t, h, r }, (axes) => ({
            store: [axes.b, axes.t],
            reducer: 'max',
            value: at('q', axes.b, axes.h, axes.t, axes.r),
          })),
        ],
      ),
      computed(
        'y',
        [b, t, h, r],
        [
          over({ b, t, h, r }, (axes) => ({
            store: [axes.b, axes.t, axes.h, axes.r],
            value: product([at('q', axes.b, axes.h, axes.t, axes.r), at('m', axes.b, axes.t)]),
          })),
        ],
      ),
    ],
    ['q', 'm', 'y'],
  );
  test.each(Object.entries(tunings))('%s', async (_, row) => {
    const target: Target = { ...opened.target, class: 'gpu', unrollsLoops: row.lanes === 1 };
    const { worst, worstOutput, plan } = await compare(opened, p, feed(p), { target, override: { row } });
    expect(plan.kernels.map(({ makes }) => makes)).toEqual([['q', 'm', 'y']]);
    expect(worst, worstOutput).toBeLessThan(2e-6);
  });

  test('where one kernel may bind what both need', () => {
    const [t, r] = [fewRows, 4];
    const inputs = Array.from({ length: 6 }, (_, n) => `x${n}`);
    const atRow = (name: string, axes: { readonly t: Affine; readonly r: Affine }) => at(name, axes.t, axes.r);
    const of = (more: readonly string[]) =>
      program(
        [
          ...[...inputs, ...more].map((name) => input(name, [t, r])),
          computed(
            'q',
            [t, r],
            [over({ t, r }, (axes) => ({ store: [axes.t, axes.r], value: sum(inputs.map((x) => atRow(x, axes))) }))],
          ),
          computed(
            'm',
            [t],
            [
              over({ t, r }, (axes) => ({
                store: [axes.t],
                value: product(['q', ...more].map((name) => atRow(name, axes))),
              })),
            ],
          ),
        ],
        ['q', 'm'],
      );
    const kernelsOf = (p: Program) => schedule(p, { target: portableTarget, combine: false }).kernels;
    expect(kernelsOf(of([])).map(({ makes }) => makes)).toEqual([['q', 'm']]);
    const apart = kernelsOf(of(['w']));
    expect(apart.map(({ makes }) => makes)).toEqual([['q'], ['m']]);
    for (const { bindings } of apart)
      expect(bindings.length).toBeLessThanOrEqual(portableTarget.limits.maxStorageBuffersPerShaderStage);
  });
});

test('a map over one long row is not left to one workgroup', async () => {
  const p = program(
    [
      input('g', [20_000]),
      computed('norm', [], [over({ i: 20_000 }, ({ i }) => ({ store: [], value: product([at('g', i), at('g', i)]) }))]),
      computed(
        'y',
        [20_000],
        [
          over({ i: 20_000 }, ({ i }) => ({
            store: [i],
            value: product([at('g', i), unary('rsqrt', at('norm'))]),
          })),
        ],
      ),
    ],
    ['y'],
  );
  const { worst, plan } = await compare(opened, p, feed(p), { target: { ...opened.target, class: 'cpu' } });
  expect(plan.kernels.map((kernel) => kernel.family)).toEqual(['row', 'loop']);
  expect(worst).toBeLessThan(1e-5);
});

/** Rounds of a real grid: more rows than 65,535 workgroups of one row each. */
test('more rows than workgroups of one dimension', async () => {
  const rows = 66_000;
  const p = program(
    [
      input('x', [rows, 2]),
      computed(
        'y',
        [rows],
        [over({ t: rows, i: 2 }, ({ t, i }) => ({ store: [t], reducer: 'max', value: at('x', t, i) }))],
      ),
    ],
    ['y'],
  );
  const tuning: RowTuning = { lanes: 2, workgroupSize: 2, shuffle: false };
  const { worst, plan } = await compare(opened, p, feed(p), forced(tuning));
  expect(plan.kernels[0].workgroups).toEqual([33_000, 2, 1]);
  expect(worst).toBe(0);
});
