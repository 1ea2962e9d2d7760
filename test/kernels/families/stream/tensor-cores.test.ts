/**
 * Streams on tensor cores where a device has them, skipped elsewhere: values and gradients of walks longer than a stretch against the
 * interpreter, and their error beside that of the f32 form.
 */
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
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
