/**
 * The built-in scores of the attention: for each name of the reference, the library file, the sizes that the options ask for,
 * and how the reference's parameters are called in that file. The only TypeScript that knows a mixer by name.
 *
 * The trap: a parameter's elements lie in the same order in both (that is how the library files were written), but names and
 * shapes differ, and one of the reference's may hold several of ours one after the other (`c_attn`: queries, keys, values).
 */

export interface MixerSettings {
  readonly dModel: number;
  readonly heads: number;
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
  readonly bttRank: number;
  readonly bttMupScaling: boolean;
  readonly bttExtraNorm: boolean;
}

export type SizeValue = number | readonly number[];

/** A parameter of the reference's attention module and ours that hold its elements, in order. */
export interface ParameterNames {
  readonly reference: string;
  readonly score: readonly string[];
  /** Params of the model that follow those of the score. */
  readonly model?: readonly string[];
}

export interface Mixer {
  /** Library file, by bare name. */
  readonly file: (settings: MixerSettings) => string;
  /** Sizes beside D, H and T. */
  readonly sizes: (settings: MixerSettings) => Readonly<Record<string, SizeValue>>;
  readonly parameters: (settings: MixerSettings) => readonly ParameterNames[];
  /** Why these settings cannot be built; undefined where they can. */
  readonly problem: (settings: MixerSettings) => string | undefined;
}

const bit = (value: boolean): number => (value ? 1 : 0);
const named = (reference: string, ...score: readonly string[]): ParameterNames => ({ reference, score });

const lowRank: Mixer = {
  file: () => 'attention',
  sizes: (s) => ({
    d: s.headSize,
    qk_ln: bit(s.qkNorm),
    sp_scaling: bit(s.lowRankSpScaling),
    identity_link: bit(s.identityLink),
    bias: bit(s.bias),
  }),
  parameters: (s) => [
    ...(s.splitQkv
      ? [named('c_attn_q.weight', 'Wq'), named('c_attn_k.weight', 'Wk')]
      : [{ reference: 'c_attn.weight', score: ['Wq', 'Wk'], model: ['values'] }]),
    ...(s.qkNorm ? [named('ln_q.weight', 'gq'), named('ln_k.weight', 'gk')] : []),
    ...(s.bias && s.splitQkv ? [named('c_attn_q.bias', 'bq'), named('c_attn_k.bias', 'bk')] : []),
    ...(s.bias && !s.splitQkv ? [{ reference: 'c_attn.bias', score: ['bq', 'bk'], model: ['values_bias'] }] : []),
    ...(s.bias && s.qkNorm ? [named('ln_q.bias', 'cq'), named('ln_k.bias', 'ck')] : []),
  ],
  problem: (s) =>
    !s.splitQkv && s.headSize * s.heads !== s.dModel
      ? `--split_qkv=False needs heads of d_model / n_head = ${s.dModel / s.heads}, not --d_qk_head ${s.headSize}`
      : undefined,
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
        named(`bilinear_mlr_w${side}.${level}.weight`, `W${side}.${level}`),
        ...(s.qkNorm ? [named(`bilinear_mlr_ln_w${side}.${level}.weight`, `g${side}.${level}`)] : []),
        ...(s.qkNorm && s.bias ? [named(`bilinear_mlr_ln_w${side}.${level}.bias`, `c${side}.${level}`)] : []),
      ]),
    ),
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
      named('bilinear_btt_wk.weight', `${inner}R`),
      named('bilinear_btt_wq.weight', `${inner}L`),
      named('bilinear_btt_ln_PLPRXT.weight', `${inner}g`),
      ...(s.bias ? [named('bilinear_btt_ln_PLPRXT.bias', `${inner}e`)] : []),
      ...(s.bttExtraNorm ? [named('bilinear_btt_ln_X.weight', 'gx')] : []),
      ...(s.bttExtraNorm && s.bias ? [named('bilinear_btt_ln_X.bias', 'ex')] : []),
    ];
  },
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
  bilinear_MLR: bilinearMlr,
  bilinear_BTT: bilinearBtt,
};

/** Names of the reference that are known but not there yet. */
export const laterMixers: readonly string[] = [
  'multi_level_low_rank',
  'low_rank_with_sliding_window',
  'low_rank_with_gswa',
  'low_rank_with_sequential_gswa',
];
