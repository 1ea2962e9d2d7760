/**
 * What counting pairs of tokens gives: the entropy of a token given the one before it, from the text's own counts. No model that
 * looks one token back does better on this text, whatever it was fitted to.
 *
 *   H = −Σ_ab n(a b) / n · ln( n(a b) / n(a ·) )      in nats
 */
import type { TokenSplit } from './token-data.ts';

const pieceTokens = 2 ** 20;

/** Nats a token. Throws RangeError for fewer than two tokens. */
export function bigramEntropy(split: TokenSplit): number {
  if (split.length < 2) throw new RangeError(`a text of ${split.length} tokens has no pairs`);
  const pairs = new Map<number, number>();
  const firsts = new Map<number, number>();
  let before: number | undefined;
  for (let start = 0; start < split.length; start += pieceTokens) {
    for (const token of split.read(start, Math.min(pieceTokens, split.length - start))) {
      if (before !== undefined) {
        const pair = before * 2 ** 16 + token;
        pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
        firsts.set(before, (firsts.get(before) ?? 0) + 1);
      }
      before = token;
    }
  }
  const total = split.length - 1;
  let entropy = 0;
  for (const [pair, count] of pairs) {
    const first = firsts.get(Math.floor(pair / 2 ** 16)) as number;
    entropy -= (count / total) * Math.log(count / first);
  }
  return entropy;
}
