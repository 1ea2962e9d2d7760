/** Folders of runs below a folder, whole or damaged: those that hold one of a run's own files. A run's folder is not looked into. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runFolder } from './folder.ts';

/** In the order of their names, numbers in them by value: `run-2` before `run-10`. */
export function findRuns(folder: string): readonly string[] {
  const { configPath, recordPath, metricsPath } = runFolder(folder);
  if ([configPath, recordPath, metricsPath].some((path) => existsSync(path))) return [folder];
  return subfolders(folder).flatMap((name) => findRuns(join(folder, name)));
}

/** A link is not followed, as it may lead round in a circle; a folder that may not be read holds nothing that can be told. */
function subfolders(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
      .map(({ name }) => name)
      .sort(byName);
  } catch {
    return [];
  }
}

export function byName(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
