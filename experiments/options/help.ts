/** `mlbtc train icl --help`: what the command does, a few lines to copy, and the option table as it stands. */
import { presetNames } from '../library.ts';
import { iclAliases, iclGroups } from './icl.ts';
import { type OptionRow, showValue } from './table.ts';

export function iclHelp(): string {
  const lines = [
    'mlbtc train icl [OPTIONS]',
    '',
    'Trains a transformer to do linear regression in context: it reads x1 y1 x2 y2 … and predicts each y from those before it.',
    'The weights of its attention come from a built-in score or from a structure of yours. Everything runs on the GPU, or on a',
    'software device where there is none; `mlbtc doctor` tells which.',
    '',
    'Examples',
    '  mlbtc train icl --preset tiny                            a small model, two minutes on two cores',
    '  mlbtc train icl --preset tiny --token-mixing-struct low_rank --steps 500',
    '  mlbtc train icl --preset tiny --structure mine.mlbtc -s rank=4',
    '  mlbtc train icl --config runs/icl/config.yaml            the same run again',
    '',
    'A score is a .mlbtc structure with one input (batch, tokens, D) and one output (batch, heads, tokens, tokens), whatever',
    'their names. Sizes that it calls D, H and T are bound to the model; others are given with -s NAME=VALUE.',
    'Names may be written with - or _; a flag as --x, --x=True, --x=False or --no-x; a list as 16|8|4|4.',
    '',
    'Start from',
    row('preset NAME', `options from a file: ${presetNames().join(', ')}`),
    row('config FILE', "options from a run's config.yaml"),
    row('s NAME=VALUE', 'a size of the structure (-s); lists as ranks=[4,2,2]'),
  ];
  for (const [group, options] of Object.entries(iclGroups)) {
    lines.push('', group);
    for (const [name, option] of Object.entries(options) as [string, OptionRow<unknown>][]) {
      const short = Object.entries(iclAliases).filter(([, to]) => to === name);
      const also = short.length > 0 ? ` (also --${short.map(([from]) => from).join(', --')})` : '';
      const fallback = option.fallback === undefined ? ' [must be given]' : ` [${showValue(option.fallback)}]`;
      const choices = option.choices === undefined ? '' : ` {${option.choices.join(', ')}}`;
      lines.push(row(name, `${option.help}${also}${choices}${group === 'Ignored' ? '' : fallback}`));
    }
  }
  return `${lines.join('\n')}\n`;
}

const helpWidth = 118;
const nameWidth = 40;

/** Name on the left, text on the right, wrapped. */
function row(name: string, text: string): string {
  const wrapped: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && nameWidth + line.length + 1 + word.length > helpWidth) {
      wrapped.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  wrapped.push(line);
  const left = `  ${name.length === 0 ? '' : name.startsWith('s ') ? '-' : '--'}${name}`;
  const head = left.length < nameWidth ? left.padEnd(nameWidth) + wrapped.shift() : left;
  return [head, ...wrapped.map((part) => ' '.repeat(nameWidth) + part)].join('\n');
}
