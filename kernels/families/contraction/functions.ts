/**
 * The WGSL functions that the forms of a contraction read its operands by: one element, or four of them. Those that take the sums to
 * memory are in contraction/finish.ts.
 *
 * The trap: an operand is read at points outside the domain too, so a load that the domain keeps inside is clamped.
 */
import { coefficientOf, isAffine } from '../../../compiler/ir/affine.ts';
import {
  axesOf,
  constant,
  constraintAxes,
  loads,
  product,
  rewriteExpression,
} from '../../../compiler/ir/expression.ts';
import type { Affine, Axis, Constraint, Expression, Load } from '../../../compiler/ir/program.ts';
import type { ContractionKernel, Layouts } from '../../kernel.ts';
import { affineText, constraintText, wideConstraintText } from '../../parts/address.ts';
import { coordinate, strides } from '../../parts/linear.ts';
import { type WideLoad, wideLoad, wideText } from '../../parts/loads.ts';
import { expressionText } from '../../parts/scalar.ts';
import type { Scope } from '../../parts/scope.ts';
import type { Emitter } from '../../wgsl/emitter.ts';
import { f32Literal, wgsl } from '../../wgsl/text.ts';
import { inside } from './block.ts';
import type { ContractionShape, ContractionSizes } from './shape.ts';
import type { ContractionTuning } from './tuning.ts';

/** What the parts of one contraction's code share. */
export interface ContractionParts {
  readonly kernel: ContractionKernel;
  readonly s: ContractionShape;
  /** What the left operand is multiplied by, so that all products of a kernel have the scale of its first. */
  readonly factor: number;
  readonly sizes: ContractionSizes;
  readonly emitter: Emitter;
  readonly tuning: ContractionTuning;
  /** See `KernelBody`. */
  readonly sideBySide: number;
  /** Lines that define `batch`, `tile_m` and `tile_n`: by the number of the workgroup, or of the invocation (`lanes`). */
  readonly placeLines: string;
  /** Parameters of the functions. */
  readonly names: { readonly batch: string; readonly m: string; readonly n: string; readonly k: string };
  readonly functions: ContractionFunctions;
  readonly quads: { readonly left: OperandQuad; readonly right: OperandQuad };
  /** Whether the end takes four neighbouring columns at once (contraction/quads.ts). */
  readonly storesQuads: boolean;
}

/** Parts of the products that go into one kernel's sums. */
export type Products = readonly [ContractionParts, ...ContractionParts[]];

/** Names of the functions: one element of an operand, four of them, what takes a finished sum to memory. */
export interface ContractionFunctions {
  readonly left: string;
  readonly right: string;
  readonly leftQuad: string;
  readonly rightQuad: string;
  /** Where quads lie in memory, for those who read them by that (`OperandQuad.stepOfK`). */
  readonly leftOffset: string;
  readonly rightOffset: string;
  /** All at once. */
  readonly finish: string;
  /** In two halves, with the type of what goes from the one to the other. */
  readonly finished: string;
  readonly put: string;
  readonly values: string;
  /** The same for four neighbours. */
  readonly finishedQuad: string;
  readonly putQuad: string;
  readonly quadValues: string;
  /** What reads other tensors for four neighbours, and the type of that. */
  readonly readQuad: string;
  readonly quadReads: string;
}

/** Every body has functions of its own, for it may not be alone in its dispatch. */
export function nameFunctions(emitter: Emitter): ContractionFunctions {
  return {
    left: emitter.global('left_operand'),
    right: emitter.global('right_operand'),
    leftQuad: emitter.global('left_quad'),
    rightQuad: emitter.global('right_quad'),
    leftOffset: emitter.global('left_offset'),
    rightOffset: emitter.global('right_offset'),
    finish: emitter.global('finish'),
    finished: emitter.global('finished'),
    put: emitter.global('put'),
    values: emitter.global('Finished'),
    finishedQuad: emitter.global('finished_quad'),
    putQuad: emitter.global('put_quad'),
    quadValues: emitter.global('FinishedQuad'),
    readQuad: emitter.global('read_quad'),
    quadReads: emitter.global('QuadReads'),
  };
}

/** An operand of the products, and its factor: what it is 0 outside of, the axes of its own class, m or n, and their number's name. */
interface Operand {
  readonly value: Expression;
  readonly factor: number;
  readonly constraints: readonly Constraint[];
  readonly own: readonly number[];
  readonly ownName: string;
}

/** The text of those that the form needs. */
export function operandFunctions(w: ContractionParts): string[] {
  const { s, factor, names, tuning, sizes, functions, quads } = w;
  const { left, leftQuad, leftOffset, right, rightQuad, rightOffset } = functions;
  const ofM: Operand = { value: s.left, factor, constraints: s.onLeft, own: s.m, ownName: names.m };
  const ofN: Operand = { value: s.right, factor: 1, constraints: s.onRight, own: s.n, ownName: names.n };
  const leftElement = () => operandFunction(w, left, ofM);
  const rightElement = () => operandFunction(w, right, ofN);
  const ofLeft =
    quads.left.load !== undefined
      ? wideFunctions(w, leftQuad, leftOffset, quads.left, ofM)
      : [leftElement(), ...(readsQuads(tuning) ? [quadFunction(leftQuad, left, sizes.m, tuning.tileM, 1)] : [])];
  const ofRight =
    quads.right.load !== undefined
      ? wideFunctions(w, rightQuad, rightOffset, quads.right, ofN)
      : [rightElement(), quadFunction(rightQuad, right, sizes.n, tuning.tileN, quads.right.step)];
  return [...ofLeft, ...ofRight];
}

/**
 * Four elements of an operand that `left_quad` or `right_quad` gives: neighbours along k (`alongK`), or of the operand's own side,
 * `step` apart. `load` where they come out of memory at once.
 */
export interface OperandQuad {
  readonly alongK: boolean;
  readonly step: number;
  readonly load: WideLoad | undefined;
  /**
   * Elements of memory from one k to the next, where the form reads by offsets and it is always as many: a thread that knows where its quads
   * of the first slab lie adds so much to that for a later one (8192×2048×512: 230 → 219 µs, test/bench/records/2026-11-27-matrix.jsonl).
   */
  readonly stepOfK: number | undefined;
  /** They are two f16 an element, high and low ones in turn (parts/halves.ts), which the matrix form alone reads. */
  readonly inHalves: boolean;
}

/** Forms that stage slabs read four elements at a time, and finish sums in two halves. */
export function readsQuads({ form }: ContractionTuning): boolean {
  return form === 'tiled' || form === 'matrix';
}

/**
 * How the form reads its operands: in quads of memory where it stages slabs, or where the threads of a subgroup are far apart in one (`lanes`).
 * Right quads of the tiled form are of neighbours where the output is stored in quads (`storesQuads`); otherwise a quarter of the tile apart,
 * so that neighbouring threads have neighbouring columns of the output.
 */
export function operandQuads(
  s: ContractionShape,
  tuning: ContractionTuning,
  layouts: Layouts,
  storesQuads: boolean,
): ContractionParts['quads'] {
  const { form, tileN, tileK, columns, slices = 1 } = tuning;
  if (form === 'direct' || form === 'subgroup') {
    const step = form === 'subgroup' ? tileN / columns : 1;
    const single = { alongK: false, load: undefined, stepOfK: undefined, inHalves: false };
    return { left: { ...single, step: 1 }, right: { ...single, step } };
  }
  const { axes } = s.equation;
  // What looks into memory for every element comes element by element.
  const wide = (operand: Expression, constraints: readonly Constraint[], axis: number | undefined) => {
    if (!constraints.every(isAffine)) return undefined;
    const read = form === 'tiled' ? loadAlong(operand, axis) : operand;
    return read && wideLoad(read, axis, axes, layouts);
  };
  const ofK = (operand: Expression, constraints: readonly Constraint[]) =>
    form === 'lanes' || (tileK / slices) % 4 === 0 ? wide(operand, constraints, s.k.at(-1)) : undefined;
  const along = (
    operand: Expression,
    constraints: readonly Constraint[],
    own: number | undefined,
    step: number,
  ): OperandQuad => {
    const ownLoad = wide(operand, constraints, own);
    const load = ownLoad ?? ofK(operand, constraints);
    const isEven = form === 'matrix' && load !== undefined && constraints.length === 0;
    const stepOfK = isEven ? stepAlong(load.offset, s.k, axes) : undefined;
    const inHalves = load !== undefined && layouts(load.tensor).inHalves === true;
    return { alongK: ownLoad === undefined && load !== undefined, step, load, stepOfK, inHalves };
  };
  const left = along(s.left, s.onLeft, s.m.at(-1), 1);
  const right =
    form === 'tiled' && !storesQuads
      ? along(s.right, s.onRight, undefined, tileN / 4)
      : along(s.right, s.onRight, s.n.at(-1), 1);
  return { left, right };
}

/** The only load of an operand along an axis, where nothing else of the operand runs along it: exp(S[t, u] - l[t]) along u. */
function loadAlong(operand: Expression, axis: number | undefined): Load | undefined {
  if (axis === undefined) return undefined;
  const [only, ...others] = loads(operand).filter((l) => axesOf(l).includes(axis));
  if (only === undefined || others.length > 0) return undefined;
  const rest = rewriteExpression(operand, { load: (l) => (l === only ? constant(0) : l) });
  return axesOf(rest).includes(axis) ? undefined : only;
}

/** What an offset grows by from one position of several axes, numbered as a whole, to the next; undefined where that is not always the same. */
function stepAlong(offset: Affine, axes: readonly number[], all: readonly Axis[]): number | undefined {
  const stride = strides(axes.map((axis) => all[axis].extent));
  const steps = axes.flatMap((axis, d) => (all[axis].extent === 1 ? [] : [coefficientOf(offset, axis) / stride[d]]));
  return steps.every((step) => step === steps[0]) ? steps[0] : undefined;
}

function wideFunctions(
  w: ContractionParts,
  quad: string,
  offset: string,
  { load, stepOfK }: OperandQuad,
  operand: Operand,
): string[] {
  if (load === undefined) return [];
  return stepOfK === undefined
    ? [wideFunction(w, quad, load, operand)]
    : offsetFunctions(w, quad, offset, load, operand);
}

/** `fn left_offset(batch, p, k)`: where the quad from (p, k) on lies; `fn left_quad(offset)`: the quad that lies there. */
function offsetFunctions(
  w: ContractionParts,
  quad: string,
  offset: string,
  load: WideLoad,
  operand: Operand,
): string[] {
  const { lines, names } = decodeOperand(w, operand);
  const scope = scopeOf(w, names);
  const used = lines.filter((line) => isUsed(line, operand.value, [], names));
  const place = wgsl`
    fn ${offset}(${w.names.batch}: i32, ${operand.ownName}: i32, ${w.names.k}: i32) -> i32 {
      ${used.join('\n')}
      return ${affineText(load.offset, scope)};
    }
  `;
  const read = wgsl`
    fn ${quad}(offset: i32) -> vec4<f32> {
      return ${factorText(operand.factor)}${wideText(load, scope, () => 'offset')};
    }
  `;
  return [place, read];
}

/**
 * `fn left_quad(batch, p, k)`: four elements from (p, k) on, in one piece of memory, those outside the domain 0. Memory is not asked for
 * four that all are: of a causal mask's tiles on the diagonal that is half, which took a product that waits for memory a fifth longer.
 */
function wideFunction(w: ContractionParts, name: string, load: WideLoad, operand: Operand): string {
  const { lines, names } = decodeOperand(w, operand);
  const { ownName, constraints, factor } = operand;
  const scope = scopeOf(w, names);
  const used = lines.filter((line) => isUsed(line, operand.value, constraints, names));
  const kept = constraints.filter(isAffine).map((c) => wideConstraintText(c, load.axis, scope));
  // Four that are all outside are the tensor's first, which is near: memory is not asked for them, and no thread goes a way of its own.
  const place = (offset: string): string => (kept.length === 0 ? offset : `select(0, ${offset}, any(kept))`);
  const quad = wideText(load, scope, place);
  const isPlain = operand.value.kind === 'load';
  const elements = isPlain ? quad : elementsText(operand.value, load.axis, scope);
  const value = `${factorText(factor)}${elements}`;
  return wgsl`
    fn ${name}(${w.names.batch}: i32, ${ownName}: i32, ${w.names.k}: i32) -> vec4<f32> {
      ${used.join('\n')}
      ${kept.length === 0 ? '' : `let kept = ${kept.length === 1 ? kept[0] : kept.map((each) => `(${each})`).join(' & ')};`}
      ${isPlain ? '' : `let quad = ${quad};`}
      ${kept.length === 0 ? `return ${value};` : `return select(vec4<f32>(), ${value}, kept);`}
    }
  `;
}

/** What an operand makes of each element of `quad`, the four that it reads along an axis. */
function elementsText(operand: Expression, axis: number, scope: Scope): string {
  const read = loadAlong(operand, axis)!;
  const values = [...'xyzw'].map((c) =>
    expressionText(operand, { ...scope, known: new Map<Expression, string>([[read, `quad.${c}`]]) }),
  );
  return `vec4<f32>(${values.join(', ')})`;
}

const factorText = (factor: number): string => (factor === 1 ? '' : `${f32Literal(factor)} * `);

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

/** Names for the axes of an operand: those of the batch, its own, and k. */
function decodeOperand(w: ContractionParts, { own, ownName }: Operand) {
  const lines: string[] = [];
  const names = new Map<number, string>();
  decode(w, w.s.batch, w.names.batch, lines, names);
  decode(w, own, ownName, lines, names);
  decode(w, w.s.k, w.names.k, lines, names);
  return { lines, names };
}

/** Names for a class's axes out of the class's one number. */
export function decode(
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

export function scopeOf(w: ContractionParts, names: ReadonlyMap<number, string>, unguarded = false): Scope {
  const { axes } = w.s.equation;
  return {
    emitter: w.emitter,
    axis: (axis) => (axes[axis].extent === 1 ? '0' : (names.get(axis) ?? outOfScope(axes[axis].name))),
    axes,
    unguarded,
  };
}

/** `fn left(batch, m, k)`: the operand's value, 0 outside its domain. */
function operandFunction(w: ContractionParts, name: string, operand: Operand): string {
  const { lines, names } = decodeOperand(w, operand);
  const { constraints, ownName } = operand;
  const used = lines.filter((line) => isUsed(line, operand.value, constraints, names));
  const { onLeft, onRight, onOutput } = w.s;
  const scope = scopeOf(w, names, onLeft.length + onRight.length + onOutput.length > constraints.length);
  const value = expressionText(product([constant(operand.factor), operand.value]), scope);
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

function outOfScope(name: string): never {
  throw new Error(`axis ${name} is not known where it is read`);
}
