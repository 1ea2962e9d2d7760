/** Sums that take the same of a tile, up to a number, are one: values and gradients, on the device against the interpreter. */
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import type { StreamTuning } from '../../../../kernels/families/stream/tuning.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

/** Scores of two products, with 5 and 10 columns, the second twice: cotangents of both sides of each are sums of one tile. */
const text = `structure S {
  size T = 21
  axis t, u: T, r: 5, s: 2, o: 5, e: 3
  param q[t, r] ~ normal(std = 1)
  param k[u, r] ~ normal(std = 1)
  param p[t, s, o] ~ normal(std = 1)
  param l[u, s, o] ~ normal(std = 1)
  param v[u, e] ~ normal(std = 1)
  S[t, u] += q[t, r] * k[u, r] / 4
  S[t, u] += 2 * p[t, s, o] * l[u, s, o]
  A[t, u] = softmax[u](S[t, u] where u <= t)
  y[t, e] = A[t, u] * v[u, e]
  output y
}`;
const target = { ...opened.target, limits: { ...opened.target.limits, maxStorageBuffersPerShaderStage: 12 } };
const { program } = compileProgram(lowered(text, {}), { target, gradients: true });

test.each<[string, StreamTuning]>([
  ['more lanes than columns of one', { threadRows: 2, threadColumns: 4, rowQuads: 1, depth: 4 }],
  ['several quads a lane, read ahead', { threadRows: 2, threadColumns: 2, rowQuads: 2, depth: 2, ahead: 1 }],
])('%s', async (_, stream) => {
  const streamed = await compare(opened, program, feed(program, 1), {
    target,
    streaming: 'always',
    override: { stream },
  });
  expect(streamed.worst, streamed.worstOutput).toBeLessThan(1e-5);
  const codes = streamed.plan.kernels.filter(({ family }) => family.includes('stream')).map(({ wgsl }) => wgsl);
  // The output; values, then keys of both; queries of both.
  expect(codes.join('\n').match(/for \(var from_point/g)).toHaveLength(4);
});
