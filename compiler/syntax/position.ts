/**
 * Offsets → lines and columns, as people and editors count them: from 1, columns in code points. Lines end at LF, CRLF or
 * CR; a byte-order mark at the beginning takes no column.
 */
import type { Source } from './diagnostic.ts';

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where each line begins; kept by source, since one file may have many diagnostics. */
const lineStartsOf = new WeakMap<Source, readonly number[]>();

export function lineStarts(source: Source): readonly number[] {
  const known = lineStartsOf.get(source);
  if (known !== undefined) return known;
  const starts = [0];
  for (const match of source.text.matchAll(/\r\n|\r|\n/g)) starts.push(match.index + match[0].length);
  lineStartsOf.set(source, starts);
  return starts;
}

/** The index of the line that holds an offset, from 0. */
export function lineIndex(source: Source, offset: number): number {
  const starts = lineStarts(source);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle] <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** A line without its end; `index` from 0. */
export function lineText(source: Source, index: number): string {
  const starts = lineStarts(source);
  return source.text.slice(starts[index], starts[index + 1] ?? source.text.length).replace(/[\r\n]+$/, '');
}

export function positionOf(source: Source, offset: number): Position {
  const index = lineIndex(source, offset);
  const start = lineStarts(source)[index];
  let column = 1;
  for (let i = start; i < offset; i++) {
    const code = source.text.charCodeAt(i);
    const secondHalf = i > start && code >= 0xdc00 && code <= 0xdfff && isHighSurrogate(source.text.charCodeAt(i - 1));
    if (!secondHalf && !(i === 0 && code === 0xfeff)) column++;
  }
  return { line: index + 1, column };
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
