/**
 * What a stream stages next is read while it multiplies, and its lanes may take rows in turns: values and gradients on the device against the interpreter, where slabs are not
 * filled, where there is one stage only, and where the walk begins again for each value of an outer axis.
 */
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { portableTarget, type Target } from '../../../../kernels/target.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

/** Tiles of 16 × 16, slabs of two steps. */
const stream = { threadRows: 4, threadColumns: 4, rowQuads: 1, depth: 2, ahead: 1 } as const;

const attention = (keys: string, tokens: number, columns = 5): string => `structure S {
  size T = ${tokens}
  axis t, u: T, h: 2, r: 3, e: ${columns}
  param q[h, t, r] ~ normal(std = 1)
  param k[${keys}] ~ normal(std = 1)
  param v[h, u, e] ~ normal(std = 1)
  A[h, t, u] = softmax[u](q[h, t, r] * k[${keys}] where u <= t)
  y[h, t, e] = A[h, t, u] * v[h, u, e]
  output y
}`;

test.each([
  ['slabs that are not filled', attention('h, u, r', 33)],
  ['whole tiles and quads', attention('h, u, r', 32, 8)],
  // The gradient of keys that heads share walks over the queries of each head.
  ['an outer axis', attention('u, r', 33)],
  [
    'one stage',
    `structure S {
      size T = 40
      axis t, u: T, r: 4
      input q[t, r]
      input k[u, r]
      A[t, u] = tanh(q[t, r] * k[u, r])
      y[t] = sum[u](A[t, u])
      output y
    }`,
  ],
])('%s', async (name, text) => {
  const compiled = compileProgram(lowered(text, {}), { target: opened.target, gradients: name !== 'one stage' });
  const { program } = compiled;
  const streamed = await compare(opened, program, feed(program, 1), { streaming: 'always', override: { stream } });
  expect(streamed.worst, streamed.worstOutput).toBeLessThan(1e-5);
  const codes = streamed.plan.kernels.filter(({ family }) => family.includes('stream')).map(({ wgsl }) => wgsl);
  expect(codes.length).toBeGreaterThan(0);
  for (const code of codes) expect(code).toContain('let walk_first');
  // Values that nothing but a sum reads come out of memory as they are staged.
  if (name === 'whole tiles and quads')
    expect(codes.filter((code) => /var<storage, read> v_?: array<vec4<f32>>/.test(code))).toHaveLength(1);
  if (name === 'an outer axis') expect(codes.some((code) => /for \(var h\w* = 0/.test(code))).toBe(true);
});

// Rows are reduced by shuffles where two rows of lanes are no more than a subgroup; what reduces none lies in blocks of 4 × 8 lanes.
test.each([
  ['pairs of two columns of lanes', 18, { threadRows: 4, threadColumns: 2, rowQuads: 2, depth: 4, interleave: 2 }],
  ['blocks', 70, { threadRows: 4, threadColumns: 16, rowQuads: 1, depth: 4, interleave: 2 }],
] as const)('%s', async (name, tokens, interleaved) => {
  const lowest = lowered(attention('h, u, r', tokens), {});
  const { program } = compileProgram(lowest, { target: opened.target, gradients: true });
  const options = { streaming: 'always', override: { stream: interleaved } } as const;
  const streamed = await compare(opened, program, feed(program, 1), options);
  expect(streamed.worst, streamed.worstOutput).toBeLessThan(1e-5);
  const code = streamed.plan.kernels.map(({ wgsl }) => wgsl).join('\n');
  expect(code).toContain(name === 'blocks' ? 'let lane_x = i32(lane) / 32 % 2 * 8' : 'let lane_x = i32(lane) / 2 % 2;');
});

test('long streams do both on a GPU, short ones and software devices neither', () => {
  const tuningOf = (tokens: number, target: Target) =>
    schedule(lowered(attention('h, u, r', tokens), {}), { target, streaming: 'always' }).kernels[0].tuning;
  const reading = { ahead: 1, interleave: 2 };
  expect(tuningOf(512, portableTarget)).toMatchObject(reading);
  expect(tuningOf(511, portableTarget)).not.toMatchObject(reading);
  expect(tuningOf(512, { ...portableTarget, class: 'cpu' })).not.toMatchObject(reading);
});
