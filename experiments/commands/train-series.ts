/** `mlbtc train series`: the model of time series. Its data come later; until then what a step is can be said, and no more. */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { checkSeriesCausal } from '../models/causal.ts';
import { seriesProgram } from '../models/model.ts';
import { scoreOf } from '../models/score.ts';
import { checkSeries, type ResolvedSeries, resolveSeries, seriesOptions, type seriesTable } from '../options/series.ts';
import { seriesDryStep } from '../training/series-step.ts';
import { answer, type DryKind } from './dry-kind.ts';

export const seriesKind: DryKind<typeof seriesTable, ResolvedSeries> = {
  set: seriesOptions,
  about: 'a model of time series; for now --dry_run alone',
  resolve: (words) => {
    const resolved = resolveSeries(words);
    checkSeries(resolved.options);
    return resolved;
  },
  dryStep: ({ options, sizes, copies }) => {
    const score = scoreOf(options, sizes, copies);
    const { block_size: tokens, channels } = options;
    const model = seriesProgram(options, score, { batch: 1, tokens, channels, positions: tokens });
    return { note: checkSeriesCausal(options, score, model), step: seriesDryStep(options, score) };
  },
};

/** Throws UsageError where training is asked for. */
export function runSeries(words: readonly string[]): void {
  if (answer(seriesKind, words) === undefined) return;
  throw new UsageError(
    'training on time series is not there yet: their data come later; `mlbtc train series --dry_run` says what a step of it is',
  );
}
