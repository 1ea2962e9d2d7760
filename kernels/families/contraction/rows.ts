/**
 * How a tile of sums gets to memory where the epilogue reduces rows of it: a norm over a head's features behind the product that makes
 * them, a softmax behind its scores, `Σ_e y · z` behind y. A row lies whole within a tile, its elements with neighbouring threads that
 * tell each other by shuffles, and by way of workgroup memory where they are more than those reach (tile-end.ts).
 *
 *   each element of a row of sums ──stage──▶ values, terms ──reduce──▶ a value a row ──stage──▶ values … ──put──▶ memory
 *
 * The trap: lanes that tell each other must all be there, so what is beyond the output works on clamped positions, takes part in no
 * reduction and is only left out where memory is written.
 */
import { coefficientOf } from '../../../compiler/ir/affine.ts';
import type { Affine } from '../../../compiler/ir/program.ts';
import type { EpilogueStatement } from '../../kernel.ts';
import { gatherFunction, type LaneOperator, shuffleFunction } from '../../parts/reducers.ts';
import { shuffledLanes, type Target } from '../../target.ts';
import { plus, wgsl } from '../../wgsl/text.ts';
import { quadReads, readQuads, type SumsPlace, sumOf, sumsArray } from './block.ts';
import { placeOf } from './finish.ts';
import type { ContractionParts } from './functions.ts';
import { isOfRow, isPowerOfTwo, type QuadReads, quadsAcross, readQuadFunctions, storedParts } from './quads.ts';
import { type Written, writePut, writePutQuad, writeRow, writeStage } from './row-functions.ts';
import { type ContractionShape, contractionSizes } from './shape.ts';
import { exchangeQuads, isExchanged, type RowLanes, type RowsPlace, reducersOf, tileEnd } from './tile-end.ts';
import { rowsAtOnce } from './tile-sizes.ts';
import { type ContractionTuning, lanesAcross, lanesTogether, mostWholeLanes } from './tuning.ts';

/** Groups of lanes whose parts of a row each lane reads out of workgroup memory. */
const mostGroups = 16;
/** Rows that are exchanged at once, a quad. */
const rowsExchanged = 4;

/** Whether a tile holds rows of so many elements whole, in threads that can tell each other. */
export function holdsRows(s: ContractionShape, tuning: ContractionTuning, length: number, target: Target): boolean {
  const { form, tileN, rows, slices = 1 } = tuning;
  if (form === 'lanes') {
    const lanes = interleavedLanes(s, tuning, length);
    return lanes !== undefined && lanes <= shuffledLanes(target) && mostWholeLanes(s, tuning) > 0;
  }
  const across = lanesAcross(tuning);
  const together = Math.min(shuffledLanes(target), lanesTogether(tuning));
  if ((form !== 'tiled' && form !== 'matrix') || across > mostGroups * together) return false;
  if (slices > 1 && across > together && rows / slices < rowsExchanged) return false;
  const inner = s.n.at(-1);
  if (inner === undefined || coefficientOf(s.equation.store[0] as Affine, inner) !== 1) return false;
  if (contractionSizes(s).n === length && length <= tileN) return true;
  const isAligned = across % length === 0 || (length % across === 0 && tileN % length === 0);
  return isAligned && s.equation.axes[inner].extent % length === 0;
}

/**
 * How many lanes of the `lanes` form share a row of so many elements: neighbouring batches, side by side in the output, each with all of
 * n, which follow. Undefined where a row is anything else.
 *
 *   y[t, 16·a + b]: b a batch of 16, a in n of 4   →   rows of 64, shared by 16 lanes
 */
function interleavedLanes(s: ContractionShape, tuning: ContractionTuning, length: number): number | undefined {
  const store = s.equation.store[0] as Affine;
  const extentOf = (axis: number): number => s.equation.axes[axis].extent;
  let next = 1;
  const follows = (axis: number): boolean => {
    if (extentOf(axis) > 1 && coefficientOf(store, axis) !== next) return false;
    next *= extentOf(axis);
    return true;
  };
  const longBatch = s.batch.filter((axis) => extentOf(axis) > 1);
  while (next < length && longBatch.length > 0 && follows(longBatch.at(-1)!)) longBatch.pop();
  const lanes = next;
  const isWhole = [...s.n].reverse().every(follows) && contractionSizes(s).n <= tuning.tileN;
  return isWhole && next === length && isPowerOfTwo(lanes) ? lanes : undefined;
}

function rowLanes(w: ContractionParts): RowLanes {
  const { s, tuning, kernel, emitter } = w;
  if (w.storesQuads) {
    const across = quadsAcross(w);
    const ofRow = (4 * across) % kernel.rowLength! === 0 ? kernel.rowLength! / 4 : across;
    return { across, ofRow, shuffled: Math.min(ofRow, lanesTogether(tuning), shuffledLanes(emitter.target)) };
  }
  if (tuning.form === 'lanes') {
    const lanes = interleavedLanes(s, tuning, kernel.rowLength!)!;
    return { across: lanes, ofRow: lanes, shuffled: lanes };
  }
  const across = lanesAcross(tuning);
  const ofRow = across % kernel.rowLength! === 0 ? kernel.rowLength! : across;
  return { across, ofRow, shuffled: Math.min(ofRow, lanesTogether(tuning), shuffledLanes(emitter.target)) };
}

/** The functions that the end of a tile calls, the workgroup memory that it takes, and the text of that end. */
export interface RowsEnd {
  readonly kind: 'rows';
  readonly lanes: RowLanes;
  readonly functions: readonly string[];
  readonly sharedQuads: number;
  /** Whether quads come with what `read_quad` gives of other tensors. */
  readonly readsQuads: boolean;
  readonly text: (place: RowsPlace) => string;
}

export function finishInRows(w: ContractionParts): RowsEnd {
  const { kernel, emitter } = w;
  const reads: QuadReads | undefined = w.storesQuads ? new Map() : undefined;
  const written: Written = { functions: [], steps: [], elements: new Map(), rows: new Map(), reads };
  let pending: (EpilogueStatement | 'contracted')[] = ['contracted'];
  for (const statement of kernel.epilogue) {
    if (statement.inRows?.kind === 'row') {
      if (pending.length > 0) writeStage(w, pending, written);
      pending = [];
      writeRow(w, statement, written);
      continue;
    }
    pending.push(statement);
    if (statement.inRows?.kind === 'reduce') {
      writeStage(w, pending, written);
      pending = [];
    }
  }
  if (pending.length > 0) writeStage(w, pending, written);
  const stored = storedParts(kernel);
  const ofElement = stored.filter((part) => !isOfRow(part));
  const put = reads ? writePutQuad(w, ofElement, written) : writePut(w, ofElement, written, 'put');
  const putRow = writePut(w, stored.filter(isOfRow), written, 'put_row');
  if (reads) {
    const { place } = placeOf(w);
    written.functions.push(...readQuadFunctions(w, { reads, place: place.lines, element: place.element }));
  }
  const lanes = rowLanes(w);
  const names = new Map<string, string>();
  const declare = (word: string, operator: LaneOperator, write: (name: string) => string): void => {
    const name = emitter.global(`${word}_${operator}`);
    names.set(`${word}_${operator}`, name);
    written.functions.push(write(name));
  };
  for (const operator of reducersOf(written.steps)) {
    if (operator !== 'sum') emitter.use(`${operator}_f32`);
    declare('across', operator, (name) => shuffleFunction(operator, name, lanes.shuffled));
    const groups = lanes.ofRow / lanes.shuffled;
    if (isExchanged(lanes)) declare('gathered', operator, (name) => gatherFunction(operator, name, groups));
  }
  const functions = {
    put,
    putRow,
    across: (operator: LaneOperator) => names.get(`across_${operator}`)!,
    gathered: (operator: LaneOperator) => names.get(`gathered_${operator}`)!,
  };
  return {
    kind: 'rows',
    lanes,
    functions: written.functions,
    sharedQuads: exchangeQuads(w, lanes),
    readsQuads: reads !== undefined && reads.size > 0,
    text: (place) => tileEnd(w, place, lanes, written.steps, functions),
  };
}

/**
 * The end of a tile whose sums are in registers, a few rows of them at a time: first all that they read, then all that they write, for a
 * device must think that a store changes what is read after it. More would take registers that the sums' loop needs. Four rows where they
 * are exchanged by way of workgroup memory; one where masks are computed, since so many branches side by side take SwiftShader
 * minutes and all memory to compile.
 */
export function finishRegisters(w: ContractionParts, end: RowsEnd, place: SumsPlace): string {
  const { rows, columns } = w.tuning;
  const few = comparesData(w) ? 1 : Math.min(4, rows, Math.max(1, rowsAtOnce / columns));
  const count = end.sharedQuads > 0 ? rowsExchanged : few;
  const turn = count === 1 ? 'i' : 'turn';
  const first = count === 1 ? turn : `${turn} * ${count}`;
  const lines = end.text({
    ...place,
    columns,
    atOnce: count,
    turns: rows / count,
    m: (c) => plus(place.m(turn, count), c),
    sum: (c, j) => sumOf(w, j, first, c),
    reads: (c, j) => quadReads(c, j >> 2),
  });
  const all = Array.from({ length: count }, (_, c) => plus(place.m(turn, count), c));
  return wgsl`
    ${sumsArray(w)}
    let n = ${place.n};
    for (var ${turn} = 0; ${turn} < ${w.emitter.bound(rows / count)}; ${turn}++) {
      ${end.readsQuads ? readQuads(w, place, all) : ''}
      ${lines}
    }
  `;
}

/** Whether the epilogue compares whole numbers that it must compute. */
function comparesData({ kernel }: ContractionParts): boolean {
  const equations = kernel.epilogue.flatMap((statement) => statement.equations);
  return equations.some(({ domain }) => domain.some(({ kind }) => kind === 'data'));
}
