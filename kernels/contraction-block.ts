/**
 * A thread's block of a contraction's output, whatever the form: `rows × columns` sums in registers, four columns a
 * vector, `sum_i_j` the j-th of row i; how they begin, and how each is handed to `finish`.
 */
import type { ContractionParts } from './contraction-functions.ts';
import type { ContractionTuning } from './contraction-tuning.ts';
import { plus, wgsl } from './wgsl.ts';

function sumNames({ rows, columns }: ContractionTuning): string[] {
  const names: string[] = [];
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns / 4; j++) names.push(`sum_${i}_${j}`);
  return names;
}

/** `var sum_i_j = …` lines. */
export function beginSums({ tuning }: ContractionParts): string {
  return sumNames(tuning)
    .map((name) => `var ${name} = vec4<f32>();`)
    .join('\n');
}

/** Hands every sum to `finish`, at its place as WGSL of i and j; loops, so that a long epilogue is compiled once. */
export function finishSums(w: ContractionParts, place: { readonly m: string; readonly n: string }): string {
  const { emitter, tuning, sizes } = w;
  const quads = tuning.columns / 4;
  const checks = [];
  if (sizes.m % tuning.tileM !== 0) checks.push(`m < ${sizes.m}`);
  if (sizes.n % tuning.tileN !== 0) checks.push(`n < ${sizes.n}`);
  const call = `finish(batch, m, n, sums[${quads === 1 ? 'i' : `i * ${quads} + j / 4`}][j % 4]);`;
  return wgsl`
    var sums = array<vec4<f32>, ${tuning.rows * quads}>(${sumNames(tuning).join(', ')});
    for (var i = 0; i < ${emitter.bound(tuning.rows)}; i++) {
      for (var j = 0; j < ${emitter.bound(tuning.columns)}; j++) {
        let m = ${place.m};
        let n = ${place.n};
        ${checks.length === 0 ? call : `if (${checks.join(' && ')}) { ${call} }`}
      }
    }
  `;
}

/** The position `name + offset`, kept inside `size` where the last tile may reach beyond it. */
export function inside(name: string, offset: number, size: number, tile: number): string {
  return size % tile === 0 ? plus(name, offset) : `min(${plus(name, offset)}, ${size - 1})`;
}
