/** Scores that see the future are refused before training, by the model's whole program; those that do not are not. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkCausal, checkLmCausal } from '../../../experiments/models/causal.ts';
import { languageModelProgram } from '../../../experiments/models/model.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';

const folder = mkdtempSync(join(tmpdir(), 'mlbtc-causal-'));

/** What the check returns for the tiny model with these options; its message where it throws. */
function checked(...words: string[]): string | undefined {
  const { options, sizes } = resolveIcl(['--preset=tiny', '--n_dims=4', '--d_model=16', '--n_layer=2', ...words]);
  try {
    return checkCausal(options, scoreOf(options, sizes), [4]);
  } catch (error) {
    return (error as Error).message;
  }
}

function withScore(body: string, ...words: string[]): string | undefined {
  const path = join(folder, 'mine.mlbtc');
  const text = `structure Mine {
  size D = 16, H = 2, T
  axis b: B, t, u: T, i: D, h: H, r: D / H
  input x[b, t, i]
  param Q[h, r, i] ~ normal(fan_in = i)
  param K[h, r, i] ~ normal(fan_in = i)
  q[b, h, t, r] = Q[h, r, i] * x[b, t, i]
  k[b, h, t, r] = K[h, r, i] * x[b, t, i]
  S[b, h, t, u] = q[b, h, t, r] * k[b, h, u, r]
  ${body}
}
`;
  writeFileSync(path, text);
  return checked(`--structure=${path}`, ...words)?.replace(`${folder}/`, '');
}

describe('a score of one’s own', () => {
  const open = 'A[b, h, t, u] = softmax[u](S[b, h, t, u])\n  output A';

  test('that sees all tokens is refused, with the equation', () => {
    expect(withScore(open)).toMatch(
      /^mine\.mlbtc:10:19: error E0801: the score looks ahead: token \d+ sees token \d+,.*\n {2}10 \| {3}A\[b, h, t, u\] = softmax.*\n.*\^\^.*\n {2}help: .*`where u <= t`.*--allow_noncausal/,
    );
    expect(withScore(open, '--allow_noncausal')).toMatch(/sees later tokens \(--allow_noncausal\)/);
  });

  test.each([
    ['no softmax: the weights themselves', 'A[b, h, t, u] = S[b, h, t, u]\n  output A', 10],
    ['weights that say nothing of the tokens', 'A[b, h, t, u] = 1 / T\n  output A', 10],
    [
      'values that look ahead',
      'A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)\n  X[b, t, i] = x[b, t, i] - mean[t](x[b, t, i])\n  output A, X',
      11,
    ],
    ['the next token alone', 'A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t + 1)\n  output A', 10],
  ])('%s', (_, body, line) => {
    expect(withScore(body)).toMatch(new RegExp(`^mine\\.mlbtc:${line}:\\d+: error E0801`));
  });

  test.each([
    ['masked', 'A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)\n  output A'],
    [
      'masked by a large negative number',
      'A[b, h, t, u] = softmax[u](select(u <= t, S[b, h, t, u], -1e9))\n  output A',
    ],
    ['identity link', 'A[b, h, t, u] = S[b, h, t, u] / T where u <= t\n  output A'],
    [
      'causal values',
      'A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)\n  X[b, t, i] = x[b, t, i] - mean[u](x[b, u, i] where u <= t)\n  output A, X',
    ],
  ])('%s is let through', (_, body) => {
    expect(withScore(body)).toBeUndefined();
  });
});

test('near.mlbtc and the built-in scores are let through, as structures of one’s own as well', () => {
  expect(checked('--structure=docs/near.mlbtc')).toBeUndefined();
  expect(checked('--token_mixing_struct=low_rank')).toBeUndefined();
  const library = (name: string, ...sizes: string[]) =>
    checked(`--structure=experiments/structures/${name}.mlbtc`, ...sizes.flatMap((size) => ['-s', size]));
  expect(library('attention')).toBeUndefined();
  expect(library('sliding_window', 'w=2')).toBeUndefined();
  expect(library('linear_attention')).toBeUndefined();
  expect(library('bilinear_mlr', 'ranks=[4,2,2]')).toBeUndefined();
  expect(library('bilinear_btt')).toBeUndefined();
  expect(library('mlr_attention', 'ranks=[4,2,2]', 'block_size=8', 'block_divide=1')).toBeUndefined();
});

test.each([
  ['the reference’s causal=False', '--token_mixing_struct=bilinear_BTT', '--causal=False'],
  ['a size of a built-in score', '--token_mixing_struct=low_rank', '-s', 'causal=0'],
  ['a size of a library file', '--structure=experiments/structures/bilinear_btt.mlbtc', '-s', 'causal=0'],
])('%s is refused with what would mend it, unless it is insisted on', (_, ...words) => {
  expect(checked(...words)).toMatch(
    /mlbtc:\d+:\d+: error E0801: the score looks ahead[\s\S]*help: its size `causal` is 0: leave it at 1, or insist with --allow_noncausal/,
  );
  expect(checked(...words, '--allow_noncausal')).toMatch(/sees later tokens \(--allow_noncausal\)/);
});

test('another size that opens a built-in score is refused too, and one that does not is let through', () => {
  const mixer = '--token_mixing_struct=multi_level_low_rank';
  expect(checked(mixer, '--mlr_rank_list=4|4', '-s', 'ahead=1')).toMatch(/error E0801/);
  expect(checked(mixer, '--mlr_rank_list=4|4', '-s', 'divide_by_levels=1')).toBeUndefined();
});

test('a language model is asked in the same way', () => {
  const asked = (...words: string[]): string | undefined => {
    const { options, sizes } = resolveLm(['--d_model=16', '--n_head=2', '--n_layer=2', '--block_size=6', ...words]);
    const score = scoreOf(options, sizes);
    const shape = { batch: 1, tokens: 6, vocabulary: 5, positions: 6 };
    try {
      return checkLmCausal(options, score, languageModelProgram(options, score, shape));
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(asked('--structure=docs/near.mlbtc')).toBeUndefined();
  expect(asked('--token_mixing_struct=low_rank')).toBeUndefined();
  expect(asked('--token_mixing_struct=low_rank', '-s', 'causal=0')).toMatch(/attention\.mlbtc:\d+:\d+: error E0801/);
  expect(asked('--token_mixing_struct=bilinear_BTT', '--causal=False')).toMatch(/error E0801/);
  const open = ['--structure=experiments/structures/bilinear_btt.mlbtc', '-s', 'causal=0'];
  expect(asked(...open)).toMatch(/bilinear_btt\.mlbtc:\d+:\d+: error E0801: the score looks ahead: token \d+ sees/);
  expect(asked(...open, '--allow_noncausal')).toMatch(/sees later tokens/);
});
