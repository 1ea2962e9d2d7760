/**
 * Streams on tensor cores where a device has them, skipped elsewhere: values and gradients of walks longer than a stretch against the
 * interpreter, and their error beside that of the f32 form; back two ways and in one sweep.
 */
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { ndarray } from '../../../../compiler/ir/ndarray.ts';
import { hasTensorCores, type Target } from '../../../../kernels/target.ts';
import { targetUsing } from '../../../../runtime/tensor-cores.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

const head = `size T = 512
  axis h: 2, t, u: T, r, e: 32
  param q[h, t, r] ~ normal(std = 1)
  param k[h, u, r] ~ normal(std = 1)
  param v[h, u, e] ~ normal(std = 1)`;

const scores = {
  'low rank': 'S[h, t, u] = 0.3 * q[h, t, r] * k[h, u, r]',
  levels: `size ranks = [16, 8, 4, 4]
  level l in 0 .. 3 {
    axis c: 4^l, m, n: T / 4^l, o: ranks[l]
    S[h, (c m), (c n)] += 0.3 * q[h, (c m), prefix(ranks, l) + o] * k[h, (c n), prefix(ranks, l) + o]
  }`,
} as const;

test.skipIf(!hasTensorCores(opened.target)).each(Object.entries(scores))('%s', async (_, score) => {
  const text = `structure S {
  ${head}
  ${score}
  A[h, t, u] = softmax[u](S[h, t, u] where u <= t)
  y[h, t, e] = A[h, t, u] * v[h, u, e]
  output y
}`;
  const { program } = compileProgram(lowered(text, {}), { target: opened.target, gradients: true });
  const held = (target: Target) => compare(opened, program, feed(program, 1), { target, streaming: 'always' });
  const onTensorCores = await held(opened.target);
  const onUnits = await held(targetUsing(opened.target, 'never'));
  const streams = onTensorCores.plan.kernels.filter(({ family }) => family.includes('stream'));
  for (const { wgsl } of streams) expect(wgsl).toContain('subgroupMatrixLoad');
  expect(onTensorCores.worst, onTensorCores.worstOutput).toBeLessThan(4 * onUnits.worst);
});

/** Gradients of inputs that grow from row to row by so much in all. */
test
  .skipIf(!hasTensorCores(opened.target))
  .each<[name: string, where: string, sweeping: number, columns: number, growth: number]>([
    ['causal', 'u <= t', 2, 64, 1],
    ['one piece', 'u <= t', 1, 32, 1],
    ['later columns', 't <= u', 2, 32, 1],
    ['a window', 'u <= t and t - u < 200', 2, 32, 1],
    ['a window both ways', 't - u < 90 and u - t < 90', 2, 16, 1],
    ['every column', 'u >= 0', 2, 32, 1],
    ['values of 10^-4 to 10^4', 'u <= t', 2, 32, 1e8],
  ])('in one sweep: %s', async (_, where, sweeping, columns, growth) => {
  const text = `structure S {
  size T = 320
  axis h: 1, t, u: T, r, e: ${columns}
  param q[h, t, r] ~ normal(std = 1)
  param k[h, u, r] ~ normal(std = 1)
  param v[h, u, e] ~ normal(std = 1)
  S[h, t, u] = 0.2 * q[h, t, r] * k[h, u, r]
  A[h, t, u] = softmax[u](S[h, t, u] where ${where})
  y[h, t, e] = A[h, t, u] * v[h, u, e]
  output y
}`;
  const { program } = compileProgram(lowered(text, {}), { target: opened.target, gradients: true });
  const inputs = new Map(feed(program, 1));
  const { shape, data } = inputs.get('v')!;
  const grown = data.map((x, i) => (x / Math.sqrt(growth)) * growth ** (i / data.length));
  inputs.set('v', ndarray(shape, grown));
  const held = (target: Target) => compare(opened, program, inputs, { target, streaming: 'always', sweeping });
  const onTensorCores = await held(opened.target);
  const onUnits = await held(targetUsing(opened.target, 'never'));
  const sweeps = onTensorCores.plan.kernels.filter(({ wgsl }) => wgsl.includes('across_high_0'));
  expect(sweeps).toHaveLength(1);
  expect(onTensorCores.worst, onTensorCores.worstOutput).toBeLessThan(4 * onUnits.worst);
});
