/**
 * The images that come with the package: 1,797 handwritten digits of 8 × 8 pixels, values 0 to 16, the test set of "Optical Recognition of
 * Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998; UCI Machine Learning Repository, CC BY 4.0), as scikit-learn 1.2.1 ships it. The
 * last fifth is the test part.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { experimentsFolder } from '../library.ts';
import type { ImageFiles, ImageSet } from './image-data.ts';

export const digitsName = 'handwritten digits';

const side = 8;
const testPart = 0.2;

export function digits(): ImageFiles {
  const text = gunzipSync(readFileSync(join(experimentsFolder, 'data', 'digits.csv.gz'))).toString('latin1');
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.split(',').map(Number));
  const end = Math.floor(rows.length * (1 - testPart));
  const set = (some: readonly (readonly number[])[]): ImageSet => ({
    count: some.length,
    values: Uint8Array.from(some.flatMap((row) => row.slice(0, side ** 2))),
    labels: Uint8Array.from(some, (row) => row[side ** 2]),
  });
  return {
    name: digitsName,
    ...{ channels: 1, height: side, width: side },
    classes: Array.from({ length: 10 }, (_, digit) => `${digit}`),
    train: set(rows.slice(0, end)),
    test: set(rows.slice(end)),
  };
}
