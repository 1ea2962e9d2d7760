/**
 * The powers of two by which the matrix form (contraction/matrix.ts) scales its operands, one for each side of a tile, so that f16 holds
 * them. They come from the first slabs of a stretch of k, of some products the last ones too, where all of a workgroup wait for each other
 * once; from slab to slab a thread only notes the largest that it has seen. Where that has outgrown its scale at the end (`exponentRoom`),
 * the tile is made once more, with scales that are known to hold everything: it would have become infinite. Looking at every slab before it
 * is taken apart took a fifth of the time (test/bench/records/2026-11-27-matrix.jsonl).
 *
 * The trap: the next stretch's scales are chosen with all that was seen, so they would fit what the stretch before could not hold. What
 * outgrows a stretch is noted where it ends (`noteOutgrown`).
 *
 * What is not finite has no part in a scale. It is not asked for in the loop, where a branch around that would keep what stands before it
 * from what comes after (8192×2048×512: 219 → 210 µs): a thread that has met it looks at all that it staged once more (`lookAgain`). A side
 * that is 0 where a stretch begins has the largest scale there is, and is made again where it does not stay so.
 */
import { matrixLanes } from '../../target.ts';
import { exponentRoom, leastExponent, scaledExponent } from '../../wgsl/split-library.ts';
import { wgsl } from '../../wgsl/text.ts';
import { type MatrixMemory, type SideName, sides, stagedVectors } from './matrix-staging.ts';
import { type ContractionTuning, contractionThreads } from './tuning.ts';

/** The largest magnitude that a thread has seen of each side, what is known of all of the tile, and the scale that follows. */
export const scaleVariables = sides
  .flatMap((side) => [
    `var ${side}_most = 0.0;`,
    `var ${side}_exponent = ${leastExponent};`,
    `var ${side}_scale = ${scaleOf(side)};`,
  ])
  .join('\n');

function scaleOf(side: SideName): string {
  return `power_of_two_f32(${scaledExponent} - ${side}_exponent)`;
}

/** The exponent of the factor that takes both scales off a sum. */
export const unscaledExponent = `left_exponent + right_exponent - ${2 * scaledExponent}`;

/** WGSL that says whether something that a thread has seen does not fit the scales as they are. */
const outgrown = sides
  .map((side) => `i32(bitcast<u32>(${side}_most) >> 23u) - 127 > ${side}_exponent + ${exponentRoom}`)
  .join(' || ');

/** Whether something did not fit the scales of a stretch, noted before those of the next are chosen: they would fit it. */
export const outgrownVariable = 'var has_outgrown = false;';
export const noteOutgrown = `has_outgrown = has_outgrown || ${outgrown};`;

/** Notes how large what a thread is about to stage is, finite or not. */
export function noteLargest(tuning: ContractionTuning): string {
  const lines = sides.flatMap((side) => {
    const most = `${side}_most`;
    return stagedVectors(tuning, side).map(([a, b]) => `${most} = max(${most}, largest_magnitude_f32(${a}, ${b}));`);
  });
  return lines.join('\n');
}

/** The same of what is finite alone. */
export function noteFinite(tuning: ContractionTuning): string {
  const lines = sides.map((side) => `${side}_most = max(${side}_most, bitcast<f32>(${finiteBits(tuning, side)}));`);
  return lines.join('\n');
}

/** Bits of the largest finite magnitude of what a thread is about to stage. */
function finiteBits(tuning: ContractionTuning, side: SideName): string {
  const all = stagedVectors(tuning, side).map(([a, b]) => `largest_f32(${a}, ${b})`);
  return all.reduce((most, bits) => `max(${most}, ${bits})`);
}

/** Where a thread has met what is not finite, the largest that is: `loops` go through all that it staged and do `noteFinite`. */
export function lookAgain(loops: string): string {
  const bits = sides.map((side) => `bitcast<u32>(abs(${side}_most))`);
  return wgsl`
    if (max(${bits.join(', ')}) >= 0x7f800000u) {
      ${sides.map((side) => `${side}_most = 0.0;`).join('\n')}
      ${loops}
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
  const seen = sides.map(
    (side) => `let ${side}_bits = max(largest_finite_f32(vec4<f32>(${side}_most)), ${finiteBits(tuning, side)});`,
  );
  return wgsl`
    {
      ${seen.join('\n')}
      let largest = vec2<f32>(f32(subgroupMax(left_bits) >> 23u), f32(subgroupMax(right_bits) >> 23u));
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

/** WGSL of what is done with a tile. */
interface TileSteps {
  readonly make: string;
  readonly again: string;
  readonly finish: string;
  readonly isNoted: boolean;
}

/**
 * Makes a tile's sums, by `make`, and once more where something has outgrown its scale in the last stretch, as `again` (`lookAgain`)
 * knows, or in one before, where that `isNoted`; then finishes them. Both inside the loop: sums that go through its turns would cost registers.
 */
export function untilScaled(memory: MatrixMemory, { make, again, finish, isNoted }: TileSteps): string {
  return wgsl`
    for (var attempt = 0; attempt < 2; attempt++) {
      if (lane == 0u) { scratch[${memory.outgrown}] = vec4<f32>(); }
      ${make}
      ${again}
      if (${isNoted ? 'has_outgrown || ' : ''}${outgrown}) { scratch[${memory.outgrown}] = vec4<f32>(1.0); }
      if (workgroupUniformLoad(&scratch[${memory.outgrown}]).x == 0.0 || attempt == 1) {
        let unscaled = ${unscaledExponent};
        ${finish}
        break;
      }
    }
  `;
}
