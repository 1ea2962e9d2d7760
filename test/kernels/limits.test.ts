/** Grids beyond what one dimension takes, and kernels that would bind more buffers than the device allows. */
import { describe, expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../compiler/ir/build.ts';
import { product, sum, unary } from '../../compiler/ir/expression.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { ScheduleOptions } from '../../compiler/schedule/schedule.ts';
import type { ContractionTuning } from '../../kernels/families/contraction/tuning.ts';
import type { Target, TargetLimits } from '../../kernels/target.ts';
import { testDevice } from '../support/device.ts';
import { feed } from '../support/feed.ts';
import { compare } from '../support/run-on-device.ts';

const opened = await testDevice();

function limited(limits: Partial<TargetLimits>, kind: 'cpu' | 'gpu' = 'cpu'): Target {
  return { ...opened.target, class: kind, limits: { ...opened.target.limits, ...limits } };
}

async function hold(p: Program, options: Partial<ScheduleOptions> & { target: Target }): Promise<readonly number[][]> {
  const { worst, worstOutput, plan } = await compare(opened, p, feed(p), options);
  expect(worst, worstOutput).toBeLessThan(1e-5);
  const { maxComputeWorkgroupsPerDimension, maxStorageBuffersPerShaderStage } = options.target.limits;
  for (const { workgroups, bindings } of plan.kernels) {
    expect(Math.max(...workgroups)).toBeLessThanOrEqual(maxComputeWorkgroupsPerDimension);
    expect(bindings.length).toBeLessThanOrEqual(maxStorageBuffersPerShaderStage);
  }
  return plan.kernels.map((kernel) => [...kernel.workgroups]);
}

/** y[i] = sin(x[i]) */
const mapOf = (n: number): Program =>
  program(
    [
      input('x', [n]),
      computed('y', [n], [over({ i: n }, ({ i }) => ({ store: [i], value: unary('sin', at('x', i)) }))]),
    ],
    ['y'],
  );

/** y[b, i, j] = Σ_k a[b, i, k] c[b, j, k] */
const batchedProduct = (b: number, i: number, j: number, k: number): Program =>
  program(
    [
      input('a', [b, i, k]),
      input('c', [b, j, k]),
      computed(
        'y',
        [b, i, j],
        [
          over({ b, i, j, k }, ({ b, i, j, k }) => ({
            store: [b, i, j],
            value: product([at('a', b, i, k), at('c', b, j, k)]),
          })),
        ],
      ),
    ],
    ['y'],
  );

describe('at most 4 workgroups a dimension', () => {
  const target = limited({ maxComputeWorkgroupsPerDimension: 4 });
  test.each([
    [256, [4, 1, 1]],
    [257, [3, 2, 1]],
    [1000, [4, 4, 1]],
    [1025, [3, 3, 2]],
    [4096, [4, 4, 4]],
  ])('loop over %i elements', async (n, grid) => {
    expect(await hold(mapOf(n), { target })).toEqual([grid]);
  });
  test('a loop beyond all three dimensions is refused with words', async () => {
    await expect(compare(opened, mapOf(4097), feed(mapOf(4097)), { target })).rejects.toThrow('beyond the grid');
  });
  test.each([4, 5, 17, 33])('%i rows, one a workgroup', async (rows) => {
    const p = program(
      [
        input('x', [rows, 6]),
        computed(
          'y',
          [rows],
          [over({ t: rows, i: 6 }, ({ t, i }) => ({ store: [t], reducer: 'max', value: at('x', t, i) }))],
        ),
        computed(
          'z',
          [rows, 6],
          [over({ t: rows, i: 6 }, ({ t, i }) => ({ store: [t, i], value: sum([at('x', t, i), at('y', t)]) }))],
        ),
      ],
      ['y', 'z'],
    );
    await hold(p, { target, override: { row: { lanes: 2, workgroupSize: 2, shuffle: false } } });
  });
  const tunings: readonly ContractionTuning[] = [
    { form: 'tiled', tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 },
    { form: 'direct', tileM: 8, tileN: 8, tileK: 1, rows: 4, columns: 4 },
    { form: 'lanes', tileM: 4, tileN: 4, tileK: 1, rows: 4, columns: 4 },
    ...(opened.features.includes('subgroups')
      ? ([{ form: 'subgroup', tileM: 8, tileN: 16, tileK: 1, rows: 8, columns: 4 }] as const)
      : []),
  ];
  describe.each(tunings)('$form', (contraction) => {
    test.each([
      [1, 33, 33],
      [5, 7, 5],
      [3, 40, 20],
      [7, 17, 17],
    ])('%i batches of %i × %i', async (b, i, j) => {
      await hold(batchedProduct(b, i, j, 3), { target, contractAll: true, override: { contraction } });
    });
  });
});

describe('beyond 65,535 workgroups', () => {
  const target = limited({ maxComputeWorkgroupsPerDimension: 65_535 });
  test('loop', async () => {
    expect(await hold(mapOf(65_535 * 64 + 1), { target })).toEqual([[32_768, 2, 1]]);
  });
  test('batches of a contraction', async () => {
    const direct = { form: 'direct', tileM: 4, tileN: 4, tileK: 1, rows: 4, columns: 4 } as const;
    const options = { target, contractAll: true, override: { contraction: direct } };
    expect(await hold(batchedProduct(66_000, 2, 2, 2), options)).toEqual([[33_000, 2, 1]]);
  });
});

describe.each([4, 5])('%i storage buffers', (maxStorageBuffersPerShaderStage) => {
  const wide = 9;
  const inputs = Array.from({ length: wide }, (_, n) => input(`x${n}`, [6, 6]));
  const axes = { i: 6, j: 6 };
  const programs: Record<string, Program> = {
    'one sum over many tensors': program(
      [
        ...inputs,
        computed(
          'y',
          [6, 6],
          [
            over(axes, ({ i, j }) => ({
              store: [i, j],
              value: sum(inputs.map((x) => unary('sin', at(x.name, i, j)))),
            })),
          ],
        ),
      ],
      ['y'],
    ),
    'many equations, some of them contractions': program(
      [
        ...inputs,
        computed(
          'y',
          [6, 6],
          inputs.map((x, n) =>
            over({ ...axes, k: 6 }, ({ i, j, k }) => ({
              store: [i, j],
              value: product([at(x.name, i, k), at(inputs[(n + 3) % wide].name, k, j)]),
            })),
          ),
        ),
      ],
      ['y'],
    ),
    'many tensors that would fit one kernel otherwise': program(
      [
        ...inputs,
        ...inputs.map((x, n) =>
          computed(
            `y${n}`,
            [6, 6],
            [
              over(axes, ({ i, j }) => ({
                store: [i, j],
                value: n === 0 ? at(x.name, i, j) : sum([at(`y${n - 1}`, i, j), at(x.name, i, j)]),
              })),
            ],
          ),
        ),
        ...inputs.map((x, n) =>
          computed(
            `m${n}`,
            [6],
            [
              over(axes, ({ i, j }) => ({
                store: [i],
                reducer: 'logsumexp',
                value: n === 0 ? at(x.name, i, j) : sum([at(`m${n - 1}`, i), at(x.name, i, j)]),
              })),
            ],
          ),
        ),
      ],
      inputs.flatMap((_, n) => [`y${n}`, `m${n}`]),
    ),
  };
  test.each(Object.entries(programs))('%s', async (_, p) => {
    for (const kind of ['cpu', 'gpu'] as const)
      await hold(p, { target: limited({ maxStorageBuffersPerShaderStage }, kind), contractAll: true });
  });
});
