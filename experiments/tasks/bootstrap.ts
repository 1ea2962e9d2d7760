/**
 * Means over prompts with their bootstrap intervals (Efron 1979): the prompts are drawn again with replacement, and between the
 * 5th and the 95th percentile of the means that these give lies the interval, as the reference has it.
 *
 * The draws are a function of the number of prompts alone, so that curves over the same prompts are resampled together, and a record
 * can be made again in every bit.
 */
import { drawWords } from '../../compiler/ir/philox.ts';

export interface Curve {
  readonly mean: number[];
  readonly low: number[];
  readonly high: number[];
}

const trials = 1000;
const [lowest, highest] = [0.05 * trials, 0.95 * trials];
/** Seed and stream of the resampling; of no run. */
const [seed, stream] = [0x626f6f74, 0];

/** `values` is (prompts, points), row-major. */
export function bootstrapped(values: ArrayLike<number>, points: number): Curve {
  const prompts = values.length / points;
  const mean = new Float64Array(points);
  const means = Array.from({ length: points }, () => new Float64Array(trials));
  for (let n = 0; n < prompts; n += 1) for (let p = 0; p < points; p += 1) mean[p] += values[n * points + p] / prompts;
  const sums = new Float64Array(points);
  const times = new Uint32Array(prompts);
  for (let trial = 0; trial < trials; trial += 1) {
    countDraws(times, trial);
    sums.fill(0);
    for (let n = 0; n < prompts; n += 1) {
      const weight = times[n];
      if (weight === 0) continue;
      for (let p = 0; p < points; p += 1) sums[p] += weight * values[n * points + p];
    }
    for (let p = 0; p < points; p += 1) means[p][trial] = sums[p] / prompts;
  }
  const sorted = means.map((some) => some.sort());
  return {
    mean: Array.from(mean),
    low: sorted.map((some) => some[lowest]),
    high: sorted.map((some) => some[highest]),
  };
}

/** How often each prompt is drawn when as many are drawn as there are. */
function countDraws(times: Uint32Array, trial: number): void {
  times.fill(0);
  const prompts = times.length;
  for (let n = 0; n < prompts; n += 4) {
    const words = drawWords(seed, stream, trial, n / 4);
    for (let k = 0; k < Math.min(4, prompts - n); k += 1) times[Math.floor((words[k] / 2 ** 32) * prompts)] += 1;
  }
}
