/** `mlbtc train series`: forecasts of time series. */
import { counted } from '../../compiler/command-line/amounts.ts';
import { channelsOf, chosenSeries } from '../data/choose-series.ts';
import type { SeriesData } from '../data/series-data.ts';
import { checkSeriesCausal } from '../models/causal.ts';
import { scoreOf } from '../models/score.ts';
import {
  checkSeries,
  type ResolvedSeries,
  resolveSeries,
  seriesOptions,
  seriesResuming,
  type seriesTable,
} from '../options/series.ts';
import { plotSeriesRun, seriesPlotFiles } from '../plots/series-run.ts';
import { scoreName } from '../runs/folder.ts';
import type { SeriesEvaluationRecord, SeriesTestRecord, SeriesTrainRecord } from '../runs/metrics.ts';
import { seriesRecord } from '../runs/series-run.ts';
import type { SeriesBatch } from '../tasks/series-windows.ts';
import { trainingFlopsPerToken } from '../training/flops.ts';
import { type CompiledSeries, seriesDryStep, seriesModel, seriesTask, shapeOf } from '../training/series-task.ts';
import { testSeries } from '../training/series-test.ts';
import type { Phase } from '../training/task.ts';
import { testBest } from './test-best.ts';
import type { TrainingKind } from './training-kind.ts';

export const seriesKind: TrainingKind<
  typeof seriesTable,
  ResolvedSeries,
  Phase,
  CompiledSeries,
  SeriesTrainRecord,
  SeriesEvaluationRecord
> = {
  set: seriesOptions,
  resuming: seriesResuming,
  about: 'forecasts of time series',
  resolve: (words) => {
    const resolved = resolveSeries(words);
    checkSeries(resolved.options);
    return resolved;
  },
  begin: (resolved) => {
    const { options, sizes, copies } = resolved;
    const score = scoreOf(options, sizes, copies);
    const data = chosenSeries(options);
    const model = seriesModel(options, score, { ...shapeOf(options, data), batch: 1 });
    const record = seriesRecord(data, { context: options.block_size, horizon: options.horizon });
    const flopsPerToken = trainingFlopsPerToken(model, 'loss', options.block_size);
    return {
      score,
      record: { data: record },
      notes: [checkSeriesCausal(options, score, model)],
      steps: options.max_iters,
      lastRecord: 'test',
      title: titleOf(resolved, data),
      task: (opened) => seriesTask({ resolved, score, data, opened, record, flopsPerToken }),
      summary: async (_, opened, folder) => {
        const test = (checkpoint: string) =>
          testSeries({ options, score, data, record, checkpoint, opened, part: 'test' });
        return testLines(await testBest(folder, test, () => plotSeriesRun(folder, { options, data: record })));
      },
      files: seriesPlotFiles,
    };
  },
  dryStep: ({ options, sizes, copies }) => {
    const score = scoreOf(options, sizes, copies);
    const shape = dryShape(options);
    const model = seriesModel(options, score, { ...shape, batch: 1 });
    return { note: checkSeriesCausal(options, score, model), step: seriesDryStep(options, score, shape) };
  },
};

/** Of the chosen data; where none are named but channels are, of a table with so many columns: a step can be told without. */
function dryShape(options: ResolvedSeries['options']): SeriesBatch {
  const { data, channels, batch_size: batch, block_size: context, horizon } = options;
  if (data !== null || channels === null) return shapeOf(options, chosenSeries(options));
  return { batch, context, horizon, rows: context + horizon, columns: channels, channels };
}

function titleOf(resolved: ResolvedSeries, data: SeriesData): string {
  const { d_model, n_layer, n_head, block_size, horizon, max_iters } = resolved.options;
  const { name, columns, rows } = data;
  const isApart = channelsOf(resolved.options, data) < columns.length;
  return (
    `training on ${name} (${rows} rows of ${columns.join(', ')}${isApart ? ', each a series of its own' : ''}): ` +
    `${scoreName(resolved)} scores, d_model ${d_model}, ${counted(n_layer, 'layer')}, ${counted(n_head, 'head')}, ` +
    `${horizon} times ahead from ${block_size}, ${counted(max_iters, 'step')}`
  );
}

/** What a model is judged by, beside what needs none. */
export function testLines({ step, mse, mae, windows, baselines }: SeriesTestRecord, part = 'test'): readonly string[] {
  const named = Object.entries(baselines);
  const width = Math.max(...named.map(([name]) => name.length)) + 2;
  const row = (name: string, errors: { readonly mse: number; readonly mae: number }) =>
    `  ${name.padEnd(width)}MSE ${errors.mse.toFixed(4)}  MAE ${errors.mae.toFixed(4)}`;
  return [
    `${part} part, ${windows} windows, standardised values; the model of step ${step}`,
    row('model', { mse, mae }),
    ...named.map(([name, errors]) => row(name, errors)),
  ];
}
