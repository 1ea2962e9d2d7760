/**
 * What the training loop (`loop.ts`) must know of what it trains. In-context regression, language models, time series and images each
 * give it a `Task`; the loop itself knows steps, records, checkpoints and how a run ends.
 *
 * A task goes through phases, such as the stages of a curriculum. A compiled step serves every phase of its shape, and all of them
 * share one state by its buffers.
 */

import type { Plan } from '../../compiler/schedule/plan.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import type { RunFolder } from '../runs/folder.ts';
import type { EvaluationRecord, StageRecord, TrainRecord } from '../runs/metrics.ts';
import type { Arena } from './arena.ts';
import type { NonFinite } from './inspect.ts';
import type { Param } from './mup.ts';
import type { ProfiledKernel } from './profile.ts';
import type { ProgressState } from './progress.ts';
import type { Demand } from './room.ts';
import type { SharedState } from './state.ts';

/** In force from `step` on, counted from 0. */
export interface Phase {
  readonly step: number;
}

export type Reading = ReadonlyMap<string, ArrayLike<number>>;

/** A training step on the device. */
export interface CompiledTask<P extends Phase> {
  readonly arena: Arena;
  /** What steps and evaluations run, by program, in their order. */
  readonly plans: Readonly<Record<string, Plan>>;
  /** Uploads what a phase says. */
  enter(phase: P): void;
  /** Queues a step; nothing waits. */
  run(step: number): void;
  /** The same; resolves with what the task logs once the step is done. */
  runAndRead(step: number): Promise<Reading>;
  /** A step like any other, timed kernel by kernel; waits for it. */
  profile(step: number): Promise<{ readonly kernels: readonly ProfiledKernel[]; readonly reading: Reading }>;
  /** Yields, and waits only while too many steps are on their way. */
  pace(): Promise<void>;
  /** The first tensor, in the order of computation, that is not finite at a step; undefined if all are. */
  firstNonFinite(step: number, phase: P): Promise<NonFinite | undefined>;
  destroy(): void;
}

/** What every line of a training step says, whatever is trained. */
export interface StepFacts {
  /** Steps done. */
  readonly step: number;
  readonly loss: number;
  readonly stepsPerSecond: number;
  readonly timeS: number;
}

export interface Task<P extends Phase, C extends CompiledTask<P>, R extends TrainRecord, E extends EvaluationRecord> {
  readonly opened: OpenedDevice;
  /** What it asks of the device's memory. */
  readonly demand: Demand;
  readonly steps: number;
  readonly logEverySteps: number;
  readonly evaluateEverySteps: number;
  /** Beside the checkpoint at the end. */
  readonly saveEverySteps: number;
  readonly keepEverySteps: number;
  /** Whether the checkpoint with the best evaluation is kept by itself. */
  readonly keepsBest: boolean;
  /** In order of their steps; the first is at step 0. */
  readonly phases: readonly P[];
  /** The next shape is compiled so many steps before it is due. */
  readonly compileAheadSteps: number;
  /** Whether one compiled step serves both. */
  readonly sameShape: (a: P, b: P) => boolean;
  /** Without `state` it is made: the params are zero then. */
  readonly compile: (
    phase: P,
    state: SharedState | undefined,
  ) => Promise<{ readonly compiled: C; readonly state: SharedState }>;
  readonly initialValue: (param: Param) => Float32Array;
  /** What metrics say where a phase begins. */
  readonly begun: (phase: P) => StageRecord | undefined;
  readonly record: (facts: StepFacts, phase: P, found: Reading) => R;
  readonly shown: (record: R, phase: P) => ProgressState;
  readonly evaluate: (compiled: C, phase: P, done: number) => Promise<E>;
  readonly plot: (folder: RunFolder) => Promise<void>;
  /** What may help where training diverges. */
  readonly remedy: string;
}

/** What a task of one phase and shape throughout, which saves whenever it evaluates, says of its steps. */
export const onePhase = ({
  log_interval,
  eval_interval,
}: Readonly<Record<'log_interval' | 'eval_interval', number>>) => ({
  logEverySteps: log_interval,
  evaluateEverySteps: eval_interval,
  saveEverySteps: eval_interval,
  keepEverySteps: Number.POSITIVE_INFINITY,
  keepsBest: true,
  phases: [{ step: 0 }],
  compileAheadSteps: 0,
  sameShape: () => true,
  begun: () => undefined,
});

export function phaseAt<P extends Phase>(phases: readonly P[], step: number): P {
  let found = phases[0];
  for (const phase of phases) if (phase.step <= step) found = phase;
  return found;
}
