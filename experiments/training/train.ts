/**
 * The training loop: one submission a step, nothing awaited but the pace; metrics, evaluations, checkpoints and plots as they
 * fall due. What a step computes is entirely in its program (training-step.ts).
 *
 * The trap: values that are read back arrive some steps later. So a record is made of the step at which it was asked for, and a
 * divergence is noticed late; the state has stopped at the right step by itself (adamw.ts).
 */

import { DivergedError, InterruptedError } from '../../compiler/command-line/errors.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { scoreOf } from '../models/in-context.ts';
import type { IclOptions, ResolvedIcl } from '../options/icl.ts';
import { zeroAtStart } from '../options/model.ts';
import { plotRun } from '../plots/run.ts';
import { writeCheckpoint } from '../runs/checkpoint.ts';
import type { RunFolder } from '../runs/folder.ts';
import { appendMetrics, type EvaluationRecord } from '../runs/metrics.ts';
import type { BaselineErrors } from '../tasks/baselines.ts';
import { curriculumStages, type Stage, stageAt } from '../tasks/curriculum.ts';
import { feedPrompts } from '../tasks/pools.ts';
import { dimsInput } from '../tasks/regression.ts';
import { packArena } from './arena.ts';
import { biasCorrections, rateMultiplier } from './learning-rate.ts';
import { initialValue } from './mup.ts';
import type { Progress } from './progress.ts';
import { type CompiledStep, compileStep, type RunSettings, type SharedState, stageBaselines } from './stage.ts';

export interface TrainingIo {
  readonly opened: OpenedDevice;
  readonly folder: RunFolder;
  readonly progress: Progress;
  /** Asked before every step. */
  readonly interrupted: () => boolean;
}

export interface TrainingResult {
  readonly steps: number;
  readonly evaluation: EvaluationRecord;
}

/** Steps of a `--test_run`. */
const testRunSteps = 100;
/** The next stage is compiled so many steps before it is due, or half an interval where that is less. */
const compileAheadSteps = 200;
/** Plots are drawn at evaluations, but no more often than this. */
const plotEveryMs = 30_000;
const smoothing = 0.9;

export function stagesOf(options: IclOptions): readonly Stage[] {
  const { n_dims: nDims } = options;
  if (options.test_run) return [{ step: 0, dims: nDims, points: 2 * nDims }];
  const increments = options.training_curriculum_adaptive_inc
    ? undefined
    : {
        dims: options.training_curriculum_dims_inc as number,
        points: options.training_curriculum_points_inc as number,
      };
  const stages = curriculumStages({
    nDims,
    trainSteps: options.training_train_steps,
    dimsStart: options.training_curriculum_dims_start,
    pointsStart: options.training_curriculum_points_start,
    intervalSteps: options.training_curriculum_dims_interval,
    increments,
    warmupRatio: options.training_curriculum_warmup_ratio,
  });
  // A first step beyond the end would not fit the positions (the reference stops there); it is clamped like the others.
  const clamp = ({ step, dims, points }: Stage) => ({
    step,
    dims: Math.min(dims, nDims),
    points: Math.min(points, 2 * nDims),
  });
  return stages.map(clamp).filter((stage, i, all) => i === 0 || !sameSize(stage, all[i - 1]));
}

function sameSize(a: Stage, b: Stage): boolean {
  return a.dims === b.dims && a.points === b.points;
}

/** Trains to the end. Throws InterruptedError after a checkpoint, DivergedError naming step and tensor. */
export async function train(resolved: ResolvedIcl, io: TrainingIo): Promise<TrainingResult> {
  const { options } = resolved;
  const { opened, folder, progress } = io;
  const settings: RunSettings = { options, score: scoreOf(options, resolved.sizes), opened };
  const steps = options.test_run ? testRunSteps : options.training_train_steps;
  const stages = stagesOf(options);
  const first = await compileStep(settings, stages[0].points, undefined);
  const { state } = first;
  let compiled = first.compiled;
  let current = enterStage(compiled, stages[0], options, folder);
  let next: { readonly points: number; readonly made: Promise<CompiledStep> } | undefined;
  initialise(compiled, state, options);

  const log = createLog(options, steps, io);
  let lastPlotMs = performance.now();
  const save = async (done: number) => {
    const found = await state.executor.download('params', 'm', 'v');
    const [params, m, v] = ['params', 'm', 'v'].map((name) => found.get(name) as Float32Array);
    const { arena } = compiled.step;
    writeCheckpoint(folder.checkpointsPath, arena, { step: done, params, m, v }, options.training_keep_every_steps);
  };
  const evaluate = async (done: number): Promise<EvaluationRecord> => {
    const { dims, points } = current.stage;
    const { pointwise, prompts } = await compiled.evaluate(dims);
    const loss = pointwise.reduce((sum, value) => sum + value, 0) / points;
    const baselines = Object.fromEntries(
      Object.entries(current.baselines).map(([name, errors]) => [name, [...errors]]),
    );
    const record: EvaluationRecord = {
      kind: 'evaluation',
      step: done,
      loss,
      pointwise: [...pointwise],
      dims,
      points,
      prompts,
      baselines,
    };
    appendMetrics(folder.metricsPath, record);
    return record;
  };

  let step = 0;
  try {
    for (; step < steps; step += 1) {
      if (io.interrupted()) break;
      log.check();
      const stage = stageAt(stages, step);
      if (stage !== current.stage) {
        if (stage.points !== compiled.points) {
          await log.finish();
          const made =
            next?.points === stage.points
              ? await next.made
              : (await compileStep(settings, stage.points, state)).compiled;
          compiled.destroy();
          compiled = made;
          next = undefined;
        }
        current = enterStage(compiled, stage, options, folder);
      }
      feed(compiled, options, step);
      const due = step === 0 || step + 1 === steps || (step + 1) % options.wandb_log_every_steps === 0;
      if (due) log.ask(compiled, current, step);
      else compiled.runner.run();
      await compiled.runner.executor.pace();
      const done = step + 1;
      if (done % options.evaluation_interval === 0 && done < steps) {
        await evaluate(done);
        if (performance.now() - lastPlotMs > plotEveryMs) {
          await plotRun(folder, resolved);
          lastPlotMs = performance.now();
        }
      }
      if (done % options.training_save_every_steps === 0 && done < steps) await save(done);
      next ??= prepareNext(settings, stages, step, state, compiled.points);
    }
    await log.finish();
    await save(step);
    if (step < steps) {
      progress.end();
      await plotRun(folder, resolved);
      throw new InterruptedError(`interrupted after step ${step}; its checkpoint is in ${folder.checkpointsPath}`);
    }
    const evaluation = await evaluate(step);
    progress.end();
    await plotRun(folder, resolved);
    return { steps, evaluation };
  } catch (error) {
    progress.end();
    if (!(error instanceof DivergedAt)) throw error;
    const tensor = (await compiled.firstNonFinite(error.step, current.stage.dims)) ?? 'loss';
    throw new DivergedError(
      `training diverged at step ${error.step + 1}: ${tensor} is not finite there` +
        `${tensor === 'loss' ? '' : ', the first tensor that is not'}; ` +
        'a lower --training_learning_rate or a longer --warmup may help',
    );
  } finally {
    compiled.destroy();
    next?.made.then(
      (unused) => unused.destroy(),
      () => undefined,
    );
    state.executor.destroy();
  }
}

/** The loop's own signal: the state froze at this step, counted from 0. */
class DivergedAt extends Error {
  readonly step: number;
  constructor(step: number) {
    super(`diverged at step ${step}`);
    this.step = step;
  }
}

function initialise({ step: { arena } }: CompiledStep, state: SharedState, options: IclOptions): void {
  const packed = packArena(arena, (param) => initialValue(param, options.seed, zeroAtStart));
  state.executor.upload('params', packed);
}

interface CurrentStage {
  readonly stage: Stage;
  readonly baselines: BaselineErrors;
}

function enterStage({ runner }: CompiledStep, stage: Stage, options: IclOptions, folder: RunFolder): CurrentStage {
  const baselines = stageBaselines(options, stage);
  runner.upload('dims', dimsInput(stage.dims));
  const errors = Object.fromEntries(Object.entries(baselines).map(([name, values]) => [name, [...values]]));
  appendMetrics(folder.metricsPath, { kind: 'stage', ...stage, baselines: errors });
  return { stage, baselines };
}

/** Uploads what changes from step to step. */
function feed({ runner }: CompiledStep, options: IclOptions, step: number): void {
  const { first, rootSecond } = biasCorrections(step + 1, options.beta1, options.beta2);
  runner.upload('hyper', new Float32Array([multiplierAt(options, step), first, rootSecond]));
  feedPrompts(runner.upload, options, step);
}

function multiplierAt(options: IclOptions, step: number): number {
  const { warmup, training_train_steps: decaySteps, min_lr_ratio: floor } = options;
  return rateMultiplier(step + 1, { warmup, decaySteps, floor });
}

function prepareNext(
  settings: RunSettings,
  stages: readonly Stage[],
  step: number,
  state: SharedState,
  currentPoints: number,
) {
  const ahead = Math.min(compileAheadSteps, settings.options.training_curriculum_dims_interval / 2);
  const due = stages.find((stage) => stage.step > step && stage.points !== currentPoints);
  if (due === undefined || due.step - step > ahead) return undefined;
  const made = compileStep(settings, due.points, state).then(({ compiled }) => compiled);
  // Whoever awaits it hears of a failure; until then it must not end the process.
  made.catch(() => undefined);
  return { points: due.points, made };
}

/** Reads loss and errors of the steps that were asked for, when they are ready; writes metrics and tells the progress. */
function createLog(options: IclOptions, steps: number, { folder, progress }: TrainingIo) {
  const startMs = performance.now();
  let lastStep = 0;
  let lastMs = startMs;
  let smoothPoint: number | undefined;
  let failure: unknown;
  let pending = Promise.resolve();

  const take = ({ stage, baselines }: CurrentStage, step: number, found: ReadonlyMap<string, ArrayLike<number>>) => {
    const diverged = (found.get('diverged') as ArrayLike<number>)[0];
    if (diverged !== 0) throw new DivergedAt(diverged - 1);
    const { dims, points } = stage;
    const loss = (found.get('loss') as ArrayLike<number>)[0];
    const pointwise = Array.from(found.get('pointwise') as ArrayLike<number>);
    const nowMs = performance.now();
    const stepsPerSecond = (1000 * (step + 1 - lastStep)) / Math.max(1e-3, nowMs - lastMs);
    [lastStep, lastMs] = [step + 1, nowMs];
    const lr = options.training_learning_rate * multiplierAt(options, step);
    const timeS = (nowMs - startMs) / 1000;
    appendMetrics(folder.metricsPath, {
      kind: 'train',
      step: step + 1,
      loss,
      pointwise,
      dims,
      points,
      lr,
      stepsPerSecond,
      timeS,
    });
    const point = pointwise[points - 1];
    smoothPoint = smoothPoint === undefined ? point : smoothing * smoothPoint + (1 - smoothing) * point;
    progress.update({
      step: step + 1,
      steps,
      loss,
      lastPoint: smoothPoint,
      leastSquares: baselines['least squares'][points - 1],
      stepsPerSecond,
    });
  };

  return {
    ask: (compiled: CompiledStep, current: CurrentStage, step: number) => {
      const reading = compiled.runner.executor.runAndRead('loss', 'pointwise', 'diverged');
      pending = pending
        .then(() => reading)
        .then((found) => take(current, step, found))
        .catch((error) => {
          failure ??= error;
        });
      reading.catch(() => undefined);
    },
    /** Throws what a reading has found wrong. */
    check: () => {
      if (failure !== undefined) throw failure;
    },
    finish: async () => {
      await pending;
      if (failure !== undefined) throw failure;
    },
  };
}
