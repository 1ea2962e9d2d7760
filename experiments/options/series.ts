/**
 * Every option of `mlbtc train series`: the width, depth and context of the reference's `GPTforTimeSeriesConfig` with its defaults (the
 * reference has no script that trains it), the optimizer's as `train lm` has them, then ours.
 *
 * The trap: how many channels the model has follows from the data where it is not said, so it is settled with them (data/choose-series.ts).
 */
import { lengthenedRates, optimizerRows } from './optimizer.ts';
import { type Resolved, resolveOptions } from './parse.ts';
import { freeWords, type Resuming } from './resuming.ts';
import type { OptionSet } from './set.ts';
import { modelAliases, type Settled, settled } from './settle.ts';
import { flag, integer, names, type OptionValues, optionalInteger, path, shares } from './table.ts';
import { checkTrained, debugRows, dryRunRows, placeRows, scoreAlternatives, scoreRows } from './transformer.ts';

const positive = { min: 1 };

export const seriesGroups = {
  Model: {
    d_model: integer(768, 'width of the transformer', positive),
    n_head: optionalInteger('attention heads (default and -1: d_model / d_head)', { min: 1, none: -1 }),
    n_layer: integer(12, 'blocks', positive),
    block_size: integer(1024, 'times in context', positive),
    horizon: integer(96, 'times ahead that are forecast, all at once; 96, 192 and 336 in the literature', positive),
    channels: optionalInteger(
      'columns that are read together; 1, as in the reference: each column is a series of its own (default: all columns)',
      positive,
    ),
    ...scoreRows,
    token_mixing_struct: { ...scoreRows.token_mixing_struct, fallback: 'low_rank' as string | null },
  },
  Optimizer: optimizerRows,
  Training: {
    batch_size: integer(64, 'windows a step', positive),
    max_iters: integer(100_000, 'steps', positive),
    eval_interval: integer(200, 'steps between evaluations on the validation part', positive),
    eval_iters: optionalInteger('batches an evaluation takes, evenly spread (default: all windows)', positive),
    log_interval: integer(100, 'steps between lines of metrics.jsonl', positive),
    debug: flag(false, 'show stack traces'),
    seed: integer(1337, 'of params and windows', { min: 0, max: 2 ** 31 - 1 }),
    ...placeRows,
    allow_noncausal: flag(false, 'a score that sees later times, and so reads the answers'),
  },
  Data: {
    data: path(
      'CSV file: a header, a column of dates, columns of numbers (default: a series that comes with the package)',
    ),
    columns: names('columns of numbers to read, such as HUFL|OT (default: all)'),
    split: shares(
      [0.7, 0.1, 0.2],
      'training, validation and test part one after the other, as shares of the rows or as numbers of rows',
    ),
    ignore_dates: flag(false, 'take the rows as evenly spaced in time, whatever their dates are'),
  },
  'Dry run': dryRunRows,
  Debugging: debugRows,
} as const;

export const seriesTable = {
  ...seriesGroups.Model,
  ...seriesGroups.Optimizer,
  ...seriesGroups.Training,
  ...seriesGroups.Data,
  ...seriesGroups['Dry run'],
  ...seriesGroups.Debugging,
} as const;

type SeriesWords = OptionValues<typeof seriesTable>;

/** With everything settled that follows from other options. */
export type SeriesOptions = Settled<SeriesWords>;

export const seriesOptions: OptionSet<typeof seriesTable> = {
  name: 'series',
  groups: seriesGroups,
  table: seriesTable,
  alternatives: [scoreAlternatives],
  aliases: modelAliases,
  intro: [
    'Trains a transformer that forecasts time series: at every time it reads the values of the columns and foresees the next ones, as many',
    'times ahead as --horizon says. Columns are standardised by the training part; errors on the test part are of standardised values,',
    'over all of its windows. Without --data it is a series that comes with the package and of which is known how well it can be forecast.',
    '',
    'Examples',
    '  mlbtc train series --preset tiny                                   minutes on two cores',
    '  mlbtc train series --preset etth --data ETTh1.csv --horizon 192    hourly ETT data, split as in the literature',
    '  mlbtc train series --preset tiny --data mine.csv --columns OT --channels 1',
    '  mlbtc train series --preset tiny --token_mixing_struct low_rank',
    '  mlbtc train series --dry_run --d_model 128 --n_layer 2 --block_size 96 --channels 7',
  ],
};

/** What goes on with a run of it that has stopped. */
export const seriesResuming: Resuming<typeof seriesTable> = {
  runOf: () => undefined,
  steps: 'max_iters',
  free: freeWords,
  lengthened: lengthenedRates,
};

export type ResolvedSeries = Resolved<SeriesOptions>;

/** Reads the words after `mlbtc train series`. Throws UsageError for the command line's mistakes, UserError for a file's. */
export function resolveSeries(words: readonly string[]): ResolvedSeries {
  return settled(resolveOptions(seriesOptions, words));
}

/** Refuses options of a training run that cannot be honoured. Throws UsageError. */
export function checkSeries(options: SeriesOptions): void {
  checkTrained(options);
}
