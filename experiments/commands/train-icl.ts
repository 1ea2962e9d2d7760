/** `mlbtc train icl`: in-context regression. */
import { counted } from '../../compiler/command-line/amounts.ts';
import { checkCausal } from '../models/causal.ts';
import { type Score, scoreOf } from '../models/score.ts';
import {
  checkTraining,
  type IclOptions,
  iclOptions,
  iclResuming,
  type iclTable,
  type ResolvedIcl,
  resolveIcl,
} from '../options/icl.ts';
import { iclPlotFiles } from '../plots/icl-run.ts';
import { scoreName } from '../runs/folder.ts';
import type { IclEvaluationRecord, IclTrainRecord } from '../runs/metrics.ts';
import { iclTasks } from '../tasks/tasks.ts';
import { type CompiledIcl, type IclPhase, iclDryStep, iclSteps, iclTask, stagesOf } from '../training/icl-task.ts';
import { short } from '../training/progress.ts';
import type { TrainingKind } from './training-kind.ts';

export const iclKind: TrainingKind<
  typeof iclTable,
  ResolvedIcl,
  IclPhase,
  CompiledIcl,
  IclTrainRecord,
  IclEvaluationRecord
> = {
  set: iclOptions,
  resuming: iclResuming,
  about: 'learning in context: regression, classification, trees',
  resolve: (words) => {
    const resolved = resolveIcl(words);
    checkTraining(resolved.options);
    return resolved;
  },
  begin: (resolved) => {
    const { options, sizes, copies } = resolved;
    const score = scoreOf(options, sizes, copies);
    return {
      score,
      record: {},
      notes: [checkedCausal(options, score)],
      steps: iclSteps(options),
      lastRecord: 'evaluation',
      title: titleOf(resolved),
      task: (opened) => iclTask(resolved, opened, score),
      summary: async (evaluation) => [summaryOf(evaluation)],
      files: iclPlotFiles,
    };
  },
  dryStep: ({ options, sizes, copies }) => {
    const score = scoreOf(options, sizes, copies);
    return { note: checkedCausal(options, score), step: iclDryStep(options, score) };
  },
};

function checkedCausal(options: IclOptions, score: Score): string | undefined {
  return checkCausal(
    options,
    score,
    stagesOf(options).map(({ points }) => points),
  );
}

function titleOf(resolved: ResolvedIcl): string {
  const { training_task, n_dims, d_model, n_layer, n_head, training_train_steps: steps, test_run } = resolved.options;
  const length = test_run ? 'a test run' : counted(steps, 'step');
  const { title } = iclTasks[training_task];
  const task = title[0].toLowerCase() + title.slice(1);
  return (
    `training: ${task}, ${scoreName(resolved)} scores, ${counted(n_dims, 'dimension')}, d_model ${d_model}, ` +
    `${counted(n_layer, 'layer')}, ${counted(n_head, 'head')}, ${length}`
  );
}

/** The last point's error beside those of the baselines, which is what a run is judged by. */
function summaryOf({ pointwise, baselines, prompts, points }: IclEvaluationRecord): string {
  const last = points - 1;
  const others = Object.entries(baselines).map(([name, errors]) => `${name} ${short(errors[last])}`);
  return `error with ${counted(last, 'point')} in context, ${prompts} held-out prompts: ${short(pointwise[last])} (${others.join(', ')})`;
}
