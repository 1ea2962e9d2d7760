/**
 * Where a path that somebody named for an output leads, links followed: a file, which can be replaced as a whole, or something
 * that can only be written through, as a device, a FIFO, `/dev/stdout`.
 *
 * The trap: a rename does not ask. Over `/dev/null` it puts a file, over a link it leaves the link's file as it was, and over
 * one's own input it destroys what was just read.
 */
import { lstatSync, readlinkSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { systemError, UsageError } from './errors.ts';

export type OutputPlace =
  /** A regular file, or a name that is free. */
  | { readonly kind: 'file'; readonly path: string; readonly before: Stats | undefined }
  | { readonly kind: 'stream'; readonly path: string }
  /** A descriptor that this process holds; opened anew it would be emptied, or, a socket, could not be. */
  | { readonly kind: 'descriptor'; readonly descriptor: number };

/** As many as Linux follows. */
const mostLinks = 40;

/** Throws system errors: a folder is none, nor is a ring of links. */
export function outputPlace(named: string): OutputPlace {
  let path = resolve(named);
  for (let links = 0; links <= mostLinks; links += 1) {
    const folder = realFolder(path);
    if (folder === '/proc' || folder?.startsWith('/proc/')) return placeInProc(folder, path);
    const status = folder === undefined ? undefined : lstatSync(path, { throwIfNoEntry: false });
    if (status === undefined || status.isFile()) return { kind: 'file', path, before: status };
    if (status.isDirectory()) throw systemError('EISDIR', 'open', named);
    if (!status.isSymbolicLink()) return { kind: 'stream', path };
    path = resolve(folder ?? dirname(path), readlinkSync(path));
  }
  throw systemError('ELOOP', 'open', named);
}

/** What /proc shows cannot be replaced; among it are this process's own descriptors. */
function placeInProc(folder: string, path: string): OutputPlace {
  const isOwn = folder === `/proc/${process.pid}/fd`;
  return isOwn ? { kind: 'descriptor', descriptor: Number(basename(path)) } : { kind: 'stream', path };
}

/** The folder of a path; undefined where there is none. */
function realFolder(path: string): string | undefined {
  try {
    const folder = realpathSync(dirname(path));
    return statSync(folder).isDirectory() ? folder : undefined;
  } catch {
    return undefined;
  }
}

/** Refuses an output that is one of the inputs by another name, or by the same. Throws UsageError. */
export function refuseOverwriting(output: string, inputs: readonly string[]): void {
  const input = inputs.find((path) => isSameFile(path, output));
  if (input === undefined) return;
  const same = input === output ? 'is read by this command' : `is the same file as ${input}, which is read`;
  throw new UsageError(
    `${output} ${same}: writing it would destroy its content\n  help: name another file for the output`,
  );
}

/** The same, for files that will be written into a folder. */
export function refuseOverwritingIn(folder: string, names: readonly string[], inputs: readonly string[]): void {
  for (const name of names) refuseOverwriting(join(folder, name), inputs);
}

/** Links and hard links are the file that they lead to; a terminal or a pipe may well be read and written. */
function isSameFile(a: string, b: string): boolean {
  const [first, second] = [a, b].map(statusOf);
  if (first === undefined || second === undefined) return false;
  const keepsContent = second.isFile() || second.isBlockDevice();
  return keepsContent && first.dev === second.dev && first.ino === second.ino;
}

function statusOf(path: string) {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}
