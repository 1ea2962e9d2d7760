/** What a run of a vision transformer says of its images, so that it can be drawn without them; and the run read back. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../../compiler/command-line/errors.ts';
import type { ImageData } from '../data/image-data.ts';
import { type Score, scoreOf } from '../models/score.ts';
import type { SizeValue } from '../options/mixers.ts';
import { resolveVit, type VitOptions } from '../options/vit.ts';
import { classBaselines } from '../tasks/classification.ts';
import { existingRun, type RunFolder } from './folder.ts';

const dataSchema = z.object({
  name: z.string(),
  channels: z.number(),
  height: z.number(),
  width: z.number(),
  classes: z.array(z.string()),
  /** Images of each part. */
  images: z.object({ train: z.number(), val: z.number(), test: z.number() }),
  /** Of each channel in the training part. */
  mean: z.array(z.number()),
  deviation: z.array(z.number()),
  /** Accuracies that those on the validation part are held against. */
  validation: z.object({ 'most common class': z.number(), 'nearest mean': z.number() }),
});
export type VitRunData = z.infer<typeof dataSchema>;
const recordSchema = z.object({ data: dataSchema });

export function vitRecord(data: ImageData): VitRunData {
  const { name, channels, height, width, classes, parts, mean, deviation } = data;
  const { train, val, test } = parts;
  const images = { train: train.numbers.length, val: val.numbers.length, test: test.numbers.length };
  const validation = classBaselines(data, val);
  return dataSchema.parse({ name, channels, height, width, classes, images, mean, deviation, validation });
}

export interface VitSetting {
  readonly folder: RunFolder;
  readonly options: VitOptions;
  readonly sizes: Readonly<Record<string, SizeValue>>;
  readonly data: VitRunData;
}

export interface VitRun extends VitSetting {
  readonly score: Score;
}

/** Throws UserError where the folder is no run of a vision transformer, or not a whole one. */
export function readVitRun(path: string): VitRun {
  const setting = readVitSetting(path);
  const { folder, options, sizes } = setting;
  return { ...setting, score: scoreOf(options, sizes, folder.structurePath) };
}

/** The same without the score. */
export function readVitSetting(path: string): VitSetting {
  const folder = existingRun(path, 'mlbtc train vit');
  const { options, sizes } = resolveVit(['--config', folder.configPath]);
  return { folder, options, sizes, data: readRecord(folder) };
}

function readRecord({ path, recordPath }: RunFolder): VitRunData {
  const text = existsSync(recordPath) ? readFileSync(recordPath, 'utf8') : '{}';
  try {
    return recordSchema.parse(JSON.parse(text)).data;
  } catch {
    throw new UserError(`${path} is no run of a vision transformer: ${recordPath} does not say which images it saw`);
  }
}

/** Throws UserError where images are of another shape than those that a run was trained on, or of other classes. */
export function checkSameKind({ folder, data: made }: VitSetting, data: ImageData): void {
  const of = ({ channels, height, width }: Pick<ImageData, 'channels' | 'height' | 'width'>, classes: number) =>
    `${channels} × ${height} × ${width} in ${classes} classes`;
  const [now, then] = [of(data, data.classes.length), of(made, made.classes.length)];
  if (now !== then) throw new UserError(`${data.name} has images of ${now}, and ${folder.path} was trained on ${then}`);
}
