/** `mlbtc train NAME --help`: what the command does, a few lines to copy, and the option table as it stands. */
import { presetNames } from '../library.ts';
import type { OptionSet } from './set.ts';
import { type OptionRow, type OptionTable, showValue } from './table.ts';

export function optionsHelp({ name, intro, groups, aliases }: OptionSet<OptionTable>): string {
  const presets = presetNames(name);
  const lines = [
    `mlbtc train ${name} [OPTIONS]`,
    '',
    ...intro,
    '',
    'A score is a .mlbtc structure with one input (batch, tokens, D) and one output (batch, heads, tokens, tokens), whatever',
    'their names. Sizes that it calls D, H, T, layer, layers, block_size and causal are those of the model, where it declares them;',
    'others, and consts, are given with -s NAME=VALUE.',
    'Names may be written with - or _; a flag as --x, --x=True, --x=False or --no-x; a list as 16|8|4|4.',
    '',
    'Start from',
    ...(presets.length === 0 ? [] : [row('preset NAME', `options from a file: ${presets.join(', ')}`)]),
    row('config FILE', "options from a run's config.yaml"),
    row('s NAME=VALUE', 'a size of the structure, of a filled slot mlp_up.rank=8; lists as ranks=[4,2,2]'),
  ];
  for (const [group, options] of Object.entries(groups)) {
    lines.push('', group);
    for (const [option, optionRow] of Object.entries(options))
      lines.push(optionLine(group, option, optionRow, aliases));
  }
  return `${lines.join('\n')}\n`;
}

function optionLine(
  group: string,
  name: string,
  { fallback, choices, help }: OptionRow<unknown>,
  aliases: Readonly<Record<string, string>>,
): string {
  const short = Object.entries(aliases).filter(([, to]) => to === name);
  const also = short.length > 0 ? ` (also --${short.map(([from]) => from).join(', --')})` : '';
  const standing = fallback === undefined ? ' [must be given]' : ` [${showValue(fallback)}]`;
  const listed = choices === undefined ? '' : ` {${choices.join(', ')}}`;
  return row(name, `${help}${also}${listed}${group === 'Ignored' ? '' : standing}`);
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
