/**
 * An equation seen as a network of operands: what `tree.ts` orders and `contraction-order.ts` makes into steps.
 *
 *   y[n, i] sum= 0.5 * s[] * tanh(C[i, k]) * x[n, k]   →   0.5, operands (s * tanh(C)) over {i, k} and x over {n, k}
 *
 * The trap: axis-free factors are no operands, or they would count among the few that are searched exhaustively.
 */
import type { AxisSet } from '../../ir/contraction.ts';
import {
  axesIn,
  axesOfConstraint,
  axesOfExpression,
  axesOfStore,
  axisSet,
  factorsOf,
  pointsOf,
  readsTensor,
} from '../../ir/contraction.ts';
import { product } from '../../ir/expression.ts';
import type { Constraint, Equation, Expression } from '../../ir/program.ts';
import { remembered } from '../../ir/remembered.ts';
import { canonicalSum } from '../canonical.ts';
import type { Network } from './network.ts';
import { liveAxes } from './network.ts';

/** What is decided about an equation before anything is made. */
export interface Plan {
  readonly constant: number;
  readonly factors: readonly Expression[];
  readonly network: Network;
}

const plans = new WeakMap<Equation, { readonly plan: Plan | undefined }>();

/** The equation as a network of operands; undefined where there is nothing to order. */
export function planEquation(equation: Equation): Plan | undefined {
  return remembered(plans, equation, (e) => ({ plan: networkOf(e) })).plan;
}

function networkOf(equation: Equation): Plan | undefined {
  if (equation.reducer !== 'sum') return undefined;
  const { constant: c, factors } = factorsOf(equation.value);
  const operands = factors.filter((factor) => axesOfExpression(factor) !== 0n);
  if (operands.filter(readsTensor).length < 2 || isRowReduction(equation, operands)) return undefined;
  const scalars = factors.filter((factor) => axesOfExpression(factor) === 0n);
  const attached = attachScalars(operands, scalars, equation);
  const network: Network = {
    extents: equation.axes.map((axis) => axis.extent),
    operands: attached.map(axesOfExpression),
    store: axesOfStore(equation),
    constraints: equation.domain.map(axesOfConstraint),
  };
  // An axis that nothing speaks of repeats every point.
  const spoken = [...network.operands, ...network.constraints].reduce((all, axes) => all | axes, network.store);
  const repeats = pointsOf(axisSet(equation.axes.map((_, axis) => axis)) & ~spoken, equation.axes);
  return { constant: c * repeats, factors: attached, network };
}

/**
 * A sum along rows of what is stored already, `Σ_i dy[n, i] * y[n, i] * r[n]`: one operand has every axis, and so has another, or
 * there is but one more or two. It is bound by memory and fuses with its neighbours, so it stays in one piece.
 */
function isRowReduction(equation: Equation, operands: readonly Expression[]): boolean {
  const whole = axisSet(equation.axes.map((_, axis) => axis));
  const rows = axesOfStore(equation);
  const others = operands.filter((operand) => axesOfExpression(operand) !== whole);
  // What is more than a load and differs along the row is worth a tensor.
  if (others.some((operand) => !isPlainLoad(operand) && (axesOfExpression(operand) & ~rows) !== 0n)) return false;
  const spanning = operands.length - others.length;
  return spanning > 1 || (spanning === 1 && operands.length <= 3);
}

function attachScalars(
  operands: readonly Expression[],
  scalars: readonly Expression[],
  { axes }: Equation,
): readonly Expression[] {
  if (scalars.length === 0) return operands;
  const size = (position: number): number => pointsOf(axesOfExpression(operands[position]), axes);
  const positions = operands.map((_, position) => position).filter((position) => readsTensor(operands[position]));
  const compound = positions.filter((position) => !isPlainLoad(operands[position]));
  const smallest = (compound.length > 0 ? compound : positions).reduce((a, b) => (size(b) < size(a) ? b : a));
  return operands.map((operand, position) => (position === smallest ? product([...scalars, operand]) : operand));
}

export function isPlainLoad(expression: Expression): boolean {
  return expression.kind === 'load' && expression.indices.every((index) => index.kind === 'affine');
}

/** The axes of some operands together. */
export function unionOf(members: readonly number[], { network }: Plan): AxisSet {
  return members.reduce((all, member) => all | network.operands[member], 0n);
}

/** The constraints that a loop over some axes can ask. */
export function constraintsWithin(equation: Equation, loop: AxisSet): readonly Constraint[] {
  return equation.domain.filter((c) => (axesOfConstraint(c) & ~loop) === 0n);
}

/** The key of the intermediate that some operands make, the same in every equation that could use it. */
export function intermediateKey(equation: Equation, plan: Plan, members: readonly number[]): string {
  const domain = constraintsWithin(equation, unionOf(members, plan));
  const value = product(members.map((member) => plan.factors[member]));
  return canonicalSum({ axes: equation.axes, domain, value, kept: axesIn(liveAxes(plan.network, members)) }).key;
}
