/**
 * The tasks of the reference, by its names: which file fills the slot `Task` of the prompts, what is a right answer, and which
 * baselines stand beside a model (those of the reference that are solved by linear algebra or greedily, not by descent; and zero).
 */
import { type AnswerKind, type BaselineName, lassoNames } from './baselines.ts';
import type { TaskFile } from './prompts.ts';

export const taskNames = [
  'linear_regression',
  'sparse_linear_regression',
  'linear_classification',
  'relu_2nn_regression',
  'decision_tree',
] as const;
export type IclTaskName = (typeof taskNames)[number];

/** Options that say how large a task is. */
export interface TaskOptions {
  readonly training_task: IclTaskName;
  readonly task_sparsity: number;
  readonly task_hidden_layer_size: number;
  readonly task_depth: number;
}

export interface IclTask {
  readonly title: string;
  readonly sizes: (options: TaskOptions) => TaskFile['sizes'];
  readonly answers: AnswerKind;
  /** The first is the one that progress tells of. */
  readonly baselines: readonly BaselineName[];
}

export const iclTasks: Readonly<Record<IclTaskName, IclTask>> = {
  linear_regression: {
    title: 'Linear regression',
    sizes: () => ({}),
    answers: 'numbers',
    baselines: ['least squares', '3 nearest neighbours', 'averaging', 'zero'],
  },
  sparse_linear_regression: {
    title: 'Sparse linear regression',
    sizes: ({ task_sparsity: sparsity }) => ({ sparsity }),
    answers: 'numbers',
    baselines: ['least squares', ...lassoNames, '3 nearest neighbours', 'averaging', 'zero'],
  },
  linear_classification: {
    title: 'Linear classification',
    sizes: () => ({}),
    answers: 'signs',
    baselines: ['averaging', '3 nearest neighbours'],
  },
  relu_2nn_regression: {
    title: 'Two-layer ReLU networks',
    sizes: ({ task_hidden_layer_size: hidden_layer_size }) => ({ hidden_layer_size }),
    answers: 'numbers',
    baselines: ['least squares', '3 nearest neighbours', 'averaging', 'zero'],
  },
  decision_tree: {
    title: 'Decision trees',
    sizes: ({ task_depth: depth }) => ({ depth }),
    answers: 'numbers',
    baselines: ['greedy tree of depth 4', 'greedy tree', 'least squares', '3 nearest neighbours', 'averaging', 'zero'],
  },
};

export function taskFileOf(options: TaskOptions): TaskFile {
  const { training_task: file } = options;
  return { file, sizes: iclTasks[file].sizes(options) };
}
