/** Folders of images: whatever is written in IDX or CIFAR-10's binary form is read back; what is wrong with one is said. */
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readIdx } from '../../../experiments/data/idx.ts';
import { readImageFiles } from '../../../experiments/data/image-files.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

function idx(shape: readonly number[], values: ArrayLike<number>): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * shape.length));
  header.setUint32(0, 0x0800 + shape.length);
  for (const [d, extent] of shape.entries()) header.setUint32(4 + 4 * d, extent);
  return Uint8Array.from([...new Uint8Array(header.buffer), ...Array.from(values)]);
}

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const extent = fc.integer({ min: 1, max: 5 });

test('IDX files are read back, packed or not', () =>
  inFolder((folder) =>
    fc.assert(
      fc.property(
        fc
          .array(extent, { minLength: 1, maxLength: 3 })
          .chain((shape) => fc.tuple(fc.constant(shape), bytes(shape.reduce((a, b) => a * b)), fc.boolean())),
        ([shape, values, isPacked]) => {
          const file = isPacked ? 'a.gz' : 'a';
          const written = idx(shape, values);
          writeFiles(folder, { [file]: isPacked ? gzipSync(written) : written });
          const found = readIdx(join(folder, file), shape.length);
          expect(found.shape).toEqual(shape);
          expect(Buffer.from(found.values).equals(values)).toBe(true);
        },
      ),
      { numRuns: 50 },
    ),
  ));

const labels = [0, 2, 1, 2];
const images = Uint8Array.from({ length: 4 * 2 * 3 }, (_, i) => 10 * i);
const mnist = {
  'train-images-idx3-ubyte.gz': gzipSync(idx([4, 2, 3], images)),
  'train-labels-idx1-ubyte': idx([4], labels),
  't10k-images-idx3-ubyte': idx([1, 2, 3], images.slice(0, 6)),
  't10k-labels-idx1-ubyte': idx([1], [1]),
};
const record = (label: number, value: number) => [label, ...new Array(3072).fill(value)];
const cifar = {
  'data_batch_1.bin': Uint8Array.from([...record(3, 7), ...record(9, 8)]),
  'data_batch_2.bin': Uint8Array.from(record(0, 9)),
  'test_batch.bin': Uint8Array.from(record(1, 5)),
};

test('a folder of either form', () =>
  inFolder((folder) => {
    writeFiles(join(folder, 'digits'), mnist);
    writeFiles(join(folder, 'things'), cifar);
    const grey = readImageFiles(join(folder, 'digits'));
    expect(grey).toMatchObject({ name: 'digits', channels: 1, height: 2, width: 3, classes: ['0', '1', '2'] });
    expect([...grey.train.labels]).toEqual(labels);
    expect([...grey.train.values]).toEqual([...images]);
    expect([grey.train.count, grey.test.count]).toEqual([4, 1]);
    const colour = readImageFiles(join(folder, 'things'));
    expect(colour).toMatchObject({ name: 'things', channels: 3, height: 32, width: 32 });
    expect([...colour.train.labels]).toEqual([3, 9, 0]);
    expect([0, 3071, 3072, 2 * 3072].map((i) => colour.train.values[i])).toEqual([7, 7, 8, 9]);
    const names = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ');
    writeFiles(join(folder, 'things'), { 'batches.meta.txt': `${names.join('\n')}\n\n` });
    expect(readImageFiles(join(folder, 'things')).classes).toEqual(names);
  }));

describe('what is wrong is said', () => {
  const without = (files: Readonly<Record<string, Uint8Array>>, name: string) =>
    Object.fromEntries(Object.entries(files).filter(([file]) => file !== name));
  test.each([
    [{}, /: holds no images that are read: neither IDX files .* nor CIFAR-10's binary version .*; it has nothing$/],
    [{ data_batch_1: new Uint8Array(5), 'batches.meta': new Uint8Array(5) }, /it has batches\.meta, data_batch_1$/],
    [
      without(mnist, 'train-labels-idx1-ubyte'),
      /has no train-labels-idx1-ubyte, nor train-labels-idx1-ubyte\.gz; it has t10k/,
    ],
    [
      { ...mnist, 'train-labels-idx1-ubyte.gz': gzipSync(idx([4], labels)) },
      /train-labels-idx1-ubyte and train-labels-idx1-ubyte\.gz are both labels to train on/,
    ],
    [
      { ...mnist, 'train-labels-idx1-ubyte': idx([3], [0, 1, 2]) },
      /has 4 images, .*labels-idx1-ubyte 3 labels; they are not of one set/,
    ],
    [
      { ...mnist, 't10k-labels-idx1-ubyte': idx([1], [7]) },
      /t10k-labels-idx1-ubyte: label 1 is 7, and those to train on go to 2/,
    ],
    [{ ...mnist, 't10k-images-idx3-ubyte': idx([1, 3, 2], images.slice(0, 6)) }, /has images of 3 × 2, .* of 2 × 3/],
    [
      { ...mnist, 't10k-images-idx3-ubyte': idx([1, 2, 3], images.slice(0, 5)) },
      /says 1 × 2 × 3, which is 6 bytes after the header, and has 5: it is cut short/,
    ],
    [
      { ...mnist, 't10k-images-idx3-ubyte': idx([1, 2, 3], images.slice(0, 7)) },
      /and has 7: it is longer than it says/,
    ],
    [{ ...mnist, 't10k-images-idx3-ubyte': idx([1], [1]) }, /has 9 bytes, the header of an IDX file of these takes 16/],
    [
      { ...mnist, 't10k-labels-idx1-ubyte': idx([1, 2, 3], images.slice(0, 6)) },
      /begins with 00 00 08 03, and 00 00 08 01 is expected: IDX, unsigned bytes, 1 dimension$/,
    ],
    [{ ...mnist, 't10k-labels-idx1-ubyte': Uint8Array.of(0, 0, 13, 1, 0, 0, 0, 1, 1) }, /it holds floats$/],
    [
      { ...mnist, 'train-images-idx3-ubyte.gz': idx([4, 2, 3], images) },
      /is broken as gzip \(incorrect header check\)/,
    ],
    [
      { ...mnist, 'train-images-idx3-ubyte.gz': gzipSync(idx([4, 2, 3], images)).subarray(0, 20) },
      /is broken as gzip \(unexpected end of file\)/,
    ],
    [without(cifar, 'test_batch.bin'), /has no test_batch\.bin; it has data_batch_1\.bin, data_batch_2\.bin/],
    [{ 'test_batch.bin': cifar['test_batch.bin'] }, /has no data_batch_1\.bin/],
    [
      { ...cifar, 'data_batch_2.bin': new Uint8Array(3074) },
      /has 3074 bytes, no whole number of images of 3073 bytes each/,
    ],
    [
      { ...cifar, 'data_batch_1.bin': Uint8Array.from([...record(3, 7), ...record(10, 8)]) },
      /image 2 has the label 10, and CIFAR-10 has 0 to 9/,
    ],
    [{ ...cifar, 'batches.meta.txt': Buffer.from('cat\ndog\n') }, /names 2 classes, and CIFAR-10 has 10/],
  ] as const)('%#', (files, message) =>
    inFolder((folder) => {
      writeFiles(folder, files);
      expect(() => readImageFiles(folder)).toThrow(message);
    }),
  );

  test('of a folder that is none', () =>
    inFolder((folder) => {
      writeFiles(folder, { file: 'x' });
      expect(() => readImageFiles(join(folder, 'none'))).toThrow(/none: there is no such folder/);
      expect(() => readImageFiles(join(folder, 'file'))).toThrow(/file: is a file; give the folder/);
    }));
});
