/** Which products take the norm of their rows along on a GPU, by the model of the time; what is written then passes Dawn's checks. */
import { describe, expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { product } from '../../../../compiler/ir/expression.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import type { Plan } from '../../../../compiler/schedule/plan.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { matrixCandidates } from '../../../../kernels/families/contraction/matrix-tile-sizes.ts';
import { portableTarget, type Target } from '../../../../kernels/target.ts';
import { h100, h100WithoutTensorCores } from '../../../support/h100-target.ts';
import { normed } from '../../../support/normed.ts';
import { wgslProblem } from '../../../support/null-device.ts';

async function planFor(p: Program, target: Target): Promise<Plan> {
  const plan = schedule(p, { target, combine: false, halves: 'never' });
  for (const { wgsl } of plan.kernels) expect(await wgslProblem(wgsl)).toBeUndefined();
  return plan;
}

const together = ['y mean var q'];
const apart = ['y', 'mean var q'];
const makes = ({ kernels }: Plan): string[] => kernels.map((kernel) => kernel.makes.join(' '));

describe('on f32 units', () => {
  test.each([
    [4096, 1, 64, 64],
    [4096, 1, 256, 64],
    [4001, 1, 200, 64],
    [4096, 8, 64, 512],
  ])('%i rows of %i × %i that are sums over %i take their norm along', async (t, h, e, i) => {
    expect(makes(await planFor(normed(t, h, e, i), h100WithoutTensorCores))).toEqual(together);
  });
  test('rows longer than a tile do not, nor those whose sums would lose more in such a tile', async () => {
    expect(makes(await planFor(normed(4096, 1, 512, 512), h100WithoutTensorCores))).toEqual(apart);
    expect(makes(await planFor(normed(16384, 1, 256, 1024), h100WithoutTensorCores))).toEqual(apart);
  });
  test('nor where a workgroup has no memory for such a tile, or lanes cannot tell each other', async () => {
    const { maxComputeWorkgroupStorageSize } = portableTarget.limits;
    const small = { ...h100WithoutTensorCores.limits, maxComputeWorkgroupStorageSize };
    const features = h100WithoutTensorCores.features.filter((feature) => feature !== 'subgroups');
    for (const target of [{ limits: small }, { features }])
      expect(makes(await planFor(normed(4096, 1, 256, 64), { ...h100WithoutTensorCores, ...target }))).toEqual(apart);
  });
  test('the sums of all products count', async () => {
    const [t, o, i] = [4096, 256, 64];
    const p = normed(t, 1, o, i);
    const more = ['a', 'b', 'c', 'd'].map((name) =>
      over({ t, o, i }, ({ t, o, i }) => ({ store: [t, 0, o], value: product([at('x', t, i), at(name, o, i)]) })),
    );
    const tensors = p.tensors.map((tensor) =>
      tensor.name === 'y' && tensor.source.kind === 'computed'
        ? computed('y', tensor.shape, [...tensor.source.equations, ...more])
        : tensor,
    );
    const inputs = ['a', 'b', 'c', 'd'].map((name) => input(name, [o, i]));
    expect(makes(await planFor({ ...p, tensors: [...inputs, ...tensors] }, h100WithoutTensorCores))).toEqual(apart);
  });
});

describe('on tensor cores', () => {
  const formOf = ({ kernels }: Plan) => kernels[0].tuning.form;
  test.each([
    [16384, 8, 64, 512],
    [16001, 8, 64, 500],
    [16384, 16, 16, 1024],
  ])('%i rows of %i heads of %i that are sums over %i take their norms along', async (t, h, e, i) => {
    const plan = await planFor(normed(t, h, e, i), h100);
    expect(makes(plan)).toEqual(together);
    expect(formOf(plan)).toBe('matrix');
  });
  test.each(matrixCandidates(h100))('in any tile: $tileM × $tileN', async (contraction) => {
    for (const [t, h, e, i] of [
      [300, 3, 64, 100],
      [40, 1, 60, 72],
    ] as const) {
      const plan = schedule(normed(t, h, e, i), { target: h100, combine: false, override: { contraction } });
      expect(makes(plan)).toEqual(together);
      expect(await wgslProblem(plan.kernels[0].wgsl)).toBeUndefined();
    }
  });
  test('so do those that are quicker without', async () => {
    const plan = await planFor(normed(4096, 1, 64, 64), h100);
    expect(makes(plan)).toEqual(together);
    expect(formOf(plan)).toBe('tiled');
  });
  test('rows of 256 do where operands lie along m and n, not where they lie along k', async () => {
    const [b, u, i, t] = [64, 2048, 256, 256];
    const p = program(
      [
        input('a', [b, t, u]),
        input('c', [b, t, i]),
        computed(
          'y',
          [b, u, i],
          [
            over({ b, u, i, t }, ({ b, u, i, t }) => ({
              store: [b, u, i],
              value: product([at('a', b, t, u), at('c', b, t, i)]),
            })),
          ],
        ),
        computed('sum', [b, u], [over({ b, u, i }, ({ b, u, i }) => ({ store: [b, u], value: at('y', b, u, i) }))]),
        computed(
          'q',
          [b, u, i],
          [
            over({ b, u, i }, ({ b, u, i }) => ({
              store: [b, u, i],
              value: product([at('y', b, u, i), at('sum', b, u)]),
            })),
          ],
        ),
      ],
      ['q'],
    );
    const plan = await planFor(p, h100);
    expect(makes(plan)).toEqual(['y sum q']);
    expect(plan.kernels[0].tuning).toMatchObject({ form: 'matrix', tileM: 64, tileN: 256 });
    expect(makes(await planFor(normed(16384, 1, 256, 1024), h100))).toEqual(apart);
  });
  test('rows longer than a tile do not', async () => {
    const plan = await planFor(normed(16384, 1, 512, 512), h100);
    expect(makes(plan)).toEqual(apart);
    expect(formOf(plan)).toBe('matrix');
  });
});

test('tiles that are one for each multiprocessor are not put side by side on half of them, whatever else there is to do', () => {
  const p = normed(4096, 1, 64, 256);
  const long = over({ a: 4, b: 4096 }, ({ a, b }) => ({ store: [a], value: at('z', a, b) }));
  const tensors = [...p.tensors, input('z', [4, 4096]), computed('r', [4], [long])];
  const { kernels } = schedule({ ...p, tensors, outputs: [...p.outputs, 'r'] }, { target: h100WithoutTensorCores });
  const normedKernel = kernels.find((kernel) => kernel.makes.includes('q'))!;
  expect(normedKernel.workgroups[0]).toBeGreaterThanOrEqual(128);
  expect(normedKernel.wgsl).not.toContain('scratch_from');
});
