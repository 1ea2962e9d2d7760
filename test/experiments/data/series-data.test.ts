/** Parts, standardisation and windows of a table; the series that comes with the package. */
import { describe, expect, test } from 'vitest';
import { madeSeries } from '../../../experiments/data/made-series.ts';
import { type SeriesData, seriesData, windowRange } from '../../../experiments/data/series-data.ts';
import { parseSeriesTable } from '../../../experiments/data/series-table.ts';

const tableOf = (...columns: readonly (readonly number[])[]) =>
  parseSeriesTable(
    'made.csv',
    ['date,a,b', ...columns[0].map((_, row) => ['x', ...columns.map((column) => column[row])].join(','))]
      .join('\n')
      .replace('a,b', columns.map((_, c) => `c${c}`).join(',')),
    { ignoresDates: true },
  );
const counting = (rows: number) => Array.from({ length: rows }, (_, i) => i);
const lengths = { context: 3, horizon: 2 };

test.each([
  ['in the training part, whose deviation is not finite', 4, 1e300],
  ['in the training part, whose mean is not finite', 4, Number.MAX_VALUE],
  ['after it', 25, 1e60],
])('a value that f32 does not hold when it is standardised is told with its line: %s', (_, row, value) => {
  const column = counting(30).map((i) => (i === row || i === row + 1 ? value : i % 3));
  expect(() => seriesData(tableOf(counting(30), column), [20, 5, 5], lengths)).toThrow(
    /^made: c1 is \S+ in line \d+, too large to be standardised by the training part; leave it out, or choose --columns without it$/,
  );
});

describe('parts', () => {
  const partsOf = (rows: number, split: readonly number[]): SeriesData['parts'] =>
    seriesData(tableOf(counting(rows)), split, lengths).parts;

  test('as shares of the rows, with none left over where they make up the whole', () => {
    expect(partsOf(33, [0.7, 0.1, 0.2])).toEqual({
      train: { from: 0, to: 23 },
      val: { from: 23, to: 26 },
      test: { from: 26, to: 33 },
    });
    expect(partsOf(100, [0.5, 0.1, 0.2]).test).toEqual({ from: 60, to: 80 });
  });

  test('as numbers of rows, the rest not used', () => {
    expect(partsOf(30, [10, 5, 4])).toEqual({
      train: { from: 0, to: 10 },
      val: { from: 10, to: 15 },
      test: { from: 15, to: 19 },
    });
  });

  test('every row of a part is forecast, and none of another', () => {
    const data = seriesData(tableOf(counting(30)), [10, 5, 4], lengths);
    // First rows: the training part's from 0; the others' contexts lie in the part before.
    expect(windowRange(data, 'train', lengths)).toEqual({ from: 0, to: 6 });
    expect(windowRange(data, 'val', lengths)).toEqual({ from: 7, to: 11 });
    expect(windowRange(data, 'test', lengths)).toEqual({ from: 12, to: 15 });
  });

  test('too few rows are told with their lines', () => {
    expect(() => partsOf(30, [20, 5, 8])).toThrow('--split 20|5|8 asks for 33 rows, and made has 30');
    expect(() => partsOf(30, [4, 5, 8])).toThrow(
      'made has too few rows: its training part has 4 rows, line 2 to line 5, and --block_size 3 and --horizon 2 together want 5',
    );
    expect(partsOf(30, [5, 5, 8]).train.to).toBe(5);
    expect(() => partsOf(30, [10, 1, 8])).toThrow(
      /its validation part has 1 rows, line 12 to line 12, and --horizon 2 wants/,
    );
    expect(partsOf(30, [10, 2, 8]).val.to).toBe(12);
    expect(() => partsOf(8, [0.7, 0.1, 0.2])).toThrow(/too few rows/);
  });
});

test('columns are standardised by the training part alone', () => {
  const data = seriesData(tableOf([1, 3, 1, 3, 1, 3, 100, 200, 5], [7, 7, 7, 7, 7, 7, 8, 7, 6]), [6, 2, 1], {
    context: 1,
    horizon: 1,
  });
  expect(data.mean).toEqual([2, 7]);
  // What never changes in the training part keeps its unit.
  expect(data.deviation).toEqual([1, 1]);
  expect([...data.values.slice(0, 4)]).toEqual([-1, 0, 1, 0]);
  expect([...data.values.slice(12)]).toEqual([98, 1, 198, 0, 3, -1]);
  const constant = seriesData(tableOf(Array.from({ length: 9 }, () => 0.1)), [6, 2, 1], { context: 1, horizon: 1 });
  expect(constant.deviation).toEqual([1]);
});

test('the series that comes with the package is what its rule says', () => {
  const { values, rows, leastVariance } = madeSeries();
  expect(madeSeries().values).toEqual(values);
  const column = (c: number) => Array.from({ length: rows }, (_, row) => values[3 * row + c]);
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  const [load, echo] = [column(0), column(1)];
  // A day later the period is the same, so what differs is the weather, of variance 1 and all but forgotten.
  const weather = load.map((value, t) => value - 2 * Math.sin((2 * Math.PI * (t + 200)) / 24));
  expect(mean(weather.map((value) => value ** 2))).toBeCloseTo(1, 0);
  expect(mean(weather.slice(1).map((value, t) => value * weather[t]))).toBeCloseTo(0.9, 1);
  expect(mean(echo.slice(24).map((value, t) => (value - weather[t]) ** 2))).toBeCloseTo(0.09, 2);
  // One hour ahead: what is left of weather, the echo's own noise, the tide's.
  expect([0, 1, 2].map((c) => leastVariance?.(c, 1))).toEqual([
    expect.closeTo(0.19),
    expect.closeTo(0.09),
    expect.closeTo(0.04),
  ]);
  expect(leastVariance?.(1, 25)).toBeCloseTo(0.09 + 0.19);
});
