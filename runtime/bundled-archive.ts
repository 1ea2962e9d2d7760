/**
 * Files that come inside the optional package @sparticuz/chromium as Brotli-compressed tar archives: the software device
 * (swiftshader.ts) and the fonts of the plots. Unpacked into the cache at first use.
 *
 * The trap: several processes may unpack at once. Each unpacks into a folder of its own and renames it into place; a folder
 * at the final name is therefore whole, and who comes second throws theirs away.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { makeFolder } from '../compiler/command-line/folders.ts';
import { cacheFolder } from './cache-folder.ts';

export const bundlePackage = '@sparticuz/chromium';
const bundleVersion = '147.0.0';

export interface BundledFiles {
  /** `swiftshader`: the archive is `bin/swiftshader.tar.br`, the folder in the cache `swiftshader-VERSION`. */
  readonly archive: string;
  /** Base names of what is needed; the rest of the archive is left out. */
  readonly names: readonly string[];
}

/** Whether the package is installed and holds the archive. */
export function hasBundledArchive(archive: string): boolean {
  return archivePath(archive) !== undefined;
}

/** The folder that holds the files, unpacked first where the cache lacks them. Throws where the package does. */
export function unpackBundled(wanted: BundledFiles): string {
  const folder = join(cacheFolder(), `${wanted.archive}-${bundleVersion}`);
  if (isWhole(folder, wanted)) return folder;
  try {
    unpackInto(folder, wanted);
    return folder;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    // No writable cache: a folder of this process's own, gone when it ends.
    const own = mkdtempSync(join(tmpdir(), `mlbtc-${wanted.archive}-`));
    process.once('exit', () => rmSync(own, { recursive: true, force: true }));
    writeFiles(own, wanted);
    return own;
  }
}

function archivePath(archive: string): string | undefined {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(bundlePackage));
    for (let parent = dirname(folder); parent !== folder; folder = parent, parent = dirname(folder)) {
      const path = join(folder, 'bin', `${archive}.tar.br`);
      if (existsSync(path)) return path;
    }
  } catch {
    // Not installed: the same answer as a package without the archive.
  }
  return undefined;
}

function unpackInto(folder: string, wanted: BundledFiles): void {
  const own = `${folder}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    makeFolder(own);
    writeFiles(own, wanted);
    if (existsSync(folder) && !isWhole(folder, wanted)) renameSync(folder, `${own}.damaged`);
    renameSync(own, folder);
  } catch (error) {
    if (!isWhole(folder, wanted)) throw error;
  } finally {
    rmSync(own, { recursive: true, force: true });
    rmSync(`${own}.damaged`, { recursive: true, force: true });
  }
}

function writeFiles(folder: string, { archive, names }: BundledFiles): void {
  const path = archivePath(archive);
  if (path === undefined) throw new Error(`the optional package ${bundlePackage} is not installed`);
  const files = untar(brotliDecompressSync(readFileSync(path)));
  for (const name of names) {
    const bytes = files.get(name);
    if (bytes === undefined) throw new Error(`${bundlePackage} holds no ${name}, version ${bundleVersion} would`);
    writeFileSync(join(folder, name), bytes);
  }
}

function isWhole(folder: string, { names }: BundledFiles): boolean {
  try {
    return names.every((name) => statSync(join(folder, name)).size > 0);
  } catch {
    return false;
  }
}

/** The plain files of a tar archive by base name. */
function untar(archive: Uint8Array): Map<string, Uint8Array> {
  const blockBytes = 512;
  const text = (from: number, to: number) => Buffer.from(archive.subarray(from, to)).toString('latin1').split('\0')[0];
  const files = new Map<string, Uint8Array>();
  for (let offset = 0; offset + blockBytes <= archive.length; ) {
    const name = text(offset, offset + 100);
    if (name === '') break;
    const sizeBytes = Number.parseInt(text(offset + 124, offset + 136).trim() || '0', 8);
    const kind = text(offset + 156, offset + 157);
    const start = offset + blockBytes;
    if (kind === '' || kind === '0') files.set(basename(name), archive.subarray(start, start + sizeBytes));
    offset = start + Math.ceil(sizeBytes / blockBytes) * blockBytes;
  }
  return files;
}
