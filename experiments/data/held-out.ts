/**
 * Which documents are held out. The reference shuffles all documents and takes a share of them (`test_size` 0.0005, `seed` 2357), which
 * needs all of them at once. Here each is chosen by itself, from (seed, its number), so that a stream can be split, is split the
 * same way wherever it was interrupted, and a document's fate does not hang on those behind it. Not the same documents, then,
 * and their number is so many only on average; as in the reference, those that are dropped later are counted too.
 *
 * Chance needs many documents. Where fewer than ten were chosen, as in a book or two, the end of the text is held out
 * in its place, as nanoGPT does with its Shakespeare.
 */
import { drawUniform } from '../../compiler/ir/philox.ts';

export const splitSeed = 2357;
export const documentFraction = 0.0005;
export const lastFraction = 0.1;
export const fewestHeldOut = 10;

export type SplitBy = 'documents' | 'last';

/** `number` counts all documents from 0 on, whatever becomes of them. */
export function isHeldOut(number: number, fraction: number): boolean {
  return drawUniform(splitSeed, 0, Math.floor(number / 2 ** 32), number) < fraction;
}

/** The place in `total` tokens from which on they are held out: neither part is empty, where there are two tokens. */
export function lastPart(total: number, fraction: number): number {
  return Math.min(total - 1, Math.max(1, Math.floor(total * (1 - fraction))));
}
