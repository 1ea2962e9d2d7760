/**
 * The options that the three models share, those of the reference's `GPTConfig`: the attention's score and its flags. What they
 * mean to a score is in `mixers.ts`.
 */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { tensorCoreUses } from '../../runtime/tensor-cores.ts';
import { mapSlots } from './maps.ts';
import { type MixerSettings, mixers } from './mixers.ts';
import {
  choice,
  fillings,
  flag,
  integer,
  integerList,
  memory,
  type OptionValues,
  optionalChoice,
  optionalInteger,
  real,
  text,
  wordList,
} from './table.ts';

const positive = { min: 1 };
const headSize = { min: 1, none: -1 };

export const scoreRows = {
  token_mixing_struct: optionalChoice(
    Object.keys(mixers),
    'the score of the attention; --structure puts a file of yours in its place',
  ),
  mlr_rank_list: integerList(
    'ranks of multi_level_low_rank and bilinear_MLR, one a level, that add up to d_model / n_head; ignored by the others',
  ),
  d_head: optionalInteger('size of a head; d_model / n_head is the only value (-1: that)', headSize),
  d_qk_head: optionalInteger('size of a query and key head of low_rank (default and -1: d_model / n_head)', headSize),
  bias: flag(false, 'biases in linear maps and normalisations (the reference cannot train with them)'),
  dropout: real(0, 'dropout; only 0 for now', { min: 0, max: 1 }),
  split_qkv: flag(true, 'own matrices for queries, keys and values; only True trains'),
  do_qk_ln: flag(true, 'layer-normalise queries and keys'),
  manual_disable_flash_att: flag(true, 'accepted; says nothing here'),
  link_function: choice(['softmax', 'identity'], 'softmax', 'what turns logits into weights'),
  mha_SP_attn_logits_scaling: flag(false, 'low_rank: logits over √d in place of 8 / d'),
  mlr_divide_by_num_levels: flag(false, 'multi_level_low_rank and bilinear_MLR: logits over the number of levels'),
  mlr_block_divide_by_num_levels: flag(
    false,
    'multi_level_low_rank: logits over the number of levels whose block holds both tokens; bilinear_MLR refuses it',
  ),
  bilinear_mlr_muP_attn_logits_scaling: flag(false, 'bilinear_MLR: a level by 8 / (r·2^l) in place of 1 / √(r·2^l)'),
  mlr_block_size_list: integerList(
    'multi_level_low_rank: block sizes, one a level (default: the tokens over 1, 2, 4, …)',
    { none: 'default' },
  ),
  sliding_block_size: integer(1024, 'sliding windows: tokens before its own that a token sees', { min: 0 }),
  use_swa_with_for_loop: flag(false, 'accepted; says nothing here'),
  gswa_rank_list: integerList('low_rank_with_gswa: ranks of the global and the sliding part', { fallback: [32, 32] }),
  sequential_GSWA_layer_list: wordList(
    ['MHA', 'SWA'],
    ['MHA', 'SWA', 'SWA', 'MHA', 'SWA', 'SWA'],
    'low_rank_with_sequential_gswa: each layer low_rank (MHA) or with a sliding window (SWA)',
  ),
  btt_tt_dim: integer(2, 'cores of the Block Tensor-Train; 2 is the only value', positive),
  btt_tt_rank: integer(1, 'rank of bilinear_BTT', positive),
  bilinear_btt_muP_attn_logits_scaling: flag(false, 'bilinear_BTT: logits over d_model in place of its root'),
  causal: flag(
    true,
    'bilinear_BTT: a token sees only those before it (not an option of the reference); False trains with --allow_noncausal alone',
  ),
  bilinearBTT_use_extra_LN_on_X: flag(
    false,
    'bilinear_BTT: layer-normalise its input (not an option of the reference)',
  ),
  structure: text('a .mlbtc file with a score of your own, in the place of token_mixing_struct'),
  slot: fillings(
    `structures in the place of dense linear maps, --slot mlp_up=btt --slot q=./mine.mlbtc: ${Object.keys(mapSlots).join(', ')}, or linear for all of them; sizes as -s mlp_up.s=2`,
  ),
} as const;

/** A score of the library, or one of yours. */
export const scoreAlternatives = ['structure', 'token_mixing_struct'] as const;

/** Where a run goes and what it runs on, of every training: nothing of what is trained. */
export const placeRows = {
  out_dir: text('folder of the run (default: a new one below runs/)'),
  device: text('adapter to use, as `mlbtc doctor` names it (default: the best one found)'),
  memory: memory(
    'most memory that training may take, 4GiB, 500MB or, of what it takes without a limit, 50%: what would take more is computed again in the backward pass (default: as much as is fastest)',
  ),
  tensor_cores: optionalChoice(
    tensorCoreUses,
    'f32 products on tensor cores, as two f16 parts each, where the device has them; never: on f32 units (default: MLBTC_TENSOR_CORES, or auto)',
  ),
} as const;

/** `--dry_run` and what goes with it. */
export const dryRunRows = {
  dry_run: flag(false, 'run nothing and open no device: say what a step is and where its memory goes'),
  json: flag(false, 'with dry_run: one JSON object'),
  target: text(
    'with dry_run: the device to compile for, gpu, cpu, portable, or a file that `mlbtc doctor --json` printed',
  ),
} as const;

/** How closely a run is looked at; none of it changes what is learned. */
export const debugRows = {
  verbose: flag(false, 'also -v: say what is compiled and, at the end, where the time went'),
  profile: flag(false, 'time the kernels of some steps: time, share, TFLOP/s and GB/s of each'),
  trace: text('file for a trace of stages and kernels, for chrome://tracing or Perfetto'),
  debug_nans: flag(
    false,
    'look at every step whether its numbers are finite; where they are not, say which line and which values made them so',
  ),
} as const;

export type ScoreOptions = OptionValues<typeof scoreRows>;

/** What a model is built from, whichever of the three it is. */
export interface ModelOptions extends ScoreOptions {
  readonly d_model: number;
  readonly n_head: number;
  readonly n_layer: number;
}

/** What the mixer table sees of the options: the model's shape and flags, none of the training. */
export function mixerSettings(options: ModelOptions): MixerSettings {
  return {
    dModel: options.d_model,
    heads: options.n_head,
    layers: options.n_layer,
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
    blocks: options.mlr_block_size_list,
    window: options.sliding_block_size,
    globalAndLocal: options.gswa_rank_list ?? [],
    hasWindow: options.sequential_GSWA_layer_list.map((kind) => kind === 'SWA'),
    bttRank: options.btt_tt_rank,
    bttMupScaling: options.bilinear_btt_muP_attn_logits_scaling,
    bttExtraNorm: options.bilinearBTT_use_extra_LN_on_X,
  };
}

/** Refuses what no model can be built from; the checks hold for training and for `verify` alike. Throws UsageError. */
export function checkModel(options: ModelOptions): void {
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
  const problem = entry?.problem(mixerSettings(options));
  if (problem !== undefined) throw new UsageError(`--token_mixing_struct ${mixer}: ${problem}`);
}

/** Refuses what no model can be trained with. Throws UsageError. */
export function checkTrained(options: ModelOptions & { readonly beta1: number; readonly beta2: number }): void {
  checkModel(options);
  if (options.dropout !== 0) throw new UsageError(`--dropout ${options.dropout} is not there yet; only 0`);
  if (!options.split_qkv) {
    throw new UsageError(
      '--split_qkv=False cannot train: a fused qkv matrix has no muP rule, in the reference neither',
    );
  }
  if (options.beta1 >= 1 || options.beta2 >= 1) throw new UsageError('--beta1 and --beta2 must be below 1');
}

const standardHead = 64;

/**
 * The number of heads. In the reference `n_head = -1` means d_model / d_head, so a head's size is what stands and the number of heads
 * what follows; giving n_head turns that round. Throws UsageError where the width does not split.
 */
export function headsOf({
  d_model: width,
  n_head: heads,
  d_head: headSize,
}: Pick<ModelOptions, 'd_model' | 'd_head'> & { readonly n_head: number | null }): number {
  const size = headSize ?? standardHead;
  if (heads === null && width % size !== 0) {
    throw new UsageError(
      `--d_model ${width} does not split into heads of --d_head ${size}; give --n_head or another --d_head`,
    );
  }
  return heads ?? width / size;
}
