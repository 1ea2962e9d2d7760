/** An H100 as Dawn describes it, so that what it would run can be looked at without one. */
import { portableTarget, type Target } from '../../kernels/target.ts';
import { targetUsing } from '../../runtime/tensor-cores.ts';

export const h100: Target = {
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
  features: ['chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups', 'timestamp-query'],
  subgroupSize: { min: 32, max: 32 },
  subgroupMatrices: [{ component: 'f16', result: 'f32', m: 16, n: 16, k: 16 }],
};

/** The same with products of f32 on the f32 units. */
export const h100WithoutTensorCores: Target = targetUsing(h100, 'never');
