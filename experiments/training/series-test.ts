/** What a trained model of time series is worth: a checkpoint's forecasts on a part of its data, beside what needs no model. */
import type { OpenedDevice } from '../../runtime/device.ts';
import { readSafetensors } from '../../runtime/safetensors.ts';
import { channelsOf } from '../data/choose-series.ts';
import type { PartName } from '../data/parts.ts';
import type { SeriesData } from '../data/series-data.ts';
import type { Score } from '../models/score.ts';
import type { SeriesOptions } from '../options/series.ts';
import type { SeriesTestRecord } from '../runs/metrics.ts';
import type { SeriesRunData } from '../runs/series-run.ts';
import { checkpointParams } from '../sampling/run.ts';
import { seriesBaselines, truth } from '../tasks/series-errors.ts';
import type { SeriesWindow } from '../tasks/series-windows.ts';
import { packArena } from './arena.ts';
import { deviceRunner } from './device-runner.ts';
import {
  type Forecaster,
  forecastErrors,
  forecaster,
  forecastStep,
  partWindows,
  seriesModel,
  shapeOf,
} from './series-task.ts';

export interface TestSettings {
  readonly options: SeriesOptions;
  readonly score: Score;
  readonly data: SeriesData;
  readonly record: Pick<SeriesRunData, 'season'>;
  readonly checkpoint: string;
  readonly opened: OpenedDevice;
  readonly part: PartName;
  /** So many evenly spread; undefined: all. */
  readonly mostWindows?: number;
}

/** Throws UserError where the checkpoint is not of this model. */
export async function testSeries(settings: TestSettings): Promise<SeriesTestRecord> {
  const { options, score, data, record, checkpoint, opened, part, mostWindows } = settings;
  const shape = shapeOf(options, data);
  const model = seriesModel(options, score, shape);
  const params = checkpointParams(checkpoint, model);
  const step = forecastStep(model, shape);
  const runner = await deviceRunner(opened, step.program);
  try {
    const paramOf = (name: string) => (params.get(name) as { readonly data: Float32Array }).data;
    runner.upload(
      'params',
      packArena(step.arena, ({ name }) => paramOf(name)),
    );
    const forecasts = forecaster(runner, data, shape);
    const windows = partWindows(options, data, part, mostWindows);
    const { mse, mae, ahead } = await forecastErrors(forecasts, options, data, windows);
    return {
      kind: 'test',
      step: Number(readSafetensors(checkpoint).metadata.step),
      mse,
      mae,
      ahead: [...ahead],
      windows: windows.length,
      baselines: asRecord(
        seriesBaselines(data, part, { context: shape.context, horizon: shape.horizon }, record.season),
      ),
      examples: await examplesOf(forecasts, options, data, windows),
    };
  } finally {
    runner.destroy();
  }
}

function asRecord(baselines: ReturnType<typeof seriesBaselines>): SeriesTestRecord['baselines'] {
  return Object.fromEntries(
    Object.entries(baselines).map(([name, { mse, mae, ahead }]) => [name, { mse, mae, ahead: [...ahead] }]),
  );
}

/** Pictures want no more. */
const mostExamples = 4;
/** Of the context so many horizons are shown. */
const shownHorizons = 3;

/** One a column, at places that are evenly spread over the part; in the table's units. */
async function examplesOf(
  forecasts: Forecaster,
  options: SeriesOptions,
  data: SeriesData,
  windows: readonly SeriesWindow[],
): Promise<SeriesTestRecord['examples']> {
  const { block_size: context, horizon } = options;
  const channels = channelsOf(options, data);
  const count = Math.min(mostExamples, data.columns.length);
  const shown = Math.min(context, shownHorizons * horizon);
  const chosen = Array.from({ length: count }, (_, i) => {
    const column = Math.floor((i * data.columns.length) / count);
    const { start } = windows[Math.floor(((i + 0.5) * windows.length) / count)];
    return { column, window: { start, column: channels === 1 ? column : 0 } };
  });
  const found: Float32Array[] = [];
  await forecasts(
    chosen.map(({ window }) => window),
    (_, values) => found.push(Float32Array.from(values)),
  );
  return chosen.map(({ column, window }, i) => {
    const inUnits = (value: number) => value * data.deviation[column] + data.mean[column];
    const channel = column - window.column;
    const right = truth(data, window, { context, horizon });
    const at = (ahead: number) => inUnits(right(ahead, channel));
    return {
      column: data.columns[column],
      row: window.start + context,
      context: Array.from({ length: shown }, (_, t) => at(t - shown)),
      truth: Array.from({ length: horizon }, (_, a) => at(a)),
      forecast: Array.from({ length: horizon }, (_, a) => inUnits(found[i][a * channels + channel])),
    };
  });
}
