import { Command } from 'commander';
import { expect, test } from 'vitest';
import { refuseUnknownWords } from '../../../compiler/command-line/unknown-words.ts';

function program(): Command {
  const made = new Command('tool');
  const train = made.command('train');
  train.command('icl');
  train.command('lm');
  made.command('data').command('prepare').requiredOption('--out <dir>');
  made.command('doctor').argument('[what]');
  return made;
}

test.each([
  [['trian'], "unknown command 'trian'\n  help: did you mean `tool train`?"],
  [['train', 'ilc'], "unknown command 'ilc'\n  help: did you mean `tool train icl`?"],
  [['lm', '--x'], "unknown command 'lm'\n  help: did you mean `tool train lm`?"],
  [['data', 'tell'], "unknown command 'tell'\n  help: there are prepare"],
  [['data', 'prepare', '--outt', 'a'], "unknown option '--outt'\n  help: did you mean --out?"],
])('%j', (words, told) => {
  expect(() => refuseUnknownWords(program(), words)).toThrow(told);
});

test.each([[[]], [['train']], [['train', 'icl', 'x']], [['doctor', 'x']], [['help', 'train']], [['data', '--help']]])(
  'nothing about %j',
  (words) => {
    expect(() => refuseUnknownWords(program(), words)).not.toThrow();
  },
);
