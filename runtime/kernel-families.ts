/**
 * Which kernel families a device allows, told from its plain `Target`: what `mlbtc doctor` lists. A family that a device
 * lacks is never an error; another takes its place.
 *
 * The trap: this names what can run, not what is chosen; choosing is the scheduler's.
 */

import { hasTensorCores, type Target } from '../kernels/target.ts';

export interface FamilyVerdict {
  readonly family: string;
  /** Why it cannot run here; absent where it can. */
  readonly lacks?: string;
  /** What a person should know of it on this device. */
  readonly note?: string;
}

interface Family {
  readonly family: string;
  readonly features: readonly string[];
  /** What it lacks beside the features, in words. */
  readonly needs?: (target: Target) => string | undefined;
  readonly workgroupMemoryBytes: number;
  readonly invocations: number;
  readonly usesBarriers: boolean;
}

const families: readonly Family[] = [
  {
    family: 'loop, gather, scatter, random',
    features: [],
    workgroupMemoryBytes: 0,
    invocations: 64,
    usesBarriers: false,
  },
  {
    family: 'row reduction, one thread a row',
    features: [],
    workgroupMemoryBytes: 0,
    invocations: 64,
    usesBarriers: false,
  },
  {
    family: 'row reduction, one workgroup a row',
    features: [],
    workgroupMemoryBytes: 4096,
    invocations: 256,
    usesBarriers: true,
  },
  {
    family: 'row reduction, one subgroup a row',
    features: ['subgroups'],
    workgroupMemoryBytes: 0,
    invocations: 128,
    usesBarriers: false,
  },
  {
    family: 'contraction f32, register tiles',
    features: [],
    workgroupMemoryBytes: 0,
    invocations: 64,
    usesBarriers: false,
  },
  {
    family: 'contraction f32, tiles of a subgroup',
    features: ['subgroups'],
    workgroupMemoryBytes: 0,
    invocations: 4,
    usesBarriers: false,
  },
  {
    family: 'contraction f32, workgroup tiles',
    features: [],
    workgroupMemoryBytes: 16384,
    invocations: 256,
    usesBarriers: true,
  },
  {
    family: 'contraction f16 operands, f32 sums',
    features: ['shader-f16'],
    workgroupMemoryBytes: 16384,
    invocations: 256,
    usesBarriers: true,
  },
  {
    family: 'contraction f32 on tensor cores',
    features: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'],
    needs: (target) => (hasTensorCores(target) ? undefined : 'f16 matrices of 16×16×16 with f32 sums, subgroups of 32'),
    workgroupMemoryBytes: 20608,
    invocations: 128,
    usesBarriers: true,
  },
  {
    family: 'timing of single kernels',
    features: ['timestamp-query'],
    workgroupMemoryBytes: 0,
    invocations: 1,
    usesBarriers: false,
  },
];

/** Every family with its verdict, in a fixed order. */
export function kernelFamilies(target: Target): FamilyVerdict[] {
  return families.map(({ family, features, needs, workgroupMemoryBytes, invocations, usesBarriers }) => {
    const { maxComputeWorkgroupStorageSize: memory, maxComputeInvocationsPerWorkgroup: most } = target.limits;
    const lacks = features.filter((feature) => !target.features.includes(feature));
    const other = lacks.length === 0 ? needs?.(target) : undefined;
    if (other !== undefined) lacks.push(other);
    if (memory < workgroupMemoryBytes) lacks.push(`${workgroupMemoryBytes} bytes of workgroup memory`);
    if (most < invocations) lacks.push(`workgroups of ${invocations}`);
    if (lacks.length > 0) return { family, lacks: lacks.join(', ') };
    return usesBarriers && target.class === 'cpu' ? { family, note: 'slow here: barriers on a CPU' } : { family };
  });
}
