/**
 * How far forecasts are off, in standardised units: mean squared and mean absolute error over windows, times ahead and columns, as the
 * literature reports them; and the same of what needs no model.
 *
 *   last value      the last row, again and again
 *   last season     the last so many rows, again and again: as many as do best on the training part
 *   mean            the training part's, which is 0
 *   best possible   where it is known how the series was made: no forecast gets below
 */
import type { PartName } from '../data/parts.ts';
import type { SeriesData, WindowLengths } from '../data/series-data.ts';
import { windowRange } from '../data/series-data.ts';
import type { SeriesWindow } from './series-windows.ts';

export interface ForecastErrors {
  readonly mse: number;
  readonly mae: number;
  /** Mean squared error of each time ahead. */
  readonly ahead: readonly number[];
}

/** Adds up errors; `add` counts `ahead` from 0. */
export function errorSums(horizon: number) {
  const squares = new Float64Array(horizon);
  const sizes = new Float64Array(horizon);
  const counts = new Float64Array(horizon);
  const total = (sums: Float64Array) => sums.reduce((sum, value) => sum + value, 0);
  return {
    add: (ahead: number, error: number) => {
      squares[ahead] += error * error;
      sizes[ahead] += Math.abs(error);
      counts[ahead] += 1;
    },
    errors: (): ForecastErrors => ({
      mse: total(squares) / total(counts),
      mae: total(sizes) / total(counts),
      ahead: Array.from(squares, (sum, a) => sum / counts[a]),
    }),
  };
}

/** The value that a window's forecast is held against. */
export function truth({ values, columns }: SeriesData, { start, column }: SeriesWindow, { context }: WindowLengths) {
  return (ahead: number, channel: number) => values[(start + context + ahead) * columns.length + column + channel];
}

/** Of a part, over all of its windows and columns. */
export function seriesBaselines(data: SeriesData, part: PartName, lengths: WindowLengths, season: number) {
  const { values, columns } = data;
  const { context, horizon } = lengths;
  const width = columns.length;
  const { from, to } = windowRange(data, part, lengths);
  /** Of what is as many rows back as `back` says, in a forecast so many rows ahead. */
  const repeated = (back: (ahead: number) => number) => {
    const sums = errorSums(horizon);
    for (let start = from; start < to; start += 1) {
      for (let ahead = 0; ahead < horizon; ahead += 1) {
        const row = start + context + ahead;
        const from = row - back(ahead);
        for (let c = 0; c < width; c += 1) sums.add(ahead, values[row * width + c] - values[from * width + c]);
      }
    }
    return sums.errors();
  };
  const mean = errorSums(horizon);
  for (let start = from; start < to; start += 1) {
    for (let ahead = 0; ahead < horizon; ahead += 1) {
      for (let c = 0; c < width; c += 1) mean.add(ahead, values[(start + context + ahead) * width + c]);
    }
  }
  return {
    'last value': repeated((ahead) => ahead + 1),
    'last season': repeated((ahead) => seasonsBack(ahead, season)),
    mean: mean.errors(),
    ...(data.leastVariance && { 'best possible': leastErrors(data.leastVariance, width, horizon) }),
  } satisfies Partial<Record<BaselineName, ForecastErrors>>;
}

export const seriesBaselineNames = ['last value', 'last season', 'mean', 'best possible'] as const;
export type BaselineName = (typeof seriesBaselineNames)[number];

/** Whole seasons, so many that what is repeated is known. */
function seasonsBack(ahead: number, season: number): number {
  return season * Math.ceil((ahead + 1) / season);
}

/** Mean absolute error of a normal error of variance 1. */
const absoluteOfNormal = Math.sqrt(2 / Math.PI);

function leastErrors(
  variance: NonNullable<SeriesData['leastVariance']>,
  width: number,
  horizon: number,
): ForecastErrors {
  const over = (of: (ahead: number, column: number) => number) =>
    Array.from({ length: horizon }, (_, a) => average(Array.from({ length: width }, (_, c) => of(a + 1, c))));
  const ahead = over((a, c) => variance(c, a));
  return { mse: average(ahead), mae: average(over((a, c) => absoluteOfNormal * Math.sqrt(variance(c, a)))), ahead };
}

/**
 * The period, in rows and no longer than the context, whose repetition forecasts the training part best. Found from the mean squared
 * differences of rows so far apart, since a forecast by repetition is off by just such a difference.
 */
export function bestSeason({ values, columns, parts }: SeriesData, { context, horizon }: WindowLengths): number {
  const width = columns.length;
  const { from, to } = parts.train;
  const farthest = Math.min(to - from - 1, context + horizon - 1);
  const apart = Array.from({ length: farthest + 1 }, (_, rows) => {
    if (rows === 0) return 0;
    let sum = 0;
    for (let i = (from + rows) * width; i < to * width; i += 1) sum += (values[i] - values[i - rows * width]) ** 2;
    return sum / ((to - from - rows) * width);
  });
  let [best, least] = [1, Number.POSITIVE_INFINITY];
  for (let season = 1; season <= context; season += 1) {
    let error = 0;
    for (let ahead = 0; ahead < horizon; ahead += 1) error += apart[seasonsBack(ahead, season)] / horizon;
    if (error < least) [best, least] = [season, error];
  }
  return best;
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
