/** The language model beside its golden cases: where it starts, and what is not asked for. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { languageModelProgram } from '../../../experiments/models/model.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { initialValue, paramsOf } from '../../../experiments/training/mup.ts';

const vocabulary = 11;
const tokens = 8;

/** Loss and logits of fewer or all of the tokens that the model takes. */
function valuesOf(targets: readonly number[], headScale: number, ...words: string[]) {
  const { options, sizes } = resolveLm([
    `--d_model=16`,
    '--n_head=2',
    '--n_layer=2',
    `--block_size=${tokens}`,
    ...words,
  ]);
  const shape = { batch: 1, tokens: targets.length, vocabulary, positions: tokens };
  const program = languageModelProgram(options, scoreOf(options, sizes), shape);
  const values = new Map(
    paramsOf(program).map((param) => {
      const start = initialValue(param, 3);
      const drawn = param.name === 'lm_head' ? start.map((_, i) => headScale * Math.sin(i)) : start;
      // What starts at zero shall take part.
      const isMap = /attn_out|mlp_down/.test(param.name);
      return [param.name, ndarray(param.shape, isMap ? start.map((_, i) => 0.3 * Math.cos(i)) : drawn)];
    }),
  );
  const read = Int32Array.from(targets, (_, i) => (3 * i) % vocabulary);
  values.set('tokens', ndarray([1, targets.length], read));
  values.set('targets', ndarray([1, targets.length], Int32Array.from(targets)));
  const found = interpret(program, values);
  return { loss: found.get('loss')?.data[0] as number, logits: [...(found.get('logits')?.data ?? [])] };
}

function lossOf(targets: readonly number[], headScale: number, ...words: string[]): number {
  return valuesOf(targets, headScale, ...words).loss;
}

const targets = [1, 2, 3, 4, 5, 6, 7, 8];

describe.each([
  ['--token_mixing_struct=low_rank'],
  ['--token_mixing_struct=low_rank_with_sliding_window', '--sliding_block_size=2'],
  ['--token_mixing_struct=low_rank_with_gswa', '--gswa_rank_list=5|3'],
  ['--token_mixing_struct=low_rank_with_sequential_gswa', '--sequential_GSWA_layer_list=MHA|SWA'],
  ['--token_mixing_struct=multi_level_low_rank', '--mlr_rank_list=4|2|2'],
  ['--token_mixing_struct=bilinear_MLR', '--mlr_rank_list=4|2|2'],
  ['--token_mixing_struct=bilinear_BTT'],
])('%s', (...words) => {
  test('starts at the logarithm of the vocabulary', () => {
    expect(lossOf(targets, 0, ...words)).toBeCloseTo(Math.log(vocabulary), 12);
  });

  test('gives a token the same logits whatever follows it, blocks that are not full included', () => {
    const { logits: all } = valuesOf(targets, 1, ...words);
    for (const some of [5, 1]) {
      const { logits } = valuesOf(targets.slice(0, some), 1, ...words);
      expect(logits).toHaveLength(some * vocabulary);
      for (const [i, value] of logits.entries()) expect(value).toBeCloseTo(all[i] as number, 10);
    }
  });

  test('a target of -1 is not asked for, and counts for nothing', () => {
    const one = (place: number): number =>
      lossOf(
        targets.map((target, t) => (t === place ? target : -1)),
        1,
        ...words,
      );
    const two = lossOf([1, -1, -1, 4, -1, -1, -1, -1], 1, ...words);
    expect(two).toBeCloseTo((one(0) + one(3)) / 2, 12);
  });
});

describe('a score of several levels', () => {
  const mlr = (...words: string[]) => lossOf(targets, 1, '--token_mixing_struct=multi_level_low_rank', ...words);

  test('may have blocks that are given', () => {
    expect(mlr('--mlr_rank_list=4|4', '--mlr_block_size_list=8|4')).toBeCloseTo(mlr('--mlr_rank_list=4|4'), 12);
    expect(mlr('--mlr_rank_list=6|2', '--mlr_block_size_list=8|2')).not.toBeCloseTo(mlr('--mlr_rank_list=6|2'), 6);
  });

  test.each([
    [['--mlr_rank_list=4|4', '--mlr_block_size_list=8|3'], /the blocks of a level must fill block_size.*n = 3/],
    [['--mlr_rank_list=2|6', '--mlr_block_size_list=8|4'], /a block must be no smaller than its rank/],
    [
      ['--mlr_rank_list=4|4', '--mlr_block_size_list=4|4', '--mlr_block_divide_by_num_levels'],
      /one level must hold all tokens/,
    ],
  ])('%j is refused', (words, message) => {
    expect(() => mlr(...words)).toThrow(message);
  });
});
