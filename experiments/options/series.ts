/**
 * Every option of `mlbtc train series`: the width, depth and context of the reference's `GPTforTimeSeriesConfig` with its defaults (the
 * reference has no script that trains it), the optimizer's as `train lm` has them, then ours.
 *
 * The trap: the model gives each channel's next value at every position. How far ahead a forecast goes is a matter of the data,
 * not of the model, and has no option here.
 */
import { optimizerRows } from './optimizer.ts';
import { type Resolved, resolveOptions } from './parse.ts';
import type { OptionSet } from './set.ts';
import { type Settled, settle } from './settle.ts';
import { flag, integer, type OptionValues, optionalInteger } from './table.ts';
import { checkTrained, dryRunRows, scoreRows } from './transformer.ts';

const positive = { min: 1 };

export const seriesGroups = {
  Model: {
    d_model: integer(768, 'width of the transformer', positive),
    n_head: optionalInteger('attention heads (default and -1: d_model / d_head)', { min: 1, none: -1 }),
    n_layer: integer(12, 'blocks', positive),
    block_size: integer(1024, 'times in context', positive),
    channels: integer(1, 'values at each time, all of them predicted (ours: 1 in the reference)', positive),
    ...scoreRows,
    token_mixing_struct: { ...scoreRows.token_mixing_struct, fallback: 'low_rank' as string | null },
  },
  Optimizer: optimizerRows,
  Training: {
    batch_size: integer(64, 'series a step', positive),
    max_iters: integer(100_000, 'steps', positive),
    allow_noncausal: flag(false, 'a score that sees later times, and so reads the answers (ours)'),
    debug: flag(false, 'show stack traces'),
  },
  'Dry run': dryRunRows,
} as const;

export const seriesTable = {
  ...seriesGroups.Model,
  ...seriesGroups.Optimizer,
  ...seriesGroups.Training,
  ...seriesGroups['Dry run'],
} as const;

type SeriesWords = OptionValues<typeof seriesTable>;

/** With everything settled that follows from other options. */
export type SeriesOptions = Settled<SeriesWords>;

export const seriesOptions: OptionSet<typeof seriesTable> = {
  name: 'series',
  groups: seriesGroups,
  table: seriesTable,
  aliases: { steps: 'max_iters', lr: 'init_lr', learning_rate: 'init_lr', n_embd: 'd_model' },
  intro: [
    'A transformer for time series: it reads the values of some channels time by time and predicts each from those before it. Its data',
    'come later: for now --dry_run says what a step of its training is.',
    '',
    'Examples',
    '  mlbtc train series --dry_run --d_model 128 --n_layer 2 --block_size 96 --channels 7',
    '  mlbtc train series --dry_run --json --target gpu --token_mixing_struct multi_level_low_rank --mlr_rank_list "32|16|16"',
    '  mlbtc train series --dry_run --structure mine.mlbtc',
  ],
};

export type ResolvedSeries = Resolved<SeriesOptions>;

/** Reads the words after `mlbtc train series`. Throws UsageError for the command line's mistakes, UserError for a file's. */
export function resolveSeries(words: readonly string[]): ResolvedSeries {
  const resolved = resolveOptions(seriesOptions, words);
  return { ...resolved, options: settle(resolved.options) };
}

/** Refuses options of a training run that cannot be honoured. Throws UsageError. */
export function checkSeries(options: SeriesOptions): void {
  checkTrained(options);
}
