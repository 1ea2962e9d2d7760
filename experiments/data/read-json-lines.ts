/** JSON a line: an object each, its text in one field. Empty lines are no rows. */
import { readUnpacked } from './decompress.ts';
import type { InputFile } from './input-files.ts';
import type { RowEvent, RowOptions } from './rows.ts';

/** A line that is no longer held: far more than any document, less than what a string can be. */
const longestLineBytes = 2 ** 28;

const newline = 10;

/** For a file that is JSON as a whole. */
const wanted = '; each row has to be an object on a line of its own';

export async function* readJsonLines(file: InputFile, { skip, field, onBytes }: RowOptions): AsyncGenerator<RowEvent> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let number = 0;
  let rows = 0;
  for await (const line of linesOf(readUnpacked(file, onBytes))) {
    number += 1;
    if (line !== undefined && isBlank(line)) continue;
    rows += 1;
    if (rows <= skip) continue;
    const place = `${file.path}:${number}`;
    const found = line === undefined ? { reason: `longer than ${longestLineBytes / 2 ** 20} MiB` } : textOf(line);
    if ('reason' in found) {
      yield { kind: 'bad', place, reason: found.reason };
    } else {
      yield { kind: 'text', text: found.text };
      yield { kind: 'end', place };
    }
  }

  function textOf(line: Uint8Array): { readonly text: string } | { readonly reason: string } {
    let json: string;
    try {
      json = decoder.decode(line);
    } catch {
      return { reason: 'not UTF-8' };
    }
    let row: unknown;
    try {
      row = JSON.parse(json);
    } catch {
      return { reason: /^\s*[[{]\s*$/.test(json) ? `not JSON${wanted}` : 'not JSON' };
    }
    if (Array.isArray(row)) return { reason: `a list${wanted}` };
    if (typeof row !== 'object' || row === null) return { reason: 'no object' };
    return checkedText((row as Readonly<Record<string, unknown>>)[field], field);
  }
}

/** A field's value, if it is a text that has an encoding. */
export function checkedText(value: unknown, field: string): { readonly text: string } | { readonly reason: string } {
  if (value === undefined) return { reason: `no field \`${field}\`` };
  if (typeof value !== 'string') return { reason: `\`${field}\` is no text` };
  return /\p{Surrogate}/u.test(value) ? { reason: `half a character in \`${field}\`` } : { text: value };
}

/** Lines without their ends; undefined for one that is too long to be held. */
async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array | undefined> {
  let parts: Uint8Array[] = [];
  let length = 0;
  const take = (): Uint8Array | undefined => {
    const line = length > longestLineBytes ? undefined : parts.length === 1 ? parts[0] : Buffer.concat(parts);
    parts = [];
    length = 0;
    return line;
  };
  const hold = (part: Uint8Array) => {
    length += part.length;
    if (length > longestLineBytes) parts = [];
    else parts.push(part);
  };
  for await (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, start)) {
      hold(piece.subarray(start, end));
      yield take();
      start = end + 1;
    }
    if (start < piece.length) hold(piece.subarray(start));
  }
  if (length > 0) yield take();
}

function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => byte === 32 || byte === 9 || byte === 13);
}
