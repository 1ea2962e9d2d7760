/**
 * Files that a command reads, from wherever: a disk, a pipe, `/dev/stdin`.
 *
 * The traps: a pipe has no size, and /dev/zero no end, so nothing is read by its size, and all that is read whole has a bound.
 * And standard input is the descriptor 0: where it is a socket, as it is below another Node, /dev/stdin cannot be opened.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { sleep } from './atomic-file.ts';
import { hasCode, systemError, UserError } from './errors.ts';

/** Far more than anybody writes, far less than what would take minutes to look at. */
const largestTextBytes = 16 * 2 ** 20;

/** A file's descriptor, as long as `action` lasts. Throws system errors with the path. */
export function withInput<T>(path: string, action: (file: number) => T): T {
  const isStdin = ['/dev/stdin', '/dev/fd/0', '/proc/self/fd/0'].includes(path);
  const file = isStdin ? 0 : openSync(path, 'r');
  try {
    if (fstatSync(file).isDirectory()) throw systemError('EISDIR', 'read', path);
    return action(file);
  } finally {
    if (!isStdin) closeSync(file);
  }
}

/** Whatever stands where a descriptor is, as much of it as there is up to the length of `target`. */
export function readSome(file: number, target: Uint8Array): number {
  for (;;) {
    try {
      return readSync(file, target);
    } catch (error) {
      if (hasCode(error, 'EOF')) return 0;
      if (!hasCode(error, 'EAGAIN')) throw error;
      sleep();
    }
  }
}

/** All of a text, in pieces. Throws system errors with the path, or an Error where it is larger than any text. */
export function readBytes(path: string): Uint8Array {
  return withInput(path, (file) => readToEnd(file));
}

/** A text as such, without a mark of byte order. Throws system errors, and UserError where there is no end to it. */
export function readText(path: string): string {
  try {
    return new TextDecoder().decode(readBytes(path));
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? error : new UserError(`${path}: ${(error as Error).message}`);
  }
}

/** The same of standard input. */
export function readStdin(): Uint8Array {
  return readToEnd(0);
}

function readToEnd(file: number): Uint8Array {
  const pieces: Buffer[] = [];
  let total = 0;
  for (;;) {
    const piece = Buffer.alloc(2 ** 16);
    const count = readSome(file, piece);
    if (count === 0) return Buffer.concat(pieces);
    pieces.push(piece.subarray(0, count));
    total += count;
    if (total > largestTextBytes) throw new Error(`is larger than ${largestTextBytes / 2 ** 20} MiB`);
  }
}
