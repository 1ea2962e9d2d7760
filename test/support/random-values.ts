/** Reproducible host arrays for tests: the same seed gives the same numbers on every machine. */
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import { drawNormal, drawUniform, drawWords } from '../../compiler/ir/philox.ts';
import { elementCount } from '../../compiler/ir/program.ts';

function generate(shape: readonly number[], element: (i: number) => number): NdArray {
  return { shape, data: Float64Array.from({ length: elementCount(shape) }, (_, i) => element(i)) };
}

export function normals(shape: readonly number[], seed: number): NdArray {
  return generate(shape, (i) => drawNormal(seed, 0, 0, i));
}

/** Uniform in low .. high. */
export function uniforms(shape: readonly number[], seed: number, low: number, high: number): NdArray {
  return generate(shape, (i) => low + (high - low) * drawUniform(seed, 1, 0, i));
}

/** Whole numbers in 0 .. bound - 1. */
export function integers(shape: readonly number[], seed: number, bound: number): NdArray {
  return generate(shape, (i) => drawWords(seed, 2, 0, i)[0] % bound);
}
