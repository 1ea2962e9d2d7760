/**
 * Labelled images for classification, in a training, a validation and a test part. The files say what is trained on and what is test; the
 * validation part is a share of the former, drawn once for all runs.
 *
 * The trap: files may be sorted by class or by who drew them, so the validation part is never simply the last ones.
 */
import { UserError } from '../../compiler/command-line/errors.ts';
import type { PartName } from './parts.ts';
import { permutation } from './permutation.ts';

/** Images as files have them: a byte a value; each image's channels one after the other, each row by row. */
export interface ImageSet {
  readonly count: number;
  /** (count, channels, height, width). */
  readonly values: Uint8Array;
  /** Numbers of classes. */
  readonly labels: Uint8Array;
}

export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** What files, or the package, hold. */
export interface ImageFiles extends ImageShape {
  readonly name: string;
  /** Of the classes, by number. */
  readonly classes: readonly string[];
  readonly train: ImageSet;
  readonly test: ImageSet;
}

/** Some images of a set. */
export interface ImagePart {
  readonly set: ImageSet;
  readonly numbers: Int32Array;
}

export interface ImageData extends ImageShape {
  readonly name: string;
  readonly classes: readonly string[];
  readonly parts: Readonly<Record<PartName, ImagePart>>;
  /** Of each channel's values in the training part; a channel that never changes there has a deviation of 1. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** Seed and stream of the validation part; of no run. */
const [splitSeed, splitStream] = [0x73706c69, 0];

/** `valFraction` of the training images are held out. Throws UserError where a part would be empty. */
export function imageData(files: ImageFiles, valFraction: number): ImageData {
  const { name, classes, channels, height, width, train: all, test } = files;
  const held = Math.round(valFraction * all.count);
  if (held < 1 || held >= all.count || test.count < 1) {
    throw new UserError(
      `${name} has ${all.count} images to train on and ${test.count} to test on: too few, with --val_fraction ${valFraction} held out for validation`,
    );
  }
  const order = permutation(splitSeed, splitStream, 0, all.count);
  const train = { set: all, numbers: order.slice(held).sort() };
  const val = { set: all, numbers: order.slice(0, held).sort() };
  const parts = { train, val, test: { set: test, numbers: Int32Array.from({ length: test.count }, (_, n) => n) } };
  return { name, classes, channels, height, width, parts, ...moments(train, files) };
}

function moments({ set, numbers }: ImagePart, { channels, height, width }: ImageShape) {
  const plane = height * width;
  const stats = Array.from({ length: channels }, (_, c) => {
    // Of how often each value comes, so that nothing is lost to rounding.
    const times = new Float64Array(256);
    for (const n of numbers) {
      const from = (n * channels + c) * plane;
      for (let e = from; e < from + plane; e += 1) times[set.values[e]] += 1;
    }
    const count = numbers.length * plane;
    const mean = times.reduce((sum, often, value) => sum + often * value, 0) / count;
    const variance = times.reduce((sum, often, value) => sum + often * (value - mean) ** 2, 0) / count;
    return { mean, deviation: variance > 0 ? Math.sqrt(variance) : 1 };
  });
  return { mean: stats.map(({ mean }) => mean), deviation: stats.map(({ deviation }) => deviation) };
}
