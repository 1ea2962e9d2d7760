/**
 * What a prompt's next y can be predicted as without any training, on the host in float64, each from the points before. The lines
 * that a training curve is held against; which of them a task has is in `tasks.ts`.
 *
 * The trap: coordinates have variance 1 / dims, so the averaging estimator of w is dims · mean(y x) (the reference leaves the
 * factor out).
 */
import { bootstrapped, type Curve } from './bootstrap.ts';
import type { Context, Predictor } from './context.ts';
import { greedyTree } from './greedy-tree.ts';
import { lasso } from './lasso.ts';
import { leastSquares, ridge } from './least-squares.ts';
import { addScaled, dot, squaredDistance } from './vectors.ts';

/** Points and answers of prompts; what is asked for may be of another kind than what is seen. */
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
  /** The same for what is asked for; absent: each point is asked for before it is seen. */
  readonly asked?: { readonly xs: ArrayLike<number>; readonly ys: ArrayLike<number> };
}

/** What an answer is, and so what an error is: a squared distance, or 1 where the sign is wrong. */
export type AnswerKind = 'numbers' | 'signs';

interface Baseline {
  readonly predict: Predictor;
  /** About how many multiply-adds a prompt takes. */
  readonly work: (points: number, dims: number) => number;
}

const lassoAlphas = [1, 0.1, 0.01, 0.001, 0.0001] as const;
type LassoName = `lasso (α = ${(typeof lassoAlphas)[number]})`;
export const lassoNames = lassoAlphas.map((alpha): LassoName => `lasso (α = ${alpha})`);
/** Sweeps over the coordinates that a point takes, about. */
const lassoSweeps = 100;

const updates = (points: number, dims: number) => points * 6 * dims ** 2;
const pairs = (points: number, dims: number) => points ** 2 * dims;

const others = {
  'least squares': { predict: leastSquares, work: updates },
  // The noise of the setting that has some: a part in dims of the answers' variance.
  ridge: { predict: (context) => ridge(context, 1 / context.dims), work: updates },
  '3 nearest neighbours': { predict: (context) => nearestNeighbours(context, 3), work: pairs },
  averaging: { predict: averaging, work: (points, dims) => points * dims },
  'greedy tree': { predict: (context) => greedyTree(context), work: (points, dims) => 4 * pairs(points, dims) },
  'greedy tree of depth 4': {
    predict: (context) => greedyTree(context, 4),
    work: (points, dims) => 4 * pairs(points, dims),
  },
  zero: { predict: ({ xs }) => new Float64Array(xs.length), work: () => 0 },
} as const satisfies Readonly<Record<string, Baseline>>;

export type BaselineName = keyof typeof others | LassoName;

const baselines: Readonly<Record<BaselineName, Baseline>> = {
  ...others,
  ...(Object.fromEntries(
    lassoAlphas.map((alpha): [LassoName, Baseline] => [
      `lasso (α = ${alpha})`,
      {
        predict: (context) => lasso(context, alpha),
        work: (points, dims) => points * (lassoSweeps + 1) * dims ** 2,
      },
    ]),
  ) as Record<LassoName, Baseline>),
};

export const baselineNames = Object.keys(baselines) as readonly BaselineName[];

/** About how many multiply-adds some baselines take for a prompt. */
export function baselineWork(names: readonly BaselineName[], points: number, dims: number): number {
  return names.reduce((sum, name) => sum + baselines[name].work(points, dims), 0);
}

/** Errors by baseline, (count, points) each. */
export type PromptErrors = Readonly<Partial<Record<BaselineName, Float64Array>>>;

/** Error of each baseline at each point, over prompts. */
export type BaselineCurves = Readonly<Partial<Record<BaselineName, Curve>>>;

export function baselineCurves(errors: PromptErrors, points: number): BaselineCurves {
  return Object.fromEntries(Object.entries(errors).map(([name, some]) => [name, bootstrapped(some, points)]));
}

export function baselineErrors(prompts: Prompts, names: readonly BaselineName[], kind: AnswerKind): PromptErrors {
  const { count, points, ys, asked } = prompts;
  const errors = names.map(() => new Float64Array(count * points));
  for (let index = 0; index < count; index += 1) {
    const context = contextOf(prompts, index);
    for (const [n, name] of names.entries()) {
      const predictions = baselines[name].predict(context);
      for (let p = 0; p < points; p += 1) {
        const place = index * points + p;
        errors[n][place] = errorOf(predictions[p], (asked?.ys ?? ys)[place], kind);
      }
    }
  }
  return Object.fromEntries(names.map((name, n) => [name, errors[n]]));
}

function errorOf(prediction: number, answer: number, kind: AnswerKind): number {
  switch (kind) {
    case 'numbers':
      return (prediction - answer) ** 2;
    case 'signs':
      return Math.sign(prediction) === answer ? 0 : 1;
    default:
      return kind satisfies never;
  }
}

function contextOf({ points, nDims, dims, xs, ys, asked }: Prompts, index: number): Context {
  const used = Math.min(dims, nDims);
  const rowsOf = (all: ArrayLike<number>) =>
    Array.from({ length: points }, (_, p) => {
      const start = (index * points + p) * nDims;
      return Float64Array.from({ length: used }, (_, j) => all[start + j]);
    });
  const rows = rowsOf(xs);
  return {
    dims: used,
    xs: rows,
    ys: Float64Array.from({ length: points }, (_, p) => ys[index * points + p]),
    asked: asked === undefined ? rows : rowsOf(asked.xs),
  };
}

function averaging({ dims, xs, ys, asked }: Context): Float64Array {
  const predictions = new Float64Array(xs.length);
  const sum = new Float64Array(dims);
  for (const [p, x] of xs.entries()) {
    predictions[p] = p === 0 ? 0 : (dims * dot(asked[p], sum)) / p;
    addScaled(sum, x, ys[p]);
  }
  return predictions;
}

function nearestNeighbours({ xs, ys, asked }: Context, neighbours: number): Float64Array {
  const predictions = new Float64Array(xs.length);
  for (let p = 1; p < xs.length; p += 1) {
    const byDistance = Array.from({ length: p }, (_, q) => ({ q, distance: squaredDistance(asked[p], xs[q]) }));
    byDistance.sort((a, b) => a.distance - b.distance);
    const nearest = byDistance.slice(0, neighbours);
    predictions[p] = nearest.reduce((sum, { q }) => sum + ys[q], 0) / nearest.length;
  }
  return predictions;
}
