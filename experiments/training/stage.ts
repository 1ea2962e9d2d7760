/**
 * The training step on the device, for one number of points, and what evaluates it. Stages of the curriculum with as many points
 * are the same compiled step; all share the state (params, moments) by its buffers, so that going on moves no data.
 *
 * The trap: the state must outlive every stage. Its buffers belong to an executor of their own that runs no kernel.
 */
import type { OpenedDevice } from '../../runtime/device.ts';
import { createExecutor, type Executor } from '../../runtime/executor.ts';
import { inContextProgram } from '../models/in-context.ts';
import type { Score } from '../models/score.ts';
import type { IclOptions } from '../options/icl.ts';
import type { BaselineErrors } from '../tasks/baselines.ts';
import type { Stage } from '../tasks/curriculum.ts';
import { heldOutBaselines } from '../tasks/held-out.ts';
import { feedPrompts, poolSizes, promptNumbers } from '../tasks/pools.ts';
import { dimsInput, drawnPrompts, streams } from '../tasks/regression.ts';
import { optimizerTables } from './arena.ts';
import { type DeviceRunner, deviceRunner } from './device-runner.ts';
import type { StepProgram } from './step.ts';
import { evaluationStep, inspectionStep, type OptimizerSettings, trainingStep } from './training-step.ts';

export interface RunSettings {
  readonly options: IclOptions;
  readonly score: Score;
  readonly opened: OpenedDevice;
}

/** A training step for a number of points, on the device. */
export interface CompiledStep {
  readonly points: number;
  readonly step: StepProgram;
  readonly runner: DeviceRunner;
  /** Mean squared error at each point over all held-out prompts with so many dims. */
  evaluate(dims: number): Promise<{ readonly pointwise: readonly number[]; readonly prompts: number }>;
  /** Name of the first tensor, in the order of computation, that is not finite at a step; undefined if all are. */
  firstNonFinite(step: number, dims: number): Promise<string | undefined>;
  destroy(): void;
}

/** The state's buffers by tensor name, for all stages. */
export interface SharedState {
  readonly executor: Executor;
  readonly buffers: ReadonlyMap<string, GPUBuffer>;
}

export const stateNames = ['params', 'm', 'v', 'diverged'] as const;

export function optimizerSettings(options: IclOptions): OptimizerSettings {
  const { beta1, beta2, weight_decay: weightDecay, grad_clip: gradClip } = options;
  return { beta1, beta2, weightDecay, gradClip };
}

/** Compiles the step for a number of points. Without `state` it is made: the params are zero then. */
export async function compileStep(
  { options, score, opened }: RunSettings,
  points: number,
  state: SharedState | undefined,
): Promise<{ readonly compiled: CompiledStep; readonly state: SharedState }> {
  const batch = options.training_batch_size;
  const shape = { batch, points, nDims: options.n_dims };
  const model = inContextProgram(options, score, { batch, points });
  const sizes = poolSizes(options);
  const pool = { examples: sizes.examples !== null, tasks: sizes.tasks !== null };
  const trainingPrompts = drawnPrompts(shape, streams.train, pool);
  const step = trainingStep(model, trainingPrompts, optimizerSettings(options));
  const shared = state ?? (await makeState(opened, step));
  const runner = await deviceRunner(opened, step.program, shared.buffers);
  const seed = new Int32Array([options.seed]);
  const tables = optimizerTables(step.arena, options.training_learning_rate, options.weight_decay, step.untouched);
  runner.upload('rate', tables.rate);
  if (options.weight_decay > 0) runner.upload('decay', tables.decay);
  runner.upload('seed', seed);
  const batches = options.evaluation_samples_multiplier;
  const evaluator = lazyRunner(async () => {
    const prompts = options.evaluation_reuse_training_seeds ? trainingPrompts : drawnPrompts(shape, streams.evaluate);
    const made = await deviceRunner(opened, evaluationStep(model, prompts).program, shared.buffers);
    made.upload('seed', seed);
    return made;
  });
  const compiled: CompiledStep = {
    points,
    step,
    runner,
    evaluate: async (dims) => {
      const evaluating = await evaluator.get();
      const { executor } = evaluating;
      const upload = uploadWhereRead(evaluating);
      upload('dims', dimsInput(dims));
      const sums = new Float64Array(points);
      const read: Promise<void>[] = [];
      for (let batchNumber = 0; batchNumber < batches; batchNumber += 1) {
        feedPrompts(upload, options, batchNumber);
        const reading = executor.runAndRead('pointwise').then((found) => {
          for (const [p, value] of (found.get('pointwise') as Float32Array).entries()) sums[p] += value;
        });
        read.push(reading);
        await executor.pace();
      }
      await Promise.all(read);
      return { pointwise: Array.from(sums, (sum) => sum / batches), prompts: batches * batch };
    },
    firstNonFinite: (at, dims) => inspect(opened, inspectionStep(model, trainingPrompts), shared, options, at, dims),
    destroy: () => {
      runner.destroy();
      evaluator.destroy();
    },
  };
  return { compiled, state: shared };
}

/** Uploads what the program reads: with a pool there may be no `step`, without one there is no `example`. */
function uploadWhereRead({ plan, upload }: DeviceRunner): (name: string, data: Int32Array | Float32Array) => void {
  const inputs = new Set(plan.inputs);
  return (name, data) => {
    if (inputs.has(name)) upload(name, data);
  };
}

/** Baselines of a stage's held-out prompts. */
export function stageBaselines(options: IclOptions, { dims, points }: Stage): BaselineErrors {
  const shape = { batch: options.training_batch_size, points, nDims: options.n_dims, dims };
  const { seed, evaluation_samples_multiplier: batches, evaluation_reuse_training_seeds: isReused } = options;
  return isReused
    ? heldOutBaselines(shape, streams.train, seed, batches, (step) => promptNumbers(options, step))
    : heldOutBaselines(shape, streams.evaluate, seed, batches);
}

function lazyRunner(make: () => Promise<DeviceRunner>) {
  let made: Promise<DeviceRunner> | undefined;
  return {
    get: () => {
      made ??= make();
      return made;
    },
    destroy: () => void made?.then((runner) => runner.destroy()),
  };
}

/** Buffers for the state, as large as a step's plan wants them. */
async function makeState(opened: OpenedDevice, { arena }: StepProgram): Promise<SharedState> {
  const elements = (name: string) => (name === 'diverged' ? 1 : arena.elements);
  const executor = await createExecutor(opened, {
    buffers: stateNames.map((name) => ({ id: name, sizeBytes: stateBytes(elements(name)) })),
    kernels: [],
    tensors: Object.fromEntries(
      stateNames.map((name) => [
        name,
        { buffer: name, offsetBytes: 0, dtype: 'f32', shape: name === 'diverged' ? [] : [arena.elements] },
      ]),
    ),
  });
  return { executor, buffers: executor.buffers };
}

function stateBytes(elements: number): number {
  return 4 * elements;
}

async function inspect(
  opened: OpenedDevice,
  { program, arena }: StepProgram,
  state: SharedState,
  options: IclOptions,
  step: number,
  dims: number,
): Promise<string | undefined> {
  const params = (await state.executor.download('params')).get('params') as Float32Array;
  for (const { param, offset, elements } of arena.slots) {
    if (!params.subarray(offset, offset + elements).every(Number.isFinite)) return param.name;
  }
  const runner = await deviceRunner(opened, program, state.buffers);
  try {
    const upload = uploadWhereRead(runner);
    upload('seed', new Int32Array([options.seed]));
    upload('dims', dimsInput(dims));
    feedPrompts(upload, options, step);
    runner.run();
    for (const { name, source } of program.tensors) {
      if (source.kind !== 'computed') continue;
      const values = (await runner.download(name)).get(name) as Float32Array;
      if (!values.every(Number.isFinite)) return name;
    }
    return undefined;
  } finally {
    runner.destroy();
  }
}
