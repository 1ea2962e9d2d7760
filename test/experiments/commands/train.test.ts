import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inFolder } from '../../support/folder.ts';

const command = new URL('../../../dist/experiments/mlbtc.js', import.meta.url).pathname;
const small = [
  ...['--n_dims=2', '--d_model=8', '--n_head=2', '--n_layer=1', '--token_mixing_struct=low_rank', '--warmup=2'],
  ...['--training_batch_size=4', '--evaluation_samples_multiplier=1', '--wandb_log_every_steps=1'],
  '--training_curriculum_dims_start=2 --training_curriculum_points_start=4',
].join(' ');

/** `await COMMAND` waits until it succeeds, or until the process `$run` has ended. */
const wait = 'await() { until "$@" || ! kill -0 $run 2> gone; do sleep 0.05; done; }';

/** Runs shell lines in the folder, with `$TRAIN OPTIONS` to train a very small model. */
const shell = (folder: string, ...lines: readonly string[]) =>
  execFileSync('sh', ['-c', [wait, ...lines].join('\n')], {
    cwd: folder,
    env: { ...process.env, TRAIN: `${process.execPath} ${command} train icl ${small}` },
    encoding: 'utf8',
  });

describe.skipIf(!existsSync(command) || process.platform === 'win32')('a run as a process', () => {
  test('goes on to its end when nobody reads what it says', () =>
    inFolder((folder) => {
      shell(folder, '$TRAIN --steps=3 --out_dir=run 2>&1 | true');
      expect(readdirSync(join(folder, 'run/checkpoints'))).toEqual(['step-00000003.safetensors']);
    }));

  test('that needs more memory than there is is refused before its first step, with the option that fits; nothing is left behind', () =>
    inFolder((folder) => {
      const text = shell(folder, '$TRAIN --training_batch_size=100000000 --out_dir=run > log 2> err; echo $?; cat err');
      expect(text).toMatch(
        /^3\nerror: training takes [\d.]+ [GT]iB of memory \(params and optimizer .*\), (this machine|the device '.*') has .* free\n {2}help: --training_batch_size=\d+ takes [\d.]+ [MG]iB\n$/,
      );
      expect(existsSync(join(folder, 'run'))).toBe(false);
    }));

  test('asked for a checkpoint by a scheduler it writes one and goes on; ended by one it writes one', () =>
    inFolder((folder) => {
      const text = shell(
        folder,
        '$TRAIN --steps=1000000 --out_dir=run > log 2> err & run=$!',
        'await grep -qs \'"step":3,\' run/metrics.jsonl',
        'kill -USR1 $run; await grep -q "checkpoint as asked" log',
        'twice() { [ $(grep -c "checkpoint as asked" log) = 2 ]; }',
        'kill -USR2 $run; await twice',
        'kill -HUP $run; kill -TERM $run; wait $run; echo $?',
      );
      expect(text).toBe('130\n');
      expect(readdirSync(join(folder, 'run/checkpoints'))).toHaveLength(2);
      expect(readdirSync(join(folder, 'run')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    }));

  test('a second Ctrl-C leaves at once, without a crash', () =>
    inFolder((folder) => {
      const text = shell(
        folder,
        '$TRAIN --steps=1000000 --out_dir=run > log 2> err & run=$!',
        'await grep -qs \'"step":3,\' run/metrics.jsonl',
        'kill -INT $run; sleep 0.03; kill -INT $run 2> gone; wait $run; echo $?; cat err',
      );
      expect(text).toMatch(/^130\n(error: interrupted after step \d+; .*\n)?$/);
    }));
});
