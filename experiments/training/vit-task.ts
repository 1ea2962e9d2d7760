/**
 * A vision transformer as the loop's task: one shape throughout, batches of images that the host standardises and uploads, evaluations on
 * the validation part, and on as many training images beside it.
 */
import type { Program } from '../../compiler/ir/program.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import type { ImageData, ImagePart } from '../data/image-data.ts';
import { imageTokens, type VisionShape, visionProgram } from '../models/model.ts';
import { modelSource, type Score } from '../models/score.ts';
import type { ResolvedVit, VitOptions } from '../options/vit.ts';
import { plotVitRun } from '../plots/vit-run.ts';
import type { VitEvaluationRecord, VitTrainRecord } from '../runs/metrics.ts';
import type { VitRunData } from '../runs/vit-run.ts';
import { type ClassErrors, classErrors } from '../tasks/classification.ts';
import { givenImages, imagesInOrder, packedImages, shuffledImages } from '../tasks/image-batches.ts';
import { type DeviceRunner, deviceRunner } from './device-runner.ts';
import type { DryStep, StepPrograms } from './dry-run.ts';
import { forwardMultiplyAddsPerToken } from './flops.ts';
import { inBatches } from './in-batches.ts';
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
import { oneShapeDemand } from './room.ts';
import type { SharedState } from './state.ts';
import type { StepProgram } from './step.ts';
import { type CompiledTask, onePhase, type Phase, type Task } from './task.ts';
import { evaluationStep } from './training-step.ts';

export interface CompiledVit extends CompiledTask<Phase> {
  readonly classify: Classifier;
}

/** What a model makes of images of a part, by their numbers in its set. */
export type Classifier = (part: ImagePart, numbers: Int32Array) => Promise<ClassErrors>;

export interface VitSettings {
  readonly resolved: ResolvedVit;
  readonly score: Score;
  readonly data: ImageData;
  readonly opened: OpenedDevice;
  /** What `run.json` says of the images. */
  readonly record: VitRunData;
  /** Floating-point operations of the model a token and step. */
  readonly flopsPerToken: number;
}

export function vitTask(settings: VitSettings): Task<Phase, CompiledVit, VitTrainRecord, VitEvaluationRecord> {
  const { resolved, score, data, opened, record, flopsPerToken } = settings;
  const { options } = resolved;
  const shape = visionShape(options, data);
  const programs = once(() => vitPrograms(options, score, shape));
  let last: VitEvaluationRecord | undefined;
  return {
    opened,
    demand: oneShapeDemand(shape.batch, programs, ({ batch = shape.batch, memory = options.memory }) =>
      vitPrograms({ ...options, memory }, score, { ...shape, batch }),
    ),
    steps: options.max_iters,
    ...onePhase(options),
    compile: (_, state) => compileVit(settings, programs(), state),
    initialValue: (param) => initialValue(param, options.seed),
    record: (facts) => {
      const images = facts.step * options.batch_size;
      const tokens = images * imageTokens(options, data);
      const lr = options.init_lr * multiplierAt(options, facts.step - 1);
      return { kind: 'train', ...facts, lr, images, tokens, flops: flopsPerToken * tokens };
    },
    shown: ({ step, loss, stepsPerSecond }) => {
      const nearest = percent(record.validation['nearest mean']);
      const detail = last === undefined ? '' : `validation ${percent(last.accuracy)} right (nearest mean ${nearest})`;
      return { step, steps: options.max_iters, loss, detail, stepsPerSecond };
    },
    evaluate: async ({ classify }, _, step) => {
      last = await evaluateVit(classify, options, data, step);
      return last;
    },
    plot: (folder) => plotVitRun(folder, { options, data: record }),
    remedy: 'a lower --init_lr or a longer --warmup_iters may help',
  };
}

/** A part of a whole, to be read. */
export function percent(part: number): string {
  return `${short(100 * part)} %`;
}

export function visionShape(
  { batch_size: batch }: Pick<VitOptions, 'batch_size'>,
  { channels, height, width, classes }: Pick<ImageData, 'channels' | 'height' | 'width' | 'classes'>,
): VisionShape {
  return { batch, channels, height, width, classes: classes.length };
}

/** What of a vision transformer runs on the device. */
interface VitPrograms extends StepPrograms {
  readonly model: Program;
  readonly step: OptimizerStep;
}

function vitPrograms(options: VitOptions, score: Score, shape: VisionShape): VitPrograms {
  const model = visionProgram(options, score, shape);
  const step = optimizerStep(model, givenImages(shape, 'images and labels'), options, 1);
  const programs = { model, step, parts: stepParts(step), evaluation: logitsStep(model, shape).program };
  return withinMemory(options.memory, 1, programs);
}

/** What a step is, for `--dry_run`. */
export function vitDryStep(options: VitOptions, score: Score, shape: VisionShape): DryStep {
  const { model, parts, evaluation } = vitPrograms(options, score, shape);
  const tokens = shape.batch * imageTokens(options, shape);
  return {
    parts,
    evaluation,
    flopsPerToken: { reference: null, actual: forwardMultiplyAddsPerToken(model, 'logits', tokens) },
    stages: [],
  };
}

async function evaluateVit(
  classify: Classifier,
  options: VitOptions,
  { parts: { train, val } }: ImageData,
  step: number,
): Promise<VitEvaluationRecord> {
  const most = options.eval_iters === null ? undefined : options.eval_iters * options.batch_size;
  const numbers = imagesInOrder(val, most);
  const held = await classify(val, numbers);
  const seen = await classify(train, imagesInOrder(train, numbers.length));
  const { loss, accuracy, interval, images } = held;
  const ofTraining = { trainLoss: seen.loss, trainAccuracy: seen.accuracy };
  return { kind: 'evaluation', step, loss, accuracy, interval, ...ofTraining, images };
}

/** The program that gives the logits of images. */
export function logitsStep(model: Program, shape: VisionShape): StepProgram {
  return evaluationStep(model, givenImages(shape, 'images'), ['logits']);
}

/** Classes by a runner of `logitsStep`. */
export function classifier(
  { executor, upload }: Pick<DeviceRunner, 'executor' | 'upload'>,
  data: ImageData,
  batch: number,
): Classifier {
  return async (part, numbers) => {
    const errors = classErrors(data.classes.length);
    await inBatches([...numbers], {
      executor,
      batch,
      output: 'logits',
      give: (some) => upload('image', packedImages(data, part, some).image),
      take: (number, logits) => errors.add(logits, part.set.labels[number]),
    });
    return errors.errors();
  };
}

async function compileVit(
  { resolved: { options }, score, data, opened }: VitSettings,
  { model, step, evaluation }: VitPrograms,
  state: SharedState | undefined,
): Promise<{ readonly compiled: CompiledVit; readonly state: SharedState }> {
  const shape = visionShape(options, data);
  const tensors = givenImages(shape, 'images and labels');
  const { train } = data.parts;
  const drawn = shuffledImages(train, options.seed);
  const feed = (upload: DeviceRunner['upload'], at: number) => {
    const { image, label } = packedImages(data, train, drawn(at * shape.batch, shape.batch));
    upload('image', image);
    upload('label', label);
  };
  const batches: BatchSource = { tensors, begin: () => undefined, feed };
  const { stepping, shared } = await makeStepping({ step, batches, options, opened }, state);
  const evaluator = lazyRunner(() => deviceRunner(opened, evaluation, shared.buffers));
  const compiled: CompiledVit = {
    ...stepping,
    plans: { ...stepping.plans, evaluation: planOf(evaluation, opened.target) },
    enter: () => undefined,
    classify: async (part, numbers) => classifier(await evaluator.get(), data, shape.batch)(part, numbers),
    firstNonFinite: (at) =>
      firstNonFinite({
        opened,
        state: shared,
        model,
        batch: tensors,
        sourceOf: (file) => modelSource(score, file),
        feed: (upload) => feed(upload, at),
      }),
    destroy: () => {
      stepping.destroy();
      evaluator.destroy();
    },
  };
  return { compiled, state: shared };
}
