/**
 * Integers that a program uses as indices or looks for as labels, held to what they may be: the compiler asks it of those that are
 * made of positions alone, the runtime of all, once it has the data. A kernel reads outside its buffer otherwise, and WebGPU then
 * gives anything at all.
 *
 * What is computed from integers is computed here too, in the interpreter. A value that is out of range is no mistake where the
 * program excludes it: only then are the points looked at one by one, under the conditions around the use.
 */
import { complement } from './affine.ts';
import { equationsOf, tensorMap } from './equation.ts';
import {
  axesOf,
  axisRenaming,
  children,
  constraintAxes,
  constraintLoads,
  gatheredTensors,
  loads,
  rewriteConstraint,
  rewriteExpression,
} from './expression.ts';
import { type IntegerUse, integerUses, violations } from './integer-uses.ts';
import { evaluateTensor, firstPoint, valueAt } from './interpret.ts';
import { type NdArray, positionIn } from './ndarray.ts';
import type { Axis, Constraint, Equation, Expression, Index, Load, Program, Tensor } from './program.ts';
import { elementCount } from './program.ts';
import { type Bounds, integers32, wholeBounds, within } from './whole.ts';

type Values = ReadonlyMap<string, NdArray>;

export interface Misuse {
  readonly kind: 'out of range' | 'not an i32';
  readonly message: string;
  /** The equation. */
  readonly span: Equation['span'];
}

/**
 * The first integer that is out of range where it is used. Inputs that are not `given` are unknown, and so is what is made of them
 * or has more than `mostElements`: nothing is said of those.
 */
export function integerMisuse(
  program: Program,
  given: Values,
  mostElements = Number.POSITIVE_INFINITY,
): Misuse | undefined {
  const tensors = tensorMap(program);
  const values = new Map<string, NdArray>();
  const isKnown = (reads: readonly Load[]): boolean =>
    reads.every((l) => values.has(l.tensor) && l.indices.flatMap(gatheredTensors).every((name) => values.has(name)));
  for (const tensor of program.tensors) {
    const { name, dtype, shape, source } = tensor;
    for (const equation of equationsOf(tensor)) {
      for (const use of integerUses(equation, tensor, tensors)) {
        if (!isKnown([...loads(use.value), ...use.when.flatMap(constraintLoads)])) continue;
        const message = misused(use, equation, values);
        if (message !== undefined) return { kind: 'out of range', message, span: equation.span };
      }
    }
    if (dtype !== 'i32' || elementCount(shape) > mostElements) continue;
    const input = given.get(name);
    if (source.kind === 'input' && input !== undefined) values.set(name, input);
    if (source.kind !== 'computed') continue;
    const reads = source.equations.flatMap((e) => [...loads(e.value), ...e.domain.flatMap(constraintLoads)]);
    if (!isKnown(reads)) continue;
    for (const equation of source.equations) {
      const message = oversized(name, equation, values);
      if (message !== undefined) return { kind: 'not an i32', message, span: equation.span };
    }
    const value = evaluateTensor(tensor, values, values);
    const message = undefinedElement(tensor, value);
    if (message !== undefined) return { kind: 'not an i32', message, span: tensor.span };
    values.set(name, value);
  }
  return undefined;
}

function shownName(tensor: string): string {
  return isUnnamed(tensor) ? 'a computed integer' : `\`${tensor}\``;
}

/** What is summed of several equations, or divided by 0. */
function undefinedElement({ name, shape }: Tensor, { data }: NdArray): string | undefined {
  const wrong = data.findIndex((x) => !(x >= integers32.min && x <= integers32.max));
  if (wrong < 0) return undefined;
  const place = positionIn(shape, wrong).join(', ');
  const told = Number.isFinite(data[wrong]) ? `${data[wrong]}, beyond 32 bits` : 'divided by 0';
  return `${shownName(name)}${place === '' ? '' : `[${place}]`} is ${told}`;
}

/** Kernels compute in 32 bits: what an element is made of may not leave them either. */
function oversized(name: string, { axes, domain, value }: Equation, values: Values): string | undefined {
  const known = (tensor: string): Bounds => boundsOf(values.get(tensor) as NdArray);
  const visit = (e: Expression, when: readonly Constraint[]): string | undefined => {
    const bounds = wholeBounds(e, axes, known);
    if (bounds !== undefined && within(bounds.parts, integers32)) return undefined;
    if (e.kind === 'select') {
      const { condition } = e;
      const held: readonly Constraint[] =
        condition.kind === 'domain' ? condition.constraints : [{ ...condition, kind: 'data' }];
      const branches = [held, ...complement(held)].map((more, i) =>
        visit(i === 0 ? e.then : e.otherwise, [...when, ...more]),
      );
      return branches.find((message) => message !== undefined);
    }
    for (const part of children(e)) {
      const message = visit(part, when);
      if (message !== undefined) return message;
    }
    const use: IntegerUse = { kind: 'index', value: e, least: integers32.min, most: integers32.max, when, of: '' };
    for (const constraints of violations(use)) {
      const at = firstPoint(axes, constraints, values);
      if (at === undefined) continue;
      const place = axes.map((axis, i) => `${axis.name} = ${at[i]}`).join(', ');
      const whole = e === value ? 'is' : 'has a part that is';
      return `${shownName(name)} ${whole} ${valueAt(e, at, values)}${place === '' ? '' : ` at ${place}`}, beyond 32 bits`;
    }
    return undefined;
  };
  return visit(value, domain);
}

function misused(use: IntegerUse, { axes }: Equation, values: Values): string | undefined {
  const known = (name: string): Bounds => boundsOf(values.get(name) as NdArray);
  const allowed: Bounds = { min: use.least, max: use.most };
  if (use.value.kind === 'load' && within(known(use.value.tensor), allowed)) return undefined;
  for (const constraints of violations(use)) {
    const spoken = connected(axesOf(use.value), constraints);
    const place: number[] = [];
    spoken.forEach((axis, position) => {
      place[axis] = position;
    });
    const asked = constraints.filter((c) => constraintAxes(c).every((axis) => spoken.includes(axis)));
    const rename = { affine: axisRenaming(place) };
    const box = spoken.map((axis) => axes[axis]);
    const at = firstPoint(
      box,
      asked.map((c) => rewriteConstraint(c, rename)),
      values,
    );
    if (at === undefined) continue;
    return told(use, rewriteExpression(use.value, rename), box, at, values);
  }
  return undefined;
}

/** The axes, and those that a constraint ties to them. */
function connected(own: readonly number[], constraints: readonly Constraint[]): readonly number[] {
  const found = new Set(own);
  for (let size = -1; size !== found.size; ) {
    size = found.size;
    for (const c of constraints) {
      const spoken = constraintAxes(c);
      if (spoken.some((axis) => found.has(axis))) for (const axis of spoken) found.add(axis);
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** `tokens`[3, 5] is 97, and it indexes dimension 0 of `E`, where only 0 to 95 exist */
function told(
  use: IntegerUse,
  value: Expression,
  axes: readonly Axis[],
  at: readonly number[],
  values: Values,
): string {
  const number = (e: Expression): number => valueAt(e, at, values);
  const { kind, least, most, of } = use;
  const why =
    kind === 'index'
      ? `it indexes ${of}, where only ${least} to ${most} exist`
      : `it is looked for among ${of}, which is ${least} to ${most}; a \`where\` may leave it out`;
  if (value.kind === 'load' && !isUnnamed(value.tensor)) {
    const place = value.indices.map((index) => number(asValue(index))).join(', ');
    return `\`${value.tensor}\`${place === '' ? '' : `[${place}]`} is ${number(value)}, and ${why}`;
  }
  const shown = axes.map(({ name }, i) => `${name} = ${at[i]}`).join(', ');
  return `a computed integer is ${number(value)}${shown === '' ? '' : ` at ${shown}`}, and ${why}`;
}

function asValue(index: Index): Expression {
  return index.kind === 'affine' ? { kind: 'index', affine: index } : { ...index, kind: 'load' };
}

/** What the compiler named itself says nothing to a person. */
function isUnnamed(tensor: string): boolean {
  return tensor.includes('~');
}

function boundsOf({ data }: NdArray): Bounds {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const x of data) {
    if (x < min) min = x;
    if (x > max) max = x;
  }
  return { min, max };
}
