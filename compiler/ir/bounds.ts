/**
 * What values an expression can take, as far as it can be told without running it: a range, whether 0 is in it, and whether it
 * is surely finite. Derivatives ask which of their factors may be infinite or undefined: what a guard excludes must not be
 * multiplied by those, since 0 · ∞ is no 0. Products of all others stay as they are.
 *
 *   max(count, 1)  in [1, ∞)      exp(x) + 1  in [1, ∞)      (a - m)^2  in [0, ∞)      1 / x  not surely finite
 *
 * The arithmetic is that of the reals, on finite inputs: an exponential that overflows or vanishes is not what this is about.
 * The trap: bounds hold at the points of the domain that they were asked for; where a step asks less of it, ask again.
 */
import { affine, contrary, range, subtract } from './affine.ts';
import { findPoint } from './feasible.ts';
import { expressionKey } from './hash.ts';
import type {
  Affine,
  AffineConstraint,
  Axis,
  BinaryOperator,
  ComparisonOperator,
  Constraint,
  Expression,
  UnaryOperator,
} from './program.ts';
import { sigmoid, unaryFunctions } from './scalar.ts';

export interface Bounds {
  readonly low: number;
  readonly high: number;
  /** Whether 0 may be taken: [0, 1] without it is (0, 1]. */
  readonly zero: boolean;
  readonly finite: boolean;
}

export interface BoundsContext {
  readonly axes: readonly Axis[];
  readonly domain: readonly Constraint[];
  /** What the elements of a tensor can be. */
  readonly tensor: (name: string) => Bounds;
  /** What a branch knows, by the key of an expression. */
  readonly known?: ReadonlyMap<string, Bounds>;
}

function between(low: number, high: number, zero = true, finite = true): Bounds {
  return { low, high, zero: zero && low <= 0 && high >= 0, finite };
}

/** Any finite number. */
export const anyNumber: Bounds = between(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);

/** Nothing is known. */
export const anything: Bounds = { ...anyNumber, finite: false };

export const exactly = (value: number): Bounds => between(value, value, true, Number.isFinite(value));

function isPositive({ low, zero }: Bounds): boolean {
  return low >= 0 && !zero;
}

export function boundsOf(e: Expression, context: BoundsContext): Bounds {
  const own = boundsOfNode(e, context);
  const known = context.known?.get(expressionKey(e));
  return known === undefined ? own : both(own, known);
}

function boundsOfNode(e: Expression, context: BoundsContext): Bounds {
  const go = (part: Expression): Bounds => boundsOf(part, context);
  switch (e.kind) {
    case 'constant':
      return exactly(e.value);
    case 'index':
      return boundsOfAffine(e.affine, context);
    case 'load':
      return context.tensor(e.tensor);
    case 'sum':
      return e.terms.map(go).reduce(plus);
    case 'product':
      return powersOf(e.factors)
        .map(({ base, times }) => power(go(base), times))
        .reduce(multiply);
    case 'unary':
      return unaryBounds[e.operator](go(e.operand));
    case 'binary':
      return e.operator === 'power' && e.right.kind === 'constant'
        ? power(go(e.left), e.right.value)
        : binaryBounds[e.operator](go(e.left), go(e.right));
    case 'select': {
      const { condition, then, otherwise } = e;
      if (condition.kind === 'domain') {
        const inner = { ...context, domain: [...context.domain, ...condition.constraints] };
        return either(boundsOf(then, inner), go(otherwise));
      }
      const { operator, left, right } = condition;
      return either(
        boundsOf(then, learn(context, left, operator, go(right))),
        boundsOf(otherwise, learn(context, left, contrary[operator], go(right))),
      );
    }
    case 'random':
      return e.distribution === 'uniform' ? between(0, 1, false) : anyNumber;
    default:
      return e satisfies never;
  }
}

export function either(a: Bounds, b: Bounds): Bounds {
  return between(Math.min(a.low, b.low), Math.max(a.high, b.high), a.zero || b.zero, a.finite && b.finite);
}

/** What two say of one value. */
function both(a: Bounds, b: Bounds): Bounds {
  return between(Math.max(a.low, b.low), Math.min(a.high, b.high), a.zero && b.zero, a.finite || b.finite);
}

export function plus(a: Bounds, b: Bounds): Bounds {
  const oneSign = (a.low >= 0 && b.low >= 0) || (a.high <= 0 && b.high <= 0);
  return between(a.low + b.low, a.high + b.high, oneSign ? a.zero && b.zero : true, a.finite && b.finite);
}

/** The sum of one to `times` values. */
export function repeated(a: Bounds, times: number): Bounds {
  const low = a.low >= 0 ? a.low : a.low * times;
  const high = a.high <= 0 ? a.high : a.high * times;
  return between(low, high, a.low >= 0 || a.high <= 0 ? a.zero : true, a.finite);
}

function multiply(a: Bounds, b: Bounds): Bounds {
  const corners = [a.low, a.high].flatMap((p) => [b.low, b.high].map((q) => (p === 0 || q === 0 ? 0 : p * q)));
  return between(Math.min(...corners), Math.max(...corners), a.zero || b.zero, a.finite && b.finite);
}

function negated(a: Bounds): Bounds {
  return between(-a.high, -a.low, a.zero, a.finite);
}

/** Of what is 0 the reciprocal may be anything. */
function reciprocal(a: Bounds): Bounds {
  if (isPositive(a)) return between(1 / a.high, 1 / a.low, false, a.finite);
  if (isPositive(negated(a))) return negated(reciprocal(negated(a)));
  return a.zero ? anything : { ...anyNumber, zero: false, finite: a.finite };
}

function power(a: Bounds, exponent: number): Bounds {
  if (exponent < 0) return reciprocal(power(a, -exponent));
  if (exponent === 0) return exactly(1);
  if (exponent === 1) return a;
  const raised = (x: number): number => x ** exponent;
  if (a.low >= 0) return between(raised(a.low), raised(a.high), a.zero, a.finite);
  if (!Number.isInteger(exponent)) return anything;
  if (exponent % 2 === 1) return between(raised(a.low), raised(a.high), a.zero, a.finite);
  const size = absolute(a);
  return between(raised(size.low), raised(size.high), size.zero, size.finite);
}

function absolute(a: Bounds): Bounds {
  if (a.low >= 0) return a;
  return a.high <= 0 ? negated(a) : between(0, Math.max(-a.low, a.high), a.zero, a.finite);
}

/** Factors of a product and how often each stands in it, as far as is seen at once: `x[i] * x[i]` is never negative. */
function powersOf(factors: readonly Expression[]): readonly { readonly base: Expression; readonly times: number }[] {
  const counted = new Map<string | Expression, { readonly base: Expression; readonly times: number }>();
  for (const base of factors) {
    const key = base.kind === 'load' ? expressionKey(base) : base;
    counted.set(key, { base, times: (counted.get(key)?.times ?? 0) + 1 });
  }
  return [...counted.values()];
}

/** Of a function that never falls, and is 0 where `zero` says. */
function rising(f: (x: number) => number, zero: (x: Bounds) => boolean): (x: Bounds) => Bounds {
  return (x) => between(f(x.low), f(x.high), zero(x), x.finite);
}

const atZero = (x: Bounds): boolean => x.zero;
/** Where relu is 0: everywhere below, and at 0. */
const notAbove = (x: Bounds): boolean => !isPositive(x);

const wave = (x: Bounds): Bounds => between(-1, 1, true, x.finite);
/** Both lie above -0.3, and have the sign of x. */
const swish = (x: Bounds): Bounds => between(x.low >= 0 ? 0 : -0.3, Math.max(0, x.high), x.zero, x.finite);

const unaryBounds: Readonly<Record<UnaryOperator, (x: Bounds) => Bounds>> = {
  negate: negated,
  exp: rising(Math.exp, () => false),
  log: (x) => between(Math.log(Math.max(0, x.low)), Math.log(Math.max(0, x.high)), true, x.finite && isPositive(x)),
  sqrt: (x) => between(Math.sqrt(Math.max(0, x.low)), Math.sqrt(Math.max(0, x.high)), x.zero, x.finite && x.low >= 0),
  rsqrt: (x) => reciprocal(power(x, 0.5)),
  abs: absolute,
  sign: rising(Math.sign, atZero),
  tanh: rising(Math.tanh, atZero),
  erf: rising((x) => (Number.isFinite(x) ? unaryFunctions.erf(x) : Math.sign(x)), atZero),
  sigmoid: rising(
    (x) => (Number.isFinite(x) ? sigmoid(x) : x > 0 ? 1 : 0),
    () => false,
  ),
  relu: rising((x) => Math.max(0, x), notAbove),
  gelu: swish,
  silu: swish,
  sin: wave,
  cos: wave,
};

const binaryBounds: Readonly<Record<BinaryOperator, (a: Bounds, b: Bounds) => Bounds>> = {
  divide: (a, b) => multiply(a, reciprocal(b)),
  power: (a, b) =>
    between(0, Number.POSITIVE_INFINITY, a.zero, a.finite && b.finite && (isPositive(a) || (a.low >= 0 && b.low >= 0))),
  quotient: (a, b) => ({ ...anyNumber, finite: a.finite && b.finite && !b.zero }),
  remainder: (a, b) => between(0, Math.max(0, b.high), true, a.finite && b.finite && !b.zero),
  minimum: (a, b) => between(Math.min(a.low, b.low), Math.min(a.high, b.high), a.zero || b.zero, a.finite && b.finite),
  maximum: (a, b) => between(Math.max(a.low, b.low), Math.max(a.high, b.high), a.zero || b.zero, a.finite && b.finite),
};

/** What `left operator right` says of left; of NaN every opposite but that of `!=` would be wrong, so finiteness stays. */
function learn(context: BoundsContext, left: Expression, operator: ComparisonOperator, right: Bounds): BoundsContext {
  if (left.kind === 'constant') return context;
  const { low, high } = right;
  const [down, up] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const told: Bounds = {
    '<': between(down, high, high > 0, false),
    '<=': between(down, high, true, false),
    '>': between(low, up, low < 0, false),
    '>=': between(low, up, true, false),
    '==': { ...right, finite: false },
    '!=': between(down, up, !(low === 0 && high === 0), false),
  }[operator];
  const key = expressionKey(left);
  const before = context.known?.get(key);
  const known = new Map(context.known).set(key, before === undefined ? told : both(before, told));
  return { ...context, known };
}

/** An index as a number: what the box says, and where that holds 0, what the domain says. */
function boundsOfAffine(a: Affine, { axes, domain }: BoundsContext): Bounds {
  const { min, max } = range(a, axes);
  if (min > 0 || max < 0 || domain.length === 0) return between(min, max);
  const never = (kind: AffineConstraint['kind'], of: Affine): boolean =>
    findPoint(axes, [...domain, { kind, affine: of }], indexBudget).kind === 'none';
  const low = never('nonnegative', subtract(affine(-1), a)) ? 0 : min;
  const high = never('nonnegative', subtract(a, affine(1))) ? 0 : max;
  return between(low, high, !never('zero', a));
}

/** Boxes looked at to find out whether an index can be 0. */
const indexBudget = 500;
