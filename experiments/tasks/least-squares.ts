/**
 * Least squares and ridge regression from the points before, updated point by point: each prediction costs dims² and not dims³.
 *
 * The trap: least squares before there are as many points as dimensions is the solution of smallest norm.
 */
import type { Context } from './context.ts';
import { addOuter, addScaled, dot, identity, multiply } from './vectors.ts';

/** Relative size of what is left of a row outside the span of those before, below which it counts as inside. */
const spanTolerance = 1e-10;

/**
 * The least-squares solution of smallest norm, row by row (Greville's recursion): `outside` projects on what no row has reached,
 * `covariance` is the pseudo-inverse of XᵀX.
 */
export function leastSquares({ dims, xs, ys, asked }: Context): Float64Array {
  const predictions = new Float64Array(xs.length);
  const w = new Float64Array(dims);
  const outside = identity(dims);
  const covariance = new Float64Array(dims * dims);
  for (const [p, x] of xs.entries()) {
    predictions[p] = dot(asked[p], w);
    const residual = ys[p] - dot(x, w);
    const rest = multiply(outside, x);
    const restSquare = dot(rest, rest);
    const known = multiply(covariance, x);
    const spread = 1 + dot(x, known);
    if (restSquare > spanTolerance ** 2 * dot(x, x)) {
      const gain = rest.map((value) => value / restSquare);
      addOuter(outside, gain, rest, -1);
      addOuter(covariance, gain, known, -1);
      addOuter(covariance, known, gain, -1);
      addOuter(covariance, gain, gain, spread);
      addScaled(w, gain, residual);
    } else {
      const gain = known.map((value) => value / spread);
      addOuter(covariance, gain, known, -1);
      addScaled(w, gain, residual);
    }
  }
  return predictions;
}

/**
 * w = (XᵀX + λ I)⁻¹ Xᵀy, the mean of what w can be where w ~ N(0, I) and the answers have noise of variance λ: nothing predicts
 * better then.
 */
export function ridge({ dims, xs, ys, asked }: Context, lambda: number): Float64Array {
  const predictions = new Float64Array(xs.length);
  const w = new Float64Array(dims);
  const covariance = identity(dims, 1 / lambda);
  for (const [p, x] of xs.entries()) {
    predictions[p] = dot(asked[p], w);
    const known = multiply(covariance, x);
    const spread = 1 + dot(x, known);
    const gain = known.map((value) => value / spread);
    addScaled(w, gain, ys[p] - dot(x, w));
    addOuter(covariance, gain, known, -1);
  }
  return predictions;
}
