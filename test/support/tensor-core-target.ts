/** A GPU with tensor cores, as kernels are written for one; the limits are those of an H100. */
import { portableTarget, type Target } from '../../kernels/target.ts';

export const tensorCoreTarget: Target = {
  ...portableTarget,
  name: 'tensor cores',
  limits: {
    ...portableTarget.limits,
    maxStorageBuffersPerShaderStage: 16,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupStorageSize: 48 * 1024,
  },
  features: ['chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups'],
  subgroupSize: { min: 32, max: 32 },
  subgroupMatrices: [{ component: 'f16', result: 'f32', m: 16, n: 16, k: 16 }],
};
