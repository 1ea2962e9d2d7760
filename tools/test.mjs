// `npm test`: build, types, layout, then every test; the last line is `N passed, N failed` and the exit status agrees with it.
// Arguments go to vitest, so that `npm test -- test/runtime` checks everything but runs only those. What tests print, as the tables of
// what random programs met, is shown where they fail; `npx vitest run FILE` shows it always.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, runScript, runTool } from './steps.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'mlbtc-test-'));
const summaryPath = join(scratch, 'summary.json');
const tool = (name) => join(root, 'tools', name);

const checks = [
  ['build', () => runScript('build.mjs')],
  ['types', () => runScript('check-types.mjs')],
  ['layout', () => runTool('@biomejs/biome', 'bin/biome', ['check', '--error-on-warnings', '.'])],
];

let passed = 0;
let failed = 0;
for (const [name, check] of checks) {
  if (check() === 0) passed += 1;
  else {
    failed += 1;
    console.error(`failed: ${name}`);
  }
}

const status = runTool(
  'vitest',
  'vitest.mjs',
  [
    'run',
    '--passWithNoTests',
    '--silent=passed-only',
    '--reporter=default',
    `--reporter=${tool('summary-reporter.mjs')}`,
    ...process.argv.slice(2),
  ],
  { MLBTC_TEST_SUMMARY: summaryPath, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir() },
);
try {
  const counts = JSON.parse(readFileSync(summaryPath, 'utf8'));
  passed += counts.passed;
  failed += counts.failed;
  if (counts.skipped > 0) console.log(`${counts.skipped} skipped`);
  if (status !== 0 && counts.failed === 0) failed += 1;
} catch {
  failed += status === 0 ? 0 : 1;
}
rmSync(scratch, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
