/**
 * What the system itself offers by way of Vulkan: a loader, driver files, signs of hardware. Looked up without starting any
 * of it, so that Dawn need not complain on stderr about what is simply not there, and so that `mlbtc doctor` can say what to
 * install. Linux only; elsewhere Dawn uses Metal or Direct3D and finds its own way.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { loadLibrary } from './swiftshader.ts';

/** A driver that a Vulkan loader would load, by its description (ICD). */
export interface VulkanDriver {
  readonly file: string;
  /** Lavapipe, of which is known that it computes on the CPU; the others tell when they are asked. */
  readonly isSoftware: boolean;
  /** Why it is of no use to WebGPU. It is not loaded then, since loading it makes Dawn complain on stderr. */
  readonly obstacle?: string;
}

export interface VulkanSystem {
  readonly loader: boolean;
  readonly drivers: readonly VulkanDriver[];
  /** Hardware that the kernel shows, whether or not a Vulkan driver serves it. */
  readonly hardware: readonly string[];
  /** `ID` and `VERSION_ID` of /etc/os-release, e.g. `debian 12`. */
  readonly distribution: string;
}

let known: VulkanSystem | undefined;

export function vulkanSystem(): VulkanSystem {
  known ??= {
    loader: process.platform === 'linux' && loadLibrary('libvulkan.so.1'),
    drivers: driverFiles().map(readDriver),
    hardware: hardware(),
    distribution: distribution(),
  };
  return known;
}

function driverFiles(): string[] {
  const forced = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
  const added = process.env.VK_ADD_DRIVER_FILES;
  const named = (list: string | undefined) => (list ?? '').split(delimiter).filter((path) => path !== '');
  if (forced !== undefined && forced !== '') return [...named(forced), ...named(added)].filter(existsSync);
  const dataFolders = (process.env.XDG_DATA_DIRS ?? '').split(':').filter((path) => path !== '');
  const bases = [
    process.env.XDG_CONFIG_HOME ?? join(homedir(), '.config'),
    '/etc/xdg',
    '/etc',
    process.env.XDG_DATA_HOME ?? join(homedir(), '.local/share'),
    '/usr/local/etc',
    '/usr/local/share',
    '/usr/share',
    ...dataFolders,
  ];
  const found = [...new Set(bases)].flatMap((base) => {
    const folder = join(base, 'vulkan', 'icd.d');
    return listFolder(folder).map((name) => join(folder, name));
  });
  return [...found.filter((path) => path.endsWith('.json')), ...named(added).filter(existsSync)];
}

/**
 * Mesa describes a driver by the version of the Vulkan headers that it was built with, whose last number only ever grows: 230 in
 * Mesa 22.3. Older ones lack dynamic indexing of uniform arrays, which Dawn requires.
 */
const lastHeadersWithoutWebgpu = 230;

/** Drivers by their libraries, with the device nodes of which they need one. Others may find their hardware in other ways. */
const neededNodes: readonly { readonly library: RegExp; readonly folder: string; readonly node: RegExp }[] = [
  { library: /libGLX_nvidia|libEGL_nvidia/, folder: '/dev', node: /^(nvidia|nvhost|nvmap|dxg)/ },
  { library: /libvulkan_dzn\b/, folder: '/dev', node: /^dxg$/ },
  { library: /libvulkan_/, folder: '/dev/dri', node: /^renderD/ },
];

/** What a description says of its driver; one that cannot be read is left to the loader. */
export function readDriver(file: string): VulkanDriver {
  try {
    const { library_path: library, api_version: version } = JSON.parse(readText(file)).ICD;
    if (/libvulkan_lvp\b/.test(library)) {
      const isOld = Number(version.split('.')[2]) <= lastHeadersWithoutWebgpu;
      return { file, isSoftware: true, ...(isOld ? { obstacle: oldLavapipe } : {}) };
    }
    const needed = neededNodes.find((row) => row.library.test(library));
    const isIdle = needed !== undefined && !listFolder(needed.folder).some((name) => needed.node.test(name));
    return { file, isSoftware: false, ...(isIdle ? { obstacle: 'no hardware for it' } : {}) };
  } catch {
    return { file, isSoftware: false };
  }
}

/** In doctor's words; `mlbtc doctor` proposes another then. */
export const oldLavapipe = 'the lavapipe that is installed is too old for WebGPU, Mesa 23 or later is needed';

const vendorNames: Readonly<Record<string, string>> = { '0x10de': 'NVIDIA', '0x1002': 'AMD', '0x8086': 'Intel' };

function hardware(): string[] {
  if (process.platform !== 'linux') return [];
  const cards = listFolder('/sys/class/drm').filter((name) => /^(card|renderD)\d+$/.test(name));
  const vendors = cards.map((name) => readText(join('/sys/class/drm', name, 'device/vendor')).trim());
  if (listFolder('/dev').some((name) => /^nvidia\d+$/.test(name))) vendors.push('0x10de');
  const names = vendors.map((vendor) => vendorNames[vendor]).filter((name) => name !== undefined);
  return [...new Set(names)].sort();
}

function distribution(): string {
  const text = readText('/etc/os-release');
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return `${field('ID')} ${field('VERSION_ID')}`.trim();
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
