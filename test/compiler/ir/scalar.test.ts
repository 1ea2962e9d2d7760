import { expect, test } from 'vitest';
import { erf, erfc, sigmoid, unaryFunctions } from '../../../compiler/ir/scalar.ts';

/** erf to the nearest float64 (Abramowitz and Stegun table 7.1 and NIST DLMF 7.23). */
const erfTable = [
  [0, 0],
  [0.1, 0.1124629160182849],
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [1.5, 0.9661051464753108],
  [2, 0.9953222650189527],
  [2.5, 0.999593047982555],
  [3, 0.9999779095030014],
] as const;

test.each(erfTable)('erf(%f)', (x, expected) => {
  expect(Math.abs(erf(x) - expected)).toBeLessThanOrEqual(2.3e-16);
  expect(erf(-x)).toBe(-erf(x));
});

test('erfc keeps its relative accuracy far out', () => {
  expect(erfc(5) / 1.537459794428035e-12 - 1).toBeCloseTo(0, 13);
  expect(erfc(10) / 2.088487583762545e-45 - 1).toBeCloseTo(0, 13);
  expect(erfc(0.5) / 0.4795001221869535 - 1).toBeCloseTo(0, 14);
  expect(erfc(-3)).toBeCloseTo(1.9999779095030015, 15);
  expect(erfc(40)).toBe(0);
});

test('series and fraction meet', () => {
  expect(Math.abs(erf(2.5 - 1e-15) - erf(2.5))).toBeLessThan(4e-16);
  expect(Math.abs(erfc(0.5 - 1e-15) - erfc(0.5))).toBeLessThan(3e-15);
});

test('what would cancel or overflow does not', () => {
  expect(unaryFunctions.gelu(-10) / (-5 * 1.523970604832105e-23) - 1).toBeCloseTo(0, 12);
  expect(unaryFunctions.gelu(10)).toBe(10);
  expect(sigmoid(-800)).toBe(0);
  expect(sigmoid(800)).toBe(1);
  expect(unaryFunctions.silu(-800)).toBeCloseTo(0);
  expect(erf(Number.NaN)).toBeNaN();
  expect(unaryFunctions.relu(Number.NaN)).toBeNaN();
  expect(erf(Infinity)).toBe(1);
});
