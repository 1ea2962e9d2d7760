/** What `--slot` and `-s` say of the models' linear maps, and what a run keeps of it. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { filledSlots } from '../../../experiments/options/maps.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const always = () => true;
const filled = (words: readonly string[], sizes = {}, hasOwn: (slot: string) => boolean = always) => {
  const { files, sizes: named, others } = filledSlots(words, sizes, hasOwn);
  return { files: Object.fromEntries(files), sizes: named, others };
};

describe('slots', () => {
  test('one, and all that are there', () => {
    expect(filled(['mlp_up=btt']).files).toEqual({ Mlp_up: 'btt' });
    expect(filled(['linear=btt', 'Q=dense']).files).toEqual({
      'Score.Q': 'dense',
      'Score.K': 'btt',
      Values: 'btt',
      Attn_out: 'btt',
      Mlp_up: 'btt',
      Mlp_down: 'btt',
    });
    expect(Object.keys(filled(['linear=btt'], {}, () => false).files)).toEqual([
      'Values',
      'Attn_out',
      'Mlp_up',
      'Mlp_down',
    ]);
  });

  test('sizes of a map come before those of all, and the score keeps its own', () => {
    const sizes = { 'linear.s': 2, 'mlp_up.s': 3, ranks: [4], 'part.rank': 5 };
    const { sizes: named, others } = filled(['linear=btt'], sizes, () => false);
    expect(named).toEqual({ 'Values.s': 2, 'Attn_out.s': 2, 'Mlp_up.s': 3, 'Mlp_down.s': 2 });
    expect(others).toEqual({ ranks: [4], 'part.rank': 5 });
  });

  test.each([
    [['up=btt'], {}, /there is no map up/],
    [['mlp_upp=btt'], {}, /did you mean mlp_up\?/],
    [['mlp_up=btt'], { 'mlp_down.s': 2 }, /-s mlp_down\.s: nothing fills mlp_down/],
    [['mlp_up=btt'], { 'linear.s': 2 }, /nothing fills linear/],
  ])('%j %j is refused', (words, sizes, message) => {
    expect(() => filled(words, sizes)).toThrow(message);
  });

  test('queries of a score that has no slot for them are refused, and an unknown structure', () => {
    const score = (...words: string[]) => {
      const { options, sizes } = resolveLm(['--d_model=16', '--n_head=2', ...words]);
      return () => scoreOf(options, sizes);
    };
    expect(score('--slot=q=btt')).not.toThrow();
    expect(score('--token_mixing_struct=bilinear_BTT', '--slot=q=btt')).toThrow(/the score has no slot Q/);
    expect(score('--slot=mlp_up=bt')).toThrow(/the library has no bt; did you mean btt\?/);
    expect(() => resolveLm(['--slot=btt'])).toThrow(/must be SLOT=STRUCTURE/);
  });
});

test('given one by one they go together; a file of one’s own is copied beside the score', () =>
  inFolder((folder) => {
    const file = join(folder, 'mine.mlbtc');
    writeFiles(folder, {
      'mine.mlbtc': `structure Mine {
  size I, O
  axis b: B, i: I, o: O
  input x[b, i]
  param W[o, i] ~ normal(fan_in = i)
  y[b, o] = W[o, i] * x[b, i]
  output y
}
`,
    });
    const { options, sizes } = resolveLm([
      '--d_model=16',
      '--n_head=2',
      `--slot=mlp_up=${file}`,
      '--slot',
      'values=btt',
    ]);
    expect(options.slot).toEqual([`mlp_up=${file}`, 'values=btt']);
    const score = scoreOf(options, sizes);
    expect([...score.maps.slots.keys()]).toEqual(['Values', 'Mlp_up']);
    expect([...score.files.keys()].sort()).toEqual(['attention.mlbtc', 'btt.mlbtc', 'dense.mlbtc', 'mine.mlbtc']);
    expect(score.files.get('attention.mlbtc')).toContain('= "dense.mlbtc"');
  }));
