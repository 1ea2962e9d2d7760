/** Every kind of training, as the commands call it. */
import type { TaskName } from '../options/set.ts';
import type { OptionTable } from '../options/table.ts';
import type { EvaluationRecord, TrainRecord } from '../runs/metrics.ts';
import type { ResolvedTraining } from '../runs/training-run.ts';
import type { CompiledTask, Phase } from '../training/task.ts';
import { resumeRun } from './resume-run.ts';
import { iclKind } from './train-icl.ts';
import { lmKind } from './train-lm.ts';
import { trainNew } from './train-new.ts';
import { seriesKind } from './train-series.ts';
import { vitKind } from './train-vit.ts';
import type { TrainingKind } from './training-kind.ts';

export interface Training {
  readonly about: string;
  /** `mlbtc train NAME WORDS`. */
  readonly train: (words: readonly string[]) => void | Promise<void>;
  /** `mlbtc resume RUN WORDS`. */
  readonly resume: (path: string, words: readonly string[]) => Promise<void>;
}

export const trainings: Readonly<Record<TaskName, Training>> = {
  icl: training(iclKind),
  lm: training(lmKind),
  series: training(seriesKind),
  vit: training(vitKind),
};

function training<
  Table extends OptionTable,
  R extends ResolvedTraining,
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
>(kind: TrainingKind<Table, R, P, C, T, E>): Training {
  return {
    about: kind.about,
    train: (words) => trainNew(kind, words),
    resume: (path, words) => resumeRun(kind, path, words),
  };
}
