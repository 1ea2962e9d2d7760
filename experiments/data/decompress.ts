/**
 * A file's content as a stream of pieces, whatever it is packed with.
 *
 * The traps: a stream that another one reads from does not hand on its errors by itself (`pipeline` does); Node 20 has no zstd;
 * and fzstd wants to be told of the end, or half a file would pass for a whole one.
 */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { atPath, UserError } from '../../compiler/command-line/errors.ts';
import type { InputFile } from './input-files.ts';

const pieceBytes = 2 ** 18;

/** `onBytes` hears how far the file itself has been read. Throws system errors, and UserError where the packing is broken. */
export async function* readUnpacked(
  { path, compression }: Pick<InputFile, 'path' | 'compression'>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(path, { highWaterMark: pieceBytes });
  const packed = counted(stream, onBytes);
  try {
    switch (compression) {
      case 'none':
        yield* packed;
        break;
      case 'gzip':
        yield* pipeline(packed, createGunzip({ chunkSize: pieceBytes }), () => undefined) as AsyncIterable<Uint8Array>;
        break;
      case 'zstd':
        yield* unpackZstd(packed);
        break;
      default:
        compression satisfies never;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof UserError || code?.startsWith('Z_') !== true) throw atPath(error, path);
    throw broken(path, 'gzip', message);
  } finally {
    stream.destroy();
  }

  async function* unpackZstd(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let unpacked: Uint8Array[] = [];
    const decompress = new Decompress((piece) => void unpacked.push(piece));
    const take = (piece: Uint8Array, isLast: boolean) => {
      unpacked = [];
      try {
        decompress.push(piece, isLast);
      } catch (error) {
        throw broken(path, 'zstd', (error as Error).message);
      }
      return unpacked;
    };
    for await (const piece of pieces) yield* take(piece, false);
    yield* take(new Uint8Array(), true);
  }
}

async function* counted(pieces: AsyncIterable<Uint8Array>, onBytes: (bytes: number) => void) {
  let total = 0;
  for await (const piece of pieces) {
    total += piece.length;
    onBytes(total);
    yield piece;
  }
}

function broken(path: string, packing: string, message: string): UserError {
  return new UserError(`${path}: is broken as ${packing} (${message}); fetch it again or leave it out`);
}
