/**
 * Cached decoding of the language model with each of the seven mixers: the logits of every token are those of the whole text, across
 * the edges of blocks and windows; and what is kept is what the mixer reads.
 */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import type { NdArray } from '../../../compiler/ir/ndarray.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { cacheReport } from '../../../experiments/sampling/cache-report.ts';
import { incrementalModel } from '../../../experiments/sampling/decoder.ts';
import { decodedModel } from '../../../experiments/sampling/run.ts';
import { integers } from '../../support/random-values.ts';
import { tokenByToken, valuesOf } from '../../support/token-by-token.ts';

const vocabulary = 5;
const small = ['--d_model=8', '--n_head=2', '--n_layer=2', '--block_size=12', '--sliding_block_size=3'];

/** Options, and how many tokens back the pasts of the first layer reach, in order. */
const mixers: Readonly<Record<string, readonly [words: readonly string[], lengths: readonly number[]]>> = {
  low_rank: [[], [11, 11]],
  low_rank_with_sliding_window: [[], [3, 3]],
  low_rank_with_gswa: [['--gswa_rank_list=2|2'], [11, 3, 11]],
  low_rank_with_sequential_gswa: [['--sequential_GSWA_layer_list=SWA|MHA'], [3, 3]],
  // Blocks of 12, 6 and 3 tokens.
  multi_level_low_rank: [['--mlr_rank_list=2|1|1'], [11, 5, 2, 11]],
  bilinear_MLR: [['--mlr_rank_list=2|1|1'], [11, 11, 11, 11]],
  bilinear_BTT: [[], [11, 11]],
};

describe('cached decoding', () => {
  test.each(Object.entries(mixers))('%s', (mixer, [words, lengths]) => {
    const { options, sizes } = resolveLm([...small, `--token_mixing_struct=${mixer}`, ...words]);
    const model = decodedModel(options, scoreOf(options, sizes), vocabulary);
    const step = incrementalModel(model);
    const first = step.pasts.filter(({ of }) => of.includes('block.0.'));
    expect(first.map(({ length }) => length)).toEqual(lengths);
    const isParam = ({ source }: (typeof model.program.tensors)[number]) => source.kind === 'param';
    const params = new Map(
      model.program.tensors.filter(isParam).map(({ name }) => [name, valuesOf(model.program, name)]),
    );
    const text = integers([1, 12], 7, vocabulary);
    const whole = interpret(model.program, new Map([...params, ['tokens', text]]), ['logits']).get('logits') as NdArray;
    for (const [t, row] of tokenByToken(step, params, 'tokens', text).entries()) {
      for (const [v, logit] of row.entries()) expect(logit).toBeCloseTo(whole.data[t * vocabulary + v], 8);
    }
    const { bytes, standardBytes } = cacheReport(model, options);
    if (/window|sequential|multi_level/.test(mixer)) expect(bytes).toBeLessThan(standardBytes);
    if (mixer === 'low_rank') expect(bytes).toBe(standardBytes);
  });
});
