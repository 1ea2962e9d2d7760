import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../../compiler/command-line/errors.ts';
import { floatToHalf, halfToFloat } from '../../runtime/half-float.ts';
import {
  parseSafetensors,
  readSafetensors,
  type StoredTensor,
  serializeSafetensors,
  toFloat64,
  writeSafetensors,
} from '../../runtime/safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'mlbtc-safetensors-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file from its parts, without any of the writer's care. */
function fileOf(header: unknown, dataBytes: number, headerLength?: bigint): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerLength ?? BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes, 7)]);
}

const every: ReadonlyMap<string, StoredTensor> = new Map<string, StoredTensor>([
  ['matrix', { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, -2, 3, 4.5, -0, 1e-40) }],
  ['scalar', { dtype: 'F64', shape: [], data: Float64Array.of(Math.PI) }],
  ['empty', { dtype: 'F32', shape: [4, 0], data: new Float32Array(0) }],
  ['odd', { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 255) }],
  ['long', { dtype: 'I64', shape: [2], data: BigInt64Array.of(-1n, 2n ** 62n) }],
  ['half', { dtype: 'F16', shape: [2], data: Uint16Array.of(0x3c00, 0xfbff) }],
  ['int', { dtype: 'I32', shape: [1, 1], data: Int32Array.of(-7) }],
  ['truth', { dtype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) }],
]);

describe('a file that was written', () => {
  test('is read back bit for bit, in order, with its metadata', () => {
    const path = join(folder, 'nested', 'all.safetensors');
    writeSafetensors(path, every, { step: '12' });
    const file = readSafetensors(path);
    expect([...file.tensors]).toEqual([...every]);
    expect(Object.is((file.tensors.get('matrix') as StoredTensor).data[4], -0)).toBe(true);
    expect(file.metadata).toEqual({ step: '12' });
    expect(readdirSync(join(folder, 'nested'))).toEqual(['all.safetensors']);
  });

  test('has exactly the bytes that the format asks for', () => {
    const bytes = serializeSafetensors(new Map([['a', { dtype: 'I32', shape: [2], data: Int32Array.of(1, -1) }]]));
    const json = '{"a":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}}';
    const padded = json.padEnd(56, ' ');
    expect(Buffer.from(bytes).toString('latin1')).toBe(`\x38${'\0'.repeat(7)}${padded}\x01\0\0\0\xff\xff\xff\xff`);
  });

  test('starts its data at a multiple of 8 whatever the names are', () => {
    for (let length = 1; length <= 9; length += 1) {
      const bytes = serializeSafetensors(
        new Map([['n'.repeat(length), { dtype: 'F32', shape: [1], data: Float32Array.of(1) }]]),
      );
      expect((bytes.length - 4) % 8).toBe(0);
    }
  });

  test('survives a write that fails', () => {
    const path = join(folder, 'kept.safetensors');
    writeSafetensors(path, every);
    const before = readFileSync(path);
    const wrong = new Map([['a', { dtype: 'F32', shape: [3], data: new Float32Array(2) } as const]]);
    expect(() => writeSafetensors(path, wrong)).toThrow('tensor a: F32 (3) takes 12 bytes, got 8 in a Float32Array');
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('a file that is not whole or not true is refused with the reason', () => {
  const f32 = (begin: number, end: number) => ({
    dtype: 'F32',
    shape: [(end - begin) / 4],
    data_offsets: [begin, end],
  });
  const cases: readonly [string, Uint8Array, string][] = [
    ['no bytes', new Uint8Array(0), '0 bytes are too few'],
    ['a huge header', fileOf('{}', 0, 2n ** 63n), 'the header would be 9223372036854775808 bytes'],
    ['a header beyond the file', fileOf('{}', 0, 99n), 'the header would be 99 bytes, but the file has 2'],
    ['no JSON', fileOf('{"a":', 0), 'the header is not JSON'],
    ['invalid UTF-8', Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0xff]), 'the header is not JSON'],
    ['a list', fileOf([], 0), 'the header is not a JSON object'],
    ['an entry that is no object', fileOf({ a: 3 }, 0), 'tensor "a": its entry is not an object'],
    ['an unknown dtype', fileOf({ a: { ...f32(0, 4), dtype: 'F8' } }, 4), 'dtype "F8" is none of F64, F32'],
    ['a dtype from the prototype', fileOf({ a: { ...f32(0, 4), dtype: 'toString' } }, 4), 'dtype "toString"'],
    ['a negative size', fileOf({ a: { ...f32(0, 4), shape: [-1] } }, 4), 'shape [-1] is not a list of sizes'],
    [
      'a size that overflows',
      fileOf({ a: { ...f32(0, 4), shape: [2 ** 52, 2 ** 52] } }, 4),
      'bytes, data_offsets give 4',
    ],
    ['offsets in the wrong order', fileOf({ a: { ...f32(0, 4), data_offsets: [4, 0] } }, 4), 'not a pair [begin, end]'],
    ['bytes that do not fit the shape', fileOf({ a: { ...f32(0, 4), shape: [2] } }, 4), 'F32 (2) takes 8 bytes'],
    ['an overlap', fileOf({ a: f32(0, 8), b: f32(4, 12) }, 12), 'tensor "b" overlaps the one before it at byte 4'],
    ['a gap', fileOf({ a: f32(0, 4), b: f32(8, 12) }, 12), 'bytes 4 to 8 belong to no tensor'],
    ['a cut file', fileOf({ a: f32(0, 8) }, 4), 'tensor "a" ends at byte 8 of 4: the file is cut short'],
    ['bytes at the end', fileOf({ a: f32(0, 4) }, 5), '1 bytes after the last tensor belong to none'],
    ['metadata that is no text', fileOf({ __metadata__: { a: 1 } }, 0), '__metadata__ must map names to strings'],
  ];
  test.each(cases)('%s', (_, bytes, reason) => {
    expect(() => parseSafetensors(bytes, 'x.safetensors')).toThrow(UserError);
    expect(() => parseSafetensors(bytes, 'x.safetensors')).toThrow(reason);
    expect(() => parseSafetensors(bytes, 'x.safetensors')).toThrow('x.safetensors: not a valid safetensors file');
  });

  test('every cut of a good file', () => {
    const path = join(folder, 'cut.safetensors');
    const whole = serializeSafetensors(every);
    for (let length = whole.length - 1; length >= 0; length -= 7) {
      writeFileSync(path, whole);
      truncateSync(path, length);
      expect(() => readSafetensors(path)).toThrow(UserError);
    }
  });
});

describe('binary16', () => {
  test('every bit pattern that is a number goes to float32 and back unchanged', () => {
    const patterns = Array.from({ length: 0x10000 }, (_, bits) => bits);
    const changed = patterns.filter(
      (bits) => !Number.isNaN(halfToFloat(bits)) && floatToHalf(halfToFloat(bits)) !== bits,
    );
    expect(changed).toEqual([]);
    expect(halfToFloat(0x7e00)).toBeNaN();
    expect(halfToFloat(floatToHalf(Number.NaN))).toBeNaN();
  });

  test.each([
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    [65519, 0x7bff],
    [65520, 0x7c00],
    [-1e9, 0xfc00],
    [2 ** -25, 0],
    [2 ** -25 * 1.001, 1],
    [3 * 2 ** -25, 2],
    [2 ** -14 - 2 ** -26, 0x400],
    [-(2 ** -30), 0x8000],
  ])('%d is rounded to nearest, ties to even', (value, bits) => {
    expect(floatToHalf(value)).toBe(bits);
  });
});

test('any dtype as numbers', () => {
  expect([...toFloat64(every.get('half') as StoredTensor)]).toEqual([1, -65504]);
  expect([...toFloat64(every.get('long') as StoredTensor)]).toEqual([-1, 2 ** 62]);
  expect([...toFloat64({ dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xc049) })]).toEqual([1, -3.140625]);
});

describe.skipIf(process.platform !== 'linux')('what is no file on a disk', () => {
  const [source, fifo] = [join(folder, 'source'), join(folder, 'fifo')];
  const readFrom = (bytes: Uint8Array) => {
    rmSync(fifo, { force: true });
    execFileSync('mkfifo', [fifo]);
    writeFileSync(source, bytes);
    spawn('sh', ['-c', 'cat "$0" > "$1"', source, fifo]);
    return readSafetensors(fifo);
  };

  test('a pipe gives what a file would', () => {
    expect(readFrom(serializeSafetensors(every)).tensors).toEqual(every);
  });

  test('one that is cut short, that goes on or that gives nothing', () => {
    const whole = serializeSafetensors(every);
    expect(() => readFrom(whole.subarray(0, whole.length - 1))).toThrow('the file is cut short');
    expect(() => readFrom(Buffer.concat([whole, Buffer.of(0)]))).toThrow('1 bytes after the last tensor');
    expect(() => readFrom(new Uint8Array())).toThrow('0 bytes are too few');
  });

  test('one without an end', () => {
    expect(() => readSafetensors('/dev/zero')).toThrow('the header is not JSON');
  });
});
