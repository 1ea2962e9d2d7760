/**
 * A training step on the device with the optimizer of all trainings but `train icl` (options/optimizer.ts): one program where a step
 * is one batch; where it is several, one that adds up their gradients and one that moves the params. What a batch is, and how it
 * comes to the device, is the caller's.
 */
import type { Program, Tensor } from '../../compiler/ir/program.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import type { OptimizerOptions } from '../options/optimizer.ts';
import { type Arena, optimizerTables } from './arena.ts';
import { type DeviceRunner, deviceRunner } from './device-runner.ts';
import type { StepPart } from './dry-run.ts';
import { biasCorrections, rateMultiplier } from './learning-rate.ts';
import { following, type ProfiledKernel } from './profile.ts';
import { makeState, type SharedState } from './state.ts';
import { type StepProgram, sumStates } from './step.ts';
import type { CompiledTask, Phase } from './task.ts';
import { accumulatedStep, optimizerSettings, trainingStep } from './training-step.ts';

/** How a step's batches come to the device. */
export interface BatchSource {
  /** In the place of the model's inputs. */
  readonly tensors: readonly Tensor[];
  /** Once. */
  readonly begin: (upload: DeviceRunner['upload']) => void;
  /** For batch `part` of a step. */
  readonly feed: (upload: DeviceRunner['upload'], step: number, part: number) => void;
}

/** The programs of a step. */
export type OptimizerStep =
  | { readonly kind: 'one batch'; readonly step: StepProgram }
  | {
      readonly kind: 'several batches';
      readonly accumulate: StepProgram;
      readonly update: Program;
      readonly batches: number;
    };

/** `batch` takes the place of the model's inputs; none: they are given. */
export function optimizerStep(
  model: Program,
  batch: readonly Tensor[],
  options: OptimizerOptions,
  batches: number,
): OptimizerStep {
  const settings = optimizerSettings(options);
  return batches === 1
    ? { kind: 'one batch', step: trainingStep(model, batch, settings, ['loss']) }
    : { kind: 'several batches', ...accumulatedStep(model, batch, settings, batches), batches };
}

export function stepParts(step: OptimizerStep): readonly StepPart[] {
  switch (step.kind) {
    case 'one batch':
      return [{ program: step.step.program, times: 1 }];
    case 'several batches':
      return [
        { program: step.accumulate.program, times: step.batches },
        { program: step.update, times: 1 },
      ];
    default:
      return step satisfies never;
  }
}

export interface SteppingSettings {
  readonly step: OptimizerStep;
  readonly batches: BatchSource;
  readonly options: OptimizerOptions;
  readonly opened: OpenedDevice;
}

/** What of a compiled task takes steps. */
export type Stepping = Pick<
  CompiledTask<Phase>,
  'arena' | 'plans' | 'run' | 'runAndRead' | 'profile' | 'pace' | 'destroy'
>;

interface MadeStep {
  readonly stepping: Stepping;
  readonly shared: SharedState;
}

const logged = ['loss', 'diverged'] as const;

/** Without `state` it is made: the params are zero then. */
export function makeStepping(settings: SteppingSettings, state: SharedState | undefined): Promise<MadeStep> {
  const { step } = settings;
  switch (step.kind) {
    case 'one batch':
      return stepOfOneBatch(step.step, settings, state);
    case 'several batches':
      return stepOfSeveral(step, settings, state);
    default:
      return step satisfies never;
  }
}

/** The whole step is one program. */
async function stepOfOneBatch(
  step: StepProgram,
  { batches, options, opened }: SteppingSettings,
  state: SharedState | undefined,
): Promise<MadeStep> {
  const shared = state ?? (await makeState(opened, step.arena));
  const runner = await deviceRunner(opened, step.program, shared.buffers);
  uploadTables(runner, step.arena, step.untouched, options);
  batches.begin(runner.upload);
  const feed = (at: number) => {
    runner.upload('step', new Int32Array([at]));
    runner.upload('hyper', hyperAt(options, at));
    batches.feed(runner.upload, at, 0);
  };
  const runs = (at: number) => [{ runner, feed: () => feed(at) }];
  return { stepping: steppingOf(step.arena, runs, { step: runner }), shared };
}

/** One program adds up gradients batch by batch, another moves the params. */
async function stepOfSeveral(
  { accumulate, update, batches: parts }: OptimizerStep & { readonly kind: 'several batches' },
  { batches, options, opened }: SteppingSettings,
  state: SharedState | undefined,
): Promise<MadeStep> {
  const { arena } = accumulate;
  const shared = state ?? (await makeState(opened, arena, sumStates));
  const adding = await deviceRunner(opened, accumulate.program, shared.buffers);
  const updating = await deviceRunner(opened, update, shared.buffers);
  uploadTables(updating, arena, accumulate.untouched, options);
  batches.begin(adding.upload);
  const runs = (at: number) => [
    ...Array.from({ length: parts }, (_, part) => ({
      runner: adding,
      feed: () => {
        adding.upload('kept', new Float32Array([part === 0 ? 0 : 1]));
        batches.feed(adding.upload, at, part);
      },
    })),
    {
      runner: updating,
      feed: () => {
        updating.upload('step', new Int32Array([at]));
        updating.upload('hyper', hyperAt(options, at));
      },
    },
  ];
  return { stepping: steppingOf(arena, runs, { accumulate: adding, update: updating }), shared };
}

/** One run of a program, and what is uploaded for it before. */
interface StepRun {
  readonly runner: DeviceRunner;
  readonly feed: () => void;
}

/** A step is several runs, one after the other; what is read and waited for is the last. */
function steppingOf(
  arena: Arena,
  runs: (at: number) => readonly StepRun[],
  runners: Readonly<Record<string, DeviceRunner>>,
): Stepping {
  const last = Object.values(runners).at(-1) as DeviceRunner;
  return {
    arena,
    plans: Object.fromEntries(Object.entries(runners).map(([name, { plan }]) => [name, plan])),
    run: (at) => {
      for (const { runner, feed } of runs(at)) {
        feed();
        runner.run();
      }
    },
    runAndRead: (at) => {
      const all = runs(at);
      for (const { runner, feed } of all.slice(0, -1)) {
        feed();
        runner.run();
      }
      all.at(-1)?.feed();
      return last.executor.runAndRead(...logged);
    },
    profile: async (at) => {
      const kernels: ProfiledKernel[] = [];
      for (const { runner, feed } of runs(at)) {
        feed();
        kernels.push(...following(kernels, await runner.profile()));
      }
      return { kernels, reading: await last.download(...logged) };
    },
    // The batches of one step are submitted together; what is waited for is the steps.
    pace: () => last.executor.pace(),
    destroy: () => {
      for (const runner of Object.values(runners)) runner.destroy();
    },
  };
}

function uploadTables(
  runner: DeviceRunner,
  arena: Arena,
  untouched: ReadonlySet<string>,
  options: OptimizerOptions,
): void {
  const tables = optimizerTables(arena, options.init_lr, options.weight_decay, untouched);
  runner.upload('rate', tables.rate);
  if (options.weight_decay > 0) runner.upload('decay', tables.decay);
}

function hyperAt(options: OptimizerOptions, step: number): Float32Array {
  const { first, rootSecond } = biasCorrections(step + 1, options.beta1, options.beta2);
  return new Float32Array([multiplierAt(options, step), first, rootSecond]);
}

/** Of the peak rate at a step that counts from 0. */
export function multiplierAt(options: OptimizerOptions, step: number): number {
  const { warmup_iters: warmup, lr_decay_iters: decaySteps, decay_lr: decays, init_lr: peak, min_lr: least } = options;
  return rateMultiplier(step + 1, { warmup, decaySteps, floor: decays ? least / peak : 1 });
}
