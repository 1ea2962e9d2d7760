/**
 * Several files into a folder so that nobody ever finds half of them: all are written beside their places first, then renamed.
 * A folder that is not there yet appears as a whole.
 *
 * The trap: the folder may hold other things, which stay, and what an earlier build left, which would be taken for this one's.
 * So kernels that the old manifest names and the new build has not are removed; nothing else ever is. And a file of the folder
 * may be a link or a device, which stays what it is (atomic-file.ts).
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { keepPermissions, writeFileAtomically, writeFully } from './atomic-file.ts';
import { atPath, hasCode, UserError } from './errors.ts';
import { makeFolder } from './folders.ts';
import { type OutputPlace, outputPlace } from './output-place.ts';

export interface OutputFile {
  readonly name: string;
  readonly text: string;
}

export const manifestName = 'manifest.json';

/** Throws Node's system errors, and UserError where the path is a file. */
export function writeFolder(path: string, files: readonly OutputFile[]): void {
  const { folder, isNew } = folderPlace(path);
  makeFolder(isNew ? dirname(folder) : folder);
  try {
    if (isNew) writeNew(folder, files);
    else replaceIn(folder, files);
  } catch (error) {
    // A folder that the system shows and keeps nothing in, as /proc.
    if (!isNew && hasCode(error, 'ENOENT') && existsSync(folder)) {
      throw new UserError(`${path}: nothing can be written in this folder\n  help: name another folder for the output`);
    }
    throw atPath(error, path);
  }
}

/** The folder itself where `path` is a link to it, even to one that is not there yet. */
function folderPlace(path: string): { readonly folder: string; readonly isNew: boolean } {
  if (existsSync(path) && statSync(path).isDirectory()) return { folder: path, isNew: false };
  const place = outputPlace(path);
  if (place.kind !== 'file' || place.before !== undefined) {
    const why = existsSync(path) ? 'is a file, and the output needs a folder' : 'no folder can be made there';
    throw new UserError(`${path}: ${why}\n  help: name another folder for the output`);
  }
  return { folder: place.path, isNew: true };
}

function writeNew(folder: string, files: readonly OutputFile[]): void {
  const staging = `${folder}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    mkdirSync(staging);
    for (const { name, text } of files) writeSynced(join(staging, name), text);
    renameSync(staging, folder);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function replaceIn(folder: string, files: readonly OutputFile[]): void {
  const staging = mkdtempSync(join(folder, '.mlbtcc-'));
  try {
    const places = new Map(files.map(({ name }) => [name, outputPlace(join(folder, name))]));
    for (const { name, text } of files) writeSynced(join(staging, name), text, places.get(name));
    const stale = earlierKernels(folder).filter((name) => !files.some((file) => file.name === name));
    // The manifest last: as long as the old one stands, so do the files that it names or their successors.
    const inOrder = [...files].sort((a, b) => Number(a.name === manifestName) - Number(b.name === manifestName));
    for (const { name, text } of inOrder) moveInto(join(staging, name), text, join(folder, name), places.get(name)!);
    if (files.some(({ name }) => name === manifestName))
      for (const name of stale) rmSync(join(folder, name), { force: true });
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function moveInto(staged: string, text: string, path: string, place: OutputPlace): void {
  if (place.kind === 'file') {
    try {
      renameSync(staged, place.path);
      return;
    } catch (error) {
      // A link may lead to another disk.
      if (!hasCode(error, 'EXDEV', 'EBUSY')) throw error;
    }
  }
  writeFileAtomically(path, [text]);
}

function writeSynced(path: string, text: string, place?: OutputPlace): void {
  const file = openSync(path, 'wx');
  try {
    if (place?.kind === 'file' && place.before !== undefined) keepPermissions(file, place.before);
    writeFully(file, Buffer.from(text));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function earlierKernels(folder: string): readonly string[] {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, manifestName), 'utf8'));
    if (!String(manifest.format).startsWith('mlbtc-manifest')) return [];
    const names = (manifest.kernels as readonly { readonly file: unknown }[]).map(({ file }) => String(file));
    return names.filter((name) => name.endsWith('.wgsl') && basename(name) === name);
  } catch {
    return [];
  }
}
