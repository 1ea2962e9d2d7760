/**
 * The software device that comes with `npm ci`: SwiftShader and a Vulkan loader from an npm package (bundled-archive.ts). The
 * last rung of the ladder in device.ts; needs no driver, no loader and no root.
 *
 * The trap: Node closes a shared library that turns out to be no addon, so the loader must be opened in a way that survives
 * the close, and Dawn, which asks for `libvulkan.so.1` by name, must come after it.
 */

import { constants } from 'node:os';
import { join } from 'node:path';
import { bundlePackage, hasBundledArchive, unpackBundled } from './bundled-archive.ts';

const archive = 'swiftshader';
/** The archive also holds an OpenGL driver, which nothing here needs. */
const names = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'];

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
  return hasBundledArchive(archive) ? undefined : `the optional package ${bundlePackage} is not installed`;
}

/** The unpacked files. Throws where `swiftShaderObstacle` has a reason. */
export function unpackSwiftShader(): SwiftShader {
  const folder = unpackBundled({ archive, names });
  return { icdPath: join(folder, 'vk_swiftshader_icd.json'), loaderPath: join(folder, 'libvulkan.so.1') };
}

let loaded = false;

/** Makes the bundled loader the process's `libvulkan.so.1`, for a machine that has none. */
export function loadBundledVulkanLoader({ loaderPath }: SwiftShader): void {
  if (loaded) return;
  loaded = true;
  /** RTLD_NODELETE, which Node does not name. */
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
