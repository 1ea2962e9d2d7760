/**
 * Which kernels a training step ran, as a checkpoint keeps them: for each program of the step every kernel's code and tuning. Sums
 * of floating-point numbers depend on the order in which a kernel takes them, so a run that goes on with other kernels goes on
 * well, but not bit for bit.
 */
import { z } from 'zod';
import type { Plan, PlanKernel } from '../../compiler/schedule/plan.ts';

const choiceSchema = z.object({
  label: z.string(),
  /** Hash of the code without names. */
  key: z.string(),
  tuning: z.record(z.string(), z.union([z.number(), z.string()])),
});

export const kernelChoicesSchema = z.record(z.string(), z.array(choiceSchema));

/** By program of the step, in the order in which they run. */
export type KernelChoices = z.infer<typeof kernelChoicesSchema>;

export function kernelChoices(plans: Readonly<Record<string, Pick<Plan, 'kernels'>>>): KernelChoices {
  const choiceOf = ({ label, key, tuning }: PlanKernel) => ({ label, key, tuning: { ...tuning } });
  return Object.fromEntries(Object.entries(plans).map(([name, { kernels }]) => [name, kernels.map(choiceOf)]));
}

/** The first kernel that is another one, in words; undefined where all are the same, or nothing has run before. */
export function differingKernel(before: KernelChoices, now: KernelChoices): string | undefined {
  if (Object.keys(before).length === 0) return undefined;
  for (const program of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const [then = [], current = []] = [before[program], now[program]];
    for (let i = 0; i < Math.max(then.length, current.length); i += 1) {
      const [old, made] = [then[i], current[i]];
      if (old === undefined || made === undefined) {
        return `program ${program} had ${then.length} kernels and has ${current.length}`;
      }
      const [wasTuned, isTuned] = [old, made].map(({ tuning }) => JSON.stringify(tuning));
      if (wasTuned !== isTuned) return `kernel ${made.label} had the tuning ${wasTuned} and has ${isTuned}`;
      if (old.key !== made.key) return `kernel ${made.label} has other code`;
    }
  }
  return undefined;
}
