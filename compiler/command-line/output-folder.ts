/**
 * Several files into a folder so that nobody ever finds half of them: all are written beside their places first, then renamed.
 * A folder that is not there yet appears as a whole.
 *
 * The trap: the folder may hold other things, which stay, and what an earlier build left, which would be taken for this one's.
 * So kernels that the old manifest names and the new build has not are removed; nothing else ever is.
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
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { atPath, UserError } from './errors.ts';

export interface OutputFile {
  readonly name: string;
  readonly text: string;
}

export const manifestName = 'manifest.json';

/** Throws Node's system errors, and UserError where the path is a file. */
export function writeFolder(path: string, files: readonly OutputFile[]): void {
  const folder = resolve(path);
  if (existsSync(folder) && !statSync(folder).isDirectory()) {
    throw new UserError(`${path}: is a file, and the output needs a folder`);
  }
  const isNew = !existsSync(folder);
  mkdirSync(isNew ? dirname(folder) : folder, { recursive: true });
  const staging = isNew
    ? `${folder}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
    : mkdtempSync(join(folder, '.mlbtcc-'));
  try {
    if (isNew) mkdirSync(staging);
    for (const { name, text } of files) writeSynced(join(staging, name), text);
    if (isNew) {
      renameSync(staging, folder);
      return;
    }
    const stale = earlierKernels(folder).filter((name) => !files.some((file) => file.name === name));
    // The manifest last: as long as the old one stands, so do the files that it names or their successors.
    const inOrder = [...files].sort((a, b) => Number(a.name === manifestName) - Number(b.name === manifestName));
    for (const { name } of inOrder) renameSync(join(staging, name), join(folder, name));
    if (files.some(({ name }) => name === manifestName))
      for (const name of stale) rmSync(join(folder, name), { force: true });
  } catch (error) {
    throw atPath(error, path);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function writeSynced(path: string, text: string): void {
  const file = openSync(path, 'wx');
  try {
    const bytes = Buffer.from(text);
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
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
