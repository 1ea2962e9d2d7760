/**
 * `mlbtcc fmt`: files in the one layout, in place. What cannot be read is not touched.
 *
 * The trap: a file is written only if it changes, and as a whole or not at all, so that an editor or a build beside it never
 * sees half of it; and a pipe has no place where its text could be put back.
 */
import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { writeFileAtomically } from '../command-line/atomic-file.ts';
import { UserError } from '../command-line/errors.ts';
import { decode, sourceFiles } from '../command-line/files.ts';
import type { CommandIo } from '../command-line/io.ts';
import { formatSource } from '../syntax/format.ts';
import { renderDiagnostics } from '../syntax/render.ts';

const help = `
Examples:
  mlbtcc fmt btt.mlbtc mlr.mlbtc        lays both out, in place
  mlbtcc fmt --check structures/*.mlbtc lists the files that are not laid out so, exit 1 if there are any
  mlbtcc fmt - < btt.mlbtc              from standard input to standard output

A file with mistakes in its syntax is not touched; they are printed, exit 1.`;

export function registerFmt(program: Command, io: CommandIo): void {
  program
    .command('fmt')
    .summary('lay files out in the one layout')
    .description('Lays files out in the one layout, in place, and keeps their comments.')
    .argument('<file...>', 'files to lay out; - is standard input')
    .option('--check', 'change nothing; list the files that would change and exit with 1 if there are any')
    .addHelpText('after', help)
    .action((files: string[], options: { check?: boolean }) => {
      for (const file of files) formatOne(file, options.check ?? false, io);
    });
}

function formatOne(file: string, checkOnly: boolean, io: CommandIo): void {
  const isStdin = file === '-';
  const source = isStdin ? { file: '<stdin>', text: decode(io.readStdin()) } : sourceFiles().read(file);
  const formatted = 'diagnostic' in source ? { diagnostics: [source.diagnostic] } : formatSource(source);
  if ('diagnostic' in source || 'diagnostics' in formatted) {
    const diagnostics = 'diagnostics' in formatted ? formatted.diagnostics : [];
    io.err(renderDiagnostics(diagnostics, 'diagnostic' in source ? [] : [source]));
    io.exitCode = 1;
    return;
  }
  const { text } = formatted;
  if (checkOnly) {
    if (text === source.text) return;
    io.out(`${source.file}\n`);
    io.exitCode = 1;
  } else if (isStdin) io.out(text);
  else if (!statSync(file).isFile()) {
    throw new UserError(`${file}: is no regular file that could be laid out in place; \`mlbtcc fmt -\` is a filter`);
  } else if (text !== source.text) writeFileAtomically(file, [text]);
}
