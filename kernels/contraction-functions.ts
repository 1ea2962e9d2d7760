/**
 * The WGSL functions that the forms of a contraction call: one element of an operand, four of them, and `finish`, which takes a
 * finished sum through scale, mask, addends and epilogue to memory.
 *
 * The trap: an operand is read at points outside the domain too, so a load that the domain keeps inside is clamped.
 */
import { decide, equalAffine } from '../compiler/ir/affine.ts';
import { axesOf, constraintAxes } from '../compiler/ir/expression.ts';
import type { Affine, Constraint, Equation, Expression, Load } from '../compiler/ir/program.ts';
import { affineText, constraintText, elementText } from './address.ts';
import { inside } from './contraction-block.ts';
import type { ContractionShape, ContractionSizes } from './contraction-shape.ts';
import type { ContractionTuning } from './contraction-tuning.ts';
import type { Emitter } from './emitter.ts';
import type { ContractionKernel, Layouts } from './kernel.ts';
import { coordinate, flatIndex, flattenLoads } from './linear.ts';
import { type WideLoad, wideLoad, wideText } from './loads.ts';
import { expressionText, multiplied } from './scalar.ts';
import type { Scope } from './scope.ts';
import { wgsl } from './wgsl.ts';

/** What the parts of one contraction's code share. */
export interface ContractionParts {
  readonly kernel: ContractionKernel;
  readonly s: ContractionShape;
  readonly sizes: ContractionSizes;
  readonly emitter: Emitter;
  readonly tuning: ContractionTuning;
  /** Parameters of the functions. */
  readonly names: { readonly batch: string; readonly m: string; readonly n: string; readonly k: string };
  readonly functions: ContractionFunctions;
  readonly quads: { readonly left: OperandQuad; readonly right: OperandQuad };
}

/** Names of the functions: one element of an operand, four of them, what takes a finished sum to memory. */
export interface ContractionFunctions {
  readonly left: string;
  readonly right: string;
  readonly leftQuad: string;
  readonly rightQuad: string;
  /** All at once. */
  readonly finish: string;
  /** In two halves, with the type of what goes from the one to the other. */
  readonly finished: string;
  readonly put: string;
  readonly values: string;
}

/** Every body has functions of its own, for it may not be alone in its dispatch. */
export function nameFunctions(emitter: Emitter): ContractionFunctions {
  return {
    left: emitter.global('left_operand'),
    right: emitter.global('right_operand'),
    leftQuad: emitter.global('left_quad'),
    rightQuad: emitter.global('right_quad'),
    finish: emitter.global('finish'),
    finished: emitter.global('finished'),
    put: emitter.global('put'),
    values: emitter.global('Finished'),
  };
}

/** The text of those that the form needs. */
export function contractionFunctions(w: ContractionParts): string[] {
  const { s, names, tuning, sizes, functions, quads } = w;
  const { left, leftQuad, right, rightQuad } = functions;
  const leftElement = () => operandFunction(w, left, s.left, s.onLeft, s.m, names.m);
  const rightElement = () => operandFunction(w, right, s.right, s.onRight, s.n, names.n);
  const ofLeft =
    quads.left.load !== undefined
      ? [wideFunction(w, leftQuad, quads.left.load, s.m, names.m)]
      : [leftElement(), ...(tuning.form === 'tiled' ? [quadFunction(leftQuad, left, sizes.m, tuning.tileM, 1)] : [])];
  const ofRight =
    quads.right.load !== undefined
      ? [wideFunction(w, rightQuad, quads.right.load, s.n, names.n)]
      : [rightElement(), quadFunction(rightQuad, right, sizes.n, tuning.tileN, quads.right.step)];
  return [...ofLeft, ...ofRight, ...finishFunctions(w)];
}

/**
 * Four elements of an operand that `left_quad` or `right_quad` gives: neighbours along k (`alongK`), or of the operand's own side,
 * `step` apart. `load` where they come out of memory at once.
 */
export interface OperandQuad {
  readonly alongK: boolean;
  readonly step: number;
  readonly load: WideLoad | undefined;
}

/**
 * How the form reads its operands. Only the tiled form reads quads of memory, and along k only where no domain cuts k short. Its
 * right quads are a quarter of the tile apart, so that neighbouring threads have neighbouring columns of the output.
 */
export function operandQuads(
  s: ContractionShape,
  { form, tileN, tileK, columns }: ContractionTuning,
  layouts: Layouts,
): ContractionParts['quads'] {
  if (form !== 'tiled') {
    const step = form === 'subgroup' ? tileN / columns : 1;
    return { left: { alongK: false, step: 1, load: undefined }, right: { alongK: false, step, load: undefined } };
  }
  const { axes } = s.equation;
  const isLimited = [...s.onLeft, ...s.onRight].length > 0;
  const ofK = (operand: Expression) =>
    isLimited || tileK % 4 !== 0 ? undefined : wideLoad(operand, s.k.at(-1), axes, layouts);
  const along = (operand: Expression, step: number, own: WideLoad | undefined): OperandQuad => {
    const load = own ?? ofK(operand);
    return { alongK: own === undefined && load !== undefined, step, load };
  };
  const ownLeft = s.onLeft.length > 0 ? undefined : wideLoad(s.left, s.m.at(-1), axes, layouts);
  return { left: along(s.left, 1, ownLeft), right: along(s.right, tileN / 4, undefined) };
}

/** `fn left_quad(batch, p, k)`: four elements from (p, k) on, in one piece of memory. */
function wideFunction(
  w: ContractionParts,
  name: string,
  load: WideLoad,
  own: readonly number[],
  ownName: string,
): string {
  const lines: string[] = [];
  const names = new Map<number, string>();
  decode(w, w.s.batch, w.names.batch, lines, names);
  decode(w, own, ownName, lines, names);
  decode(w, w.s.k, w.names.k, lines, names);
  const value = wideText(load, scopeOf(w, names));
  const used = lines.filter((line) => isUsed(line, w.s[own === w.s.m ? 'left' : 'right'], [], names));
  return wgsl`
    fn ${name}(${w.names.batch}: i32, ${ownName}: i32, ${w.names.k}: i32) -> vec4<f32> {
      ${used.join('\n')}
      return ${value};
    }
  `;
}

/** `fn left_quad(batch, p, k)`: four elements along m, `step` apart, kept inside the operand. */
function quadFunction(name: string, operand: string, size: number, tile: number, step: number): string {
  const values = [0, 1, 2, 3].map((c) => `${operand}(batch, ${inside('p', c * step, size, tile)}, k)`);
  return wgsl`
    fn ${name}(batch: i32, p: i32, k: i32) -> vec4<f32> {
      return vec4<f32>(
        ${values.join(',\n')});
    }
  `;
}

/** Names for a class's axes out of the class's one number. */
function decode(
  w: ContractionParts,
  axes: readonly number[],
  whole: string,
  lines: string[],
  names: Map<number, string>,
): void {
  const extents = axes.map((axis) => w.s.equation.axes[axis].extent);
  axes.forEach((axis, d) => {
    if (axes.length === 1) {
      names.set(axis, whole);
      return;
    }
    const name = w.emitter.named(w.s.equation.axes[axis].name);
    lines.push(`let ${name} = ${coordinate(whole, extents, d)};`);
    names.set(axis, name);
  });
}

function scopeOf(w: ContractionParts, names: ReadonlyMap<number, string>, unguarded = false): Scope {
  const { axes } = w.s.equation;
  return {
    emitter: w.emitter,
    axis: (axis) => (axes[axis].extent === 1 ? '0' : (names.get(axis) ?? outOfScope(axes[axis].name))),
    axes,
    unguarded,
  };
}

/** `fn left(batch, m, k)`: the operand's value, 0 outside its domain. */
function operandFunction(
  w: ContractionParts,
  name: string,
  operand: Expression,
  constraints: readonly Constraint[],
  own: readonly number[],
  ownName: string,
): string {
  const lines: string[] = [];
  const names = new Map<number, string>();
  decode(w, w.s.batch, w.names.batch, lines, names);
  decode(w, own, ownName, lines, names);
  decode(w, w.s.k, w.names.k, lines, names);
  const used = lines.filter((line) => isUsed(line, operand, constraints, names));
  const { onLeft, onRight, onOutput } = w.s;
  const scope = scopeOf(w, names, onLeft.length + onRight.length + onOutput.length > constraints.length);
  const value = expressionText(operand, scope);
  const body =
    constraints.length === 0
      ? `return ${value};`
      : `if (${constraints.map((c) => constraintText(c, scope)).join(' && ')}) { return ${value}; }\nreturn 0.0;`;
  return wgsl`
    fn ${name}(${w.names.batch}: i32, ${ownName}: i32, ${w.names.k}: i32) -> f32 {
      ${used.join('\n')}
      ${body}
    }
  `;
}

function isUsed(
  line: string,
  operand: Expression,
  constraints: readonly Constraint[],
  names: ReadonlyMap<number, string>,
): boolean {
  const axes = new Set([...axesOf(operand), ...constraints.flatMap(constraintAxes)]);
  return [...names].some(([axis, name]) => axes.has(axis) && line.startsWith(`let ${name} =`));
}

/**
 * What takes a sum through scale, mask, addends and epilogue to memory: `finish(batch, m, n, sum)`; in the tiled form in two halves,
 * `finished`, which gives the values to store, and `put`, which stores them, so that a thread can read for a row of sums before it
 * writes any. A device must think that a store changes what is read after it, and would wait for every sum by itself.
 */
function finishFunctions(w: ContractionParts): string[] {
  const { emitter, tuning, functions } = w;
  const sum = emitter.fresh('sum');
  const values = finishedValues(w, sum);
  const stores = values.stores.map(({ tensor, name }) => ({ at: emitter.writes(tensor, values.element), name }));
  const parameters = `${w.names.batch}: i32, ${w.names.m}: i32, ${w.names.n}: i32`;
  if (tuning.form !== 'tiled') {
    const puts = stores.map(({ at, name }) => `${at} = ${name};`);
    return [
      wgsl`
        fn ${functions.finish}(${parameters}, ${sum}: f32) {
          ${[...values.place, ...values.lines, ...puts].join('\n')}
        }
      `,
    ];
  }
  return [
    wgsl`
      struct ${functions.values} {
        ${stores.map((_, i) => `value_${i}: f32,`).join('\n')}
      }
    `,
    wgsl`
      fn ${functions.finished}(${parameters}, ${sum}: f32) -> ${functions.values} {
        ${[...values.place, ...values.lines].join('\n')}
        return ${functions.values}(${stores.map(({ name }) => name).join(', ')});
      }
    `,
    wgsl`
      fn ${functions.put}(${parameters}, values: ${functions.values}) {
        ${values.place.join('\n')}
        ${stores.map(({ at }, i) => `${at} = values.value_${i};`).join('\n')}
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
}

function finishedValues(w: ContractionParts, sum: string): FinishedValues {
  const { kernel, s, emitter } = w;
  const placeLines: string[] = [];
  const names = new Map<number, string>();
  decode(w, s.batch, w.names.batch, placeLines, names);
  decode(w, s.m, w.names.m, placeLines, names);
  decode(w, s.n, w.names.n, placeLines, names);
  const scope = scopeOf(w, names);
  const element = emitter.fresh('element');
  placeLines.push(`let ${element} = ${affineText(s.equation.store[0] as Affine, scope)};`);
  const lines: string[] = [];
  const stores: { readonly tensor: string; readonly name: string }[] = [];
  const value = emitter.value(kernel.tensor, kernel.stored);
  const isPlain = s.scale.kind === 'constant' && s.scale.value === 1;
  const scaled = isPlain ? sum : multiplied(sum, s.scale, scope);
  const mask = s.onOutput.map((c) => constraintText(c, scope)).join(' && ');
  const isFinal = kernel.addends.length === 0 && !kernel.accumulate;
  if (mask === '') lines.push(`${isFinal ? 'let' : 'var'} ${value} = ${scaled};`);
  else lines.push(`var ${value} = 0.0;`, `if (${mask}) { ${value} = ${scaled}; }`);
  const place = { element, coordinates: new Map<number, string>(), lines };
  for (const addend of kernel.addends) pointwise(w, addend, place, new Map(), (text) => `${value} += ${text};`);
  if (kernel.accumulate) lines.push(`${value} += ${elementText(kernel.tensor, element, emitter)};`);
  if (kernel.stored) stores.push({ tensor: kernel.tensor, name: value });
  const held = new Map([[kernel.tensor, value]]);
  for (const statement of kernel.epilogue) {
    const name = emitter.value(statement.tensor, statement.stored);
    const [first, ...others] = statement.equations;
    if (first && others.length === 0 && guardsOf(first).length === 0)
      pointwise(w, first, place, held, (text) => `let ${name} = ${text};`);
    else {
      lines.push(`var ${name} = 0.0;`);
      for (const e of statement.equations) pointwise(w, e, place, held, (text) => `${name} += ${text};`);
    }
    held.set(statement.tensor, name);
    if (statement.stored) stores.push({ tensor: statement.tensor, name });
  }
  return { place: placeLines, element, lines, stores };
}

function guardsOf(equation: Equation): readonly Constraint[] {
  return equation.domain.filter((c) => decide(c, equation.axes) !== 'always');
}

/**
 * Writes a pointwise equation of a tensor of the output's shape: its axes are the output's indices. `kernel.equation` is the
 * one before axes were merged, so an index is taken out of the flat offset, once, where something asks for it.
 */
function pointwise(
  w: ContractionParts,
  equation: Equation,
  place: { readonly element: string; readonly coordinates: Map<number, string>; readonly lines: string[] },
  held: ReadonlyMap<string, string>,
  assign: (text: string) => string,
): void {
  const { emitter } = w;
  const { shape } = emitter.layout(w.kernel.tensor);
  const identity = flatIndex(shape, equation.store)!;
  const axis = (wanted: number): string => {
    const d = equation.store.findIndex((index) => (index as Affine).terms[0]?.axis === wanted);
    if (d < 0 || shape[d] === 1) return '0';
    const known = place.coordinates.get(d);
    if (known !== undefined) return known;
    const name = emitter.named(equation.axes[wanted].name);
    place.lines.push(`let ${name} = ${coordinate(place.element, shape, d)};`);
    place.coordinates.set(d, name);
    return name;
  };
  const isSame = (l: Load): boolean => {
    const flat = flatIndex(emitter.layout(l.tensor).shape, l.indices);
    return flat !== undefined && equalAffine(flat, identity);
  };
  const scope: Scope = {
    emitter,
    axis,
    axes: equation.axes,
    held: (l) => held.get(l.tensor) ?? (isSame(l) ? elementText(l.tensor, place.element, emitter) : undefined),
    heldInteger: (l) => (isSame(l) ? emitter.reads(l.tensor, place.element) : undefined),
  };
  const guards = guardsOf(equation).map((c) => constraintText(c, scope));
  const text = assign(expressionText(flattenLoads(equation, (t) => emitter.layout(t)).value, scope));
  place.lines.push(guards.length === 0 ? text : `if (${guards.join(' && ')}) { ${text} }`);
}

function outOfScope(name: string): never {
  throw new Error(`axis ${name} is not known where it is read`);
}
