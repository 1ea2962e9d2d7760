/**
 * Every option of `mlbtc train icl`: those of the reference's `train_ICL.py` under the same names and defaults, then ours.
 * Presets, a run's `config.yaml`, the command line, `--help` and `verify` all read this table and nothing else.
 *
 * The trap: an option that the reference has but that cannot be honoured yet must stay in the table, so that its command line
 * is understood, and be refused with a reason (`refusals`), never be ignored in silence.
 */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { laterMixers, type MixerSettings, mixers } from './mixers.ts';
import {
  choice,
  flag,
  integer,
  integerList,
  type OptionValues,
  optionalChoice,
  optionalInteger,
  real,
  text,
} from './table.ts';

const positive = { min: 1 };

export const iclGroups = {
  Model: {
    n_dims: integer(undefined, 'dimensions of x; points go up to 2·n_dims, tokens to 4·n_dims', positive),
    d_model: integer(undefined, 'width of the transformer', positive),
    n_head: integer(undefined, 'attention heads', positive),
    n_layer: integer(6, 'blocks', positive),
    token_mixing_struct: optionalChoice(
      [...Object.keys(mixers), ...laterMixers],
      'the score of the attention; --structure puts a file of yours in its place',
    ),
    mlr_rank_list: integerList(
      'ranks of bilinear_MLR, one a level, that add up to d_model / n_head; ignored by the others',
    ),
    d_head: optionalInteger('size of a head; d_model / n_head is the only value', positive),
    d_qk_head: optionalInteger('size of a query and key head of low_rank (default d_model / n_head)', positive),
    bias: flag(false, 'biases in linear maps and normalisations (the reference cannot train with them)'),
    dropout: real(0, 'dropout; only 0 for now', { min: 0, max: 1 }),
    split_qkv: flag(true, 'own matrices for queries, keys and values; only True trains'),
    do_qk_ln: flag(true, 'layer-normalise queries and keys'),
    manual_disable_flash_att: flag(true, 'accepted; says nothing here'),
    link_function: choice(['softmax', 'identity'], 'softmax', 'what turns logits into weights'),
    mha_SP_attn_logits_scaling: flag(false, 'low_rank: logits over √d in place of 8 / d'),
    mlr_divide_by_num_levels: flag(false, 'bilinear_MLR: logits over the number of levels'),
    mlr_block_divide_by_num_levels: flag(false, 'accepted; bilinear_MLR refuses True, as the reference does'),
    bilinear_mlr_muP_attn_logits_scaling: flag(false, 'bilinear_MLR: a level by 8 / (r·2^l) in place of 1 / √(r·2^l)'),
    btt_tt_dim: integer(2, 'cores of the Block Tensor-Train; 2 is the only value', positive),
    btt_tt_rank: integer(1, 'rank of bilinear_BTT', positive),
    bilinear_btt_muP_attn_logits_scaling: flag(false, 'bilinear_BTT: logits over d_model in place of its root'),
    causal: flag(true, 'bilinear_BTT: a token sees only those before it (not an option of the reference)'),
    bilinearBTT_use_extra_LN_on_X: flag(
      false,
      'bilinear_BTT: layer-normalise its input (not an option of the reference)',
    ),
    structure: text('a .mlbtc file with a score of your own, in the place of token_mixing_struct'),
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
    training_task: choice(
      [
        'linear_regression',
        'sparse_linear_regression',
        'linear_classification',
        'relu_2nn_regression',
        'decision_tree',
      ],
      'linear_regression',
      'what the prompts ask for; only linear_regression for now',
    ),
    training_num_tasks: optionalInteger('number of different weight vectors; none draws a new one each time', positive),
    training_num_training_examples: optionalInteger('number of different prompts; none draws new ones', positive),
    training_data: choice(['gaussian'], 'gaussian', 'distribution of x'),
    training_batch_size: integer(64, 'prompts a step', positive),
    training_train_steps: integer(500001, 'steps; --steps for short', positive),
    training_save_every_steps: integer(10000, 'steps between checkpoints', positive),
    training_keep_every_steps: integer(100000, 'steps between checkpoints that are kept for good', positive),
    training_resume_id: text('accepted; resuming comes later'),
    evaluation_interval: integer(2500, 'steps between evaluations on fresh prompts', positive),
    evaluation_samples_multiplier: integer(50, 'batches an evaluation', positive),
    evaluation_reuse_training_seeds: flag(false, 'evaluate on the prompts of training, as the reference does (ours)'),
    wandb_log_every_steps: integer(10, 'steps between lines of metrics.jsonl', positive),
    test_run: flag(false, '100 steps at full size'),
    debug: flag(false, 'show stack traces'),
    seed: integer(0, 'of params and prompts (ours)', { min: 0, max: 2 ** 31 - 1 }),
    out_dir: text('folder of the run (default: a new one below runs/)'),
    device: text('adapter to use, as `mlbtc doctor` names it (default: the best one found)'),
  },
  Ignored: {
    wandb_project: text('accepted and ignored'),
    wandb_entity: text('accepted and ignored'),
    wandb_notes: text('accepted and ignored'),
    wandb_name: text('accepted and ignored'),
  },
} as const;

export const iclTable = {
  ...iclGroups.Model,
  ...iclGroups.Optimizer,
  ...iclGroups.Curriculum,
  ...iclGroups.Training,
  ...iclGroups.Ignored,
} as const;

export type IclOptions = OptionValues<typeof iclTable>;
export type IclOptionName = keyof typeof iclTable;

/** Short names of our own for options that one types often. */
export const iclAliases: Readonly<Record<string, IclOptionName>> = {
  steps: 'training_train_steps',
  lr: 'training_learning_rate',
  batch_size: 'training_batch_size',
};

/** What the mixer table sees of the options: the model's shape and flags, none of the training. */
export function mixerSettings(options: IclOptions): MixerSettings {
  return {
    dModel: options.d_model,
    heads: options.n_head,
    headSize: options.d_qk_head ?? options.d_head ?? options.d_model / options.n_head,
    ranks: options.mlr_rank_list,
    bias: options.bias,
    splitQkv: options.split_qkv,
    qkNorm: options.do_qk_ln,
    identityLink: options.link_function === 'identity',
    causal: options.causal,
    lowRankSpScaling: options.mha_SP_attn_logits_scaling,
    divideByLevels: options.mlr_divide_by_num_levels,
    blockDivideByLevels: options.mlr_block_divide_by_num_levels,
    bilinearMlrMupScaling: options.bilinear_mlr_muP_attn_logits_scaling,
    bttRank: options.btt_tt_rank,
    bttMupScaling: options.bilinear_btt_muP_attn_logits_scaling,
    bttExtraNorm: options.bilinearBTT_use_extra_LN_on_X,
  };
}

/** Refuses what no model can be built from; the checks hold for training and for `verify` alike. Throws UsageError. */
export function checkModel(options: IclOptions): void {
  const { d_model, n_head, d_head, btt_tt_dim } = options;
  if (d_model % n_head !== 0)
    throw new UsageError(`--d_model ${d_model} does not split into --n_head ${n_head} equal heads`);
  if (d_head !== null && d_head * n_head !== d_model) {
    throw new UsageError(`--d_head ${d_head} times --n_head ${n_head} is ${d_head * n_head}, not --d_model ${d_model}`);
  }
  if (btt_tt_dim !== 2) throw new UsageError(`--btt_tt_dim ${btt_tt_dim}: only 2 cores are defined`);
  const { structure, token_mixing_struct: mixer } = options;
  if (structure !== null) return;
  if (mixer === null) {
    throw new UsageError('nothing says what the score is: give --token_mixing_struct or --structure FILE.mlbtc');
  }
  const entry = mixers[mixer];
  if (entry === undefined) {
    throw new UsageError(
      `--token_mixing_struct ${mixer} cannot be trained yet; for now: ${Object.keys(mixers).join(', ')}, or --structure FILE.mlbtc`,
    );
  }
  const problem = entry.problem(mixerSettings(options));
  if (problem !== undefined) throw new UsageError(`--token_mixing_struct ${mixer}: ${problem}`);
}

/** Refuses options of a training run that cannot be honoured. Throws UsageError. */
export function checkTraining(options: IclOptions): void {
  checkModel(options);
  const { training_task: task, training_curriculum_dims_interval: dimsInterval } = options;
  if (task !== 'linear_regression') {
    throw new UsageError(`--training_task ${task} is not there yet; for now only linear_regression`);
  }
  if (options.dropout !== 0) throw new UsageError(`--dropout ${options.dropout} is not there yet; only 0`);
  if (!options.split_qkv) {
    throw new UsageError(
      '--split_qkv=False cannot train: a fused qkv matrix has no muP rule, in the reference neither',
    );
  }
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
  if (options.training_resume_id !== null)
    throw new UsageError('--training_resume_id: resuming a run is not there yet');
  if (options.beta1 >= 1 || options.beta2 >= 1) throw new UsageError('--beta1 and --beta2 must be below 1');
}
