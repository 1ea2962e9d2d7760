/** Work up to a step, through a curriculum; and what a step of a stage is. */
import { expect, test } from 'vitest';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { iclDryStep, iclWork } from '../../../experiments/training/icl-task.ts';
import { workBefore } from '../../../experiments/training/work.ts';

const phases = [
  { step: 0, tokens: 8, flops: 100 },
  { step: 10, tokens: 16, flops: 300 },
  { step: 20, tokens: 32, flops: null },
];

test.each([
  [0, { tokens: 0, flops: 0 }],
  [10, { tokens: 80, flops: 1000 }],
  [13, { tokens: 80 + 48, flops: 1900 }],
  [21, { tokens: 80 + 160 + 32, flops: null }],
])('after %i steps', (done, work) => expect(workBefore(phases, (phase) => phase, done)).toEqual(work));

test('a step of in-context regression: six a multiply-add of the forward pass, over the tokens of its prompts', () => {
  const { options, sizes, copies } = resolveIcl(['--preset=tiny', '--batch_size=8']);
  const score = scoreOf(options, sizes, copies);
  const { tokens, flops } = iclWork(options, score)({ points: 4 });
  expect(tokens).toBe(8 * 2 * 4);
  expect(flops).toBeCloseTo(6 * tokens * (iclDryStep(options, score).flopsPerToken.actual as number), 6);
});
