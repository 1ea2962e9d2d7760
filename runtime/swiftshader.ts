/**
 * The software device that comes with `npm ci`: SwiftShader and a Vulkan loader, taken out of `swiftshader.tar.br` in the
 * optional package @sparticuz/chromium and unpacked into the cache at first use. The last rung of the ladder in device.ts.
 *
 * The trap: several processes may unpack at once. Each unpacks into a folder of its own and renames it into place; a folder
 * at the final name is therefore whole, and who comes second throws theirs away.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { cacheFolder } from './cacheFolder.ts';

const packageName = '@sparticuz/chromium';
const packageVersion = '147.0.0';
/** The archive also holds an OpenGL driver, which nothing here needs. */
const neededFiles = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'] as const;

export interface SwiftShader {
  /** The file that tells a Vulkan loader where the driver is. */
  readonly icdPath: string;
  readonly loaderPath: string;
}

/** Why the bundled device cannot be had here, or undefined where it can. */
export function swiftShaderObstacle(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `the bundled SwiftShader is for Linux on x86-64, this is ${process.platform} on ${process.arch}`;
  }
  if (archivePath() === undefined) return `the optional package ${packageName} is not installed`;
  return undefined;
}

/** The unpacked files; unpacks them first where the cache lacks them. Throws where `swiftShaderObstacle` has a reason. */
export function unpackSwiftShader(): SwiftShader {
  const obstacle = swiftShaderObstacle();
  if (obstacle !== undefined) throw new Error(obstacle);
  const folder = join(cacheFolder(), `swiftshader-${packageVersion}`);
  if (isWhole(folder)) return filesIn(folder);
  try {
    return filesIn(unpackInto(folder));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    // No writable cache: a folder of this process's own, gone when it ends.
    const own = mkdtempSync(join(tmpdir(), 'mlbtc-swiftshader-'));
    process.once('exit', () => rmSync(own, { recursive: true, force: true }));
    writeNeededFiles(own);
    return filesIn(own);
  }
}

let loaded = false;

/** Makes the bundled loader the process's `libvulkan.so.1`, for a machine that has none. */
export function loadBundledVulkanLoader({ loaderPath }: SwiftShader): void {
  if (loaded) return;
  loaded = true;
  /** Keeps the library although Node, finding no addon in it, closes it again. */
  const keepAfterClose = 0x1000;
  const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen;
  loadLibrary(loaderPath, RTLD_NOW | RTLD_GLOBAL | keepAfterClose);
}

/** Tries to load a shared library that is no Node addon; says whether it could be loaded. */
export function loadLibrary(path: string, flags: number = constants.dlopen.RTLD_LAZY): boolean {
  try {
    process.dlopen({ exports: {} }, path, flags);
    return true;
  } catch (error) {
    return String(error).includes('did not self-register');
  }
}

function archivePath(): string | undefined {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(packageName));
    for (let parent = dirname(folder); parent !== folder; folder = parent, parent = dirname(folder)) {
      const path = join(folder, 'bin', 'swiftshader.tar.br');
      if (existsSync(path)) return path;
    }
  } catch {
    // Not installed: the same answer as a package without the archive.
  }
  return undefined;
}

function unpackInto(folder: string): string {
  const own = `${folder}.${process.pid}.${randomBytes(4).toString('hex')}`;
  mkdirSync(own, { recursive: true });
  try {
    writeNeededFiles(own);
    if (existsSync(folder) && !isWhole(folder)) renameSync(folder, `${own}.damaged`);
    renameSync(own, folder);
  } catch (error) {
    if (!isWhole(folder)) throw error;
  } finally {
    rmSync(own, { recursive: true, force: true });
    rmSync(`${own}.damaged`, { recursive: true, force: true });
  }
  return folder;
}

function writeNeededFiles(folder: string): void {
  const files = untar(brotliDecompressSync(readFileSync(archivePath() as string)));
  for (const name of neededFiles) {
    const bytes = files.get(name);
    if (bytes === undefined) throw new Error(`${packageName} ${packageVersion} holds no ${name}`);
    writeFileSync(join(folder, name), bytes);
  }
}

/** The plain files of a tar archive by name. */
function untar(archive: Uint8Array): Map<string, Uint8Array> {
  const blockBytes = 512;
  const text = (from: number, to: number) => Buffer.from(archive.subarray(from, to)).toString('latin1').split('\0')[0];
  const files = new Map<string, Uint8Array>();
  for (let offset = 0; offset + blockBytes <= archive.length; ) {
    const name = text(offset, offset + 100).replace(/^\.\//, '');
    if (name === '') break;
    const sizeBytes = Number.parseInt(text(offset + 124, offset + 136).trim() || '0', 8);
    const kind = text(offset + 156, offset + 157);
    const start = offset + blockBytes;
    if (kind === '' || kind === '0') files.set(name, archive.subarray(start, start + sizeBytes));
    offset = start + Math.ceil(sizeBytes / blockBytes) * blockBytes;
  }
  return files;
}

function isWhole(folder: string): boolean {
  try {
    return neededFiles.every((name) => statSync(join(folder, name)).size > 0);
  } catch {
    return false;
  }
}

function filesIn(folder: string): SwiftShader {
  return { icdPath: join(folder, 'vk_swiftshader_icd.json'), loaderPath: join(folder, 'libvulkan.so.1') };
}
