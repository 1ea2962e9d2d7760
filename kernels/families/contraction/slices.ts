/**
 * The tiled form with more threads than sums: groups of threads, slices, have the same tile, and each takes its part of the k of every
 * slab. In the end each thread puts its sums into workgroup memory and finishes some of its rows, with what the others have of them.
 *
 *   4 slices, slabs of 32 k    slice 0: k 0–7, 32–39, …    slice 1: k 8–15, 40–47, …      rows 0, 1 of 8 are finished by slice 0
 *
 * For products of few tiles, where one thread a sum leaves a multiprocessor waiting: its threads are more, their sums shorter, and so are
 * their epilogues. The order of additions is fixed, so that every run gives the same bits.
 */
import { plus, wgsl } from '../../wgsl/text.ts';
import { finishedNames, type SumsPlace } from './block.ts';
import type { ContractionParts } from './functions.ts';
import { type ContractionTuning, contractionThreads } from './tuning.ts';

export function threadsOfSlice(tuning: ContractionTuning): number {
  return contractionThreads(tuning) / (tuning.slices ?? 1);
}

/** Quads of workgroup memory that the sums of all slices take. */
export function slicedQuads(tuning: ContractionTuning): number {
  const { rows, columns, slices = 1 } = tuning;
  return slices === 1 ? 0 : (contractionThreads(tuning) * rows * columns) / 4;
}

/** The same with the rows that a thread finishes, and all threads in one slice. */
export function ofOneSlice(w: ContractionParts): ContractionParts {
  const { slices = 1, ...tuning } = w.tuning;
  return slices === 1 ? w : { ...w, tuning: { ...tuning, rows: tuning.rows / slices } };
}

/** Where those rows lie. */
export function ownSums({ tuning }: ContractionParts, place: SumsPlace): SumsPlace {
  const { rows, tileM, slices = 1 } = tuning;
  const own = rows / slices;
  return {
    ...place,
    m: (turn, count) => place.m(own === count ? `(slice + ${turn})` : `(slice * ${own / count} + ${turn})`, count),
    laneRow: `(slice * ${tileM / rows} + lane_m)`,
  };
}

/** Adds up a thread's own rows: the first of its sums hold them afterwards. The last step over k ended with a barrier. */
export function addSlices(w: ContractionParts): string {
  const { rows, columns, slices = 1 } = w.tuning;
  const threads = contractionThreads(w.tuning);
  const own = finishedNames(ofOneSlice(w));
  const base = w.sideBySide === 1 ? '' : 'scratch_from + ';
  const puts = finishedNames(w).map((name, q) => `scratch[${plus(`${base}i32(lane)`, q * threads)}] = ${name};`);
  const first = `slice * ${((rows * columns) / 4 / slices) * threads} + i32(lane_of_slice)`;
  const added = own.map((name, q) => {
    const parts = Array.from({ length: slices }, (_, s) => {
      return `scratch[${plus(`${base}${first}`, q * threads + s * threadsOfSlice(w.tuning))}]`;
    });
    return `${name} = ${parts.join(' + ')};`;
  });
  return wgsl`
    ${puts.join('\n')}
    workgroupBarrier();
    ${added.join('\n')}
    ${w.kernel.rowLength === undefined ? '' : 'workgroupBarrier();'}
  `;
}
