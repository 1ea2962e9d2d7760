/**
 * How much a training has done after so many steps: tokens that were seen, floating-point operations of the model. What curves of
 * different models are held against each other by.
 */
import type { Phase } from './task.ts';

export interface Work {
  readonly tokens: number;
  /** Null where they are not known. */
  readonly flops: number | null;
}

/** Of the steps before `done`, where a step of a phase does `ofAStep`. Phases are in the order of their steps. */
export function workBefore<P extends Phase>(phases: readonly P[], ofAStep: (phase: P) => Work, done: number): Work {
  let total: Work = { tokens: 0, flops: 0 };
  for (const [i, phase] of phases.entries()) {
    const steps = Math.min(done, phases[i + 1]?.step ?? done) - phase.step;
    if (steps <= 0) break;
    const { tokens, flops } = ofAStep(phase);
    total = {
      tokens: total.tokens + steps * tokens,
      flops: total.flops === null || flops === null ? null : total.flops + steps * flops,
    };
  }
  return total;
}
