/**
 * The text that takes a tile's sums to memory in rows: what each thread does for the rows that it has a part of, step by step
 * (row-functions.ts), for several rows at once where they should not wait for each other.
 *
 * A row is reduced over a thread's columns, then by shuffles over neighbouring lanes, then, where more lanes than those share it, by
 * way of workgroup memory. Two places there take turns: whoever writes to one has met a barrier since anyone read it.
 */
import { joined, type LaneOperator } from '../../parts/reducers.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { inside } from './block.ts';
import type { ContractionParts } from './functions.ts';
import { type ElementValue, noneOf, type PutQuad, type Step } from './row-functions.ts';
import { contractionThreads } from './tuning.ts';

/** Where the sums lie that a thread takes to memory in rows. */
export interface RowsPlace {
  /** WGSL of the thread's first column; column j of so many lies `columnAt(j)` further. */
  readonly n: string;
  readonly columns: number;
  readonly columnAt: (j: number) => number;
  /** WGSL of the thread's number among those side by side in a row of the tile, and of its number from one such row to the next. */
  readonly lane: string;
  readonly laneRow: string;
  /** Rows at once, by numbers c, and in how many turns: WGSL of a row's position along m and of its sum in column j. */
  readonly atOnce: number;
  readonly turns: number;
  readonly m: (c: number) => string;
  readonly sum: (c: number, j: number) => string;
  /** The variable that holds what was read for the quad of column j of row c, where `read_quad` is there. */
  readonly reads?: (c: number, j: number) => string;
}

/** Lanes side by side in a row of the tile; those that share a row of the epilogue; of these those that can tell each other by shuffles. */
export interface RowLanes {
  readonly across: number;
  readonly ofRow: number;
  readonly shuffled: number;
}

/** Names of what stores an element and a row, if anything does, and of what reduces over lanes that share a row. */
export interface EndFunctions {
  readonly put: string | PutQuad | undefined;
  readonly putRow: string | undefined;
  /** By shuffles. */
  readonly across: (operator: LaneOperator) => string;
  /** Over what all groups of such lanes have put into workgroup memory, four rows in a quad. */
  readonly gathered: (operator: LaneOperator) => string;
}

/** The end of a tile while it is written: a thread's columns by row, the stages and rows' values that there are by now. */
interface TileEnd {
  readonly w: ContractionParts;
  readonly place: RowsPlace;
  readonly lanes: RowLanes;
  readonly functions: EndFunctions;
  readonly segments: readonly (readonly number[])[];
  readonly stages: string[];
  readonly rows: string[];
  /** Exchanges by way of workgroup memory in a turn, counted before they are written. */
  readonly exchanges: number;
  exchanged: number;
}

type Reduce = Extract<Step, { kind: 'reduce' }>;

const operatorsOf = ({ operator, found }: Reduce): readonly LaneOperator[] => (found ? [operator, 'max'] : [operator]);

/** Operators that the steps reduce by. */
export function reducersOf(steps: readonly Step[]): ReadonlySet<LaneOperator> {
  return new Set(steps.flatMap((step) => (step.kind === 'reduce' ? operatorsOf(step) : [])));
}

export const isExchanged = ({ ofRow, shuffled }: RowLanes): boolean => ofRow > shuffled;

/** Quads of workgroup memory that rows are exchanged through. */
export function exchangeQuads({ tuning }: ContractionParts, lanes: RowLanes): number {
  return isExchanged(lanes) ? (2 * contractionThreads(tuning)) / lanes.shuffled : 0;
}

export function tileEnd(
  w: ContractionParts,
  place: RowsPlace,
  lanes: RowLanes,
  steps: readonly Step[],
  functions: EndFunctions,
): string {
  const segments = segmentsOf(w, place);
  const reductions = steps.flatMap((step) => (step.kind === 'reduce' ? operatorsOf(step) : [])).length;
  const exchanges = isExchanged(lanes) ? reductions * segments.length : 0;
  const end: TileEnd = { w, place, lanes, functions, segments, stages: [], rows: [], exchanges, exchanged: 0 };
  const lines = [
    ...(exchanges > 0 ? exchangePlaces(end) : []),
    ...eachRow(end, (c) => rowPlace(end, c)),
    ...steps.flatMap((step) => stepLines(step, end)),
    ...eachRow(end, (c) => [
      guarded(isRaggedM(end) ? [`row${suffix(end, c)} < ${w.sizes.m}`] : [], putLines(end, c).join('\n')),
    ]),
  ];
  return lines.join('\n');
}

const eachRow = ({ place }: TileEnd, text: (c: number) => readonly string[]): string[] =>
  Array.from({ length: place.atOnce }, (_, c) => text(c)).flat();

/** What tells names of one row from those of the others that are done at once. */
const suffix = ({ place }: TileEnd, c: number): string => (place.atOnce === 1 ? '' : `_${c}`);

function rowPlace(end: TileEnd, c: number): string[] {
  const { sizes } = end.w;
  const of = suffix(end, c);
  if (!isRaggedM(end)) return [`let m${of} = ${end.place.m(c)};`];
  return [`let row${of} = ${end.place.m(c)};`, `let m${of} = min(row${of}, ${sizes.m - 1});`];
}

/** Columns of a thread by the rows that they lie in. */
function segmentsOf(w: ContractionParts, place: RowsPlace): readonly (readonly number[])[] {
  const length = w.kernel.rowLength!;
  const isOne = w.sizes.n === length;
  const rows = new Map<number, number[]>();
  for (let j = 0; j < place.columns; j++) {
    const row = isOne ? 0 : Math.floor(place.columnAt(j) / length);
    rows.set(row, [...(rows.get(row) ?? []), j]);
  }
  return [...rows.values()];
}

function stepLines(step: Step, end: TileEnd): string[] {
  const { segments, stages, rows } = end;
  const lines = segments.flatMap((columns, s) => {
    switch (step.kind) {
      case 'stage':
        return eachRow(end, (c) => columns.map((j) => stageLine(step, end, { c, j, s })));
      case 'row':
        return eachRow(end, (c) => {
          const given = ['batch', `m${suffix(end, c)}`, columnInside(end, columns[0]), ...namesOf(rows, end, c, s)];
          return [`let ${step.variable}${suffix(end, c)}_${s} = ${step.function}(${given.join(', ')});`];
        });
      case 'reduce':
        return reduceLines(step, columns, s, end);
      default:
        return step satisfies never;
    }
  });
  (step.kind === 'stage' ? stages : rows).push(step.variable);
  return lines;
}

/** Row c of those done at once, column j of the thread, in segment s. */
interface Spot {
  readonly c: number;
  readonly j: number;
  readonly s: number;
}

function stageLine(step: Extract<Step, { kind: 'stage' }>, end: TileEnd, { c, j, s }: Spot): string {
  const sum = end.stages.length === 0 ? [end.place.sum(c, j)] : [];
  const reads = step.reads.map((name) => `${end.place.reads!(c, j)}.${name}.${'xyzw'[j % 4]}`);
  const given = ['batch', `m${suffix(end, c)}`, columnInside(end, j), ...made(end, { c, j, s }), ...sum, ...reads];
  return `let ${step.variable}${suffix(end, c)}_${j} = ${step.function}(${given.join(', ')});`;
}

/** The values of rows c in segment s; 0 where nothing of a row is there. */
function reduceLines(step: Reduce, columns: readonly number[], s: number, end: TileEnd): string[] {
  const { operator, found, variable } = step;
  const over = overRow(step, columns, s, end, operator, 'term');
  const anyFound = found ? overRow(step, columns, s, end, 'max', 'found') : undefined;
  const values = eachRow(end, (c) => {
    const value = anyFound === undefined ? over.value(c) : `select(0.0, ${over.value(c)}, ${anyFound.value(c)} > 0.0)`;
    return [`let ${variable}${suffix(end, c)}_${s} = ${value};`];
  });
  return [...over.lines, ...(anyFound?.lines ?? []), ...values];
}

/** A reduction of a field of the stage's, over a thread's columns and all lanes that share the row: lines, and WGSL of row c's value. */
function overRow(
  { stage, variable, operator }: Reduce,
  columns: readonly number[],
  s: number,
  end: TileEnd,
  by: LaneOperator,
  field: 'term' | 'found',
): { readonly lines: readonly string[]; readonly value: (c: number) => string } {
  const none = by === operator && field === 'term' ? noneOf(by, end.w) : '0.0';
  const shuffled = (c: number): string => {
    const terms = columns.map((j) => {
      const term = `${stage}${suffix(end, c)}_${j}.${field}`;
      return isRaggedN(end) ? `select(${none}, ${term}, ${isThere(end, j)})` : term;
    });
    return `${end.functions.across(by)}(${terms.reduce((a, b) => joined(by, a, b))})`;
  };
  if (!isExchanged(end.lanes)) return { lines: [], value: shuffled };
  const name = `${field === 'term' ? variable : `${variable}_found`}s_${s}`;
  const slot = exchangeSlot(end);
  const quad = Array.from({ length: end.place.atOnce }, (_, c) => `part_${c}`);
  end.exchanged += 1;
  return {
    lines: [
      wgsl`
        {
          ${quad.map((part, c) => `let ${part} = ${shuffled(c)};`).join('\n')}
          if (${end.place.lane} % ${end.lanes.shuffled} == 0) { scratch[own_quad${slot}] = vec4<f32>(${quad.join(', ')}); }
        }
        workgroupBarrier();
        let ${name} = ${end.functions.gathered(by)}(first_quad${slot});
      `,
    ],
    value: (c) => `${name}.${'xyzw'[c]}`,
  };
}

/** Where a thread's lanes put what they have, and where the first that share its rows do. */
function exchangePlaces({ w, place, lanes }: TileEnd): string[] {
  const { across, ofRow, shuffled } = lanes;
  const base = `${w.sideBySide === 1 ? '' : 'scratch_from + '}${place.laneRow} * ${across / shuffled}`;
  const first = ofRow === across ? '' : ` + ${place.lane} / ${ofRow} * ${ofRow / shuffled}`;
  return [`let own_quad = ${base} + ${place.lane} / ${shuffled};`, `let first_quad = ${base}${first};`];
}

/** WGSL of the offset of the next exchange's place, one of two. */
function exchangeSlot({ w, place, lanes, exchanges, exchanged }: TileEnd): string {
  const quads = contractionThreads(w.tuning) / lanes.shuffled;
  if (exchanges % 2 === 1 && place.turns > 1) return ` + (turn + ${exchanged}) % 2 * ${quads}`;
  return exchanged % 2 === 0 ? '' : ` + ${quads}`;
}

/** Calls that store each of a thread's elements of row c, and by one lane each of its rows. */
function putLines(end: TileEnd, c: number): string[] {
  const { place, segments, functions, lanes } = end;
  const callWith = (name: string, j: number, values: readonly string[]): string =>
    `${name}(${['batch', `m${suffix(end, c)}`, plus('n', place.columnAt(j)), ...values].join(', ')});`;
  const call = (name: string, j: number, s: number): string => callWith(name, j, made(end, { c, j, s }));
  const quad = ({ stage, field }: ElementValue, j: number): string =>
    `vec4<f32>(${[0, 1, 2, 3].map((i) => `${stage}${suffix(end, c)}_${j + i}.${field}`).join(', ')})`;
  const putCall = (put: string | PutQuad, j: number, s: number): string[] => {
    if (typeof put === 'string') return [call(put, j, s)];
    if (j % 4 !== 0) return [];
    const values = put.values.map((value) => quad(value, j));
    return [callWith(put.name, j, values)];
  };
  return segments.flatMap((columns, s) => {
    const { put, putRow } = functions;
    const there = (j: number): string[] => (isRaggedN(end) ? [isThere(end, j)] : []);
    const [first] = columns;
    const elements =
      put === undefined ? [] : columns.flatMap((j) => putCall(put, j, s).map((text) => guarded(there(j), text)));
    if (putRow === undefined) return elements;
    return [...elements, guarded([`${place.lane} % ${lanes.ofRow} == 0`, ...there(first)], call(putRow, first, s))];
  });
}

/** WGSL of what is known of an element. */
function made(end: TileEnd, { c, j, s }: Spot): string[] {
  return [...namesOf(end.stages, end, c, j), ...namesOf(end.rows, end, c, s)];
}

const namesOf = (variables: readonly string[], end: TileEnd, c: number, at: number): string[] =>
  variables.map((variable) => `${variable}${suffix(end, c)}_${at}`);

const isRaggedM = ({ w: { sizes, tuning } }: TileEnd): boolean => sizes.m % tuning.tileM !== 0;
const isRaggedN = ({ w: { sizes, tuning } }: TileEnd): boolean => sizes.n % tuning.tileN !== 0;

const isThere = ({ w, place }: TileEnd, j: number): string => `${plus('n', place.columnAt(j))} < ${w.sizes.n}`;

const columnInside = ({ w, place }: TileEnd, j: number): string =>
  inside('n', place.columnAt(j), w.sizes.n, w.tuning.tileN);
