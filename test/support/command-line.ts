/** `mlbtcc` without a process: the same code as behind the command, its output and exit status as values. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeError } from '../../compiler/command-line/errors.ts';
import { runMlbtcc } from '../../compiler/commands/program.ts';

export interface CommandResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function mlbtcc(args: readonly string[], stdin = ''): Promise<CommandResult> {
  const written = { out: '', err: '' };
  const io = {
    out: (text: string) => {
      written.out += text;
    },
    err: (text: string) => {
      written.err += text;
    },
    readStdin: () => new TextEncoder().encode(stdin),
    exitCode: 0,
  };
  try {
    await runMlbtcc(args, io);
    return { ...written, code: io.exitCode };
  } catch (problem) {
    const { message, exitCode } = describeError(problem);
    return { ...written, err: written.err + (message === '' ? '' : `${message}\n`), code: exitCode };
  }
}

/** Files in a folder, by their paths in it. */
export function writeFiles(folder: string, files: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}
