/**
 * What a training step is, without a device: how often something is dispatched, how much is multiplied, what lies in memory. Counted
 * from the plans that training would run.
 *
 * `bytes.peak` is everything that training holds at once, the sum of what stands before it; `bytes.evaluation` comes to that from the
 * first evaluation on. `kept`, `temporary` and `gaps` are those of `memory-map.ts`, added up where a step is several programs.
 * `flopsPerToken` is of one forward pass, in multiply-adds as the reference counts: `reference` what its code counts where it has the
 * score (and five for each element that is layer-normed), `actual` what the ordered program multiplies within its domains.
 */
import type { Program } from '../../compiler/ir/program.ts';
import {
  type Plan,
  type PlanBuffer,
  planBytes,
  planMultiplyAdds,
  usesTensorCores,
} from '../../compiler/schedule/plan.ts';
import type { Target } from '../../kernels/target.ts';
import {
  type Alike,
  alike,
  type MemoryMap,
  memoryMap,
  type Remade,
  type Resident,
  type Unstored,
} from './memory-map.ts';
import { planOf } from './plans.ts';

/** A program of a step, and how often a step runs it. */
export interface StepPart {
  readonly program: Program;
  readonly times: number;
}

/** What training runs on the device. */
export interface StepPrograms {
  readonly parts: readonly StepPart[];
  readonly evaluation: Program;
}

export interface DryStep extends StepPrograms {
  readonly flopsPerToken: DryRunReport['flopsPerToken'];
  /** Stages of a curriculum; the step is that of the last. */
  readonly stages: readonly Readonly<Record<string, number>>[];
}

/** Tensors that differ only in their layer. */
export interface TensorsRow {
  /** `body.block.*.mlp_up.y` where they are several. */
  readonly name: string;
  readonly tensors: number;
  readonly shape: readonly number[];
  /** Of all of them. */
  readonly bytes: number;
}

/** `first` and `last` are numbers of dispatches. */
export type ResidentRow = TensorsRow & Pick<Resident, 'first' | 'last' | 'use'>;
export type UnstoredRow = TensorsRow & Pick<Unstored, 'place'>;

export interface DryRunReport {
  readonly dispatches: number;
  /** Those of them that multiply on tensor cores. */
  readonly tensorCoreDispatches: number;
  readonly pipelines: number;
  readonly multiplyAdds: number;
  /** Where `--memory` says what may be taken. The multiply-adds are among those of the step. */
  readonly recomputed: { readonly tensors: number; readonly bytes: number; readonly multiplyAdds: number };
  readonly bytes: {
    readonly params: number;
    /** Moments, and whether training has diverged. */
    readonly optimizer: number;
    /** Their sum over several batches among them. */
    readonly gradients: number;
    readonly kept: number;
    readonly temporary: number;
    readonly gaps: number;
    /** What goes in and what comes out. */
    readonly data: number;
    readonly peak: number;
    /** Of these, what all programs of a training share and keep from step to step. */
    readonly states: number;
    readonly evaluation: number;
  };
  /** Of the program of the step that takes most. */
  readonly memory: {
    readonly peak: MemoryMap['peak'];
    /** What is live there, alike tensors of several layers together, most bytes first. */
    readonly residents: readonly ResidentRow[];
    readonly unstored: readonly UnstoredRow[];
    readonly remade: readonly TensorsRow[];
  };
  readonly flopsPerToken: { readonly reference: number | null; readonly actual: number };
  readonly stages: readonly Readonly<Record<string, number>>[];
}

/** States that a run keeps from step to step. */
export const stateBuffers = new Set(['params', 'm', 'v', 'diverged', 'sum', 'lossSum']);
/** Those of them that are gradients. */
const gradientStates = new Set(['sum', 'lossSum']);

export function dryRun(step: DryStep, target: Target): DryRunReport {
  const { parts, flopsPerToken, stages } = step;
  const plans = parts.map(({ program, times }) => ({ plan: planOf(program, target), times }));
  const total = (of: (plan: Plan) => number) => plans.reduce((sum, { plan, times }) => sum + times * of(plan), 0);
  return {
    dispatches: total((plan) => plan.kernels.length),
    tensorCoreDispatches: total((plan) => plan.kernels.filter((kernel) => usesTensorCores(kernel, plan)).length),
    pipelines: new Set(plans.flatMap(({ plan }) => plan.kernels.map(({ key }) => key))).size,
    multiplyAdds: total(planMultiplyAdds),
    recomputed: {
      tensors: total(({ recomputed }) => recomputed.tensors.length),
      bytes: total(({ recomputed }) => recomputed.sizeBytes),
      multiplyAdds: total(({ recomputed }) => recomputed.multiplyAdds),
    },
    bytes: stepBytes(step, target),
    memory: largestMap(plans.map(({ plan }) => memoryMap(plan))),
    flopsPerToken,
    stages,
  };
}

function largestMap(maps: readonly MemoryMap[]): DryRunReport['memory'] {
  const bytes = ({ keptBytes, temporaryBytes }: MemoryMap) => keptBytes + temporaryBytes;
  const { peak, residents, unstored, remade } = maps.reduce((a, b) => (bytes(b) > bytes(a) ? b : a));
  return {
    peak,
    residents: alike(residents).map((group) => ({
      ...rowOf(group),
      first: Math.min(...group.tensors.map(({ first }) => first)),
      last: Math.max(...group.tensors.map(({ last }) => last)),
      use: group.tensors[0].use,
    })),
    unstored: alike(unstored).map((group) => ({ ...rowOf(group), place: group.tensors[0].place })),
    remade: alike(remade).map(rowOf),
  };
}

function rowOf({ name, tensors, bytes }: Alike<Resident | Unstored | Remade>): TensorsRow {
  return { name, tensors: tensors.length, shape: tensors[0].shape, bytes };
}

/** What lies in memory, in bytes. */
export function stepBytes({ parts, evaluation }: StepPrograms, target: Target): DryRunReport['bytes'] {
  const plans = parts.map(({ program }) => planOf(program, target));
  // States are shared between the programs, the rest is each one's own.
  const states = new Map(
    plans.flatMap(({ buffers }) => buffers.filter(isState)).map(({ id, sizeBytes }) => [id, sizeBytes]),
  );
  const own = plans.flatMap(({ buffers }) => buffers.filter((buffer) => !isState(buffer)));
  const bytesOf = (roles: readonly PlanBuffer['role'][]) =>
    planBytes({ buffers: own.filter(({ role }) => roles.includes(role)) });
  const statesAmong = (keep: (id: string) => boolean) =>
    [...states].reduce((sum, [id, bytes]) => (keep(id) ? sum + bytes : sum), 0);
  const maps = plans.map(memoryMap);
  const over = (of: (map: MemoryMap) => number) => maps.reduce((sum, map) => sum + of(map), 0);
  return {
    params: statesAmong((id) => id === 'params'),
    optimizer: statesAmong((id) => id !== 'params' && !gradientStates.has(id)),
    gradients: statesAmong((id) => gradientStates.has(id)) + bytesOf(['arena']),
    kept: over(({ keptBytes }) => keptBytes),
    temporary: over(({ temporaryBytes }) => temporaryBytes),
    gaps: over(({ gapBytes }) => gapBytes),
    data: bytesOf(['input', 'output']),
    states: statesAmong(() => true),
    peak: statesAmong(() => true) + planBytes({ buffers: own }),
    evaluation: planBytes({ buffers: planOf(evaluation, target).buffers.filter((buffer) => !isState(buffer)) }),
  };
}

const isState = ({ id }: PlanBuffer): boolean => stateBuffers.has(id);
