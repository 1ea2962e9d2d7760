/** What commands refuse before they read anything: a message that names the option and its value, and the exit status. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';

const command = new URL('../../../dist/experiments/mlbtc.js', import.meta.url).pathname;

test.skipIf(!existsSync(command)).each([
  [['sample', 'run', '--seed', '2147483648'], 2, 'error: --seed 2147483648: must be at most 2147483647'],
  [['plot', 'run', './run'], 2, 'error: ./run is given twice; its curves would lie over one another'],
  [['train', 'lm', '--preset=tiny', '--out_dir', ''], 2, "error: --out_dir '': is empty; leave it out, or write none"],
  [['train', 'series', '--preset=tiny', '--data='], 2, "error: --data '': is empty; leave it out, or write none"],
  [['train', 'series', '--preset=tiny', '--data=.'], 1, 'error: .: is a folder, a file was expected (EISDIR)'],
  [['eval', ''], 1, "error: '' holds no run: there is no config.yaml; give the folder that `mlbtc train` has made"],
])('%j', (words, exitStatus, message) => {
  const { status, stderr } = spawnSync(process.execPath, [command, ...words], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: exitStatus, stderr: `${message}\n` });
});
