/**
 * Batches of a language model: windows of a text, `length` tokens and the one after them, from places that are drawn. A sequence has
 * a number that counts through the whole training, and its place is a function of (seed, split, number): the same sequences come in
 * the same order however they are dealt out to batches, and an evaluation sees the same ones whatever the batch size.
 *
 *   start ──▶ window[n, s] = text[start[n] + s] ──▶ tokens[n, t] = window[n, t],  targets[n, t] = window[n, t + 1]
 *
 * The text lies on the device as it lies in its file, several tokens to an i32 word, where it fits into one binding; where it does
 * not, the host reads the windows. The trap: a place is drawn from two 32-bit words, since one would favour some places of a long
 * text.
 */
import { affine } from '../../compiler/ir/affine.ts';
import { at, computed, gather, input, over } from '../../compiler/ir/build.ts';
import { binary, constant, select, sum } from '../../compiler/ir/expression.ts';
import { drawWords } from '../../compiler/ir/philox.ts';
import type { Affine, Expression, Tensor } from '../../compiler/ir/program.ts';
import type { TokenSplit } from '../data/token-data.ts';

/** Streams of random numbers; those of `prompts.ts` lie below, those of `series-windows.ts` and `image-batches.ts` after them, params' from 1024 on. */
export const windowStreams = { train: 8, evaluate: 9 } as const;

export interface WindowShape {
  readonly batch: number;
  /** Tokens that the model reads. */
  readonly length: number;
}

/** First token of a sequence's window, uniform over the windows of `length` + 1 tokens in the text. */
export function windowStart(
  seed: number,
  stream: number,
  sequence: number,
  { length: tokens }: TokenSplit,
  length: number,
) {
  return drawnPlace(seed, stream, sequence, tokens - length);
}

/** One of so many places, uniformly: of the sequence with this number. */
export function drawnPlace(seed: number, stream: number, sequence: number, places: number): number {
  const [high, low] = drawWords(seed, stream, Math.floor(sequence / 2 ** 31), sequence % 2 ** 31);
  // 53 bits, the most that a double holds.
  const unit = ((high >>> 5) * 2 ** 26 + (low >>> 6)) * 2 ** -53;
  return Math.floor(unit * places);
}

/** Numbers of the windows' first tokens in a batch whose first sequence is `first`. */
export function windowStarts(
  seed: number,
  stream: number,
  first: number,
  split: TokenSplit,
  { batch, length }: WindowShape,
): Int32Array {
  return Int32Array.from({ length: batch }, (_, n) => windowStart(seed, stream, first + n, split, length));
}

/** i32 words that hold a text, as `packedText` lays it out. */
export function textWords({ length, bytesPerToken }: TokenSplit): number {
  return Math.ceil((length * bytesPerToken) / 4);
}

/** The text's bytes as words, the last one filled up with 0; read in pieces. */
export function packedText(split: TokenSplit): Int32Array {
  const words = new Int32Array(textWords(split));
  const bytes = new Uint8Array(words.buffer);
  const piece = 2 ** 24;
  for (let start = 0; start < split.length; start += piece) {
    const tokens = split.read(start, Math.min(piece, split.length - start));
    bytes.set(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength), start * split.bytesPerToken);
  }
  return words;
}

/** `tokens` and `targets` of windows of a text on the device; inputs: `text` (words), `start` (batch). */
export function drawnWindows({ batch, length }: WindowShape, words: number, bytesPerToken: 1 | 2): readonly Tensor[] {
  const perWord = 4 / bytesPerToken;
  const values = 2 ** (8 * bytesPerToken);
  const whole = (name: string, value: (place: Expression, n: Affine, s: Affine) => Expression): Tensor => {
    const equation = over({ n: batch, s: length + 1 }, ({ n, s }) => ({
      store: [n, s],
      value: value(at('text~place', n, s), n, s),
    }));
    return computed(name, [batch, length + 1], [equation], 'i32');
  };
  return [
    input('text', [words], 'i32'),
    input('start', [batch], 'i32'),
    // A tensor of its own: of a sum of two i32 the next ones would have to think that it may not be one.
    whole('text~place', (_, n, s) => sum([at('start', n), { kind: 'index', affine: s }])),
    whole('text~word', (place) => binary('quotient', place, constant(perWord))),
    whole('window', (place, n, s) => {
      const word = at('text', gather('text~word', n, s));
      const shifted = shiftedRight(word, binary('remainder', place, constant(perWord)), perWord, values);
      return binary('remainder', shifted, constant(values));
    }),
    ...batchOf({ batch, length }),
  ];
}

/** The same, from windows that the host reads; input: `window` (batch, length + 1). */
export function givenWindows({ batch, length }: WindowShape): readonly Tensor[] {
  return [input('window', [batch, length + 1], 'i32'), ...batchOf({ batch, length })];
}

/** What the input `window` takes. */
export function readWindows(split: TokenSplit, starts: Int32Array, { batch, length }: WindowShape): Int32Array {
  const windows = new Int32Array(batch * (length + 1));
  for (const [n, start] of starts.entries()) windows.set(split.read(start, length + 1), n * (length + 1));
  return windows;
}

function batchOf({ batch, length }: WindowShape): readonly Tensor[] {
  const part = (name: string, offset: number): Tensor =>
    computed(
      name,
      [batch, length],
      [
        over({ n: batch, t: length }, ({ n, t }) => ({
          store: [n, t],
          value: at('window', n, affine(offset, t.terms)),
        })),
      ],
      'i32',
    );
  return [part('tokens', 0), part('targets', 1)];
}

/** A word without its `count` lowest tokens: divided, rounding down, by a power of `values`. A word may be negative. */
function shiftedRight(word: Expression, count: Expression, perWord: number, values: number): Expression {
  let shifted = word;
  for (let k = 1; k < perWord; k += 1) {
    const isAtLeast = { kind: 'compare', operator: '>=', left: count, right: constant(k) } as const;
    shifted = select(isAtLeast, binary('quotient', shifted, constant(values)), shifted);
  }
  return shifted;
}
