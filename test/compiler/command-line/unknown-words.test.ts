import { Command } from 'commander';
import { expect, test } from 'vitest';
import { knownWords } from '../../../compiler/command-line/unknown-words.ts';

function program(): Command {
  const made = new Command('tool');
  const train = made.command('train');
  train.command('icl');
  train.command('lm');
  made.command('data').command('prepare').requiredOption('--out <dir>');
  made.command('doctor').argument('[what]').option('--eval-iters <n>').option('--top_k <n>').option('--text <text>');
  return made;
}

test.each([
  [['trian'], "unknown command 'trian'\n  help: did you mean `tool train`?"],
  [['train', 'ilc'], "unknown command 'ilc'\n  help: did you mean `tool train icl`?"],
  [['lm', '--x'], "unknown command 'lm'\n  help: did you mean `tool train lm`?"],
  [['near.mlbtc'], 'help: `mlbtcc check near.mlbtc` says whether the file is right; there are train, data, doctor'],
  [['data', 'tell'], "unknown command 'tell'\n  help: there are prepare"],
  [['data', 'prepare', '--outt', 'a'], "unknown option '--outt'\n  help: did you mean --out?"],
])('%j', (words, told) => {
  expect(() => knownWords(program(), words)).toThrow(told);
});

test.each([[[]], [['train']], [['train', 'icl', 'x']], [['doctor', 'x']], [['help', 'train']], [['data', '--help']]])(
  'nothing about %j',
  (words) => {
    expect(() => knownWords(program(), words)).not.toThrow();
  },
);

test('- and _ are one letter in the name of an option, and letters in values', () => {
  const words = ['doctor', '--eval_iters=a_b', '--top-k', '3', '--text', '--top-k', 'x_y', '--un_known'];
  const known = ['doctor', '--eval-iters=a_b', '--top_k', '3', '--text', '--top-k', 'x_y', '--un_known'];
  expect(knownWords(program(), words)).toEqual(known);
});
