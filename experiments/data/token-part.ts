/**
 * Tokens of one part as they are written to its file, document by document. A document counts once it is kept; until then it can be
 * taken back, however long it is.
 *
 * The trap: what is kept is safe only after `sync`; where a file goes on after a crash, it first loses what came after that.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync } from 'node:fs';
import { writeFully } from '../../compiler/command-line/atomic-file.ts';
import { atPath } from '../../compiler/command-line/errors.ts';

export interface TokenPart {
  /** Bytes of all documents that were kept. */
  readonly keptBytes: () => number;
  readonly append: (tokens: Uint8Array | Uint16Array) => void;
  /** The document is complete. */
  readonly keep: () => void;
  /** The document is none: the part is as it was before it. */
  readonly takeBack: () => void;
  /** All that was kept is on the disk. */
  readonly sync: () => void;
  readonly close: () => void;
}

const bufferBytes = 2 ** 20;

/** Goes on after the first `keptBytes` of the file, or begins it. Throws system errors, as all of it does. */
export function openPart(path: string, keptBytes: number): TokenPart {
  const file = openSync(path, 'a');
  const buffer = new Uint8Array(bufferBytes);
  let kept = keptBytes;
  let written = keptBytes;
  let filled = 0;
  const tell = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw atPath(error, path);
    }
  };
  const write = (bytes: Uint8Array) => {
    tell(() => writeFully(file, bytes));
    written += bytes.length;
  };
  const flush = () => {
    write(buffer.subarray(0, filled));
    filled = 0;
  };
  tell(() => ftruncateSync(file, keptBytes));
  return {
    keptBytes: () => kept,
    append: (tokens) => {
      const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
      if (filled + bytes.length > bufferBytes) flush();
      if (bytes.length > bufferBytes) {
        write(bytes);
      } else {
        buffer.set(bytes, filled);
        filled += bytes.length;
      }
    },
    keep: () => {
      kept = written + filled;
    },
    takeBack: () => {
      if (kept < written) {
        tell(() => ftruncateSync(file, kept));
        written = kept;
      }
      filled = kept - written;
    },
    sync: () => {
      flush();
      tell(() => fsyncSync(file));
    },
    close: () => closeSync(file),
  };
}
