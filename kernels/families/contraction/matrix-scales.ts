/**
 * The powers of two by which the matrix form (contraction/matrix.ts) scales its operands, one for each side of a tile, so that f16 holds
 * them. They come from the first slabs of a stretch of k, of some products others too, where all of a workgroup wait for each other
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
 *
 * A side that lies in memory as two f16 (parts/halves.ts) has its scale from there, and none of this is asked of it.
 */
import { exponentText } from '../../parts/halves.ts';
import { matrixLanes } from '../../target.ts';
import { exponentRoom, leastExponent, scaledExponent } from '../../wgsl/split-library.ts';
import { wgsl } from '../../wgsl/text.ts';
import type { ContractionParts } from './functions.ts';
import { type MatrixMemory, type SideName, sides, stagedVectors } from './matrix-staging.ts';
import { contractionThreads } from './tuning.ts';

/** The sides that are taken apart here, in all products of a kernel the same. */
const splitSides = ({ quads }: ContractionParts): readonly SideName[] => sides.filter((side) => !quads[side].inHalves);

/** Whether a side comes with its scale, that of its tensor. */
const hasGivenScale = (w: ContractionParts): boolean => splitSides(w).length < sides.length;

/**
 * The largest magnitude that a thread has seen of each side, what is known of all of the tile, and the scale that follows. Where a side's
 * scale is given, products may each have their own: what the sums are scaled by is a variable then, and never shrinks.
 */
export function scaleVariables(w: ContractionParts): string {
  const ofSides = sides.flatMap((side) => {
    const exponent = `var ${side}_exponent = ${leastExponent};`;
    if (w.quads[side].inHalves) return [exponent];
    return [
      `var ${side}_most = 0.0;`,
      exponent,
      `var ${side}_scale = power_of_two_f32(${scaledExponent} - ${side}_exponent);`,
    ];
  });
  return [...ofSides, ...(hasGivenScale(w) ? [`var sums_exponent = ${2 * leastExponent};`] : [])].join('\n');
}

/** The exponent of the factor that takes both scales off a sum. */
export function unscaledExponent(w: ContractionParts): string {
  return `${hasGivenScale(w) ? 'sums_exponent' : 'left_exponent + right_exponent'} - ${2 * scaledExponent}`;
}

/** WGSL that says whether something that a thread has seen does not fit the scales as they are. */
function outgrown(w: ContractionParts): string {
  const ofSides = splitSides(w).map(
    (side) => `i32(bitcast<u32>(${side}_most) >> 23u) - 127 > ${side}_exponent + ${exponentRoom}`,
  );
  return ofSides.join(' || ');
}

/** Whether something did not fit the scales of a stretch, noted before those of the next are chosen: they would fit it. */
export const outgrownVariable = 'var has_outgrown = false;';
export const noteOutgrown = (w: ContractionParts): string => `has_outgrown = has_outgrown || ${outgrown(w)};`;

/** Notes how large what a thread is about to stage is, finite or not. */
export function noteLargest(w: ContractionParts): string {
  const lines = splitSides(w).flatMap((side) => {
    const most = `${side}_most`;
    return stagedVectors(w.tuning, side).map(([a, b]) => `${most} = max(${most}, largest_magnitude_f32(${a}, ${b}));`);
  });
  return lines.join('\n');
}

/** The same of what is read as a sample (`MatrixStaging`). */
export function noteSample(w: ContractionParts): string {
  const lines = splitSides(w).map((side) => {
    const [[sampled]] = stagedVectors(w.tuning, side);
    return `${side}_most = max(${side}_most, largest_magnitude_f32(${sampled}, ${sampled}));`;
  });
  return lines.join('\n');
}

/** The same of what is finite alone. */
export function noteFinite(w: ContractionParts): string {
  const lines = splitSides(w).map((side) => `${side}_most = max(${side}_most, bitcast<f32>(${finiteBits(w, side)}));`);
  return lines.join('\n');
}

/** Bits of the largest finite magnitude of what a thread is about to stage. */
function finiteBits({ tuning }: ContractionParts, side: SideName): string {
  const all = stagedVectors(tuning, side).map(([a, b]) => `largest_f32(${a}, ${b})`);
  return all.reduce((most, bits) => `max(${most}, ${bits})`);
}

/** Where a thread has met what is not finite, the largest that is: `loops` go through all that it staged and do `noteFinite`. */
export function lookAgain(w: ContractionParts, loops: string): string {
  const bits = splitSides(w).map((side) => `bitcast<u32>(abs(${side}_most))`);
  return wgsl`
    if (${bits.length === 1 ? bits[0] : `max(${bits.join(', ')})`} >= 0x7f800000u) {
      ${splitSides(w)
        .map((side) => `${side}_most = 0.0;`)
        .join('\n')}
      ${loops}
    }
  `;
}

/** Chooses the scales by the slabs that were read last, and what was seen before; `sums` are those made so far, if any. */
export function chooseScales(w: ContractionParts, memory: MatrixMemory, sums: readonly string[]): string {
  const subgroups = contractionThreads(w.tuning) / matrixLanes;
  const all = Array.from({ length: subgroups }, (_, i) => `most = max(most, scratch[${memory.exponents + i}].xy);`);
  const split = splitSides(w);
  const seen = split.map(
    (side) => `let ${side}_bits = max(largest_finite_f32(vec4<f32>(${side}_most)), ${finiteBits(w, side)});`,
  );
  const largest = sides.map((side) => (split.includes(side) ? `f32(subgroupMax(${side}_bits) >> 23u)` : '0.0'));
  const { before, scales, after } = hasGivenScale(w) ? givenScales(split) : ownScales;
  const shrink = wgsl`
    let shrink = power_of_two_f32(max(before - ${after}, -126));
    if (shrink != 1.0) {
      ${sums.map((sum) => `${sum} = subgroupMatrixScalarMultiply(${sum}, shrink);`).join('\n')}
    }
  `;
  return wgsl`
    {
      ${seen.join('\n')}
      let largest = vec2<f32>(${largest.join(', ')});
      workgroupBarrier();
      if (lane_in == 0) { scratch[${memory.exponents} + subgroup] = vec4<f32>(largest, 0.0, 0.0); }
      workgroupBarrier();
      var most = vec2<f32>();
      ${all.join('\n')}
      ${sums.length === 0 ? '' : `let before = ${before};`}
      ${sides.map((side) => exponentLine(w, side)).join('\n')}
      ${scales.join('\n')}
      ${sums.length === 0 ? '' : shrink}
    }
  `;
}

/** What is known of a side's largest, when `most` has been gathered; what is given of it is not asked for before. */
function exponentLine({ quads, emitter }: ContractionParts, side: SideName): string {
  const { load, inHalves } = quads[side];
  if (inHalves) return `${side}_exponent = ${exponentText(load!.tensor, emitter)};`;
  return `${side}_exponent = max(${side}_exponent, i32(most.${side === 'left' ? 'x' : 'y'}) - 127);`;
}

/** WGSL of the exponent of the sums before and after scales are chosen, and the lines that choose them. */
interface ChosenScales {
  readonly before: string;
  readonly scales: readonly string[];
  readonly after: string;
}

const ownScales: ChosenScales = {
  before: 'left_exponent + right_exponent',
  scales: sides.map((side) => `${side}_scale = power_of_two_f32(${scaledExponent} - ${side}_exponent);`),
  after: 'left_exponent - right_exponent',
};

/** The other side takes the scale that is left of that of the sums: 0 where the product is nothing beside those that were added before. */
function givenScales(split: readonly SideName[]): ChosenScales {
  const scales = split.map((side) => {
    const given = side === 'left' ? 'right' : 'left';
    return `${side}_scale = scaled_f32(1.0, max(${scaledExponent} - sums_exponent + ${given}_exponent, -252));`;
  });
  return {
    before: 'sums_exponent',
    scales: ['sums_exponent = max(sums_exponent, left_exponent + right_exponent);', ...scales],
    after: 'sums_exponent',
  };
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
export function untilScaled(
  w: ContractionParts,
  memory: MatrixMemory,
  { make, again, finish, isNoted }: TileSteps,
): string {
  return wgsl`
    for (var attempt = 0; attempt < 2; attempt++) {
      if (lane == 0u) { scratch[${memory.outgrown}] = vec4<f32>(); }
      ${make}
      ${again}
      if (${isNoted ? 'has_outgrown || ' : ''}${outgrown(w)}) { scratch[${memory.outgrown}] = vec4<f32>(1.0); }
      if (workgroupUniformLoad(&scratch[${memory.outgrown}]).x == 0.0 || attempt == 1) {
        let unscaled = ${unscaledExponent(w)};
        ${finish}
        break;
      }
    }
  `;
}
