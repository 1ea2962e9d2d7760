/**
 * What a classifier is worth: cross-entropy and the part that is right, with an interval; which classes it takes for which; and the same of
 * what needs no model.
 *
 *   most common class    the one that the training part has most of
 *   nearest mean         the class whose mean image, of the training part, is nearest
 */
import type { ImageData, ImagePart, ImageShape } from '../data/image-data.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface ClassErrors {
  /** Nats an image. */
  readonly loss: number;
  /** The part of the images whose class is the one with the largest logit. */
  readonly accuracy: number;
  readonly interval: Interval;
  readonly images: number;
  /** Images by class (rows) and by what they were taken for. */
  readonly confusion: readonly (readonly number[])[];
}

/** Adds up answers; `logits` are of one image. */
export function classErrors(classes: number) {
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  let loss = 0;
  return {
    add: (logits: ArrayLike<number>, label: number) => {
      const best = largest(logits);
      let mass = 0;
      for (let v = 0; v < classes; v += 1) mass += Math.exp(logits[v] - logits[best]);
      loss += Math.log(mass) + logits[best] - logits[label];
      confusion[label][best] += 1;
    },
    errors: (): ClassErrors => {
      const images = confusion.flat().reduce((sum, count) => sum + count, 0);
      const right = confusion.reduce((sum, row, label) => sum + row[label], 0);
      const accuracy = right / images;
      return { loss: loss / images, accuracy, interval: proportionInterval(right, images), images, confusion };
    },
  };
}

/** The first of the largest. */
function largest(values: ArrayLike<number>): number {
  let best = 0;
  for (let v = 1; v < values.length; v += 1) if (values[v] > values[best]) best = v;
  return best;
}

/** Beyond it lie 5 % of a standard normal. */
const fivePercent = 1.6448536269514722;

/** Wilson's interval for a proportion (1927), 90 %: `right` out of `count` that were drawn alike. */
export function proportionInterval(right: number, count: number): Interval {
  const z2 = fivePercent ** 2;
  const p = right / count;
  const middle = (p + z2 / (2 * count)) / (1 + z2 / count);
  const half = (fivePercent / (1 + z2 / count)) * Math.sqrt((p * (1 - p)) / count + z2 / (4 * count ** 2));
  return { low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

export const classBaselineNames = ['most common class', 'nearest mean'] as const;
export type ClassBaselines = Readonly<Record<(typeof classBaselineNames)[number], number>>;

/** Accuracies on a part. */
export function classBaselines(data: ImageData, part: ImagePart): ClassBaselines {
  const { train } = data.parts;
  const { means, counts } = classMeans(data, train, data.classes.length);
  const common = largest(counts);
  const inputs = means[0].length;
  let [ofCommon, ofNearest] = [0, 0];
  for (const n of part.numbers) {
    const label = part.set.labels[n];
    const near = means.map((mean, v) => {
      if (counts[v] === 0) return Number.NEGATIVE_INFINITY;
      let apart = 0;
      for (let e = 0; e < inputs; e += 1) apart += (part.set.values[n * inputs + e] - mean[e]) ** 2;
      return -apart;
    });
    if (label === common) ofCommon += 1;
    if (label === largest(near)) ofNearest += 1;
  }
  const { length } = part.numbers;
  return { 'most common class': ofCommon / length, 'nearest mean': ofNearest / length };
}

function classMeans({ channels, height, width }: ImageShape, { set, numbers }: ImagePart, classes: number) {
  const inputs = channels * height * width;
  const counts = new Float64Array(classes);
  const means = Array.from({ length: classes }, () => new Float64Array(inputs));
  for (const n of numbers) {
    const label = set.labels[n];
    counts[label] += 1;
    for (let e = 0; e < inputs; e += 1) means[label][e] += set.values[n * inputs + e];
  }
  for (const [label, mean] of means.entries()) for (let e = 0; e < inputs; e += 1) mean[e] /= counts[label];
  return { means, counts };
}
