/**
 * The end of the matrix form's tiles where the epilogue reduces rows: of each strip of sums in workgroup memory (matrix-sums.ts) a
 * subgroup takes whole rows, neighbouring lanes neighbouring columns, 32 at a time, so that its lanes alone tell each other.
 */
import { matrixLanes, matrixSize } from '../../target.ts';
import { plus, wgsl } from '../../wgsl/text.ts';
import type { ContractionParts } from './functions.ts';
import type { MatrixMemory } from './matrix-staging.ts';
import { matricesOf, rowsOfSubgroup, stripSum, strips, valuesOfThread } from './matrix-sums.ts';
import type { RowsEnd } from './rows.ts';

/** Rows that a subgroup finishes at once, while the values of one wait for those of the others. */
const mostAtOnce = 4;

/** Of sums that are in workgroup memory strip by strip, with the totals of those before where there are any. */
export function finishStripRows(w: ContractionParts, memory: MatrixMemory, end: RowsEnd, hasTotals: boolean): string {
  const { tuning } = w;
  const columns = tuning.tileN / matrixLanes;
  const inStrip = valuesOfThread(tuning) / matricesOf(tuning)[0];
  return strips(w, memory, (i) =>
    stripRows(w, end, i, (c, j) => {
      const column = j === 0 ? 'lane_in' : `(${plus('lane_in', j * matrixLanes)})`;
      const sum = stripSum(memory, { row: `strip_row_${c}`, column });
      const total = `totals[${plus(`turn * ${atOnce(w) * columns}`, i * inStrip + c * columns + j)}]`;
      return hasTotals ? `${total} + ${sum}` : sum;
    }),
  );
}

const atOnce = ({ tuning }: ContractionParts): number => Math.min(mostAtOnce, rowsOfSubgroup(tuning));

/** Finishes the rows of strip i that are a subgroup's own. */
function stripRows(w: ContractionParts, end: RowsEnd, i: number, sum: (c: number, j: number) => string): string {
  const { tileN, rows } = w.tuning;
  const own = rowsOfSubgroup(w.tuning);
  const count = atOnce(w);
  const turns = own / count;
  const places = Array.from({ length: count }, (_, c) => {
    const row = plus(`subgroup * ${own} + turn * ${count}`, c);
    return `let strip_row_${c} = ${row};`;
  });
  const lines = end.text({
    n: 'n',
    columns: tileN / matrixLanes,
    columnAt: (j) => j * matrixLanes,
    lane: 'lane_in',
    laneRow: 'subgroup',
    atOnce: count,
    turns,
    m: (c) =>
      `tile_m + strip_row_${c} / ${matrixSize} * ${rows} + ${i} * ${matrixSize} + strip_row_${c} % ${matrixSize}`,
    sum,
  });
  return wgsl`
    for (var turn = 0; turn < ${turns}; turn++) {
      ${places.join('\n')}
      ${lines}
    }
  `;
}
