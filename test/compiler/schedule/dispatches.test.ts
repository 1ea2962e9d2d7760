/** How many dispatches a training step takes on a GPU: in a small step each is latency. Fewer is better; more is a change to explain. */
import { describe, expect, test } from 'vitest';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { stepCases } from '../../bench/step-cases.ts';
import { h100, h100WithoutTensorCores } from '../../support/h100-target.ts';

const most: Readonly<Record<string, { readonly withTensorCores: number; readonly without: number }>> = {
  'icl bilinear_BTT 16 64': { withTensorCores: 62, without: 62 },
  'icl low_rank 16 256': { withTensorCores: 90, without: 89 },
  'icl bilinear_BTT 64 256': { withTensorCores: 100, without: 94 },
  'icl bilinear_MLR 64 256': { withTensorCores: 132, without: 108 },
  'lm low_rank 1024 512': { withTensorCores: 104, without: 103 },
  'lm multi_level_low_rank 1024 512': { withTensorCores: 104, without: 103 },
};

describe.each(stepCases.map((one) => [one.name, one] as const))('a step of %s', (name, { program }) => {
  test.each([
    ['withTensorCores', h100],
    ['without', h100WithoutTensorCores],
  ] as const)('%s', { timeout: 120_000 }, (units, target) => {
    expect(schedule(program(), { target }).kernels.length).toBeLessThanOrEqual(most[name][units]);
  });
});
