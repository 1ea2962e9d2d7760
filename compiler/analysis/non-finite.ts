/**
 * Why an element of a tensor is not finite, where all that it is computed from is: the equation, the operation in it that leaves the
 * finite numbers, and the values that went in.
 *
 *   y[b, i] = log(x[b, i] - 1)      y[0, 2] is NaN:  log(x[b, i] - 1) is NaN, with x[0, 2] = 0.5
 *
 * The trap: the device computes in f32, so here a value beyond f32 counts as infinite; and each value of a sum may be finite where
 * the sum is not.
 */
import { evaluate } from '../ir/affine.ts';
import { equationLoads } from '../ir/equation.ts';
import { children, constant, load, select, unary } from '../ir/expression.ts';
import { firstPoint, valueAt } from '../ir/interpret.ts';
import type { NdArray } from '../ir/ndarray.ts';
import { axisNames, printExpression } from '../ir/print.ts';
import type { Condition, Constraint, Equation, Expression, Index, Load } from '../ir/program.ts';
import { largestF32 } from '../ir/scalar.ts';

export interface NonFiniteCause {
  readonly equation: Equation;
  /** The innermost operation whose operands are finite, as it is printed, and its value; undefined where only the sum is not. */
  readonly operation: { readonly text: string; readonly value: number } | undefined;
  /** `x[0, 2]` and its value, for each that the equation reads there. */
  readonly inputs: readonly { readonly element: string; readonly value: number }[];
}

export function isBeyondF32(value: number): boolean {
  return !(Math.abs(value) <= largestF32);
}

type Values = ReadonlyMap<string, NdArray>;

/** `values` holds what the equations read. Undefined where no equation stores to the element. */
export function nonFiniteCause(
  equations: readonly Equation[],
  element: readonly number[],
  values: Values,
): NonFiniteCause | undefined {
  for (const equation of equations) {
    const point = pointOf(equation, element, values, [beyond(equation.value)]);
    if (point !== undefined) return causeAt(equation, point, values);
  }
  for (const equation of equations) {
    const point = pointOf(equation, element, values, []);
    if (point !== undefined) return causeAt(equation, point, values);
  }
  return undefined;
}

/** The first point that stores to the element and meets the other constraints. */
function pointOf(
  { axes, domain, store }: Equation,
  element: readonly number[],
  values: Values,
  more: readonly Constraint[],
): readonly number[] | undefined {
  const stores = store.map((index, d) => meets(index, element[d]));
  return firstPoint(axes, [...domain, ...stores, ...more], values);
}

function meets(index: Index, position: number): Constraint {
  if (index.kind === 'affine') {
    return { kind: 'zero', affine: { ...index, constant: index.constant - position } };
  }
  return { kind: 'data', operator: '==', left: load(index.tensor, index.indices), right: constant(position) };
}

/** A NaN is below nothing. */
function beyond(value: Expression): Constraint {
  const isSound: Condition = {
    kind: 'compare',
    operator: '<=',
    left: unary('abs', value),
    right: constant(largestF32),
  };
  return { kind: 'data', operator: '==', left: select(isSound, constant(0), constant(1)), right: constant(1) };
}

function causeAt(equation: Equation, point: readonly number[], values: Values): NonFiniteCause {
  const innermost = innermostBeyond(equation.value, point, values);
  const names = axisNames(equation.axes);
  const seen = new Map(
    equationLoads(equation).map((one) => [elementText(one, point, values), valueAt(one, point, values)]),
  );
  return {
    equation,
    operation:
      innermost === undefined
        ? undefined
        : { text: printExpression(innermost, names), value: valueAt(innermost, point, values) },
    inputs: [...seen].map(([element, value]) => ({ element, value })),
  };
}

/** Operands before what is made of them: what is beyond f32 inside may be small again outside, on the device it is not. */
function innermostBeyond(e: Expression, point: readonly number[], values: Values): Expression | undefined {
  for (const operand of operands(e, point, values)) {
    const inner = innermostBeyond(operand, point, values);
    if (inner !== undefined) return inner;
  }
  return isBeyondF32(valueAt(e, point, values)) ? e : undefined;
}

/** Of a choice the branch that is taken: the other may read what is not there. */
function operands(e: Expression, point: readonly number[], values: Values): readonly Expression[] {
  if (e.kind !== 'select') return children(e);
  const taken = valueAt(select(e.condition, constant(1), constant(0)), point, values) === 1;
  return [taken ? e.then : e.otherwise];
}

function elementText({ tensor, indices }: Load, point: readonly number[], values: Values): string {
  if (indices.length === 0) return tensor;
  const at = indices.map((index) =>
    index.kind === 'affine' ? evaluate(index, point) : valueAt(load(index.tensor, index.indices), point, values),
  );
  return `${tensor}[${at.join(', ')}]`;
}
