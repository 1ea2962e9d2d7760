/**
 * Files that are either the old one or the new one, whenever the process is killed: written beside their place, synced, renamed.
 * Checkpoints, tuning answers and configurations go through here.
 *
 * The trap: without the sync of the folder the rename itself can be lost in a power cut, and without removing the temporary
 * file a full disk fills further with every attempt.
 */

import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { atPath } from './errors.ts';

/** Writes the chunks, one after the other, as the file at `path`; folders on the way are made. Throws Node's system errors. */
export function writeFileAtomically(path: string, chunks: Iterable<Uint8Array | string>): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true });
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
  let file: number | undefined;
  try {
    file = openSync(temporary, 'wx');
    for (const chunk of chunks) writeFully(file, typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    fsyncSync(file);
    closeSync(file);
    file = undefined;
    renameSync(temporary, path);
  } catch (error) {
    if (file !== undefined) closeSync(file);
    rmSync(temporary, { force: true });
    throw atPath(error, path);
  }
  syncFolder(folder);
}

/** One write call may take less than it was given, and none takes more than 2 GiB. */
function writeFully(file: number, bytes: Uint8Array): void {
  const largestWriteBytes = 2 ** 30;
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, Math.min(bytes.length - done, largestWriteBytes));
  }
}

function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
