/**
 * Products that may be infinite where their domain excludes them are selected point by point.
 *
 *   y[t] sum= L[t, u] * r[u]   where u <= t    →   y[t] sum= select(u <= t, L[t, u] * r[u], 0)      r[u] = 1 / x[u]
 *
 * A contraction kernel asks a condition of one operand only, and multiplies the other by 0: right for finite numbers, and fast.
 * What comes out here is no product, so a loop computes it. A condition on the axes of the result masks the finished sum, one on
 * no other axes than the factor's own is asked with it; those stay in the domain.
 */
import { axesOfConstraint, axesOfExpression, axesOfStore } from '../../ir/contraction.ts';
import { constant, select } from '../../ir/expression.ts';
import type { Constraint, Equation, Program } from '../../ir/program.ts';
import { factsOf } from '../facts.ts';
import { mapEquations } from '../rename.ts';

export function guardSingular(program: Program): Program {
  if (!program.tensors.some(({ source }) => source.kind === 'computed' && source.equations.some(isLimitedProduct)))
    return program;
  const facts = factsOf(program.tensors);
  return mapEquations(program, (equation) => {
    if (!isLimitedProduct(equation)) return [equation];
    const { axes, domain, value } = equation;
    const stored = axesOfStore(equation);
    const factors = value.kind === 'product' ? value.factors : [];
    const unasked = new Set<Constraint>();
    for (const factor of factors) {
      const own = axesOfExpression(factor);
      const isOwn = (c: Constraint): boolean => (axesOfConstraint(c) & ~own) === 0n;
      const beyond = domain.filter((c) => !isOwn(c) && (axesOfConstraint(c) & ~stored) !== 0n);
      if (beyond.length === 0 || facts.surelyFinite(factor, { axes, domain: domain.filter(isOwn) })) continue;
      for (const c of beyond) unasked.add(c);
    }
    if (unasked.size === 0) return [equation];
    const guarded = select({ kind: 'domain', constraints: [...unasked] }, value, constant(0));
    return [{ ...equation, domain: domain.filter((c) => !unasked.has(c)), value: guarded }];
  });
}

function isLimitedProduct({ reducer, domain, value }: Equation): boolean {
  return reducer === 'sum' && domain.length > 0 && value.kind === 'product';
}
