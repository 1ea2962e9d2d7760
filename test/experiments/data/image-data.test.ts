/** Images in parts: nothing in two of them, standardised by the training part, the embedded ones as they are known. */
import { expect, test } from 'vitest';
import { digits } from '../../../experiments/data/digits.ts';
import { type ImageFiles, imageData } from '../../../experiments/data/image-data.ts';
import { permutation } from '../../../experiments/data/permutation.ts';

const files: ImageFiles = {
  name: 'made',
  ...{ channels: 2, height: 1, width: 2, classes: ['a', 'b'] },
  train: {
    count: 10,
    values: Uint8Array.from({ length: 40 }, (_, i) => (i % 4 < 2 ? i : 5)),
    labels: Uint8Array.from({ length: 10 }, (_, n) => n % 2),
  },
  test: { count: 3, values: new Uint8Array(12), labels: new Uint8Array(3) },
};

test('a validation part is drawn of the training images, the same every time', () => {
  const { parts } = imageData(files, 0.2);
  expect([...parts.train.numbers, ...parts.val.numbers].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(parts.val.numbers.length).toBe(2);
  expect([...parts.test.numbers]).toEqual([0, 1, 2]);
  expect(imageData(files, 0.2).parts.val.numbers).toEqual(parts.val.numbers);
  expect(() => imageData(files, 0.01)).toThrow(
    'made has 10 images to train on and 3 to test on: too few, with --val_fraction 0.01',
  );
});

test('moments are of the training part, by channel; one that never changes has a deviation of 1', () => {
  const { parts, mean, deviation } = imageData(files, 0.2);
  const first = [...parts.train.numbers].flatMap((n) => [4 * n, 4 * n + 1]);
  const center = first.reduce((sum, value) => sum + value, 0) / first.length;
  const spread = Math.sqrt(first.reduce((sum, value) => sum + (value - center) ** 2, 0) / first.length);
  expect(mean).toEqual([expect.closeTo(center, 10), 5]);
  expect(deviation).toEqual([expect.closeTo(spread, 10), 1]);
});

test('the digits that come with the package', () => {
  const { train, test: last, height, width, classes } = digits();
  expect([train.count, last.count, height, width, classes.length]).toEqual([1437, 360, 8, 8, 10]);
  expect(train.values.length).toBe(1437 * 64);
  expect(Math.max(...train.values, ...last.values)).toBe(16);
  // As scikit-learn documents them.
  const counts = new Array<number>(10).fill(0);
  for (const label of [...train.labels, ...last.labels]) counts[label] += 1;
  expect(counts).toEqual([178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
  expect([...train.values.subarray(0, 8)]).toEqual([0, 0, 5, 13, 9, 1, 0, 0]);
});

test('an order has every number once, every order is another, and none is favoured', () => {
  const firsts = new Array<number>(5).fill(0);
  for (let number = 0; number < 500; number += 1) {
    const order = permutation(3, 1, number, 5);
    expect([...order].sort()).toEqual([0, 1, 2, 3, 4]);
    firsts[order[0]] += 1;
  }
  for (const count of firsts) expect(Math.abs(count - 100)).toBeLessThan(40);
  expect([...permutation(3, 1, 0, 5)]).toEqual([...permutation(3, 1, 0, 5)]);
});
