/**
 * Documents one after the other, from any file that `input-files.ts` finds, and all of them in the same way: pieces of text, then an
 * end. A document that turns out to be bad has no end but a reason, and what came of it before does not count.
 *
 * The trap: a document can be larger than memory, so it comes in pieces; and tokens must not depend on where those are cut, so a
 * cut lies before a space that ends a word, where no tokenizer has a token on both sides.
 */
import type { InputFile } from './input-files.ts';
import { readJsonLines } from './read-json-lines.ts';
import { readParquet } from './read-parquet.ts';
import { readTextFile } from './read-text.ts';

export type RowEvent =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'end'; readonly place: string }
  | { readonly kind: 'bad'; readonly place: string; readonly reason: string };

export interface RowOptions {
  /** Rows at the beginning that are passed over. */
  readonly skip: number;
  /** Field of a JSON row, column of a table. */
  readonly field: string;
  /** Hears how far the file has been read. */
  readonly onBytes: (bytes: number) => void;
}

/** Throws system errors, and UserError where a file as a whole cannot be read. */
export function readRows(file: InputFile, options: RowOptions): AsyncGenerator<RowEvent> {
  switch (file.format) {
    case 'text':
      return readTextFile(file, options);
    case 'json-lines':
      return readJsonLines(file, options);
    case 'parquet':
      return readParquet(file, options);
  }
}
