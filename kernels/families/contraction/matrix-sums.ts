/**
 * The way of the matrix form's sums to the threads that finish them: each subgroup's matrices go through workgroup memory, a strip of
 * their rows at a time, high and low parts put together and the scales taken off.
 */
import { matrixLanes, matrixSize } from '../../target.ts';
import { lowWeight } from '../../wgsl/split-library.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { inside, quadInside, raggedGuards } from './block.ts';
import type { ElementsEnd } from './finish.ts';
import type { ContractionParts } from './functions.ts';
import { unscaledExponent } from './matrix-scales.ts';
import type { MatrixMemory } from './matrix-staging.ts';
import { quadsAcross } from './quads.ts';
import { type ContractionTuning, contractionThreads } from './tuning.ts';

/** Matrices of a subgroup: so many rows and columns of them. */
export const matricesOf = ({ rows, columns }: ContractionTuning) => [rows / matrixSize, columns / matrixSize] as const;

/** Names of a subgroup's sums, high and low, row by row. */
export function sumNames(tuning: ContractionTuning): (readonly [high: string, low: string, i: number, j: number])[] {
  const [rows, columns] = matricesOf(tuning);
  return Array.from({ length: rows * columns }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return [`high_${i}_${j}`, `low_${i}_${j}`, i, j] as const;
  });
}

/** Rows of a strip that a thread has sums of; threads lie side by side in n, several rows of them. */
function rowsOfThread(tuning: ContractionTuning): number {
  const { tileM, tileN, rows } = tuning;
  return ((tileM / rows) * matrixSize * tileN) / contractionThreads(tuning);
}

export const valuesOfThread = (tuning: ContractionTuning): number => matricesOf(tuning)[0] * rowsOfThread(tuning);

/** Sums that a thread adds to its totals at once. */
const addedAtOnce = 4;

/**
 * Sums that a thread finishes at once: first what they read, then what they write (`finishElements`). With 8 in place of 4 an epilogue
 * that reads takes less: 8192×2048×512 with gelu and an addend 306 → 295 µs on an H200, without one the same
 * (test/bench/records/2026-11-27-matrix.jsonl).
 */
const mostFinished = 8;
const finishedAtOnce = (tuning: ContractionTuning): number => Math.min(mostFinished, rowsOfThread(tuning));

/**
 * Takes the sums to workgroup memory, a row of each subgroup's matrices after the other, and does `use` with each strip of them there. Where
 * it `readsAhead`, other tensors are read before a strip's sums are waited for, while those of the strip before are finished.
 */
export function strips(
  w: ContractionParts,
  { stripStride, lowStrip }: MatrixMemory,
  use: (i: number) => string,
  readsAhead = false,
): string {
  const { tuning } = w;
  const ahead = (i: number): string => (readsAhead ? readStrip(w, i) : '');
  const [rows] = matricesOf(tuning);
  const place = `subgroup_m * ${matrixSize * stripStride} + subgroup_n * ${tuning.columns / 4}`;
  const store = (sum: string, quad: number): string =>
    `subgroupMatrixStore<row_major>(&scratch, u32(${plus(place, quad)}), ${sum}, ${stripStride});`;
  const texts = Array.from({ length: rows }, (_, i) => {
    const own = sumNames(tuning).filter(([, , row]) => row === i);
    return wgsl`
      ${i === 0 ? ahead(0) : ''}
      ${own.map(([high, , , j]) => store(high, (j * matrixSize) / 4)).join('\n')}
      ${own.map(([, low, , j]) => store(low, lowStrip + (j * matrixSize) / 4)).join('\n')}
      workgroupBarrier();
      ${i + 1 < rows ? ahead(i + 1) : ''}
      ${use(i)}
      workgroupBarrier();
    `;
  });
  return texts.join('\n');
}

/**
 * Reads of other tensors, a strip ahead: the lines, and the variable that holds those of a thread's quad q. A step of lm low_rank 1024 512
 * took 19.53 ms on an H100 where they are read as they are needed, 19.44 so (by hand, before this was written so).
 */
function readStrip(w: ContractionParts, i: number): string {
  const { tuning, sizes, functions } = w;
  const lines = Array.from({ length: rowsOfThread(tuning) / 4 }, (_, q) => {
    const { row, offset } = quadPlace(w, q);
    const m = inside(stripRow(w, i, `(${row})`), 0, sizes.m, tuning.tileM);
    const n = quadInside('n', offset, sizes.n, tuning.tileN);
    return `let ${readName(i, q)} = ${functions.readQuad}(batch, ${m}, ${n});`;
  });
  return lines.join('\n');
}

export const readName = (i: number, q: number): string => `reads_${i}_${q}`;

/** WGSL of the position along m of a row of strip i. */
export function stripRow({ tuning }: ContractionParts, i: number, row: string): string {
  return `tile_m + ${row} / ${matrixSize} * ${tuning.rows} + ${i} * ${matrixSize} + ${row} % ${matrixSize}`;
}

/**
 * WGSL of a sum of a strip in workgroup memory, by its row there, high and low put together and the scales taken off. Written out, not a
 * function: Dawn guards accesses by what it does not know the range of, a function's parameters for one.
 */
export function stripSum(
  { stripStride, lowStrip }: MatrixMemory,
  { row, column = 'column' }: { readonly row: string; readonly column?: string },
): string {
  const at = `${row} * ${4 * stripStride} + ${column}`;
  const element = (base: number): string => `scratch[${plus(`(${at}) / 4`, base)}][(${at}) % 4]`;
  return `scaled_f32(${element(0)} + ${element(lowStrip)} * ${lowWeight}, unscaled)`;
}

/** Whether subgroups take whole rows, their lanes single columns of them, 32 apart: where rows are not stored in quads. */
export function takesSubgroupRows(w: ContractionParts): boolean {
  return w.kernel.rowLength !== undefined && !w.storesQuads;
}

/** Neighbouring columns whose sums a thread finishes together: those of a quad of the output, where they are stored so. */
export const columnsOfThread = (w: ContractionParts): number => (w.storesQuads ? 4 : 1);

/** Threads side by side in a row of a strip. */
function threadsAcross(w: ContractionParts): number {
  return w.storesQuads ? quadsAcross(w) : w.tuning.tileN;
}

/** WGSL of a thread's first column in its tile, where it is not its lane's. */
export function columnText(w: ContractionParts): string {
  const columns = columnsOfThread(w);
  return `i32(lane) % ${threadsAcross(w)}${columns === 1 ? '' : ` * ${columns}`}`;
}

/** The row in a strip of a thread's sums r, r + 1 …, as many as it has neighbouring columns. */
function rowText(w: ContractionParts, r: string | number): string {
  const across = threadsAcross(w);
  return `i32(lane) / ${across} + ${r} * ${contractionThreads(w.tuning) / across}`;
}

/** The row of a thread's quad q of a strip, and how far its columns are from the thread's first. */
function quadPlace(w: ContractionParts, q: number) {
  const count = quadsOfRow(w);
  return { row: rowText(w, Math.floor(q / count)), offset: (q % count) * 4 * quadsAcross(w) };
}

/** Quads that a thread has of a row. */
export const quadsOfRow = (w: ContractionParts): number => w.tuning.tileN / 4 / quadsAcross(w);

/** Rows of a strip that a subgroup finishes whole where the epilogue has rows, 32 columns at a time (matrix-rows.ts). */
export function rowsOfSubgroup({ tileN, columns }: ContractionTuning): number {
  return (matrixSize * columns) / tileN;
}

/**
 * Adds the sums to the totals in f32, several at once, as each waits for memory; `isFirst` where there are no totals yet. They are addressed
 * by a number that a compiler cannot know, so that they stay in memory: in registers they would leave too few to the loop over k.
 */
export function addToTotals(w: ContractionParts, memory: MatrixMemory, isFirst: boolean): string {
  const count = rowsOfThread(w.tuning);
  const each = Array.from({ length: addedAtOnce }, (_, c) => c);
  const use = (i: number): string => {
    const total = (c: number): string => `totals[${plus('r', i * count + c)}]`;
    const added = each.flatMap((c) => {
      const { lines, text } = stripValue(w, memory, c);
      return [...lines, `let total_${c} = ${isFirst ? text : `${total(c)} + ${text}`};`];
    });
    return wgsl`
      for (var r = 0; r < ${count} + i32(zero_bits); r += ${addedAtOnce}) {
        ${added.join('\n')}
        ${each.map((c) => `${total(c)} = total_${c};`).join('\n')}
      }
    `;
  };
  return wgsl`
    let unscaled = ${unscaledExponent(w)};
    ${strips(w, memory, use)}
  `;
}

/** WGSL of a thread's sum r + c of a strip, r a multiple of 4; the lines that it needs, where it lies too, before those of the next ones. */
function stripValue(w: ContractionParts, memory: MatrixMemory, c: number) {
  const { tuning } = w;
  const r = c === 0 ? 'r' : `(${plus('r', c)})`;
  if (takesSubgroupRows(w)) {
    const columns = tuning.tileN / matrixLanes;
    const [row, column] = [`row_${c}`, `column_${c}`];
    const lines = [
      `let ${row} = subgroup * ${rowsOfSubgroup(tuning)} + ${r} / ${columns};`,
      `let ${column} = lane_in + ${r} % ${columns} * ${matrixLanes};`,
    ];
    return { lines, text: stripSum(memory, { row, column }) };
  }
  if (columnsOfThread(w) === 1)
    return { lines: [`let row_${c} = ${rowText(w, r)};`], text: stripSum(memory, { row: `row_${c}` }) };
  const q = Math.floor(c / 4);
  const count = quadsOfRow(w);
  const number = `(${plus('r / 4', q)})`;
  const row = rowText(w, count === 1 ? number : `(${number} / ${count})`);
  const quad = count === 1 ? 'column / 4' : `column / 4 + ${number} % ${count} * ${quadsAcross(w)}`;
  const name = `row_${q}`;
  const { line, text } = quadValue(memory, { name: `sums_${q}`, row: name, quad });
  return { lines: c % 4 === 0 ? [`let ${name} = ${row};`, line] : [], text: text(c % 4) };
}

/** Lines that find a thread's quad q, its row and sums in variables that end in a number of their own; WGSL of its row and of each sum. */
export function quadOfStrip(w: ContractionParts, memory: MatrixMemory, q: number, number: number) {
  const { row, offset } = quadPlace(w, q);
  const name = `strip_row_${number}`;
  const quad = plus('column / 4', offset / 4);
  const { line, text } = quadValue(memory, { name: `sums_${number}`, row: name, quad });
  return { lines: [`let ${name} = ${row};`, line], row: name, text };
}

/** The sums of a quad of a strip, high and low put together: the line that defines them, and WGSL of each with the scales taken off. */
function quadValue(
  { stripStride, lowStrip }: MatrixMemory,
  { name, row, quad }: { readonly name: string; readonly row: string; readonly quad: string },
) {
  const at = `${row} * ${stripStride} + ${quad}`;
  return {
    line: `let ${name} = scratch[${at}] + scratch[${plus(at, lowStrip)}] * ${lowWeight};`,
    text: (c: number) => `scaled_f32(${name}.${'xyzw'[c]}, unscaled)`,
  };
}

/** Finishes the sums strip by strip, with the totals of those before where there are any. */
export function finishStrips(
  w: ContractionParts,
  memory: MatrixMemory,
  { readsQuads }: ElementsEnd,
  hasTotals: boolean,
): string {
  return strips(w, memory, (i) => finishStrip(w, memory, i, { hasTotals, readsQuads }), readsQuads);
}

/** Finishes a thread's sums of strip i, several at once: first what they read, then what they write. */
function finishStrip(
  w: ContractionParts,
  memory: MatrixMemory,
  i: number,
  { hasTotals, readsQuads }: { readonly hasTotals: boolean; readonly readsQuads: boolean },
): string {
  const { tuning, sizes } = w;
  const count = rowsOfThread(tuning);
  const atOnce = finishedAtOnce(tuning);
  const columns = columnsOfThread(w);
  const groups = (part: number): string[] =>
    Array.from({ length: atOnce / columns }, (_, at) => {
      const values = Array.from({ length: columns }, (_, c) => stripValue(w, memory, at * columns + c));
      const sums = values.map(({ text }, c) =>
        hasTotals ? `totals[${plus('r', i * count + at * columns + c)}] + ${text}` : text,
      );
      const lines = [...values.flatMap(({ lines }) => lines), `let m_${at} = ${stripRow(w, i, `row_${at}`)};`];
      const m = inside(`m_${at}`, 0, sizes.m, tuning.tileM);
      const reads = readsQuads ? [readName(i, (part * atOnce) / 4 + at)] : [];
      return [...lines, `let f_${at} = ${finishedText(w, m, sums, reads)};`];
    }).flat();
  const puts = Array.from({ length: atOnce / columns }, (_, at) => putText(w, at)).join('\n');
  const parts = count / atOnce;
  if (readsQuads) {
    const blocks = Array.from(
      { length: parts },
      (_, part) => wgsl`
      {
        let r = ${part * atOnce};
        ${groups(part).join('\n')}
        ${puts}
      }
    `,
    );
    return blocks.join('\n');
  }
  return wgsl`
    for (var part = 0; part < ${parts}; part++) {
      let r = part * ${atOnce};
      ${groups(0).join('\n')}
      ${puts}
    }
  `;
}

/** WGSL of the values to store of neighbouring sums. */
function finishedText(w: ContractionParts, m: string, sums: readonly string[], reads: readonly string[]): string {
  const { tuning, sizes, functions } = w;
  if (sums.length === 1)
    return `${functions.finished}(batch, ${m}, ${inside('n', 0, sizes.n, tuning.tileN)}, ${sums[0]})`;
  const n = quadInside('n', 0, sizes.n, tuning.tileN);
  return `${functions.finishedQuad}(${['batch', m, n, `vec4<f32>(${sums.join(', ')})`, ...reads].join(', ')})`;
}

/** Stores what was finished, `at` of those at once. */
function putText(w: ContractionParts, at: number): string {
  const { functions } = w;
  const put = columnsOfThread(w) === 1 ? functions.put : functions.putQuad;
  return guarded(raggedGuards(w, `m_${at}`, 'n'), `${put}(batch, m_${at}, n, f_${at});`);
}
