import { describe, expect, test } from 'vitest';
import { bigramEntropy } from '../../../experiments/data/bigrams.ts';
import { embeddedText } from '../../../experiments/data/embedded.ts';
import { splitOf } from '../../../experiments/data/token-data.ts';
import { bytes, chars96, encodeOrRefuse } from '../../../experiments/data/tokenizers.ts';

describe('bigram entropy', () => {
  test('of texts whose pairs can be counted by hand', () => {
    // a a b a a b …: after b comes a; after a, half of the time each.
    const text = splitOf(
      Uint8Array.from({ length: 301 }, (_, i) => (i % 3 === 2 ? 1 : 0)),
      undefined,
    );
    expect(bigramEntropy(text)).toBeCloseTo((2 / 3) * Math.LN2, 6);
    expect(
      bigramEntropy(
        splitOf(
          Uint16Array.from({ length: 50 }, (_, i) => i % 2),
          undefined,
        ),
      ),
    ).toBe(0);
    expect(() => bigramEntropy(splitOf(Uint8Array.of(3), undefined))).toThrow('a text of 1 tokens has no pairs');
  });

  test('of every pair as often as any other is the logarithm of their number', () => {
    const pairs: number[] = [];
    // A walk over all pairs of four tokens (a de Bruijn sequence), once around.
    for (const token of [0, 0, 1, 0, 2, 0, 3, 1, 1, 2, 1, 3, 2, 2, 3, 3, 0]) pairs.push(token);
    expect(bigramEntropy(splitOf(Uint8Array.from(pairs), undefined))).toBeCloseTo(Math.log(4), 12);
  });
});

describe('the text that comes with the package', () => {
  const { train, val, vocabulary } = embeddedText();

  test('is English of the 96 symbols, its end held out', () => {
    expect([vocabulary, train.bytesPerToken]).toEqual([96, 1]);
    expect(train.length / (train.length + val.length)).toBeCloseTo(0.9, 4);
    expect(train.length).toBeGreaterThan(1_000_000);
    const decoder = chars96.decoder();
    const beginning = Array.from(train.read(0, 40), decoder.push).join('');
    expect(beginning).toBe('CHAPTER 1. Loomings.\n\nCall me Ishmael. S');
    for (const { read, length } of [train, val]) expect(Math.max(...new Set(read(0, length)))).toBeLessThan(96);
  });

  test('its bigrams, counted here once more in plain loops', () => {
    const tokens = val.read(0, val.length);
    const counts = new Float64Array(96 * 96);
    for (let i = 1; i < tokens.length; i += 1) counts[tokens[i - 1] * 96 + tokens[i]] += 1;
    let entropy = 0;
    for (let a = 0; a < 96; a += 1) {
      const row = counts.subarray(a * 96, a * 96 + 96);
      const total = row.reduce((sum, n) => sum + n, 0);
      for (const n of row) if (n > 0) entropy -= (n / (tokens.length - 1)) * Math.log(n / total);
    }
    expect(bigramEntropy(val)).toBeCloseTo(entropy, 9);
    expect(entropy).toBeGreaterThan(2);
    expect(entropy).toBeLessThan(2.6);
  });
});

describe('tokens', () => {
  test('chars96 is the reference’s order: a newline, then the printable characters of ASCII', () => {
    expect(Array.from(encodeOrRefuse(chars96, '\n !~', 'text'))).toEqual([0, 1, 2, 95]);
    const all = Array.from({ length: 96 }, (_, token) => chars96.decoder().push(token)).join('');
    expect(Array.from(encodeOrRefuse(chars96, all, 'text'))).toEqual(Array.from({ length: 96 }, (_, i) => i));
  });

  test('a character without a token is named with its place', () => {
    expect(() => encodeOrRefuse(chars96, 'a naïve one', 'the prompt')).toThrow(
      "the prompt: the character 'ï' (U+00EF) at place 5 is not among the 96 of chars96",
    );
  });

  test('bytes of one character come out when it is whole', () => {
    const tokens = Array.from(encodeOrRefuse(bytes, 'aé€😀', 'text'));
    const decoder = bytes.decoder();
    const pieces = tokens.map(decoder.push);
    expect(pieces.join('') + decoder.end()).toBe('aé€😀');
    expect(pieces[1]).toBe('');
    const half = bytes.decoder();
    expect(half.push(0xc3) + half.end()).toBe('\uFFFD');
  });
});
