/**
 * A stream's kernels bind buffers, not tensors: temporaries lie in few. Where they came to lie in more than a kernel may bind, its results
 * are parted as if each tensor were a buffer.
 */
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import type { Target } from '../../../../kernels/target.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

/** Scores of three products, whose backward kernels touch 15 tensors and 14. */
const text = `structure S {
  size T = 18
  axis t, u: T, i, e: 3, r: 2
  input x[t, i]
  ${[0, 1, 2].map((l) => `param P${l}[r, i] ~ normal(std = 1)  param Q${l}[r, i] ~ normal(std = 1)`).join('\n  ')}
  ${[0, 1, 2].map((l) => `p${l}[u, r] = tanh(P${l}[r, i] * x[u, i])  q${l}[t, r] = tanh(Q${l}[r, i] * x[t, i])`).join('\n  ')}
  param V[e, i] ~ normal(std = 1)
  v[u, e] = tanh(V[e, i] * x[u, i])
  S[t, u] = ${[0, 1, 2].map((l) => `sum[r](q${l}[t, r] * p${l}[u, r])`).join(' + ')}
  A[t, u] = softmax[u](S[t, u] where u <= t)
  y[t, e] = A[t, u] * v[u, e]
  output y
}`;

/** As many as software devices bind. */
const target: Target = { ...opened.target, limits: { ...opened.target.limits, maxStorageBuffersPerShaderStage: 12 } };
const { program } = compileProgram(lowered(text, {}), { target, gradients: true });
const stream = { threadRows: 2, threadColumns: 2, rowQuads: 1, depth: 2 };
const options = { streaming: 'always', override: { stream } } as const;

/** Sums over queries and over keys: how often the tiles of scores' cotangents are made. */
const backward = (at: Target): number =>
  schedule(program, { target: at, ...options, combine: false }).kernels.filter(
    ({ family, label }) => family === 'stream' && label.includes('cot~S'),
  ).length;

test('results of one walk are one kernel, though they touch more tensors than it binds', async () => {
  expect(backward(target)).toBe(2);
  const streamed = await compare(opened, program, feed(program, 1), { target, ...options });
  expect(streamed.worst, streamed.worstOutput).toBeLessThan(1e-5);
});

test('where no two temporaries are in one buffer they are parted, and no kernel binds more than it may', () => {
  const limits = { ...target.limits, maxStorageBufferBindingSize: 256 };
  const plan = schedule(program, { target: { ...target, limits }, ...options });
  for (const { bindings } of plan.kernels) expect(bindings.length).toBeLessThanOrEqual(12);
  expect(backward({ ...target, limits })).toBeGreaterThan(2);
});
