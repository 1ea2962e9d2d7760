/**
 * Finds values that a program already stores, so that a derivative loads them instead of computing them again. This is what makes
 * softmax's backward `A * (cot - …)` with A as the forward pass left it.
 */
import { asAxis, axisIndex } from '../../ir/affine.ts';
import { equationsOf } from '../../ir/equation.ts';
import { load, negatedLoad, sum } from '../../ir/expression.ts';
import type { AxisMatch } from '../../ir/match.ts';
import { emptyMatch, matchConstraint, matchExpression } from '../../ir/match.ts';
import type { Constraint, Equation, Index, Load, Program, Tensor } from '../../ir/program.ts';

/** The load that gives an equation's value back at each of its points: it is the tensor's only one and stores each point apart. */
export function storedResult(equation: Equation, tensor: Tensor): Load | undefined {
  if (equationsOf(tensor).length !== 1 || equation.reducer !== 'sum' || !storesApart(equation)) return undefined;
  return load(tensor.name, equation.store);
}

/** Whether different points store to different elements, seen from each axis having an index to itself. */
function storesApart({ axes, store }: Equation): boolean {
  const alone = new Set<number>();
  for (const index of store) {
    if (index.kind === 'affine' && index.terms.length === 1) alone.add(index.terms[0].axis);
  }
  return axes.every((_, axis) => alone.has(axis));
}

/**
 * A load of exp(v - T[…]), where `equation` of the tensor T is the logsumexp of v: the softmax, if the program stores it over the
 * same domain, whatever its axes are called and in which order they stand.
 */
export function storedExponential(program: Program, equation: Equation, name: string): Load | undefined {
  for (const tensor of program.tensors) {
    const [candidate, ...more] = equationsOf(tensor);
    if (candidate === undefined || more.length > 0 || candidate.reducer !== 'sum') continue;
    const { value, store, axes } = candidate;
    if (value.kind !== 'unary' || value.operator !== 'exp' || value.operand.kind !== 'sum') continue;
    if (axes.length !== equation.axes.length) continue;
    const { terms } = value.operand;
    const result = terms.findIndex((term) => negatedLoad(term)?.tensor === name);
    if (result < 0) continue;
    const match = emptyMatch();
    const rest = sum(terms.filter((_, i) => i !== result));
    const subtracted = negatedLoad(terms[result]) as Load;
    if (!matchExpression(rest, equation.value, match)) continue;
    if (!matchExpression(subtracted, load(name, equation.store), match)) continue;
    if (!sameDomain(candidate.domain, equation.domain, match)) continue;
    if (axes.some(({ extent }, axis) => equation.axes[match.forth.get(axis) ?? -1]?.extent !== extent)) continue;
    const indices = store.map((index) => renamedAxis(index, match));
    if (
      indices.every((index) => index !== undefined) &&
      new Set(store.map((i) => JSON.stringify(i))).size === axes.length
    ) {
      return load(tensor.name, indices);
    }
  }
  return undefined;
}

function renamedAxis(index: Index, match: AxisMatch): Index | undefined {
  const axis = index.kind === 'affine' ? asAxis(index) : undefined;
  const partner = axis === undefined ? undefined : match.forth.get(axis);
  return partner === undefined ? undefined : axisIndex(partner);
}

/** The same constraints in any order. */
function sameDomain(a: readonly Constraint[], b: readonly Constraint[], match: AxisMatch): boolean {
  return (
    a.length === b.length &&
    a.every((c) => b.some((d) => matchConstraint(c, d, { forth: new Map(match.forth), back: new Map(match.back) }))) &&
    b.every((d) => a.some((c) => matchConstraint(c, d, { forth: new Map(match.forth), back: new Map(match.back) })))
  );
}
