/**
 * The meaning of a tensor program, in float64 and the plainest loops: every pass and every kernel is held to what comes out here.
 *
 * Each equation is compiled once to closures over *registers*: the value of every affine expression at the current point. The
 * loops over the axes keep the registers current by adding coefficients, so that a load is one array access.
 *
 * The trap: nothing is evaluated where it is not meant to be. A point outside the domain evaluates no value, and a `select` only
 * the branch that it takes, since loads there may lie outside their tensors; a load that does is a bug of ours and throws.
 */
import { add, affine, axisIndex, evaluate, isAffine, range, scale } from './affine.ts';
import { neededFor } from './equation.ts';
import { constraintAxes, rewriteExpression } from './expression.ts';
import type { NdArray } from './ndarray.ts';
import { stridesOf, zeros } from './ndarray.ts';
import { drawNormal, drawUniform } from './philox.ts';
import type { Affine, Axis, Condition, Constraint, Equation, Expression, Index, Program, Tensor } from './program.ts';
import { elementCount } from './program.ts';
import { reductions } from './reduction.ts';
import { binaryFunctions, comparisons, unaryFunctions } from './scalar.ts';

type Values = ReadonlyMap<string, NdArray>;

/**
 * Values of all tensors by name, or of the `wanted` ones alone (then nothing else is computed that they do not need).
 * `inputs` holds every input and param by name. Throws where one that is needed is missing or has another shape.
 */
export function interpret(program: Program, inputs: Values, wanted?: readonly string[]): Map<string, NdArray> {
  const needed = wanted === undefined ? undefined : neededFor(program, wanted);
  const values = new Map<string, NdArray>();
  for (const tensor of program.tensors) {
    if (needed === undefined || needed.has(tensor.name))
      values.set(tensor.name, evaluateTensor(tensor, values, inputs));
  }
  return wanted === undefined ? values : new Map(wanted.map((name) => [name, lookUp(values, name)]));
}

/** The inputs of the next run: each state of the program takes the value of its `next`. */
export function nextInputs(program: Program, inputs: Values, values: Values): Map<string, NdArray> {
  const next = new Map(inputs);
  for (const update of program.updates) next.set(update.state, lookUp(values, update.next));
  return next;
}

function lookUp(values: Values, name: string): NdArray {
  const value = values.get(name);
  if (value === undefined) throw new Error(`tensor ${name} is used before it has a value`);
  return value;
}

/** The first point of the axes, last axis fastest, that meets the constraints; undefined if there is none. */
export function firstPoint(
  axes: readonly Axis[],
  constraints: readonly Constraint[],
  values: Values,
): readonly number[] | undefined {
  const registers = new Registers(axes, values);
  const position = axes.map((_, axis) => registers.read(axisIndex(axis)));
  let found: readonly number[] | undefined;
  registers.forEachPoint(constraints, values, () => {
    found = position.map((read) => read());
    return true;
  });
  return found;
}

/** The value of an expression at one point of its axes. */
export function valueAt(e: Expression, point: readonly number[], values: Values): number {
  const fixed = rewriteExpression(e, { affine: (a) => affine(evaluate(a, point)) });
  const registers = new Registers([]);
  const value = compile(fixed, registers, values);
  let found = Number.NaN;
  registers.forEachPoint([], values, () => {
    found = value();
    return true;
  });
  return found;
}

/** The tensor's value from those of the tensors that it reads; of what is given, from `inputs`. */
export function evaluateTensor(tensor: Tensor, values: Values, inputs: Values): NdArray {
  const { source, shape } = tensor;
  switch (source.kind) {
    case 'input':
    case 'param': {
      const given = inputs.get(tensor.name);
      if (given === undefined) throw new Error(`no value for the ${source.kind} ${tensor.name}`);
      if (given.shape.length !== shape.length || given.shape.some((extent, d) => extent !== shape[d])) {
        throw new Error(`${tensor.name} has shape [${shape.join(', ')}], but was given [${given.shape.join(', ')}]`);
      }
      return given;
    }
    case 'computed': {
      const result = zeros(shape);
      for (const equation of source.equations) addEquation(equation, tensor.name, result, values);
      return result;
    }
    case 'view': {
      const { data } = lookUp(values, source.base);
      return { shape, data: data.slice(source.offset, source.offset + elementCount(shape)) };
    }
    case 'concat': {
      const result = zeros(shape);
      for (const part of source.parts) result.data.set(lookUp(values, part.tensor).data, part.offset);
      return result;
    }
    default:
      return source satisfies never;
  }
}

/** Adds to `target` what the equation's reducer makes of the points that store to each element. */
function addEquation(equation: Equation, name: string, target: NdArray, values: Values): void {
  const registers = new Registers(equation.axes, values);
  const position = compilePosition(equation.store, target.shape, name, registers, values);
  const value = compile(equation.value, registers, values);
  const reduction = reductions[equation.reducer](target.data.length);
  registers.forEachPoint(equation.domain, values, () => {
    reduction.take(position(), value());
    return false;
  });
  for (let i = 0; i < target.data.length; i++) target.data[i] += reduction.result(i);
}

function symbolValue({ name, extent, symbol }: Axis, values: Values): number | undefined {
  if (symbol === undefined) return undefined;
  const value = lookUp(values, symbol).data[0];
  if (Number.isInteger(value) && value >= 0 && value < extent) return value;
  throw new Error(`${name} is ${symbol}, which is ${value} and not one of 0 .. ${extent - 1}`);
}

type Scalar = () => number;
type Test = () => boolean;

/** The values of affine expressions at the current point of a box of axes. */
class Registers {
  readonly axes: readonly Axis[];
  /** The one value of each axis that has but one, which only runs tell. */
  private readonly symbols: readonly (number | undefined)[];
  readonly values: number[] = [];
  private readonly affines: Affine[] = [];
  private readonly slots = new Map<string, number>();

  constructor(axes: readonly Axis[], given: Values = new Map()) {
    this.axes = axes;
    this.symbols = axes.map((axis) => symbolValue(axis, given));
  }

  /** The register that holds an affine expression. */
  slot(a: Affine): number {
    const key = `${a.constant} ${a.terms.map((term) => `${term.axis}:${term.coefficient}`).join(' ')}`;
    const known = this.slots.get(key);
    if (known !== undefined) return known;
    const slot = this.affines.length;
    this.affines.push(a);
    this.slots.set(key, slot);
    return slot;
  }

  read(a: Affine): Scalar {
    const slot = this.slot(a);
    const { values } = this;
    return () => values[slot];
  }

  test(constraint: Constraint, given: Values): Test {
    if (constraint.kind === 'data') {
      const compare = comparisons[constraint.operator];
      const [left, right] = [compile(constraint.left, this, given), compile(constraint.right, this, given)];
      return () => compare(left(), right());
    }
    const { kind } = constraint;
    const slot = this.slot(constraint.affine);
    const { values } = this;
    switch (kind) {
      case 'nonnegative':
        return () => values[slot] >= 0;
      case 'zero':
        return () => values[slot] === 0;
      case 'nonzero':
        return () => values[slot] !== 0;
      default:
        return kind satisfies never;
    }
  }

  /** Visits the points of the domain, last axis fastest, until `visit` says that it has seen enough. Every register must have been asked for before. */
  forEachPoint(domain: readonly Constraint[], given: Values, visit: () => boolean): void {
    const { axes, symbols, values } = this;
    const rank = axes.length;
    // A constraint is tested as soon as its last axis has a value; the later axes still stand at 0 and do not matter to it.
    const tests: Test[][] = Array.from({ length: rank + 1 }, () => []);
    const depthOf = (constraints: readonly Constraint[]): number =>
      Math.max(0, ...constraints.flatMap(constraintAxes).map((axis) => axis + 1));
    const positions = domain.filter(isAffine);
    for (const c of positions) tests[depthOf([c])].push(this.test(c, given));
    // What is read may lie inside its tensor only where the point is inside all else.
    for (const c of domain) if (c.kind === 'data') tests[depthOf([...positions, c])].push(this.test(c, given));
    const steps = axes.map((_, axis) => {
      const moved = this.affines.flatMap((a, slot) =>
        a.terms.filter((term) => term.axis === axis).map(({ coefficient }) => ({ slot, coefficient })),
      );
      return { slots: moved.map(({ slot }) => slot), coefficients: moved.map(({ coefficient }) => coefficient) };
    });
    this.affines.forEach((a, slot) => {
      values[slot] = a.constant;
    });
    const descend = (depth: number): boolean => {
      const settled = tests[depth];
      for (let k = 0; k < settled.length; k++) if (!settled[k]()) return false;
      if (depth === rank) return visit();
      const { extent } = axes[depth];
      const { slots, coefficients } = steps[depth];
      const count = slots.length;
      const symbol = symbols[depth];
      if (symbol !== undefined) {
        for (let k = 0; k < count; k++) values[slots[k]] += coefficients[k] * symbol;
        const isEnough = descend(depth + 1);
        for (let k = 0; k < count; k++) values[slots[k]] -= coefficients[k] * symbol;
        return isEnough;
      }
      for (let i = 0; i < extent; i++) {
        if (descend(depth + 1)) return true;
        for (let k = 0; k < count; k++) values[slots[k]] += coefficients[k];
      }
      for (let k = 0; k < count; k++) values[slots[k]] -= coefficients[k] * extent;
      return false;
    };
    descend(0);
  }
}

function compile(expression: Expression, registers: Registers, values: Values): Scalar {
  const go = (e: Expression): Scalar => compile(e, registers, values);
  switch (expression.kind) {
    case 'constant': {
      const { value } = expression;
      return () => value;
    }
    case 'index':
      return registers.read(expression.affine);
    case 'load': {
      const { data, shape } = lookUp(values, expression.tensor);
      const position = compilePosition(expression.indices, shape, expression.tensor, registers, values);
      return () => data[position()];
    }
    case 'sum': {
      const terms = expression.terms.map(go);
      return () => {
        let total = 0;
        for (const term of terms) total += term();
        return total;
      };
    }
    case 'product': {
      const factors = expression.factors.map(go);
      if (factors.length === 2) {
        const [a, b] = factors;
        return () => a() * b();
      }
      return () => {
        let total = 1;
        for (const factor of factors) total *= factor();
        return total;
      };
    }
    case 'unary': {
      const apply = unaryFunctions[expression.operator];
      const operand = go(expression.operand);
      return () => apply(operand());
    }
    case 'binary': {
      const apply = binaryFunctions[expression.operator];
      const left = go(expression.left);
      const right = go(expression.right);
      return () => apply(left(), right());
    }
    case 'select': {
      const condition = compileCondition(expression.condition, registers, values);
      const then = go(expression.then);
      const otherwise = go(expression.otherwise);
      return () => (condition() ? then() : otherwise());
    }
    case 'random': {
      const draw = expression.distribution === 'uniform' ? drawUniform : drawNormal;
      const { stream } = expression;
      const seed = go(expression.seed);
      const step = go(expression.step);
      const element = registers.read(expression.element);
      return () => draw(seed(), stream, step(), element());
    }
    default:
      return expression satisfies never;
  }
}

function compileCondition(condition: Condition, registers: Registers, values: Values): Test {
  if (condition.kind === 'domain') {
    const tests = condition.constraints.map((c) => registers.test(c, values));
    return () => tests.every((test) => test());
  }
  const compare = comparisons[condition.operator];
  const left = compile(condition.left, registers, values);
  const right = compile(condition.right, registers, values);
  return () => compare(left(), right());
}

/** Position in the row-major data of the element that the indices name at the current point. */
function compilePosition(
  indices: readonly Index[],
  shape: readonly number[],
  name: string,
  registers: Registers,
  values: Values,
): Scalar {
  if (indices.length !== shape.length) {
    throw new Error(`${name} has ${shape.length} dimensions, but ${indices.length} indices`);
  }
  const strides = stridesOf(shape);
  const flat = flatIndex(indices, shape, strides, registers.axes);
  if (flat !== undefined) return registers.read(flat);
  const parts = indices.map((index) => {
    if (index.kind === 'affine') return registers.read(index);
    const { data, shape: gathered } = lookUp(values, index.tensor);
    const position = compilePosition(index.indices, gathered, index.tensor, registers, values);
    return () => data[position()];
  });
  return () => {
    let position = 0;
    for (let d = 0; d < parts.length; d++) {
      const at = parts[d]();
      if (!(at >= 0 && at < shape[d])) {
        const point = parts.map((part) => part()).join(', ');
        throw new Error(`${name}[${point}] lies outside its shape [${shape.join(', ')}]`);
      }
      position += at * strides[d];
    }
    return position;
  };
}

/** The position as one affine expression, where every index stays inside its dimension all over the box. */
function flatIndex(
  indices: readonly Index[],
  shape: readonly number[],
  strides: readonly number[],
  axes: readonly Axis[],
): Affine | undefined {
  let flat = affine(0);
  for (let d = 0; d < indices.length; d++) {
    const index = indices[d];
    if (index.kind !== 'affine') return undefined;
    const { min, max } = range(index, axes);
    if (min < 0 || max >= shape[d]) return undefined;
    flat = add(flat, scale(index, strides[d]));
  }
  return flat;
}
