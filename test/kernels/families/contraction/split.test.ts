/**
 * The arithmetic of products on tensor cores, step by step as the matrix form does it: two f16 parts with a scale that comes from the
 * first slab, or from all where a later one has outgrown it, sums of 16 products at a time that are cut off, not rounded. Its error against
 * float64 is at most four times that of a sum in f32, element by element, relative to the sum of absolute values.
 */
import { describe, expect, test } from 'vitest';
import { longestSum } from '../../../../kernels/families/contraction/matrix-tile-sizes.ts';
import { matrixSize } from '../../../../kernels/target.ts';
import { exponentRoom, lowWeight, scaledExponent } from '../../../../kernels/wgsl/split-library.ts';
import { floatToHalf, halfToFloat } from '../../../../runtime/half-float.ts';
import { type OperandKind, one, operandKinds, type Weight } from '../../../support/operand-kinds.ts';
import { normals, uniforms } from '../../../support/random-values.ts';

const tileK = 32;

/** Rows of one block, in f32. */
type Block = readonly Float32Array[];

const half = (x: number): number => halfToFloat(floatToHalf(x));

/** Towards 0 instead of to the nearest f32. */
function cutOff(x: number): number {
  const nearest = Math.fround(x);
  if (Math.abs(nearest) <= Math.abs(x) || !Number.isFinite(nearest)) return nearest;
  const bits = new DataView(new ArrayBuffer(4));
  bits.setFloat32(0, nearest);
  bits.setUint32(0, bits.getUint32(0) - 1);
  return bits.getFloat32(0);
}

/** The exponent of the largest finite element of the first `length` steps of k. */
function exponentOf(block: Block, length: number): number {
  const finite = block.flatMap((row) => [...row.subarray(0, length)]).filter((x) => x !== 0 && Number.isFinite(x));
  return finite.reduce((most, x) => Math.max(most, Math.floor(Math.log2(Math.abs(x)))), -100);
}

/** Both parts of a block, and the exponent of its scale; `beforehand`: as it is taken apart in memory (families/halves.ts). */
function splitBlock(block: Block, beforehand: boolean) {
  const [first, all] = [exponentOf(block, tileK), exponentOf(block, block[0].length)];
  const ofTile = all > first + exponentRoom ? all : first;
  const exponent = beforehand ? all - exponentRoom : ofTile;
  const scale = 2 ** (scaledExponent - exponent);
  const high = block.map((row) => row.map((x) => half(x * scale)));
  const low = block.map((row, i) => row.map((x, k) => half((x * scale - high[i][k]) / lowWeight)));
  return { exponent, high, low };
}

/** Products of every row of one block with every row of the other, as the matrix form makes them. */
function multiplySplit(a: Block, b: Block, beforehand = false): number[][] {
  const [x, y] = [splitBlock(a, false), splitBlock(b, beforehand)];
  const unscale = 2 ** (x.exponent + y.exponent - 2 * scaledExponent);
  return a.map((_, i) =>
    b.map((_, j) => {
      let [high, low] = [0, 0];
      for (let at = 0; at < a[0].length; at += matrixSize) {
        const add = (total: number, left: Float32Array, right: Float32Array): number => {
          let products = 0;
          for (let l = at; l < Math.min(at + matrixSize, left.length); l++) products += left[l] * right[l];
          return cutOff(total + products);
        };
        low = add(low, x.high[i], y.low[j]);
        low = add(low, x.low[i], y.high[j]);
        high = add(high, x.high[i], y.high[j]);
      }
      return Math.fround(Math.fround(high + low * lowWeight) * unscale);
    }),
  );
}

/** The largest errors of both ways, relative to Σ|a||b|. */
function errors(a: Block, b: Block, beforehand = false): { readonly split: number; readonly plain: number } {
  const made = multiplySplit(a, b, beforehand);
  let [split, plain] = [0, 0];
  a.forEach((left, i) => {
    b.forEach((right, j) => {
      let [exact, size, f32] = [0, 0, 0];
      for (let k = 0; k < left.length; k++) {
        const p = left[k] * right[k];
        exact += p;
        size += Math.abs(p);
        f32 = Math.fround(f32 + p);
      }
      if (size === 0) return;
      split = Math.max(split, Math.abs(made[i][j] - exact) / size);
      plain = Math.max(plain, Math.abs(f32 - exact) / size);
    });
  });
  return { split, plain };
}

function block(k: number, seed: number, weight: Weight, isPositive = false): Block {
  const { data } = isPositive ? uniforms([matrixSize, k], seed, 0, 1) : normals([matrixSize, k], seed);
  return Array.from({ length: matrixSize }, (_, i) =>
    Float32Array.from({ length: k }, (_, at) => data[i * k + at] * weight(i, at)),
  );
}

const kinds: Readonly<Record<string, OperandKind>> = {
  ...operandKinds,
  'one 10^4 times the others': { weight: (row, k) => (row === 3 && k === 17 ? 1e4 : 1) },
  'one 10^6 times the others': { weight: (row, k) => (row === 3 && k === 77 ? 1e6 : 1) },
  'growing along k': { weight: (_, k) => Math.exp(k / 16) },
  'fading along k': { weight: (_, k) => Math.exp(-k / 16) },
  'zeros before': { weight: (_, k) => (k < 100 ? 0 : 1) },
};

describe('the error is at most four times that of f32', () => {
  const lengths = [64, 512, longestSum];
  test.each(Object.keys(kinds).flatMap((kind) => lengths.map((k) => [kind, k] as const)))('%s, %i', (kind, k) => {
    const { weight, isPositive } = kinds[kind];
    const { split, plain } = errors(block(k, 1, weight, isPositive), block(k, 2, one, isPositive));
    expect(split).toBeLessThanOrEqual(4 * plain);
  });
  test.each([false, true])('both operands uneven, one of them taken apart beforehand: %s', (beforehand) => {
    const { weight } = kinds['rows of 10^-4 to 10^4'];
    const { split, plain } = errors(block(512, 1, weight), block(512, 2, weight), beforehand);
    expect(split).toBeLessThanOrEqual(4 * plain);
  });
});

test('an operand is known as well where it is taken apart beforehand as in a tile', () => {
  const { weight } = operandKinds['rows of 10^-4 to 10^4'];
  // A tile's scale comes from the first slab, and leaves room for twice as much.
  const uneven = block(512, 2, (row, k) => weight(row, k) * (k < 100 ? 1 : 2));
  const [inTile, inMemory] = [false, true].map((beforehand) => {
    const { exponent, high, low } = splitBlock(uneven, beforehand);
    const unscale = 2 ** (exponent - scaledExponent);
    return uneven.map((row, i) =>
      row.reduce((lost, x, k) => lost + Math.abs(x - (high[i][k] + low[i][k] * lowWeight) * unscale), 0),
    );
  });
  for (const [i, lost] of inMemory.entries()) expect(lost).toBeLessThanOrEqual(inTile[i]);
});

test('what is not finite makes what it meets not finite, and nothing else', () => {
  const a = block(64, 1, (row, k) =>
    row === 2 && k === 40 ? Number.POSITIVE_INFINITY : row === 5 && k === 9 ? Number.NaN : 1,
  );
  const b = block(64, 2, one);
  const made = multiplySplit(a, b);
  const clean = multiplySplit(
    a.map((row) => row.map((x) => (Number.isFinite(x) ? x : 0))),
    b,
  );
  made.forEach((row, i) => {
    for (const [j, value] of row.entries()) {
      if (i === 2 || i === 5) expect(value).not.toSatisfy(Number.isFinite);
      else expect(value).toBe(clean[i][j]);
    }
  });
});
