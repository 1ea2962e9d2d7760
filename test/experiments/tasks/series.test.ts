/** Windows of a table as equations, drawn and in order; errors of forecasts that can be worked out by hand. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import type { SeriesData } from '../../../experiments/data/series-data.ts';
import { bestSeason, errorSums, seriesBaselines, truth } from '../../../experiments/tasks/series-errors.ts';
import {
  drawnSeriesWindows,
  packedWindows,
  type SeriesBatch,
  seriesWindows,
  windowsInOrder,
} from '../../../experiments/tasks/series-windows.ts';

const rows = 40;
const dataOf = (columns: number, value: (row: number, column: number) => number): SeriesData => ({
  name: 'series',
  columns: Array.from({ length: columns }, (_, c) => `c${c}`),
  rows,
  values: Float32Array.from({ length: rows * columns }, (_, i) => value(Math.floor(i / columns), i % columns)),
  mean: [],
  deviation: [],
  parts: { train: { from: 0, to: 24 }, val: { from: 24, to: 30 }, test: { from: 30, to: 40 } },
});
const numbered = dataOf(3, (row, column) => 10 * row + column);

describe.each([
  ['together', 3],
  ['each by itself', 1],
])('windows of columns %s', (_, channels) => {
  const shape: SeriesBatch = { batch: 4, context: 5, horizon: 2, rows, columns: 3, channels };
  const windows = drawnSeriesWindows(numbered, shape, 7, 100);

  test('hold what is read and what follows every place', () => {
    const tensors = seriesWindows(shape, 'x and y');
    const { start, column } = packedWindows(windows);
    const values = new Map([
      ['series', ndarray([rows, 3], Float64Array.from(numbered.values))],
      ['start', ndarray([4], start)],
      ['column', ndarray([4], column)],
    ]);
    const found = interpret({ tensors, outputs: ['x', 'y'], updates: [] }, values);
    const [x, y] = [found.get('x'), found.get('y')];
    expect(x?.shape).toEqual([4, 5, channels]);
    expect(y?.shape).toEqual([4, 5, 2 * channels]);
    for (const [n, window] of windows.entries()) {
      const at = (row: number, c: number) => 10 * (window.start + row) + window.column + c;
      for (let t = 0; t < 5; t += 1) {
        for (let c = 0; c < channels; c += 1) {
          expect(x?.data[(n * 5 + t) * channels + c]).toBe(at(t, c));
          for (let a = 0; a < 2; a += 1) {
            expect(y?.data[(n * 5 + t) * 2 * channels + a * channels + c]).toBe(at(t + 1 + a, c));
          }
        }
      }
      const right = truth(numbered, window, shape);
      expect(right(1, channels - 1)).toBe(at(5 + 1, channels - 1));
    }
  });

  test('are drawn from all of the training part and from no other, the same for the same number', () => {
    const many = Array.from({ length: 500 }, (_, i) => drawnSeriesWindows(numbered, { ...shape, batch: 1 }, 3, i)[0]);
    const starts = new Set(many.map(({ start }) => start));
    expect([Math.min(...starts), Math.max(...starts)]).toEqual([0, 24 - 5 - 2]);
    expect(new Set(many.map(({ column }) => column)).size).toBe(channels === 1 ? 3 : 1);
    const batch = drawnSeriesWindows(numbered, { ...shape, batch: 8 }, 3, 16);
    expect(batch).toEqual(many.slice(16, 24));
  });

  test('in order, all or some evenly spread', () => {
    const range = { from: 4, to: 9 };
    const all = windowsInOrder(numbered, range, channels);
    expect(all).toHaveLength(channels === 1 ? 15 : 5);
    expect([all[0], all.at(-1)]).toEqual([
      { start: 4, column: 0 },
      { start: 8, column: channels === 1 ? 2 : 0 },
    ]);
    expect(windowsInOrder(numbered, range, channels, 5).map(({ start }) => start)).toEqual([4, 5, 6, 7, 8]);
    expect(windowsInOrder(numbered, range, channels, 100)).toEqual(all);
  });
});

test('errors are means over windows and columns, of all times ahead and of each', () => {
  const sums = errorSums(2);
  for (const [ahead, error] of [
    [0, 1],
    [0, -3],
    [1, 0],
    [1, 2],
  ] as const)
    sums.add(ahead, error);
  expect(sums.errors()).toEqual({ mse: 14 / 4, mae: 6 / 4, ahead: [5, 2] });
});

describe('what needs no model', () => {
  const lengths = { context: 6, horizon: 3 };

  test('of a line is off by how far it repeats', () => {
    const errors = seriesBaselines(
      dataOf(2, (row) => row),
      'test',
      lengths,
      2,
    );
    expect(errors['last value']).toEqual({ mse: 14 / 3, mae: 2, ahead: [1, 4, 9] });
    // The third time ahead repeats what is two seasons, four rows, back.
    expect(errors['last season'].ahead).toEqual([4, 4, 16]);
    // Windows forecast rows 30 to 32, …, 37 to 39.
    const first = Array.from({ length: 8 }, (_, i) => (30 + i) ** 2);
    expect(errors.mean.ahead[0]).toBeCloseTo(first.reduce((sum, value) => sum + value, 0) / 8, 10);
    expect(errors).not.toHaveProperty('best possible');
  });

  test('of what repeats is nothing, and the period is found', () => {
    const waves = dataOf(2, (row, column) => Math.sin((2 * Math.PI * row) / 5) + column);
    expect(bestSeason(waves, lengths)).toBe(5);
    expect(seriesBaselines(waves, 'val', lengths, 5)['last season'].mse).toBeCloseTo(0, 10);
    expect(
      bestSeason(
        dataOf(1, (row) => row),
        lengths,
      ),
    ).toBe(1);
  });

  test('of a series whose noise is known says how well it can be forecast', () => {
    const known = { ...dataOf(2, (row) => row), leastVariance: (column: number, ahead: number) => column + ahead };
    const { mse, mae, ahead } = seriesBaselines(known, 'test', lengths, 2)['best possible'] ?? {
      mse: 0,
      mae: 0,
      ahead: [],
    };
    expect(ahead).toEqual([1.5, 2.5, 3.5]);
    expect(mse).toBe(2.5);
    const roots = [1, 2, 2, 3, 3, 4].map(Math.sqrt).reduce((sum, root) => sum + root, 0) / 6;
    expect(mae).toBeCloseTo(roots * Math.sqrt(2 / Math.PI), 12);
  });
});
