/**
 * Devices destroyed on purpose while they train: the run is the one that lost nothing, or it ends and says so.
 * `MLBTC_TEST_LOSSES=20` tries more of them.
 */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { describeError } from '../../../compiler/command-line/errors.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { checkpointPath, checkpointSteps } from '../../../experiments/runs/checkpoint.ts';
import { createRunFolder } from '../../../experiments/runs/folder.ts';
import { readMetrics } from '../../../experiments/runs/metrics.ts';
import { newTrainingRun } from '../../../experiments/runs/training-run.ts';
import { throughDeviceLosses } from '../../../experiments/training/device-losses.ts';
import { iclTask } from '../../../experiments/training/icl-task.ts';
import { train } from '../../../experiments/training/loop.ts';
import { createProgress } from '../../../experiments/training/progress.ts';
import { type OpenedDevice, openDevice } from '../../../runtime/device.ts';
import { reopenDevice } from '../../../runtime/reopen-device.ts';

const parent = mkdtempSync(join(tmpdir(), 'mlbtc-losses-'));
const small = [
  ...['--n_dims=3', '--d_model=8', '--n_head=2', '--n_layer=1', '--token_mixing_struct=bilinear_BTT'],
  ...['--training_batch_size=4', '--warmup=2', '--steps=16', '--wandb_log_every_steps=1', '--evaluation_interval=5'],
  ...['--evaluation_samples_multiplier=2', '--training_save_every_steps=4', '--training_curriculum_dims_start=2'],
  ...['--training_curriculum_points_start=4', '--training_curriculum_dims_interval=8'],
  '--training_curriculum_points_interval=8',
];
const steps = 16;
let runs = 0;
const devices = new Set<OpenedDevice>();
afterAll(() => {
  for (const device of devices) device.destroy();
});

/** A run whose device is destroyed before the steps for which `loses` says so; it is asked before every step. */
async function run(loses: (device: OpenedDevice, asked: number) => void) {
  runs += 1;
  const resolved = resolveIcl([...small, `--out_dir=${join(parent, `run${runs}`)}`]);
  const score = scoreOf(resolved.options, resolved.sizes);
  let current = await openDevice();
  devices.add(current);
  const folder = createRunFolder(newTrainingRun('icl', resolved, score, current));
  const said: string[] = [];
  const progress = createProgress({ write: () => undefined });
  let asked = 0;
  const signals = {
    endAsked: () => {
      asked += 1;
      loses(current, asked);
      return false;
    },
    takeCheckpointAsked: () => false,
    asked: () => new Promise<void>(() => undefined),
  };
  const ended = await throughDeviceLosses(current, {
    folder,
    from: undefined,
    train: (opened, from) => train(iclTask(resolved, opened, score), { folder, progress, signals, from }),
    reopen: async (lost) => {
      current = await reopenDevice(lost, {});
      devices.add(current);
      return current;
    },
    say: (line) => said.push(line),
  }).then(
    () => undefined,
    (error: unknown) => error,
  );
  current.destroy();
  const curve = readMetrics(folder.metricsPath).map((record) => ({ ...record, timeS: 0, stepsPerSecond: 0 }));
  return { ended, said, curve, last: () => readFileSync(checkpointPath(folder.checkpointsPath, steps)), folder };
}

const whole = run(() => undefined);

test('lost at random steps, while it evaluates, computes or is on its way to another shape: the same run, bit for bit', async () => {
  const expected = await whole;
  expect(expected.ended).toBeUndefined();
  // Once between two checkpoints, so that it gets on; before a step or in the midst of what comes then.
  const losses = fc.record({
    at: fc.tuple(...[2, 12].map((first) => fc.integer({ min: first, max: first + 7 }))),
    lateMs: fc.option(fc.integer({ min: 0, max: 40 })),
  });
  for (const { at: places, lateMs } of fc.sample(losses, {
    seed: 20261126,
    numRuns: Number(process.env.MLBTC_TEST_LOSSES ?? 2),
  })) {
    const at = new Set(places);
    const { ended, said, curve, last } = await run((device, asked) => {
      if (!at.delete(asked)) return;
      if (lateMs === null) device.device.destroy();
      else setTimeout(() => device.device.destroy(), lateMs);
    });
    expect(ended).toBeUndefined();
    expect(said.length).toBeGreaterThan(0);
    expect(said[0]).toMatch(/^the device '.*' was lost: .*; it is opened again, and the run goes on from /);
    expect(curve).toEqual(expected.curve);
    expect(last().equals(expected.last())).toBe(true);
  }
});

test('lost again and again without getting on, the run ends with what to do', async () => {
  let asked = 0;
  const { ended, said, folder } = await run((device) => {
    asked += 1;
    if (asked > 6) device.device.destroy();
  });
  const { message, exitCode } = describeError(ended);
  expect(exitCode).toBe(3);
  expect(message).toMatch(
    /was lost: .*; that was the loss number 3 since its checkpoint of step 4, so the run ends here/,
  );
  expect(message).toContain(`\`mlbtc resume ${folder.path}\` goes on`);
  expect(said).toHaveLength(2);
  expect(checkpointSteps(folder.checkpointsPath)).toEqual([4]);
});

test('what is no loss is told as it is', async () => {
  const device = await openDevice();
  const training = {
    folder: (await whole).folder,
    from: undefined,
    train: () => Promise.reject(new Error('something else')),
    reopen: () => Promise.reject(new Error('not asked for')),
    say: () => undefined,
  };
  await expect(throughDeviceLosses(device, training)).rejects.toThrow('something else');
  device.destroy();
});
