import { describe, expect, test } from 'vitest';
import { drawNormal } from '../../../compiler/ir/philox.ts';
import {
  type BaselineName,
  baselineErrors,
  baselineNames,
  type Prompts,
} from '../../../experiments/tasks/baselines.ts';
import { bootstrapped } from '../../../experiments/tasks/bootstrap.ts';
import type { Context } from '../../../experiments/tasks/context.ts';
import { greedyTree } from '../../../experiments/tasks/greedy-tree.ts';
import { lasso } from '../../../experiments/tasks/lasso.ts';
import { leastSquares, ridge } from '../../../experiments/tasks/least-squares.ts';

function linearPrompts(count: number, points: number, nDims: number, dims: number, noise = 0): Prompts {
  const xs = new Float64Array(count * points * nDims);
  const ys = new Float64Array(count * points);
  for (let n = 0; n < count; n += 1) {
    for (let p = 0; p < points; p += 1) {
      for (let j = 0; j < dims; j += 1) {
        const at = (n * points + p) * nDims + j;
        xs[at] = drawNormal(1, 0, 0, at) / Math.sqrt(dims);
        ys[n * points + p] += xs[at] * drawNormal(1, 1, 0, n * nDims + j);
      }
      ys[n * points + p] += noise * drawNormal(1, 2, 0, n * points + p);
    }
  }
  return { count, points, nDims, dims, xs, ys };
}

function meanErrors(prompts: Prompts, names: readonly BaselineName[]): Record<string, number[]> {
  const errors = baselineErrors(prompts, names, 'numbers');
  return Object.fromEntries(
    names.map((name) => [name, bootstrapped(errors[name] as Float64Array, prompts.points).mean]),
  );
}

/** A context whose points are asked for before they are seen. */
function context(rows: readonly (readonly number[])[], ys: readonly number[]): Context {
  const xs = rows.map((row) => Float64Array.from(row));
  return { dims: rows[0].length, xs, ys: Float64Array.from(ys), asked: xs };
}

function randomContext(points: number, dims: number, stream: number): Context {
  const rows = Array.from({ length: points }, (_, p) =>
    Array.from({ length: dims }, (_, j) => drawNormal(5, stream, 0, p * dims + j)),
  );
  return context(
    rows,
    rows.map((_, p) => drawNormal(5, stream + 1, 0, p)),
  );
}

/** The solution of A w = b by elimination with the largest pivot. */
function solve(A: readonly (readonly number[])[], b: readonly number[]): number[] {
  const rows = A.map((row, i) => [...row, b[i]]);
  for (let i = 0; i < rows.length; i += 1) {
    const pivot = rows.findIndex(
      (row, r) => r >= i && Math.abs(row[i]) === Math.max(...rows.slice(i).map((s) => Math.abs(s[i]))),
    );
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (const [r, row] of rows.entries()) {
      if (r === i) continue;
      const factor = row[i] / rows[i][i];
      for (let c = i; c < row.length; c += 1) row[c] -= factor * rows[i][c];
    }
  }
  return rows.map((row, i) => row[row.length - 1] / row[i]);
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i], 0);

describe('baselines of linear regression without noise', () => {
  const [count, points, nDims, dims] = [4000, 10, 6, 4];
  const errors = meanErrors(linearPrompts(count, points, nDims, dims), [
    'least squares',
    '3 nearest neighbours',
    'averaging',
    'zero',
  ]);

  test('least squares falls by 1 / dims a point and is exact from dims points on', () => {
    for (let p = 0; p < points; p += 1) {
      if (p < dims) expect(errors['least squares'][p]).toBeCloseTo(1 - p / dims, 1);
      else expect(errors['least squares'][p]).toBeLessThan(1e-12);
    }
  });

  test('averaging: (dims + 1) / points', () => {
    for (let p = 1; p < points; p += 1) {
      expect(errors.averaging[p] / ((dims + 1) / p)).toBeCloseTo(1, 0);
    }
  });

  test('zero is the variance of y; neighbours lie between', () => {
    expect(errors.zero.at(-1)).toBeCloseTo(1, 0);
    expect(errors['3 nearest neighbours'].at(-1)).toBeLessThan(0.9);
    expect(errors['3 nearest neighbours'].at(-1)).toBeGreaterThan(0.3);
  });
});

test('least squares with noise is the solution of the normal equations', () => {
  // y = 2x fails at the second point; after (1, 2) and (2, 5) the best slope is (1·2 + 2·5) / (1 + 4).
  const prediction = leastSquares(context([[1], [2], [10]], [2, 5, 0]));
  expect(prediction[0]).toBe(0);
  expect(prediction[1]).toBeCloseTo(4, 12);
  expect(prediction[2]).toBeCloseTo((10 * 12) / 5, 12);
});

test('what is asked for may be another point than what is seen next', () => {
  const seen = context([[1], [2]], [3, 6]);
  const asked = [Float64Array.of(7), Float64Array.of(-1)];
  expect([...leastSquares({ ...seen, asked })]).toEqual([0, expect.closeTo(-3, 12)]);
  const prompts = { count: 1, points: 2, nDims: 1, dims: 1, xs: [1, 2], ys: [3, 6] };
  const errors = baselineErrors({ ...prompts, asked: { xs: [7, -1], ys: [21, -4] } }, ['least squares'], 'numbers');
  expect([...(errors['least squares'] as Float64Array)]).toEqual([441, expect.closeTo(1, 12)]);
});

test('ridge: (XᵀX + λ I) w = Xᵀy; with noise it is better than least squares at every point', () => {
  const given = randomContext(7, 3, 10);
  const predictions = ridge(given, 0.7);
  for (let p = 0; p < 7; p += 1) {
    const seen = given.xs.slice(0, p);
    const A = [0, 1, 2].map((i) =>
      [0, 1, 2].map(
        (j) =>
          (i === j ? 0.7 : 0) +
          dot(
            seen.map((x) => x[i]),
            seen.map((x) => x[j]),
          ),
      ),
    );
    const b = [0, 1, 2].map((i) =>
      dot(
        seen.map((x) => x[i]),
        given.ys.slice(0, p),
      ),
    );
    expect(predictions[p]).toBeCloseTo(dot(solve(A, b), given.xs[p]), 10);
  }
  const dims = 4;
  const errors = meanErrors(linearPrompts(1500, 10, dims, dims, Math.sqrt(1 / dims)), ['ridge', 'least squares']);
  for (let p = 1; p < 10; p += 1) expect(errors.ridge[p]).toBeLessThan(errors['least squares'][p]);
});

describe('lasso', () => {
  test.each([1, 0.1, 0.001])(
    'α = %f: no slope of the objective is larger than α, and those of kept weights are α',
    (alpha) => {
      const dims = 4;
      const given = randomContext(9, dims, 20);
      // The last prediction's weights, by asking for the unit vectors.
      const w = Array.from({ length: dims }, (_, j) => {
        const asked = given.xs.map(() => Float64Array.from({ length: dims }, (_, k) => (k === j ? 1 : 0)));
        return lasso({ ...given, asked }, alpha)[8];
      });
      const [xs, ys] = [given.xs.slice(0, 8), given.ys.slice(0, 8)];
      const residuals = xs.map((x, p) => ys[p] - dot(x, w));
      for (const [j, weight] of w.entries()) {
        const slope =
          (dims / 8) *
          dot(
            residuals,
            xs.map((x) => x[j]),
          );
        if (weight === 0) expect(Math.abs(slope)).toBeLessThanOrEqual(alpha + 1e-6);
        else expect(slope).toBeCloseTo(Math.sign(weight) * alpha, 5);
      }
    },
  );

  test('a column at right angles to the others is the soft threshold of its least squares', () => {
    // By hand: Xᵀy = 2 · 3, XᵀX = 4, and the threshold of two points in two dimensions is 0.5 / 2 · 2.
    const given = context(
      [
        [2, 0],
        [0, 1],
        [1, 1],
      ],
      [3, 0.2, 0],
    );
    expect(lasso(given, 0.5)[2]).toBeCloseTo((6 - 0.5) / 4, 12);
  });
});

describe('greedy tree', () => {
  /** A CART tree grown whole, by recursion over all splits. */
  function bruteForce(xs: readonly Float64Array[], ys: readonly number[], x: Float64Array, depth: number): number {
    const mean = ys.reduce((sum, y) => sum + y, 0) / ys.length;
    const spread = (some: readonly number[]) => {
      const middle = some.reduce((sum, y) => sum + y, 0) / some.length;
      return some.reduce((sum, y) => sum + (y - middle) ** 2, 0);
    };
    if (depth === 0 || spread(ys) === 0) return mean;
    let best: { readonly j: number; readonly at: number; readonly cost: number } | undefined;
    for (const j of xs[0].keys()) {
      const values = [...new Set(xs.map((row) => row[j]))].sort((a, b) => a - b);
      for (let k = 1; k < values.length; k += 1) {
        const at = (values[k - 1] + values[k]) / 2;
        const cost = spread(ys.filter((_, p) => xs[p][j] <= at)) + spread(ys.filter((_, p) => xs[p][j] > at));
        if (best === undefined || cost < best.cost - 1e-12) best = { j, at, cost };
      }
    }
    if (best === undefined) return mean;
    const { j, at } = best;
    const isSame = (row: Float64Array) => row[j] > at === x[j] > at;
    return bruteForce(
      xs.filter(isSame),
      ys.filter((_, p) => isSame(xs[p])),
      x,
      depth - 1,
    );
  }

  test.each([1, 3, Number.POSITIVE_INFINITY])('of depth %d is the tree of all splits', (depth) => {
    for (let stream = 40; stream < 60; stream += 2) {
      const given = randomContext(14, 3, stream);
      const predictions = greedyTree(given, depth);
      for (let p = 1; p < 14; p += 1) {
        expect(predictions[p]).toBeCloseTo(
          bruteForce(given.xs.slice(0, p), [...given.ys.slice(0, p)], given.xs[p], depth),
          10,
        );
      }
    }
  });

  test('equal points are one leaf, whose answer is their mean', () => {
    const given = context(
      [
        [1, 2],
        [1, 2],
        [1, 2],
        [1, 2],
      ],
      [1, 5, 3, 0],
    );
    expect([...greedyTree(given)]).toEqual([0, 1, 3, 3]);
  });
});

test('a sign is right or wrong, whatever the prediction’s size', () => {
  const prompts = { count: 1, points: 3, nDims: 1, dims: 1, xs: [1, 2, -3], ys: [1, 1, 1] };
  const { averaging } = baselineErrors(prompts, ['averaging'], 'signs');
  // Of nothing the average is 0, which is no sign.
  expect([...(averaging as Float64Array)]).toEqual([1, 0, 1]);
});

test('no baseline looks at the answer, nor at what comes after it', () => {
  const [points, dims] = [6, 2];
  const prompts = linearPrompts(1, points, dims, dims);
  const asked = 3;
  const changed = {
    ...prompts,
    xs: Float64Array.from(prompts.xs, (x, i) => (i >= (asked + 1) * dims ? x + 9 : x)),
    ys: Float64Array.from(prompts.ys, (y, i) => (i > asked ? y - 7 : y)),
  };
  const before = baselineErrors(prompts, baselineNames, 'numbers');
  const after = baselineErrors(changed, baselineNames, 'numbers');
  const nudged = baselineErrors(
    { ...prompts, ys: Float64Array.from(prompts.ys, (y, i) => (i === asked ? y + 1 : y)) },
    baselineNames,
    'numbers',
  );
  const y = prompts.ys[asked];
  for (const name of baselineNames) {
    const [first, second, third] = [before, after, nudged].map((errors) => (errors[name] as Float64Array)[asked]);
    expect(second).toBe(first);
    // (prediction - y)² and (prediction - y - 1)² give the prediction: it must be that of both.
    const prediction = y + (first - third + 1) / 2;
    expect((prediction - y) ** 2).toBeCloseTo(first, 8);
  }
});

describe('bootstrap', () => {
  test('means are means; the interval is that of the normal distribution for many prompts', () => {
    const [prompts, points] = [2000, 2];
    const values = Float64Array.from({ length: prompts * points }, (_, i) =>
      i % 2 === 0 ? 3 : drawNormal(2, 0, 0, i),
    );
    const { mean, low, high } = bootstrapped(values, points);
    expect([mean[0], low[0], high[0]]).toEqual([expect.closeTo(3, 12), 3, 3]);
    const error = 1.645 / Math.sqrt(prompts);
    expect(high[1] - mean[1]).toBeGreaterThan(0.85 * error);
    expect(high[1] - mean[1]).toBeLessThan(1.15 * error);
    expect(mean[1] - low[1]).toBeGreaterThan(0.85 * error);
    expect(mean[1] - low[1]).toBeLessThan(1.15 * error);
  });

  test('the same values give the same bits; one prompt has no spread', () => {
    const values = Float64Array.from({ length: 21 }, (_, i) => drawNormal(3, 0, 0, i));
    expect(bootstrapped(values, 3)).toEqual(bootstrapped(values, 3));
    expect(bootstrapped([4, 5], 2)).toEqual({ mean: [4, 5], low: [4, 5], high: [4, 5] });
  });
});
