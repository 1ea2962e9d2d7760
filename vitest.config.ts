// How the tests run, one file after the other in as many processes as there are cores: first those that need no device, then, in two
// processes, each with one device and one pipeline cache, those that open one. Files of a process share its modules (0.9 s of CPU a file
// are saved): what a test changes of the process or of a module it sets back.
// Which is which is found by looking: a test file that imports runtime/device.ts or test/support/device.ts, however far down.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { lateOptimisation } from './compiler/command-line/late-optimisation.ts';
import { swiftShaderObstacle } from './runtime/swiftshader.ts';

const cores = availableParallelism();
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

/** A minute and more each on two cores, the longest first: whichever is begun last is what the other cores wait for. */
const longest = [
  'experiments/commands/resume',
  'experiments/training/tiny',
  'experiments/training/tiny-lm',
  'docs/commands',
  'experiments/training/memory-limit',
  'compiler/semantics/structures',
  'compiler/schedule/memory/recompute',
  'compiler/schedule/random',
  'kernels/families/stream/matrix',
  'kernels/families/contraction/matrix-values',
  'experiments/training/train.device',
  'kernels/families/contraction/contraction',
].map((name) => join(testFolder, `${name}.test.ts`));

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) =>
      longest.includes(moduleId) ? longest.indexOf(moduleId) : longest.length;
    const group = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    return (await super.sort(files)).sort((a, b) => group(a) - group(b) || rank(a) - rank(b));
  }
}

export default defineConfig({
  root,
  // As in dist/; see compiler/syntax/chevrotain.ts.
  resolve: { alias: { chevrotain: join(root, 'node_modules/chevrotain/lib/chevrotain.mjs') } },
  test: {
    // SwiftShader, where it can be had, compiles a kernel in a tenth of the time that lavapipe takes.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    execArgv: [...lateOptimisation],
    env: {
      XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? '/tmp',
      MLBTC_DEVICE: process.env.MLBTC_DEVICE ?? (swiftShaderObstacle() === undefined ? 'swiftshader' : 'auto'),
    },
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'pure',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', ...deviceFiles],
          isolate: false,
          maxWorkers: cores,
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
          // One process leaves a core idle while it compiles kernels; each holds half a gigabyte.
          maxWorkers: Math.min(2, cores),
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
