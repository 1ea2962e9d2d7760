/**
 * Where the library lies: structures, models and presets, beside this file both in the sources and in `dist/`.
 * The trap: paths are found from this module's own place, never from the folder one happens to stand in.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const experimentsFolder = dirname(fileURLToPath(import.meta.url));

export function structurePath(name: string): string {
  return join(experimentsFolder, 'structures', `${name}.mlbtc`);
}

export function modelPath(name: string): string {
  return join(experimentsFolder, 'models', `${name}.mlbtc`);
}

export function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

export function presetNames(): readonly string[] {
  return readdirSync(join(experimentsFolder, 'presets'))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.replace(/\.yaml$/, ''))
    .sort();
}
