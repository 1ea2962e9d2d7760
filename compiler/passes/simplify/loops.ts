/**
 * The loops of one equation, made as small as they can be seen to be.
 *
 *   y[i] sum= select(i - j >= 0, A[i, j], 0)  over i: 4, j: 4, k: 3
 *   →  y[i] sum= 3 * A[i, j]  over i: 4, j: 4  where i - j >= 0
 *
 *  - an axis that nothing speaks of repeats each point: times its extent under a sum, nothing under max and min;
 *  - constraints that always hold are dropped, one that never holds takes the equation away;
 *  - a constraint on one axis alone shortens (and shifts) the axis; an equality takes a reduced axis away;
 *  - a branch that is 0 under a sum becomes the domain.
 *
 * The trap: `select(c, a, 0)` may move into the domain only under a sum; a `max` over it counts the zeros.
 */
import {
  add,
  affine,
  asAxis,
  axisIndex,
  coefficientOf,
  complement,
  decide,
  isContradiction,
  substitute,
} from '../../ir/affine.ts';
import { axesIn, axesOfConstraint, axesOfStore, factorsOf, productOf } from '../../ir/contraction.ts';
import { reducedAxes, usedAxes } from '../../ir/equation.ts';
import {
  affinesOf,
  affinesOfIndex,
  binary,
  constant,
  product,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
  sum,
} from '../../ir/expression.ts';
import { constraintKey } from '../../ir/hash.ts';
import type { Affine, Axis, Constraint, Equation, Expression } from '../../ir/program.ts';
import { simplifyExpression } from '../algebra.ts';
import { storesOnce } from '../store.ts';
import { unify } from '../unify.ts';

/** Equations that have nothing left to do: most of a program, in most rounds. */
const finished = new WeakSet<Equation>();

/** Undefined where the equation stores nothing but zeros. The same object where nothing is to be done. */
export function simplifyEquation(equation: Equation): Equation | undefined {
  let current = equation;
  while (!finished.has(current)) {
    const next = step(current);
    if (next === undefined) return undefined;
    if (next === current) finished.add(current);
    current = next;
  }
  return current;
}

/** One round; `simplifyEquation` goes on until nothing changes. */
function step(equation: Equation): Equation | undefined {
  const { axes } = equation;
  if (isContradiction(equation.domain, axes)) return undefined;
  const value = simplifyExpression(equation.value, equation);
  if (equation.reducer === 'sum' && value.kind === 'constant' && value.value === 0) return undefined;
  // Where nothing is reduced the reducer does not matter.
  const reducer = reducedAxes(equation).length === 0 && storesOnce(equation) ? 'sum' : equation.reducer;
  const same = value === equation.value && reducer === equation.reducer;
  const valued = same ? equation : { ...equation, value, reducer };
  return (
    dropHeld(valued) ?? moveBranch(valued) ?? boundAxis(valued) ?? solveReduced(valued) ?? dropAxes(valued) ?? valued
  );
}

/** Constraints that always hold, and repeated ones. */
function dropHeld(equation: Equation): Equation | undefined {
  const { axes, domain } = equation;
  const seen = new Set<string>();
  const kept = domain.filter((c) => {
    const key = constraintKey(c);
    if (seen.has(key) || decide(c, axes) === 'always') return false;
    seen.add(key);
    return true;
  });
  return kept.length === domain.length ? undefined : { ...equation, domain: kept };
}

/** A factor `select(c, a, 0)` under a sum: c goes to the domain. */
function moveBranch(equation: Equation): Equation | undefined {
  if (equation.reducer !== 'sum') return undefined;
  const { constant: c, factors } = factorsOf(equation.value);
  for (const [position, factor] of factors.entries()) {
    if (factor.kind !== 'select' || factor.condition.kind !== 'domain') continue;
    const { constraints } = factor.condition;
    const negated = complement(constraints);
    const [taken, added] = isZero(factor.otherwise)
      ? [factor.then, constraints]
      : isZero(factor.then) && negated.length === 1
        ? [factor.otherwise, negated[0]]
        : [];
    if (taken === undefined || added === undefined) continue;
    const value = productOf({ constant: c, factors: factors.map((f, i) => (i === position ? taken : f)) });
    return { ...equation, domain: [...equation.domain, ...added], value };
  }
  return undefined;
}

function isZero(expression: Expression): boolean {
  return expression.kind === 'constant' && expression.value === 0;
}

/** A constraint on a single axis is the axis's range. */
function boundAxis(equation: Equation): Equation | undefined {
  for (const [position, constraint] of equation.domain.entries()) {
    const [axis, ...others] = axesIn(axesOfConstraint(constraint));
    if (axis === undefined || others.length > 0 || constraint.kind === 'nonzero' || constraint.kind === 'data')
      continue;
    const coefficient = coefficientOf(constraint.affine, axis);
    const bound = -constraint.affine.constant / coefficient;
    const { extent } = equation.axes[axis];
    const low = constraint.kind === 'zero' || coefficient > 0 ? Math.max(0, Math.ceil(bound)) : 0;
    const high = constraint.kind === 'zero' || coefficient < 0 ? Math.min(extent - 1, Math.floor(bound)) : extent - 1;
    if (low > high) return { ...equation, domain: [{ kind: 'zero', affine: affine(1) }] };
    const domain = equation.domain.filter((_, i) => i !== position);
    const axes = equation.axes.map((a, i) => (i === axis ? { ...a, extent: high - low + 1 } : a));
    const shifted = low === high ? affine(low) : add(affine(low), axisIndex(axis));
    return replaceAxes({ ...equation, domain }, axes, (a) => (a === axis ? shifted : axisIndex(a)));
  }
  return undefined;
}

/** An equality of the domain takes a reduced axis away. */
function solveReduced(equation: Equation): Equation | undefined {
  if (equation.reducer !== 'sum') return undefined;
  const stored = axesOfStore(equation);
  for (const [position, constraint] of equation.domain.entries()) {
    if (constraint.kind !== 'zero' || (axesOfConstraint(constraint) & ~stored) === 0n) continue;
    const solved = unify(equation.axes, [constraint.affine], (axis) => Number(((stored >> BigInt(axis)) & 1n) === 1n));
    if (solved.kind === 'empty') return { ...equation, domain: [{ kind: 'zero', affine: affine(1) }] };
    if (solved.kind === 'unsolved') continue;
    const rest = { ...equation, domain: equation.domain.filter((_, i) => i !== position) };
    const replaced = replaceAxes(rest, solved.axes, (axis) => solved.replace[axis]);
    return { ...replaced, domain: [...replaced.domain, ...solved.constraints] };
  }
  return undefined;
}

/**
 * Axes that nothing speaks of, and digits that are always 0. An axis of extent 1 that is an index by itself stays: what is fused must
 * not hang on an extent.
 */
function dropAxes(equation: Equation): Equation | undefined {
  const used = new Set(usedAxes(equation));
  const whole = new Set([...equation.store.flatMap(affinesOfIndex), ...affinesOf(equation.value)].map(asAxis));
  const silent = equation.axes.map((_, axis) => axis).filter((axis) => !used.has(axis));
  const kept = equation.axes
    .map((_, axis) => axis)
    .filter((axis) => used.has(axis) && (equation.axes[axis].extent > 1 || whole.has(axis)));
  if (kept.length === equation.axes.length) return undefined;
  const repeats = silent.reduce((points, axis) => points * equation.axes[axis].extent, 1);
  const position = new Map(kept.map((axis, i) => [axis, i]));
  const replaced = replaceAxes(
    equation,
    kept.map((axis) => equation.axes[axis]),
    (axis) => (position.has(axis) ? axisIndex(position.get(axis) as number) : affine(0)),
  );
  return { ...replaced, value: repeat(replaced, repeats) };
}

/** What the reducer makes of a value that comes `times` times. */
function repeat({ reducer, value }: Equation, times: number): Expression {
  if (times === 1) return value;
  switch (reducer) {
    case 'sum':
      return product([constant(times), value]);
    case 'product':
      return binary('power', value, constant(times));
    case 'max':
    case 'min':
      return value;
    case 'logsumexp':
      return sum([value, constant(Math.log(times))]);
    default:
      return reducer satisfies never;
  }
}

function replaceAxes(equation: Equation, axes: readonly Axis[], replace: (axis: number) => Affine): Equation {
  const rename = { affine: (a: Affine): Affine => substitute(a, replace) };
  return {
    ...equation,
    axes,
    domain: equation.domain.map((c: Constraint) => rewriteConstraint(c, rename)),
    store: equation.store.map((index) => rewriteIndex(index, rename)),
    value: rewriteExpression(equation.value, rename),
  };
}
