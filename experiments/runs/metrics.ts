/**
 * `metrics.jsonl`, the one source of every plot: one JSON object a line, written as soon as it is known. `docs/metrics.md` has these
 * schemas as tables.
 *
 * The trap: a run that was killed may leave half a line at the end; a reader skips that one and complains about any other.
 */
import { appendFileSync, closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../../compiler/command-line/errors.ts';

/** JSON has no word for what is not finite: it is written as null and read as NaN. */
const real = z.union([z.number(), z.null().transform(() => Number.NaN)]);
const errors = z.array(real);
const baselines = z.record(z.string(), errors).describe('the same error of each baseline');

const step = z.int().min(0).describe('steps that are done');
const loss = real.describe('mean of the batch: squared error, or nats an answer or a token');

/** What a line of a training step says, whatever is trained. */
const stepFacts = {
  kind: z.literal('train'),
  step,
  loss,
  lr: z.number().describe('peak learning rate of this step, before muP scales it for each param'),
  stepsPerSecond: z.number().describe('since the line before'),
  timeS: z.number().describe('seconds of training, those before it was stopped included'),
};

const tokens = z.number().describe('tokens that the model has seen');
const flops = z
  .number()
  .nullable()
  .optional()
  .describe('floating-point operations so far, six a multiply-add of the forward pass; null where they are not known');

const dims = z.int().describe('coordinates of x that are in use');
const points = z.int().describe('points of a prompt');
const pointwise = errors.describe(
  'error of the prediction at each point: squared, or the part that is wrong where the answers are signs',
);

const iclStage = z.object({ kind: z.literal('stage'), step, dims, points, baselines });
const iclTrain = z.object({ ...stepFacts, pointwise, dims, points, tokens: tokens.optional(), flops });
const iclEvaluation = z.object({
  kind: z.literal('evaluation'),
  step,
  loss: loss.describe('mean over held-out prompts, of what training minimises'),
  pointwise,
  dims,
  points,
  prompts: z.int().describe('held-out prompts'),
  baselines,
  intervals: z
    .record(z.string(), z.object({ low: errors, high: errors }))
    .optional()
    .describe('bootstrap intervals, from the 5th to the 95th percentile, of `model` and of each baseline'),
});

const lmTrain = z.object({
  ...stepFacts,
  tokens,
  tokensPerSecond: z.number(),
  flopsPerSecond: z.number().nullable().describe('as flops, a second'),
  flops,
});
const lmEvaluation = z.object({
  kind: z.literal('evaluation'),
  step,
  loss: loss.describe('nats a token of held-out text'),
  trainLoss: loss.describe('nats a token of training text'),
  perplexity: real.describe('e to the loss'),
  bitsPerCharacter: z.number().nullable().describe('null where the characters of the held-out text were never counted'),
  tokens: z.int().describe('of each part that the losses are means over'),
});

const windows = z.int().describe('windows of the table that the errors are means over');
const seriesTrain = z.object({
  ...stepFacts,
  windows: z.int().describe('windows that the model has seen'),
  tokens,
  flops,
});
/** Of forecasts, in standardised units. */
export const forecastErrors = {
  mse: real.describe('mean squared error of standardised values, over windows, times ahead and columns'),
  mae: real.describe('mean absolute error of the same'),
  ahead: errors.describe('mean squared error at each time ahead'),
};
const seriesEvaluation = z.object({
  kind: z.literal('evaluation'),
  step,
  loss: loss.describe('mean squared error of standardised values on the validation part'),
  mae: forecastErrors.mae,
  ahead: forecastErrors.ahead,
  windows,
});
/** The last line of a run of `train series`. */
const seriesTest = z.object({
  kind: z.literal('test'),
  step: step.describe('steps that the model had done that did best on the validation part'),
  ...forecastErrors,
  windows,
  baselines: z.record(z.string(), z.object(forecastErrors)).describe('the same errors of each baseline'),
  examples: z
    .array(
      z.object({
        column: z.string(),
        row: z.int(),
        context: z.array(z.number()),
        truth: z.array(z.number()),
        forecast: errors,
      }),
    )
    .describe("a few windows in the table's units: what was known before a row, what followed, what was forecast"),
});

const images = z.int().describe('images that the figures are means over');
const accuracy = z.number().describe('part of the images whose class has the largest logit');
const vitTrain = z.object({
  ...stepFacts,
  images: z.int().describe('images that the model has seen, each as often as it was'),
  tokens,
  flops,
});
const interval = z
  .object({ low: z.number(), high: z.number() })
  .describe("Wilson's interval of the accuracy, 90 %: what other images of the same kind may give");
const vitEvaluation = z.object({
  kind: z.literal('evaluation'),
  step,
  loss: loss.describe('nats an image of the validation part'),
  accuracy,
  interval,
  trainLoss: loss.describe('nats an image of the training part, over as many images at most'),
  trainAccuracy: z.number().describe('accuracy on the same'),
  images,
});
/** The last line of a run of `train vit`. */
const vitTest = z.object({
  kind: z.literal('test'),
  step: step.describe('steps that the model had done that did best on the validation part'),
  loss: loss.describe('nats an image of the test part'),
  accuracy,
  interval,
  images,
  baselines: z.record(z.string(), z.number()).describe('accuracy of each baseline'),
  confusion: z.array(z.array(z.int())).describe('images by class, and by the class that they were taken for'),
});

/** A line of each kind, by what trains and what the line is of. */
export const recordSchemas = {
  'icl stage': iclStage,
  'icl train': iclTrain,
  'icl evaluation': iclEvaluation,
  'lm train': lmTrain,
  'lm evaluation': lmEvaluation,
  'series train': seriesTrain,
  'series evaluation': seriesEvaluation,
  'series test': seriesTest,
  'vit train': vitTrain,
  'vit evaluation': vitEvaluation,
  'vit test': vitTest,
} as const;
/** Any line. */
export const metricsSchema = z.union(Object.values(recordSchemas));

export type StageRecord = z.infer<typeof iclStage>;
export type IclTrainRecord = z.infer<typeof iclTrain>;
export type IclEvaluationRecord = z.infer<typeof iclEvaluation>;
export type LmTrainRecord = z.infer<typeof lmTrain>;
export type LmEvaluationRecord = z.infer<typeof lmEvaluation>;
export type SeriesTrainRecord = z.infer<typeof seriesTrain>;
export type SeriesEvaluationRecord = z.infer<typeof seriesEvaluation>;
export type SeriesTestRecord = z.infer<typeof seriesTest>;
export type VitTrainRecord = z.infer<typeof vitTrain>;
export type VitEvaluationRecord = z.infer<typeof vitEvaluation>;
export type VitTestRecord = z.infer<typeof vitTest>;
export type TrainRecord = IclTrainRecord | LmTrainRecord | SeriesTrainRecord | VitTrainRecord;
export type EvaluationRecord = IclEvaluationRecord | LmEvaluationRecord | SeriesEvaluationRecord | VitEvaluationRecord;
export type MetricsRecord = z.infer<typeof metricsSchema>;

export const isIclTrain = (record: MetricsRecord): record is IclTrainRecord =>
  'pointwise' in record && record.kind === 'train';
export const isIclEvaluation = (record: MetricsRecord): record is IclEvaluationRecord =>
  'pointwise' in record && record.kind === 'evaluation';
export const isLmTrain = (record: MetricsRecord): record is LmTrainRecord => 'tokensPerSecond' in record;
export const isSeriesTrain = (record: MetricsRecord): record is SeriesTrainRecord =>
  record.kind === 'train' && 'windows' in record;
export const isSeriesEvaluation = (record: MetricsRecord): record is SeriesEvaluationRecord =>
  record.kind === 'evaluation' && 'ahead' in record;
export const isSeriesTest = (record: MetricsRecord): record is SeriesTestRecord =>
  record.kind === 'test' && 'mse' in record;
export const isLmEvaluation = (record: MetricsRecord): record is LmEvaluationRecord => 'perplexity' in record;
export const isVitTrain = (record: MetricsRecord): record is VitTrainRecord =>
  record.kind === 'train' && 'images' in record;
export const isVitEvaluation = (record: MetricsRecord): record is VitEvaluationRecord =>
  record.kind === 'evaluation' && 'accuracy' in record;
export const isVitTest = (record: MetricsRecord): record is VitTestRecord =>
  record.kind === 'test' && 'confusion' in record;

export function appendMetrics(path: string, record: MetricsRecord): void {
  appendFileSync(path, `${JSON.stringify(record)}\n`);
}

/** Throws UserError where a line is not a record. */
export function readMetrics(path: string): readonly MetricsRecord[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  const last = lines.pop() as string;
  const whole = lines.map((line, i) => parseLine(path, i + 1, line));
  const unfinished = last === '' ? undefined : recordOf(last);
  return unfinished === undefined ? whole : [...whole, unfinished];
}

/** What was appended is on the disk, whatever becomes of the machine. */
export function syncMetrics(path: string): void {
  if (!existsSync(path)) return;
  const file = openSync(path, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Cuts what a run wrote after a checkpoint of so many steps: lines of later steps, those of the evaluation and the phase that follow
 * the checkpoint (checkpoint.ts), and half a last line. Returns what stays. Throws UserError where a line that should stay is none.
 */
export function cutMetrics(path: string, done: number): readonly MetricsRecord[] {
  if (!existsSync(path)) return [];
  const kept: MetricsRecord[] = [];
  let keptBytes = 0;
  const lines = readFileSync(path, 'utf8').split('\n');
  for (const [i, line] of lines.entries()) {
    const record = i + 1 === lines.length ? undefined : recordOf(line);
    if (record === undefined || !isBefore(record, done)) {
      const stray = lines.findIndex((later, j) => j > i && isBefore(recordOf(later), done));
      if (stray >= 0) throw new UserError(`${path}:${i + 1}: not a line of metrics that step ${done} can follow`);
      break;
    }
    kept.push(record);
    keptBytes += Buffer.byteLength(line) + 1;
  }
  truncateSync(path, keptBytes);
  syncMetrics(path);
  return kept;
}

function isBefore(record: MetricsRecord | undefined, done: number): boolean {
  // A test comes after everything, whichever step its model is of.
  if (record === undefined || record.kind === 'test') return false;
  return record.kind === 'train' ? record.step <= done : record.step < done;
}

function parseLine(path: string, number: number, line: string): MetricsRecord {
  const record = recordOf(line);
  if (record === undefined) throw new UserError(`${path}:${number}: not a line of metrics`);
  return record;
}

function recordOf(line: string): MetricsRecord | undefined {
  try {
    return metricsSchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
