/** Batches of images, and what a classifier's answers come to. */
import { describe, expect, test } from 'vitest';
import { imageData } from '../../../experiments/data/image-data.ts';
import { classBaselines, classErrors, proportionInterval } from '../../../experiments/tasks/classification.ts';
import { imagesInOrder, packedImages, shuffledImages } from '../../../experiments/tasks/image-batches.ts';

/** One pixel; class 0 is dark, class 1 light, class 2 is never seen in training. */
const pixels = [10, 20, 200, 210, 30, 220];
const data = imageData(
  {
    name: 'made',
    ...{ channels: 1, height: 1, width: 1, classes: ['dark', 'light', 'none'] },
    train: {
      count: 60,
      values: Uint8Array.from({ length: 60 }, (_, n) => pixels[n % 6]),
      labels: Uint8Array.from({ length: 60 }, (_, n) => (pixels[n % 6] > 100 ? 1 : 0)),
    },
    test: { count: 4, values: Uint8Array.of(15, 190, 90, 250), labels: Uint8Array.of(0, 1, 1, 2) },
  },
  0.1,
);

test('every pass sees each training image once, in an order of its own', () => {
  const { train } = data.parts;
  const count = train.numbers.length;
  const drawn = shuffledImages(train, 5);
  const passes = [0, 1, 2].map((pass) => [...drawn(pass * count, count)]);
  for (const pass of passes) expect([...pass].sort((a, b) => a - b)).toEqual([...train.numbers]);
  expect(passes[1]).not.toEqual(passes[0]);
  // However they are dealt out, and over the end of a pass.
  expect([...drawn(count - 3, 5)]).toEqual([...passes[0].slice(-3), ...passes[1].slice(0, 2)]);
  expect([...shuffledImages(train, 6)(0, count)]).not.toEqual(passes[0]);
});

test('packed images are standardised; some in order are evenly spread', () => {
  const { image, label } = packedImages(data, data.parts.test, Int32Array.of(1, 0));
  expect([...label]).toEqual([1, 0]);
  expect(image[0]).toBeCloseTo((190 - data.mean[0]) / data.deviation[0], 5);
  expect([...imagesInOrder(data.parts.test, 2)]).toEqual([0, 2]);
  expect([...imagesInOrder(data.parts.test)]).toEqual([0, 1, 2, 3]);
});

test('answers are added up', () => {
  const errors = classErrors(3);
  errors.add([2, 0, 1], 0);
  errors.add([0, 0, Math.log(2)], 1);
  const { loss, accuracy, images, confusion } = errors.errors();
  const mass = Math.exp(2) + 1 + Math.E;
  expect(loss).toBeCloseTo((Math.log(mass) - 2 + Math.log(4)) / 2, 12);
  expect([accuracy, images]).toEqual([0.5, 2]);
  expect(confusion).toEqual([
    [1, 0, 0],
    [0, 0, 1],
    [0, 0, 0],
  ]);
  // However large they are.
  const far = classErrors(2);
  far.add([1000, 0], 1);
  expect(far.errors().loss).toBeCloseTo(1000, 9);
});

test('baselines', () => {
  expect(classBaselines(data, data.parts.test)).toEqual({
    'most common class': expect.any(Number),
    'nearest mean': 0.5,
  });
  expect(classBaselines(data, data.parts.train)['nearest mean']).toBe(1);
});

describe("Wilson's interval", () => {
  test.each([
    [5, 10, 0.269, 0.731],
    [0, 10, 0, 0.213],
    [10, 10, 0.787, 1],
    [950, 1000, 0.937, 0.96],
  ])('of %i in %i', (right, count, low, high) => {
    const found = proportionInterval(right, count);
    expect(found.low).toBeCloseTo(low, 2);
    expect(found.high).toBeCloseTo(high, 2);
  });

  test('holds its share of draws', () => {
    // Sums over all outcomes of 40 draws with probability p: how likely is it that the interval holds p?
    for (const p of [0.2, 0.5, 0.9]) {
      let [held, choose] = [0, 1];
      for (let k = 0; k <= 40; k += 1) {
        const { low, high } = proportionInterval(k, 40);
        if (low <= p && p <= high) held += choose * p ** k * (1 - p) ** (40 - k);
        choose *= (40 - k) / (k + 1);
      }
      expect(held).toBeGreaterThan(0.86);
      expect(held).toBeLessThan(0.97);
    }
  });
});
