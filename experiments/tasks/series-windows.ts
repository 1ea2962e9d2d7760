/**
 * Batches of a model of time series: windows of a table that lies on the device, `context` rows that are read and the `horizon` rows
 * after each of them that are forecast there.
 *
 *   start ──▶ x[n, t, c] = series[start[n] + t, c],   y[n, t, (a c)] = series[start[n] + t + 1 + a, c]
 *
 * Where a model has one channel and the table several columns, each column is a series of its own: a window is a start and a column.
 * Windows are drawn as those of a text are (windows.ts), from (seed, number), the number counting through the whole training.
 */
import { add, affine, scale } from '../../compiler/ir/affine.ts';
import { at, computed, gather, input, over } from '../../compiler/ir/build.ts';
import { sum } from '../../compiler/ir/expression.ts';
import type { Affine, Index, Tensor } from '../../compiler/ir/program.ts';
import { type RowRange, type SeriesData, type WindowLengths, windowRange } from '../data/series-data.ts';
import { drawnPlace } from './windows.ts';

/** Stream of random numbers; those of the other tasks are others. */
const trainingStream = 10;

export interface SeriesBatch extends WindowLengths {
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  /** All columns, or 1: one at a time. */
  readonly channels: number;
}

export interface SeriesWindow {
  /** First row that is read. */
  readonly start: number;
  /** First column. */
  readonly column: number;
}

/** `x` and, unless only forecasts are wanted, `y`; inputs: `series` (rows, columns), `start` (batch), `column` (batch) where one is read. */
export function seriesWindows(shape: SeriesBatch, parts: 'x' | 'x and y'): readonly Tensor[] {
  const { batch, context, horizon, rows, columns, channels } = shape;
  const isApart = channels < columns;
  const reach = parts === 'x' ? context : context + horizon;
  const column = (n: Affine, c: Affine): Index => (isApart ? gather('column', n) : c);
  const x = over({ n: batch, t: context, c: channels }, ({ n, t, c }) => ({
    store: [n, t, c],
    value: at('series', gather('series~row', n, t), column(n, c)),
  }));
  const y = over({ n: batch, t: context, a: horizon, c: channels }, ({ n, t, a, c }) => ({
    store: [n, t, add(scale(a, channels), c)],
    value: at('series', gather('series~row', n, add(add(t, a), affine(1))), column(n, c)),
  }));
  return [
    input('series', [rows, columns]),
    input('start', [batch], 'i32'),
    ...(isApart ? [input('column', [batch], 'i32')] : []),
    computed(
      'series~row',
      [batch, reach],
      [
        over({ n: batch, s: reach }, ({ n, s }) => ({
          store: [n, s],
          value: sum([at('start', n), { kind: 'index', affine: s }]),
        })),
      ],
      'i32',
    ),
    computed('x', [batch, context, channels], [x]),
    ...(parts === 'x' ? [] : [computed('y', [batch, context, horizon * channels], [y])]),
  ];
}

/** What the inputs `start` and `column` take. */
export function packedWindows(windows: readonly SeriesWindow[]): {
  readonly start: Int32Array;
  readonly column: Int32Array;
} {
  return {
    start: Int32Array.from(windows, ({ start }) => start),
    column: Int32Array.from(windows, ({ column }) => column),
  };
}

/** Windows of the training part, uniform over them; `first` is the number of the batch's first one. */
export function drawnSeriesWindows(
  data: SeriesData,
  { batch, channels, ...lengths }: SeriesBatch,
  seed: number,
  first: number,
): readonly SeriesWindow[] {
  const range = windowRange(data, 'train', lengths);
  const each = windowsOf(data, range, channels);
  return Array.from({ length: batch }, (_, n) => each.at(drawnPlace(seed, trainingStream, first + n, each.count)));
}

/** All windows of a range in order, or `most` of them evenly spread. */
export function windowsInOrder(
  data: Pick<SeriesData, 'columns'>,
  range: RowRange,
  channels: number,
  most = Number.POSITIVE_INFINITY,
): readonly SeriesWindow[] {
  const { count, at: windowAt } = windowsOf(data, range, channels);
  const taken = Math.min(count, most);
  return Array.from({ length: taken }, (_, i) => windowAt(Math.floor((i * count) / taken)));
}

function windowsOf({ columns }: Pick<SeriesData, 'columns'>, { from, to }: RowRange, channels: number) {
  const perRow = channels < columns.length ? columns.length : 1;
  return {
    count: (to - from) * perRow,
    at: (place: number): SeriesWindow => ({ start: from + Math.floor(place / perRow), column: place % perRow }),
  };
}
