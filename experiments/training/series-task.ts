/**
 * A model of time series as the loop's task: one shape throughout, windows of a table that lies on the device, evaluations on the
 * validation part by the forecasts from whole contexts.
 *
 * The trap: trained is at every place of a window, with however little before it; judged is the last place alone, which has the whole
 * context. So the training loss stands above the validation error even where nothing is overfitted.
 */
import { UserError } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { channelsOf } from '../data/choose-series.ts';
import type { PartName } from '../data/parts.ts';
import { type SeriesData, windowRange } from '../data/series-data.ts';
import { seriesProgram } from '../models/model.ts';
import { referenceCounts, referenceFlops } from '../models/reference-counts.ts';
import { modelSource, type Score } from '../models/score.ts';
import type { ResolvedSeries, SeriesOptions } from '../options/series.ts';
import { plotSeriesRun } from '../plots/series-run.ts';
import type { SeriesEvaluationRecord, SeriesTrainRecord } from '../runs/metrics.ts';
import type { SeriesRunData } from '../runs/series-run.ts';
import { errorSums, truth } from '../tasks/series-errors.ts';
import {
  drawnSeriesWindows,
  packedWindows,
  type SeriesBatch,
  type SeriesWindow,
  seriesWindows,
  windowsInOrder,
} from '../tasks/series-windows.ts';
import { type DeviceRunner, deviceRunner } from './device-runner.ts';
import type { DryStep, StepPrograms } from './dry-run.ts';
import { forwardMultiplyAddsPerToken } from './flops.ts';
import { inBatches } from './in-batches.ts';
import { firstNonFinite } from './inspect.ts';
import { lazyRunner, uploadWhereRead } from './lazy-runner.ts';
import { withinMemory } from './memory-limit.ts';
import { initialValue } from './mup.ts';
import { once } from './once.ts';
import {
  type BatchSource,
  makeStepping,
  multiplierAt,
  type OptimizerStep,
  optimizerStep,
  stepParts,
} from './optimizer-step.ts';
import { planOf } from './plans.ts';
import { short } from './progress.ts';
import { oneShapeDemand } from './room.ts';
import type { SharedState } from './state.ts';
import type { StepProgram } from './step.ts';
import { type CompiledTask, onePhase, type Phase, type Task } from './task.ts';
import { evaluationStep } from './training-step.ts';

export interface CompiledSeries extends CompiledTask<Phase> {
  readonly forecasts: Forecaster;
}

/** Forecasts of windows, in their order: of each the values that follow it, as `y` has them. */
export type Forecaster = (
  windows: readonly SeriesWindow[],
  take: (window: SeriesWindow, values: Float32Array) => void,
) => Promise<void>;

export interface SeriesSettings {
  readonly resolved: ResolvedSeries;
  readonly score: Score;
  readonly data: SeriesData;
  readonly opened: OpenedDevice;
  /** What `run.json` says of the data. */
  readonly record: SeriesRunData;
  /** Floating-point operations of the model a time and step; undefined where they are not known. */
  readonly flopsPerToken: number | undefined;
}

export function seriesTask(
  settings: SeriesSettings,
): Task<Phase, CompiledSeries, SeriesTrainRecord, SeriesEvaluationRecord> {
  const { resolved, score, data, opened, record, flopsPerToken } = settings;
  const { options } = resolved;
  const shape = shapeOf(options, data);
  checkFits(data, opened);
  const programs = once(() => seriesPrograms(options, score, shape));
  let last: SeriesEvaluationRecord | undefined;
  return {
    opened,
    demand: oneShapeDemand(shape.batch, programs, ({ batch = shape.batch, memory = options.memory }) =>
      seriesPrograms({ ...options, memory }, score, { ...shape, batch }),
    ),
    steps: options.max_iters,
    ...onePhase(options),
    compile: (_, state) => compileSeries(settings, programs(), state),
    initialValue: (param) => initialValue(param, options.seed),
    record: (facts) => {
      const windows = facts.step * options.batch_size;
      const tokens = windows * options.block_size;
      const flops = flopsPerToken === undefined ? null : flopsPerToken * tokens;
      const lr = options.init_lr * multiplierAt(options, facts.step - 1);
      return { kind: 'train', ...facts, lr, windows, tokens, flops };
    },
    shown: ({ step, loss, stepsPerSecond }) => {
      const season = record.validation['last season'].mse;
      const detail = last === undefined ? '' : `validation ${short(last.loss)} (last season ${short(season)})`;
      return { step, steps: options.max_iters, loss, detail, stepsPerSecond };
    },
    evaluate: async ({ forecasts }, _, step) => {
      last = await evaluateSeries(forecasts, options, data, step);
      return last;
    },
    plot: (folder) => plotSeriesRun(folder, { options, data: record }),
    remedy: 'a lower --init_lr or a longer --warmup_iters may help',
  };
}

export function shapeOf(options: SeriesOptions, data: SeriesData): SeriesBatch {
  const { batch_size: batch, block_size: context, horizon } = options;
  return {
    batch,
    context,
    horizon,
    rows: data.rows,
    columns: data.columns.length,
    channels: channelsOf(options, data),
  };
}

/** The model that a run trains, for batches of that shape. Throws UserError with diagnostics where the score does not fit. */
export function seriesModel(
  options: SeriesOptions,
  score: Score,
  { batch, context: tokens, channels, horizon }: Pick<SeriesBatch, 'batch' | 'context' | 'channels' | 'horizon'>,
): Program {
  return seriesProgram(options, score, { batch, tokens, channels, horizon, positions: tokens });
}

/** What of a time series model runs on the device. */
interface SeriesPrograms extends StepPrograms {
  readonly model: Program;
  readonly step: OptimizerStep;
}

function seriesPrograms(options: SeriesOptions, score: Score, shape: SeriesBatch): SeriesPrograms {
  const model = seriesModel(options, score, shape);
  const step = optimizerStep(model, seriesWindows(shape, 'x and y'), options, 1);
  const programs = { model, step, parts: stepParts(step), evaluation: forecastStep(model, shape).program };
  return withinMemory(options.memory, 1, programs);
}

/** What a step is, for `--dry_run`. */
export function seriesDryStep(options: SeriesOptions, score: Score, shape: SeriesBatch): DryStep {
  const { batch, context: tokens, channels, horizon } = shape;
  const { model, parts, evaluation } = seriesPrograms(options, score, shape);
  const counts = referenceCounts(options, { model: 'series', tokens, features: channels, outputs: horizon * channels });
  return {
    parts,
    evaluation,
    flopsPerToken: {
      reference: counts === undefined ? null : referenceFlops(counts, false),
      actual: forwardMultiplyAddsPerToken(model, 'pred', batch * tokens),
    },
    stages: [],
  };
}

async function evaluateSeries(
  forecasts: Forecaster,
  options: SeriesOptions,
  data: SeriesData,
  step: number,
): Promise<SeriesEvaluationRecord> {
  const most = options.eval_iters === null ? undefined : options.eval_iters * options.batch_size;
  const windows = partWindows(options, data, 'val', most);
  const { mse, mae, ahead } = await forecastErrors(forecasts, options, data, windows);
  return { kind: 'evaluation', step, loss: mse, mae, ahead: [...ahead], windows: windows.length };
}

/** All windows of a part, or so many of them evenly spread. */
export function partWindows(options: SeriesOptions, data: SeriesData, part: PartName, most?: number) {
  const range = windowRange(data, part, { context: options.block_size, horizon: options.horizon });
  return windowsInOrder(data, range, channelsOf(options, data), most);
}

export async function forecastErrors(
  forecasts: Forecaster,
  options: SeriesOptions,
  data: SeriesData,
  windows: readonly SeriesWindow[],
) {
  const { horizon, block_size: context } = options;
  const channels = channelsOf(options, data);
  const sums = errorSums(horizon);
  await forecasts(windows, (window, values) => {
    const right = truth(data, window, { context, horizon });
    for (const [i, value] of values.entries()) {
      const ahead = Math.floor(i / channels);
      sums.add(ahead, value - right(ahead, i % channels));
    }
  });
  return sums.errors();
}

/** The program that forecasts from whole contexts. */
export function forecastStep(model: Program, shape: SeriesBatch): StepProgram {
  return evaluationStep(model, seriesWindows(shape, 'x'), ['forecast']);
}

/** Forecasts by a runner of `forecastStep`. */
export function forecaster(runner: DeviceRunner, data: SeriesData, { batch }: SeriesBatch): Forecaster {
  const upload = uploadWhereRead(runner);
  upload('series', data.values);
  return (windows, take) =>
    inBatches(windows, {
      executor: runner.executor,
      batch,
      output: 'forecast',
      give: (some) => {
        for (const [name, numbers] of Object.entries(packedWindows(some))) upload(name, numbers);
      },
      take,
    });
}

async function compileSeries(
  { resolved: { options }, score, data, opened }: SeriesSettings,
  { model, step, evaluation }: SeriesPrograms,
  state: SharedState | undefined,
): Promise<{ readonly compiled: CompiledSeries; readonly state: SharedState }> {
  const shape = shapeOf(options, data);
  const tensors = seriesWindows(shape, 'x and y');
  const isApart = shape.channels < shape.columns;
  const windowsAt = (at: number) => packedWindows(drawnSeriesWindows(data, shape, options.seed, at * shape.batch));
  const batches: BatchSource = {
    tensors,
    begin: (upload) => upload('series', data.values),
    feed: (upload, at) => {
      const { start, column } = windowsAt(at);
      upload('start', start);
      if (isApart) upload('column', column);
    },
  };
  const { stepping, shared } = await makeStepping({ step, batches, options, opened }, state);
  const evaluator = lazyRunner(() => deviceRunner(opened, evaluation, shared.buffers));
  let forecasting: Forecaster | undefined;
  const compiled: CompiledSeries = {
    ...stepping,
    plans: { ...stepping.plans, evaluation: planOf(evaluation, opened.target) },
    enter: () => undefined,
    forecasts: async (windows, take) => {
      forecasting ??= forecaster(await evaluator.get(), data, shape);
      return forecasting(windows, take);
    },
    firstNonFinite: (at) =>
      firstNonFinite({
        opened,
        state: shared,
        model,
        batch: tensors,
        sourceOf: (file) => modelSource(score, file),
        feed: (upload) => {
          upload('series', data.values);
          for (const [name, numbers] of Object.entries(windowsAt(at))) upload(name, numbers);
        },
      }),
    destroy: () => {
      stepping.destroy();
      evaluator.destroy();
    },
  };
  return { compiled, state: shared };
}

/** Throws UserError where the table is larger than a kernel may read. */
function checkFits({ name, values }: SeriesData, { target }: OpenedDevice): void {
  const { maxStorageBufferBindingSize, maxBufferSize } = target.limits;
  const largest = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  if (values.byteLength <= largest) return;
  throw new UserError(
    `${name} takes ${values.byteLength} bytes, and a kernel of this device reads ${largest} at most; take fewer of its --columns`,
  );
}
