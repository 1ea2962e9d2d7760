/**
 * The lasso from the points before, by coordinate descent (Friedman, Hastie, Tibshirani 2010) that starts from the solution of one
 * point less:
 *
 *   w = argmin  1/(2 i) Σ (y − w·x)² + α |w|₁      over i points in coordinates of unit variance
 *
 * The trap: coordinates here have variance 1 / dims. In them the same w minimises the sum with α / dims, so that an α means what it
 * means in the reference.
 */
import type { Context } from './context.ts';
import { addOuter, addScaled, dot } from './vectors.ts';

/** A sweep that moves no weight by more than this part of the largest ends the search, as do so many sweeps. */
const tolerance = 1e-7;
const mostSweeps = 1000;

export function lasso({ dims, xs, ys, asked }: Context, alpha: number): Float64Array {
  const predictions = new Float64Array(xs.length);
  const w = new Float64Array(dims);
  const gram = new Float64Array(dims * dims);
  /** Xᵀ(y − X w), kept up to date. */
  const pull = new Float64Array(dims);
  for (const [p, x] of xs.entries()) {
    predictions[p] = dot(asked[p], w);
    addScaled(pull, x, ys[p] - dot(x, w));
    addOuter(gram, x, x, 1);
    descend(gram, w, pull, (alpha / dims) * (p + 1));
  }
  return predictions;
}

/** Minimises ½ wᵀ G w − cᵀw + threshold · |w|₁ from where w is; `pull` is c − G w. */
function descend(gram: Float64Array, w: Float64Array, pull: Float64Array, threshold: number): void {
  const dims = w.length;
  for (let sweep = 0; sweep < mostSweeps; sweep += 1) {
    let [moved, largest] = [0, 0];
    for (let j = 0; j < dims; j += 1) {
      const curvature = gram[j * dims + j];
      if (curvature === 0) continue;
      const target = pull[j] + curvature * w[j];
      const next = (Math.sign(target) * Math.max(0, Math.abs(target) - threshold)) / curvature;
      const change = next - w[j];
      if (change !== 0) {
        for (let k = 0; k < dims; k += 1) pull[k] -= change * gram[j * dims + k];
        w[j] = next;
      }
      moved = Math.max(moved, Math.abs(change));
      largest = Math.max(largest, Math.abs(next));
    }
    if (moved <= tolerance * largest) return;
  }
}
