/**
 * What a command line asks for and no command has, told before anything that is missing: the misspelt option is likely the missing
 * one, and commander looks for what is missing first. Of a command that is not there it says what else is. As in the options of
 * training, `-` and `_` are one letter in an option's name.
 */
import type { Command } from 'commander';
import { closest } from '../syntax/suggest.ts';
import { UsageError } from './errors.ts';

/**
 * `args`, without node and script, with options spelt as their command has them. Throws UsageError; an unknown option where no option is
 * missing is left to commander.
 */
export function knownWords(program: Command, args: readonly string[]): readonly string[] {
  let command = program;
  let at = 0;
  for (; at < args.length; at++) {
    const inner = command.commands.find((c) => c.name() === args[at]);
    if (inner === undefined) break;
    command = inner;
  }
  const word = args[at];
  if (word === 'help') return args;
  if (command.commands.length > 0 && word !== undefined && !word.startsWith('-')) throw unknownCommand(command, word);
  return [...args.slice(0, at), ...knownOptions(command, args.slice(at))];
}

function unknownCommand(command: Command, word: string): UsageError {
  const names = command.commands.map((c) => c.name());
  const near = closest(word, names);
  const parent = command.commands.find((c) => c.commands.some((inner) => inner.name() === word));
  const meant = parent === undefined ? near : (near ?? `${parent.name()} ${word}`);
  const known = meant === undefined ? `there are ${names.join(', ')}` : `did you mean \`${pathOf(command)} ${meant}\`?`;
  const help = word.endsWith('.mlbtc') ? `\`mlbtcc check ${word}\` says whether the file is right; ${known}` : known;
  return new UsageError(`unknown command '${word}'\n  help: ${help}`);
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function knownOptions(command: Command, args: readonly string[]): readonly string[] {
  const words = [...args];
  const given = new Set<string>();
  let unknown: string | undefined;
  for (let at = 0; at < words.length && words[at] !== '--'; at++) {
    const [flag = ''] = words[at].split('=');
    if (flag === '--help' || flag === '-h') return words;
    if (!/^-[^\d]/.test(flag)) continue;
    const option = command.options.find(({ long, short }) =>
      flag.startsWith('--') ? sameName(flag, long ?? '') : flag.slice(0, 2) === short,
    );
    if (option === undefined) unknown ??= flag;
    else {
      given.add(option.name());
      const takesNext = flag === words[at] && (flag.startsWith('--') || flag.length === 2) && option.required;
      if (flag.startsWith('--')) words[at] = `${option.long}${words[at].slice(flag.length)}`;
      if (takesNext) at++;
    }
  }
  const isMissing = command.options.some((option) => option.mandatory && !given.has(option.name()));
  if (unknown === undefined || !isMissing) return words;
  const flags = command.options.flatMap(({ long }) => (long === undefined ? [] : [long]));
  const near = closest(unknown, flags);
  const suggestion = near === undefined ? '' : `\n  help: did you mean ${near}?`;
  throw new UsageError(`unknown option '${unknown}'${suggestion}`);
}

function sameName(flag: string, known: string): boolean {
  return flag.slice(2).replaceAll('-', '_') === known.slice(2).replaceAll('-', '_');
}
