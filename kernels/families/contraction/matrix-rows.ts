/**
 * The end of the matrix form's tiles where the epilogue reduces rows: of each strip of sums in workgroup memory (matrix-sums.ts) a
 * subgroup takes whole rows, so that its lanes alone tell each other. Lanes have neighbouring quads of columns where rows are stored so: of
 * 8192×512×512, three with two norms and one product in one dispatch, 213 → 193 µs on an H100 (test/bench/records/2026-11-28-ends-2.jsonl).
 * Otherwise neighbouring columns, 32 at a time.
 */
import { matrixLanes } from '../../target.ts';
import { plus, wgsl } from '../../wgsl/text.ts';
import type { ContractionParts } from './functions.ts';
import type { MatrixMemory } from './matrix-staging.ts';
import {
  matricesOf,
  quadOfStrip,
  quadsOfRow,
  readName,
  rowsOfSubgroup,
  stripRow,
  stripSum,
  strips,
  takesSubgroupRows,
  valuesOfThread,
} from './matrix-sums.ts';
import { quadsAcross } from './quads.ts';
import type { RowsEnd } from './rows.ts';

/** Rows that a lane finishes at once, while the values of one wait for those of the others. */
const mostAtOnce = 4;

/** Of sums that are in workgroup memory strip by strip, with the totals of those before where there are any. */
export function finishStripRows(w: ContractionParts, memory: MatrixMemory, end: RowsEnd, hasTotals: boolean): string {
  const rows = takesSubgroupRows(w) ? subgroupRows : quadRows;
  return strips(w, memory, (i) => rows(w, memory, i, { end, hasTotals }), end.readsQuads);
}

interface StripEnd {
  readonly end: RowsEnd;
  readonly hasTotals: boolean;
}

/** Finishes a thread's quads of strip i, as many rows of them at once as `mostAtOnce`. */
function quadRows(w: ContractionParts, memory: MatrixMemory, i: number, { end, hasTotals }: StripEnd): string {
  const ofRow = quadsOfRow(w);
  const inStrip = valuesOfThread(w.tuning) / matricesOf(w.tuning)[0];
  const rows = inStrip / 4 / ofRow;
  const count = Math.min(mostAtOnce, rows);
  const across = 4 * quadsAcross(w);
  const turns = Array.from({ length: rows / count }, (_, turn) => {
    const first = turn * count * ofRow;
    const quads = Array.from({ length: count * ofRow }, (_, at) => quadOfStrip(w, memory, first + at, at));
    const at = (c: number, j: number): number => c * ofRow + (j >> 2);
    const lines = end.text({
      n: 'n',
      columns: 4 * ofRow,
      columnAt: (j) => (j >> 2) * across + (j % 4),
      lane: 'lane_in',
      laneRow: 'subgroup',
      atOnce: count,
      turns: rows / count,
      m: (c) => stripRow(w, i, quads[c * ofRow].row),
      sum: (c, j) => {
        const sum = quads[at(c, j)].text(j % 4);
        return hasTotals ? `totals[${i * inStrip + 4 * (first + at(c, j)) + (j % 4)}] + ${sum}` : sum;
      },
      reads: (c, j) => readName(i, first + at(c, j)),
    });
    return wgsl`
      {
        ${quads.flatMap(({ lines }) => lines).join('\n')}
        ${lines}
      }
    `;
  });
  return turns.join('\n');
}

/** Finishes the rows of strip i that are a subgroup's own. */
function subgroupRows(w: ContractionParts, memory: MatrixMemory, i: number, { end, hasTotals }: StripEnd): string {
  const own = rowsOfSubgroup(w.tuning);
  const columns = w.tuning.tileN / matrixLanes;
  const inStrip = valuesOfThread(w.tuning) / matricesOf(w.tuning)[0];
  const count = Math.min(mostAtOnce, own);
  const turns = own / count;
  const places = Array.from({ length: count }, (_, c) => {
    const row = plus(`subgroup * ${own} + turn * ${count}`, c);
    return `let strip_row_${c} = ${row};`;
  });
  const lines = end.text({
    n: 'n',
    columns,
    columnAt: (j) => j * matrixLanes,
    lane: 'lane_in',
    laneRow: 'subgroup',
    atOnce: count,
    turns,
    m: (c) => stripRow(w, i, `strip_row_${c}`),
    sum: (c, j) => {
      const column = j === 0 ? 'lane_in' : `(${plus('lane_in', j * matrixLanes)})`;
      const sum = stripSum(memory, { row: `strip_row_${c}`, column });
      const total = `totals[${plus(`turn * ${count * columns}`, i * inStrip + c * columns + j)}]`;
      return hasTotals ? `${total} + ${sum}` : sum;
    },
  });
  return wgsl`
    for (var turn = 0; turn < ${turns}; turn++) {
      ${places.join('\n')}
      ${lines}
    }
  `;
}
