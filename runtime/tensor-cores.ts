/**
 * Whether products of f32 may run on tensor cores, each operand as two f16 parts (kernels/families/contraction/matrix.ts). `never` keeps them to the
 * f32 units: the device is then opened without subgroup matrices, so that no kernel can be written for them.
 *
 * The trap: some streams on tensor cores come out wrong on an NVIDIA GPU, which texts only their values tell (test/kernels/families/stream/
 * random-tensor-cores.test.ts); why is not known. Lanes that part, and that nothing in Vulkan brings together again before a subgroup's next
 * operation, are suspected: Dawn's toggle `use_spirv_reconvergence_mode`, off by default, asks a driver to. Untried. A training is held to
 * the f32 units before it begins (experiments/training/tensor-core-check.ts).
 */
import { UserError } from '../compiler/command-line/errors.ts';
import type { Target } from '../kernels/target.ts';

export const tensorCoreUses = ['auto', 'never'] as const;
export type TensorCores = (typeof tensorCoreUses)[number];

export const subgroupMatrixFeature = 'chromium-experimental-subgroup-matrix';

/** The target as it is opened for that use. */
export function targetUsing(target: Target, use: TensorCores): Target {
  if (use === 'auto') return target;
  const { subgroupMatrices: _, ...others } = target;
  return { ...others, features: target.features.filter((feature) => feature !== subgroupMatrixFeature) };
}

/** What MLBTC_TENSOR_CORES says, `auto` where it says nothing. Throws UserError for a value that means nothing. */
export function tensorCoresOfEnvironment(): TensorCores {
  const { MLBTC_TENSOR_CORES: given = '' } = process.env;
  if (given === '') return 'auto';
  const found = tensorCoreUses.find((use) => use === given.trim().toLowerCase());
  if (found !== undefined) return found;
  throw new UserError(`MLBTC_TENSOR_CORES is ${JSON.stringify(given)}: it must be ${tensorCoreUses.join(' or ')}`);
}
