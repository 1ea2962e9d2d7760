/**
 * Every command of README runs as it stands there, one after the other in one folder; trainings are cut short by further options.
 * Not run here: `npm ci` and `npm test`, which are how this test came to run.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { readPage, root } from './pages.ts';

const minute = 60_000;
const run = promisify(execFile);
const clis: Readonly<Record<string, string>> = {
  mlbtc: join(root, 'dist/experiments/mlbtc.js'),
  mlbtcc: join(root, 'dist/compiler/mlbtcc.js'),
};
/** What makes an evaluation short, and a training, by its kind. One of series ends with all windows of the test part: they are short. */
const evaluatedShort = '--eval_iters=1';
const shortened: Readonly<Record<string, string>> = {
  icl: '--steps=3 --evaluation_samples_multiplier=1',
  lm: '--steps=3 --eval_iters=1 --sample_tokens=5',
  series: '--steps=3 --eval_iters=1 --block_size=16 --horizon=4',
  vit: '--steps=3 --eval_iters=1',
};

/** A README's shell commands, those over several lines in one piece. */
function commands(): readonly string[] {
  const blocks = [...readPage('README.md').matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text]) => text);
  return blocks.flatMap((block) => block.split(/\n(?=npx |node |npm )/)).map((command) => command.trim());
}

function runnable(command: string): string {
  const kind = / train (icl|lm|series|vit) /.exec(command)?.[1];
  const isDry = command.includes('--dry_run');
  const bare = command.startsWith('npx') ? command.replace(/\s+#.*$/, '') : command;
  const trained = kind === undefined || isDry ? '' : shortened[kind];
  const whole = `${bare} ${bare.startsWith('npx mlbtc eval ') ? evaluatedShort : trained}`;
  return whole.replace(/^npx (mlbtcc?)\b/, (_, name) => `"${process.execPath}" "${clis[name]}"`);
}

test('README’s commands run', { timeout: 20 * minute }, async () => {
  const all = commands().filter((command) => !command.startsWith('npm '));
  expect(all.length).toBeGreaterThan(10);
  const folder = await mkdtemp(join(tmpdir(), 'mlbtc-readme-'));
  try {
    await copyFile(join(root, 'docs/near.mlbtc'), join(folder, 'near.mlbtc'));
    await symlink(join(root, 'dist'), join(folder, 'dist'));
    for (const command of all) {
      await run('sh', ['-c', runnable(command)], { cwd: folder }).catch(({ stdout, stderr }) => {
        throw new Error(`${command}\n${stdout}${stderr}`);
      });
    }
    expect(await readdir(join(folder, 'runs'))).toEqual(expect.arrayContaining(['icl-tiny', 'lm-tiny', 'lm-tiny-2']));
    expect(await readdir(folder)).toEqual(expect.arrayContaining(['out', 'out.safetensors']));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
