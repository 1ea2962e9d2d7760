/**
 * The way of the matrix form's sums to the threads that finish them: each subgroup's matrices go through workgroup memory, a strip of
 * their rows at a time, high and low parts put together and the scales taken off.
 */
import { matrixLanes, matrixSize } from '../../target.ts';
import { lowWeight } from '../../wgsl/split-library.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { inside } from './block.ts';
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

/** Sums that a thread finishes at once: first what they read, then what they write (`finishFunctions`). */
const atOnce = 4;

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

/** The row in a strip of a thread's sum r. */
function rowText(tuning: ContractionTuning, r: string): string {
  return `i32(lane) / ${tuning.tileN} + ${r} * ${contractionThreads(tuning) / tuning.tileN}`;
}

/** Rows of a strip that a subgroup finishes whole where the epilogue has rows, 32 columns at a time (matrix-rows.ts). */
export function rowsOfSubgroup({ tileN, columns }: ContractionTuning): number {
  return (matrixSize * columns) / tileN;
}

/**
 * Adds the sums to the totals in f32, several at once, as each waits for memory. They are addressed by a number that a compiler cannot know, so
 * that they stay in memory: in registers they would leave too few to the loop over k.
 */
export function addToTotals(w: ContractionParts, memory: MatrixMemory): string {
  const count = rowsOfThread(w.tuning);
  const each = Array.from({ length: atOnce }, (_, c) => c);
  const added = strips(w, memory, (i) => {
    const total = (c: number): string => `totals[${plus('r', i * count + c)}]`;
    const added = each.flatMap((c) => {
      const { lines, row, column } = totalPlace(w, c);
      return [...lines, `let total_${c} = ${total(c)} + ${stripSum(memory, { row, column })};`];
    });
    return wgsl`
      for (var r = 0; r < ${count} + i32(zero_bits); r += ${atOnce}) {
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

/** Where in its strip a thread's sum r + c lies, and the lines that find it. */
function totalPlace({ tuning, kernel }: ContractionParts, c: number) {
  const r = c === 0 ? 'r' : `(${plus('r', c)})`;
  const [row, column] = [`row_${c}`, `column_${c}`];
  if (kernel.rowLength === undefined) return { lines: [`let ${row} = ${rowText(tuning, r)};`], row, column: 'column' };
  const columns = tuning.tileN / matrixLanes;
  const lines = [
    `let ${row} = subgroup * ${rowsOfSubgroup(tuning)} + ${r} / ${columns};`,
    `let ${column} = lane_in + ${r} % ${columns} * ${matrixLanes};`,
  ];
  return { lines, row, column };
}

/** Finishes the sums strip by strip, with the totals of those before where there are any. */
export function finishStrips(w: ContractionParts, memory: MatrixMemory, hasTotals: boolean): string {
  const count = rowsOfThread(w.tuning);
  return strips(w, memory, (i) =>
    finishStrip(w, i, (c) => {
      const sum = stripSum(memory, { row: `row_${c}` });
      return hasTotals ? `totals[${plus('r', i * count + c)}] + ${sum}` : sum;
    }),
  );
}

/** Finishes a thread's sums of strip i; `value` is that of sum r + c, whose row is `row_c`. */
function finishStrip(w: ContractionParts, i: number, value: (c: number) => string): string {
  const { tuning, sizes, functions } = w;
  const { tileM, tileN, rows } = tuning;
  const [isRaggedM, isRaggedN] = [sizes.m % tileM !== 0, sizes.n % tileN !== 0];
  const each = Array.from({ length: atOnce }, (_, c) => {
    const m = `tile_m + row_${c} / ${matrixSize} * ${rows} + ${i} * ${matrixSize} + row_${c} % ${matrixSize}`;
    const place = `${inside(`m_${c}`, 0, sizes.m, tileM)}, ${inside('n', 0, sizes.n, tileN)}`;
    const guards = [...(isRaggedM ? [`m_${c} < ${sizes.m}`] : []), ...(isRaggedN ? [`n < ${sizes.n}`] : [])];
    return {
      read: [
        `let row_${c} = ${rowText(tuning, c === 0 ? 'r' : `(${plus('r', c)})`)};`,
        `let m_${c} = ${m};`,
        `let f_${c} = ${functions.finished}(batch, ${place}, ${value(c)});`,
      ],
      put: guarded(guards, `${functions.put}(batch, m_${c}, n, f_${c});`),
    };
  });
  return wgsl`
    for (var part = 0; part < ${rowsOfThread(tuning) / atOnce}; part++) {
      let r = part * ${atOnce};
      ${each.flatMap(({ read }) => read).join('\n')}
      ${each.map(({ put }) => put).join('\n')}
    }
  `;
}
