/**
 * The functions that an epilogue with rows is made of: stages, which make values of an element and the term that it gives to a row's
 * reduction, values of a row out of others, and what stores them.
 */
import { affine, axisIndex, decide, equalAffine, isAffine, substitute } from '../../../compiler/ir/affine.ts';
import { reducedAxes } from '../../../compiler/ir/equation.ts';
import type { Affine, Equation, Load } from '../../../compiler/ir/program.ts';
import type { EpilogueStatement } from '../../kernel.ts';
import { affineText, constraintText } from '../../parts/address.ts';
import { flatIndex, flattenLoads } from '../../parts/linear.ts';
import type { LaneOperator } from '../../parts/reducers.ts';
import { expressionText } from '../../parts/scalar.ts';
import type { Scope } from '../../parts/scope.ts';
import { guarded, wgsl } from '../../wgsl/text.ts';
import { contractedValue, digit, type ElementPlace, guardsOf, placeOf, pointwiseValue, sameElement } from './finish.ts';
import type { ContractionParts } from './functions.ts';
import { givenBy, type QuadReads, type StoredPart } from './quads.ts';

/** One turn of the code that a thread runs for each of its rows of sums, in order. */
export type Step =
  /** Values of each element; `type` holds them. */
  | {
      readonly kind: 'stage';
      readonly function: string;
      readonly type: string;
      readonly variable: string;
      /** Names of what it is given of other tensors (`Written.reads`). */
      readonly reads: readonly string[];
    }
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
export interface Written {
  readonly functions: string[];
  readonly steps: Step[];
  /** An element's value, by tensor. */
  readonly elements: Map<string, ElementValue>;
  /** The variable of a row's value, by tensor. */
  readonly rows: Map<string, string>;
  /** What stages are given of other tensors, where neighbours come and go in quads (contraction/quads.ts). */
  readonly reads: QuadReads | undefined;
}

/** A field of what a stage made. */
export interface ElementValue {
  readonly stage: string;
  readonly field: string;
}

const place3 = ({ names }: ContractionParts): string => `${names.batch}: i32, ${names.m}: i32, ${names.n}: i32`;

const stagesOf = ({ steps }: Written) => steps.filter((step) => step.kind === 'stage');

/** Parameters beyond the place: what the stages before made, and the values of rows. */
function parametersOf(written: Written): string[] {
  const stages = stagesOf(written).map(({ variable, type }) => `${variable}: ${type}`);
  return [...stages, ...[...written.rows.values()].map((name) => `${name}: f32`)];
}

/** A function that makes values of an element, or the term that it gives to a reduction. */
export function writeStage(
  w: ContractionParts,
  statements: readonly (EpilogueStatement | 'contracted')[],
  written: Written,
): void {
  const { emitter, kernel } = w;
  const [name, type, variable] = [emitter.global('stage'), emitter.global('Stage'), emitter.fresh('at_stage')];
  const reads = new Set<string>();
  const { place: found, scope } = placeOf(w);
  const place: ElementPlace = { ...found, given: givenTo(w, written, reads) };
  const parameters = [place3(w), ...parametersOf(written)];
  const made = [...written.elements].map(([tensor, { stage, field }]) => [tensor, `${stage}.${field}`] as const);
  const held = new Map([...made, ...written.rows]);
  const fields: { readonly name: string; readonly value: string }[] = [];
  const keep = (tensor: string, value: string): void => {
    const name = `value_${fields.length}`;
    held.set(tensor, value);
    written.elements.set(tensor, { stage: variable, field: name });
    fields.push({ name, value });
  };
  let reduce: Step | undefined;
  for (const statement of statements) {
    if (statement === 'contracted') {
      const sum = emitter.fresh('sum');
      parameters.push(`${sum}: f32`);
      keep(kernel.tensor, contractedValue(w, sum, place, scope));
    } else if (statement.inRows === undefined) keep(statement.tensor, pointwiseValue(w, statement, place, held));
    else if (statement.inRows.kind === 'element') keep(statement.tensor, inRowsValue(w, statement, { place, held }));
    else {
      const { reducer } = statement.equations[0];
      const operator = reducer as Exclude<typeof reducer, 'logsumexp'>;
      const mayLack = operator !== 'sum' && mayBeEmpty(statement.equations[0]);
      const found = mayLack ? emitter.fresh('found') : undefined;
      const value = inRowsValue(w, statement, { place, held, none: noneOf(operator, w), found });
      const row = emitter.named(statement.tensor, 'value');
      reduce = { kind: 'reduce', operator, stage: variable, found: mayLack, variable: row };
      fields.push({ name: 'term', value }, ...(found === undefined ? [] : [{ name: 'found', value: found }]));
      written.rows.set(statement.tensor, row);
    }
  }
  written.functions.push(
    wgsl`
      struct ${type} {
        ${fields.map((field) => `${field.name}: f32,`).join('\n')}
      }
    `,
    wgsl`
      fn ${name}(${[...parameters, ...[...reads].map((read) => `${read}: f32`)].join(', ')}) -> ${type} {
        ${place.lines.join('\n')}
        return ${type}(${fields.map((field) => field.value).join(', ')});
      }
    `,
  );
  written.steps.push({ kind: 'stage', function: name, type, variable, reads: [...reads] });
  if (reduce !== undefined) written.steps.push(reduce);
}

/** The name of another tensor's element where a stage is given it, noted among its `reads`. */
function givenTo(w: ContractionParts, written: Written, reads: Set<string>): ElementPlace['given'] {
  if (written.reads === undefined) return undefined;
  const given = givenBy(w, written.reads);
  return (tensor) => {
    const name = given(tensor);
    if (name !== undefined) reads.add(name);
    return name;
  };
}

/** Whether a row may have no element in the domain: none is there for sure, neither its first nor its last. */
function mayBeEmpty(equation: Equation): boolean {
  const { axes } = equation;
  const reduced = new Set(reducedAxes(equation));
  const isThere = (indexOf: (axis: number) => number): boolean =>
    guardsOf(equation).every((c) => {
      if (!isAffine(c)) return false;
      const at = substitute(c.affine, (axis) => (reduced.has(axis) ? affine(indexOf(axis)) : axisIndex(axis)));
      return decide({ kind: c.kind, affine: at }, axes) === 'always';
    });
  return !isThere(() => 0) && !isThere((axis) => axes[axis].extent - 1);
}

/** What changes nothing in a reduction. */
export function noneOf(operator: LaneOperator, { emitter }: ContractionParts): string {
  if (operator === 'sum') return '0.0';
  if (operator === 'product') return '1.0';
  emitter.use('infinity_f32');
  return operator === 'max' ? '-infinity_f32()' : 'infinity_f32()';
}

/** A function that makes a row's value out of others of the same row. */
export function writeRow(w: ContractionParts, statement: EpilogueStatement, written: Written): void {
  const name = w.emitter.global('of_row');
  const { place } = placeOf(w);
  const rows = [...written.rows.values()].map((row) => `${row}: f32`);
  const value = inRowsValue(w, statement, { place, held: written.rows });
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
export function writePut(
  w: ContractionParts,
  parts: readonly StoredPart[],
  written: Written,
  word: string,
): string | undefined {
  if (parts.length === 0) return undefined;
  const name = w.emitter.global(word);
  const { place } = placeOf(w);
  const lines = parts.map((part) => {
    const made = written.elements.get(part.tensor);
    const value = made === undefined ? written.rows.get(part.tensor) : `${made.stage}.${made.field}`;
    return `${w.emitter.writes(part.tensor, ownElement(w, part, place))} = ${value};`;
  });
  written.functions.push(wgsl`
    fn ${name}(${[place3(w), ...parametersOf(written)].join(', ')}) {
      ${[...place.lines, ...lines].join('\n')}
    }
  `);
  return name;
}

/** A function that stores four neighbours' values, and which it is given. */
export interface PutQuad {
  readonly name: string;
  readonly values: readonly ElementValue[];
}

export function writePutQuad(w: ContractionParts, parts: readonly StoredPart[], written: Written): PutQuad {
  const name = w.functions.putQuad;
  const { place } = placeOf(w);
  const lines = parts.map(
    (part, i) => `${w.emitter.writesQuad(part.tensor, ownElement(w, part, place))} = value_${i};`,
  );
  written.functions.push(wgsl`
    fn ${name}(${[place3(w), ...parts.map((_, i) => `value_${i}: vec4<f32>`)].join(', ')}) {
      ${[...place.lines, ...lines].join('\n')}
    }
  `);
  return { name, values: parts.map(({ tensor }) => written.elements.get(tensor)!) };
}

/** The element's number by a statement's axes. */
const numberOf = (steps: readonly number[]): Affine =>
  affine(
    0,
    steps.flatMap((coefficient, axis) => (coefficient === 0 ? [] : [{ axis, coefficient }])),
  );

/** The scope of a statement whose axes are digits of the element's number. */
function scopeInRows(
  w: ContractionParts,
  { equation, inRows }: { readonly equation: Equation; readonly inRows: NonNullable<EpilogueStatement['inRows']> },
  place: ElementPlace,
  held: ReadonlyMap<string, string>,
): Scope {
  const { emitter } = w;
  const { steps } = inRows;
  const number = numberOf(steps);
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
    held: (l) => held.get(l.tensor) ?? (isSame(l) ? sameElement(w, l.tensor, place) : undefined),
  };
}

/** Where a statement of rows is computed, and what the variables `held` hold of the same element and row. */
interface InRows {
  readonly place: ElementPlace;
  readonly held: ReadonlyMap<string, string>;
  /** WGSL of the value outside the domain. */
  readonly none?: string;
  /** A variable that is to say whether the domain has the element. */
  readonly found?: string | undefined;
}

/** The value of a statement of rows; the name of its variable. */
function inRowsValue(
  w: ContractionParts,
  statement: EpilogueStatement,
  { place, held, none = '0.0', found }: InRows,
): string {
  const [equation] = statement.equations;
  const scope = scopeInRows(w, { equation, inRows: statement.inRows! }, place, held);
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

/** WGSL of the element of its own tensor that a part stores to. */
function ownElement(w: ContractionParts, { tensor, equations, inRows }: StoredPart, place: ElementPlace): string {
  if (inRows === undefined) return place.element;
  const [equation] = equations;
  const flat = flatIndex(w.emitter.layout(tensor).shape, equation.store)!;
  if (equalAffine(flat, numberOf(inRows.steps))) return place.element;
  return affineText(flat, scopeInRows(w, { equation, inRows }, place, new Map()));
}
