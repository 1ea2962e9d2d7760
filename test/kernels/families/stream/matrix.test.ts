/**
 * Streams on tensor cores: which suit the form, and what it computes, on any device with its matrices as numbers (emulated-matrices.ts),
 * against the interpreter: values and gradients, walks longer than a stretch, scores that move far from tile to tile.
 */
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { type NdArray, ndarray } from '../../../../compiler/ir/ndarray.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { matrixTuning, type StreamTuning } from '../../../../kernels/families/stream/tuning.ts';
import { testDevice } from '../../../support/device.ts';
import { emulateMatrices, withMatrices } from '../../../support/emulated-matrices.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();
const target = withMatrices(opened.target);

/** Two subgroups. */
const stream: StreamTuning = { ...matrixTuning, threadRows: 16 };
const options = { target, streaming: 'always', override: { stream } } as const;

const attention = (tokens: number, steps = 16, columns = 16): string => `structure S {
  size T = ${tokens}
  axis t, u: T, h: 1, r: ${steps}, e: ${columns}
  param q[h, t, r] ~ normal(std = 1)
  param k[h, u, r] ~ normal(std = 1)
  param v[h, u, e] ~ normal(std = 1)
  A[h, t, u] = softmax[u](0.25 * q[h, t, r] * k[h, u, r] where u <= t)
  y[h, t, e] = A[h, t, u] * v[h, u, e]
  output y
}`;

async function errorOf(text: string, gradients: boolean, change = (inputs: Map<string, NdArray>) => inputs) {
  const { program } = compileProgram(lowered(text, {}), { target, gradients });
  const inputs = change(new Map(feed(program, 1)));
  const { plan, worst, worstOutput } = await compare(opened, program, inputs, options, emulateMatrices);
  const streams = plan.kernels.filter(({ family }) => family.includes('stream'));
  expect(streams.length).toBeGreaterThan(0);
  for (const { wgsl } of streams) expect(wgsl).toContain('Sums()');
  return { worst, worstOutput };
}

test('a softmax and its gradients', async () => {
  const { worst, worstOutput } = await errorOf(attention(64), true);
  expect(worst, worstOutput).toBeLessThan(2e-6);
});

// Scores of −40 to 40 in rows of growing size: shifts move by more than may stay behind, and weights of one subgroup are far apart.
test('a walk longer than a stretch, with scores that move far', async () => {
  const { worst, worstOutput } = await errorOf(attention(320, 32), false, (inputs) => {
    const { shape, data } = inputs.get('k')!;
    return inputs.set(
      'k',
      ndarray(
        shape,
        data.map((x, i) => ((x * i) / data.length) * 8),
      ),
    );
  });
  expect(worst, worstOutput).toBeLessThan(1e-5);
});

test('what does not suit the form is refused', () => {
  const { program } = compileProgram(lowered(attention(48), {}), { target, gradients: false });
  expect(() => schedule(program, { ...options, override: { stream: matrixTuning } })).toThrow('tensor cores');
});
