/**
 * How a tile of sums gets to memory where the epilogue reduces rows of it: a norm over a head's features behind the product that makes
 * them, a softmax behind its scores, `Σ_e y · z` behind y. A row lies whole within a tile, its elements with neighbouring threads that
 * tell each other by shuffles.
 *
 *   each element of a row of sums ──stage──▶ values, terms ──reduce──▶ a value a row ──stage──▶ values … ──put──▶ memory
 *
 * The trap: lanes that shuffle must all be there, so what is beyond the output works on clamped positions, takes part in no reduction
 * and is only left out where memory is written.
 */
import { coefficientOf } from '../../../compiler/ir/affine.ts';
import type { Affine } from '../../../compiler/ir/program.ts';
import type { EpilogueStatement } from '../../kernel.ts';
import { joined, type LaneOperator, shuffleFunction } from '../../parts/reducers.ts';
import { shuffledLanes, type Target } from '../../target.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { inside, type SumsPlace, sumOf, sumsArray } from './block.ts';
import type { ContractionParts } from './functions.ts';
import { noneOf, type Step, type Written, writePut, writeRow, writeStage } from './row-functions.ts';
import { type ContractionShape, contractionSizes } from './shape.ts';
import type { ContractionTuning } from './tuning.ts';

/** Whether a tile holds rows of so many elements whole, in threads that can tell each other. */
export function holdsRows(
  s: ContractionShape,
  { form, tileN, columns }: ContractionTuning,
  length: number,
  target: Target,
): boolean {
  const threads = tileN / columns;
  if (form !== 'tiled' || threads > shuffledLanes(target)) return false;
  const inner = s.n.at(-1);
  if (inner === undefined || coefficientOf(s.equation.store[0] as Affine, inner) !== 1) return false;
  if (contractionSizes(s).n === length && length <= tileN) return true;
  const isAligned = threads % length === 0 || (length % threads === 0 && tileN % length === 0);
  return isAligned && s.equation.axes[inner].extent % length === 0;
}

/** The functions that the end of a tile calls, and the text of that end. */
export function finishInRows(w: ContractionParts): {
  readonly functions: readonly string[];
  readonly text: (place: SumsPlace) => string;
} {
  const { kernel, emitter } = w;
  const written: Written = { functions: [], steps: [], elements: new Map(), rows: new Map() };
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
  const stored = [kernel, ...kernel.epilogue].filter((part) => part.stored);
  const isOfRow = (part: object): boolean => 'inRows' in part && (part as EpilogueStatement).inRows?.kind !== 'element';
  const put = writePut(
    w,
    stored.filter((part) => !isOfRow(part)),
    written,
    'put',
  );
  const putRow = writePut(w, stored.filter(isOfRow), written, 'put_row');
  const across = new Map<LaneOperator, string>();
  for (const step of written.steps) {
    if (step.kind !== 'reduce') continue;
    for (const operator of step.found ? [step.operator, 'max' as const] : [step.operator]) {
      if (across.has(operator)) continue;
      if (operator !== 'sum') emitter.use(`${operator}_f32`);
      const name = emitter.global(`across_${operator}`);
      across.set(operator, name);
      written.functions.push(shuffleFunction(operator, name, lanesOfRow(w)));
    }
  }
  return {
    functions: written.functions,
    text: (place) => tileEnd(w, place, written.steps, { put, putRow, across: (operator) => across.get(operator)! }),
  };
}

const threadsOf = ({ tuning }: ContractionParts): number => tuning.tileN / tuning.columns;

/** Neighbouring threads that share a row. */
function lanesOfRow(w: ContractionParts): number {
  const threads = threadsOf(w);
  const length = w.kernel.rowLength!;
  return threads % length === 0 ? length : threads;
}

/** Names of what stores an element and a row, if anything does, and of what reduces over the lanes of a row. */
interface EndFunctions {
  readonly put: string | undefined;
  readonly putRow: string | undefined;
  readonly across: (operator: LaneOperator) => string;
}

/** The end of a tile while it is written: a thread's columns by row, the stages and rows' values that there are by now. */
interface TileEnd {
  readonly w: ContractionParts;
  readonly place: SumsPlace;
  readonly segments: readonly (readonly number[])[];
  readonly stages: string[];
  readonly rows: string[];
  readonly functions: EndFunctions;
}

/** Columns of a thread by the rows that they lie in. */
function segmentsOf(w: ContractionParts, { columnAt }: SumsPlace): readonly (readonly number[])[] {
  const length = w.kernel.rowLength!;
  const isOne = contractionSizes(w.s).n === length;
  const rows = new Map<number, number[]>();
  for (let j = 0; j < w.tuning.columns; j++) {
    const row = isOne ? 0 : lanesOfRow(w) < threadsOf(w) ? j : Math.floor(columnAt(j) / length);
    rows.set(row, [...(rows.get(row) ?? []), j]);
  }
  return [...rows.values()];
}

function tileEnd(w: ContractionParts, place: SumsPlace, steps: readonly Step[], functions: EndFunctions): string {
  const { emitter, tuning, sizes } = w;
  const end: TileEnd = { w, place, segments: segmentsOf(w, place), stages: [], rows: [], functions };
  const lines = steps.flatMap((step) => stepLines(step, end));
  const isRaggedM = sizes.m % tuning.tileM !== 0;
  return wgsl`
    ${sumsArray(w)}
    let n = ${place.n};
    for (var i = 0; i < ${emitter.bound(tuning.rows)}; i++) {
      let ${isRaggedM ? 'row' : 'm'} = ${place.m};
      ${isRaggedM ? `let m = min(row, ${sizes.m - 1});` : ''}
      ${lines.join('\n')}
      ${guarded(isRaggedM ? [`row < ${sizes.m}`] : [], putLines(end).join('\n'))}
    }
  `;
}

function stepLines(step: Step, end: TileEnd): string[] {
  const { w, segments, stages, rows } = end;
  const lines: string[] = [];
  for (const [s, columns] of segments.entries()) {
    switch (step.kind) {
      case 'stage':
        for (const j of columns) {
          const sum = stages.length === 0 ? [sumOf(w, j)] : [];
          const given = ['batch', 'm', columnInside(end, j), ...made(end, j, s), ...sum];
          lines.push(`let ${step.variable}_${j} = ${step.function}(${given.join(', ')});`);
        }
        break;
      case 'row': {
        const given = ['batch', 'm', columnInside(end, columns[0]), ...rows.map((row) => `${row}_${s}`)];
        lines.push(`let ${step.variable}_${s} = ${step.function}(${given.join(', ')});`);
        break;
      }
      case 'reduce':
        lines.push(`let ${step.variable}_${s} = ${reducedText(step, columns, end)};`);
        break;
      default:
        step satisfies never;
    }
  }
  (step.kind === 'stage' ? stages : rows).push(step.variable);
  return lines;
}

/** WGSL of a row's reduction over a thread's columns and the lanes that share the row; 0 where nothing of it is there. */
function reducedText(
  { operator, stage, found }: Extract<Step, { kind: 'reduce' }>,
  columns: readonly number[],
  end: TileEnd,
): string {
  const over = (by: LaneOperator, field: string): string => {
    const none = by === operator ? noneOf(by, end.w) : '0.0';
    const terms = columns.map((j) => {
      const term = `${stage}_${j}.${field}`;
      return isRagged(end) ? `select(${none}, ${term}, ${isThere(end, j)})` : term;
    });
    return `${end.functions.across(by)}(${terms.reduce((a, b) => joined(by, a, b))})`;
  };
  const value = over(operator, 'term');
  return found ? `select(0.0, ${value}, ${over('max', 'found')} > 0.0)` : value;
}

/** Calls that store each of a thread's elements, and by one lane each of its rows. */
function putLines(end: TileEnd): string[] {
  const { w, place, segments, functions } = end;
  const call = (name: string, j: number, s: number): string =>
    `${name}(${['batch', 'm', plus('n', place.columnAt(j)), ...made(end, j, s)].join(', ')});`;
  return segments.flatMap((columns, s) => {
    const { put, putRow } = functions;
    const there = (j: number): string[] => (isRagged(end) ? [isThere(end, j)] : []);
    const [first] = columns;
    const elements = put === undefined ? [] : columns.map((j) => guarded(there(j), call(put, j, s)));
    if (putRow === undefined) return elements;
    return [...elements, guarded([`${place.lane} % ${lanesOfRow(w)} == 0`, ...there(first)], call(putRow, first, s))];
  });
}

/** WGSL of what is known of column j, in segment s. */
function made({ stages, rows }: TileEnd, j: number, s: number): string[] {
  return [...stages.map((stage) => `${stage}_${j}`), ...rows.map((row) => `${row}_${s}`)];
}

const isRagged = ({ w: { sizes, tuning } }: TileEnd): boolean => sizes.n % tuning.tileN !== 0;

const isThere = ({ w, place }: TileEnd, j: number): string => `${plus('n', place.columnAt(j))} < ${w.sizes.n}`;

const columnInside = ({ w, place }: TileEnd, j: number): string =>
  inside('n', place.columnAt(j), w.sizes.n, w.tuning.tileN);
