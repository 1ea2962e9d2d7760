/**
 * A training that goes on for long, with evaluations, checkpoints and stages of a curriculum, and what this process and the device
 * hold while it does. Flat is flat: what grows with the steps would end a run of weeks.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { scoreOf } from '../../experiments/models/score.ts';
import { resolveIcl } from '../../experiments/options/icl.ts';
import { createRunFolder } from '../../experiments/runs/folder.ts';
import { newTrainingRun } from '../../experiments/runs/training-run.ts';
import { iclTask } from '../../experiments/training/icl-task.ts';
import { train } from '../../experiments/training/loop.ts';
import { createProgress, type ProgressState } from '../../experiments/training/progress.ts';
import { judge } from '../../experiments/training/room.ts';
import { heldMemory } from '../../runtime/buffers.ts';
import type { OpenedDevice } from '../../runtime/device.ts';

export interface SoakSample {
  readonly step: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly deviceBytes: number;
  readonly deviceBuffers: number;
}

export interface Soak {
  readonly samples: readonly SoakSample[];
  /** Of the steps after the last stage has begun and all kinds of things have happened once. */
  readonly settled: readonly SoakSample[];
  /** On the device, before the training and after it. */
  readonly before: number;
  readonly after: number;
  /** What was estimated before the first step. */
  readonly neededBytes: number;
}

export interface SoakSettings {
  readonly outDir: string;
  readonly steps: number;
  readonly sampleEvery: number;
  /** Called before each. */
  readonly eachStep?: () => void;
}

/** Four stages, all begun in the first third; evaluations and checkpoints all the time. */
export async function soak(
  opened: OpenedDevice,
  { outDir, steps, sampleEvery, eachStep = () => undefined }: SoakSettings,
): Promise<Soak> {
  const interval = Math.max(1, Math.floor(steps / 12));
  const resolved = resolveIcl([
    ...['--n_dims=4', '--d_model=8', '--n_head=2', '--n_layer=1', '--token_mixing_struct=low_rank', '--warmup=2'],
    ...['--training_batch_size=4', `--steps=${steps}`, '--wandb_log_every_steps=5', '--evaluation_interval=20'],
    ...['--evaluation_samples_multiplier=2', '--training_save_every_steps=10', '--training_curriculum_dims_start=1'],
    ...['--training_curriculum_points_start=2', `--training_curriculum_dims_interval=${interval}`],
    ...[`--training_curriculum_points_interval=${interval}`, `--out_dir=${outDir}`],
    ...['--training_curriculum_dims_inc=1', '--training_curriculum_points_inc=2'],
  ]);
  const score = scoreOf(resolved.options, resolved.sizes);
  const folder = createRunFolder(newTrainingRun('icl', resolved, score, opened));
  const samples: SoakSample[] = [];
  const before = heldMemory(opened.device).bytes;
  let step = 0;
  const signals = {
    endAsked: () => {
      eachStep();
      if (step >= samples.length * sampleEvery) samples.push(sampleAt(step, opened));
      return false;
    },
    takeCheckpointAsked: () => false,
    asked: () => new Promise<void>(() => undefined),
  };
  const silent = createProgress({ write: () => undefined });
  const update = (state: ProgressState) => {
    step = state.step;
  };
  const progress = { ...silent, update };
  const task = iclTask(resolved, opened, score);
  const neededBytes = judge(task.demand, task.demand.batch, opened).need.total;
  await train(task, { folder, progress, signals });
  const settled = samples.filter((sample) => sample.step > steps / 2);
  return { samples, settled, before, after: heldMemory(opened.device).bytes, neededBytes };
}

function sampleAt(step: number, opened: OpenedDevice): SoakSample {
  collectGarbage();
  const { rss, heapUsed } = process.memoryUsage();
  const { bytes, buffers } = heldMemory(opened.device);
  return { step, residentBytes: rss, heapBytes: heapUsed, deviceBytes: bytes, deviceBuffers: buffers };
}

/** Growth over some samples, the least of the second half less the least of the first: one that is high by chance is no growth. */
export function growth(samples: readonly SoakSample[], of: (sample: SoakSample) => number): number {
  const half = samples.length >> 1;
  const least = (part: readonly SoakSample[]) => Math.min(...part.map(of));
  return least(samples.slice(half)) - least(samples.slice(0, half));
}

let collectGarbage = (): void => {
  setFlagsFromString('--expose-gc');
  collectGarbage = runInNewContext('gc');
  collectGarbage();
};
