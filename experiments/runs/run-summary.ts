/**
 * A run in a few figures: how far it is, how good, how fast. What `mlbtc runs` has in a line.
 *
 * The trap: stages of a curriculum ask for different things, and an early one's loss may be the lower. Losses are compared within the
 * stage of the latest evaluation.
 */
import { lockHolder } from '../../compiler/command-line/folder-lock.ts';
import { testRunSteps } from '../options/icl.ts';
import type { TaskName } from '../options/set.ts';
import { optionSets } from '../options/sets.ts';
import type { EvaluationRecord, MetricsRecord, TrainRecord } from './metrics.ts';
import { type Outcome, readOutcome } from './outcome.ts';
import type { StoredRun } from './stored-run.ts';

/** `imported`: its params come from elsewhere, and no step was done here. */
export type RunState = 'running' | 'imported' | Outcome['outcome'];

export interface RunSummary {
  readonly state: RunState;
  /** What was said where training ended otherwise than finished. */
  readonly message: string;
  /** Steps that the records have, and that were asked for. */
  readonly step: number;
  readonly steps: number;
  /** Of held-out data; null before the first evaluation. */
  readonly bestLoss: number | null;
  readonly bestStep: number | null;
  /** Of the latest step that was recorded. */
  readonly trainLoss: number | null;
  /** The median, which the first steps' compiling and a pause leave alone. */
  readonly stepsPerSecond: number | null;
  readonly tokens: number | null;
  readonly flops: number | null;
  readonly timeS: number | null;
}

export const isTrain = (record: MetricsRecord): record is TrainRecord => record.kind === 'train';
export const isEvaluation = (record: MetricsRecord): record is EvaluationRecord => record.kind === 'evaluation';

export function summarise(run: StoredRun): RunSummary {
  const { folder, task, options, records } = run;
  const train = records.filter(isTrain);
  const last = train.at(-1);
  const best = bestEvaluation(records.filter(isEvaluation));
  const outcome = readOutcome(folder);
  const steps = stepsAsked(options, task);
  const state = stateOf(run, outcome, steps);
  return {
    state,
    message: state === outcome?.outcome ? outcome.message : '',
    // A test says the step of the model that it judges.
    step: records.findLast(({ kind }) => kind !== 'test')?.step ?? 0,
    steps,
    bestLoss: best?.loss ?? null,
    bestStep: best?.step ?? null,
    trainLoss: last?.loss ?? null,
    stepsPerSecond: median(train.map(({ stepsPerSecond }) => stepsPerSecond)),
    tokens: last?.tokens ?? null,
    flops: last?.flops ?? null,
    timeS: last?.timeS ?? null,
  };
}

/** Who is training there says so by a lock; it is looked at first, for what an earlier process has left. */
function stateOf({ folder, maker, records }: StoredRun, outcome: Outcome | undefined, steps: number): RunState {
  if (lockHolder(folder.path) !== undefined) return 'running';
  if (outcome !== undefined) return outcome.outcome;
  if (maker === 'import' && records.length === 0) return 'imported';
  return hasEnded(records, steps) ? 'finished' : 'interrupted';
}

function stepsAsked(options: StoredRun['options'], task: TaskName): number {
  if (options.test_run === true) return testRunSteps;
  return options.eval_only === true ? 0 : Number(options[optionSets[task].aliases.steps]);
}

/** An evaluation or a test after the last step is the last that a training does; a version that wrote no outcome has left that. */
function hasEnded(records: readonly MetricsRecord[], steps: number): boolean {
  const last = records.at(-1);
  if (last?.kind === 'test') return true;
  return last?.kind === 'evaluation' && last.step === steps && Number.isFinite(last.loss);
}

/** With the least loss, of those that ask for the same as the latest; one that is not finite is none. */
export function bestEvaluation(evaluations: readonly EvaluationRecord[]): EvaluationRecord | undefined {
  const latest = evaluations.at(-1);
  return evaluations
    .filter((evaluation) => latest !== undefined && stageOf(evaluation) === stageOf(latest))
    .reduce<EvaluationRecord | undefined>(
      (best, next) => (next.loss < (best?.loss ?? Number.POSITIVE_INFINITY) ? next : best),
      undefined,
    );
}

function stageOf(evaluation: EvaluationRecord): string {
  return 'dims' in evaluation ? `${evaluation.dims} ${evaluation.points}` : '';
}

function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? null : sorted[Math.floor(sorted.length / 2)];
}
