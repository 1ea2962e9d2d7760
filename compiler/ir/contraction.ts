/**
 * What a contraction is: an equation that sums a product of operands. Found by looking at an equation, never stored in it; passes
 * order contractions and analysis counts them, so both ask here.
 *
 * Axis sets are bigints, one bit an axis: an equation in which many structures were inlined may have more than 31 axes.
 *
 * The trap: a divisor that holds no load of two or more factors' loop is a factor `1 / divisor`, but `W / max(1, ρ)` alone stays one
 * operand, so that a clipped core is one tensor and not a core and a scalar.
 */
import { storeAxes } from './equation.ts';
import { axesOf, constant, constraintAxes, divide, loads, product } from './expression.ts';
import type { Axis, Constraint, Equation, Expression } from './program.ts';

export type AxisSet = bigint;

export interface Product {
  /** The constant factors together. */
  readonly constant: number;
  /** None is a constant, a product, a negation, or a quotient by a constant. */
  readonly factors: readonly Expression[];
}

/** An expression as constant · factors. */
export function factorsOf(expression: Expression): Product {
  switch (expression.kind) {
    case 'constant':
      return { constant: expression.value, factors: [] };
    case 'product': {
      const parts = expression.factors.map(factorsOf);
      return {
        constant: parts.reduce((all, part) => all * part.constant, 1),
        factors: parts.flatMap((part) => part.factors),
      };
    }
    case 'unary': {
      if (expression.operator !== 'negate') return { constant: 1, factors: [expression] };
      const inner = factorsOf(expression.operand);
      return { constant: -inner.constant, factors: inner.factors };
    }
    case 'binary': {
      if (expression.operator !== 'divide') return { constant: 1, factors: [expression] };
      const left = factorsOf(expression.left);
      if (expression.right.kind === 'constant') {
        return { constant: left.constant / expression.right.value, factors: left.factors };
      }
      if (left.factors.length < 2) return { constant: 1, factors: [expression] };
      return { constant: left.constant, factors: [...left.factors, divide(constant(1), expression.right)] };
    }
    default:
      return { constant: 1, factors: [expression] };
  }
}

export function productOf({ constant: c, factors }: Product): Expression {
  return product([constant(c), ...factors]);
}

/** Whether the factor reads a tensor: those that do not (an index as a number, a draw) cost no memory. */
export function readsTensor(expression: Expression): boolean {
  return loads(expression).length > 0;
}

export function axisSet(axes: readonly number[]): AxisSet {
  let set = 0n;
  for (const axis of axes) set |= 1n << BigInt(axis);
  return set;
}

/** The axes in a set, ascending. */
export function axesIn(set: AxisSet): readonly number[] {
  const axes: number[] = [];
  for (let axis = 0, rest = set; rest !== 0n; axis++, rest >>= 1n) if ((rest & 1n) === 1n) axes.push(axis);
  return axes;
}

const expressionAxes = new WeakMap<Expression, AxisSet>();

export function axesOfExpression(expression: Expression): AxisSet {
  const known = expressionAxes.get(expression);
  if (known !== undefined) return known;
  const axes = axisSet(axesOf(expression));
  expressionAxes.set(expression, axes);
  return axes;
}

export function axesOfConstraint(constraint: Constraint): AxisSet {
  return axisSet(constraintAxes(constraint));
}

export function axesOfStore(equation: Equation): AxisSet {
  return axisSet(storeAxes(equation));
}

/** Number of points of the box of some axes. */
export function pointsOf(set: AxisSet, axes: readonly Axis[]): number {
  return axesIn(set).reduce((points, axis) => points * axes[axis].extent, 1);
}

/**
 * The operands of a contraction: the tensor-reading factors of a summed product, axis-free ones left out. Undefined where the
 * equation is not one: another reducer, or fewer than two operands, or nothing reduced and one operand has all the axes
 * (that is a pointwise product).
 */
export function contractionOperands(equation: Equation): readonly Expression[] | undefined {
  if (equation.reducer !== 'sum') return undefined;
  const operands = factorsOf(equation.value).factors.filter(
    (factor) => readsTensor(factor) && axesOf(factor).length > 0,
  );
  if (operands.length < 2) return undefined;
  const whole = axisSet(equation.axes.map((_, axis) => axis));
  const reduced = axesOfStore(equation) !== whole;
  return reduced || operands.every((operand) => axesOfExpression(operand) !== whole) ? operands : undefined;
}

export function isContraction(equation: Equation): boolean {
  return contractionOperands(equation) !== undefined;
}
