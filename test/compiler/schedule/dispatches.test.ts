/** How many dispatches a training step takes on a GPU: in a small step each is latency. Fewer is better; more is a change to explain. */
import { expect, test } from 'vitest';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { portableTarget, type Target } from '../../../kernels/target.ts';
import { stepCases } from '../../bench/step-cases.ts';

/** What Dawn says of an H100. */
const h100: Target = {
  ...portableTarget,
  name: 'H100',
  limits: {
    maxStorageBuffersPerShaderStage: 16,
    maxComputeWorkgroupsPerDimension: 65535,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupStorageSize: 49152,
    maxStorageBufferBindingSize: 2 ** 31 - 4,
    maxBufferSize: 2 ** 40,
    minStorageBufferOffsetAlignment: 16,
  },
  features: ['shader-f16', 'subgroups', 'timestamp-query'],
  subgroupSize: { min: 32, max: 32 },
};

const most: Readonly<Record<string, number>> = {
  'icl bilinear_BTT 16 64': 115,
  'icl low_rank 16 256': 109,
  'icl bilinear_BTT 64 256': 145,
  'icl bilinear_MLR 64 256': 163,
  'lm low_rank 1024 512': 110,
  'lm multi_level_low_rank 1024 512': 110,
};

test.each(stepCases.map((one) => [one.name, one] as const))(
  'a step of %s',
  { timeout: 120_000 },
  (name, { program }) => {
    expect(schedule(program(), { target: h100 }).kernels.length).toBeLessThanOrEqual(most[name]);
  },
);
