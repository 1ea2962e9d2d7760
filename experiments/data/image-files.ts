/**
 * A folder of images as data sets of them are published:
 *
 *   IDX (MNIST and its successors)   train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-… or test-…, each also .gz
 *   CIFAR-10, binary version         data_batch_1.bin … data_batch_5.bin, test_batch.bin, batches.meta.txt: a label, then 3 × 32 × 32 bytes
 *
 * Whatever training could stumble over is looked for here: sizes, counts, every label.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { UserError } from '../../compiler/command-line/errors.ts';
import { readBinary } from './binary-file.ts';
import { readIdx } from './idx.ts';
import type { ImageFiles, ImageSet } from './image-data.ts';

type Use = 'train' | 'test';

/** Throws UserError for what is missing, cut short, contradictory or out of range; system errors. */
export function readImageFiles(folder: string): ImageFiles {
  if (!existsSync(folder)) throw new UserError(`${folder}: there is no such folder`);
  if (!statSync(folder).isDirectory()) {
    throw new UserError(`${folder}: is a file; give the folder that the images and the labels lie in`);
  }
  const names = readdirSync(folder).sort();
  const name = basename(resolve(folder));
  if (names.some((file) => idxName.test(file))) return { name, ...readIdxFolder(folder, names) };
  if (names.some((file) => cifarName.test(file))) return { name, ...readCifarFolder(folder, names) };
  throw new UserError(
    `${folder}: holds no images that are read: neither IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-…; also .gz) ` +
      `nor CIFAR-10's binary version (data_batch_1.bin, …, test_batch.bin); it has ${listed(names)}`,
  );
}

const mostListed = 6;

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'nothing';
  const rest = names.length - mostListed;
  return `${names.slice(0, mostListed).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

const idxName = /(^|[-_.])(train|t10k|test)[-_.](images|labels)[-_.]idx[13][-_.]ubyte(\.gz)?$/;

function readIdxFolder(folder: string, names: readonly string[]): Omit<ImageFiles, 'name'> {
  const find = (use: Use, what: 'images' | 'labels'): string => {
    const found = names.filter((file) => {
      const [, , of, kind] = idxName.exec(file) ?? [];
      return kind === what && (of === 'train') === (use === 'train');
    });
    if (found.length === 1) return join(folder, found[0]);
    const usual = `${use === 'train' ? 'train' : 't10k'}-${what}-idx${what === 'images' ? 3 : 1}-ubyte`;
    throw new UserError(
      found.length === 0
        ? `${folder}: has no ${usual}, nor ${usual}.gz; it has ${listed(names)}`
        : `${folder}: ${found.join(' and ')} are both ${what} to ${use === 'train' ? 'train' : 'test'} on; leave one there`,
    );
  };
  const read = (use: Use) => {
    const paths = { images: find(use, 'images'), labels: find(use, 'labels') };
    const images = readIdx(paths.images, 3);
    const labels = readIdx(paths.labels, 1);
    const [count, height, width] = images.shape;
    if (labels.values.length !== count) {
      throw new UserError(
        `${paths.images} has ${count} images, ${paths.labels} ${labels.values.length} labels; they are not of one set`,
      );
    }
    if (images.values.length === 0) throw new UserError(`${paths.images}: says ${images.shape.join(' × ')}: no image`);
    return { paths, height, width, set: { count, values: images.values, labels: labels.values } };
  };
  const [train, test] = [read('train'), read('test')];
  if (test.height !== train.height || test.width !== train.width) {
    throw new UserError(
      `${test.paths.images} has images of ${test.height} × ${test.width}, ${train.paths.images} of ${train.height} × ${train.width}`,
    );
  }
  const classes = train.set.labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  const stray = test.set.labels.findIndex((label) => label >= classes);
  if (stray >= 0) {
    throw new UserError(
      `${test.paths.labels}: label ${stray + 1} is ${test.set.labels[stray]}, and those to train on go to ${classes - 1}`,
    );
  }
  const { height, width } = train;
  const numbered = Array.from({ length: classes }, (_, n) => `${n}`);
  return { channels: 1, height, width, classes: numbered, train: train.set, test: test.set };
}

const cifarName = /^(data_batch_\d+|test_batch)\.bin(\.gz)?$/;
const cifar = { channels: 3, height: 32, width: 32, classes: 10 } as const;
const cifarImageBytes = cifar.channels * cifar.height * cifar.width;
const cifarRecordBytes = 1 + cifarImageBytes;
const cifarClasses = 'batches.meta.txt';

function readCifarFolder(folder: string, names: readonly string[]): Omit<ImageFiles, 'name'> {
  const files = names.filter((file) => cifarName.test(file));
  const some = (use: Use) =>
    files.filter((file) => file.startsWith('test') === (use === 'test')).map((file) => join(folder, file));
  const [train, test] = [some('train'), some('test')];
  if (train.length === 0) throw new UserError(`${folder}: has no data_batch_1.bin; it has ${listed(names)}`);
  if (test.length === 0) throw new UserError(`${folder}: has no test_batch.bin; it has ${listed(names)}`);
  return {
    ...{ channels: cifar.channels, height: cifar.height, width: cifar.width },
    classes: cifarClassNames(folder),
    train: readCifar(train),
    test: readCifar(test),
  };
}

function readCifar(paths: readonly string[]): ImageSet {
  const batches = paths.map((path) => ({ path, bytes: readBinary(path) }));
  for (const { path, bytes } of batches) {
    if (bytes.length === 0 || bytes.length % cifarRecordBytes !== 0) {
      throw new UserError(
        `${path}: has ${bytes.length} bytes, no whole number of images of ${cifarRecordBytes} bytes each; fetch it again`,
      );
    }
  }
  const count = batches.reduce((sum, { bytes }) => sum + bytes.length / cifarRecordBytes, 0);
  const values = new Uint8Array(count * cifarImageBytes);
  const labels = new Uint8Array(count);
  let n = 0;
  for (const { path, bytes } of batches) {
    for (let from = 0; from < bytes.length; from += cifarRecordBytes) {
      const label = bytes[from];
      if (label >= cifar.classes) {
        throw new UserError(
          `${path}: image ${from / cifarRecordBytes + 1} has the label ${label}, and CIFAR-10 has 0 to ${cifar.classes - 1}`,
        );
      }
      labels[n] = label;
      values.set(bytes.subarray(from + 1, from + cifarRecordBytes), n * cifarImageBytes);
      n += 1;
    }
  }
  return { count, values, labels };
}

/** A line a class; numbers where the file is not there. */
function cifarClassNames(folder: string): readonly string[] {
  const numbers = Array.from({ length: cifar.classes }, (_, n) => `${n}`);
  const path = join(folder, cifarClasses);
  if (!existsSync(path)) return numbers;
  const lines = readFileSync(path, 'latin1')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (lines.length === cifar.classes) return lines;
  throw new UserError(`${path}: names ${lines.length} classes, and CIFAR-10 has ${cifar.classes}`);
}
