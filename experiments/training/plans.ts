/**
 * A program's plan for a target, made once: what is measured before the first step (`room.ts`) is what then runs, and scheduling a
 * large step takes seconds.
 *
 * The trap: kept by the program's identity, and no longer than the program, so who wants the same plan must keep the same program.
 */
import type { Program } from '../../compiler/ir/program.ts';
import type { Choices } from '../../compiler/schedule/choose.ts';
import { MemoryShortage } from '../../compiler/schedule/memory/within-memory.ts';
import type { Plan } from '../../compiler/schedule/plan.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import type { Target } from '../../kernels/target.ts';
import { staged } from '../../runtime/stages.ts';

/** What a program's plan may take. */
export interface MemoryLimit {
  /** All its buffers together, for a target, on which they take `plainBytes` without a limit. */
  readonly bytes: (target: Target, plainBytes: number) => number;
  /** What a person should hear where no plan takes so little. */
  readonly refusal: (shortage: MemoryShortage, target: Target) => Error;
}

const limits = new WeakMap<Program, MemoryLimit>();

/** Plans of the program keep to the limit from here on. */
export function limitPlan(program: Program, limit: MemoryLimit): void {
  limits.set(program, limit);
}

const known = new WeakMap<Program, WeakMap<Target, Plan>>();
const pinned = new WeakMap<Target, Choices>();

/** Plans that are made for the target from here on keep to these decisions, where they know them: those of a run that goes on. */
export function pinChoices(target: Target, choices: Choices): void {
  pinned.set(target, choices);
}

export function planOf(program: Program, target: Target): Plan {
  const plans = known.get(program) ?? new WeakMap<Target, Plan>();
  known.set(program, plans);
  const choices = pinned.get(target);
  const limit = limits.get(program);
  const make = () =>
    schedule(program, {
      target,
      ...(choices === undefined ? {} : { choices }),
      ...(limit === undefined ? {} : { memoryBytes: (plainBytes: number) => limit.bytes(target, plainBytes) }),
    });
  try {
    const plan = plans.get(target) ?? staged('schedule', make, describe);
    plans.set(target, plan);
    return plan;
  } catch (error) {
    throw error instanceof MemoryShortage && limit !== undefined ? limit.refusal(error, target) : error;
  }
}

function describe({ kernels, outputs }: Plan): string {
  return `${kernels.length} kernels of ${new Set(kernels.map(({ key }) => key)).size} kinds, outputs ${outputs.join(', ') || 'none'}`;
}
