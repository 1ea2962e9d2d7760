/** `mlbtc train vit`: vision transformers. */
import { counted } from '../../compiler/command-line/amounts.ts';
import { chosenImages } from '../data/choose-images.ts';
import type { ImageData } from '../data/image-data.ts';
import { imageTokens, visionProgram } from '../models/model.ts';
import { scoreOf } from '../models/score.ts';
import {
  checkPatches,
  checkVit,
  type ResolvedVit,
  resolveVit,
  vitOptions,
  vitResuming,
  type vitTable,
} from '../options/vit.ts';
import { plotVitRun, vitPlotFiles } from '../plots/vit-run.ts';
import { scoreName } from '../runs/folder.ts';
import type { VitEvaluationRecord, VitTestRecord, VitTrainRecord } from '../runs/metrics.ts';
import { vitRecord } from '../runs/vit-run.ts';
import { trainingFlopsPerToken } from '../training/flops.ts';
import type { Phase } from '../training/task.ts';
import { type CompiledVit, percent, visionShape, vitDryStep, vitTask } from '../training/vit-task.ts';
import { testVit } from '../training/vit-test.ts';
import { testBest } from './test-best.ts';
import type { TrainingKind } from './training-kind.ts';

export const vitKind: TrainingKind<
  typeof vitTable,
  ResolvedVit,
  Phase,
  CompiledVit,
  VitTrainRecord,
  VitEvaluationRecord
> = {
  set: vitOptions,
  resuming: vitResuming,
  about: 'vision transformers',
  resolve: (words) => {
    const resolved = resolveVit(words);
    checkVit(resolved.options);
    return resolved;
  },
  begin: (resolved) => {
    const { options, sizes, copies } = resolved;
    const score = scoreOf(options, sizes, copies);
    const data = imagesOf(options);
    const model = visionProgram(options, score, { ...visionShape(options, data), batch: 1 });
    const record = vitRecord(data);
    const flopsPerToken = trainingFlopsPerToken(model, 'loss', imageTokens(options, data));
    return {
      score,
      record: { data: record },
      notes: [],
      steps: options.max_iters,
      lastRecord: 'test',
      title: titleOf(resolved, data),
      task: (opened) => vitTask({ resolved, score, data, opened, record, flopsPerToken }),
      summary: async (_, opened, folder) => {
        const test = (checkpoint: string) => testVit({ options, score, data, checkpoint, opened, part: 'test' });
        return accuracyLines(await testBest(folder, test, () => plotVitRun(folder, { options, data: record })));
      },
      files: vitPlotFiles,
    };
  },
  dryStep: ({ options, sizes, copies }) => {
    const data = imagesOf(options);
    return {
      note: undefined,
      step: vitDryStep(options, scoreOf(options, sizes, copies), visionShape(options, data)),
    };
  },
};

function imagesOf(options: ResolvedVit['options']): ImageData {
  const data = chosenImages(options);
  checkPatches(options, data);
  return data;
}

function titleOf(resolved: ResolvedVit, data: ImageData): string {
  const { d_model, n_layer, n_head, patch_size, max_iters } = resolved.options;
  const { name, channels, height, width, classes, parts } = data;
  return (
    `training on ${name} (${parts.train.numbers.length} images of ${channels} × ${height} × ${width} in ${classes.length} classes): ` +
    `${scoreName(resolved)} scores, d_model ${d_model}, ${counted(n_layer, 'layer')}, ${counted(n_head, 'head')}, ` +
    `patches of ${patch_size} × ${patch_size}, ${counted(max_iters, 'step')}`
  );
}

/** What a model is judged by, beside what needs none. */
export function accuracyLines(
  { step, loss, accuracy, interval, images, baselines }: VitTestRecord,
  part = 'test',
): readonly string[] {
  const named = Object.entries(baselines);
  const width = Math.max(...named.map(([name]) => name.length)) + 2;
  const row = (name: string, text: string) => `  ${name.padEnd(width)}${text}`;
  const { low, high } = interval;
  return [
    `${part} part, ${images} images; the model of step ${step}`,
    row(
      'model',
      `${percent(accuracy)} right (90 %: ${percent(low)} to ${percent(high)}), loss ${loss.toFixed(4)} nats`,
    ),
    ...named.map(([name, part]) => row(name, `${percent(part)} right`)),
  ];
}
