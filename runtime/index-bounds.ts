/**
 * Integers that a program uses as indices or looks for as labels, held to what they may be before anything is uploaded: a kernel
 * reads outside its buffer otherwise, and WebGPU then gives anything at all.
 *
 * What is computed from integers is computed here too, in the interpreter. A value that is out of range is no mistake where the
 * program excludes it: only then are the points looked at one by one, under the conditions around the use.
 */
import { UserError } from '../compiler/command-line/errors.ts';
import { complement } from '../compiler/ir/affine.ts';
import { equationsOf, tensorMap } from '../compiler/ir/equation.ts';
import {
  axesOf,
  axisRenaming,
  children,
  constraintAxes,
  rewriteConstraint,
  rewriteExpression,
} from '../compiler/ir/expression.ts';
import { type IntegerUse, integerUses, violations } from '../compiler/ir/integer-uses.ts';
import { evaluateTensor, firstPoint, valueAt } from '../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../compiler/ir/ndarray.ts';
import type { Axis, Constraint, Equation, Expression, Index, Program, Tensor } from '../compiler/ir/program.ts';
import { type Bounds, integers32, wholeBounds, within } from '../compiler/ir/whole.ts';
import { positionIn } from './positions.ts';

type Values = Map<string, NdArray>;

/** Throws UserError with the first integer that is out of range where it is used, and its position. */
export function checkIntegers(file: string, program: Program, given: ReadonlyMap<string, ArrayLike<number>>): void {
  const tensors = tensorMap(program);
  const values: Values = new Map();
  for (const tensor of program.tensors) {
    const { name, dtype, shape, source } = tensor;
    for (const equation of equationsOf(tensor)) {
      for (const use of integerUses(equation, tensor, tensors)) checkUse(file, use, equation, values);
    }
    if (dtype !== 'i32') continue;
    if (source.kind === 'input') {
      const data = given.get(name);
      if (data !== undefined) values.set(name, ndarray(shape, data));
    } else values.set(name, checkedComputed(file, tensor, values));
  }
}

/** Kernels compute in 32 bits: neither the elements nor what they are made of may leave them. */
function checkedComputed(file: string, tensor: Tensor, values: Values): NdArray {
  for (const equation of equationsOf(tensor)) checkParts(file, tensor.name, equation, values);
  const value = evaluateTensor(tensor, values, values);
  const wrong = value.data.findIndex((x) => !(x >= integers32.min && x <= integers32.max));
  if (wrong < 0) return value;
  const place = positionIn(tensor.shape, wrong).join(', ');
  const found = value.data[wrong];
  const told = Number.isFinite(found) ? `${found}, beyond 32 bits` : 'divided by 0';
  const name = isUnnamed(tensor.name) ? 'a computed integer' : `\`${tensor.name}\``;
  throw new UserError(`${file}: ${name}${place === '' ? '' : `[${place}]`} is ${told}`);
}

function checkParts(file: string, name: string, { axes, domain, value }: Equation, values: Values): void {
  const known = (tensor: string): Bounds => boundsOf(values.get(tensor) as NdArray);
  const visit = (e: Expression, when: readonly Constraint[]): void => {
    const bounds = wholeBounds(e, axes, known);
    if (bounds !== undefined && within(bounds.parts, integers32)) return;
    if (e.kind === 'select') {
      const { condition } = e;
      const held: readonly Constraint[] =
        condition.kind === 'domain' ? condition.constraints : [{ ...condition, kind: 'data' }];
      visit(e.then, [...when, ...held]);
      for (const failing of complement(held)) visit(e.otherwise, [...when, ...failing]);
      return;
    }
    for (const part of children(e)) visit(part, when);
    const use: IntegerUse = { kind: 'index', value: e, least: integers32.min, most: integers32.max, when, of: '' };
    for (const constraints of violations(use)) {
      const at = firstPoint(axes, constraints, values);
      if (at === undefined) continue;
      const place = axes.map((axis, i) => `${axis.name} = ${at[i]}`).join(', ');
      const whole = e === value ? 'is' : 'has a part that is';
      const shown = isUnnamed(name) ? 'a computed integer' : `\`${name}\``;
      throw new UserError(
        `${file}: ${shown} ${whole} ${valueAt(e, at, values)}${place === '' ? '' : ` at ${place}`}, beyond 32 bits`,
      );
    }
  };
  visit(value, domain);
}

function checkUse(file: string, use: IntegerUse, { axes }: Equation, values: Values): void {
  const known = (name: string): Bounds => boundsOf(values.get(name) as NdArray);
  const allowed: Bounds = { min: use.least, max: use.most };
  if (use.value.kind === 'load' && within(known(use.value.tensor), allowed)) return;
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
    const value = rewriteExpression(use.value, rename);
    throw new UserError(`${file}: ${told(use, value, box, at, values)}`);
  }
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
