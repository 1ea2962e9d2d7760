/**
 * `metrics.jsonl`, the one source of every plot: one JSON object a line, written as soon as it is known.
 *
 * The trap: a run that was killed may leave half a line at the end; a reader skips that one and complains about any other.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../../compiler/command-line/errors.ts';

const numbers = z.array(z.number());
const baselines = z.record(z.string(), numbers);

/** What a line of a training step says, whatever is trained. */
const stepFacts = {
  kind: z.literal('train'),
  /** Steps done. */
  step: z.number(),
  loss: z.number(),
  lr: z.number(),
  stepsPerSecond: z.number(),
  timeS: z.number(),
};

const iclStage = z.object({
  kind: z.literal('stage'),
  step: z.number(),
  dims: z.number(),
  points: z.number(),
  /** Mean squared error of each baseline at each point. */
  baselines,
});
const iclTrain = z.object({ ...stepFacts, pointwise: numbers, dims: z.number(), points: z.number() });
const iclEvaluation = z.object({
  kind: z.literal('evaluation'),
  step: z.number(),
  loss: z.number(),
  pointwise: numbers,
  dims: z.number(),
  points: z.number(),
  prompts: z.number(),
  baselines,
});

/** Losses of a language model are in nats a token. */
const lmTrain = z.object({
  ...stepFacts,
  /** Tokens that the model has seen. */
  tokens: z.number(),
  tokensPerSecond: z.number(),
  /** Of the model: six a multiply-add of the forward pass and token; null where it is not known. */
  flopsPerSecond: z.number().nullable(),
});
const lmEvaluation = z.object({
  kind: z.literal('evaluation'),
  step: z.number(),
  /** Of held-out text. */
  loss: z.number(),
  trainLoss: z.number(),
  perplexity: z.number(),
  /** null where the tokens of the held-out text were never counted in characters. */
  bitsPerCharacter: z.number().nullable(),
  /** Of each split that the losses are means over. */
  tokens: z.number(),
});
const recordSchema = z.union([iclStage, iclTrain, iclEvaluation, lmTrain, lmEvaluation]);

export type StageRecord = z.infer<typeof iclStage>;
export type IclTrainRecord = z.infer<typeof iclTrain>;
export type IclEvaluationRecord = z.infer<typeof iclEvaluation>;
export type LmTrainRecord = z.infer<typeof lmTrain>;
export type LmEvaluationRecord = z.infer<typeof lmEvaluation>;
export type TrainRecord = IclTrainRecord | LmTrainRecord;
export type EvaluationRecord = IclEvaluationRecord | LmEvaluationRecord;
export type MetricsRecord = z.infer<typeof recordSchema>;

export const isIclTrain = (record: MetricsRecord): record is IclTrainRecord =>
  'pointwise' in record && record.kind === 'train';
export const isIclEvaluation = (record: MetricsRecord): record is IclEvaluationRecord =>
  'pointwise' in record && record.kind === 'evaluation';
export const isLmTrain = (record: MetricsRecord): record is LmTrainRecord => 'tokensPerSecond' in record;
export const isLmEvaluation = (record: MetricsRecord): record is LmEvaluationRecord => 'trainLoss' in record;

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

function parseLine(path: string, number: number, line: string): MetricsRecord {
  const record = recordOf(line);
  if (record === undefined) throw new UserError(`${path}:${number}: not a line of metrics`);
  return record;
}

function recordOf(line: string): MetricsRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
