/** What a trained vision transformer is worth: a checkpoint on a part of its images, beside what needs no model. */
import type { OpenedDevice } from '../../runtime/device.ts';
import { readSafetensors } from '../../runtime/safetensors.ts';
import type { ImageData } from '../data/image-data.ts';
import type { PartName } from '../data/parts.ts';
import { visionProgram } from '../models/model.ts';
import type { Score } from '../models/score.ts';
import type { VitOptions } from '../options/vit.ts';
import type { VitTestRecord } from '../runs/metrics.ts';
import { checkpointParams } from '../sampling/run.ts';
import { classBaselines } from '../tasks/classification.ts';
import { imagesInOrder } from '../tasks/image-batches.ts';
import { packArena } from './arena.ts';
import { deviceRunner } from './device-runner.ts';
import { classifier, logitsStep, visionShape } from './vit-task.ts';

export interface VitTestSettings {
  readonly options: VitOptions;
  readonly score: Score;
  readonly data: ImageData;
  readonly checkpoint: string;
  readonly opened: OpenedDevice;
  readonly part: PartName;
  /** So many evenly spread; undefined: all. */
  readonly mostImages?: number;
}

/** Throws UserError where the checkpoint is not of this model. */
export async function testVit(settings: VitTestSettings): Promise<VitTestRecord> {
  const { options, score, data, checkpoint, opened, part: name, mostImages } = settings;
  const shape = visionShape(options, data);
  const model = visionProgram(options, score, shape);
  const params = checkpointParams(checkpoint, model);
  const step = logitsStep(model, shape);
  const runner = await deviceRunner(opened, step.program);
  try {
    const paramOf = (param: string) => (params.get(param) as { readonly data: Float32Array }).data;
    runner.upload(
      'params',
      packArena(step.arena, ({ name: param }) => paramOf(param)),
    );
    const part = data.parts[name];
    const { loss, accuracy, interval, images, confusion } = await classifier(
      runner,
      data,
      shape.batch,
    )(part, imagesInOrder(part, mostImages));
    return {
      kind: 'test',
      step: Number(readSafetensors(checkpoint).metadata.step),
      ...{ loss, accuracy, interval, images },
      baselines: classBaselines(data, part),
      confusion: confusion.map((row) => [...row]),
    };
  } finally {
    runner.destroy();
  }
}
