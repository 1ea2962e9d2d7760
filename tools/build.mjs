// TypeScript to dist/, then what the compiler leaves behind: the structures, models and presets that the commands read,
// the schemas of these, the executable bit, and the links that let `npx mlbtc` work inside this folder itself.
//
// The trap: dist/ is never emptied, because somebody may be training from it; files whose source is gone are removed instead.

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bundle } from './bundle.mjs';
import { filesBelow, root, runTool } from './steps.mjs';

const sourceFolders = ['compiler', 'kernels', 'runtime', 'experiments', 'test/bench'];
const assetExtensions = new Set(['.mlbtc', '.yaml', '.csv', '.txt', '.gz', '.wgsl']);

const sources = sourceFolders.flatMap((folder) => filesBelow(join(root, folder)).map((path) => join(folder, path)));
if (sources.some((path) => path.endsWith('.ts'))) {
  const status = runTool('typescript', 'bin/tsc', ['-p', 'tsconfig.build.json']);
  if (status !== 0) process.exit(status);
}

// Chevrotain as one module in place of the many that its entry loads; see compiler/syntax/chevrotain.ts.
const parserToolkit = join(root, 'dist/compiler/syntax/chevrotain.js');
if (existsSync(parserToolkit)) {
  const entry = createRequire(import.meta.url).resolve('chevrotain');
  copyFileSync(join(dirname(entry), '../chevrotain.mjs'), parserToolkit);
}

for (const path of sources.filter((path) => assetExtensions.has(extname(path)))) {
  mkdirSync(dirname(join(root, 'dist', path)), { recursive: true });
  copyFileSync(join(root, path), join(root, 'dist', path));
}

// What an editor checks the presets by. It follows from the option tables, so it is made and not kept.
const options = join(root, 'dist/experiments/options');
if (existsSync(join(options, 'file-schema.js'))) {
  const { fileSchema } = await import(pathToFileURL(join(options, 'file-schema.js')).href);
  const { optionSets } = await import(pathToFileURL(join(options, 'sets.js')).href);
  for (const [task, set] of Object.entries(optionSets)) {
    const text = `${JSON.stringify(fileSchema(set), null, 2)}\n`;
    for (const folder of [root, join(root, 'dist')]) {
      writeFileSync(join(folder, 'experiments/presets', `${task}.schema.json`), text);
    }
  }
}

for (const path of filesBelow(join(root, 'dist'))) {
  if (!existsSync(join(root, path.replace(/\.js$/, '.ts')))) rmSync(join(root, 'dist', path), { force: true });
}

// What draws, and the commands, as one module each.
await bundle(join(root, 'dist/experiments/plots/vega-svg.js'));
const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
for (const [name, path] of Object.entries(bin)) {
  if (!existsSync(join(root, path))) continue;
  await bundle(join(root, path));
  chmodSync(join(root, path), 0o755);
  const link = join(root, 'node_modules', '.bin', name);
  if (process.platform === 'win32' || !existsSync(dirname(link))) continue;
  rmSync(link, { force: true });
  symlinkSync(join('..', '..', path), link);
}
