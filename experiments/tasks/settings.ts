/**
 * The settings that a trained model is evaluated under, by the reference's names: the prompts of its training, and prompts of other
 * kinds. Each changes the points (`questions.mlbtc`, or a matrix in `prompts.mlbtc`), the answers, or the task.
 *
 * Two traps. Where the point that is asked for is of another kind than those that are seen, every point is a prompt of its own, and
 * the model runs once for each. And the reference adds noise of variance 1 to answers of variance dims: here, where answers have
 * variance 1, that is noise of variance 1 / dims.
 */
import { drawNormal } from '../../compiler/ir/philox.ts';
import type { BaselineName } from './baselines.ts';
import { type Change, unchanged } from './prompts.ts';
import { type IclTaskName, iclTasks } from './tasks.ts';
import { addScaled, dot } from './vectors.ts';

export interface Setting {
  readonly name: string;
  /** In a few words, for people. */
  readonly about: string;
  readonly change: Change;
  /** Lengths along random axes that the points are stretched by. */
  readonly lengths?: (nDims: number) => readonly number[];
  /** More points than that mean nothing. */
  readonly mostPoints?: (nDims: number) => number;
  /** Another task than that of the training. */
  readonly task?: IclTaskName;
  /** Baselines beside those of the task. */
  readonly baselines?: readonly BaselineName[];
}

const standard: Setting = { name: 'standard', about: 'as in training', change: unchanged };

const stretched = (name: string, about: string, lengths: (nDims: number) => readonly number[]): Setting => ({
  name,
  about,
  change: { kind: 'prompts', sizes: { transformed: 1 } },
  lengths,
});

/** Of prompts whatever the task. */
const ofPoints: readonly Setting[] = [
  {
    name: 'random_quadrants',
    about: 'seen in one quadrant, asked in any',
    change: { kind: 'questions', file: 'random_quadrants' },
  },
  {
    name: 'orthogonal_train_test',
    about: 'asked at right angles to all seen',
    change: { kind: 'questions', file: 'orthogonal_train_test' },
    mostPoints: (nDims) => nDims,
  },
  {
    name: 'overlapping_train_test',
    about: 'asked for a point that was seen',
    change: { kind: 'questions', file: 'overlapping_train_test' },
  },
  stretched('half_subspace', 'points in half of the dimensions', (nDims) =>
    ofVarianceOne(Array.from({ length: nDims }, (_, i) => (i < Math.max(1, Math.floor(nDims / 2)) ? 1 : 0))),
  ),
  stretched('skewed', 'axes of lengths 1, 1/2, 1/3, …', (nDims) =>
    ofVarianceOne(Array.from({ length: nDims }, (_, i) => 1 / (i + 1))),
  ),
];

const scales = [0.333, 0.5, 2, 3] as const;

/** Of answers that are numbers. */
const ofNumbers: readonly Setting[] = [
  ...scales.map((scale) =>
    stretched(`scale-x=${scale}`, `points ${scale} times as long`, (nDims) => new Array(nDims).fill(scale)),
  ),
  ...scales.map(
    (scale): Setting => ({
      name: `scale-y=${scale}`,
      about: `answers ${scale} times as large`,
      change: { kind: 'prompts', sizes: { factor: scale } },
    }),
  ),
  {
    name: 'noisyLR',
    about: 'answers with noise',
    change: { kind: 'prompts', sizes: { noisy: 1 } },
    baselines: ['ridge'],
  },
];

/** All that mean something for a model of this task. */
export function settingsOf(task: IclTaskName): readonly Setting[] {
  return [
    standard,
    ...(task === 'relu_2nn_regression'
      ? [{ ...standard, name: 'linear_regression', about: 'linear answers', task: 'linear_regression' as const }]
      : []),
    ...ofPoints,
    ...(iclTasks[task].answers === 'numbers' ? ofNumbers : []),
  ];
}

/** The same mean square as without. */
function ofVarianceOne(lengths: readonly number[]): readonly number[] {
  const square = lengths.reduce((sum, length) => sum + length ** 2, 0) / lengths.length;
  return lengths.map((length) => length / Math.sqrt(square));
}

/** Stream of the axes; of no prompt. */
const axesStream = 10;

/** U diag(lengths) Uᵀ, U a random rotation: the matrix that stretches along random axes. Row-major. */
export function stretchMatrix(lengths: readonly number[], seed: number): Float64Array {
  const n = lengths.length;
  const matrix = new Float64Array(n * n);
  const axes: Float64Array[] = [];
  for (const [k, length] of lengths.entries()) {
    const axis = Float64Array.from({ length: n }, (_, j) => drawNormal(seed, axesStream, 0, k * n + j));
    // Gram-Schmidt, twice: once leaves what rounding has put in.
    for (let pass = 0; pass < 2; pass += 1) for (const other of axes) addScaled(axis, other, -dot(axis, other));
    const norm = Math.sqrt(dot(axis, axis));
    axes.push(axis.map((value) => value / norm));
    for (let i = 0; i < n; i += 1) for (let j = 0; j < n; j += 1) matrix[i * n + j] += length * axes[k][i] * axes[k][j];
  }
  return matrix;
}
