import { expect, test } from 'vitest';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';

const { options } = resolveLm(['--d_model=16', '--n_head=2', '--n_layer=3']);

test.each([
  [{ D: 8 }, "-s D=8: D is the model's, which --d_model 16 says"],
  [{ H: 4 }, "-s H=4: H is the model's, which --n_head 2 says"],
  [{ layers: 1 }, "-s layers=1: layers is the model's, which --n_layer 3 says"],
])('a size of the model cannot be another for the score: %j', (sizes, message) => {
  expect(() => scoreOf(options, sizes)).toThrow(message);
});

test('it may be said as it is, and sizes of the score as one likes', () => {
  expect(scoreOf(options, { D: 16, qk_ln: 0 }).sizes).toMatchObject({ D: 16, qk_ln: 0 });
});
