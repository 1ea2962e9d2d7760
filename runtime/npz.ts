/**
 * npz files, as NumPy's `savez` writes and `load` reads them: a zip archive with one `NAME.npy` an array, each an array's bytes
 * after a header that says dtype, order and shape (the npy format, version 1).
 *
 * Written is what is plainest: entries stored as they are, row-major, little-endian. Read is what NumPy writes: deflated entries
 * (`savez_compressed`), headers of versions 2 and 3, and column-major arrays, which come from saving a transposed one.
 *
 * The trap: sizes in a zip's local headers may be missing, so only the directory at the end is believed; and every offset from it
 * is checked against the file before anything is taken from there.
 */
import { readFileSync, statSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { writeFileAtomically } from '../compiler/command-line/atomic-file.ts';
import { UserError } from '../compiler/command-line/errors.ts';
import { readBytes } from '../compiler/command-line/input-file.ts';
import { arrayTypes, type StoredDtype, type StoredTensor } from './safetensors.ts';

const descriptions: Readonly<Partial<Record<StoredDtype, string>>> = {
  F64: '<f8',
  F32: '<f4',
  F16: '<f2',
  I64: '<i8',
  U64: '<u8',
  I32: '<i4',
  U32: '<u4',
  I16: '<i2',
  U16: '<u2',
  I8: '|i1',
  U8: '|u1',
  BOOL: '|b1',
};

/** Beyond it a zip needs its 64-bit form, which is not written here. */
const mostBytes = 2 ** 32 - 1;
const mostEntries = 2 ** 16 - 1;
const signatures = { local: 0x04034b50, directory: 0x02014b50, end: 0x06054b50 } as const;
const localBytes = 30;
const directoryBytes = 46;
const endBytes = 22;
/** 1980-01-01, the first day that a zip can name: the same tensors give the same bytes. */
const zipDate = 0x21;
const stored = 0;
const deflated = 8;

/** Writes a file atomically; arrays in the order of the map. Throws UserError for what an npz cannot hold. */
export function writeNpz(path: string, tensors: ReadonlyMap<string, StoredTensor>): void {
  writeFileAtomically(path, npzChunks(tensors, path));
}

/** The file's bytes in memory. */
export function serializeNpz(tensors: ReadonlyMap<string, StoredTensor>): Uint8Array {
  return Buffer.concat([...npzChunks(tensors, 'an npz file')]);
}

/** Reads a file. Throws UserError where it is not a whole npz of numbers. */
export function readNpz(path: string): ReadonlyMap<string, StoredTensor> {
  return parseNpz(statSync(path).isFile() ? readFileSync(path) : readBytes(path), path);
}

/** Whether bytes begin as a zip does. */
export function isZip(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 4)).equals(Buffer.from([0x50, 0x4b, 0x03, 0x04]));
}

function* npzChunks(tensors: ReadonlyMap<string, StoredTensor>, origin: string): Generator<Uint8Array> {
  if (tensors.size > mostEntries) throw new UserError(`${origin}: an npz holds ${mostEntries} arrays at most`);
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const header = npyHeader(name, tensor);
    const data = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    const sizeBytes = header.length + data.length;
    const file = Buffer.from(`${name}.npy`);
    const checksum = crc32(data, crc32(header));
    // Version 2.0; bit 11: the name is UTF-8. Stored, so both sizes are the same.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x800, 2);
    common.writeUInt16LE(stored, 4);
    common.writeUInt16LE(zipDate, 8);
    common.writeUInt32LE(checksum, 10);
    if (offset + localBytes + file.length + sizeBytes > mostBytes) {
      throw new UserError(`${origin}: ${name} would end beyond the 4 GiB that a plain zip holds; use --to safetensors`);
    }
    common.writeUInt32LE(sizeBytes, 14);
    common.writeUInt32LE(sizeBytes, 18);
    common.writeUInt16LE(file.length, 22);
    const local = Buffer.concat([uint32(signatures.local), common, file]);
    directory.push(
      Buffer.concat([
        uint32(signatures.directory),
        Buffer.from([20, 0]),
        common,
        // No comment, first disk, no attributes.
        Buffer.alloc(10),
        uint32(offset),
        file,
      ]),
    );
    yield local;
    yield header;
    yield data;
    offset += local.length + sizeBytes;
  }
  const index = Buffer.concat(directory);
  const end = Buffer.alloc(endBytes);
  end.writeUInt32LE(signatures.end, 0);
  end.writeUInt16LE(tensors.size, 8);
  end.writeUInt16LE(tensors.size, 10);
  end.writeUInt32LE(index.length, 12);
  end.writeUInt32LE(offset, 16);
  yield index;
  yield end;
}

/** Magic, version 1.0, and a Python dictionary padded so that the data begin at a multiple of 64. */
function npyHeader(name: string, { dtype, shape }: StoredTensor): Buffer {
  const description = descriptions[dtype];
  if (description === undefined) throw new UserError(`tensor ${name}: npz has no ${dtype}; use --to safetensors`);
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const text = `{'descr': '${description}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const header = Buffer.alloc(10 + length, ' ');
  header.write('\x93NUMPY\x01\x00', 'latin1');
  header.writeUInt16LE(length, 8);
  header.write(text, 10, 'latin1');
  header.write('\n', 10 + length - 1, 'latin1');
  return header;
}

/** The same from bytes in memory; `origin` names them in errors. */
export function parseNpz(bytes: Uint8Array, origin: string): ReadonlyMap<string, StoredTensor> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (problem: string) => new UserError(`${origin}: not a valid npz file: ${problem}`);
  const tensors = new Map<string, StoredTensor>();
  for (const { name, content } of zipEntries(file, fail)) {
    if (!name.endsWith('.npy')) throw fail(`its entry ${JSON.stringify(name)} is no array`);
    const tensor = name.slice(0, -'.npy'.length);
    if (tensors.has(tensor)) throw fail(`two arrays are called ${JSON.stringify(tensor)}`);
    tensors.set(
      tensor,
      parseNpy(content, (problem) => fail(`array ${JSON.stringify(tensor)}: ${problem}`)),
    );
  }
  return tensors;
}

type Fail = (problem: string) => UserError;

interface ZipEntry {
  readonly name: string;
  readonly content: Buffer;
}

function* zipEntries(file: Buffer, fail: Fail): Generator<ZipEntry> {
  const end = endRecord(file);
  if (end === undefined) throw fail('there is no directory at its end; is it cut short?');
  const count = file.readUInt16LE(end + 10);
  let at = file.readUInt32LE(end + 16);
  for (let entry = 0; entry < count; entry += 1) {
    if (at + directoryBytes > end || file.readUInt32LE(at) !== signatures.directory) {
      throw fail(`entry ${entry + 1} of ${count} of its directory is broken`);
    }
    const [method, checksum] = [file.readUInt16LE(at + 10), file.readUInt32LE(at + 16)];
    const [packed, size] = [file.readUInt32LE(at + 20), file.readUInt32LE(at + 24)];
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => file.readUInt16LE(at + field));
    const local = file.readUInt32LE(at + 42);
    const name = file.toString('utf8', at + directoryBytes, at + directoryBytes + nameBytes);
    const what = `entry ${JSON.stringify(name)}`;
    if ([packed, size, local].includes(mostBytes)) throw fail(`${what} is of a zip beyond 4 GiB, which is not read`);
    if (local + localBytes > file.length || file.readUInt32LE(local) !== signatures.local) {
      throw fail(`${what} is not where the directory says`);
    }
    const start = local + localBytes + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28);
    if (start + packed > file.length) throw fail(`${what} ends beyond the file: it is cut short`);
    const content = unpack(file.subarray(start, start + packed), method, size, (problem) => fail(`${what} ${problem}`));
    if (crc32(content) !== checksum) throw fail(`${what} has another checksum than its directory says`);
    yield { name, content };
    at += directoryBytes + nameBytes + extraBytes + commentBytes;
  }
}

/** Where the record at the end begins; it may be followed by a comment. */
function endRecord(file: Buffer): number | undefined {
  for (let at = file.length - endBytes; at >= Math.max(0, file.length - endBytes - mostEntries); at -= 1) {
    if (file.readUInt32LE(at) === signatures.end && at + endBytes + file.readUInt16LE(at + 20) === file.length)
      return at;
  }
  return undefined;
}

function unpack(packed: Buffer, method: number, sizeBytes: number, fail: Fail): Buffer {
  if (method === stored && packed.length === sizeBytes) return packed;
  if (method !== deflated) throw fail('is packed in a way that is not read: neither stored nor deflated');
  try {
    const content = inflateRawSync(packed, { maxOutputLength: Math.max(1, sizeBytes) });
    if (content.length === sizeBytes) return content;
  } catch {
    // Said below.
  }
  throw fail('cannot be unpacked');
}

const headerPattern =
  /^\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([\d\s,]*)\),?\s*\}\s*$/;

function parseNpy(bytes: Buffer, fail: Fail): StoredTensor {
  if (bytes.length < 10 || bytes.toString('latin1', 0, 6) !== '\x93NUMPY') throw fail('it does not begin as npy does');
  const isLong = bytes[6] > 1;
  if (isLong && bytes.length < 12) throw fail('its header is cut short');
  const start = isLong ? 12 : 10;
  const length = isLong ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8);
  if (start + length > bytes.length) throw fail('its header is cut short');
  const match = headerPattern.exec(bytes.toString('utf8', start, start + length));
  if (match === null) throw fail('its header is not that of an array of numbers');
  const [, description, order, dimensions] = match;
  const found = Object.entries(descriptions).find(([, known]) => known.slice(1) === description.slice(1));
  if (found === undefined || description.startsWith('>')) throw fail(`its dtype ${description} is not read`);
  const dtype = found[0] as StoredDtype;
  const shape = dimensions
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(Number);
  const elements = shape.reduce((product, extent) => product * extent, 1);
  const content = bytes.subarray(start + length);
  const expected = elements * arrayTypes[dtype].BYTES_PER_ELEMENT;
  if (content.length !== expected) {
    throw fail(`${description} (${shape.join(', ')}) takes ${expected} bytes, it has ${content.length}`);
  }
  const data = new arrayTypes[dtype](elements);
  new Uint8Array(data.buffer).set(content);
  return { dtype, shape, data: order === 'True' ? toRowMajor(data, shape) : data };
}

function toRowMajor<Data extends StoredTensor['data']>(data: Data, shape: readonly number[]): Data {
  const result = data.slice() as Data;
  const index = shape.map(() => 0);
  for (let at = 0; at < data.length; at += 1) {
    let from = 0;
    for (let d = shape.length - 1; d >= 0; d -= 1) from = from * shape[d] + index[d];
    result[at] = data[from];
    for (let d = shape.length - 1; d >= 0; d -= 1) {
      index[d] += 1;
      if (index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  return result;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** The zip's checksum; `before` is that of the bytes that came before. */
function crc32(bytes: Uint8Array, before = 0): number {
  let value = ~before;
  for (const byte of bytes) value = (value >>> 8) ^ crcTable[(value ^ byte) & 0xff];
  return ~value >>> 0;
}
