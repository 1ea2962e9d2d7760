/**
 * Files that are either the old one or the new one, whenever the process is killed: written beside their place, synced, renamed.
 * Everything that a command writes goes through here. Links are followed, and a file that is replaced keeps its permissions;
 * what is no regular file is written through (output-place.ts).
 *
 * The trap: without the sync of the folder the rename itself can be lost in a power cut, and without removing the temporary
 * file a full disk fills further with every attempt. Where the folder takes no new file, or the file is mounted by itself and
 * cannot be renamed over, it is written in place, and then a kill can leave a part of it.
 */

import { randomBytes } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { atPath, hasCode } from './errors.ts';
import { makeFolder } from './folders.ts';
import { outputPlace } from './output-place.ts';

type Chunks = Iterable<Uint8Array | string>;

/** Writes the chunks, one after the other, as the file at `path`; folders on the way are made. Throws Node's system errors. */
export function writeFileAtomically(path: string, chunks: Chunks): void {
  const place = outputPlace(path);
  if (place.kind === 'file') makeFolder(dirname(place.path));
  try {
    switch (place.kind) {
      case 'file':
        replaceFile(place.path, place.before, chunks);
        break;
      case 'stream':
        writeThrough(place.path, chunks);
        break;
      case 'descriptor':
        writeChunks(place.descriptor, chunks);
        break;
      default:
        place satisfies never;
    }
  } catch (error) {
    throw atPath(error, path);
  }
}

function replaceFile(path: string, before: Stats | undefined, chunks: Chunks): void {
  const folder = dirname(path);
  if (before !== undefined) accessSync(path, constants.W_OK);
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
  let file: number | undefined;
  try {
    file = openSync(temporary, 'wx');
  } catch (error) {
    if (before === undefined || !hasCode(error, 'EACCES', 'EPERM', 'EROFS')) throw error;
    writeThrough(path, chunks);
    return;
  }
  try {
    if (before !== undefined) keepPermissions(file, before);
    writeChunks(file, chunks);
    fsyncSync(file);
    closeSync(file);
    file = undefined;
    moveInto(temporary, path);
  } catch (error) {
    if (file !== undefined) closeSync(file);
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(folder);
}

/** A file that is written anew keeps its mode, and its owner where this user may say so. */
export function keepPermissions(file: number, { uid, gid, mode }: Stats): void {
  try {
    fchownSync(file, uid, gid);
  } catch {
    // Only root gives files away.
  }
  fchmodSync(file, mode & 0o7777);
}

function moveInto(temporary: string, path: string): void {
  try {
    renameSync(temporary, path);
  } catch (error) {
    if (!hasCode(error, 'EBUSY')) throw error;
    copyFileSync(temporary, path);
    rmSync(temporary);
  }
}

function writeThrough(path: string, chunks: Chunks): void {
  const file = openSync(path, 'w');
  try {
    writeChunks(file, chunks);
  } finally {
    closeSync(file);
  }
}

function writeChunks(file: number, chunks: Chunks): void {
  for (const chunk of chunks) writeFully(file, typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
}

/** One write call may take less than it was given, none takes more than 2 GiB, and a pipe may ask to be tried again. */
export function writeFully(file: number, bytes: Uint8Array): void {
  const largestWriteBytes = 2 ** 30;
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(file, bytes, done, Math.min(bytes.length - done, largestWriteBytes));
    } catch (error) {
      if (!hasCode(error, 'EAGAIN')) throw error;
      sleep();
    }
  }
}

const retryAfterMs = 1;

/** What a descriptor that does not block is waited for with. */
export function sleep(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryAfterMs);
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
