/**
 * Loop kernels: one thread an element of the output, whatever the equations are.
 *
 * A thread knows the element's position and wants the points that store to it, so the store map is solved for its axes
 * (`solve.ts`); a scatter through a gather loops over all its axes and compares. Reduced axes are loops. No two threads
 * write one element, so nothing is lost and nothing races.
 *
 * Sums of pieces that lie one behind the other in memory, and maps of long tensors, are made four neighbouring elements a thread
 * (loop-quads.ts).
 *
 * The trap: a later statement takes an earlier one's element out of a variable, but only where it reads this very
 * element.
 */
import { asAxis, equalAffine } from '../../compiler/ir/affine.ts';
import { affinesOfIndex } from '../../compiler/ir/expression.ts';
import { multiplyAddsOf } from '../../compiler/ir/multiply-adds.ts';
import type { Equation, Load } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import type { KernelBody, LoopKernel, Statement } from '../kernel.ts';
import { gatherText } from '../parts/address.ts';
import { collapseLoop, plainStore } from '../parts/collapse.ts';
import { coordinate, flatIndex } from '../parts/linear.ts';
import { quadText, type WideLoad, wideText, writeQuad } from '../parts/loads.ts';
import { check, loopOver, nestText, openNest, settle, sumText } from '../parts/nest.ts';
import { threadReduction } from '../parts/reducers.ts';
import { sharedText } from '../parts/repeats.ts';
import { integerText } from '../parts/scalar.ts';
import type { Scope } from '../parts/scope.ts';
import { solveIndex } from '../parts/solve.ts';
import { withoutScale } from '../parts/sums.ts';
import { isWhole } from '../parts/whole.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { flatThreads } from '../wgsl/grid.ts';
import { f32Literal, wgsl } from '../wgsl/text.ts';
import { mappedInQuads, quadThreads, summedInQuads } from './loop-quads.ts';
import { addLoopSlices, loopSlices, ofSlice, slicedThreads } from './loop-slices.ts';

/** 64 threads a workgroup: two subgroups of NVIDIA, sixteen of SwiftShader; measured no slower than 128 or 256 on either, so it takes
 * whatever size a kernel beside it asks for. */
export const loopWorkgroupSize = 64;

/** The element that a thread computes, of every statement's tensor. */
interface Element {
  readonly emitter: Emitter;
  readonly shape: readonly number[];
  /** WGSL of its flat offset and of its coordinates. */
  readonly id: string;
  readonly coordinates: readonly string[];
  /** Variables that hold what the statements so far computed, by tensor. */
  readonly held: Map<string, string>;
  /** Groups of the workgroup's threads that share out the turns of its sum (loop-slices.ts). */
  readonly slices: number;
  readonly workgroupSize: number;
  /** What is summed, where a thread sums four neighbouring elements, of which `id` is the first. */
  readonly summed: WideLoad | undefined;
  /** WGSL of where the element of a stored tensor goes, where that is not memory: of a map of four neighbouring elements. */
  readonly places: ReadonlyMap<string, string>;
}

export function emitLoop(kernel: LoopKernel, emitter: Emitter, workgroupSize: number): KernelBody {
  const collapsed = collapseLoop(kernel, (tensor) => emitter.layout(tensor));
  const { shape, statements } = collapsed;
  const isOfReals = statements.every(({ tensor }) => emitter.layout(tensor).dtype !== 'i32');
  const slices = isOfReals ? loopSlices(collapsed, workgroupSize, emitter.target) : 1;
  const summed = slices === 1 ? summedInQuads(collapsed, emitter) : undefined;
  const id = emitter.fresh('element');
  const lines: string[] = [];
  const coordinates = nameCoordinates(shape, statements[0], id, emitter, lines);
  const mapped = slices === 1 && summed === undefined ? mapInQuads(collapsed, id, emitter) : undefined;
  const held = new Map(mapped?.held);
  const places = mapped?.places ?? new Map<string, string>();
  const element: Element = { emitter, shape, id, coordinates, held, slices, workgroupSize, summed, places };
  for (const statement of statements) lines.push(...statementLines(statement, element));
  const inQuads = summed !== undefined || mapped !== undefined;
  const { header, groups } = inQuads
    ? quadThreads(elementCount(shape), mapped?.first ?? id, workgroupSize, emitter)
    : slices === 1
      ? flatThreads(elementCount(shape), id, workgroupSize)
      : slicedThreads(elementCount(shape), id, workgroupSize, slices);
  return {
    functions: [],
    sharedQuads: slices === 1 ? 0 : workgroupSize,
    workgroupSize,
    groups,
    isBrief: summed !== undefined,
    body: [emitter.head(), header, mapped?.around(lines) ?? lines.join('\n')].filter((text) => text !== '').join('\n'),
    enables: [],
    tuning: { workgroupSize, ...(slices > 1 && { slices }), ...(inQuads && { elements: 4 }) },
    multiplyAdds: statements.flatMap((s) => s.equations).reduce((total, e) => total + multiplyAddsOf(e), 0),
  };
}

/** A map of four neighbouring elements: what its statements are told of the one at hand, and what stands around them. */
interface MapInQuads {
  /** WGSL of the number of the first of the four. */
  readonly first: string;
  readonly held: ReadonlyMap<string, string>;
  readonly places: ReadonlyMap<string, string>;
  readonly around: (lines: readonly string[]) => string;
}

function mapInQuads(kernel: LoopKernel, id: string, emitter: Emitter): MapInQuads | undefined {
  const read = mappedInQuads(kernel, emitter);
  if (read.length === 0) return undefined;
  const made = kernel.statements.filter(({ stored }) => stored).map(({ tensor }) => tensor);
  const [first, inQuad] = [emitter.fresh('first'), emitter.fresh('c')];
  const quads = new Map([...read, ...made].map((tensor) => [tensor, emitter.named(tensor, 'quad')]));
  const elementOf = (tensor: string): [string, string] => [tensor, `${quads.get(tensor)}[${inQuad}]`];
  const reads = read.map((tensor) => `let ${quads.get(tensor)} = ${quadText(tensor, first, emitter)};`);
  const around = (lines: readonly string[]): string => wgsl`
    ${reads.join('\n')}
    ${made.map((tensor) => `var ${quads.get(tensor)} = vec4<f32>();`).join('\n')}
    for (var ${inQuad} = 0; ${inQuad} < 4; ${inQuad}++) {
      let ${id} = ${first} + ${inQuad};
      ${lines.join('\n')}
    }
    ${made.map((tensor) => writeQuad(tensor, first, quads.get(tensor)!, emitter)).join('\n')}
  `;
  return { first, held: new Map(read.map(elementOf)), places: new Map(made.map(elementOf)), around };
}

/** Names after the axes of the first statement, where it has them. */
function nameCoordinates(
  shape: readonly number[],
  first: Statement | undefined,
  id: string,
  emitter: Emitter,
  lines: string[],
): readonly string[] {
  if (shape.length === 1) return [id];
  const equation = first?.equations[0];
  return shape.map((extent, d) => {
    if (extent === 1) return '0';
    const index = equation?.store[d];
    const axis = index?.kind === 'affine' ? asAxis(index) : undefined;
    const name = emitter.named(axis === undefined ? `o${d}` : equation!.axes[axis].name);
    lines.push(`let ${name} = ${coordinate(id, shape, d)};`);
    return name;
  });
}

function statementLines({ tensor, equations, stored }: Statement, element: Element): string[] {
  const { emitter, held, id, slices, workgroupSize, summed, places } = element;
  const name = emitter.value(tensor, stored);
  if (summed !== undefined) {
    const sum = equationText(equations[0], name, false, element);
    return [`var ${name} = vec4<f32>();`, sum, writeQuad(tensor, id, name, emitter)];
  }
  const isInteger = emitter.layout(tensor).dtype === 'i32';
  const lines: string[] = [];
  const [first, ...others] = equations;
  const single = first && others.length === 0 ? singleExpression(first, isInteger, element) : undefined;
  if (single !== undefined) lines.push(...single.lines, `let ${name} = ${single.text};`);
  else {
    // Sums of integers stay integers; the other reducers go through f32, as what holds reals does.
    const inIntegers =
      isInteger && equations.every((e) => e.reducer === 'sum' && isWhole(e.value, { emitter, axes: e.axes }));
    const total = isInteger && !inIntegers ? emitter.fresh('total') : name;
    lines.push(`var ${total} = ${inIntegers ? '0' : '0.0'};`);
    for (const equation of equations) lines.push(equationText(equation, total, inIntegers, element));
    if (total !== name) lines.push(`let ${name} = i32(${total});`);
  }
  held.set(tensor, name);
  const write = (value: string): string => `${places.get(tensor) ?? emitter.writes(tensor, id)} = ${value};`;
  if (slices > 1) lines.push(addLoopSlices(name, slices, workgroupSize, write));
  else if (stored) lines.push(write(name));
  return lines;
}

/** A pointwise equation over the whole tensor is one expression. */
function singleExpression(
  equation: Equation,
  isInteger: boolean,
  element: Element,
): { readonly lines: readonly string[]; readonly text: string } | undefined {
  const { shape, coordinates } = element;
  const axes = plainStore(equation, shape);
  if (!axes || equation.domain.length > 0) return undefined;
  if (equation.axes.some((axis, i) => axis.extent > 1 && !axes.includes(i))) return undefined;
  const scope = scopeOf(equation, new Map(axes.map((axis, d) => [axis, coordinates[d]])), element);
  if (isInteger) return { lines: [], text: integerText(equation.value, scope) };
  return sharedText(equation.value, scope);
}

/** Any equation: adds what its points store at the element to the variable `total`. */
function equationText(equation: Equation, total: string, inIntegers: boolean, element: Element): string {
  const { emitter, shape, coordinates, slices, summed } = element;
  const names = new Map<number, string>();
  const scope = scopeOf(equation, names, element);
  const whole = openNest(equation, names, scope);
  equation.store.forEach((index, d) => {
    if (index.kind === 'gather') {
      for (const a of affinesOfIndex(index)) for (const term of a.terms) loopOver(whole, term.axis);
      check(whole, `${gatherText(index, scope)} == ${coordinates[d]}`);
    } else {
      solveIndex(index, shape[d], coordinates[d], whole);
      settle(whole);
    }
  });
  settle(whole);
  for (const axis of equation.axes.keys()) loopOver(whole, axis);
  settle(whole);
  const nest = slices === 1 ? whole : ofSlice(whole, slices, emitter);
  const { reducer } = equation;
  if (inIntegers) {
    return nestText(nest, { before: '', inner: `${total} += ${integerText(equation.value, scope)};`, after: '' });
  }
  if (reducer !== 'sum') {
    const { lines, text } = sharedText(equation.value, scope);
    const { before, inner, after } = threadReduction(reducer, text, total, emitter);
    return nestText(nest, { before, inner: [...lines, inner].join('\n'), after });
  }
  if (summed !== undefined) return sumText(nest, { lines: [], text: wideText(summed, scope) }, total, emitter);
  const isLoop = nest.steps.some((step) => step.kind === 'for');
  const { value, scale } = isLoop ? withoutScale(equation.value) : { value: equation.value, scale: 1 };
  if (scale === 1) return sumText(nest, sharedText(value, scope), total, emitter);
  const sum = emitter.fresh('sum');
  return wgsl`
    var ${sum} = 0.0;
    ${sumText(nest, sharedText(value, scope), sum, emitter)}
    ${total} += ${f32Literal(scale)} * ${sum};
  `;
}

function scopeOf(equation: Equation, names: ReadonlyMap<number, string>, { emitter, shape, held }: Element): Scope {
  const store = flatIndex(shape, equation.store);
  const find = (l: Load): string | undefined => {
    const name = held.get(l.tensor);
    const flat = name === undefined ? undefined : flatIndex(emitter.layout(l.tensor).shape, l.indices);
    return flat && store && equalAffine(flat, store) ? name : undefined;
  };
  return {
    emitter,
    axis: (axis) => (equation.axes[axis].extent === 1 ? '0' : (names.get(axis) ?? unbound(equation, axis))),
    axes: equation.axes,
    held: (l) => {
      const name = find(l);
      return name !== undefined && emitter.layout(l.tensor).dtype === 'i32' ? `f32(${name})` : name;
    },
    heldInteger: find,
  };
}

function unbound(equation: Equation, axis: number): never {
  throw new Error(`axis ${equation.axes[axis].name} has no value here`);
}
