/**
 * `mlbtcc check`: diagnostics and nothing else. They go to standard output, since they are the result; warnings do not fail.
 *
 * A size that nothing binds is no mistake here: what depends on it is postponed. The trap: a library of several structures has
 * mistakes in those that its last one does not use, so every structure of the file is looked at.
 */
import type { Command } from 'commander';
import { sourceFiles } from '../command-line/files.ts';
import type { CommandIo } from '../command-line/io.ts';
import { type SizeBindings, sizeOption } from '../command-line/size-options.ts';
import { readSlots, type SlotBindings, slotOption } from '../command-line/slot-options.ts';
import { jsonText } from '../emit/json.ts';
import { analyse } from '../semantics/analyse.ts';
import type { Diagnostic, Source } from '../syntax/diagnostic.ts';
import { renderDiagnostics, toJson } from '../syntax/render.ts';

const help = `
Examples:
  mlbtcc check btt.mlbtc                     names, ranks, and sizes as far as defaults settle them
  mlbtcc check btt.mlbtc -s D=100            and with this D
  mlbtcc check *.mlbtc --json                a list of {code, severity, file, line, column, message, help}

Exit status 1 if there is any error; warnings alone give 0.`;

interface Options {
  readonly size?: SizeBindings;
  readonly slot?: SlotBindings;
  readonly json?: boolean;
  readonly structure?: string;
}

export function registerCheck(program: Command, io: CommandIo): void {
  program
    .command('check')
    .summary('find mistakes')
    .description(
      'Finds mistakes: syntax, names, ranks, sizes, bounds. What depends on a size without a value is left open.',
    )
    .argument('<file...>', 'files to check')
    .option('--structure <name>', 'only this structure of the file (default: all)')
    .addOption(sizeOption())
    .addOption(slotOption())
    .option('--json', 'as data')
    .addHelpText('after', help)
    .action((paths: string[], { size, slot, json, structure }: Options) => {
      const results = paths.map((path) => checkFile(path, { sizes: size ?? {}, slots: slot ?? {}, structure }));
      const diagnostics = results.flatMap((result) => result.diagnostics);
      if (json) {
        const list = results.flatMap((result) => result.diagnostics.map((d) => toJson(d, result.sources)));
        io.out(jsonText(list));
      } else {
        const sources = [...new Map(results.flatMap((r) => r.sources).map((s) => [s.file, s])).values()];
        io.out(renderDiagnostics(diagnostics, sources));
      }
      if (diagnostics.some(({ severity }) => severity === 'error')) io.exitCode = 1;
    });
}

function checkFile(
  path: string,
  {
    sizes,
    slots,
    structure,
  }: { readonly sizes: SizeBindings; readonly slots: SlotBindings; readonly structure: string | undefined },
): { readonly diagnostics: readonly Diagnostic[]; readonly sources: readonly Source[] } {
  const files = sourceFiles();
  const source = files.read(path);
  if ('diagnostic' in source) return { diagnostics: [source.diagnostic], sources: [] };
  const chosen = structure === undefined ? {} : { structure };
  const { resolve } = files;
  return analyse({ source, resolve, sizes, slots: readSlots(slots, files), unbound: 'postpone', ...chosen });
}
