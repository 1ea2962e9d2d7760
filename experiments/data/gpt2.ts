/**
 * GPT-2's byte pairs, from `gpt-tokenizer`, as `tiktoken` has them in `encode_ordinary`: what looks like a special token is text. Loaded only
 * where somebody asks for it, because its table takes a while.
 *
 * The trap: a token is a piece of UTF-8, not of text, so that a character may be in several tokens and a token be half a character.
 */
import ranks from 'gpt-tokenizer/bpeRanks/r50k_base';
import { encode } from 'gpt-tokenizer/encoding/r50k_base';
import { byteDecoder, characterStarts, type Tokenizer, tokenizerShapes } from './tokenizers.ts';

const endOfText = 50256;
const ordinary = { disallowedSpecial: new Set<string>() };

function bytesOf(token: number): Uint8Array {
  const bytes = token === endOfText ? '<|endoftext|>' : ranks[token];
  return typeof bytes === 'string' ? new TextEncoder().encode(bytes) : Uint8Array.from(bytes);
}

const characters = Uint8Array.from({ length: endOfText + 1 }, (_, token) =>
  token === endOfText ? 1 : bytesOf(token).reduce((sum, byte) => sum + characterStarts(byte), 0),
);

export const gpt2: Tokenizer = {
  name: 'gpt2',
  ...tokenizerShapes.gpt2,
  encode: (text) => Uint16Array.from(encode(text, ordinary)),
  firstUnknown: () => undefined,
  decoder: () => {
    const decoder = byteDecoder();
    return { push: (token) => Array.from(bytesOf(token), decoder.push).join(''), end: decoder.end };
  },
  characters: (token) => characters[token],
  start: endOfText,
};
