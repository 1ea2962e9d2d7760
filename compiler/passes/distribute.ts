/**
 * Sums inside products and sums of contractions become equations of their own, so that each term finds its own order.
 *
 *   y[n, i] sum= (A[i, j] + B[i, j]) * x[n, j]   →   y[n, i] sum= A[i, j] * x[n, j]
 *                                                    y[n, i] sum= B[i, j] * x[n, j]
 *
 * `distribute` is the mechanical step and always true under a sum; whether it pays is asked by `inline.ts`, which compares costs.
 * The pass below does only what pays whatever the costs: a top-level sum of contractions is several equations.
 *
 * The trap: several equations of one tensor add, and only a sum may stand beside others.
 */
import { factorsOf, isContraction, productOf } from '../ir/contraction.ts';
import { equationsOf, reducedAxes } from '../ir/equation.ts';
import type { Equation, Program } from '../ir/program.ts';

/** Every top-level sum that holds a contraction becomes several equations. */
export function distributeSums(program: Program): Program {
  const tensors = program.tensors.map((tensor) => {
    const equations = equationsOf(tensor);
    const split = equations.flatMap(splitSum);
    return split.length === equations.length
      ? tensor
      : { ...tensor, source: { kind: 'computed', equations: split } as const };
  });
  return { ...program, tensors };
}

function splitSum(equation: Equation): readonly Equation[] {
  const { value, reducer } = equation;
  if (reducer !== 'sum' || value.kind !== 'sum') return [equation];
  const terms = value.terms.map((term): Equation => ({ ...equation, value: term }));
  return reducedAxes(equation).length > 0 && terms.some(isContraction) ? terms.flatMap(splitSum) : [equation];
}

/** The equation with one factor that is a sum multiplied out: an equation for each of its terms. */
export function distributeFactor(equation: Equation, position: number): readonly Equation[] {
  const { constant, factors } = factorsOf(equation.value);
  const factor = factors[position];
  if (factor.kind !== 'sum' || equation.reducer !== 'sum') return [equation];
  return factor.terms.map((term) => ({
    ...equation,
    value: productOf({ constant, factors: factors.map((f, i) => (i === position ? term : f)) }),
  }));
}

/** The equation's value as a sum of products, one equation for each top-level term. */
export function distributeTop(equation: Equation): readonly Equation[] {
  const { value, reducer } = equation;
  if (reducer !== 'sum') return [equation];
  if (value.kind === 'sum') return value.terms.flatMap((term) => distributeTop({ ...equation, value: term }));
  const position = factorsOf(value).factors.findIndex((factor) => factor.kind === 'sum');
  return position < 0 || factorsOf(value).factors.length === 1 ? [equation] : distributeFactor(equation, position);
}
