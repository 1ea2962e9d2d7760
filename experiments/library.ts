/**
 * Where the library lies: structures, models and presets, beside this file both in the sources and in `dist/`.
 * The trap: paths are found from this module's own place, never from the folder one happens to stand in.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const experimentsFolder = dirname(fileURLToPath(import.meta.url));

export function structurePath(name: string): string {
  return join(experimentsFolder, 'structures', `${name}.mlbtc`);
}

export const modelFolder = join(experimentsFolder, 'models');

export function modelPath(name: string): string {
  return join(modelFolder, `${name}.mlbtc`);
}

/** A file of `tasks/`, without its ending. */
export function taskFile(name: string): string {
  return join(experimentsFolder, 'tasks', `${name}.mlbtc`);
}

export function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

/** Presets of one kind of training: `icl`, `lm`, `series`, `vit`. */
export function presetNames(task: string): readonly string[] {
  const folder = join(experimentsFolder, 'presets', task);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.replace(/\.yaml$/, ''))
    .sort();
}
