/**
 * What a prompt's last y can be predicted as without any training, on the host in float64: least squares, averaging and three
 * nearest neighbours, each from the points before; and zero. The lines that a training curve is held against.
 *
 * The traps: least squares before there are as many points as dimensions is the solution of smallest norm; coordinates have
 * variance 1 / dims, so the averaging estimator of w is dims · mean(y x) (the reference leaves the factor out).
 */

export interface Prompts {
  readonly count: number;
  readonly points: number;
  readonly nDims: number;
  /** Coordinates in use; the others are 0. */
  readonly dims: number;
  /** (count, points, nDims), row-major. */
  readonly xs: ArrayLike<number>;
  /** (count, points). */
  readonly ys: ArrayLike<number>;
}

export const baselineNames = ['least squares', '3 nearest neighbours', 'averaging', 'zero'] as const;
export type BaselineName = (typeof baselineNames)[number];
/** Mean squared error at each point in context. */
export type BaselineErrors = Readonly<Record<BaselineName, readonly number[]>>;

type Predictor = (prompt: Prompt) => Float64Array;

interface Prompt {
  readonly points: number;
  readonly dims: number;
  /** One row a point. */
  readonly xs: readonly Float64Array[];
  readonly ys: Float64Array;
}

const predictors: Readonly<Record<BaselineName, Predictor>> = {
  'least squares': leastSquares,
  '3 nearest neighbours': (prompt) => nearestNeighbours(prompt, 3),
  averaging,
  zero: ({ points }) => new Float64Array(points),
};

export function baselineErrors(prompts: Prompts): BaselineErrors {
  const sums = baselineNames.map(() => new Float64Array(prompts.points));
  for (let index = 0; index < prompts.count; index += 1) {
    const prompt = takePrompt(prompts, index);
    for (const [n, name] of baselineNames.entries()) {
      const predictions = predictors[name](prompt);
      for (let p = 0; p < prompts.points; p += 1) sums[n][p] += (predictions[p] - prompt.ys[p]) ** 2;
    }
  }
  const means = sums.map((sum) => Array.from(sum, (total) => total / prompts.count));
  return Object.fromEntries(baselineNames.map((name, n) => [name, means[n]])) as unknown as BaselineErrors;
}

function takePrompt({ points, nDims, dims, xs, ys }: Prompts, index: number): Prompt {
  const used = Math.min(dims, nDims);
  const rows: Float64Array[] = [];
  for (let p = 0; p < points; p += 1) {
    const start = (index * points + p) * nDims;
    rows.push(Float64Array.from({ length: used }, (_, j) => xs[start + j]));
  }
  return { points, dims: used, xs: rows, ys: Float64Array.from({ length: points }, (_, p) => ys[index * points + p]) };
}

/** Relative size of what is left of a row outside the span of those before, below which it counts as inside. */
const spanTolerance = 1e-10;

/**
 * Prediction of each y from the points before it by the least-squares solution of smallest norm, row by row (Greville's
 * recursion): `outside` projects on what no row has reached, `covariance` is the pseudo-inverse of XᵀX.
 */
export function leastSquares({ points, dims, xs, ys }: Prompt): Float64Array {
  const predictions = new Float64Array(points);
  const w = new Float64Array(dims);
  const outside = identity(dims);
  const covariance = new Float64Array(dims * dims);
  for (let p = 0; p < points; p += 1) {
    const x = xs[p];
    predictions[p] = dot(x, w);
    const residual = ys[p] - predictions[p];
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

function averaging({ points, dims, xs, ys }: Prompt): Float64Array {
  const predictions = new Float64Array(points);
  const sum = new Float64Array(dims);
  for (let p = 0; p < points; p += 1) {
    predictions[p] = p === 0 ? 0 : (dims * dot(xs[p], sum)) / p;
    addScaled(sum, xs[p], ys[p]);
  }
  return predictions;
}

function nearestNeighbours({ points, xs, ys }: Prompt, neighbours: number): Float64Array {
  const predictions = new Float64Array(points);
  for (let p = 1; p < points; p += 1) {
    const byDistance = Array.from({ length: p }, (_, q) => ({ q, distance: squaredDistance(xs[p], xs[q]) }));
    byDistance.sort((a, b) => a.distance - b.distance);
    const nearest = byDistance.slice(0, neighbours);
    predictions[p] = nearest.reduce((sum, { q }) => sum + ys[q], 0) / nearest.length;
  }
  return predictions;
}

function identity(n: number): Float64Array {
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i += 1) matrix[i * n + i] = 1;
  return matrix;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i] * b[i];
  return sum;
}

function multiply(matrix: Float64Array, x: Float64Array): Float64Array {
  const n = x.length;
  const result = new Float64Array(n);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) result[i] += matrix[i * n + j] * x[j];
  }
  return result;
}

function addOuter(matrix: Float64Array, a: Float64Array, b: Float64Array, factor: number): void {
  const n = b.length;
  for (let i = 0; i < a.length; i += 1) {
    for (let j = 0; j < n; j += 1) matrix[i * n + j] += factor * a[i] * b[j];
  }
}

function addScaled(target: Float64Array, a: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i += 1) target[i] += factor * a[i];
}

function squaredDistance(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += (a[i] - b[i]) ** 2;
  return sum;
}
