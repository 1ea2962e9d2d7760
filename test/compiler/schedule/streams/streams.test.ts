/**
 * What is computed tile by tile and never stored has the values that it has where it is stored: every score, forward and backward, at
 * sizes that fill no tile, on the device against the interpreter.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { model, scores } from '../../../support/attention-models.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { type RandomScore, randomScore } from '../../../support/random-score.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

function withGradients(program: Program): Program {
  return compileProgram(program, { target: opened.target, gradients: true }).program;
}

/** Tensors of two dimensions of tokens that lie in memory. */
function storedScores(plan: Awaited<ReturnType<typeof compare>>['plan'], tokens: number): readonly string[] {
  return Object.entries(plan.tensors)
    .filter(([, { shape }]) => shape.filter((extent) => extent === tokens).length >= 2)
    .map(([name]) => name);
}

describe('streaming and storing agree', () => {
  for (const [name, [text]] of Object.entries(scores)) {
    test(name, async () => {
      const program = withGradients(lowered(model(text), { B: 3, T: 18 }));
      const inputs = feed(program);
      const streamed = await compare(opened, program, inputs, { streaming: 'always' });
      const stored = await compare(opened, program, inputs, { streaming: 'never' });
      const reading = await compare(opened, program, inputs, { streaming: 'reading' });
      // Norms of two elements magnify rounding, in any.
      for (const { worst, worstOutput } of [streamed, reading])
        expect(worst, worstOutput).toBeLessThan(2e-5 + 3 * stored.worst);
      // What parts into tokens one by one is no score: its sums run in chunks (passes/chunk-sums.ts), of tokens too few here.
      if (name !== 'linear attention') expect(storedScores(streamed.plan, 18), name).toEqual([]);
    });
  }
});

describe('scores far from 0, the first of a row masked', () => {
  for (const [score, where] of [
    ['- 200', 'u <= t'],
    ['- 200', 't <= u'],
    ['+ 200', 't <= u'],
    ['- 9 * (u + 20)', 't <= u'],
  ]) {
    test(`${score} where ${where}`, async () => {
      const text = `structure S {
        size T
        axis b: 2, t, u: T, r: 2, e: 3
        input q[b, t, r]
        input k[b, u, r]
        input v[b, u, e]
        A[b, t, u] = softmax[u](q[b, t, r] * k[b, u, r] ${score} where ${where})
        y[b, t, e] = A[b, t, u] * v[b, u, e]
        output y
      }`;
      const program = withGradients(lowered(text, { T: 70 }));
      const { worst, worstOutput } = await compare(opened, program, feed(program), { streaming: 'always' });
      // Of scores of 800 the last bit of f32 is 6e-5.
      expect(worst, worstOutput).toBeLessThan(2e-4);
    });
  }
});

describe('what is summed lies where the equation says, whichever digits of a dimension it is', () => {
  for (const [name, store] of [
    ['heads last', 'y[b, t, (e h)]'],
    ['tokens last', 'y[b, h, (e t)]'],
    ['batch last', 'y[(h t e b)]'],
  ]) {
    test(name, async () => {
      const text = `structure S {
        size T, D = 6, H = 2
        axis b: 3, t, u: T, h: H, e: D / H, r: 2
        input q[b, h, t, r]
        input k[b, h, u, r]
        input v[b, h, u, e]
        A[b, h, t, u] = softmax[u](q[b, h, t, r] * k[b, h, u, r] where u <= t)
        ${store} = A[b, h, t, u] * v[b, h, u, e]
        output y
      }`;
      const program = lowered(text, { T: 18 });
      const streamed = await compare(opened, program, feed(program), { streaming: 'always' });
      expect(streamed.plan.kernels.map(({ family }) => family).join()).toContain('stream');
      expect(streamed.worst, streamed.worstOutput).toBeLessThan(2e-5);
    });
  }
});

describe('a tile of which one element counts is made', () => {
  // Tiles of 16 × 16, and one token more.
  const stream = { threadRows: 4, threadColumns: 4, rowQuads: 1, depth: 4 };
  test.each([
    ['the past', 'q[t, r] * k[u, r] where u <= t'],
    ['the future', 'q[t, r] * k[u, r] where t <= u'],
    ['a window', 'q[t, r] * k[u, r] where u <= t and t <= u + 15'],
    ['a term of the score', 'q[t, r] * k[u, r] + far[t, u] where u <= t'],
  ])('%s', async (_, score) => {
    const text = `structure S {
      size T
      axis t, u: T, r: 3, e: 5
      input q[t, r]
      input k[u, r]
      input v[u, e]
      input a[t, r]
      input b[u, r]
      far[t, u] = a[t, r] * b[u, r] where u + 16 <= t
      A[t, u] = softmax[u](${score})
      y[t, e] = A[t, u] * v[u, e]
      output y
    }`;
    const program = withGradients(lowered(text, { T: 17 }));
    const streamed = await compare(opened, program, feed(program), { streaming: 'always', override: { stream } });
    expect(streamed.plan.kernels.map(({ family }) => family).join()).toContain('stream');
    expect(streamed.worst, streamed.worstOutput).toBeLessThan(2e-5);
  });
});

test('a sum that is read along the walk by another sum of the same scores is made before', async () => {
  const text = `structure S {
    size T
    axis b: 2, t, u: T, r: 3, e: 5
    input q[b, t, r]
    input k[b, u, r]
    input v[b, u, e]
    A[b, t, u] = softmax[u](q[b, t, r] * k[b, u, r] where u <= t)
    y[b, t, e] = A[b, t, u] * v[b, u, e]
    z[b, t, e] = A[b, t, u] * y[b, u, e]
    output z
  }`;
  const program = withGradients(lowered(text, { T: 70 }));
  const { worst, worstOutput } = await compare(opened, program, feed(program), { streaming: 'always' });
  expect(worst, worstOutput).toBeLessThan(2e-5);
});

const usual = { runs: 16, seed: 20_261_126 };
const runs = Number(process.env.MLBTC_RANDOM_SCORES ?? usual.runs);
const seed = Number(process.env.MLBTC_RANDOM_SEED ?? usual.seed);
let streams = 0;

async function hold({ text, sizes }: RandomScore): Promise<void> {
  const program = withGradients(lowered(text, sizes));
  const inputs = feed(program, 3);
  opened.pipelines.clear();
  const streamed = await compare(opened, program, inputs, { streaming: 'always', sweeping: 'always' });
  const stored = await compare(opened, program, inputs, { streaming: 'never' });
  const reading = await compare(opened, program, inputs, { streaming: 'reading' });
  streams += streamed.plan.kernels.filter(({ family }) => family.includes('stream')).length;
  for (const { worst, worstOutput } of [streamed, reading])
    expect(worst, `${worstOutput} of\n${text}\n${JSON.stringify(sizes)}`).toBeLessThan(2e-5 + 3 * stored.worst);
}

test(`${runs} random scores, seed ${seed}`, { timeout: 1_800_000 }, async () => {
  await fc.assert(fc.asyncProperty(randomScore, hold), {
    numRuns: runs,
    seed,
    ...(process.env.MLBTC_SHRINK ? {} : { endOnFailure: true }),
  });
  if (runs > 0) expect(streams / runs, 'streams a score').toBeGreaterThan(1);
});
