/**
 * A language model as the loop's task: one shape throughout, batches of windows of a text, losses on both of its parts.
 *
 * The trap: sequences are numbered through the whole training (windows.ts), so a step of several batches takes the next numbers,
 * and what is learned does not depend on how they are dealt out.
 */

import type { Program, Tensor } from '../../compiler/ir/program.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import type { TokenData, TokenSplit } from '../data/token-data.ts';
import { languageModelProgram } from '../models/model.ts';
import { referenceCounts, referenceFlops } from '../models/reference-counts.ts';
import { modelSource, type Score } from '../models/score.ts';
import type { LmOptions, ResolvedLm } from '../options/lm.ts';
import type { LmLevels } from '../plots/lm-charts.ts';
import { plotLmRun } from '../plots/lm-run.ts';
import type { LmEvaluationRecord, LmTrainRecord } from '../runs/metrics.ts';
import {
  drawnWindows,
  givenWindows,
  packedText,
  readWindows,
  textWords,
  type WindowShape,
  windowStarts,
  windowStreams,
} from '../tasks/windows.ts';
import { type DeviceRunner, deviceRunner } from './device-runner.ts';
import type { DryStep, StepPrograms } from './dry-run.ts';
import { forwardMultiplyAddsPerToken } from './flops.ts';
import { firstNonFinite } from './inspect.ts';
import { lazyRunner } from './lazy-runner.ts';
import { withinMemory } from './memory-limit.ts';
import { initialValue } from './mup.ts';
import { once } from './once.ts';
import {
  type BatchSource,
  makeStepping,
  multiplierAt,
  type OptimizerStep,
  optimizerStep,
  stepParts,
} from './optimizer-step.ts';
import { planOf } from './plans.ts';
import { short } from './progress.ts';
import { type Demand, dividedBatches } from './room.ts';
import type { SharedState } from './state.ts';
import { type CompiledTask, onePhase, type Phase, type Task } from './task.ts';
import { evaluationStep } from './training-step.ts';

export interface CompiledLm extends CompiledTask<Phase> {
  /** Mean loss, in nats a token, over the first windows of a part that its evaluations see. */
  meanLoss(split: TokenSplit): Promise<number>;
}

export interface LmSettings {
  readonly resolved: ResolvedLm;
  readonly score: Score;
  readonly data: TokenData;
  readonly opened: OpenedDevice;
  /** Floating-point operations of the model a token and step; undefined where they are not known. */
  readonly flopsPerToken: number | undefined;
  /** What the loss is held against in the plot. */
  readonly levels: LmLevels;
}

export function lmTask(settings: LmSettings): Task<Phase, CompiledLm, LmTrainRecord, LmEvaluationRecord> {
  const { resolved, score, data, opened, flopsPerToken, levels } = settings;
  const { options } = resolved;
  const tokensPerStep = options.batch_size * options.gradient_accumulation_steps * options.block_size;
  let lastEvaluation: LmEvaluationRecord | undefined;
  const programs = once(() =>
    lmPrograms(options, score, data.vocabulary, (shape) => trainingWindows(shape, options, data.train, opened).tensors),
  );
  return {
    opened,
    demand: lmDemand(settings, programs),
    steps: lmSteps(options),
    ...onePhase(options),
    compile: (_, state) => compileLm(settings, programs(), state),
    initialValue: (param) => initialValue(param, options.seed),
    record: (facts) => {
      const tokens = facts.step * tokensPerStep;
      const tokensPerSecond = facts.stepsPerSecond * tokensPerStep;
      return {
        kind: 'train',
        ...facts,
        lr: options.init_lr * multiplierAt(options, facts.step - 1),
        tokens,
        tokensPerSecond,
        flopsPerSecond: flopsPerToken === undefined ? null : flopsPerToken * tokensPerSecond,
        flops: flopsPerToken === undefined ? null : flopsPerToken * tokens,
      };
    },
    shown: ({ step, loss, stepsPerSecond, tokensPerSecond }) => {
      const held = lastEvaluation === undefined ? '' : `held out ${short(lastEvaluation.loss)} · `;
      const detail = `${held}${short(tokensPerSecond)} tokens/s`;
      return { step, steps: options.max_iters, loss, detail, stepsPerSecond };
    },
    evaluate: async (compiled, _, step) => {
      lastEvaluation = await evaluateLm(compiled, options, data, step);
      return lastEvaluation;
    },
    plot: (folder) => plotLmRun(folder, { options, text: data.name, levels }),
    remedy: 'a lower --init_lr or a longer --warmup_iters may help',
  };
}

/** An evaluation of the model as it starts is a training of no steps. */
export function lmSteps({ eval_only, max_iters }: Pick<LmOptions, 'eval_only' | 'max_iters'>): number {
  return eval_only ? 0 : max_iters;
}

/** Mean loss of a runner of `evaluationStep` with output `loss`, over the first windows of a part that evaluations see. */
export async function meanLoss(
  { executor, upload }: Pick<DeviceRunner, 'executor' | 'upload'>,
  options: Pick<LmOptions, 'eval_iters' | 'batch_size' | 'block_size' | 'seed'>,
  split: TokenSplit,
): Promise<number> {
  const shape = { batch: options.batch_size, length: options.block_size };
  let total = 0;
  const read: Promise<void>[] = [];
  for (let batch = 0; batch < options.eval_iters; batch += 1) {
    const starts = windowStarts(options.seed, windowStreams.evaluate, batch * shape.batch, split, shape);
    upload('window', readWindows(split, starts, shape));
    const reading = executor.runAndRead('loss').then((found) => {
      total += (found.get('loss') as Float32Array)[0];
    });
    read.push(reading);
    // A device that is lost meanwhile is told by the wait below.
    reading.catch(() => undefined);
    await executor.pace();
  }
  await Promise.all(read);
  return total / options.eval_iters;
}

/** Both parts, over the same windows every time. */
export async function evaluateLm(
  { meanLoss }: Pick<CompiledLm, 'meanLoss'>,
  options: Pick<LmOptions, 'eval_iters' | 'batch_size' | 'block_size'>,
  { train, val }: TokenData,
  step: number,
): Promise<LmEvaluationRecord> {
  const [trainLoss, loss] = [await meanLoss(train), await meanLoss(val)];
  return {
    kind: 'evaluation',
    step,
    loss,
    trainLoss,
    perplexity: Math.exp(loss),
    bitsPerCharacter: bitsPerCharacter(loss, val),
    tokens: options.eval_iters * options.batch_size * options.block_size,
  };
}

/** Nats a token as bits a character; null where the characters of the part were not counted. */
export function bitsPerCharacter(loss: number, { length, characters }: TokenSplit): number | null {
  return characters === undefined ? null : (loss / Math.LN2) * (length / characters);
}

/** The model that a run trains, for batches of that shape. Throws UserError with diagnostics where the score does not fit. */
export function lmProgram(
  options: LmOptions,
  score: Score,
  { batch, length }: WindowShape,
  vocabulary: number,
): Program {
  return languageModelProgram(options, score, {
    batch,
    tokens: length,
    vocabulary: options.vocab_size ?? vocabulary,
    positions: options.block_size,
  });
}

/** What of a language model runs on the device. */
interface LmPrograms extends StepPrograms {
  readonly model: Program;
  readonly step: OptimizerStep;
}

function lmPrograms(
  options: LmOptions,
  score: Score,
  vocabulary: number,
  batch: (shape: WindowShape) => readonly Tensor[],
): LmPrograms {
  const shape = { batch: options.batch_size, length: options.block_size };
  const model = lmProgram(options, score, shape, vocabulary);
  const step = optimizerStep(model, batch(shape), options, options.gradient_accumulation_steps);
  const evaluation = evaluationStep(model, givenWindows(shape), ['loss']).program;
  return withinMemory(options.memory, 1, { model, step, parts: stepParts(step), evaluation });
}

/** What a step is, for `--dry_run`. */
export function lmDryStep(
  options: LmOptions,
  score: Score,
  { vocabulary, train }: Pick<TokenData, 'vocabulary' | 'train'>,
): DryStep {
  const drawn = (shape: WindowShape) => drawnWindows(shape, textWords(train), train.bytesPerToken);
  const { model, parts, evaluation } = lmPrograms(options, score, vocabulary, drawn);
  const counts = referenceCounts(options, {
    model: 'language-model',
    tokens: options.block_size,
    features: options.vocab_size ?? vocabulary,
  });
  return {
    parts,
    evaluation,
    flopsPerToken: {
      reference: counts === undefined ? null : referenceFlops(counts, false),
      actual: forwardMultiplyAddsPerToken(model, 'logits', options.batch_size * options.block_size),
    },
    stages: [],
  };
}

/** The same step of fewer sequences at a time takes more of them. */
function lmDemand({ resolved: { options }, score, data, opened }: LmSettings, programs: () => LmPrograms): Demand {
  const { batch_size: batch, gradient_accumulation_steps: times } = options;
  const programsOf = (other: LmOptions) =>
    lmPrograms(other, score, data.vocabulary, (shape) => trainingWindows(shape, other, data.train, opened).tensors);
  return {
    batch,
    changesShape: false,
    programs: (size) =>
      size === batch
        ? programs()
        : programsOf({ ...options, batch_size: size, gradient_accumulation_steps: (batch * times) / size }),
    within: (memory) => programsOf({ ...options, memory }),
    smaller: dividedBatches(batch, times, (size, more) => `--batch_size=${size} --gradient_accumulation_steps=${more}`),
  };
}

async function compileLm(
  { resolved: { options }, score, data, opened }: LmSettings,
  { model, step, evaluation }: LmPrograms,
  state: SharedState | undefined,
): Promise<{ readonly compiled: CompiledLm; readonly state: SharedState }> {
  const shape = { batch: options.batch_size, length: options.block_size };
  const batches = trainingWindows(shape, options, data.train, opened);
  const { stepping, shared } = await makeStepping({ step, batches, options, opened }, state);
  const evaluator = lazyRunner(() => deviceRunner(opened, evaluation, shared.buffers));
  const compiled: CompiledLm = {
    arena: stepping.arena,
    plans: { ...stepping.plans, evaluation: planOf(evaluation, opened.target) },
    enter: () => undefined,
    run: stepping.run,
    runAndRead: stepping.runAndRead,
    profile: stepping.profile,
    pace: stepping.pace,
    meanLoss: async (split) => meanLoss(await evaluator.get(), options, split),
    firstNonFinite: async (at) => {
      for (let part = 0; part < options.gradient_accumulation_steps; part += 1) {
        const starts = startsOf(options, data.train, at, part);
        const found = await firstNonFinite({
          opened,
          state: shared,
          model,
          batch: givenWindows(shape),
          feed: (upload) => upload('window', readWindows(data.train, starts, shape)),
          sourceOf: (file) => modelSource(score, file),
        });
        if (found !== undefined) return found;
      }
      return undefined;
    },
    destroy: () => {
      stepping.destroy();
      evaluator.destroy();
    },
  };
  return { compiled, state: shared };
}

/** The text on the device where one binding holds it; windows read by the host where not. */
function trainingWindows(
  shape: WindowShape,
  options: LmOptions,
  split: TokenSplit,
  { target }: OpenedDevice,
): BatchSource {
  const words = textWords(split);
  const { maxStorageBufferBindingSize, maxBufferSize } = target.limits;
  if (4 * words <= Math.min(maxStorageBufferBindingSize, maxBufferSize)) {
    return {
      tensors: drawnWindows(shape, words, split.bytesPerToken),
      begin: (upload) => upload('text', packedText(split)),
      feed: (upload, step, part) => upload('start', startsOf(options, split, step, part)),
    };
  }
  return {
    tensors: givenWindows(shape),
    begin: () => undefined,
    feed: (upload, step, part) => upload('window', readWindows(split, startsOf(options, split, step, part), shape)),
  };
}

/** Places of a batch's windows: batch `part` of a step. */
function startsOf(options: LmOptions, split: TokenSplit, step: number, part: number): Int32Array {
  const { batch_size: batch, block_size: length, gradient_accumulation_steps: parts, seed } = options;
  const first = (step * parts + part) * batch;
  return windowStarts(seed, windowStreams.train, first, split, { batch, length });
}
