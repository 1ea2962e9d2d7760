import { describe, expect, test } from 'vitest';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import type { Prompts } from '../../../experiments/tasks/baselines.ts';
import { promptsOnHost } from '../../../experiments/tasks/held-out.ts';
import { type Change, drawnPrompts, streams } from '../../../experiments/tasks/prompts.ts';
import { type Setting, settingsOf, stretchMatrix } from '../../../experiments/tasks/settings.ts';
import { taskNames } from '../../../experiments/tasks/tasks.ts';
import { settingBaselines } from '../../../experiments/training/icl-evaluation.ts';

const task = { file: 'linear_regression', sizes: {} };
const shape = { batch: 6, points: 4, nDims: 4 };
const named = (name: string) => settingsOf('linear_regression').find((setting) => setting.name === name) as Setting;

function drawn(
  change: Change,
  { batch, points, nDims } = shape,
  given = new Map<string, ArrayLike<number>>(),
): Prompts {
  const size = { batch, points, nDims };
  return promptsOnHost(drawnPrompts(size, streams.evaluate, task, { change }), size, {
    seed: 3,
    dims: nDims,
    batches: 1,
    given,
  });
}

const row = ({ points, nDims }: Prompts, xs: ArrayLike<number>, n: number, p: number) =>
  Array.from({ length: nDims }, (_, j) => xs[(n * points + p) * nDims + j]);
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);

const standard = drawn(named('standard').change);

/** The points that are seen and asked for, of every prompt. */
function eachPoint(prompts: Prompts, look: (n: number, p: number, seen: number[], asked: number[]) => void): void {
  const asked = prompts.asked?.xs as ArrayLike<number>;
  for (let n = 0; n < prompts.count; n += 1) {
    for (let p = 0; p < prompts.points; p += 1) look(n, p, row(prompts, prompts.xs, n, p), row(prompts, asked, n, p));
  }
}

test('one task answers what is seen and what is asked for, and it is that of every setting', () => {
  // Least squares from the standard prompt's four points is the weights themselves.
  for (const name of ['random_quadrants', 'orthogonal_train_test', 'overlapping_train_test']) {
    const prompts = drawn(named(name).change);
    for (let n = 0; n < shape.batch; n += 1) {
      const rows = [0, 1, 2, 3].map((p) => row(standard, standard.xs, n, p));
      const w = solve(
        rows,
        [0, 1, 2, 3].map((p) => standard.ys[n * 4 + p]),
      );
      for (let p = 0; p < 4; p += 1) {
        expect(prompts.ys[n * 4 + p]).toBeCloseTo(dot(w, row(prompts, prompts.xs, n, p)), 8);
        expect(prompts.asked?.ys[n * 4 + p]).toBeCloseTo(dot(w, row(prompts, prompts.asked?.xs ?? [], n, p)), 8);
      }
    }
  }
});

describe('questions', () => {
  test('random quadrants: one sign pattern is seen, the standard points are asked for', () => {
    const patterns = new Set<string>();
    const prompts = drawn(named('random_quadrants').change);
    eachPoint(prompts, (n, p, seen, asked) => {
      expect(asked).toEqual(row(standard, standard.xs, n, p));
      expect(seen.map(Math.abs)).toEqual(asked.map(Math.abs));
      patterns.add(`${n} ${seen.map(Math.sign)}`);
    });
    expect(patterns.size).toBe(shape.batch);
    expect(new Set([...patterns].map((pattern) => pattern.slice(2))).size).toBeGreaterThan(2);
  });

  test('orthogonal: at right angles to all that is seen before, as long as drawn', () => {
    const prompts = drawn(named('orthogonal_train_test').change);
    eachPoint(prompts, (n, p, seen, asked) => {
      expect(seen).toEqual(row(standard, standard.xs, n, p));
      expect(dot(asked, asked)).toBeCloseTo(dot(seen, seen), 10);
      for (let q = 0; q < p; q += 1) expect(dot(asked, row(prompts, prompts.xs, n, q))).toBeCloseTo(0, 10);
    });
  });

  test('overlapping: each of those before, with the same probability', () => {
    const size = { batch: 600, points: 4, nDims: 2 };
    const prompts = drawn(named('overlapping_train_test').change, size);
    const times = [0, 0, 0];
    eachPoint(prompts, (n, p, seen, asked) => {
      const before = Array.from({ length: p }, (_, q) => row(prompts, prompts.xs, n, q));
      const found = before.findIndex((x) => x.every((value, j) => value === asked[j]));
      if (p === 0) expect(asked).toEqual(seen);
      else expect(found).toBeGreaterThanOrEqual(0);
      if (p === 3) times[found] += 1;
    });
    for (const count of times) expect(Math.abs(count - 200)).toBeLessThan(4 * Math.sqrt(600 * (1 / 3) * (2 / 3)));
  });
});

describe('stretched points', () => {
  test.each([
    ['half_subspace', 2],
    ['skewed', 4],
    ['scale-x=3', 4],
  ] as const)('%s: symmetric, of rank %d, of these lengths', (name, rank) => {
    const lengths = named(name).lengths?.(4) as readonly number[];
    const matrix = stretchMatrix(lengths, 5);
    const rows = [0, 1, 2, 3].map((i) => [...matrix.subarray(4 * i, 4 * i + 4)]);
    for (const i of [0, 1, 2, 3]) for (const j of [0, 1, 2, 3]) expect(rows[i][j]).toBeCloseTo(rows[j][i], 12);
    // Sums of powers of eigenvalues: traces of powers of the matrix.
    const squared = rows.map((a) => rows.map((b) => dot(a, b)));
    const trace = (some: readonly (readonly number[])[]) => some.reduce((sum, a, i) => sum + a[i], 0);
    expect(trace(rows)).toBeCloseTo(
      lengths.reduce((sum, l) => sum + l, 0),
      10,
    );
    expect(trace(squared)).toBeCloseTo(
      lengths.reduce((sum, l) => sum + l ** 2, 0),
      10,
    );
    expect(squared.reduce((sum, a) => sum + dot(a, a), 0)).toBeCloseTo(
      lengths.reduce((sum, l) => sum + l ** 4, 0),
      10,
    );
    if (!name.startsWith('scale')) expect(trace(squared)).toBeCloseTo(4, 10);
    expect(lengths.filter((length) => length > 0).length).toBe(rank);
    const given = new Map([['transform', matrix]]);
    const prompts = drawn(named(name).change, shape, given);
    for (let p = 0; p < 4; p += 1) {
      const x = row(standard, standard.xs, 2, p);
      for (const [i, value] of row(prompts, prompts.xs, 2, p).entries()) expect(value).toBeCloseTo(dot(rows[i], x), 12);
    }
  });
});

test('scaled and noisy answers', () => {
  const tripled = drawn(named('scale-y=3').change);
  for (const [i, y] of Array.from(standard.ys).entries()) expect(tripled.ys[i]).toBeCloseTo(3 * y, 12);
  const size = { batch: 400, points: 8, nDims: 4 };
  const [clear, noisy] = [drawn(named('standard').change, size), drawn(named('noisyLR').change, size)];
  const noises = Array.from(noisy.ys, (y, i) => y * Math.sqrt(1.25) - clear.ys[i]);
  const square = (values: readonly number[]) => values.reduce((sum, v) => sum + v ** 2, 0) / values.length;
  expect(square(noises)).toBeCloseTo(1 / 4, 1);
  expect(square(Array.from(noisy.ys))).toBeCloseTo(1, 1);
});

test('every setting of every task has baselines; the expected ones are exact where they must be', () => {
  for (const training_task of taskNames) {
    const { options } = resolveIcl(
      `--n_dims 3 --d_model 4 --n_head 1 --token_mixing_struct low_rank --training_batch_size 8 --training_task ${training_task} --task_hidden_layer_size 6 --task_depth 2`.split(
        ' ',
      ),
    );
    for (const setting of settingsOf(training_task)) {
      const points = Math.min(6, setting.mostPoints?.(3) ?? 6);
      const curves = settingBaselines(options, setting, { batch: 8, points, nDims: 3 }, 1);
      for (const curve of Object.values(curves)) {
        expect(curve.mean.length).toBe(points);
        for (const [p, mean] of curve.mean.entries()) {
          expect(Number.isFinite(mean)).toBe(true);
          expect(curve.low[p]).toBeLessThanOrEqual(mean);
          expect(curve.high[p]).toBeGreaterThanOrEqual(mean);
        }
      }
      const exact = (p: number) => expect(curves['least squares']?.mean[p]).toBeLessThan(1e-9);
      if (training_task === 'linear_regression' && setting.name !== 'noisyLR' && points === 6) exact(4);
      // A point that was seen is known.
      if (training_task === 'linear_regression' && setting.name === 'overlapping_train_test') exact(1);
      if (setting.name === 'noisyLR') expect(curves.ridge).toBeDefined();
    }
  }
});

/** w of A w = b, by elimination. */
function solve(A: readonly (readonly number[])[], b: readonly number[]): number[] {
  const rows = A.map((r, i) => [...r, b[i]]);
  for (let i = 0; i < rows.length; i += 1) {
    const largest = rows.slice(i).reduce((best, r, k) => (Math.abs(r[i]) > Math.abs(rows[best][i]) ? k + i : best), i);
    [rows[i], rows[largest]] = [rows[largest], rows[i]];
    for (const [r, other] of rows.entries()) {
      if (r === i) continue;
      const factor = other[i] / rows[i][i];
      for (let c = i; c < other.length; c += 1) other[c] -= factor * rows[i][c];
    }
  }
  return rows.map((r, i) => r[r.length - 1] / r[i]);
}
