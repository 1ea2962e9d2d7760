/**
 * The errors a person can act on, one class for each exit status of design.md §4, and the wrapper that turns them into a
 * message and that status. Every command's main runs through `runCommand`.
 *
 * The trap: a stack trace is for us, not for the person at the prompt. It appears only with `--debug`.
 */
import { optimiseLate } from './late-optimisation.ts';

/** What a person sees when the input is wrong (exit 1): what, where, with which values, what to do. */
export class UserError extends Error {
  override readonly name: string = 'UserError';
  readonly exitCode: number = 1;
}

/** A `.mlbtc` file has mistakes (exit 1): the message is its diagnostics, rendered, which say `error` themselves. */
export class DiagnosticsError extends UserError {
  override readonly name = 'DiagnosticsError';
}

/** The command line itself is wrong (exit 2). */
export class UsageError extends UserError {
  override readonly name = 'UsageError';
  override readonly exitCode = 2;
}

/** This machine cannot do it: no device, not enough memory, a limit exceeded (exit 3). */
export class MachineError extends UserError {
  override readonly name: string = 'MachineError';
  override readonly exitCode = 3;
}

/** Training left the finite numbers (exit 4); the message names the step and the first tensor that did. */
export class DivergedError extends UserError {
  override readonly name = 'DivergedError';
  override readonly exitCode = 4;
}

/** Ctrl-C or SIGTERM, after the work was put in safety (exit 130). */
export class InterruptedError extends UserError {
  override readonly name = 'InterruptedError';
  override readonly exitCode = 130;
}

let listening = false;
let needsOutput = true;

/** From here on what a command does counts and not what it shows: output that nobody can be shown is dropped. */
export function goOnWithoutOutput(): void {
  needsOutput = false;
}

const commandEndCallbacks = new Set<() => void>();

/** Registers what must be let go before a command's process ends; the device does this, so that no thread of it lingers. */
export function onCommandEnd(callback: () => void): void {
  commandEndCallbacks.add(callback);
}

/** Runs a command's main and sets `process.exitCode`; prints errors as one message on stderr, the stack only with `--debug`. */
export async function runCommand(main: (argv: readonly string[]) => Promise<void> | void): Promise<void> {
  optimiseLate();
  const debug = process.argv.includes('--debug') || process.env.MLBTC_DEBUG === '1';
  const fail = (error: unknown) => {
    const { message, exitCode } = describeError(error);
    if (message !== '') process.stderr.write(`${message}\n`);
    if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
    return exitCode;
  };
  if (!listening) {
    listening = true;
    process.once('uncaughtException', (error) => process.exit(fail(error)));
    // A reader that goes away (`mlbtcc explain … | head`) is no failure.
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (needsOutput) process.exit(error.code === 'EPIPE' ? 0 : fail(atPath(error, 'standard output')));
    });
    // Where an error cannot be told, its status still is.
    process.stderr.on('error', () => undefined);
  }
  try {
    await main(process.argv);
  } catch (error) {
    process.exitCode = fail(error);
  }
  for (const callback of commandEndCallbacks) callback();
}

/** The message and exit status of anything thrown; an empty message where what threw has printed its own (commander). */
export function describeError(error: unknown): { readonly message: string; readonly exitCode: number } {
  if (error instanceof DiagnosticsError) return { message: error.message.trimEnd(), exitCode: error.exitCode };
  if (error instanceof UserError) return { message: `error: ${error.message}`, exitCode: error.exitCode };
  if (!(error instanceof Error)) return { message: `internal error: ${String(error)}`, exitCode: 1 };
  const code = (error as NodeJS.ErrnoException).code;
  if (code?.startsWith('commander.')) {
    return { message: '', exitCode: (error as Error & { exitCode: number }).exitCode === 0 ? 0 : 2 };
  }
  const systemMessage = describeSystemError(error);
  if (systemMessage !== undefined)
    return { message: `error: ${systemMessage}`, exitCode: hasCode(error, 'ENOSPC', 'EDQUOT', 'EFBIG') ? 3 : 1 };
  return { message: `internal error: ${error.message}\n  run again with --debug for the stack`, exitCode: 1 };
}

/** The error with the path that its user knows, in place of that of a temporary file beside it, or of none. */
export function atPath(error: unknown, path: string): unknown {
  return error instanceof Error && 'syscall' in error ? Object.assign(error, { path }) : error;
}

/** What the system would say, where we see it coming. */
export function systemError(code: string, syscall: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code, syscall, path });
}

/** Whether something thrown is one of these system errors. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '');
}

const systemReasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EISDIR: 'is a folder, a file was expected',
  ENOTDIR: 'a part of the path is not a folder',
  EEXIST: 'already there',
  ENOSPC: 'no space left on the disk',
  EROFS: 'the file system is read-only',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its links lead round in a circle',
  ENXIO: 'nothing is there that could be opened',
  EPIPE: 'who reads it has gone away',
  EIO: 'the device does not answer',
  EBUSY: 'is in use',
  EFBIG: 'the file would be larger than is allowed',
  EDQUOT: 'no space left in the quota',
};

/** What a system error says, in words; undefined for any other. */
export function describeSystemError(error: NodeJS.ErrnoException): string | undefined {
  if (error.code === undefined || error.syscall === undefined) return undefined;
  const isInTheWay = error.code === 'EEXIST' && error.syscall === 'mkdir';
  const reason = isInTheWay ? 'is a file, and a folder is needed there' : systemReasons[error.code];
  return reason === undefined ? undefined : `${error.path ?? error.syscall}: ${reason} (${error.code})`;
}
