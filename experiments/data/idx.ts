/**
 * The IDX format, in which MNIST and those after it are published: two zero bytes, the type of an element, the number of dimensions, each
 * extent as four bytes, highest first, then the elements, the last dimension fastest.
 */
import { UserError } from '../../compiler/command-line/errors.ts';
import { readBinary } from './binary-file.ts';

export interface IdxFile {
  readonly shape: readonly number[];
  readonly values: Uint8Array;
}

const unsignedBytes = 0x08;
const types: Readonly<Record<number, string>> = {
  9: 'signed bytes',
  11: '16-bit integers',
  12: '32-bit integers',
  13: 'floats',
  14: 'doubles',
};

/** Unsigned bytes with so many dimensions. Throws UserError for anything else, and for a file that is cut short or has more in it. */
export function readIdx(path: string, dimensions: number): IdxFile {
  const bytes = readBinary(path);
  const headerBytes = 4 + 4 * dimensions;
  const wanted = [0, 0, unsignedBytes, dimensions];
  if (bytes.length < headerBytes) {
    throw new UserError(`${path}: has ${bytes.length} bytes, the header of an IDX file of these takes ${headerBytes}`);
  }
  if (wanted.some((byte, i) => bytes[i] !== byte)) {
    const type = bytes[0] === 0 && bytes[1] === 0 && bytes[3] === dimensions ? types[bytes[2]] : undefined;
    throw new UserError(
      `${path}: begins with ${hex(bytes.subarray(0, 4))}, and ${hex(wanted)} is expected: IDX, unsigned bytes, ` +
        `${dimensions} ${dimensions === 1 ? 'dimension' : 'dimensions'}${type === undefined ? '' : `; it holds ${type}`}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const shape = Array.from({ length: dimensions }, (_, d) => view.getUint32(4 + 4 * d));
  const values = bytes.subarray(headerBytes);
  const elements = shape.reduce((product, extent) => product * extent, 1);
  if (values.length !== elements) {
    const isShort = values.length < elements;
    throw new UserError(
      `${path}: says ${shape.join(' × ')}, which is ${elements} bytes after the header, and has ${values.length}: it ` +
        `${isShort ? 'is cut short; fetch it again' : 'is longer than it says'}`,
    );
  }
  return { shape, values };
}

function hex(bytes: Iterable<number>): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
