import { expect, test } from 'vitest';
import { drawNormal, drawUniform, multiplyHigh, philox4x32, wordToUnit } from '../../../compiler/ir/philox.ts';

/** The known answers for philox4x32 with 10 rounds that its authors publish (Random123, kat_vectors). */
const knownAnswers = [
  { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  {
    counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    key: [0xffffffff, 0xffffffff],
    words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
] as const;

test.each(knownAnswers)('known answer for counter $counter', ({ counter, key, words }) => {
  expect(philox4x32(counter, key)).toEqual(words);
});

test('the high word agrees with exact arithmetic', () => {
  const words = [0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xd2511f53, 0xfffffffe, 0xffffffff];
  for (const a of words) {
    for (const b of words) expect(multiplyHigh(a, b)).toBe(Number((BigInt(a) * BigInt(b)) >> 32n));
  }
});

test('draws have the moments of their distributions', () => {
  const count = 20_000;
  const moments = (draw: (element: number) => number): number[] => {
    const totals = [0, 0, 0, 0];
    for (let i = 0; i < count; i++) {
      const x = draw(i);
      for (let k = 0; k < 4; k++) totals[k] += x ** (k + 1) / count;
    }
    return totals;
  };
  const uniform = moments((i) => drawUniform(1, 2, 3, i));
  const normal = moments((i) => drawNormal(1, 2, 3, i));
  // Bounds of about four standard errors.
  [1 / 2, 1 / 3].forEach((m, k) => {
    expect(Math.abs(uniform[k] - m)).toBeLessThan(0.01);
  });
  [0, 1, 0, 3].forEach((m, k) => {
    expect(Math.abs(normal[k] - m)).toBeLessThan([0.03, 0.04, 0.11, 0.28][k]);
  });
});

test('seed, stream, step and element each change the draw', () => {
  const draws = [
    drawUniform(1, 2, 3, 4),
    drawUniform(2, 2, 3, 4),
    drawUniform(1, 3, 3, 4),
    drawUniform(1, 2, 4, 4),
    drawUniform(1, 2, 3, 5),
  ];
  expect(new Set(draws).size).toBe(5);
});

test('a word becomes a number strictly between 0 and 1 that f32 holds exactly', () => {
  for (const word of [0, 1, 511, 512, 0x7fffffff, 0x80000000, 0xfffffe00, 0xffffffff]) {
    const unit = wordToUnit(word);
    expect(Math.fround(unit)).toBe(unit);
    expect(unit).toBeGreaterThan(0);
    expect(unit).toBeLessThan(1);
    expect(Math.abs(unit - word / 2 ** 32)).toBeLessThanOrEqual(2 ** -24);
  }
});
