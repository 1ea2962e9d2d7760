/**
 * What each scalar operator means, in float64: the table behind the interpreter and behind constant folding.
 * The trap: `gelu` far to the left is x/2 · erfc(-x/√2), not x/2 · (1 + erf(x/√2)), which cancels to nothing.
 */
import type { BinaryOperator, ComparisonOperator, UnaryOperator } from './program.ts';

/** The largest finite f32. */
export const largestF32 = 3.4028234663852886e38;

export const unaryFunctions: Readonly<Record<UnaryOperator, (x: number) => number>> = {
  negate: (x) => -x,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  abs: Math.abs,
  sign: Math.sign,
  tanh: Math.tanh,
  erf,
  sigmoid,
  relu: (x) => (x > 0 ? x : x <= 0 ? 0 : Number.NaN),
  gelu: (x) => 0.5 * x * erfc(-x * Math.SQRT1_2),
  silu: (x) => x * sigmoid(x),
  sin: Math.sin,
  cos: Math.cos,
};

export const binaryFunctions: Readonly<Record<BinaryOperator, (a: number, b: number) => number>> = {
  divide: (a, b) => a / b,
  power,
  minimum: Math.min,
  maximum: Math.max,
  quotient: (a, b) => Math.floor(a / b),
  remainder: (a, b) => a - Math.abs(b) * Math.floor(a / Math.abs(b)),
};

export const comparisons: Readonly<Record<ComparisonOperator, (a: number, b: number) => boolean>> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};

/** A negative base has whole powers only, −∞ too: `x ^ 0.5` is the root of x. */
function power(a: number, b: number): number {
  return a < 0 && Math.floor(b) !== b ? Number.NaN : a ** b;
}

export function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

/** Where the series of erf hands over to the continued fraction of erfc: both are at full precision here. */
const seriesLimit = 2.5;

export function erf(x: number): number {
  return Math.abs(x) < seriesLimit ? erfSeries(x) : x > 0 ? 1 - erfcFraction(x) : erfcFraction(-x) - 1;
}

export function erfc(x: number): number {
  return x < 0.5 ? 1 - erf(x) : erfcFraction(x);
}

/** 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms all have one sign (Abramowitz and Stegun 7.1.6). */
function erfSeries(x: number): number {
  let term = x;
  let total = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

/** e^(-x²)/√π · 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + …)))), x > 0, from the inside out (Abramowitz and Stegun 7.1.14). */
function erfcFraction(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 27.3) return 0;
  let tail = x;
  for (let k = Math.ceil(40 + 240 / (x * x)); k >= 1; k--) tail = x + k / 2 / tail;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / tail;
}
