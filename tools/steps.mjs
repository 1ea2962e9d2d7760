// The few helpers that the project's own scripts share: run a command to its end, walk a folder.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);

/** Runs a Node program of a dependency (`typescript`, `bin/tsc`) with this process's output; returns its exit status. */
export function runTool(packageName, binPath, args, env = {}) {
  const program = join(dirname(require.resolve(`${packageName}/package.json`)), binPath);
  const result = spawnSync(process.execPath, [program, ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return result.status ?? 1;
}

/** Runs another script of this folder; returns its exit status. */
export function runScript(name) {
  return spawnSync(process.execPath, [join(root, 'tools', name)], { cwd: root, stdio: 'inherit' }).status ?? 1;
}

/** Every file below a folder, as paths relative to it; nothing where the folder is missing. */
export function filesBelow(folder) {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1));
  } catch {
    return [];
  }
}
