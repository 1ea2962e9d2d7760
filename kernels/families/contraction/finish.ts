/**
 * The WGSL functions that take the sums of a contraction to memory: through scale, mask, addends and epilogue; four neighbours at once
 * where they lie in quads (contraction/quads.ts).
 *
 * The trap: a device must think that a store changes what is read after it, so a thread that reads and stores sum by sum waits for
 * memory each time. Where it has many, it reads for a row of them first.
 */
import { decide, equalAffine } from '../../../compiler/ir/affine.ts';
import { type Affine, type Constraint, type Equation, elementCount, type Load } from '../../../compiler/ir/program.ts';
import type { Statement } from '../../kernel.ts';
import { affineText, constraintText, elementText } from '../../parts/address.ts';
import { flatIndex, flattenLoads, strides } from '../../parts/linear.ts';
import { expressionText, multiplied } from '../../parts/scalar.ts';
import type { Scope } from '../../parts/scope.ts';
import { plus, wgsl } from '../../wgsl/text.ts';
import { type ContractionParts, decode, readsQuads, scopeOf } from './functions.ts';
import { givenBy, type QuadReads, readQuadFunctions } from './quads.ts';

/** How sums are finished one by one, or four neighbours at once. */
export interface ElementsEnd {
  readonly kind: 'elements';
  readonly functions: readonly string[];
  /** Whether four come with what `read_quad` gives of other tensors. */
  readonly readsQuads: boolean;
}

/**
 * `finish(batch, m, n, sum)`; in forms that stage slabs in two halves: `finished` gives the values to store, `put` stores them. Where four
 * neighbours lie in a quad, `finished_quad` and `put_quad` do so for them at once, by what `read_quad` reads for them.
 */
export function finishElements(w: ContractionParts): ElementsEnd {
  const { emitter, tuning, functions } = w;
  const sum = emitter.fresh('sum');
  const { storesQuads: isQuads } = w;
  const values = finishedValues(w, sum, isQuads);
  const parameters = [w.names.batch, w.names.m, w.names.n].map((name) => `${name}: i32`);
  if (!readsQuads(tuning)) {
    const finish = wgsl`
      fn ${functions.finish}(${[...parameters, `${sum}: f32`].join(', ')}) {
        ${[...values.place, ...values.lines, ...putLines(w, values, ({ name }) => name)].join('\n')}
      }
    `;
    return { kind: 'elements', functions: [finish], readsQuads: false };
  }
  const given = [`${sum}: f32`, ...[...values.reads.values()].map((name) => `${name}: f32`)];
  const halves = [
    wgsl`
      struct ${functions.values} {
        ${values.stores.map((_, i) => `value_${i}: f32,`).join('\n')}
      }
    `,
    wgsl`
      fn ${functions.finished}(${[...parameters, ...given].join(', ')}) -> ${functions.values} {
        ${[...values.place, ...values.lines].join('\n')}
        return ${functions.values}(${values.stores.map(({ name }) => name).join(', ')});
      }
    `,
  ];
  if (isQuads)
    return { kind: 'elements', functions: [...halves, ...quadFunctions(w, values)], readsQuads: values.reads.size > 0 };
  const put = wgsl`
    fn ${functions.put}(${parameters.join(', ')}, values: ${functions.values}) {
      ${values.place.join('\n')}
      ${putLines(w, values, (_, i) => `values.value_${i}`).join('\n')}
    }
  `;
  return { kind: 'elements', functions: [...halves, put], readsQuads: false };
}

function putLines(
  { emitter }: ContractionParts,
  { stores, element }: FinishedValues,
  value: (store: FinishedValues['stores'][number], i: number) => string,
): string[] {
  return stores.map((store, i) => `${emitter.writes(store.tensor, element)} = ${value(store, i)};`);
}

/** Both halves for four neighbours, from a column on that is a multiple of 4, and what reads for them. */
function quadFunctions(w: ContractionParts, values: FinishedValues): string[] {
  const { emitter, functions, names } = w;
  const { finished, finishedQuad, putQuad, quadValues, quadReads } = functions;
  const { batch, m, n } = names;
  const parameters = `${batch}: i32, ${m}: i32, ${n}: i32`;
  const four = ['a', 'b', 'c', 'd'] as const;
  const made = four.map((_, c) => {
    const given = ['sums', ...[...values.reads.values()].map((name) => `reads.${name}`)];
    return `${finished}(${[batch, m, plus(n, c), ...given.map((name) => `${name}.${'xyzw'[c]}`)].join(', ')})`;
  });
  const puts = values.stores.map(({ tensor }, i) => {
    const parts = four.map((name) => `values.${name}.value_${i}`);
    return `${emitter.writesQuad(tensor, values.element)} = vec4<f32>(${parts.join(', ')});`;
  });
  const reads = values.reads.size === 0 ? '' : `, reads: ${quadReads}`;
  return [
    ...readQuadFunctions(w, values),
    wgsl`
      struct ${quadValues} {
        ${four.map((name) => `${name}: ${functions.values},`).join('\n')}
      }
    `,
    wgsl`
      fn ${finishedQuad}(${parameters}, sums: vec4<f32>${reads}) -> ${quadValues} {
        return ${quadValues}(${made.join(', ')});
      }
    `,
    wgsl`
      fn ${putQuad}(${parameters}, values: ${quadValues}) {
        ${[...values.place, ...puts].join('\n')}
      }
    `,
  ];
}

/** The lines that find the output's element, those that compute what is stored there, and the names of its values. */
interface FinishedValues {
  readonly place: readonly string[];
  readonly element: string;
  readonly lines: readonly string[];
  readonly stores: readonly { readonly tensor: string; readonly name: string }[];
  /** Names of the elements that are given to the lines, by their tensors: those that come in quads of four neighbours. */
  readonly reads: QuadReads;
}

/** Where an element is, the lines that find its coordinates when something asks for them, and what is known already. */
export interface ElementPlace {
  readonly element: string;
  readonly coordinates: Map<string, string>;
  readonly lines: string[];
  /** The coordinates of the output that are known by themselves: the element's number is the sum of all, `step` times each. */
  readonly known: readonly Known[];
  /** The name of a tensor's element at the same place, where it is given. */
  readonly given?: ((tensor: string) => string | undefined) | undefined;
}

interface Known {
  readonly step: number;
  readonly extent: number;
  readonly name: string;
}

/** The lines that find the output's element. */
export function placeOf(w: ContractionParts): { readonly place: ElementPlace; readonly scope: Scope } {
  const { s, emitter } = w;
  const lines: string[] = [];
  const names = new Map<number, string>();
  decode(w, s.batch, w.names.batch, lines, names);
  decode(w, s.m, w.names.m, lines, names);
  decode(w, s.n, w.names.n, lines, names);
  const scope = scopeOf(w, names);
  const element = emitter.fresh('element');
  const store = s.equation.store[0] as Affine;
  lines.push(`let ${element} = ${affineText(store, scope)};`);
  const known = store.terms.flatMap(({ axis, coefficient }) => {
    const { extent } = s.equation.axes[axis];
    return extent === 1 ? [] : [{ step: coefficient, extent, name: scope.axis(axis) }];
  });
  const isPlain = store.constant === 0 && known.every(({ step }) => step > 0);
  return { place: { element, coordinates: new Map(), lines, known: isPlain ? known : [] }, scope };
}

/** The element itself out of its sum: scaled, masked, with what is added to it. The name of its value. */
export function contractedValue(w: ContractionParts, sum: string, place: ElementPlace, scope: Scope): string {
  const { kernel, s, emitter } = w;
  const { lines } = place;
  const value = emitter.value(kernel.tensor, kernel.stored);
  const isPlain = s.scale.kind === 'constant' && s.scale.value === 1;
  const scaled = isPlain ? sum : multiplied(sum, s.scale, scope);
  const mask = s.onOutput.map((c) => constraintText(c, scope)).join(' && ');
  const isFinal = kernel.addends.length === 0 && !kernel.accumulate;
  if (mask === '') lines.push(`${isFinal ? 'let' : 'var'} ${value} = ${scaled};`);
  else lines.push(`var ${value} = 0.0;`, `if (${mask}) { ${value} = ${scaled}; }`);
  for (const addend of kernel.addends) pointwise(w, addend, place, new Map(), (text) => `${value} += ${text};`);
  if (kernel.accumulate) lines.push(`${value} += ${sameElement(w, kernel.tensor, place)};`);
  return value;
}

/** The value of a pointwise statement, and its name. */
export function pointwiseValue(
  w: ContractionParts,
  statement: Statement,
  place: ElementPlace,
  held: ReadonlyMap<string, string>,
): string {
  const name = w.emitter.value(statement.tensor, statement.stored);
  const [first, ...others] = statement.equations;
  if (first && others.length === 0) pointwise(w, first, place, held, (text) => `let ${name} = ${text};`);
  else {
    place.lines.push(`var ${name} = 0.0;`);
    for (const e of statement.equations) pointwise(w, e, place, held, (text) => `${name} += ${text};`);
  }
  return name;
}

function finishedValues(w: ContractionParts, sum: string, isQuads: boolean): FinishedValues {
  const { kernel } = w;
  const { place: found, scope } = placeOf(w);
  const reads: QuadReads = new Map();
  const place: ElementPlace = { ...found, lines: [], ...(isQuads ? { given: givenBy(w, reads) } : {}) };
  const value = contractedValue(w, sum, place, scope);
  const held = new Map([[kernel.tensor, value]]);
  for (const statement of kernel.epilogue) held.set(statement.tensor, pointwiseValue(w, statement, place, held));
  const stores = [kernel, ...kernel.epilogue]
    .filter(({ stored }) => stored)
    .map(({ tensor }) => ({ tensor, name: held.get(tensor)! }));
  return { place: found.lines, element: place.element, lines: place.lines, stores, reads };
}

/** WGSL of a tensor's element at the output's. */
export function sameElement({ emitter }: ContractionParts, tensor: string, { given, element }: ElementPlace): string {
  return given?.(tensor) ?? elementText(tensor, element, emitter);
}

export function guardsOf(equation: Equation): readonly Constraint[] {
  return equation.domain.filter((c) => decide(c, equation.axes) !== 'always');
}

/** The name of a coordinate: a digit of the element's number, `extent` values that lie `step` elements apart. */
export function digit(
  { emitter, kernel }: ContractionParts,
  { element, coordinates, lines, known }: ElementPlace,
  { step, extent, name }: { readonly step: number; readonly extent: number; readonly name: string },
): string {
  const key = `${step} ${extent}`;
  const made = coordinates.get(key);
  if (made !== undefined) return made;
  const own = knownDigit(known, step, extent);
  if (own !== undefined && /^\w+$/.test(own)) return own;
  const fresh = emitter.named(name);
  const quotient = step === 1 ? element : `${element} / ${step}`;
  const isFirst = step * extent === elementCount(emitter.layout(kernel.tensor).shape);
  lines.push(`let ${fresh} = ${own ?? (isFirst ? quotient : `${quotient} % ${extent}`)};`);
  coordinates.set(key, fresh);
  return fresh;
}

/**
 * The digit out of the one coordinate that it is of, where there is such a one: of the elements of a row it is then plainly the same, and so
 * is all that is made of it, which a compiler then makes once.
 */
function knownDigit(known: readonly Known[], step: number, extent: number): string | undefined {
  const next = step * extent;
  const own = known.find((one) => step % one.step === 0 && (one.step * one.extent) % next === 0);
  if (own === undefined) return undefined;
  const others = known.filter((one) => one !== own);
  const least = others.filter((one) => one.step < own.step).reduce((sum, one) => sum + one.step * (one.extent - 1), 0);
  if (least >= own.step || others.some((one) => one.step >= own.step && one.step % next !== 0)) return undefined;
  const quotient = step === own.step ? own.name : `${own.name} / ${step / own.step}`;
  return own.step * own.extent === next ? quotient : `${quotient} % ${extent}`;
}

/**
 * Writes a pointwise equation of a tensor of the output's shape: its axes are the output's indices. `kernel.equation` is the
 * one before axes were merged, so an index is taken out of the flat offset, once, where something asks for it. Outside its domain it is
 * computed too and dropped: a thread would wait for what it reads in a branch before it went on to the next of its elements.
 */
function pointwise(
  w: ContractionParts,
  equation: Equation,
  place: ElementPlace,
  held: ReadonlyMap<string, string>,
  assign: (text: string) => string,
): void {
  const { emitter } = w;
  const { shape } = emitter.layout(w.kernel.tensor);
  const identity = flatIndex(shape, equation.store)!;
  const axis = (wanted: number): string => {
    const d = equation.store.findIndex((index) => (index as Affine).terms[0]?.axis === wanted);
    if (d < 0 || shape[d] === 1) return '0';
    return digit(w, place, { step: strides(shape)[d], extent: shape[d], name: equation.axes[wanted].name });
  };
  const isSame = (l: Load): boolean => {
    const flat = flatIndex(emitter.layout(l.tensor).shape, l.indices);
    return flat !== undefined && equalAffine(flat, identity);
  };
  const scope: Scope = {
    emitter,
    axis,
    axes: equation.axes,
    held: (l) => held.get(l.tensor) ?? (isSame(l) ? sameElement(w, l.tensor, place) : undefined),
    heldInteger: (l) => (isSame(l) ? emitter.reads(l.tensor, place.element) : undefined),
  };
  const guards = guardsOf(equation).map((c) => constraintText(c, scope));
  const { value } = flattenLoads(equation, (t) => emitter.layout(t));
  if (guards.length === 0) place.lines.push(assign(expressionText(value, scope)));
  else {
    const anywhere = expressionText(value, { ...scope, unguarded: true });
    place.lines.push(assign(`select(0.0, ${anywhere}, ${guards.join(' && ')})`));
  }
}
