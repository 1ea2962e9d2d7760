/**
 * The reducers in float64: each takes values one by one for each element and says in the end what became of them. An element that
 * took nothing is 0. The trap: logsumexp keeps the largest value so far, so that neither e^1000 nor a lone -∞ spoils the result.
 */
import type { Reducer } from './program.ts';

export interface Reduction {
  take(element: number, value: number): void;
  /** What became of the values that `element` took; 0 if there were none. */
  result(element: number): number;
}

export const reductions: Readonly<Record<Reducer, (count: number) => Reduction>> = {
  sum: (count) => {
    const total = new Float64Array(count);
    return {
      take: (element, value) => {
        total[element] += value;
      },
      result: (element) => total[element],
    };
  },
  product: (count) => {
    const total = new Float64Array(count).fill(1);
    const taken = new Uint8Array(count);
    return {
      take: (element, value) => {
        total[element] *= value;
        taken[element] = 1;
      },
      result: (element) => (taken[element] === 0 ? 0 : total[element]),
    };
  },
  max: (count) => extremum(count, Math.max),
  min: (count) => extremum(count, Math.min),
  logsumexp: (count) => {
    const largest = new Float64Array(count).fill(Number.NEGATIVE_INFINITY);
    const scaled = new Float64Array(count);
    const taken = new Uint8Array(count);
    return {
      take: (element, value) => {
        const before = largest[element];
        taken[element] = 1;
        if (value === Number.NEGATIVE_INFINITY || (before === Number.POSITIVE_INFINITY && !Number.isNaN(value))) return;
        largest[element] = Math.max(before, value);
        scaled[element] =
          value > before ? scaled[element] * Math.exp(before - value) + 1 : scaled[element] + Math.exp(value - before);
      },
      result: (element) => {
        if (taken[element] === 0) return 0;
        return Number.isFinite(largest[element]) ? largest[element] + Math.log(scaled[element]) : largest[element];
      },
    };
  },
};

function extremum(count: number, better: (a: number, b: number) => number): Reduction {
  const best = new Float64Array(count);
  const taken = new Uint8Array(count);
  return {
    take: (element, value) => {
      best[element] = taken[element] === 0 ? value : better(best[element], value);
      taken[element] = 1;
    },
    result: (element) => best[element],
  };
}
