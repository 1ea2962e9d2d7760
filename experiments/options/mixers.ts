/**
 * The built-in scores of the attention: for each name of the reference, the library file, the sizes that the options ask for,
 * how the reference's parameters are called in that file, and what the reference counts. The only TypeScript that knows a mixer by
 * name.
 *
 * The trap: a parameter's elements lie in the same order in both (that is how the library files were written), but names and
 * shapes differ, and one of the reference's may hold several of ours one after the other (`c_attn`: queries, keys, values).
 */
import { split } from '../../compiler/semantics/sizes.ts';

export interface MixerSettings {
  readonly dModel: number;
  readonly heads: number;
  readonly layers: number;
  /** Of queries and keys. */
  readonly headSize: number;
  readonly ranks: readonly number[] | null;
  readonly bias: boolean;
  readonly splitQkv: boolean;
  readonly qkNorm: boolean;
  readonly identityLink: boolean;
  readonly causal: boolean;
  readonly lowRankSpScaling: boolean;
  readonly divideByLevels: boolean;
  readonly blockDivideByLevels: boolean;
  readonly bilinearMlrMupScaling: boolean;
  /** Of each level, where they are given. */
  readonly blocks: readonly number[] | null;
  /** Tokens before its own that a token sees. */
  readonly window: number;
  /** Ranks of the global and of the sliding part. */
  readonly globalAndLocal: readonly number[];
  /** Of each layer, whether it has a window. */
  readonly hasWindow: readonly boolean[];
  readonly bttRank: number;
  readonly bttMupScaling: boolean;
  readonly bttExtraNorm: boolean;
}

export type SizeValue = number | readonly number[];

/** A parameter of the reference's attention module and ours that hold its elements, in order. */
export interface ParameterNames {
  readonly reference: string;
  readonly score: readonly string[];
  /** How many axes of ours each axis of the reference's is; where nothing is said they are the same. */
  readonly axes?: readonly number[];
  /** Params of the model that follow those of the score. */
  readonly model?: readonly string[];
}

/** What the reference counts of a layer's score, for one of `tokens` tokens in one forward pass (oracle, "Counting"). */
export interface MixerCounts {
  /** Multiply-adds of the projections. */
  readonly linear: number;
  readonly logits: number;
  /** Elements that are layer-normed. */
  readonly normed: number;
}

export interface Mixer {
  /** Library file, by bare name. */
  readonly file: (settings: MixerSettings) => string;
  /** Sizes beside D, H and T. */
  readonly sizes: (settings: MixerSettings) => Readonly<Record<string, SizeValue>>;
  readonly parameters: (settings: MixerSettings) => readonly ParameterNames[];
  readonly counts: (settings: MixerSettings, tokens: number, layer: number) => MixerCounts;
  /** Why these settings cannot be built; undefined where they can. */
  readonly problem: (settings: MixerSettings) => string | undefined;
}

const bit = (value: boolean): number => (value ? 1 : 0);
const total = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0);
const named = (reference: string, score: string, axes?: readonly number[]): ParameterNames => ({
  reference,
  score: [score],
  ...(axes === undefined ? {} : { axes }),
});

/** Queries and keys of low rank, which five of the scores begin with; they lie in the instance `from` of the library's file. */
const queriesAndKeys = {
  sizes: (s: MixerSettings) => ({ qk_ln: bit(s.qkNorm), bias: bit(s.bias) }),
  parameters: (s: MixerSettings, from: string): readonly ParameterNames[] => {
    const both = (suffix: string, q: string, k: string): readonly ParameterNames[] => {
      const ours = [from + q, from + k];
      const values = suffix === 'weight' ? 'values.W' : 'values_bias';
      const axes = suffix === 'weight' ? undefined : [2];
      return s.splitQkv
        ? [named(`c_attn_q.${suffix}`, from + q, axes), named(`c_attn_k.${suffix}`, from + k, axes)]
        : [{ reference: `c_attn.${suffix}`, score: ours, model: [values], ...(axes && { axes }) }];
    };
    return [
      ...both('weight', 'wq.W', 'wk.W'),
      ...(s.bias ? both('bias', 'bq', 'bk') : []),
      ...(s.qkNorm ? [named('ln_q.weight', `${from}gq`), named('ln_k.weight', `${from}gk`)] : []),
      ...(s.qkNorm && s.bias ? [named('ln_q.bias', `${from}cq`), named('ln_k.bias', `${from}ck`)] : []),
    ];
  },
  problem: (s: MixerSettings) =>
    !s.splitQkv && s.headSize * s.heads !== s.dModel
      ? `--split_qkv=False needs heads of d_model / n_head = ${s.dModel / s.heads}, not --d_qk_head ${s.headSize}`
      : undefined,
};

/** The reference's own loop over a window, in which future keys count too: products of a query, on average. */
function windowProducts(tokens: number, window: number): number {
  const each = Array.from({ length: tokens }, (_, i) => Math.min(tokens, i + window) - Math.max(0, i - window));
  return total(each) / tokens;
}

/** Counts of what begins with `queriesAndKeys`, given the products a token's logits take. */
const lowRankCounts = (s: MixerSettings, logits: number): MixerCounts => ({
  linear: 2 * s.dModel * s.heads * s.headSize,
  logits,
  normed: s.qkNorm ? 2 * s.heads * s.headSize : 0,
});

const lowRankSizes = (s: MixerSettings) => ({
  ...queriesAndKeys.sizes(s),
  d: s.headSize,
  sp_scaling: bit(s.lowRankSpScaling),
  identity_link: bit(s.identityLink),
});

const lowRank: Mixer = {
  file: () => 'attention',
  sizes: lowRankSizes,
  parameters: (s) => queriesAndKeys.parameters(s, ''),
  counts: (s, tokens) => lowRankCounts(s, tokens * s.heads * s.headSize),
  problem: queriesAndKeys.problem,
};

const slidingWindow: Mixer = {
  file: () => 'sliding_window',
  sizes: (s) => ({ ...lowRankSizes(s), w: s.window }),
  parameters: (s) => queriesAndKeys.parameters(s, 'full.'),
  counts: (s, tokens) => lowRankCounts(s, windowProducts(tokens, s.window) * s.heads * s.headSize),
  problem: queriesAndKeys.problem,
};

const alternatingWindow: Mixer = {
  file: () => 'alternating_window',
  sizes: (s) => ({ ...lowRankSizes(s), w: s.window, local: s.hasWindow.map(bit) }),
  parameters: (s) => queriesAndKeys.parameters(s, 'full.'),
  counts: (s, tokens, layer) => (s.hasWindow[layer] ? slidingWindow : lowRank).counts(s, tokens, layer),
  problem: (s) =>
    s.hasWindow.length === s.layers
      ? queriesAndKeys.problem(s)
      : `--sequential_GSWA_layer_list names ${s.hasWindow.length} layers, and --n_layer is ${s.layers}`,
};

const globalSlidingWindow: Mixer = {
  file: () => 'global_sliding_window',
  sizes: (s) => {
    const [global = 0, local = 0] = s.globalAndLocal;
    return { d: s.headSize, w: s.window, global, local, bias: bit(s.bias) };
  },
  parameters: (s) => queriesAndKeys.parameters(s, 'full.'),
  counts: (s, tokens) => {
    const [global = 0, local = 0] = s.globalAndLocal;
    return lowRankCounts(s, s.heads * (tokens * global + windowProducts(tokens, s.window) * local));
  },
  problem: (s) => {
    const { globalAndLocal: ranks, headSize } = s;
    const refuse = (option: string) => `it has no ${option}, in the reference neither`;
    if (!s.splitQkv) return refuse('--split_qkv=False');
    if (!s.qkNorm) return refuse('--do_qk_ln=False');
    if (s.lowRankSpScaling) return refuse('--mha_SP_attn_logits_scaling');
    if (s.identityLink) return refuse('--link_function identity');
    if (ranks.length !== 2)
      return `--gswa_rank_list ${ranks.join('|')} must be two ranks, of the global and the sliding part`;
    if (total(ranks) !== headSize || ranks.includes(0)) {
      return `--gswa_rank_list ${ranks.join('|')} must be two ranks from 1 on that add up to the query and key head, ${headSize}`;
    }
    return undefined;
  },
};

/** Ranks, one a level, that fill a head; what multi_level_low_rank and bilinear_MLR have in common. */
function ranksProblem({ ranks, dModel, heads }: MixerSettings): string | undefined {
  if (ranks === null) return 'give --mlr_rank_list, for example 16|8|4|4';
  if (ranks.includes(0)) return `--mlr_rank_list ${ranks.join('|')}: a rank of 0 divides by zero`;
  return total(ranks) === dModel / heads
    ? undefined
    : `--mlr_rank_list ${ranks.join('|')} adds up to ${total(ranks)}, not to d_model / n_head = ${dModel / heads}`;
}

const multiLevelLowRank: Mixer = {
  file: () => 'mlr_attention',
  sizes: (s) => ({
    ...queriesAndKeys.sizes(s),
    ranks: s.ranks ?? [],
    ...(s.blocks === null ? {} : { blocks: s.blocks }),
    divide_by_levels: bit(s.divideByLevels),
    block_divide: bit(s.blockDivideByLevels),
    identity_link: bit(s.identityLink),
  }),
  parameters: (s) => queriesAndKeys.parameters(s, 'full.'),
  counts: (s, tokens) => {
    const blocks = s.blocks ?? (s.ranks ?? []).map((_, level) => Math.floor(tokens / 2 ** level));
    return lowRankCounts(s, s.heads * total((s.ranks ?? []).map((rank, level) => rank * (blocks[level] ?? 0))));
  },
  problem: (s) => {
    const ranks = ranksProblem(s);
    if (ranks !== undefined) return ranks;
    if (s.headSize * s.heads !== s.dModel) {
      return `--d_qk_head ${s.headSize} must be d_model / n_head = ${s.dModel / s.heads}`;
    }
    if (s.blocks !== null && s.blocks.length !== s.ranks?.length) {
      return `--mlr_block_size_list has ${s.blocks.length} entries, --mlr_rank_list ${s.ranks?.length}`;
    }
    return undefined;
  },
};

const bilinearMlr: Mixer = {
  file: () => 'bilinear_mlr',
  sizes: (s) => ({
    ranks: s.ranks ?? [],
    qk_ln: bit(s.qkNorm),
    mup_scaling: bit(s.bilinearMlrMupScaling),
    divide_by_levels: bit(s.divideByLevels),
    identity_link: bit(s.identityLink),
    bias: bit(s.bias),
  }),
  parameters: (s) =>
    (s.ranks ?? []).flatMap((_, level) =>
      ['q', 'k'].flatMap((side) => [
        named(`bilinear_mlr_w${side}.${level}.weight`, `W${side}.${level}`, [1, 1, 2]),
        ...(s.qkNorm ? [named(`bilinear_mlr_ln_w${side}.${level}.weight`, `g${side}.${level}`, [2])] : []),
        ...(s.qkNorm && s.bias ? [named(`bilinear_mlr_ln_w${side}.${level}.bias`, `c${side}.${level}`, [2])] : []),
      ]),
    ),
  counts: (s, tokens) => {
    const ranks = s.ranks ?? [];
    const scored = s.heads * total(ranks.map((rank, level) => rank * 2 ** level));
    return {
      linear: 2 * s.dModel * s.heads * total(ranks),
      logits: tokens * scored,
      normed: s.qkNorm ? 2 * scored : 0,
    };
  },
  problem: (s) => {
    if (s.ranks === null) return 'give --mlr_rank_list, for example 16|8|4|4';
    if (s.ranks.includes(0)) return `--mlr_rank_list ${s.ranks.join('|')} has a level of rank 0, which scores nothing`;
    const headSize = s.dModel / s.heads;
    const total = s.ranks.reduce((sum, rank) => sum + rank, 0);
    const finest = 2 ** (s.ranks.length - 1);
    if (total !== headSize) {
      return `--mlr_rank_list ${s.ranks.join('|')} adds up to ${total}, not to d_model / n_head = ${headSize}`;
    }
    if (s.dModel % finest !== 0)
      return `${s.ranks.length} levels cut d_model ${s.dModel} into ${finest} parts, unevenly`;
    if (s.blockDivideByLevels) return '--mlr_block_divide_by_num_levels is for multi_level_low_rank only';
    if (!s.splitQkv) return '--split_qkv=False is for the low_rank family only';
    return undefined;
  },
};

const bilinearBtt: Mixer = {
  file: (s) => (s.bttExtraNorm ? 'bilinear_btt_normed' : 'bilinear_btt'),
  sizes: (s) => ({
    s: s.bttRank,
    mup_scaling: bit(s.bttMupScaling),
    causal: bit(s.causal),
    identity_link: bit(s.identityLink),
    bias: bit(s.bias),
  }),
  parameters: (s) => {
    const inner = s.bttExtraNorm ? 'score.' : '';
    return [
      named('bilinear_btt_wk.weight', `${inner}R`, [1, 1, 3]),
      named('bilinear_btt_wq.weight', `${inner}L`, [2, 1, 2]),
      named('bilinear_btt_ln_PLPRXT.weight', `${inner}g`),
      ...(s.bias ? [named('bilinear_btt_ln_PLPRXT.bias', `${inner}e`)] : []),
      ...(s.bttExtraNorm ? [named('bilinear_btt_ln_X.weight', 'gx')] : []),
      ...(s.bttExtraNorm && s.bias ? [named('bilinear_btt_ln_X.bias', 'ex')] : []),
    ];
  },
  counts: (s, tokens) => ({
    linear: s.heads * s.dModel * s.bttRank * total(split(s.dModel)),
    logits: tokens * s.heads * s.dModel,
    normed: s.heads * s.dModel + (s.bttExtraNorm ? s.dModel : 0),
  }),
  problem: (s) => {
    if (!s.qkNorm) return 'its normalisation is always on; --do_qk_ln=False is refused, as in the reference';
    if (!s.splitQkv) return '--split_qkv=False is for the low_rank family only';
    if (s.headSize * s.heads !== s.dModel)
      return `--d_qk_head ${s.headSize} must be d_model / n_head = ${s.dModel / s.heads}`;
    return undefined;
  },
};

export const mixers: Readonly<Record<string, Mixer>> = {
  low_rank: lowRank,
  low_rank_with_sliding_window: slidingWindow,
  low_rank_with_gswa: globalSlidingWindow,
  low_rank_with_sequential_gswa: alternatingWindow,
  multi_level_low_rank: multiLevelLowRank,
  bilinear_MLR: bilinearMlr,
  bilinear_BTT: bilinearBtt,
};
