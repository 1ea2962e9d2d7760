// TypeScript to dist/, then what the compiler leaves behind: the structures, models and presets that the commands read,
// the executable bit, and the links that let `npx mlbtc` work inside this folder itself.
//
// The trap: dist/ is never emptied, because somebody may be training from it; files whose source is gone are removed instead.

import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { filesBelow, root, runTool } from './steps.mjs';

const sourceFolders = ['compiler', 'kernels', 'runtime', 'experiments', 'test/bench'];
const assetExtensions = new Set(['.mlbtc', '.yaml', '.csv', '.txt', '.gz', '.wgsl']);

const sources = sourceFolders.flatMap((folder) => filesBelow(join(root, folder)).map((path) => join(folder, path)));
if (sources.some((path) => path.endsWith('.ts'))) {
  const status = runTool('typescript', 'bin/tsc', ['-p', 'tsconfig.build.json']);
  if (status !== 0) process.exit(status);
}

for (const path of sources.filter((path) => assetExtensions.has(extname(path)))) {
  mkdirSync(dirname(join(root, 'dist', path)), { recursive: true });
  copyFileSync(join(root, path), join(root, 'dist', path));
}

for (const path of filesBelow(join(root, 'dist'))) {
  if (!existsSync(join(root, path.replace(/\.js$/, '.ts')))) rmSync(join(root, 'dist', path), { force: true });
}

const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
for (const [name, path] of Object.entries(bin)) {
  if (!existsSync(join(root, path))) continue;
  chmodSync(join(root, path), 0o755);
  const link = join(root, 'node_modules', '.bin', name);
  if (process.platform === 'win32' || !existsSync(dirname(link))) continue;
  rmSync(link, { force: true });
  symlinkSync(join('..', '..', path), link);
}
