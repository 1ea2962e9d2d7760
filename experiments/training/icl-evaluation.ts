/**
 * A trained model under a setting (`tasks/settings.ts`): its errors on the device, those of the baselines on the host, both over the
 * prompts that an evaluation in training takes, with as many dimensions and points as training ends with.
 */
import type { Program } from '../../compiler/ir/program.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { inContextProgram } from '../models/model.ts';
import type { Score } from '../models/score.ts';
import type { IclOptions } from '../options/icl.ts';
import { type BaselineCurves, baselineCurves, baselineErrors } from '../tasks/baselines.ts';
import { bootstrapped, type Curve } from '../tasks/bootstrap.ts';
import { affordable, promptsOnHost } from '../tasks/held-out.ts';
import { dimsInput, drawnPrompts, type PromptShape, streams } from '../tasks/prompts.ts';
import { type Setting, stretchMatrix } from '../tasks/settings.ts';
import { iclTasks, taskFileOf } from '../tasks/tasks.ts';
import { packArena } from './arena.ts';
import { deviceRunner } from './device-runner.ts';
import { uploadWhereRead } from './lazy-runner.ts';
import { evaluationStep } from './training-step.ts';

export interface SettingResult {
  readonly points: number;
  readonly prompts: number;
  readonly model: Curve;
  readonly baselines: BaselineCurves;
}

/** The model that a setting asks, for its number of points. */
export function settingModel(
  options: IclOptions,
  score: Score,
  setting: Setting,
): { model: Program; shape: PromptShape } {
  const { n_dims: nDims, training_batch_size: batch, training_task } = options;
  const points = Math.min(2 * nDims, setting.mostPoints?.(nDims) ?? Number.POSITIVE_INFINITY);
  const { answers } = iclTasks[setting.task ?? training_task];
  return {
    model: inContextProgram(options, score, { batch, points, answers }),
    shape: { batch, points, nDims },
  };
}

export async function evaluateSetting(
  opened: OpenedDevice,
  options: IclOptions,
  score: Score,
  params: ReadonlyMap<string, { readonly data: Float32Array }>,
  setting: Setting,
  batches: number,
): Promise<SettingResult> {
  const { model, shape } = settingModel(options, score, setting);
  const { points } = shape;
  const prompts = settingPrompts(options, setting, shape);
  const step = evaluationStep(model, prompts, ['error']);
  const runner = await deviceRunner(opened, step.program);
  try {
    const upload = uploadWhereRead(runner);
    upload(
      'params',
      packArena(step.arena, ({ name }) => (params.get(name) as { readonly data: Float32Array }).data),
    );
    upload('seed', new Int32Array([options.seed]));
    upload('dims', dimsInput(shape.nDims));
    const transform = transformOf(options, setting);
    if (transform !== undefined) upload('transform', Float32Array.from(transform));
    const errors = new Float64Array(batches * shape.batch * points);
    const read: Promise<void>[] = [];
    const run = async (batch: number, isWanted: (point: number) => boolean) => {
      const first = batch * shape.batch * points;
      const reading = runner.executor.runAndRead('error').then((found) => {
        for (const [i, error] of (found.get('error') as Float32Array).entries()) {
          if (isWanted(i % points)) errors[first + i] = error;
        }
      });
      read.push(reading);
      await runner.executor.pace();
    };
    for (let batch = 0; batch < batches; batch += 1) {
      upload('step', new Int32Array([batch]));
      if (setting.change.kind === 'prompts') await run(batch, () => true);
      else {
        for (let question = 0; question < points; question += 1) {
          upload('question', new Int32Array([question]));
          await run(batch, (point) => point === question);
        }
      }
    }
    await Promise.all(read);
    return {
      points,
      prompts: batches * shape.batch,
      model: bootstrapped(errors, points),
      baselines: settingBaselines(options, setting, shape, batches),
    };
  } finally {
    runner.destroy();
  }
}

function settingPrompts(options: IclOptions, setting: Setting, shape: PromptShape) {
  const task = taskFileOf({ ...options, training_task: setting.task ?? options.training_task });
  return drawnPrompts(shape, streams.evaluate, task, { change: setting.change });
}

function transformOf({ n_dims: nDims, seed }: IclOptions, { lengths }: Setting): Float64Array | undefined {
  return lengths === undefined ? undefined : stretchMatrix(lengths(nDims), seed);
}

export function settingBaselines(
  options: IclOptions,
  setting: Setting,
  wanted: PromptShape,
  mostBatches: number,
): BaselineCurves {
  const { baselines, answers } = iclTasks[setting.task ?? options.training_task];
  const names = [...baselines, ...(setting.baselines ?? [])];
  const { batch, batches } = affordable(wanted, names, mostBatches);
  const shape = { ...wanted, batch };
  const transform = transformOf(options, setting);
  const prompts = promptsOnHost(settingPrompts(options, setting, shape), shape, {
    seed: options.seed,
    dims: shape.nDims,
    batches,
    given: new Map(transform === undefined ? [] : [['transform', transform]]),
  });
  return baselineCurves(baselineErrors(prompts, names, answers), shape.points);
}
