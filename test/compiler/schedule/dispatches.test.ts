/** How many dispatches a training step takes on a GPU: in a small step each is latency. Fewer is better; more is a change to explain. */
import { expect, test } from 'vitest';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { stepCases } from '../../bench/step-cases.ts';
import { h100WithoutTensorCores } from '../../support/h100-target.ts';

const most: Readonly<Record<string, number>> = {
  'icl bilinear_BTT 16 64': 62,
  'icl low_rank 16 256': 103,
  'icl bilinear_BTT 64 256': 128,
  'icl bilinear_MLR 64 256': 128,
  'lm low_rank 1024 512': 103,
  'lm multi_level_low_rank 1024 512': 103,
};

test.each(stepCases.map((one) => [one.name, one] as const))(
  'a step of %s',
  { timeout: 120_000 },
  (name, { program }) => {
    expect(schedule(program(), { target: h100WithoutTensorCores }).kernels.length).toBeLessThanOrEqual(most[name]);
  },
);
