/**
 * Tensors that lie in memory as two f16 an element, high and low (wgsl/split-library.ts), so that products on tensor cores copy them:
 *
 *   8 neighbouring f32   →   a quad of their high parts, a quad of their low parts;   behind all of them a quad: the exponent of the scale
 *
 * They take the bytes that they took, and whichever way a product runs through such a tensor, it finds octets of it. One scale, for products
 * contract along either axis: an element is known to 2^-22 of itself, or to 2^-49 of the tensor's largest. (One for each 4096 elements costs
 * all that copying saves: a step of lm low_rank 1024 512 took 19.31 ms on an H100 with none of this, 18.83 with one scale, 19.31 with one a
 * slab, test/bench/records/2026-11-28-weights-2.jsonl.)
 *
 * The trap: the exponent is kept as a number, not as bits: a buffer of f32 need not keep those of what is too small for one.
 */
import { elementCount } from '../../compiler/ir/program.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { quadText } from './loads.ts';

/** Elements that lie together: f16 in a quad of memory. */
export const octet = 8;
/** Bytes behind the elements. */
export const exponentBytes = 16;

/** WGSL of the offset of the quad behind the elements. */
export function exponentPlace(tensor: string, emitter: Emitter): string {
  return String(elementCount(emitter.layout(tensor).shape));
}

/** WGSL (i32) of the exponent that the tensor's scale is made for, as that of a tile's side (contraction/matrix-scales.ts). */
export function exponentText(tensor: string, emitter: Emitter): string {
  return `i32(${quadText(tensor, exponentPlace(tensor, emitter), emitter)}.x)`;
}
