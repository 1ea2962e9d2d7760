/**
 * A table cut into a training, a validation and a test part, one after the other in time, every column standardised by the training
 * part's mean and deviation: what models of time series are trained on and judged by.
 *
 *   rows    0 ─────── train ───────▶ │ ── val ──▶ │ ───── test ─────▶ │ (rows that no part takes)
 *   a window of the test part              [ context ][ horizon ]      the horizon in the part, the context before it
 *
 * The trap: in the validation and test part the context may reach back into the part before; what is forecast never does. So every row
 * of a part is forecast, as in the literature.
 */
import { UserError } from '../../compiler/command-line/errors.ts';
import { type PartName, partNames, partTitles } from './parts.ts';
import type { SeriesTable } from './series-table.ts';

/** Rows from `from` up to but not including `to`. */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

export interface SeriesData {
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: number;
  /** Row by row, standardised. */
  readonly values: Float32Array;
  /** Of each column in the training part, in the table's units; a column that never changes there has a deviation of 1. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  readonly parts: Readonly<Record<PartName, RowRange>>;
  /** Standardised. */
  readonly leastVariance?: (column: number, ahead: number) => number;
}

export interface WindowLengths {
  /** Rows that the model reads. */
  readonly context: number;
  /** Rows after them that it forecasts. */
  readonly horizon: number;
}

/**
 * `split`: three shares of the rows, or three numbers of rows. Throws UserError where a part holds no window, or the table fewer rows than
 * are asked for, or a value, standardised, is beyond what f32 holds.
 */
export function seriesData(table: SeriesTable, split: readonly number[], lengths: WindowLengths): SeriesData {
  const parts = partsOf(table, split);
  for (const name of partNames) checkPart(table, name, parts[name], lengths);
  const { mean, deviation } = moments(table, parts.train);
  const { columns, rows, name } = table;
  const values = Float32Array.from(table.values, (value, i) => {
    const column = i % columns.length;
    const standardised = Math.fround((value - mean[column]) / deviation[column]);
    if (Number.isFinite(standardised) && Number.isFinite(deviation[column])) return standardised;
    throw new UserError(
      `${name}: ${columns[column]} is ${value} in ${table.place(Math.floor(i / columns.length))}, too large to be standardised by the training part; leave it out, or choose --columns without it`,
    );
  });
  const { leastVariance } = table;
  return {
    name,
    columns,
    rows,
    values,
    mean,
    deviation,
    parts,
    ...(leastVariance && { leastVariance: (c, ahead) => leastVariance(c, ahead) / deviation[c] ** 2 }),
  };
}

/** First rows of the windows of a part, as the range that they run through. */
export function windowRange({ parts }: Pick<SeriesData, 'parts'>, part: PartName, lengths: WindowLengths): RowRange {
  return firstRows(parts[part], lengths);
}

function firstRows({ from, to }: RowRange, { context, horizon }: WindowLengths): RowRange {
  return { from: Math.max(0, from - context), to: to - context - horizon + 1 };
}

function partsOf({ name, rows }: SeriesTable, split: readonly number[]): Record<PartName, RowRange> {
  const shares = split.every((part) => part < 1);
  const [train, val, test] = split.map((part) => (shares ? Math.round(part * rows) : part));
  if (!shares && train + val + test > rows) {
    throw new UserError(`--split ${split.join('|')} asks for ${train + val + test} rows, and ${name} has ${rows}`);
  }
  // Shares that make up the whole leave no row over to rounding.
  const end =
    shares && split.reduce((sum, part) => sum + part, 0) > 1 - 1e-9 ? rows : Math.min(rows, train + val + test);
  return {
    train: { from: 0, to: train },
    val: { from: train, to: train + val },
    test: { from: train + val, to: end },
  };
}

function checkPart(table: SeriesTable, name: PartName, part: RowRange, lengths: WindowLengths): void {
  const { from, to } = firstRows(part, lengths);
  if (to > from) return;
  const { context, horizon } = lengths;
  const count = part.to - part.from;
  const where = count === 0 ? 'no rows' : `${count} rows, ${table.place(part.from)} to ${table.place(part.to - 1)}`;
  const wants =
    name === 'train'
      ? `--block_size ${context} and --horizon ${horizon} together want ${context + horizon}`
      : `--horizon ${horizon} wants as many, and --block_size ${context} before them`;
  throw new UserError(`${table.name} has too few rows: its ${partTitles[name]} part has ${where}, and ${wants}`);
}

function moments({ columns, values }: SeriesTable, { from, to }: RowRange) {
  const width = columns.length;
  const stats = columns.map((_, column) => {
    let sum = 0;
    for (let row = from; row < to; row += 1) sum += values[row * width + column];
    const mean = sum / (to - from);
    let squares = 0;
    for (let row = from; row < to; row += 1) squares += (values[row * width + column] - mean) ** 2;
    const deviation = Math.sqrt(squares / (to - from));
    return { mean, deviation: deviation > roundingOf(mean) ? deviation : 1 };
  });
  return { mean: stats.map(({ mean }) => mean), deviation: stats.map(({ deviation }) => deviation) };
}

/** What the mean of equal numbers may be off by. */
function roundingOf(mean: number): number {
  return 1e-12 * Math.abs(mean);
}
