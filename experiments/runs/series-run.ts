/** What a run of a time series model says of its data, so that it can be drawn without them; and the run read back. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../../compiler/command-line/errors.ts';
import type { SeriesData, WindowLengths } from '../data/series-data.ts';
import { type Score, scoreOf } from '../models/score.ts';
import type { SizeValue } from '../options/mixers.ts';
import { resolveSeries, type SeriesOptions } from '../options/series.ts';
import { bestSeason, seriesBaselines } from '../tasks/series-errors.ts';
import { existingRun, type RunFolder } from './folder.ts';
import { forecastErrors } from './metrics.ts';

const range = z.object({ from: z.number(), to: z.number() });

const errors = z.object(forecastErrors);
const baselines = z.object({
  'last value': errors,
  'last season': errors,
  mean: errors,
  'best possible': errors.optional(),
});

const dataSchema = z.object({
  name: z.string(),
  columns: z.array(z.string()),
  rows: z.number(),
  /** Rows of each part, from 0. */
  parts: z.object({ train: range, val: range, test: range }),
  /** Of each column in the training part. */
  mean: z.array(z.number()),
  deviation: z.array(z.number()),
  /** Rows after which the training part repeats itself best. */
  season: z.number(),
  /** What the validation errors are held against. */
  validation: baselines,
});
export type SeriesRunData = z.infer<typeof dataSchema>;
const recordSchema = z.object({ data: dataSchema });

export function seriesRecord(data: SeriesData, lengths: WindowLengths): SeriesRunData {
  const { name, columns, rows, parts, mean, deviation } = data;
  const season = bestSeason(data, lengths);
  const validation = seriesBaselines(data, 'val', lengths, season);
  return dataSchema.parse({ name, columns, rows, parts, mean, deviation, season, validation });
}

export interface SeriesSetting {
  readonly folder: RunFolder;
  readonly options: SeriesOptions;
  readonly sizes: Readonly<Record<string, SizeValue>>;
  readonly data: SeriesRunData;
}

export interface SeriesRun extends SeriesSetting {
  readonly score: Score;
}

/** Throws UserError where the folder is no run of a time series model, or not a whole one. */
export function readSeriesRun(path: string): SeriesRun {
  const setting = readSeriesSetting(path);
  const { folder, options, sizes } = setting;
  return { ...setting, score: scoreOf(options, sizes, folder.structurePath) };
}

/** The same without the score. */
export function readSeriesSetting(path: string): SeriesSetting {
  const folder = existingRun(path, 'mlbtc train series');
  const { options, sizes } = resolveSeries(['--config', folder.configPath]);
  return { folder, options, sizes, data: readRecord(folder) };
}

function readRecord({ path, recordPath }: RunFolder): SeriesRunData {
  const text = existsSync(recordPath) ? readFileSync(recordPath, 'utf8') : '{}';
  try {
    return recordSchema.parse(JSON.parse(text)).data;
  } catch {
    throw new UserError(`${path} is no run of a time series model: ${recordPath} does not say which series it read`);
  }
}

/** Throws UserError where the data are no longer those that a run was trained on. */
export function checkUnchanged(
  { folder, data: made }: SeriesSetting,
  { name, rows, mean, deviation }: SeriesData,
): void {
  const isSame = rows === made.rows && mean.join() === made.mean.join() && deviation.join() === made.deviation.join();
  if (isSame) return;
  throw new UserError(
    `${name} has changed since ${folder.path} was trained on it: ${rows} rows, then ${made.rows}; --data FILE evaluates on another table all the same`,
  );
}
