/**
 * Batches of labelled images, standardised on the host: `image` (batch, channels, height, width) and `label` (batch). Training goes through
 * its part again and again, every time in another order; which images a batch has is a function of (seed, number of its first image)
 * alone, the number counting through the whole training.
 */
import { input } from '../../compiler/ir/build.ts';
import type { Tensor } from '../../compiler/ir/program.ts';
import type { ImageData, ImagePart, ImageShape } from '../data/image-data.ts';
import { permutation } from '../data/permutation.ts';

/** Stream of random numbers; those of the other tasks lie below. */
const orderStream = 11;

export interface ImageBatch extends ImageShape {
  readonly batch: number;
}

/** What the model's inputs are on the device: as they are given. */
export function givenImages(
  { batch, channels, height, width }: ImageBatch,
  parts: 'images' | 'images and labels',
): readonly Tensor[] {
  const images = input('image', [batch, channels, height, width]);
  return parts === 'images' ? [images] : [images, input('label', [batch], 'i32')];
}

/** Numbers of images in their set, by the number of a batch's first image. Keeps the order that it drew last. */
export function shuffledImages({ numbers }: ImagePart, seed: number): (first: number, batch: number) => Int32Array {
  let last: { readonly pass: number; readonly order: Int32Array } | undefined;
  const orderOf = (pass: number): Int32Array => {
    if (last?.pass !== pass) last = { pass, order: permutation(seed, orderStream, pass, numbers.length) };
    return last.order;
  };
  return (first, batch) =>
    Int32Array.from({ length: batch }, (_, n) => {
      const at = first + n;
      return numbers[orderOf(Math.floor(at / numbers.length))[at % numbers.length]];
    });
}

/** All images of a part in order, or `most` of them evenly spread. */
export function imagesInOrder({ numbers }: ImagePart, most = Number.POSITIVE_INFINITY): Int32Array {
  const taken = Math.min(numbers.length, most);
  return Int32Array.from({ length: taken }, (_, i) => numbers[Math.floor((i * numbers.length) / taken)]);
}

/** What the inputs `image` and `label` take. */
export function packedImages(
  { channels, height, width, mean, deviation }: Pick<ImageData, keyof ImageShape | 'mean' | 'deviation'>,
  { set }: Pick<ImagePart, 'set'>,
  numbers: Int32Array | readonly number[],
): { readonly image: Float32Array; readonly label: Int32Array } {
  const plane = height * width;
  const image = new Float32Array(numbers.length * channels * plane);
  let to = 0;
  for (const n of numbers) {
    for (let c = 0; c < channels; c += 1) {
      const from = (n * channels + c) * plane;
      for (let e = from; e < from + plane; e += 1, to += 1) image[to] = (set.values[e] - mean[c]) / deviation[c];
    }
  }
  return { image, label: Int32Array.from(numbers, (n) => set.labels[n]) };
}
