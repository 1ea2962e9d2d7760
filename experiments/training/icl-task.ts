/**
 * In-context regression as the loop's task: a compiled step for each number of points, stages of the curriculum, held-out prompts
 * with their baselines.
 *
 * The trap: how many coordinates are in use is an input of the step, so stages that differ in it alone share one.
 */
import type { Program, Tensor } from '../../compiler/ir/program.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { inContextProgram } from '../models/model.ts';
import { referenceCounts, referenceFlops } from '../models/reference-counts.ts';
import { modelSource, type Score, scoreOf } from '../models/score.ts';
import { curriculumSettings, type IclOptions, type ResolvedIcl, testRunSteps } from '../options/icl.ts';
import { plotIclRun } from '../plots/icl-run.ts';
import type { IclEvaluationRecord, IclTrainRecord } from '../runs/metrics.ts';
import { type BaselineCurves, baselineCurves, baselineErrors } from '../tasks/baselines.ts';
import { bootstrapped, type Curve } from '../tasks/bootstrap.ts';
import { curriculumStages, type Stage } from '../tasks/curriculum.ts';
import { affordable, promptsOnHost } from '../tasks/held-out.ts';
import { feedPrompts, poolSizes, promptNumbers } from '../tasks/pools.ts';
import { dimsInput, drawnPrompts, type PromptShape, streams } from '../tasks/prompts.ts';
import { iclTasks, taskFileOf } from '../tasks/tasks.ts';
import { optimizerTables } from './arena.ts';
import { deviceRunner } from './device-runner.ts';
import type { DryStep, StepPrograms } from './dry-run.ts';
import { forwardMultiplyAddsPerToken, trainingFlopsPerToken } from './flops.ts';
import { firstNonFinite } from './inspect.ts';
import { lazyRunner, uploadWhereRead } from './lazy-runner.ts';
import { biasCorrections, rateMultiplier } from './learning-rate.ts';
import { withinMemory } from './memory-limit.ts';
import { initialValue } from './mup.ts';
import { once } from './once.ts';
import { planOf } from './plans.ts';
import { short } from './progress.ts';
import { halvedBatches } from './room.ts';
import { makeState, type SharedState } from './state.ts';
import type { StepProgram } from './step.ts';
import type { CompiledTask, Task } from './task.ts';
import { evaluationStep, optimizerSettings, trainingStep } from './training-step.ts';
import { type Work, workBefore } from './work.ts';

/** A stage with the baselines of its held-out prompts. */
export interface IclPhase extends Stage {
  readonly baselines: BaselineCurves;
}

export interface CompiledIcl extends CompiledTask<IclPhase> {
  /** Of all held-out prompts with so many dims: the loss, and the error at each point. */
  evaluate(dims: number): Promise<{ readonly loss: number; readonly errors: Curve; readonly prompts: number }>;
}

/** The next stage is compiled so many steps before it is due, or half an interval where that is less. */
const compileAheadSteps = 200;
/** Of the last point's error, from line to line. */
const smoothing = 0.9;
/** What is read of a step. */
const logged = ['loss', 'pointwise', 'diverged'] as const;

export function iclTask(
  resolved: ResolvedIcl,
  opened: OpenedDevice,
  score: Score = scoreOf(resolved.options, resolved.sizes, resolved.copies),
): Task<IclPhase, CompiledIcl, IclTrainRecord, IclEvaluationRecord> {
  const { options } = resolved;
  const phases = stagesOf(options).map((stage) => withBaselines(options, stage));
  const ofAStep = iclWork(options, score);
  let smoothPoint: number | undefined;
  const { points: lastPoints } = phases[phases.length - 1];
  const programs = iclPrograms(options, score, lastPoints);
  return {
    opened,
    demand: {
      batch: options.training_batch_size,
      programs: (batch) => {
        if (batch === options.training_batch_size) return programs(lastPoints);
        return stepPrograms({ ...options, training_batch_size: batch }, score, lastPoints);
      },
      within: (memory) => stepPrograms({ ...options, memory }, score, lastPoints),
      smaller: halvedBatches(options.training_batch_size, (batch) => `--training_batch_size=${batch}`),
      changesShape: changesShape(phases),
    },
    steps: iclSteps(options),
    logEverySteps: options.wandb_log_every_steps,
    evaluateEverySteps: options.evaluation_interval,
    saveEverySteps: options.training_save_every_steps,
    keepEverySteps: options.training_keep_every_steps,
    keepsBest: false,
    phases,
    compileAheadSteps: Math.min(compileAheadSteps, options.training_curriculum_dims_interval / 2),
    sameShape: (a, b) => a.points === b.points,
    compile: ({ points }, state) => compileStep({ options, score, opened }, programs(points), points, state),
    initialValue: (param) => initialValue(param, options.seed),
    begun: ({ step, dims, points, baselines }) => ({
      kind: 'stage',
      step,
      dims,
      points,
      baselines: meansOf(baselines),
    }),
    record: (facts, { dims, points }, found) => ({
      kind: 'train',
      ...facts,
      pointwise: Array.from(found.get('pointwise') as ArrayLike<number>),
      dims,
      points,
      lr: options.training_learning_rate * multiplierAt(options, facts.step - 1),
      ...workBefore(phases, ofAStep, facts.step),
    }),
    shown: (record, { points, baselines }) => {
      const { step, loss, stepsPerSecond, pointwise } = record;
      const point = pointwise[points - 1];
      smoothPoint = smoothPoint === undefined ? point : smoothing * smoothPoint + (1 - smoothing) * point;
      const steps = iclSteps(options);
      const [beside] = iclTasks[options.training_task].baselines;
      const best = baselines[beside]?.mean[points - 1] ?? Number.NaN;
      const detail = `last point ${short(smoothPoint)} (${beside} ${short(best)})`;
      return { step, steps, loss, detail, stepsPerSecond };
    },
    evaluate: async (compiled, { dims, points, baselines }, step): Promise<IclEvaluationRecord> => {
      const { loss, errors, prompts } = await compiled.evaluate(dims);
      return {
        kind: 'evaluation',
        step,
        loss,
        pointwise: errors.mean,
        dims,
        points,
        prompts,
        baselines: meansOf(baselines),
        intervals: { model: intervalOf(errors), ...mapValues(baselines, intervalOf) },
      };
    },
    plot: (folder) => plotIclRun(folder, resolved),
    remedy: 'a lower --training_learning_rate or a longer --warmup may help',
  };
}

export function iclSteps({ test_run, training_train_steps }: IclOptions): number {
  return test_run ? testRunSteps : training_train_steps;
}

function mapValues<T>(curves: BaselineCurves, of: (curve: Curve) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(curves).map(([name, curve]) => [name, of(curve)]));
}

function meansOf(curves: BaselineCurves): Record<string, number[]> {
  return mapValues(curves, ({ mean }) => mean);
}

function intervalOf({ low, high }: Curve) {
  return { low, high };
}

/** The baselines are worked out when they are first asked for: a curriculum may have many stages. */
function withBaselines(options: IclOptions, stage: Stage): IclPhase {
  let known: BaselineCurves | undefined;
  return {
    ...stage,
    get baselines() {
      known ??= stageBaselines(options, stage);
      return known;
    },
  };
}

/** Of a step of a stage, which its number of points decides. */
export function iclWork(options: IclOptions, score: Score): (stage: Pick<Stage, 'points'>) => Work {
  const known = new Map<number, Work>();
  return ({ points }) => {
    const found = known.get(points);
    if (found !== undefined) return found;
    const batch = options.training_batch_size;
    const tokens = batch * 2 * points;
    const model = inContextProgram(options, score, { batch, points });
    const work = { tokens, flops: tokens * trainingFlopsPerToken(model, 'pred', tokens) };
    known.set(points, work);
    return work;
  };
}

export function stagesOf(options: IclOptions): readonly Stage[] {
  const { n_dims: nDims } = options;
  if (options.test_run) return [{ step: 0, dims: nDims, points: 2 * nDims }];
  const stages = curriculumStages(curriculumSettings(options));
  // A first step beyond the end would not fit the positions (the reference stops there); it is clamped like the others.
  const clamp = ({ step, dims, points }: Stage) => ({
    step,
    dims: Math.min(dims, nDims),
    points: Math.min(points, 2 * nDims),
  });
  return stages.map(clamp).filter((stage, i, all) => i === 0 || !sameSize(stage, all[i - 1]));
}

/** While it goes on to another number of points two steps are there. */
function changesShape(stages: readonly Stage[]): boolean {
  return stages.some(({ points }) => points !== stages[0].points);
}

function sameSize(a: Stage, b: Stage): boolean {
  return a.dims === b.dims && a.points === b.points;
}

/** What a step of the last stage is, for `--dry_run`. */
export function iclDryStep(options: IclOptions, score: Score): DryStep {
  const stages = stagesOf(options);
  const { points } = stages[stages.length - 1];
  const { model, parts, evaluation } = stepPrograms(options, score, points);
  const tokens = 2 * points;
  const counted = { model: 'in-context' as const, tokens: 4 * options.n_dims, features: options.n_dims };
  const counts = referenceCounts(options, counted);
  return {
    parts,
    evaluation,
    flopsPerToken: {
      reference: counts === undefined ? null : referenceFlops(counts, false),
      actual: forwardMultiplyAddsPerToken(model, 'pred', options.training_batch_size * tokens),
    },
    stages: stages.map(({ step: from, dims, points: some }) => ({ step: from, dims, points: some })),
  };
}

/** What runs on the device for a number of points. */
interface IclPrograms extends StepPrograms {
  readonly model: Program;
  /** Of training, drawn on the device. */
  readonly prompts: readonly Tensor[];
  readonly step: StepProgram;
}

/** The programs for a number of points; those of the last stage are kept, since they are asked for before the first step. */
function iclPrograms(options: IclOptions, score: Score, lastPoints: number): (points: number) => IclPrograms {
  const last = once(() => stepPrograms(options, score, lastPoints));
  return (points) => (points === lastPoints ? last() : stepPrograms(options, score, points));
}

function stepPrograms(options: IclOptions, score: Score, points: number): IclPrograms {
  const batch = options.training_batch_size;
  const model = inContextProgram(options, score, { batch, points, answers: iclTasks[options.training_task].answers });
  const shape = { batch, points, nDims: options.n_dims };
  const prompts = trainingPrompts(options, shape);
  const step = trainingStep(model, prompts, optimizerSettings(options), ['loss', 'pointwise']);
  const evaluation = evaluationStep(model, evaluationPrompts(options, shape), ['loss', 'error']).program;
  const programs = { model, prompts, step, parts: [{ program: step.program, times: 1 }], evaluation };
  return withinMemory(options.memory, changesShape(stagesOf(options)) ? 2 : 1, programs);
}

function trainingPrompts(options: IclOptions, shape: PromptShape): readonly Tensor[] {
  const sizes = poolSizes(options);
  const pool = { examples: sizes.examples !== null, tasks: sizes.tasks !== null };
  return drawnPrompts(shape, streams.train, taskFileOf(options), { pool });
}

function evaluationPrompts(options: IclOptions, shape: PromptShape): readonly Tensor[] {
  return options.evaluation_reuse_training_seeds
    ? trainingPrompts(options, shape)
    : drawnPrompts(shape, streams.evaluate, taskFileOf(options));
}

/** Compiles the step for a number of points. */
async function compileStep(
  { options, score, opened }: { readonly options: IclOptions; readonly score: Score; readonly opened: OpenedDevice },
  { model, prompts, step, evaluation }: IclPrograms,
  points: number,
  state: SharedState | undefined,
): Promise<{ readonly compiled: CompiledIcl; readonly state: SharedState }> {
  const batch = options.training_batch_size;
  const shared = state ?? (await makeState(opened, step.arena));
  const runner = await deviceRunner(opened, step.program, shared.buffers);
  const seed = new Int32Array([options.seed]);
  const tables = optimizerTables(step.arena, options.training_learning_rate, options.weight_decay, step.untouched);
  runner.upload('rate', tables.rate);
  if (options.weight_decay > 0) runner.upload('decay', tables.decay);
  runner.upload('seed', seed);
  const batches = options.evaluation_samples_multiplier;
  const evaluator = lazyRunner(async () => {
    const made = await deviceRunner(opened, evaluation, shared.buffers);
    made.upload('seed', seed);
    return made;
  });
  const feed = (at: number) => {
    const { first, rootSecond } = biasCorrections(at + 1, options.beta1, options.beta2);
    runner.upload('hyper', new Float32Array([multiplierAt(options, at), first, rootSecond]));
    feedPrompts(runner.upload, options, at);
  };
  const compiled: CompiledIcl = {
    arena: step.arena,
    plans: { step: runner.plan, evaluation: planOf(evaluation, opened.target) },
    enter: ({ dims }) => runner.upload('dims', dimsInput(dims)),
    run: (at) => {
      feed(at);
      runner.run();
    },
    runAndRead: (at) => {
      feed(at);
      return runner.executor.runAndRead(...logged);
    },
    profile: async (at) => {
      feed(at);
      return { kernels: await runner.profile(), reading: await runner.download(...logged) };
    },
    pace: () => runner.executor.pace(),
    evaluate: async (dims) => {
      const evaluating = await evaluator.get();
      const { executor } = evaluating;
      const upload = uploadWhereRead(evaluating);
      upload('dims', dimsInput(dims));
      const errors = new Float64Array(batches * batch * points);
      const losses = new Float64Array(batches);
      const read: Promise<void>[] = [];
      for (let batchNumber = 0; batchNumber < batches; batchNumber += 1) {
        feedPrompts(upload, options, batchNumber);
        const reading = executor.runAndRead('loss', 'error').then((found) => {
          errors.set(found.get('error') as Float32Array, batchNumber * batch * points);
          losses[batchNumber] = (found.get('loss') as Float32Array)[0];
        });
        read.push(reading);
        // A device that is lost meanwhile is told by the wait below.
        reading.catch(() => undefined);
        await executor.pace();
      }
      await Promise.all(read);
      const loss = losses.reduce((sum, value) => sum + value, 0) / batches;
      return { loss, errors: bootstrapped(errors, points), prompts: batches * batch };
    },
    firstNonFinite: (at, { dims }) =>
      firstNonFinite({
        opened,
        state: shared,
        model,
        batch: prompts,
        sourceOf: (file) => modelSource(score, file),
        feed: (upload) => {
          upload('seed', seed);
          upload('dims', dimsInput(dims));
          feedPrompts(upload, options, at);
        },
      }),
    destroy: () => {
      runner.destroy();
      evaluator.destroy();
    },
  };
  return { compiled, state: shared };
}

function multiplierAt(options: IclOptions, step: number): number {
  const { warmup, min_lr_ratio: floor } = options;
  const decaySteps = options.lr_decay_steps ?? options.training_train_steps;
  return rateMultiplier(step + 1, { warmup, decaySteps, floor });
}

/** Baselines of a stage's held-out prompts. */
export function stageBaselines(options: IclOptions, { dims, points }: Stage): BaselineCurves {
  const { baselines, answers } = iclTasks[options.training_task];
  const { seed, n_dims: nDims, evaluation_reuse_training_seeds: isReused } = options;
  const wanted = { batch: options.training_batch_size, points, nDims };
  const { batch, batches } = affordable(wanted, baselines, options.evaluation_samples_multiplier);
  const shape = { ...wanted, batch };
  const prompts = promptsOnHost(evaluationPrompts(options, shape), shape, {
    seed,
    dims,
    batches,
    ...(isReused ? { numbersOf: (step: number) => promptNumbers(options, step) } : {}),
  });
  return baselineCurves(baselineErrors(prompts, baselines, answers), points);
}
