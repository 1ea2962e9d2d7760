/**
 * Every option of `mlbtc train vit`: a vision transformer (Dosovitskiy et al. 2021) under the names of the other trainings, with the shape
 * of ViT-S/4 as defaults; the optimizer's as `train lm` has them.
 *
 * The trap: the size of the images and the number of classes follow from the data, and are no options.
 */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { lengthenedRates, optimizerRows } from './optimizer.ts';
import { type Resolved, resolveOptions } from './parse.ts';
import { freeWords, type Resuming } from './resuming.ts';
import type { OptionSet } from './set.ts';
import { modelAliases, type Settled, settled } from './settle.ts';
import { choice, flag, integer, type OptionValues, optionalInteger, path, real } from './table.ts';
import { checkTrained, debugRows, dryRunRows, placeRows, scoreAlternatives, scoreRows } from './transformer.ts';

const positive = { min: 1 };

export const vitGroups = {
  Model: {
    d_model: integer(384, 'width of the transformer', positive),
    n_head: optionalInteger('attention heads (default and -1: d_model / d_head)', { min: 1, none: -1 }),
    n_layer: integer(12, 'blocks', positive),
    patch_size: integer(4, 'pixels of a patch along each side; patches must fill the image', positive),
    pool: choice(
      ['class', 'mean'],
      'class',
      'what the class is read off: a token of its own after the patches, or the mean of the patches; scores that want their tokens to split evenly want mean',
    ),
    ...scoreRows,
    token_mixing_struct: { ...scoreRows.token_mixing_struct, fallback: 'low_rank' as string | null },
    causal: flag(false, 'a patch sees only those before it, row by row'),
  },
  Optimizer: optimizerRows,
  Training: {
    batch_size: integer(128, 'images a step', positive),
    max_iters: integer(50_000, 'steps', positive),
    eval_interval: integer(500, 'steps between evaluations on the validation part', positive),
    eval_iters: optionalInteger('batches an evaluation takes, evenly spread (default: all images)', positive),
    log_interval: integer(100, 'steps between lines of metrics.jsonl', positive),
    debug: flag(false, 'show stack traces'),
    seed: integer(1337, 'of params and batches', { min: 0, max: 2 ** 31 - 1 }),
    ...placeRows,
  },
  Data: {
    data: path(
      "folder of images: IDX files as MNIST's, or CIFAR-10's binary version (default: handwritten digits that come with the package)",
    ),
    val_fraction: real(0.1, 'part of the training images that is held out to choose the best checkpoint by', {
      above: 0,
      max: 0.9,
    }),
  },
  'Dry run': dryRunRows,
  Debugging: debugRows,
} as const;

export const vitTable = {
  ...vitGroups.Model,
  ...vitGroups.Optimizer,
  ...vitGroups.Training,
  ...vitGroups.Data,
  ...vitGroups['Dry run'],
  ...vitGroups.Debugging,
} as const;

type VitWords = OptionValues<typeof vitTable>;

/** With everything settled that follows from other options. */
export type VitOptions = Settled<VitWords>;

export const vitOptions: OptionSet<typeof vitTable> = {
  name: 'vit',
  groups: vitGroups,
  table: vitTable,
  alternatives: [scoreAlternatives],
  aliases: modelAliases,
  intro: [
    'Trains a vision transformer to tell what is on an image: it is cut into patches, each a token, and every token sees every other. The',
    'weights of the attention come from a built-in score or from a structure of yours, its linear maps and those of the MLP are dense or',
    'structured. Part of the training images is held out to choose the best checkpoint by; at the end it is judged by the test images.',
    '',
    'Examples',
    '  mlbtc train vit --preset tiny                                 about a minute on two cores: digits that come with the package',
    '  mlbtc train vit --preset tiny --slot linear=btt -s linear.s=2',
    '  mlbtc train vit --preset mnist --data MNIST/raw               IDX files, .gz or not',
    '  mlbtc train vit --preset cifar10_btt --data cifar-10-batches-bin',
    '  mlbtc train vit --preset cifar10_btt --data cifar-10-batches-bin --dry_run --target gpu',
  ],
};

/** What goes on with a run of it that has stopped. */
export const vitResuming: Resuming<typeof vitTable> = {
  runOf: () => undefined,
  steps: 'max_iters',
  free: freeWords,
  lengthened: lengthenedRates,
};

export type ResolvedVit = Resolved<VitOptions>;

/** Reads the words after `mlbtc train vit`. Throws UsageError for the command line's mistakes, UserError for a file's. */
export function resolveVit(words: readonly string[]): ResolvedVit {
  return settled(resolveOptions(vitOptions, words));
}

/** Refuses options of a training run that cannot be honoured. Throws UsageError. */
export function checkVit(options: VitOptions): void {
  checkTrained(options);
}

/** Refuses patches that do not fill the images. Throws UsageError. */
export function checkPatches(
  { patch_size: side }: Pick<VitOptions, 'patch_size'>,
  { name, height, width }: { readonly name: string; readonly height: number; readonly width: number },
): void {
  if (height % side === 0 && width % side === 0) return;
  const fitting = Array.from({ length: Math.min(height, width) }, (_, i) => i + 1).filter(
    (size) => height % size === 0 && width % size === 0,
  );
  throw new UsageError(
    `--patch_size ${side}: patches of ${side} × ${side} pixels do not fill the ${height} × ${width} of ${name}; ${fitting.join(', ')} do`,
  );
}
