/** What a plan of a program takes at the least, and what it takes with nothing computed again. */
import type { Program } from '../../compiler/ir/program.ts';
import { MemoryShortage } from '../../compiler/schedule/memory/within-memory.ts';
import { planBytes } from '../../compiler/schedule/plan.ts';
import { type ScheduleOptions, schedule } from '../../compiler/schedule/schedule.ts';

export function memoryRange(
  program: Program,
  options: ScheduleOptions,
): { readonly least: number; readonly plain: number } {
  try {
    const plain = planBytes(schedule(program, { ...options, memoryBytes: 0 }));
    return { least: plain, plain };
  } catch (error) {
    if (!(error instanceof MemoryShortage)) throw error;
    return { least: error.leastBytes, plain: error.plainBytes };
  }
}
