/**
 * What an equation multiplies: one multiply-add for each point of its domain and each product of two or more values there, whether
 * the product is then summed, added or stored.
 *
 *   y~1[n, r] sum= R[j, r] * x[n, j]   over n: 1, r: 8, j: 64        →   512
 *   z[n, i] sum= x[n, i] - 2 * v[i] * d[n]   over n: 1, i: 16        →   16
 *   S[t, u] sum= q[t] * k[u]   over t: 4, u: 4   where t - u >= 0    →   10
 *
 * A whole power is a product. Constants are no values, a division or a function is no product; a branch counts where it is taken.
 *
 * The trap: a product of many values is one loop with one multiply-add a point here, as a kernel would run it. What its values
 * would cost one after another is `leftToRightMultiplyAdds`.
 */
import { complement } from './affine.ts';
import { children } from './expression.ts';
import { pointsInDomain } from './points.ts';
import type { Constraint, Equation, Expression } from './program.ts';

const known = new WeakMap<Equation, number>();

export function multiplyAddsOf(equation: Equation): number {
  const before = known.get(equation);
  if (before !== undefined) return before;
  const found = multiplyAddsWithin(equation, equation.value);
  known.set(equation, found);
  return found;
}

/** Those of a part of the equation's value alone. */
export function multiplyAddsWithin({ axes, domain }: Equation, part: Expression): number {
  const count = (e: Expression, where: readonly Constraint[]): number => {
    if (e.kind === 'select' && e.condition.kind === 'domain') {
      const { constraints } = e.condition;
      const otherwise = complement(constraints).reduce(
        (n, failing) => n + count(e.otherwise, [...where, ...failing]),
        0,
      );
      return count(e.then, [...where, ...constraints]) + otherwise;
    }
    const inner = children(e).reduce((n, child) => n + count(child, where), 0);
    return inner + (isMultiplication(e) ? pointsInDomain(axes, where) : 0);
  };
  return count(part, domain);
}

function isMultiplication(e: Expression): boolean {
  if (e.kind === 'product') return e.factors.filter((factor) => factor.kind !== 'constant').length > 1;
  return e.kind === 'binary' && e.operator === 'power' && isWholePower(e.right);
}

function isWholePower(exponent: Expression): boolean {
  return exponent.kind === 'constant' && Number.isInteger(exponent.value) && exponent.value > 1;
}
