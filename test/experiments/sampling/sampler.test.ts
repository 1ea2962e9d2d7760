import { describe, expect, test } from 'vitest';
import type { Decoder } from '../../../experiments/sampling/decoder.ts';
import { drawToken, sample } from '../../../experiments/sampling/sampler.ts';

describe('a token is drawn', () => {
  const logits = [Math.log(0.1), Math.log(0.6), Math.log(0.3)];

  test('by its share, most likely first', () => {
    const draw = (unit: number) => drawToken(logits, 1, null, unit);
    expect([0.01, 0.59, 0.61, 0.89, 0.91, 0.999].map(draw)).toEqual([1, 1, 2, 2, 0, 0]);
  });

  test('among the k most likely, more evenly or less by the temperature', () => {
    expect(drawToken(logits, 1, 2, 0.999)).toBe(2);
    // Two thirds to one third become four fifths to one fifth at half the temperature.
    expect([0.79, 0.81].map((unit) => drawToken(logits, 0.5, 2, unit))).toEqual([1, 2]);
    expect(drawToken(logits, 0, null, 0.999)).toBe(1);
    expect(drawToken([1, 1, 1], 0, null, 0.5)).toBe(0);
  });
});

describe('a text', () => {
  /** The next token is the number of tokens that were read. */
  function counting(length: number, vocabulary = 64): Decoder & { readonly reads: number[][] } {
    const reads: number[][] = [];
    return {
      reads,
      length,
      read: async ([token]) => {
        const text = reads[reads.length - 1];
        if (text.length >= length) throw new RangeError('no place');
        text.push(token);
        return Float32Array.from({ length: vocabulary }, (_, i) => (i === text.length ? 9 : 0));
      },
      reset: () => void reads.push([]),
      destroy: () => undefined,
    };
  }
  const take = async (decoder: Decoder, prompt: number[], tokens: number) => {
    const found: number[] = [];
    for await (const token of sample(decoder, prompt, { tokens, temperature: 0, topK: null, seed: 0 }))
      found.push(token);
    return found;
  };

  test('goes on from its prompt', async () => {
    const decoder = counting(16);
    expect(await take(decoder, [40, 41], 4)).toEqual([2, 3, 4, 5]);
    expect(decoder.reads).toEqual([[40, 41, 2, 3, 4]]);
  });

  test('that is longer than the model goes on with the last half of its context', async () => {
    const decoder = counting(4);
    expect(await take(decoder, [50], 6)).toEqual([1, 2, 3, 4, 2, 3]);
    expect(decoder.reads).toEqual([
      [50, 1, 2, 3],
      [3, 4, 2],
    ]);
  });

  test('a prompt that is longer than the model keeps its end', async () => {
    const decoder = counting(3);
    await take(decoder, [10, 11, 12, 13], 1);
    expect(decoder.reads).toEqual([[11, 12, 13]]);
  });
});
