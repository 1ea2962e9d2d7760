/** The series that the options name. */
import { UserError } from '../../compiler/command-line/errors.ts';
import type { SeriesOptions } from '../options/series.ts';
import { madeSeries } from './made-series.ts';
import { type SeriesData, seriesData } from './series-data.ts';
import { onlyColumns, readSeriesTable, type SeriesTable } from './series-table.ts';

type SeriesChoice = Pick<
  SeriesOptions,
  'data' | 'columns' | 'split' | 'ignore_dates' | 'block_size' | 'horizon' | 'channels'
>;

/** Throws UserError where the file is not as it should be, or does not fit the options. */
export function chosenSeries(options: SeriesChoice): SeriesData {
  const { data: path, columns, split, ignore_dates: ignoresDates, channels } = options;
  const wanted = columns ?? undefined;
  const table = path === null ? made(wanted) : readSeriesTable(path, { columns: wanted, ignoresDates });
  const width = table.columns.length;
  if (channels !== null && channels !== 1 && channels !== width) {
    throw new UserError(
      `--channels ${channels}: ${table.name} has ${width} columns; ${width} reads them together, 1 each as a series of its own`,
    );
  }
  return seriesData(table, split, { context: options.block_size, horizon: options.horizon });
}

function made(columns: readonly string[] | undefined): SeriesTable {
  return columns === undefined ? madeSeries() : onlyColumns(madeSeries(), columns);
}

/** Channels of the model: as many as are said, else as there are columns. */
export function channelsOf(
  { channels }: Pick<SeriesOptions, 'channels'>,
  { columns }: Pick<SeriesData, 'columns'>,
): number {
  return channels ?? columns.length;
}
