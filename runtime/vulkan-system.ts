/**
 * What the system itself offers by way of Vulkan: a loader, driver files, signs of hardware. Looked up without starting any
 * of it, so that Dawn need not complain on stderr about what is simply not there, and so that `mlbtc doctor` can say what to
 * install. Linux only; elsewhere Dawn uses Metal or Direct3D and finds its own way.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { loadLibrary } from './swiftshader.ts';

export interface VulkanSystem {
  readonly loader: boolean;
  /** Driver description files (ICDs) that a Vulkan loader would read. */
  readonly driverFiles: readonly string[];
  /** Hardware that the kernel shows, whether or not a Vulkan driver serves it. */
  readonly hardware: readonly string[];
  /** `ID` and `VERSION_ID` of /etc/os-release, e.g. `debian 12`. */
  readonly distribution: string;
}

let known: VulkanSystem | undefined;

export function vulkanSystem(): VulkanSystem {
  known ??= {
    loader: process.platform === 'linux' && loadLibrary('libvulkan.so.1'),
    driverFiles: driverFiles(),
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
