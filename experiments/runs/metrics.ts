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

const stageSchema = z.object({
  kind: z.literal('stage'),
  step: z.number(),
  dims: z.number(),
  points: z.number(),
  /** Mean squared error of each baseline at each point. */
  baselines,
});
const trainSchema = z.object({
  kind: z.literal('train'),
  step: z.number(),
  loss: z.number(),
  pointwise: numbers,
  dims: z.number(),
  points: z.number(),
  lr: z.number(),
  stepsPerSecond: z.number(),
  timeS: z.number(),
});
const evaluationSchema = z.object({
  kind: z.literal('evaluation'),
  step: z.number(),
  loss: z.number(),
  pointwise: numbers,
  dims: z.number(),
  points: z.number(),
  prompts: z.number(),
  baselines,
});
const recordSchema = z.discriminatedUnion('kind', [stageSchema, trainSchema, evaluationSchema]);

export type StageRecord = z.infer<typeof stageSchema>;
export type TrainRecord = z.infer<typeof trainSchema>;
export type EvaluationRecord = z.infer<typeof evaluationSchema>;
export type MetricsRecord = z.infer<typeof recordSchema>;

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
