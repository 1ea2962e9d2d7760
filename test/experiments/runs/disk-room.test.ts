/** Disks that are full, that will be, that are read-only: refused before the first step, and survived after it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { diskNeed, type Writing } from '../../../experiments/runs/disk-room.ts';
import { layOut } from '../../../experiments/training/arena.ts';
import { inFolder } from '../../support/folder.ts';

describe('what a run writes', () => {
  const arena = layOut([
    { name: 'W', shape: [100, 100], position: 0, fixed: false, init: { kind: 'constant', value: 0 } },
  ]);
  const task: Writing = {
    steps: 1000,
    logEverySteps: 10,
    evaluateEverySteps: 100,
    saveEverySteps: 50,
    keepEverySteps: 200,
    keepsBest: false,
  };
  const checkpointBytes = 3 * (4 * 10_000 + 256);

  test('params and both moments, for each checkpoint that is there at once', () => {
    // Steps 200, 400, … 1000 for good, two recent ones, the one being written.
    const need = diskNeed(task, arena);
    expect(need).toMatchObject({ checkpointBytes, checkpoints: 8 });
    expect(need.total).toBe(8 * checkpointBytes + need.recordBytes);
    // Only what is saved can be kept: the steps that are multiples of both.
    expect(diskNeed({ ...task, saveEverySteps: 300 }, arena).checkpoints).toBe(1 + 2 + 1);
  });

  test('the best of a language model is kept beside the last', () => {
    const lm = { ...task, saveEverySteps: 100, keepEverySteps: Number.POSITIVE_INFINITY };
    expect(diskNeed({ ...lm, keepsBest: true }, arena).checkpoints).toBe(2 + 1 + 1);
    expect(diskNeed({ ...lm, steps: 50 }, arena).checkpoints).toBe(1 + 1);
  });
});

const command = new URL('../../../dist/experiments/mlbtc.js', import.meta.url).pathname;
const small = [
  ...['--n_dims=2', '--d_model=8', '--n_head=2', '--n_layer=1', '--token_mixing_struct=low_rank', '--warmup=2'],
  ...['--training_batch_size=4', '--evaluation_samples_multiplier=1', '--wandb_log_every_steps=1'],
  ...['--training_curriculum_dims_start=2', '--training_curriculum_points_start=4'],
];

function train(cwd: string, ...words: readonly string[]) {
  const { status, stderr } = spawnSync(process.execPath, [command, 'train', 'icl', ...small, ...words], {
    cwd,
    encoding: 'utf8',
  });
  return { status, stderr };
}

/** A disk of so many bytes, mounted for the time of the action; false where this process may not mount. */
async function onDisk(kibibytes: number, action: (folder: string) => void | Promise<void>): Promise<boolean> {
  return inFolder(async (folder) => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', disk]);
    if (mounted.status !== 0) return false;
    try {
      await action(disk);
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
    return true;
  });
}

const canMount = process.platform === 'linux' && (await onDisk(64, () => undefined));

describe.skipIf(!existsSync(command) || !canMount)('a small disk (needs the right to mount)', () => {
  test('that the run would fill is refused before the first step, with what it takes; nothing is left behind', () =>
    onDisk(512, (disk) => {
      const words = ['--steps=100000', '--training_save_every_steps=10', '--training_keep_every_steps=10'];
      const { status, stderr } = train(disk, ...words, '--out_dir=run');
      expect(stderr).toMatch(
        /^error: the run will write up to \d+ MiB \(\d+ checkpoints of .* KiB at once.*, run has room for \d+ KiB\n {2}help: /,
      );
      expect([status, readdirSync(disk)]).toEqual([3, []]);
    }));

  test('that is full, and one that is read-only, leave nothing half made', () =>
    onDisk(512, (disk) => {
      const fill = join(disk, 'fill');
      spawnSync('dd', ['if=/dev/zero', `of=${fill}`, 'bs=4k']);
      const full = train(disk, '--steps=3', '--out_dir=run');
      expect([full.status, full.stderr]).toEqual([3, expect.stringMatching(/^error: run.*\(ENOSPC\)\n$/)]);
      expect(readdirSync(disk)).toEqual(['fill']);
      execFileSync('mount', ['-o', 'remount,ro', disk]);
      const readOnly = train(disk, '--steps=3', '--out_dir=run');
      expect(readOnly).toEqual({ status: 1, stderr: 'error: run: the file system is read-only (EROFS)\n' });
    }));

  test('that others fill while the run goes ends it with its last checkpoint whole', () =>
    onDisk(8192, (disk) => {
      const long = [
        ...['--steps=1000000', '--training_save_every_steps=5', '--training_keep_every_steps=10000000'],
        ...['--wandb_log_every_steps=1000', '--evaluation_interval=1000'],
      ];
      writeFileSync(
        join(disk, 'run.sh'),
        [
          `"$@" ${long.join(' ')} --out_dir=run 2> ../err > ../log & run=$!`,
          'until ls run/checkpoints 2> ../no | grep -q step || ! kill -0 $run 2> ../no; do sleep 0.02; done',
          'dd if=/dev/zero of=fill bs=4k 2> ../no',
          'wait $run; status=$?; cat ../err; exit $status',
        ].join('\n'),
      );
      const words = ['run.sh', process.execPath, command, 'train', 'icl', ...small];
      const { status, stdout } = spawnSync('sh', words, { cwd: disk, encoding: 'utf8', timeout: 10 * 60_000 });
      expect(stdout).toMatch(
        /^error: run\/.*no space left on the disk \(ENOSPC\); the run has ended, its checkpoint of step \d+ is whole; with room again, `mlbtc resume run`/,
      );
      expect(status).toBe(3);
      const left = readdirSync(join(disk, 'run', 'checkpoints'));
      expect(left.every((name) => /^step-\d+\.safetensors$/.test(name))).toBe(true);
      expect(left.length).toBeGreaterThan(0);
    }));
});

describe.skipIf(!existsSync(command) || process.platform !== 'linux')('a limit to the size of files', () => {
  test('below that of a checkpoint is refused before the first step, with what lifts it', () =>
    inFolder((folder) => {
      const words = [
        'ulimit -f 2000; "$@" --d_model=128 --out_dir=run',
        'sh',
        process.execPath,
        command,
        'train',
        'icl',
      ];
      const { status, stderr } = spawnSync('sh', ['-c', ...words, ...small], { cwd: folder, encoding: 'utf8' });
      expect(stderr).toMatch(
        /^error: a checkpoint takes [\d.]+ MiB, files may have [\d.]+ KiB here\n {2}help: `ulimit -f unlimited`/,
      );
      expect([status, readdirSync(folder)]).toEqual([3, []]);
    }));
});
