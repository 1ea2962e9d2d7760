/**
 * What a training step of a time series model is, for `--dry_run`: its program on series x[n, t, c] that are given, and the values
 * y[n, t, c] that follow them. Where these come from, the data, comes later; the step is the same.
 */

import { seriesProgram } from '../models/model.ts';
import { referenceCounts, referenceFlops } from '../models/reference-counts.ts';
import type { Score } from '../models/score.ts';
import type { SeriesOptions } from '../options/series.ts';
import type { DryStep } from './dry-run.ts';
import { forwardMultiplyAddsPerToken } from './flops.ts';
import { evaluationStep, optimizerSettings, trainingStep } from './training-step.ts';

/** Throws UserError with diagnostics where the score does not fit. */
export function seriesDryStep(options: SeriesOptions, score: Score): DryStep {
  const { batch_size: batch, block_size: tokens, channels } = options;
  const model = seriesProgram(options, score, { batch, tokens, channels, positions: tokens });
  const { program } = trainingStep(model, [], optimizerSettings(options), ['loss']);
  const counts = referenceCounts(options, { model: 'series', tokens, features: channels });
  return {
    parts: [{ program, times: 1 }],
    evaluation: evaluationStep(model, [], ['loss']).program,
    flopsPerToken: {
      reference: counts === undefined ? null : referenceFlops(counts, false),
      actual: forwardMultiplyAddsPerToken(model, 'pred', batch * tokens),
    },
    stages: [],
  };
}
