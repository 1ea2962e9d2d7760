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
import { affine, coefficientOf, equalAffine } from '../../../compiler/ir/affine.ts';
import type { Affine, Equation, Load } from '../../../compiler/ir/program.ts';
import type { EpilogueStatement } from '../../kernel.ts';
import { affineText, constraintText, elementText } from '../../parts/address.ts';
import { flatIndex, flattenLoads } from '../../parts/linear.ts';
import { joined, type LaneOperator, shuffleFunction } from '../../parts/reducers.ts';
import { expressionText } from '../../parts/scalar.ts';
import type { Scope } from '../../parts/scope.ts';
import { shuffledLanes, type Target } from '../../target.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { inside, type SumsPlace, sumOf, sumsArray } from './block.ts';
import { contractedValue, digit, type ElementPlace, guardsOf, placeOf, pointwiseValue } from './finish.ts';
import type { ContractionParts } from './functions.ts';
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

/** One turn of the code that a thread runs for each of its rows of sums, in order. */
type Step =
  /** Values of each element; `type` holds them. */
  | { readonly kind: 'stage'; readonly function: string; readonly type: string; readonly variable: string }
  /** A value of each row out of the terms that a stage made; `found` counts those that are there, if any may be missing. */
  | {
      readonly kind: 'reduce';
      readonly operator: LaneOperator;
      readonly stage: string;
      readonly found: boolean;
      readonly variable: string;
    }
  /** A value of each row out of others. */
  | { readonly kind: 'row'; readonly function: string; readonly variable: string };

/** What the statements so far have made: functions, and the order in which they are called. */
interface Written {
  readonly functions: string[];
  readonly steps: Step[];
  /** WGSL of an element's value in a later function, by tensor. */
  readonly elements: Map<string, string>;
  /** The variable of a row's value, by tensor. */
  readonly rows: Map<string, string>;
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

const place3 = ({ names }: ContractionParts): string => `${names.batch}: i32, ${names.m}: i32, ${names.n}: i32`;

const stagesOf = ({ steps }: Written) => steps.filter((step) => step.kind === 'stage');

/** Parameters beyond the place: what the stages before made, and the values of rows. */
function parametersOf(written: Written): string[] {
  const stages = stagesOf(written).map(({ variable, type }) => `${variable}: ${type}`);
  return [...stages, ...[...written.rows.values()].map((name) => `${name}: f32`)];
}

/** A function that makes values of an element, or the term that it gives to a reduction. */
function writeStage(
  w: ContractionParts,
  statements: readonly (EpilogueStatement | 'contracted')[],
  written: Written,
): void {
  const { emitter, kernel } = w;
  const [name, type, variable] = [emitter.global('stage'), emitter.global('Stage'), emitter.fresh('at_stage')];
  const { place, scope } = placeOf(w);
  const parameters = [place3(w), ...parametersOf(written)];
  const held = new Map([...written.elements, ...written.rows]);
  const fields: string[] = [];
  const keep = (tensor: string, value: string): void => {
    held.set(tensor, value);
    written.elements.set(tensor, `${variable}.value_${fields.length}`);
    fields.push(value);
  };
  let reduce: Step | undefined;
  for (const statement of statements) {
    if (statement === 'contracted') {
      const sum = emitter.fresh('sum');
      parameters.push(`${sum}: f32`);
      keep(kernel.tensor, contractedValue(w, sum, place, scope));
    } else if (statement.inRows === undefined) keep(statement.tensor, pointwiseValue(w, statement, place, held));
    else if (statement.inRows.kind === 'element') keep(statement.tensor, inRowsValue(w, statement, place, held, '0.0'));
    else {
      const { reducer } = statement.equations[0];
      const operator = reducer as Exclude<typeof reducer, 'logsumexp'>;
      const found =
        operator !== 'sum' && guardsOf(statement.equations[0]).length > 0 ? emitter.fresh('found') : undefined;
      const value = inRowsValue(w, statement, place, held, noneOf(operator, w), found);
      const row = emitter.named(statement.tensor, 'value');
      reduce = { kind: 'reduce', operator, stage: variable, found: found !== undefined, variable: row };
      fields.push(value, ...(found === undefined ? [] : [found]));
      written.rows.set(statement.tensor, row);
    }
  }
  const isOf = (field: number): string =>
    reduce?.kind !== 'reduce' || field < fields.length - (reduce.found ? 2 : 1)
      ? `value_${field}`
      : field === fields.length - 1 && reduce.found
        ? 'found'
        : 'term';
  written.functions.push(
    wgsl`
      struct ${type} {
        ${fields.map((_, i) => `${isOf(i)}: f32,`).join('\n')}
      }
    `,
    wgsl`
      fn ${name}(${parameters.join(', ')}) -> ${type} {
        ${place.lines.join('\n')}
        return ${type}(${fields.join(', ')});
      }
    `,
  );
  written.steps.push({ kind: 'stage', function: name, type, variable });
  if (reduce !== undefined) written.steps.push(reduce);
}

/** What changes nothing in a reduction. */
function noneOf(operator: LaneOperator, { emitter }: ContractionParts): string {
  if (operator === 'sum') return '0.0';
  if (operator === 'product') return '1.0';
  emitter.use('infinity_f32');
  return operator === 'max' ? '-infinity_f32()' : 'infinity_f32()';
}

/** A function that makes a row's value out of others of the same row. */
function writeRow(w: ContractionParts, statement: EpilogueStatement, written: Written): void {
  const name = w.emitter.global('of_row');
  const { place } = placeOf(w);
  const rows = [...written.rows.values()].map((row) => `${row}: f32`);
  const value = inRowsValue(w, statement, place, written.rows, '0.0');
  written.functions.push(wgsl`
    fn ${name}(${[place3(w), ...rows].join(', ')}) -> f32 {
      ${place.lines.join('\n')}
      return ${value};
    }
  `);
  const variable = w.emitter.named(statement.tensor, 'value');
  written.rows.set(statement.tensor, variable);
  written.steps.push({ kind: 'row', function: name, variable });
}

/** A function that stores values of an element, or of its row; undefined where there are none. */
function writePut(
  w: ContractionParts,
  parts: readonly { readonly tensor: string; readonly inRows?: EpilogueStatement['inRows'] }[],
  written: Written,
  word: string,
): string | undefined {
  if (parts.length === 0) return undefined;
  const name = w.emitter.global(word);
  const { place } = placeOf(w);
  const lines = parts.map(({ tensor, inRows }) => {
    const statement = w.kernel.epilogue.find((s) => s.tensor === tensor);
    const at = inRows === undefined ? place.element : ownElement(w, statement!, place);
    return `${w.emitter.writes(tensor, at)} = ${written.elements.get(tensor) ?? written.rows.get(tensor)};`;
  });
  written.functions.push(wgsl`
    fn ${name}(${[place3(w), ...parametersOf(written)].join(', ')}) {
      ${[...place.lines, ...lines].join('\n')}
    }
  `);
  return name;
}

/** The scope of a statement whose axes are digits of the element's number. */
function scopeInRows(
  w: ContractionParts,
  { equations: [equation], inRows }: EpilogueStatement,
  place: ElementPlace,
  held: ReadonlyMap<string, string>,
): Scope {
  const { emitter } = w;
  const { steps } = inRows!;
  const number = affine(
    0,
    steps.flatMap((coefficient, axis) => (coefficient === 0 ? [] : [{ axis, coefficient }])),
  );
  const isSame = (l: Load): boolean => {
    const flat = flatIndex(emitter.layout(l.tensor).shape, l.indices);
    return flat !== undefined && equalAffine(flat, number);
  };
  return {
    emitter,
    axis: (axis) => {
      const { extent, name } = equation.axes[axis];
      return extent === 1 ? '0' : digit(w, place, { step: steps[axis], extent, name });
    },
    axes: equation.axes,
    held: (l) => held.get(l.tensor) ?? (isSame(l) ? elementText(l.tensor, place.element, emitter) : undefined),
  };
}

/** The value of a statement of rows, `none` outside its domain; the name of its variable. */
function inRowsValue(
  w: ContractionParts,
  statement: EpilogueStatement,
  place: ElementPlace,
  held: ReadonlyMap<string, string>,
  none: string,
  found?: string,
): string {
  const [equation] = statement.equations;
  const scope = scopeInRows(w, statement, place, held);
  const name = w.emitter.value(statement.tensor, true);
  const guards = guardsOf(equation).map((c) => constraintText(c, scope));
  const value = expressionText(flattenLoads(equation, (t) => w.emitter.layout(t)).value, scope);
  if (guards.length === 0) place.lines.push(`let ${name} = ${value};`);
  else {
    place.lines.push(`var ${name} = ${none};`);
    if (found !== undefined) place.lines.push(`var ${found} = 0.0;`);
    place.lines.push(
      guarded(guards, [`${name} = ${value};`, ...(found === undefined ? [] : [`${found} = 1.0;`])].join('\n')),
    );
  }
  return name;
}

/** WGSL of the element of its own tensor that a statement of rows stores to. */
function ownElement(w: ContractionParts, statement: EpilogueStatement, place: ElementPlace): string {
  const [equation] = statement.equations as readonly [Equation];
  const flat = flatIndex(w.emitter.layout(statement.tensor).shape, equation.store)!;
  return affineText(flat, scopeInRows(w, statement, place, new Map()));
}

interface Names {
  readonly put: string | undefined;
  readonly putRow: string | undefined;
  readonly across: (operator: LaneOperator) => string;
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

function tileEnd(w: ContractionParts, place: SumsPlace, steps: readonly Step[], names: Names): string {
  const { emitter, tuning, sizes } = w;
  const segments = segmentsOf(w, place);
  const isRagged = sizes.n % tuning.tileN !== 0;
  const column = (j: number): string => inside('n', place.columnAt(j), sizes.n, tuning.tileN);
  const isThere = (j: number): string => `${plus('n', place.columnAt(j))} < ${sizes.n}`;
  const lines: string[] = [];
  const stages: string[] = [];
  const rows: string[] = [];
  const known = (j: number, segment: number): string[] => [
    ...stages.map((stage) => `${stage}_${j}`),
    ...rows.map((row) => `${row}_${segment}`),
  ];
  for (const step of steps) {
    if (step.kind === 'stage') {
      for (const [s, columns] of segments.entries())
        for (const j of columns) {
          const sum = stages.length === 0 ? [sumOf(w, j)] : [];
          const given = ['batch', 'm', column(j), ...known(j, s), ...sum];
          lines.push(`let ${step.variable}_${j} = ${step.function}(${given.join(', ')});`);
        }
      stages.push(step.variable);
      continue;
    }
    for (const [s, columns] of segments.entries()) {
      if (step.kind === 'row') {
        const given = ['batch', 'm', column(columns[0]), ...rows.map((row) => `${row}_${s}`)];
        lines.push(`let ${step.variable}_${s} = ${step.function}(${given.join(', ')});`);
        continue;
      }
      const { operator, stage, found } = step;
      const over = (by: LaneOperator, field: string): string => {
        const none = by === operator ? noneOf(by, w) : '0.0';
        const terms = columns.map((j) => {
          const term = `${stage}_${j}.${field}`;
          return isRagged ? `select(${none}, ${term}, ${isThere(j)})` : term;
        });
        return `${names.across(by)}(${terms.reduce((a, b) => joined(by, a, b))})`;
      };
      const value = over(operator, 'term');
      const result = found ? `select(0.0, ${value}, ${over('max', 'found')} > 0.0)` : value;
      lines.push(`let ${step.variable}_${s} = ${result};`);
    }
    rows.push(step.variable);
  }
  const { put, putRow } = names;
  const puts: string[] = [];
  for (const [s, columns] of segments.entries()) {
    for (const j of columns) {
      if (put === undefined) continue;
      const text = `${put}(${['batch', 'm', plus('n', place.columnAt(j)), ...known(j, s)].join(', ')});`;
      puts.push(guarded(isRagged ? [isThere(j)] : [], text));
    }
    if (putRow === undefined) continue;
    const [j] = columns;
    const text = `${putRow}(${['batch', 'm', plus('n', place.columnAt(j)), ...known(j, s)].join(', ')});`;
    puts.push(guarded([`${place.lane} % ${lanesOfRow(w)} == 0`, ...(isRagged ? [isThere(j)] : [])], text));
  }
  const isRaggedM = sizes.m % tuning.tileM !== 0;
  return wgsl`
    ${sumsArray(w)}
    let n = ${place.n};
    for (var i = 0; i < ${emitter.bound(tuning.rows)}; i++) {
      let ${isRaggedM ? 'row' : 'm'} = ${place.m};
      ${isRaggedM ? `let m = min(row, ${sizes.m - 1});` : ''}
      ${lines.join('\n')}
      ${guarded(isRaggedM ? [`row < ${sizes.m}`] : [], puts.join('\n'))}
    }
  `;
}
