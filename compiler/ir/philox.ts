/**
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011) in integer arithmetic, and
 * the two distributions made from it. This is the definition that the WGSL draws are held to: the words must agree in every
 * bit. The trap: a product of two 32-bit words does not fit a double, so the high word is put together from 16-bit halves.
 */

export type Words4 = readonly [number, number, number, number];

const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;
const roundCount = 10;

/** Upper 32 bits of the 64-bit product of two unsigned words. */
export function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/** Four unsigned words from a counter of four and a key of two. */
export function philox4x32(counter: Words4, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < roundCount; round++) {
    const high0 = multiplyHigh(multiplier0, c0);
    const low0 = Math.imul(multiplier0, c0) >>> 0;
    const high1 = multiplyHigh(multiplier1, c2);
    const low1 = Math.imul(multiplier1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + weyl0) >>> 0;
    k1 = (k1 + weyl1) >>> 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** The draw's four words: key (seed, stream), counter (element, step, 0, 0), each taken modulo 2^32. */
export function drawWords(seed: number, stream: number, step: number, element: number): Words4 {
  return philox4x32([element >>> 0, step >>> 0, 0, 0], [seed >>> 0, stream >>> 0]);
}

/**
 * A word as a number strictly between 0 and 1: its upper 23 bits, centred in their cell, which f32 holds exactly. With all 32 bits
 * the device would round, to 1 itself at the upper end, and differ from this.
 */
export function wordToUnit(word: number): number {
  return ((word >>> 9) + 0.5) * 2 ** -23;
}

export function drawUniform(seed: number, stream: number, step: number, element: number): number {
  return wordToUnit(drawWords(seed, stream, step, element)[0]);
}

/** Standard normal by Box-Muller: radius from word 0, angle from word 1. */
export function drawNormal(seed: number, stream: number, step: number, element: number): number {
  const [word0, word1] = drawWords(seed, stream, step, element);
  return Math.sqrt(-2 * Math.log(wordToUnit(word0))) * Math.cos(2 * Math.PI * wordToUnit(word1));
}
