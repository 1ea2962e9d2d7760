// Type checks that the build does not make: everything with its tests, then compiler/ and kernels/ once more with no ambient
// types at all, so that a Node or GPU name used there does not compile (design.md §2).

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow, root, runTool } from './steps.mjs';

const projects = [
  { config: 'tsconfig.json', folder: '.' },
  { config: 'compiler/tsconfig.json', folder: 'compiler' },
  { config: 'kernels/tsconfig.json', folder: 'kernels' },
];

let failed = false;
for (const { config, folder } of projects) {
  const hasCode = folder === '.' || filesBelow(join(root, folder)).some((path) => /(?<!mlbtcc)\.ts$/.test(path));
  if (!existsSync(join(root, config)) || !hasCode) continue;
  if (runTool('typescript', 'bin/tsc', ['-p', config]) !== 0) failed = true;
}
process.exit(failed ? 1 : 0);
