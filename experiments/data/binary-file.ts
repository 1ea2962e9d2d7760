/** A file of bytes, whole, unpacked where it is called `.gz`. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { UserError } from '../../compiler/command-line/errors.ts';

/** Throws system errors, and UserError where it is no gzip file. */
export function readBinary(path: string): Uint8Array {
  const bytes = readFileSync(path);
  if (!path.endsWith('.gz')) return bytes;
  try {
    return gunzipSync(bytes);
  } catch (error) {
    throw new UserError(`${path}: is broken as gzip (${(error as Error).message}); fetch it again`);
  }
}
