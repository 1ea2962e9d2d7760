/**
 * A text as a language model reads it: tokens of a training and of a held-out part, whatever tokenizer made them and wherever they
 * lie. `mlbtc data prepare` writes such data; the text that comes with the package is one too.
 */

export type SplitName = 'train' | 'val';

/** One part. Tokens are unsigned, little-endian, one after the other. */
export interface TokenSplit {
  /** Tokens in it. */
  readonly length: number;
  readonly bytesPerToken: 1 | 2;
  /** What its tokens stand for, in characters; undefined where nobody counted. */
  readonly characters: number | undefined;
  /** Of its bytes, as who prepared it wrote it down; undefined where nobody did. */
  readonly sha256?: string;
  /** `count` tokens from `start` on. Throws RangeError outside, system errors where a file cannot be read. */
  readonly read: (start: number, count: number) => Uint8Array | Uint16Array;
}

export interface TokenData {
  /** For titles: the folder, or the text's name. */
  readonly name: string;
  /** `chars96`, `bytes` or `gpt2`. */
  readonly tokenizer: string;
  /** Different tokens; every token is below it. */
  readonly vocabulary: number;
  readonly train: TokenSplit;
  readonly val: TokenSplit;
}

/** A part that is in memory. */
export function splitOf(tokens: Uint8Array | Uint16Array, characters: number | undefined): TokenSplit {
  return {
    length: tokens.length,
    bytesPerToken: tokens.BYTES_PER_ELEMENT === 1 ? 1 : 2,
    characters,
    read: (start, count) => {
      if (start < 0 || start + count > tokens.length) {
        throw new RangeError(`tokens ${start} to ${start + count} of ${tokens.length}`);
      }
      return tokens.subarray(start, start + count);
    },
  };
}
