/**
 * The learning rate's multiplier at each step and AdamW's bias corrections, on the host in float64: the step's program takes
 * them as numbers (oracle, "muP, optimizer, schedule"). Steps count from 1 here, as in the oracle's `it`.
 */

export interface Schedule {
  readonly warmup: number;
  readonly decaySteps: number;
  /** Smallest rate over the peak rate: 1 is constant after warm-up. */
  readonly floor: number;
}

/** Linear warm-up from 0, then a cosine from 1 down to the floor. */
export function rateMultiplier(step: number, { warmup, decaySteps, floor }: Schedule): number {
  if (step < warmup) return step / warmup;
  if (step > decaySteps) return floor;
  // A decay that ends where it begins is at its end; so is one over no steps at all.
  const progress = decaySteps === warmup ? 1 : (step - warmup) / (decaySteps - warmup);
  return floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * progress));
}

/** 1 / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ). */
export function biasCorrections(step: number, beta1: number, beta2: number): { first: number; rootSecond: number } {
  return { first: 1 / (1 - beta1 ** step), rootSecond: 1 / Math.sqrt(1 - beta2 ** step) };
}
