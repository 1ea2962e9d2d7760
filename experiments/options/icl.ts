/**
 * Every option of `mlbtc train icl`: those of the reference's `train_ICL.py` under the same names and defaults, then ours.
 * Presets, a run's `config.yaml`, the command line, `--help` and `verify` all read this table and nothing else.
 *
 * The trap: an option that the reference has but that cannot be honoured yet must stay in the table, so that its command line
 * is understood, and be refused with a reason (`refusals`), never be ignored in silence.
 */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { adaptiveIncrements, type CurriculumSettings } from '../tasks/curriculum.ts';
import { taskNames } from '../tasks/tasks.ts';
import { type Resolved, resolveOptions } from './parse.ts';
import { freeWords, namedRun, type Resuming } from './resuming.ts';
import type { OptionSet } from './set.ts';
import { choice, flag, ignoredText, integer, type OptionValues, optionalInteger, real, text } from './table.ts';
import { checkTrained, debugRows, dryRunRows, placeRows, scoreAlternatives, scoreRows } from './transformer.ts';

const positive = { min: 1 };
/** Of a `--test_run`. */
export const testRunSteps = 100;

export const iclGroups = {
  Model: {
    n_dims: integer(undefined, 'dimensions of x; points go up to 2·n_dims, tokens to 4·n_dims', positive),
    d_model: integer(undefined, 'width of the transformer', positive),
    n_head: integer(undefined, 'attention heads', positive),
    n_layer: integer(6, 'blocks', positive),
    ...scoreRows,
  },
  Optimizer: {
    opt_name: choice(['AdamW'], 'AdamW', 'the optimizer'),
    weight_decay: real(0, 'decay of matrices, decoupled', { min: 0 }),
    beta1: real(0.9, 'memory of the first moment', { min: 0, max: 1 }),
    beta2: real(0.95, 'memory of the second moment', { min: 0, max: 1 }),
    training_learning_rate: real(3e-4, 'peak learning rate, before muP scales it for each param', { min: 0 }),
    warmup: integer(1000, 'steps of linear warm-up, then constant (ours: fixed in the reference)', { min: 0 }),
    min_lr_ratio: real(
      1,
      'cosine decay after warm-up, down to this part of the peak rate at the last step (ours; 1: constant, as in the reference)',
      {
        min: 0,
        max: 1,
      },
    ),
    lr_decay_steps: optionalInteger('step at which the cosine ends (ours; default: training_train_steps)', positive),
    grad_clip: real(0, 'largest norm of all gradients together, 0 for none (ours)', { min: 0 }),
  },
  Curriculum: {
    training_curriculum_dims_start: integer(4, 'dimensions in use at the first step', positive),
    training_curriculum_dims_inc: optionalInteger('dimensions added at a time, where adaptive_inc is off', positive),
    training_curriculum_dims_interval: integer(2000, 'steps between additions', positive),
    training_curriculum_points_start: integer(8, 'points in context at the first step', positive),
    training_curriculum_points_inc: optionalInteger('points added at a time, where adaptive_inc is off', positive),
    training_curriculum_points_interval: integer(2000, 'steps between additions; equals dims_interval', positive),
    training_curriculum_adaptive_inc: flag(
      true,
      'choose the increments so that the end is reached within warmup_ratio',
    ),
    training_curriculum_warmup_ratio: real(0.06, 'part of the training in which the curriculum grows', {
      above: 0,
      max: 1,
    }),
  },
  Training: {
    training_task: choice(taskNames, 'linear_regression', 'what the prompts ask for'),
    task_sparsity: integer(
      3,
      'sparse_linear_regression: coordinates that count (ours: fixed in the reference)',
      positive,
    ),
    task_hidden_layer_size: integer(100, 'relu_2nn_regression: width of the network (ours)', positive),
    task_depth: integer(4, 'decision_tree: questions from the root to a leaf (ours)', { min: 1, max: 10 }),
    training_num_tasks: optionalInteger('number of different tasks; none draws a new one each time', positive),
    training_num_training_examples: optionalInteger('number of different prompts; none draws new ones', positive),
    training_data: choice(['gaussian'], 'gaussian', 'distribution of x'),
    training_batch_size: integer(64, 'prompts a step', positive),
    training_train_steps: integer(500001, 'steps; --steps for short', positive),
    training_save_every_steps: integer(10000, 'steps between checkpoints', positive),
    training_keep_every_steps: integer(100000, 'steps between checkpoints that are kept for good', positive),
    training_resume_id: text(
      'folder of a run, or its name below out_dir or runs/: go on with it, as `mlbtc resume` does',
    ),
    evaluation_interval: integer(2500, 'steps between evaluations on fresh prompts', positive),
    evaluation_samples_multiplier: integer(50, 'batches an evaluation', positive),
    evaluation_reuse_training_seeds: flag(false, 'evaluate on the prompts of training, as the reference does (ours)'),
    wandb_log_every_steps: integer(10, 'steps between lines of metrics.jsonl', positive),
    test_run: flag(false, `${testRunSteps} steps at full size`),
    debug: flag(false, 'show stack traces'),
    seed: integer(0, 'of params and prompts (ours)', { min: 0, max: 2 ** 31 - 1 }),
    ...placeRows,
    allow_noncausal: flag(false, 'train a score that sees later tokens, which then reads the answers (ours)'),
  },
  'Dry run': dryRunRows,
  Debugging: debugRows,
  Ignored: {
    wandb_project: ignoredText('accepted and ignored'),
    wandb_entity: ignoredText('accepted and ignored'),
    wandb_notes: ignoredText('accepted and ignored'),
    wandb_name: ignoredText('accepted and ignored'),
  },
} as const;

export const iclTable = {
  ...iclGroups.Model,
  ...iclGroups.Optimizer,
  ...iclGroups.Curriculum,
  ...iclGroups.Training,
  ...iclGroups['Dry run'],
  ...iclGroups.Debugging,
  ...iclGroups.Ignored,
} as const;

export type IclOptions = OptionValues<typeof iclTable>;

export const iclOptions: OptionSet<typeof iclTable> = {
  name: 'icl',
  groups: iclGroups,
  table: iclTable,
  alternatives: [scoreAlternatives],
  aliases: { steps: 'training_train_steps', lr: 'training_learning_rate', batch_size: 'training_batch_size' },
  intro: [
    'Trains a transformer to learn in context: it reads x1 y1 x2 y2 … and predicts each y from those before it.',
    'The weights of its attention come from a built-in score or from a structure of yours. Everything runs on the GPU, or on a',
    'software device where there is none; `mlbtc doctor` tells which.',
    '',
    'Examples',
    '  mlbtc train icl --preset tiny                            a small model, two minutes on two cores',
    '  mlbtc train icl --preset tiny --token-mixing-struct low_rank --steps 500',
    '  mlbtc train icl --preset tiny --training-task decision_tree',
    '  mlbtc train icl --preset tiny --structure mine.mlbtc -s rank=4',
    '  mlbtc train icl --config runs/icl-tiny/config.yaml       the same run again',
    '  mlbtc resume runs/icl-tiny                               go on with a run that has stopped',
  ],
};

/** What goes on with a run of it that has stopped. */
export const iclResuming: Resuming<typeof iclTable> = {
  runOf: ({ training_resume_id: id, out_dir }) =>
    id === undefined || id === null ? undefined : namedRun(id, [out_dir ?? 'runs', '.']),
  steps: 'training_train_steps',
  shortRun: 'test_run',
  free: [
    ...(['training_save_every_steps', 'training_keep_every_steps', 'training_resume_id'] as const),
    ...freeWords,
    ...(Object.keys(iclGroups.Ignored) as (keyof typeof iclGroups.Ignored)[]),
  ],
  lengthened: (options, steps) => ({
    training_train_steps: steps,
    lr_decay_steps: options.lr_decay_steps ?? options.training_train_steps,
    ...curriculumAsBegun(options),
  }),
};

/** The increments that were chosen for the steps that a run began with, as options. */
function curriculumAsBegun(options: IclOptions): Partial<IclOptions> {
  if (!options.training_curriculum_adaptive_inc) return {};
  const { dims, points } = adaptiveIncrements(curriculumSettings(options));
  return {
    training_curriculum_adaptive_inc: false,
    training_curriculum_dims_inc: dims,
    training_curriculum_points_inc: points,
  };
}

/** The curriculum as the options have it. */
export function curriculumSettings(options: IclOptions): CurriculumSettings {
  const increments = options.training_curriculum_adaptive_inc
    ? undefined
    : {
        dims: options.training_curriculum_dims_inc as number,
        points: options.training_curriculum_points_inc as number,
      };
  return {
    nDims: options.n_dims,
    trainSteps: options.training_train_steps,
    dimsStart: options.training_curriculum_dims_start,
    pointsStart: options.training_curriculum_points_start,
    intervalSteps: options.training_curriculum_dims_interval,
    increments,
    warmupRatio: options.training_curriculum_warmup_ratio,
  };
}

export type ResolvedIcl = Resolved<IclOptions>;

/** Reads the words after `mlbtc train icl`. Throws UsageError for the command line's mistakes, UserError for a file's. */
export function resolveIcl(words: readonly string[]): ResolvedIcl {
  return resolveOptions(iclOptions, words);
}

/** Refuses options of a training run that cannot be honoured. Throws UsageError. */
export function checkTraining(options: IclOptions): void {
  checkTrained(options);
  const { training_curriculum_dims_interval: dimsInterval } = options;
  if (options.training_curriculum_points_interval !== dimsInterval) {
    throw new UsageError(
      `--training_curriculum_points_interval ${options.training_curriculum_points_interval} must equal ` +
        `--training_curriculum_dims_interval ${dimsInterval}`,
    );
  }
  for (const quantity of ['dims', 'points'] as const) {
    if (!options.training_curriculum_adaptive_inc && options[`training_curriculum_${quantity}_inc`] === null) {
      throw new UsageError(`--training_curriculum_adaptive_inc=False needs --training_curriculum_${quantity}_inc`);
    }
  }
}
