/**
 * An option that a command does not have is told before one that is missing: the misspelt one is likely the missing one, and
 * commander looks for what is missing first.
 */
import type { Command } from 'commander';
import { closest } from '../syntax/suggest.ts';
import { UsageError } from './errors.ts';

/** `args` without node and script. Throws UsageError; says nothing where no option is missing, as commander then tells it. */
export function refuseUnknownOptions(program: Command, args: readonly string[]): void {
  let command = program;
  let at = 0;
  for (; at < args.length; at++) {
    const inner = command.commands.find((c) => c.name() === args[at]);
    if (inner === undefined) break;
    command = inner;
  }
  const given = new Set<string>();
  let unknown: string | undefined;
  for (; at < args.length && args[at] !== '--'; at++) {
    const [flag = ''] = (args[at] ?? '').split('=');
    if (flag === '--help' || flag === '-h') return;
    if (!/^-[^\d]/.test(flag)) continue;
    const option = command.options.find(({ long, short }) =>
      flag.startsWith('--') ? flag === long : flag.slice(0, 2) === short,
    );
    if (option === undefined) unknown ??= flag;
    else {
      given.add(option.name());
      const takesNext = flag === args[at] && (flag.startsWith('--') || flag.length === 2) && option.required;
      if (takesNext) at++;
    }
  }
  const isMissing = command.options.some((option) => option.mandatory && !given.has(option.name()));
  if (unknown === undefined || !isMissing) return;
  const flags = command.options.flatMap(({ long }) => (long === undefined ? [] : [long]));
  const near = closest(unknown, flags);
  const suggestion = near === undefined ? '' : `\n  help: did you mean ${near}?`;
  throw new UsageError(`unknown option '${unknown}'${suggestion}`);
}
