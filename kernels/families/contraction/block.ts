/**
 * A thread's block of a contraction's output, whatever the form: `rows × columns` sums in registers, four columns a
 * vector, `sum_i_j` the j-th of row i; how they begin, and how each is handed to `finish`.
 */

import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import type { ElementsEnd } from './finish.ts';
import type { ContractionParts } from './functions.ts';

/**
 * Steps of k that a sum takes in at most before it is added to a total of its own: no longer chain of additions in f32
 * (`sums.ts`). Longer than there, so that the products of models stay one loop, with half the registers.
 */
const longestChain = 4096;

/** Beyond the square of that, as many as there are blocks of them. A multiple of every form's step. */
export function chainOf(k: number): number {
  return Math.max(longestChain, Math.ceil(Math.sqrt(k) / 64) * 64);
}

function isBlocked({ sizes }: ContractionParts): boolean {
  return sizes.k > chainOf(sizes.k);
}

function names({ tuning: { rows, columns } }: ContractionParts, word: 'sum' | 'total'): string[] {
  const all: string[] = [];
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns / 4; j++) all.push(`${word}_${i}_${j}`);
  return all;
}

/** Names of a thread's finished sums, row by row. */
export function finishedNames(w: ContractionParts): readonly string[] {
  return names(w, isBlocked(w) ? 'total' : 'sum');
}

/** `var sum_i_j = …` lines, and those of the totals where there are any. */
export function beginSums(w: ContractionParts): string {
  return [...names(w, 'sum'), ...(isBlocked(w) ? names(w, 'total') : [])]
    .map((name) => `var ${name} = vec4<f32>();`)
    .join('\n');
}

/** Adds the sums to the totals, and begins them anew. */
export function flushSums(w: ContractionParts): string {
  const totals = names(w, 'total');
  return names(w, 'sum')
    .map((sum, i) => `${totals[i]} += ${sum};\n${sum} = vec4<f32>();`)
    .join('\n');
}

/** Hands every sum to `finish`, at its place as WGSL of i and j; loops, so that a long epilogue is compiled once. */
export function finishSums(w: ContractionParts, place: { readonly m: string; readonly n: string }): string {
  const { emitter, tuning, sizes } = w;
  const quads = tuning.columns / 4;
  const checks = [];
  if (sizes.m % tuning.tileM !== 0) checks.push(`m < ${sizes.m}`);
  if (sizes.n % tuning.tileN !== 0) checks.push(`n < ${sizes.n}`);
  const call = `${w.functions.finish}(batch, m, n, sums[${quads === 1 ? 'i' : `i * ${quads} + j / 4`}][j % 4]);`;
  return wgsl`
    var sums = array<vec4<f32>, ${tuning.rows * quads}>(${names(w, isBlocked(w) ? 'total' : 'sum').join(', ')});
    for (var i = 0; i < ${emitter.bound(tuning.rows)}; i++) {
      for (var j = 0; j < ${emitter.bound(tuning.columns)}; j++) {
        let m = ${place.m};
        let n = ${place.n};
        ${checks.length === 0 ? call : `if (${checks.join(' && ')}) { ${call} }`}
      }
    }
  `;
}

/**
 * Where a thread's sums lie: `m` is WGSL of the place along m of row `turn · rows`, where a turn takes 1, 2 or 4 of them; column j lies at
 * `n` and the offset that `columnAt` gives; `lane` is the thread's number in a row of the tile, `laneRow` that of its rows.
 */
export interface SumsPlace {
  readonly m: (turn: string, rows: number) => string;
  readonly n: string;
  readonly columnAt: (j: number) => number;
  readonly lane: string;
  readonly laneRow: string;
}

/** `var sums = …`, for loops over rows. */
export function sumsArray(w: ContractionParts): string {
  const { rows, columns } = w.tuning;
  const all = names(w, isBlocked(w) ? 'total' : 'sum').join(', ');
  return `var sums = array<vec4<f32>, ${(rows * columns) / 4}>(${all});`;
}

/** The sum of row `row` (WGSL) and `c` more, and column j, in it. */
export function sumOf({ tuning }: ContractionParts, j: number, row = 'i', c = 0): string {
  return `${sumsQuad({ tuning }, j >> 2, row, c)}.${'xyzw'[j % 4]}`;
}

/** The sums of its columns 4 q to 4 q + 3. */
function sumsQuad({ tuning }: Pick<ContractionParts, 'tuning'>, q: number, row: string, c: number): string {
  const quads = tuning.columns / 4;
  return `sums[${plus(quads === 1 ? row : `${row} * ${quads}`, c * quads + q)}]`;
}

/** What holds of an element inside the output, by WGSL of its positions, where tiles reach beyond it. */
export function raggedGuards({ sizes, tuning }: ContractionParts, m: string, n: string): readonly string[] {
  return [
    ...(sizes.m % tuning.tileM === 0 ? [] : [`${m} < ${sizes.m}`]),
    ...(sizes.n % tuning.tileN === 0 ? [] : [`${n} < ${sizes.n}`]),
  ];
}

/** Rows of quads that a thread finishes at once, so that one does not wait for what is read for the other. */
const quadRowsAtOnce = 4;

/** WGSL of what a thread's quad q of row c of those at once is given of other tensors. */
export const quadReads = (c: number, q: number): string => `reads_${c}_${q}`;

/** The lines that read it for all of them, at rows by WGSL of their positions along m; `n` is the thread's first column. */
export function readQuads(w: ContractionParts, place: SumsPlace, rows: readonly string[]): string {
  const { tuning, sizes, functions } = w;
  const lines = rows.flatMap((row, c) =>
    Array.from({ length: tuning.columns / 4 }, (_, q) => {
      const m = inside(row, 0, sizes.m, tuning.tileM);
      const n = quadInside('n', place.columnAt(4 * q), sizes.n, tuning.tileN);
      return `let ${quadReads(c, q)} = ${functions.readQuad}(batch, ${m}, ${n});`;
    }),
  );
  return lines.join('\n');
}

/** Takes a thread's quads of sums to memory, a few rows at a time: first all that they read, then all that they write (`finishElements`). */
function finishQuads(w: ContractionParts, end: ElementsEnd, place: SumsPlace): string {
  const { emitter, tuning, sizes, functions } = w;
  const { rows, columns, tileM, tileN } = tuning;
  const count = Math.min(quadRowsAtOnce, rows);
  const all = Array.from({ length: count }, (_, c) => plus(place.m('turn', count), c));
  const made: string[] = [];
  const puts: string[] = [];
  all.forEach((row, c) => {
    for (let q = 0; q < columns / 4; q++) {
      const n = plus('n', place.columnAt(4 * q));
      const given = [
        inside(row, 0, sizes.m, tileM),
        quadInside('n', place.columnAt(4 * q), sizes.n, tileN),
        sumsQuad(w, q, `turn * ${count}`, c),
        ...(end.readsQuads ? [quadReads(c, q)] : []),
      ];
      made.push(`let f_${c}_${q} = ${functions.finishedQuad}(batch, ${given.join(', ')});`);
      puts.push(guarded(raggedGuards(w, row, n), `${functions.putQuad}(batch, ${row}, ${n}, f_${c}_${q});`));
    }
  });
  return wgsl`
    ${sumsArray(w)}
    let n = ${place.n};
    for (var turn = 0; turn < ${emitter.bound(rows / count)}; turn++) {
      ${[...(end.readsQuads ? [readQuads(w, place, all)] : []), ...made, ...puts].join('\n')}
    }
  `;
}

/** Takes a thread's sums to memory row by row, first what a row of them reads, then what it writes (`finishElements`). */
export function finishRows(w: ContractionParts, end: ElementsEnd, place: SumsPlace): string {
  if (w.storesQuads) return finishQuads(w, end, place);
  const { emitter, tuning, sizes, functions } = w;
  const { rows, columns, tileM, tileN } = tuning;
  const isRagged = sizes.n % tileN !== 0;
  const reads: string[] = [];
  const puts: string[] = [];
  for (let j = 0; j < columns; j++) {
    const n = plus('n', place.columnAt(j));
    reads.push(
      `let f_${j} = ${functions.finished}(batch, m, ${inside('n', place.columnAt(j), sizes.n, tileN)}, ${sumOf(w, j)});`,
    );
    const put = `${functions.put}(batch, m, ${n}, f_${j});`;
    puts.push(isRagged ? `if (${n} < ${sizes.n}) { ${put} }` : put);
  }
  return wgsl`
    ${sumsArray(w)}
    let n = ${place.n};
    for (var i = 0; i < ${emitter.bound(rows)}; i++) {
      let m = ${place.m('i', 1)};
      ${guarded(sizes.m % tileM === 0 ? [] : [`m < ${sizes.m}`], [...reads, ...puts].join('\n'))}
    }
  `;
}

/** The position `name + offset`, kept inside `size` where the last tile may reach beyond it. */
export function inside(name: string, offset: number, size: number, tile: number): string {
  return size % tile === 0 ? plus(name, offset) : `min(${plus(name, offset)}, ${size - 1})`;
}

/** The same of four that are read at once: from beyond the end they are the last four. */
export function quadInside(name: string, offset: number, size: number, tile: number): string {
  return size % tile === 0 ? plus(name, offset) : `min(${plus(name, offset)}, ${size - 4})`;
}
