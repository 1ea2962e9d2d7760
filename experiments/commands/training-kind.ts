/** A kind of training as the commands `train` and `resume` see it; `trainings.ts` lists them. */
import type { OpenedDevice } from '../../runtime/device.ts';
import type { Score } from '../models/score.ts';
import type { Resuming } from '../options/resuming.ts';
import type { OptionTable } from '../options/table.ts';
import type { RunFolder } from '../runs/folder.ts';
import type { EvaluationRecord, TrainRecord } from '../runs/metrics.ts';
import type { ResolvedTraining } from '../runs/training-run.ts';
import type { CompiledTask, Phase, Task } from '../training/task.ts';
import type { DryKind } from './dry-kind.ts';

/** A kind of training, from its options on. */
export interface TrainingKind<
  Table extends OptionTable,
  R extends ResolvedTraining,
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
> extends DryKind<Table, R> {
  readonly resuming: Resuming<Table>;
  readonly begin: (resolved: R) => BegunTraining<P, C, T, E>;
}

/** What is known before a device is opened, and what is made on it. */
export interface BegunTraining<
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
> {
  readonly score: Score;
  /** What `run.json` says of it beside what every run says. */
  readonly record: Readonly<Record<string, unknown>>;
  /** What a person should hear first. */
  readonly notes: readonly (string | undefined)[];
  /** What is trained, in a line. */
  readonly title: string;
  readonly steps: number;
  /** What a finished run's record ends with. */
  readonly lastRecord: 'evaluation' | 'test';
  readonly task: (opened: OpenedDevice) => Task<P, C, T, E>;
  /** Lines at the end. */
  readonly summary: (evaluation: E, opened: OpenedDevice, folder: RunFolder) => Promise<readonly string[]>;
  readonly files: (folder: RunFolder) => readonly string[];
}
