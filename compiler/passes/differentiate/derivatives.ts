/**
 * The derivative of each scalar operation, beside its name: the one table that `differentiate.ts` reads.
 *
 * A rule says by what an operation multiplies the cotangent on its way to an operand, and, where the derivative is that of one of
 * two branches, the guard under which anything flows at all. What lies under a guard is evaluated only where it holds, so that
 * relu(log(x)) has the gradient 0, not 0 · ∞, at x = 0.
 *
 * Rules are given the operation's own result too, since many derivatives are shortest in it (exp, tanh, sigmoid, sqrt): where the
 * result is stored it is loaded instead of computed again. Ties: maximum and minimum give to the first operand; relu, abs and
 * sign give 0 at 0.
 */
import { binary, constant, divide, negate, product, select, sum, unary } from '../../ir/expression.ts';
import type { BinaryOperator, Condition, Expression, UnaryOperator } from '../../ir/program.ts';

export interface Slope {
  readonly factor: Expression;
  readonly guard?: Condition;
}

/** `undefined`: the derivative is 0 everywhere, nothing flows. */
type UnaryRule = (x: Expression, result: Expression) => Slope | undefined;
type BinaryRule = (left: Expression, right: Expression, result: Expression) => Slope | undefined;

const one = constant(1);
const two = constant(2);

function times(...factors: readonly Expression[]): Slope {
  return { factor: product(factors) };
}

function oneMinus(e: Expression): Expression {
  return sum([one, negate(e)]);
}

/** e^(-x²/2) */
function gaussian(x: Expression): Expression {
  return unary('exp', product([constant(-0.5), x, x]));
}

export const unaryDerivatives: Readonly<Record<UnaryOperator, UnaryRule>> = {
  negate: () => times(constant(-1)),
  exp: (_, y) => times(y),
  log: (x) => times(divide(one, x)),
  sqrt: (_, y) => times(constant(0.5), divide(one, y)),
  rsqrt: (_, y) => times(constant(-0.5), y, y, y),
  abs: (x) => times(unary('sign', x)),
  sign: () => undefined,
  tanh: (_, y) => times(oneMinus(product([y, y]))),
  erf: (x) => times(constant(2 / Math.sqrt(Math.PI)), unary('exp', product([constant(-1), x, x]))),
  sigmoid: (_, y) => times(y, oneMinus(y)),
  relu: (x) => ({ factor: one, guard: { kind: 'compare', operator: '>', left: x, right: constant(0) } }),
  // Φ(x) + x φ(x)
  gelu: (x) => {
    const cumulative = sum([
      constant(0.5),
      product([constant(0.5), unary('erf', product([constant(Math.SQRT1_2), x]))]),
    ]);
    return times(sum([cumulative, product([constant(1 / Math.sqrt(2 * Math.PI)), x, gaussian(x)])]));
  },
  // σ(x) (1 + x (1 - σ(x)))
  silu: (x) => {
    const s = unary('sigmoid', x);
    return times(s, sum([one, product([x, oneMinus(s)])]));
  },
  sin: (x) => times(unary('cos', x)),
  cos: (x) => times(constant(-1), unary('sin', x)),
};

export const binaryDerivatives: Readonly<
  Record<BinaryOperator, { readonly left: BinaryRule; readonly right: BinaryRule }>
> = {
  divide: {
    left: (_, b) => times(divide(one, b)),
    right: (_, b, y) => times(constant(-1), y, divide(one, b)),
  },
  power: {
    left: powerByBase,
    // The limit of a^b log a at a = 0 is 0 for b > 0; at b = 0 the power is taken to be 1 everywhere.
    right: (a, _, y) => ({
      factor: product([y, unary('log', a)]),
      guard: { kind: 'compare', operator: '!=', left: a, right: constant(0) },
    }),
  },
  minimum: {
    left: (a, b) => ({ factor: one, guard: { kind: 'compare', operator: '<=', left: a, right: b } }),
    right: (a, b) => ({ factor: one, guard: { kind: 'compare', operator: '>', left: a, right: b } }),
  },
  maximum: {
    left: (a, b) => ({ factor: one, guard: { kind: 'compare', operator: '>=', left: a, right: b } }),
    right: (a, b) => ({ factor: one, guard: { kind: 'compare', operator: '<', left: a, right: b } }),
  },
  // Whole numbers have no slope.
  quotient: { left: () => undefined, right: () => undefined },
  remainder: { left: () => undefined, right: () => undefined },
};

/** b a^(b-1), which is 0 for b = 0 even at a = 0. Constant exponents give the plain form that one would write. */
function powerByBase(a: Expression, b: Expression): Slope | undefined {
  if (b.kind !== 'constant') {
    const reduced = product([b, binary('power', a, sum([b, constant(-1)]))]);
    const zeroExponent: Condition = { kind: 'compare', operator: '==', left: b, right: constant(0) };
    return { factor: select(zeroExponent, constant(0), reduced) };
  }
  switch (b.value) {
    case 0:
      return undefined;
    case 0.5:
      return times(constant(0.5), unary('rsqrt', a));
    case 1:
      return times(one);
    case 2:
      return times(two, a);
    default:
      return times(b, b.value === 3 ? product([a, a]) : binary('power', a, constant(b.value - 1)));
  }
}
