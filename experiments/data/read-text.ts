/** A text file: one document, as long as it may be. */
import { readUnpacked } from './decompress.ts';
import type { InputFile } from './input-files.ts';
import type { RowEvent, RowOptions } from './rows.ts';

/** So much without a space is cut where it happens to be: it is no text of words. */
const longestWord = 2 ** 16;

export async function* readTextFile(file: InputFile, { skip, onBytes }: RowOptions): AsyncGenerator<RowEvent> {
  if (skip > 0) return;
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let bytesBefore = 0;
  for await (const piece of readUnpacked(file, onBytes)) {
    try {
      rest += decoder.decode(piece, { stream: true });
    } catch {
      yield notUtf8(file, `between bytes ${bytesBefore} and ${bytesBefore + piece.length}`);
      return;
    }
    bytesBefore += piece.length;
    for (let cut = cutOf(rest); cut > 0; cut = cutOf(rest)) {
      yield { kind: 'text', text: rest.slice(0, cut) };
      rest = rest.slice(cut);
    }
  }
  try {
    rest += decoder.decode();
  } catch {
    yield notUtf8(file, 'at its end, which is half a character');
    return;
  }
  if (rest !== '') yield { kind: 'text', text: rest };
  yield { kind: 'end', place: file.path };
}

function notUtf8({ path }: InputFile, where: string): RowEvent {
  return { kind: 'bad', place: path, reason: `not UTF-8 ${where}` };
}

/**
 * Where a text that goes on may be cut: before the last space that ends a word. Words that are too long are cut at a length counted
 * from their own beginning, so that it does not matter in which pieces the file was read. 0: not yet.
 */
export function cutOf(text: string): number {
  for (let at = text.length - 1; at > 0; at -= 1) {
    const code = text.charCodeAt(at);
    if ((code === 32 || code === 10) && !/\s/.test(text[at - 1])) return at;
  }
  if (text.length <= longestWord) return 0;
  const isHalf = /[\uD800-\uDBFF]/.test(text[longestWord - 1]);
  return isHalf ? longestWord + 1 : longestWord;
}
