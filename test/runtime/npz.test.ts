import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { parseNpz, readNpz, serializeNpz, writeNpz } from '../../runtime/npz.ts';
import type { StoredTensor } from '../../runtime/safetensors.ts';
import { inFolder } from '../support/folder.ts';

const tensors = new Map<string, StoredTensor>([
  ['a.weight', { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e-20, 6) }],
  ['scalar', { dtype: 'F64', shape: [], data: Float64Array.of(Math.PI) }],
  ['γ', { dtype: 'I64', shape: [3], data: BigInt64Array.of(1n, -2n, 2n ** 40n) }],
  ['none', { dtype: 'I32', shape: [0, 4], data: new Int32Array(0) }],
  ['yes', { dtype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) }],
]);

describe('npz', () => {
  test('what is read is what was written, and the same tensors give the same bytes', () => {
    const bytes = serializeNpz(tensors);
    expect(parseNpz(bytes, 'here')).toEqual(tensors);
    expect(Buffer.from(serializeNpz(tensors)).equals(Buffer.from(bytes))).toBe(true);
  });

  // By hand: local header (30 + 5), the array's header of 128 bytes, its data; then the directory (46 + 5) and the end (22).
  test('the bytes of one array', () => {
    const bytes = Buffer.from(serializeNpz(new Map([['x', { dtype: 'F32', shape: [1], data: Float32Array.of(1) }]])));
    expect(bytes.length).toBe(35 + 128 + 4 + 51 + 22);
    expect(bytes.toString('latin1', 30, 35)).toBe('x.npy');
    expect(bytes.toString('latin1', 35, 45)).toBe('\x93NUMPY\x01\x00\x76\x00');
    expect(bytes.toString('latin1', 45, 163).trimEnd()).toBe(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
    );
    expect(bytes.readFloatLE(163)).toBe(1);
    expect(bytes.readUInt32LE(bytes.length - 22)).toBe(0x06054b50);
  });

  test('what is broken is refused with what is wrong', () => {
    const bytes = Buffer.from(serializeNpz(tensors));
    expect(() => parseNpz(bytes.subarray(0, -1), 'f.npz')).toThrow(
      'f.npz: not a valid npz file: there is no directory at its end',
    );
    const flipped = Buffer.from(bytes);
    flipped[30 + 'a.weight.npy'.length + 128] ^= 1;
    expect(() => parseNpz(flipped, 'f.npz')).toThrow(
      'entry "a.weight.npy" has another checksum than its directory says',
    );
    for (let at = 0; at < bytes.length; at += 1) {
      const torn = Buffer.from(bytes);
      torn[at] ^= 0x55;
      try {
        parseNpz(torn, 'f.npz');
      } catch (error) {
        expect(`byte ${at}: ${error}`).toContain('UserError');
      }
    }
  });

  test('bfloat16 has no place in one', () => {
    const half: StoredTensor = { dtype: 'BF16', shape: [1], data: Uint16Array.of(0x3f80) };
    expect(() => serializeNpz(new Map([['h', half]]))).toThrow('tensor h: npz has no BF16; use --to safetensors');
  });

  test('a deflated entry and a column-major array', () => {
    const [x] = serializeEntry(
      "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }",
      Int16Array.of(1, 4, 2, 5, 3, 6),
    );
    expect(parseNpz(x, 'here').get('x')).toEqual({
      dtype: 'I16',
      shape: [2, 3],
      data: Int16Array.of(1, 2, 3, 4, 5, 6),
    });
    const [big] = serializeEntry("{'descr': '>i2', 'fortran_order': False, 'shape': (1,), }", Int16Array.of(1));
    expect(() => parseNpz(big, 'here')).toThrow('its dtype >i2 is not read');
  });

  const python = ['python3', '/usr/bin/python3'].find((name) => spawnSync(name, ['-c', 'import numpy']).status === 0);
  test.skipIf(python === undefined)('NumPy reads what is written, and what it writes is read', () =>
    inFolder((folder) => {
      const path = join(folder, 'ours.npz');
      writeNpz(path, tensors);
      const script = [
        'import sys, numpy as np',
        'z = np.load(sys.argv[1])',
        'assert z["a.weight"].dtype == np.float32 and z["a.weight"].tolist() == [[1, -2, 3.5], [0, float(np.float32(1e-20)), 6]]',
        'assert z["scalar"].shape == () and z["scalar"] == np.pi and z["γ"].tolist() == [1, -2, 2**40] and z["none"].shape == (0, 4)',
        'assert z["yes"].dtype == bool',
        'np.savez_compressed(sys.argv[2], **{k: z[k] for k in z.files}, t=np.arange(6, dtype=np.float16).reshape(2, 3).T)',
      ].join('\n');
      writeFileSync(join(folder, 'check.py'), script);
      const back = join(folder, 'theirs.npz');
      execFileSync(python as string, [join(folder, 'check.py'), path, back]);
      const read = new Map(readNpz(back));
      expect(read.get('t')?.shape).toEqual([3, 2]);
      read.delete('t');
      expect(read).toEqual(tensors);
    }),
  );
});

/** An npz of one deflated array, put together here. */
function serializeEntry(header: string, data: Int16Array): readonly [Buffer] {
  const length = 128 - 10;
  const npy = Buffer.concat([
    Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1'),
    Buffer.from(`${header.padEnd(length - 1)}\n`),
    Buffer.from(data.buffer),
  ]);
  const plain = Buffer.from(serializeNpz(new Map([['x', { dtype: 'U8', shape: [1], data: Uint8Array.of(0) }]])));
  const packed = deflateRawSync(npy);
  const common = Buffer.from(plain.subarray(4, 30));
  common.writeUInt16LE(8, 4);
  common.writeUInt32LE(checksumOf(npy), 10);
  common.writeUInt32LE(packed.length, 14);
  common.writeUInt32LE(npy.length, 18);
  const local = Buffer.concat([plain.subarray(0, 4), common, Buffer.from('x.npy')]);
  const tail = Buffer.from(plain.subarray(plain.length - 51 - 22));
  common.copy(tail, 6);
  tail.writeUInt32LE(local.length + packed.length, 51 + 16);
  return [Buffer.concat([local, packed, tail])];
}

/** Bit by bit, as the polynomial is defined. */
function checksumOf(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return (value ^ 0xffffffff) >>> 0;
}
