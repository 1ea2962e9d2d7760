/**
 * Parquet, as data sets are published: one column of texts, read a group of rows at a time.
 *
 * The trap: the reader makes strings of what is no UTF-8 without a word; so it is asked for the bytes.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { atPath, UserError } from '../../compiler/command-line/errors.ts';
import type { InputFile } from './input-files.ts';
import { checkedText } from './read-json-lines.ts';
import type { RowEvent, RowOptions } from './rows.ts';

/** Its four letters at both ends and the length of what stands before the last. */
const smallestBytes = 12;

export async function* readParquet(
  { path, sizeBytes, compression }: InputFile,
  { skip, field, onBytes }: RowOptions,
): AsyncGenerator<RowEvent> {
  if (compression !== 'none') {
    throw new UserError(`${path}: Parquet is compressed inside; unpack the file itself first`);
  }
  const [{ parquetMetadataAsync, parquetScan, parquetSchema }, { compressors }] = await Promise.all([
    import('hyparquet'),
    import('hyparquet-compressors'),
  ]);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const descriptor = openSync(path, 'r');
  try {
    const file = {
      byteLength: sizeBytes,
      slice: (start: number, end = sizeBytes) => readRange(descriptor, start, end),
    };
    if (sizeBytes < smallestBytes) throw new Error(sizeBytes === 0 ? 'it is empty' : 'it ends too early');
    const metadata = await parquetMetadataAsync(file, { geoparquet: false });
    const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
    if (!columns.includes(field)) {
      throw new UserError(
        `${path}: has no column \`${field}\`; its columns are ${columns.join(', ')}: give --field one of them`,
      );
    }
    const parsers = { stringFromBytes: (bytes: Uint8Array) => bytes };
    const scan = await parquetScan({ file, metadata, columns: [field], compressors, parsers, geoparquet: false });
    const rowsInAll = Number(metadata.num_rows);
    for (const { rowStart, rowEnd } of scan.ranges) {
      if (rowEnd <= skip) continue;
      const values = await scan.readColumn({ column: field, rowStart, rowEnd });
      for (let row = Math.max(rowStart, skip); row < rowEnd; row += 1) {
        const place = `${path} row ${row + 1}`;
        const found = textOf(values[row - rowStart]);
        if ('reason' in found) {
          yield { kind: 'bad', place, reason: found.reason };
        } else {
          yield { kind: 'text', text: found.text };
          yield { kind: 'end', place };
        }
      }
      onBytes((sizeBytes * rowEnd) / rowsInAll);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (error instanceof Error && 'syscall' in error) throw atPath(error, path);
    throw new UserError(`${path}: is broken as Parquet (${(error as Error).message}); fetch it again or leave it out`);
  } finally {
    closeSync(descriptor);
  }

  function textOf(value: unknown): { readonly text: string } | { readonly reason: string } {
    if (!(value instanceof Uint8Array)) return checkedText(value ?? undefined, field);
    try {
      return { text: decoder.decode(value) };
    } catch {
      return { reason: 'not UTF-8' };
    }
  }
}

async function readRange(file: number, start: number, end: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(end - start);
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(file, bytes, done, bytes.length - done, start + done);
    if (count === 0) throw new Error('it ends too early');
    done += count;
  }
  return bytes.buffer;
}
