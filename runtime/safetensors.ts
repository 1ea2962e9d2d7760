/**
 * safetensors files: 8 bytes of little-endian header length, a JSON header padded with spaces to a multiple of 8, then the
 * tensors' bytes, row-major, without gaps. Checkpoints, golden cases and what `mlbtc run` reads and writes.
 *
 * The trap: the header comes from anywhere. Nothing is allocated from a number in it before that number is checked against
 * the file's own size; offsets must cover the data exactly, so that a duplicate name or an overlap cannot pass. A file may be
 * sealed: its metadata then hold the SHA-256 of all of it, header and data, with that digest read as zeros; whoever reads a sealed
 * file checks it, and so hears of a flipped bit that leaves the file well formed.
 */

import { createHash } from 'node:crypto';
import { fstatSync, readSync } from 'node:fs';
import { writeFileAtomically } from '../compiler/command-line/atomic-file.ts';
import { UserError } from '../compiler/command-line/errors.ts';
import { readSome, withInput } from '../compiler/command-line/input-file.ts';
import { halvesToFloats } from './half-float.ts';

/** Each dtype with the array that holds its elements; binary16 and bfloat16 are kept as their bits. */
export const arrayTypes = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

export type StoredDtype = keyof typeof arrayTypes;
export type TensorData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

export interface StoredTensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The digest's name in the metadata of a sealed file. */
export const sealName = 'mlbtc_sha256';
const unsealed = '0'.repeat(64);

const maxHeaderBytes = 100_000_000;
const alignmentBytes = 8;
/** Of the header's length, which a file begins with. */
const lengthBytes = 8;

interface HeaderEntry {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** Reads a file tensor by tensor. Throws UserError where the file is not a whole, well-formed safetensors file. */
export function readSafetensors(path: string): SafetensorsFile {
  return withInput(path, (file) => {
    const status = fstatSync(file);
    if (!status.isFile()) return parseSafetensors(readStream(path, file), path);
    return readFrom(path, status.size, (target, offset) => readFully(path, file, target, offset));
  });
}

/** The same from bytes in memory; `origin` names them in errors. */
export function parseSafetensors(bytes: Uint8Array, origin: string): SafetensorsFile {
  return readFrom(origin, bytes.length, (target, offset) => {
    target.set(bytes.subarray(offset, offset + target.length));
  });
}

/** Writes a file atomically; tensors in the order of the map. Throws UserError where a tensor's data do not fit its shape. */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  writeFileAtomically(path, safetensorsChunks(tensors, metadata));
}

/** The same with a digest over header and data, which every reader of this module checks. */
export function writeSealedSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>>,
): void {
  const [length, header, ...data] = safetensorsChunks(tensors, { [sealName]: unsealed, ...metadata });
  const hash = createHash('sha256');
  for (const chunk of [length, header, ...data]) hash.update(chunk);
  Buffer.from(header.buffer, header.byteOffset, header.length).write(hash.digest('hex'), sealPlace(header, unsealed));
  writeFileAtomically(path, [length, header, ...data]);
}

/** The file's bytes in memory. */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  return Buffer.concat([...safetensorsChunks(tensors, metadata)]);
}

/** Any stored tensor as float64 numbers, whatever its dtype; integers beyond 2^53 lose their last bits. */
export function toFloat64(tensor: StoredTensor): Float64Array {
  const { data } = tensor;
  if (tensor.dtype === 'F16') return Float64Array.from(halvesToFloats(data as Uint16Array));
  if (tensor.dtype === 'BF16') {
    const bits = Uint32Array.from(data as Uint16Array, (half) => half * 65536);
    return Float64Array.from(new Float32Array(bits.buffer));
  }
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const numbers = new Float64Array(data.length);
    for (let i = 0; i < data.length; i += 1) numbers[i] = Number(data[i]);
    return numbers;
  }
  return Float64Array.from(data);
}

function readFrom(
  origin: string,
  fileBytes: number,
  read: (target: Uint8Array, offset: number) => void,
): SafetensorsFile {
  if (fileBytes < lengthBytes) throw tooShort(origin, fileBytes);
  const length = Buffer.alloc(lengthBytes);
  read(length, 0);
  const headerBytes = headerLength(origin, length);
  const dataStart = lengthBytes + headerBytes;
  if (dataStart > fileBytes) {
    throw malformed(
      origin,
      `the header would be ${headerBytes} bytes, but the file has ${fileBytes - lengthBytes} after its length`,
    );
  }
  const header = Buffer.alloc(headerBytes);
  read(header, lengthBytes);
  const { entries, metadata } = parseHeader(origin, header);
  checkCoverage(origin, entries, fileBytes - dataStart);

  const seal = metadata[sealName];
  const hash =
    seal === undefined ? undefined : createHash('sha256').update(length).update(unsealedHeader(header, seal));
  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const data = new arrayTypes[dtype](elementCount(shape));
    const bytes = new Uint8Array(data.buffer, 0, end - begin);
    read(bytes, dataStart + begin);
    hash?.update(bytes);
    tensors.set(name, { dtype, shape, data });
  }
  if (hash?.digest('hex') !== seal) {
    throw malformed(origin, 'its content is not what was written: it does not match the digest in its header');
  }
  return { tensors, metadata };
}

/** The header as it was when the digest was taken. */
function unsealedHeader(header: Buffer, seal: string): Buffer {
  const blank = Buffer.from(header);
  const place = sealPlace(header, seal);
  if (place >= 0 && seal.length === unsealed.length) blank.write(unsealed, place);
  return blank;
}

/** Where the digest stands in a header; negative where it does not stand there as it is written. */
function sealPlace(header: Uint8Array, seal: string): number {
  const before = `"${sealName}":"`;
  const found = Buffer.from(header.buffer, header.byteOffset, header.length).indexOf(`${before}${seal}"`);
  return found < 0 ? found : found + before.length;
}

function headerLength(origin: string, bytes: Buffer): number {
  const length = bytes.readBigUInt64LE(0);
  if (length > BigInt(maxHeaderBytes)) {
    throw malformed(origin, `the header would be ${length} bytes, more than the format's ${maxHeaderBytes}`);
  }
  return Number(length);
}

/** What a pipe or a device gives, as far as its header says that there are tensors, and a byte more if there is one. */
function readStream(path: string, file: number): Uint8Array {
  const length = readUpTo(file, lengthBytes);
  if (length.length < lengthBytes) throw tooShort(path, length.length);
  const headerBytes = headerLength(path, length);
  const header = readUpTo(file, headerBytes);
  const start = [length, header];
  if (header.length < headerBytes) return Buffer.concat(start);
  const { entries } = parseHeader(path, header);
  const dataBytes = Math.max(0, ...entries.map(({ end }) => end));
  return Buffer.concat([...start, readUpTo(file, dataBytes + 1)]);
}

/** In pieces, so that memory is taken for what is there and not for what a header promises. */
function readUpTo(file: number, most: number): Buffer {
  const largestPieceBytes = 2 ** 20;
  const pieces: Buffer[] = [];
  for (let left = most; left > 0; ) {
    const piece = Buffer.alloc(Math.min(left, largestPieceBytes));
    const count = readSome(file, piece);
    if (count === 0) break;
    pieces.push(piece.subarray(0, count));
    left -= count;
  }
  return Buffer.concat(pieces);
}

function parseHeader(origin: string, bytes: Buffer): { entries: HeaderEntry[]; metadata: Record<string, string> } {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw malformed(origin, 'the header is not JSON');
  }
  if (!isRecord(header)) throw malformed(origin, 'the header is not a JSON object');
  const entries: HeaderEntry[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = parseMetadata(origin, value);
    else entries.push(parseEntry(origin, name, value));
  }
  return { entries: entries.sort((a, b) => a.begin - b.begin || a.end - b.end), metadata };
}

function parseMetadata(origin: string, value: unknown): Record<string, string> {
  if (!isRecord(value) || Object.values(value).some((item) => typeof item !== 'string')) {
    throw malformed(origin, '__metadata__ must map names to strings');
  }
  return value as Record<string, string>;
}

function parseEntry(origin: string, name: string, value: unknown): HeaderEntry {
  const fail = (problem: string) => malformed(origin, `tensor ${JSON.stringify(name)}: ${problem}`);
  if (!isRecord(value)) throw fail('its entry is not an object');
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(arrayTypes, dtype)) {
    throw fail(`dtype ${JSON.stringify(dtype)} is none of ${Object.keys(arrayTypes).join(', ')}`);
  }
  if (!isSizeList(shape)) throw fail(`shape ${JSON.stringify(shape)} is not a list of sizes`);
  if (!isSizeList(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw fail(`data_offsets ${JSON.stringify(offsets)} is not a pair [begin, end]`);
  }
  const [begin, end] = offsets;
  const known = dtype as StoredDtype;
  const sizeBytes = elementCount(shape) * arrayTypes[known].BYTES_PER_ELEMENT;
  if (sizeBytes !== end - begin) {
    throw fail(`${dtype} ${shapeText(shape)} takes ${sizeBytes} bytes, data_offsets give ${end - begin}`);
  }
  return { name, dtype: known, shape, begin, end };
}

/** Sorted entries must follow one another without gap or overlap, and end where the file ends. */
function checkCoverage(origin: string, entries: readonly HeaderEntry[], dataBytes: number): void {
  let covered = 0;
  for (const { name, begin, end } of entries) {
    if (begin < covered)
      throw malformed(origin, `tensor ${JSON.stringify(name)} overlaps the one before it at byte ${begin}`);
    if (begin > covered) throw malformed(origin, `bytes ${covered} to ${begin} belong to no tensor`);
    covered = end;
    if (end > dataBytes) {
      throw malformed(
        origin,
        `tensor ${JSON.stringify(name)} ends at byte ${end} of ${dataBytes}: the file is cut short`,
      );
    }
  }
  if (covered !== dataBytes)
    throw malformed(origin, `${dataBytes - covered} bytes after the last tensor belong to none`);
}

function* safetensorsChunks(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>>,
): Generator<Uint8Array> {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    if (name === '__metadata__') throw new UserError('a tensor cannot be named __metadata__');
    const sizeBytes = elementCount(shape) * arrayTypes[dtype].BYTES_PER_ELEMENT;
    if (!(data instanceof arrayTypes[dtype]) || data.byteLength !== sizeBytes) {
      throw new UserError(
        `tensor ${name}: ${dtype} ${shapeText(shape)} takes ${sizeBytes} bytes, got ${data.byteLength} in a ${data.constructor.name}`,
      );
    }
    header[name] = { dtype, shape, data_offsets: [offset, offset + sizeBytes] };
    offset += sizeBytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / alignmentBytes) * alignmentBytes, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  yield length;
  yield padded;
  for (const { data } of tensors.values()) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function readFully(path: string, file: number, target: Uint8Array, offset: number): void {
  const largestReadBytes = 2 ** 30;
  for (let done = 0; done < target.length; ) {
    const got = readSync(file, target, done, Math.min(target.length - done, largestReadBytes), offset + done);
    if (got === 0) throw malformed(path, 'the file became shorter while it was read');
    done += got;
  }
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

function shapeText(shape: readonly number[]): string {
  return `(${shape.join(', ')})`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizeList(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function tooShort(origin: string, bytes: number): UserError {
  return malformed(origin, `${bytes} bytes are too few to hold the 8-byte header length`);
}

function malformed(origin: string, problem: string): UserError {
  return new UserError(`${origin}: not a valid safetensors file: ${problem}`);
}
