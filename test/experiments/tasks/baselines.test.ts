import { describe, expect, test } from 'vitest';
import { drawNormal } from '../../../compiler/ir/philox.ts';
import { baselineErrors, leastSquares } from '../../../experiments/tasks/baselines.ts';

function prompts(count: number, points: number, nDims: number, dims: number) {
  const xs = new Float64Array(count * points * nDims);
  const ys = new Float64Array(count * points);
  for (let n = 0; n < count; n += 1) {
    for (let p = 0; p < points; p += 1) {
      for (let j = 0; j < dims; j += 1) {
        const at = (n * points + p) * nDims + j;
        xs[at] = drawNormal(1, 0, 0, at) / Math.sqrt(dims);
        ys[n * points + p] += xs[at] * drawNormal(1, 1, 0, n * nDims + j);
      }
    }
  }
  return { count, points, nDims, dims, xs, ys };
}

describe('baselines of linear regression without noise', () => {
  const [count, points, nDims, dims] = [4000, 10, 6, 4];
  const errors = baselineErrors(prompts(count, points, nDims, dims));

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
  const prediction = leastSquares({
    points: 3,
    dims: 1,
    xs: [[1], [2], [10]].map((row) => Float64Array.from(row)),
    ys: Float64Array.from([2, 5, 0]),
  });
  expect(prediction[0]).toBe(0);
  expect(prediction[1]).toBeCloseTo(4, 12);
  expect(prediction[2]).toBeCloseTo((10 * 12) / 5, 12);
});
