// How the tests run: those that open a GPU device share one process, one device and one pipeline cache; the rest run in parallel.
// Which is which is found by looking: a test file that imports runtime/device.ts or test/support/device.ts, however far down.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { swiftShaderObstacle } from './runtime/swiftshader.ts';

const root = dirname(fileURLToPath(import.meta.url));
const deviceModules = new Set(['runtime/device.ts', 'test/support/device.ts'].map((path) => join(root, path)));
const valueImport = /(?:^|\n)\s*(?:import|export)\s+(?!type\b)[^;'"]*?from\s+['"](\.[^'"]+\.ts)['"]/g;

const opensDeviceMemo = new Map<string, boolean>();
function opensDevice(path: string): boolean {
  const known = opensDeviceMemo.get(path);
  if (known !== undefined) return known;
  opensDeviceMemo.set(path, deviceModules.has(path));
  if (deviceModules.has(path)) return true;
  if (!existsSync(path)) return false;
  const imports = [...readFileSync(path, 'utf8').matchAll(valueImport)].map((m) => resolve(dirname(path), m[1]));
  const found = imports.some(opensDevice);
  opensDeviceMemo.set(path, found);
  return found;
}

const testFolder = join(root, 'test');
const entries = existsSync(testFolder) ? readdirSync(testFolder, { recursive: true, withFileTypes: true }) : [];
const testFiles = entries
  .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
  .map((entry) => join(entry.parentPath, entry.name));
const deviceFiles = testFiles.filter(opensDevice).map((path) => relative(root, path));

export default defineConfig({
  root,
  test: {
    // SwiftShader, where it can be had, compiles a kernel in a tenth of the time that lavapipe takes.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    env: {
      XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? '/tmp',
      MLBTC_DEVICE: process.env.MLBTC_DEVICE ?? (swiftShaderObstacle() === undefined ? 'swiftshader' : 'auto'),
    },
    projects: [
      {
        extends: true,
        test: {
          name: 'pure',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', ...deviceFiles],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'device',
          include: deviceFiles.length > 0 ? deviceFiles : ['test/**/*.device.test.ts'],
          pool: 'forks',
          isolate: false,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
