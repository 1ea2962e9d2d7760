/**
 * Reads what a task logs of the steps that were asked for, when it is there; writes metrics and tells the progress.
 *
 * The trap: a reading arrives some steps later, and a record of another kind does not overtake it: a run that is cut at a step and
 * goes on writes its lines in the same order.
 */
import { joined } from '../progress.ts';
import type { EvaluationRecord, MetricsRecord, TrainRecord } from '../runs/metrics.ts';
import type { RunRecord } from '../runs/record.ts';
import type { Progress } from './progress.ts';
import type { CompiledTask, Phase, Reading, Task } from './task.ts';

/** The loop's own signal: the state froze at this step, counted from 0. */
export class DivergedAt extends Error {
  readonly step: number;
  /** What is wrong where every number is finite. */
  readonly reason: string | undefined;
  constructor(step: number, reason?: string) {
    super(`diverged at step ${step}`);
    this.step = step;
    this.reason = reason;
  }
}

/** A loss so many times the first one is no loss that training comes back from. */
const beyondReason = 1e6;

/**
 * So many readings of different batches with one loss, to the last bit, are no chance: the model says the same whatever it is given, as where
 * activations have grown until their variance is infinite and their norm 0.
 */
const fewestSame = 3;

export interface Log<P> {
  /** `reading` is of a step that was just queued. */
  ask(reading: Promise<Reading>, phase: P, step: number): void;
  /** The same of a step of which nothing is written: only whether it has diverged. */
  watch(reading: Promise<Reading>): void;
  /** Writes a record of another kind, after those of all steps that were asked for before. */
  append(record: MetricsRecord): void;
  /** Throws what a reading has found wrong. */
  check(): void;
  finish(): Promise<void>;
}

export function createLog<P extends Phase, C extends CompiledTask<P>, R extends TrainRecord>(
  task: Pick<Task<P, C, R, EvaluationRecord>, 'record' | 'shown'>,
  {
    record: { append },
    progress,
    begin = 0,
    before = [],
  }: {
    readonly record: Pick<RunRecord, 'append'>;
    readonly progress: Pick<Progress, 'update'>;
    /** Steps that a run which goes on has done, and what it wrote of them. */
    readonly begin?: number;
    readonly before?: readonly MetricsRecord[];
  },
): Log<P> {
  const trained = before.filter((record): record is TrainRecord => record.kind === 'train');
  const startMs = performance.now() - 1000 * (trained.at(-1)?.timeS ?? 0);
  let lastStep = begin;
  let lastMs = performance.now();
  let first = trained.length === 0 ? undefined : Math.abs(trained[0].loss);
  let held = { loss: Number.NaN, since: begin, readings: 0 };
  let failure: unknown;
  let pending = Promise.resolve();

  const afterwards = (write: () => Promise<void> | void) => {
    pending = pending
      .then(() => (failure === undefined ? write() : undefined))
      .catch((error) => {
        failure = error;
      });
  };

  const checkDivergence = (found: Reading) => {
    const diverged = (found.get('diverged') as ArrayLike<number>)[0];
    if (diverged !== 0) throw new DivergedAt(diverged - 1);
  };
  const take = (phase: P, step: number, found: Reading) => {
    checkDivergence(found);
    const nowMs = performance.now();
    const stepsPerSecond = (1000 * (step + 1 - lastStep)) / Math.max(1e-3, nowMs - lastMs);
    [lastStep, lastMs] = [step + 1, nowMs];
    const loss = (found.get('loss') as ArrayLike<number>)[0];
    first ??= Math.abs(loss);
    if (first > 0 && Math.abs(loss) > beyondReason * first) {
      throw new DivergedAt(
        step,
        `the loss, ${loss.toPrecision(3)}, is more than a million times the first, ${first.toPrecision(3)}`,
      );
    }
    const facts = { step: step + 1, loss, stepsPerSecond, timeS: (nowMs - startMs) / 1000 };
    const record = task.record(facts, phase, found);
    append(record);
    held = loss === held.loss ? { ...held, readings: held.readings + 1 } : { loss, since: step + 1, readings: 1 };
    const state = task.shown(record, phase);
    const unchanged = held.readings < fewestSame ? '' : `unchanged since step ${held.since}`;
    progress.update({ ...state, detail: joined(state.detail, unchanged) });
  };

  return {
    ask: (reading, phase, step) => {
      afterwards(async () => take(phase, step, await reading));
      reading.catch(() => undefined);
    },
    watch: (reading) => {
      afterwards(async () => checkDivergence(await reading));
      reading.catch(() => undefined);
    },
    append: (record) => afterwards(() => append(record)),
    check: () => {
      if (failure !== undefined) throw failure;
    },
    finish: async () => {
      await pending;
      if (failure !== undefined) throw failure;
    },
  };
}
