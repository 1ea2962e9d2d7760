/**
 * What the kernels are written for: plain data about a device, so that the compiler never asks a device itself.
 * `mlbtcc build` without `--target` uses `portableTarget`, WebGPU's default limits, never this machine's.
 */
export interface TargetLimits {
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupSizeX: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxBufferSize: number;
  readonly minStorageBufferOffsetAlignment: number;
}

/** `m × k` times `k × n`: WebGPU's names of the elements' types, and of those of the sums. */
export interface SubgroupMatrices {
  readonly component: string;
  readonly result: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export interface Target {
  readonly name: string;
  /** `cpu`: a software adapter, where a barrier costs more than the arithmetic around it. */
  readonly class: 'cpu' | 'gpu';
  readonly limits: TargetLimits;
  readonly features: readonly string[];
  readonly subgroupSize?: { readonly min: number; readonly max: number };
  /** What subgroups multiply at once where they multiply matrices: on tensor cores. */
  readonly subgroupMatrices?: readonly SubgroupMatrices[];
  /** The driver unrolls short loops, at a cost: Mesa's takes 30 s instead of 0.3 s to compile a layer norm's gradient. */
  readonly unrollsLoops?: boolean;
}

/** Lanes that can tell each other values without a barrier: those of the smallest subgroup, none where there are no shuffles. */
export function shuffledLanes({ features, subgroupSize }: Target): number {
  return features.includes('subgroups') ? (subgroupSize?.min ?? 0) : 0;
}

/** The defaults that every WebGPU implementation must offer. */
export const portableTarget: Target = {
  name: 'portable',
  class: 'gpu',
  limits: {
    maxStorageBuffersPerShaderStage: 8,
    maxComputeWorkgroupsPerDimension: 65535,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupStorageSize: 16384,
    maxStorageBufferBindingSize: 134217728,
    maxBufferSize: 268435456,
    minStorageBufferOffsetAlignment: 256,
  },
  features: [],
};

/** Rows, columns and k of the matrices that subgroups multiply, and lanes of such a subgroup. */
export const matrixSize = 16;
export const matrixLanes = 32;
/** WGSL extensions that code with such matrices enables. */
export const matrixExtensions = ['f16', 'subgroups', 'chromium_experimental_subgroup_matrix'] as const;

const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as const;

/** Whether subgroups of the target multiply matrices of f16, 16×16×16, with sums in f32. */
export function hasTensorCores({ features: present, subgroupSize, subgroupMatrices = [] }: Target): boolean {
  const hasMatrices = subgroupMatrices.some(
    ({ component, result, m, n, k }) =>
      component === 'f16' && result === 'f32' && [m, n, k].every((size) => size === matrixSize),
  );
  const isOneSize = subgroupSize?.min === matrixLanes && subgroupSize.max === matrixLanes;
  return hasMatrices && isOneSize && features.every((feature) => present.includes(feature));
}
