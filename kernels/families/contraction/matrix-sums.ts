/**
 * The way of the matrix form's sums to the threads that finish them: each subgroup's matrices go through workgroup memory, a strip of
 * their rows at a time, high and low parts put together and the scales taken off.
 */
import { matrixLanes, matrixSize } from '../../target.ts';
import { lowWeight } from '../../wgsl/split-library.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { inside, quadInside } from './block.ts';
import { storesQuads } from './finish.ts';
import type { ContractionParts } from './functions.ts';
import { unscaledExponent } from './matrix-scales.ts';
import type { MatrixMemory } from './matrix-staging.ts';
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
 * Sums that a thread finishes at once: first what they read, then what they write (`finishFunctions`). With 8 in place of 4 an epilogue
 * that reads takes less: 8192×2048×512 with gelu and an addend 306 → 295 µs on an H200, without one the same
 * (test/bench/records/2026-11-27-matrix.jsonl).
 */
const mostFinished = 8;
const finishedAtOnce = (tuning: ContractionTuning): number => Math.min(mostFinished, rowsOfThread(tuning));

/** Takes the sums to workgroup memory, a row of each subgroup's matrices after the other, and does `use` with each strip of them. */
export function strips(
  { tuning }: ContractionParts,
  { stripStride, lowStrip }: MatrixMemory,
  use: (i: number) => string,
): string {
  const [rows] = matricesOf(tuning);
  const place = `subgroup_m * ${matrixSize * stripStride} + subgroup_n * ${tuning.columns / 4}`;
  const store = (sum: string, quad: number): string =>
    `subgroupMatrixStore<row_major>(&scratch, u32(${plus(place, quad)}), ${sum}, ${stripStride});`;
  const texts = Array.from({ length: rows }, (_, i) => {
    const own = sumNames(tuning).filter(([, , row]) => row === i);
    return wgsl`
      ${own.map(([high, , , j]) => store(high, (j * matrixSize) / 4)).join('\n')}
      ${own.map(([, low, , j]) => store(low, lowStrip + (j * matrixSize) / 4)).join('\n')}
      workgroupBarrier();
      ${use(i)}
      workgroupBarrier();
    `;
  });
  return texts.join('\n');
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

/** Neighbouring columns whose sums a thread finishes together: those of a quad of the output, where they are stored so. */
export const columnsOfThread = (w: ContractionParts): number => (storesQuads(w) ? 4 : 1);

/** WGSL of a thread's first column in its tile, where the epilogue has no rows. */
export function columnText(w: ContractionParts): string {
  const columns = columnsOfThread(w);
  return columns === 1 ? `i32(lane) % ${w.tuning.tileN}` : `i32(lane) % ${w.tuning.tileN / columns} * ${columns}`;
}

/** The row in a strip of a thread's sums r, r + 1 …, as many as it has neighbouring columns. */
function rowText(w: ContractionParts, r: string): string {
  const across = w.tuning.tileN / columnsOfThread(w);
  return `i32(lane) / ${across} + ${r} * ${contractionThreads(w.tuning) / across}`;
}

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
  const added = strips(w, memory, (i) => {
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
  });
  return wgsl`
    let unscaled = ${unscaledExponent};
    ${added}
  `;
}

/** WGSL of a thread's sum r + c of a strip, r a multiple of 4; the lines that it needs, where it lies too, before those of the next ones. */
function stripValue(w: ContractionParts, memory: MatrixMemory, c: number) {
  const { tuning, kernel } = w;
  const r = c === 0 ? 'r' : `(${plus('r', c)})`;
  if (kernel.rowLength !== undefined) {
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
  const at = `row_${q} * ${memory.stripStride} + column / 4`;
  const lines = [
    `let row_${q} = ${rowText(w, `(${plus('r / 4', q)})`)};`,
    `let sums_${q} = scratch[${at}] + scratch[${plus(at, memory.lowStrip)}] * ${lowWeight};`,
  ];
  return { lines: c % 4 === 0 ? lines : [], text: `scaled_f32(sums_${q}.${'xyzw'[c % 4]}, unscaled)` };
}

/** Finishes the sums strip by strip, with the totals of those before where there are any. */
export function finishStrips(w: ContractionParts, memory: MatrixMemory, hasTotals: boolean): string {
  return strips(w, memory, (i) => finishStrip(w, memory, i, hasTotals));
}

/** Finishes a thread's sums of strip i, several at once: first what they read, then what they write. */
function finishStrip(w: ContractionParts, memory: MatrixMemory, i: number, hasTotals: boolean): string {
  const { tuning, sizes } = w;
  const count = rowsOfThread(tuning);
  const atOnce = finishedAtOnce(tuning);
  const columns = columnsOfThread(w);
  const groups = Array.from({ length: atOnce / columns }, (_, at) => {
    const values = Array.from({ length: columns }, (_, c) => stripValue(w, memory, at * columns + c));
    const sums = values.map(({ text }, c) =>
      hasTotals ? `totals[${plus('r', i * count + at * columns + c)}] + ${text}` : text,
    );
    const m = `tile_m + row_${at} / ${matrixSize} * ${tuning.rows} + ${i} * ${matrixSize} + row_${at} % ${matrixSize}`;
    const lines = [...values.flatMap(({ lines }) => lines), `let m_${at} = ${m};`];
    return [...lines, `let f_${at} = ${finishedText(w, inside(`m_${at}`, 0, sizes.m, tuning.tileM), sums)};`];
  });
  return wgsl`
    for (var part = 0; part < ${count / atOnce}; part++) {
      let r = part * ${atOnce};
      ${groups.flat().join('\n')}
      ${groups.map((_, at) => putText(w, at)).join('\n')}
    }
  `;
}

/** WGSL of the values to store of neighbouring sums. */
function finishedText(w: ContractionParts, m: string, sums: readonly string[]): string {
  const { tuning, sizes, functions } = w;
  if (sums.length === 1)
    return `${functions.finished}(batch, ${m}, ${inside('n', 0, sizes.n, tuning.tileN)}, ${sums[0]})`;
  const n = quadInside('n', 0, sizes.n, tuning.tileN);
  return `${functions.finishedQuad}(batch, ${m}, ${n}, vec4<f32>(${sums.join(', ')}))`;
}

/** Stores what was finished, `at` of those at once. */
function putText(w: ContractionParts, at: number): string {
  const { tuning, sizes, functions } = w;
  const guards = [
    ...(sizes.m % tuning.tileM === 0 ? [] : [`m_${at} < ${sizes.m}`]),
    ...(sizes.n % tuning.tileN === 0 ? [] : [`n < ${sizes.n}`]),
  ];
  const put = columnsOfThread(w) === 1 ? functions.put : functions.putQuad;
  return guarded(guards, `${put}(batch, m_${at}, n, f_${at});`);
}
