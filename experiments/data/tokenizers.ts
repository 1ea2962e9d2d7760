/**
 * Texts as tokens and back. `chars96` is the reference's: a newline, then the printable characters of ASCII in their order. `bytes`
 * takes any UTF-8. GPT-2's byte pairs are in `gpt2.ts`, whose table is large and loaded only where it is needed.
 *
 * The trap: a token may be a part of a character, so that a decoder keeps what is not whole yet.
 */
import { UserError } from '../../compiler/command-line/errors.ts';

export type TokenizerName = 'chars96' | 'bytes' | 'gpt2';

export interface Tokenizer {
  readonly name: TokenizerName;
  readonly vocabulary: number;
  readonly bytesPerToken: 1 | 2;
  /** Undefined where the text holds what has no token; `firstUnknown` finds it. */
  readonly encode: (text: string) => Uint8Array | Uint16Array | undefined;
  /** Where in the text the first character without a token stands; undefined if there is none. */
  readonly firstUnknown: (text: string) => number | undefined;
  readonly decoder: () => TokenDecoder;
  /** How many characters begin in a token: those of a text's tokens are together the text's. */
  readonly characters: (token: number) => number;
  /** Stands after every document, and so before a text that nothing else stands before. */
  readonly start: number;
}

export interface TokenDecoder {
  /** The characters that are whole with this token. */
  readonly push: (token: number) => string;
  /** What is left over; U+FFFD for half a character. */
  readonly end: () => string;
}

const newline = 10;
const firstPrintable = 32;
const lastPrintable = 126;

function char96Of(code: number): number | undefined {
  if (code === newline) return 0;
  return code >= firstPrintable && code <= lastPrintable ? code - firstPrintable + 1 : undefined;
}

export const chars96: Tokenizer = {
  name: 'chars96',
  vocabulary: lastPrintable - firstPrintable + 2,
  bytesPerToken: 1,
  encode: (text) => {
    const tokens = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) {
      const token = char96Of(text.charCodeAt(i));
      if (token === undefined) return undefined;
      tokens[i] = token;
    }
    return tokens;
  },
  firstUnknown: (text) => {
    for (let i = 0; i < text.length; i += 1) if (char96Of(text.charCodeAt(i)) === undefined) return i;
    return undefined;
  },
  decoder: () => ({
    push: (token) => String.fromCharCode(token === 0 ? newline : token + firstPrintable - 1),
    end: () => '',
  }),
  characters: () => 1,
  start: 0,
};

export const bytes: Tokenizer = {
  name: 'bytes',
  vocabulary: 256,
  bytesPerToken: 1,
  encode: (text) => new TextEncoder().encode(text),
  firstUnknown: () => undefined,
  decoder: () => byteDecoder(),
  characters: characterStarts,
  start: newline,
};

/** 1 for a byte of UTF-8 that a character begins with, 0 for one that goes on with it. */
export function characterStarts(byte: number): number {
  return (byte & 0xc0) === 0x80 ? 0 : 1;
}

/** What is known of each before it is loaded. */
export const tokenizerShapes = {
  chars96: { vocabulary: chars96.vocabulary, bytesPerToken: 1 },
  bytes: { vocabulary: bytes.vocabulary, bytesPerToken: 1 },
  gpt2: { vocabulary: 50257, bytesPerToken: 2 },
} as const satisfies Readonly<Record<TokenizerName, Pick<Tokenizer, 'vocabulary' | 'bytesPerToken'>>>;

const known: Readonly<Record<TokenizerName, () => Promise<Tokenizer>>> = {
  chars96: async () => chars96,
  bytes: async () => bytes,
  gpt2: async () => (await import('./gpt2.ts')).gpt2,
};

export const tokenizerNames: readonly string[] = Object.keys(known);

export function isTokenizerName(name: string): name is TokenizerName {
  return tokenizerNames.includes(name);
}

/** Throws UserError for a name that is none. */
export async function tokenizerNamed(name: string): Promise<Tokenizer> {
  if (!isTokenizerName(name)) {
    throw new UserError(`no tokenizer is called ${name}; there are ${tokenizerNames.join(', ')}`);
  }
  return known[name]();
}

/** Of UTF-8 that comes in pieces. */
export function byteDecoder(): TokenDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (token) => decoder.decode(Uint8Array.of(token), { stream: true }),
    end: () => decoder.decode(),
  };
}

/** A text's tokens. Throws UserError naming the first character that has none, and where it stands. */
export function encodeOrRefuse(tokenizer: Tokenizer, text: string, what: string): Uint8Array | Uint16Array {
  const tokens = tokenizer.encode(text);
  if (tokens !== undefined) return tokens;
  const at = tokenizer.firstUnknown(text) as number;
  throw new UserError(
    `${what}: the character ${characterName(text, at)} at place ${at + 1} is not among the ${tokenizer.vocabulary} of ` +
      `${tokenizer.name}${tokenizer.name === 'chars96' ? ': a newline and the printable ones of ASCII' : ''}`,
  );
}

/** `'é' (U+00E9)`; what does not show itself has only its number. */
export function characterName(text: string, at: number): string {
  const code = text.codePointAt(at) as number;
  const number = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  const character = String.fromCodePoint(code);
  return /[\p{C}\p{Z}\p{M}]/u.test(character) ? number : `'${character}' (${number})`;
}
