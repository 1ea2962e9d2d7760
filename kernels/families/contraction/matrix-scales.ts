/**
 * The powers of two by which the matrix form (contraction/matrix.ts) scales its operands, one for each side of a tile, so that f16 holds
 * them. They come from the first slabs of a stretch of k, where all of a workgroup wait for each other once; from slab to slab a thread
 * only notes the largest that it has seen. Where that has outgrown its scale at the end (`exponentRoom`), the tile is made once more,
 * with scales that are known to hold everything: it would have become infinite. Looking at every slab before it is taken apart took a
 * fifth of the time (test/bench/records/2026-11-27-matrix.jsonl).
 *
 * What is not finite has no part in a scale. A side that is 0 where a stretch begins has the largest scale there is, and is made again
 * where it does not stay so.
 */
import { matrixLanes } from '../../target.ts';
import { exponentRoom, leastExponent, scaledExponent } from '../../wgsl/split-library.ts';
import { wgsl } from '../../wgsl/text.ts';
import { type MatrixMemory, type SideName, sides, stagedVectors } from './matrix-staging.ts';
import { type ContractionTuning, contractionThreads } from './tuning.ts';

/** Bits of the largest that a thread has seen of each side, what is known of all of the tile, and the scale that follows. */
export const scaleVariables = sides
  .flatMap((side) => [
    `var ${side}_most = 0u;`,
    `var ${side}_exponent = ${leastExponent};`,
    `var ${side}_scale = ${scaleOf(side)};`,
  ])
  .join('\n');

function scaleOf(side: SideName): string {
  return `power_of_two_f32(${scaledExponent} - ${side}_exponent)`;
}

/** The exponent of the factor that takes both scales off a sum. */
export const unscaledExponent = `left_exponent + right_exponent - ${2 * scaledExponent}`;

/** Notes how large what a thread is about to stage is. */
export function noteLargest(tuning: ContractionTuning): string {
  return sides.map((side) => noteSide(tuning, side)).join('\n');
}

function noteSide(tuning: ContractionTuning, side: SideName): string {
  const vectors = stagedVectors(tuning, side);
  const magnitudes = vectors.map(([first, second]) => `most = max(most, max(abs(${first}), abs(${second})));`);
  const finite = vectors.flat().map((name) => `bits = max(bits, largest_finite_f32(${name}));`);
  return wgsl`
    {
      var most = vec4<f32>();
      ${magnitudes.join('\n')}
      var bits = bitcast<u32>(max(max(most.x, most.y), max(most.z, most.w)));
      if (bits >= 0x7f800000u) {
        bits = 0u;
        ${finite.join('\n')}
      }
      ${side}_most = max(${side}_most, bits);
    }
  `;
}

/** Chooses the scales by the slabs that were read last, and what was seen before; `sums` are those made so far, if any. */
export function chooseScales(tuning: ContractionTuning, memory: MatrixMemory, sums: readonly string[]): string {
  const subgroups = contractionThreads(tuning) / matrixLanes;
  const all = Array.from({ length: subgroups }, (_, i) => `most = max(most, scratch[${memory.exponents + i}].xy);`);
  const before = 'let before = left_exponent + right_exponent;';
  const shrink = wgsl`
    let shrink = power_of_two_f32(max(before - left_exponent - right_exponent, -126));
    if (shrink != 1.0) {
      ${sums.map((sum) => `${sum} = subgroupMatrixScalarMultiply(${sum}, shrink);`).join('\n')}
    }
  `;
  return wgsl`
    ${noteLargest(tuning)}
    {
      let largest = vec2<f32>(f32(subgroupMax(left_most) >> 23u), f32(subgroupMax(right_most) >> 23u));
      workgroupBarrier();
      if (lane_in == 0) { scratch[${memory.exponents} + subgroup] = vec4<f32>(largest, 0.0, 0.0); }
      workgroupBarrier();
      var most = vec2<f32>();
      ${all.join('\n')}
      ${sums.length === 0 ? '' : before}
      left_exponent = max(left_exponent, i32(most.x) - 127);
      right_exponent = max(right_exponent, i32(most.y) - 127);
      ${sides.map((side) => `${side}_scale = ${scaleOf(side)};`).join('\n')}
      ${sums.length === 0 ? '' : shrink}
    }
  `;
}

/**
 * Makes a tile's sums, by `make`, and once more where something has outgrown its scale; then finishes them. Both inside the loop: sums that go
 * through its turns would cost registers.
 */
export function untilScaled(memory: MatrixMemory, make: string, finish: string): string {
  const outgrown = sides.map((side) => `i32(${side}_most >> 23u) - 127 > ${side}_exponent + ${exponentRoom}`);
  return wgsl`
    for (var attempt = 0; attempt < 2; attempt++) {
      if (lane == 0u) { scratch[${memory.outgrown}] = vec4<f32>(); }
      ${make}
      if (${outgrown.join(' || ')}) { scratch[${memory.outgrown}] = vec4<f32>(1.0); }
      if (workgroupUniformLoad(&scratch[${memory.outgrown}]).x == 0.0 || attempt == 1) {
        let unscaled = ${unscaledExponent};
        ${finish}
        break;
      }
    }
  `;
}
