/**
 * Every option of `mlbtc train lm`: those of the reference's `train.py` under the same names, with the defaults of its
 * `train_struct_gpt2.py` (train.py's own cannot train: a fused qkv has no muP rule), then ours.
 */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { lengthenedRates, optimizerRows } from './optimizer.ts';
import { type Resolved, resolveOptions } from './parse.ts';
import { freeWords, type Resuming } from './resuming.ts';
import type { OptionSet } from './set.ts';
import { modelAliases, type Settled, settled } from './settle.ts';
import { choice, flag, ignoredText, integer, type OptionValues, optionalInteger, path, text } from './table.ts';
import { checkTrained, debugRows, dryRunRows, placeRows, scoreAlternatives, scoreRows } from './transformer.ts';

const positive = { min: 1 };

export const lmGroups = {
  Model: {
    d_model: integer(768, 'width of the transformer', positive),
    n_head: optionalInteger('attention heads (default and -1: d_model / d_head)', { min: 1, none: -1 }),
    n_layer: integer(6, 'blocks', positive),
    block_size: integer(256, 'tokens in context', positive),
    vocab_size: optionalInteger('different tokens (default: as the data say)', positive),
    ...scoreRows,
    token_mixing_struct: { ...scoreRows.token_mixing_struct, fallback: 'low_rank' as string | null },
  },
  Optimizer: {
    ...optimizerRows,
  },
  Training: {
    batch_size: integer(64, 'sequences at a time on the device', positive),
    gradient_accumulation_steps: integer(8, 'times batch_size sequences a step', positive),
    max_iters: integer(100_000, 'steps', positive),
    eval_interval: integer(200, 'steps between evaluations', positive),
    eval_iters: integer(200, 'batches an evaluation takes of each split', positive),
    eval_only: flag(false, 'evaluate the model as it starts, and end'),
    log_interval: integer(100, 'steps between lines of metrics.jsonl', positive),
    always_save_checkpoint: flag(
      false,
      'accepted: a checkpoint is written at every evaluation in any case, and the last two are kept beside the best',
    ),
    init_from: choice(
      ['scratch', 'resume'],
      'scratch',
      'where the params come from; resume goes on with the run in out_dir, as `mlbtc resume` does',
    ),
    debug: flag(false, 'show stack traces'),
    seed: integer(1337, 'of params and batches (fixed in the reference)', { min: 0, max: 2 ** 31 - 1 }),
    ...placeRows,
    allow_noncausal: flag(false, 'train a score that sees later tokens, which then reads the answers (ours)'),
  },
  Data: {
    data: path('folder that `mlbtc data prepare` made (default: the text that comes with the package)'),
    data_dir: path("the reference's name for data"),
    dataset: text('name of a folder below data/, where neither data nor data_dir is given'),
    sample_tokens: integer(200, 'length of the sample that a run ends with, 0 for none (ours)', { min: 0 }),
  },
  'Dry run': dryRunRows,
  Debugging: debugRows,
  Ignored: {
    wandb_log: flag(false, 'accepted and ignored'),
    wandb_entity: ignoredText('accepted and ignored'),
    wandb_project: ignoredText('accepted and ignored'),
    wandb_run_name: ignoredText('accepted and ignored'),
    data_dtype: ignoredText('accepted and ignored: the data say it'),
    backend: ignoredText('accepted and ignored'),
    dtype: ignoredText('accepted and ignored: everything is f32 for now'),
    compile: flag(false, 'accepted and ignored: it is always compiled'),
  },
} as const;

export const lmTable = {
  ...lmGroups.Model,
  ...lmGroups.Optimizer,
  ...lmGroups.Training,
  ...lmGroups.Data,
  ...lmGroups['Dry run'],
  ...lmGroups.Debugging,
  ...lmGroups.Ignored,
} as const;

type LmWords = OptionValues<typeof lmTable>;

/** With everything settled that follows from other options; the vocabulary is the data's where it is none. */
export type LmOptions = Settled<LmWords>;

export const lmOptions: OptionSet<typeof lmTable> = {
  name: 'lm',
  groups: lmGroups,
  table: lmTable,
  alternatives: [scoreAlternatives, ['data', 'data_dir', 'dataset']],
  aliases: modelAliases,
  intro: [
    'Trains a transformer as a language model: it reads a text token by token and predicts each from those before it. Without',
    '--data it is the English text that comes with the package, character by character; `mlbtc data prepare` makes a data set of',
    'your own text. The weights of the attention come from a built-in score or from a structure of yours.',
    '',
    'Examples',
    '  mlbtc train lm --preset tiny                             a small character model, minutes on two cores',
    '  mlbtc train lm --preset tiny --token-mixing-struct low_rank',
    '  mlbtc data prepare mytexts/ --out data/mine --tokenizer chars96',
    '  mlbtc train lm --preset train_struct_gpt2 --data data/mine --d_model=512 --block_size=1024 --batch_size=4',
    '  mlbtc train lm --config runs/lm-tiny/config.yaml         the same run again',
    '  mlbtc resume runs/lm-tiny                                go on with a run that has stopped',
  ],
};

/** What goes on with a run of it that has stopped. */
export const lmResuming: Resuming<typeof lmTable> = {
  runOf: ({ init_from: from, out_dir }) => {
    if (from !== 'resume') return undefined;
    if (out_dir) return out_dir;
    throw new UsageError('--init_from resume: say which run, --out_dir RUN');
  },
  steps: 'max_iters',
  shortRun: 'eval_only',
  free: [
    ...(['always_save_checkpoint', 'sample_tokens', 'init_from'] as const),
    ...freeWords,
    ...(Object.keys(lmGroups.Ignored) as (keyof typeof lmGroups.Ignored)[]),
  ],
  lengthened: lengthenedRates,
};

export type ResolvedLm = Resolved<LmOptions>;

/** Reads the words after `mlbtc train lm`. Throws UsageError for the command line's mistakes, UserError for a file's. */
export function resolveLm(words: readonly string[]): ResolvedLm {
  return settled(resolveOptions(lmOptions, words));
}

/** Refuses options of a training run that cannot be honoured. Throws UsageError. */
export function checkLm(options: LmOptions): void {
  checkTrained(options);
  const named = (['data', 'data_dir', 'dataset'] as const).filter((name) => options[name] !== null);
  if (named.includes('data') && named.includes('data_dir') && options.data !== options.data_dir) {
    throw new UsageError(`--data ${options.data} and --data_dir ${options.data_dir} name two folders; give one`);
  }
}
