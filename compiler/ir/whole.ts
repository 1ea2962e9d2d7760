/**
 * Which expressions are whole numbers by their making, and between which bounds: i32 tensors, positions, whole constants, and
 * `+ - *`, quotients, remainders, min, max, abs, sign and choices of these. Such an expression is a number like any other in float64; f32 holds whole
 * numbers only up to 2^24, so that who writes code keeps it an integer for as long as nothing real comes into it.
 *
 * The trap: the value may be small where its parts are not, as in `k - a`, so the bounds of all parts are kept too.
 */
import { range } from './affine.ts';
import type { Axis, Expression } from './program.ts';

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** Bounds of a value, and of it and all its parts. */
export interface WholeBounds extends Bounds {
  readonly parts: Bounds;
}

/** What is known of tensors: the bounds of one that holds integers, undefined for the others. */
export type IntegerTensors = (tensor: string) => Bounds | undefined;

export const integers32: Bounds = { min: -(2 ** 31), max: 2 ** 31 - 1 };

export function within(inner: Bounds, outer: Bounds): boolean {
  return inner.min >= outer.min && inner.max <= outer.max;
}

/** Undefined where some part of the expression need not be whole. */
export function wholeBounds(e: Expression, axes: readonly Axis[], tensors: IntegerTensors): WholeBounds | undefined {
  const go = (part: Expression): WholeBounds | undefined => wholeBounds(part, axes, tensors);
  const all = (parts: readonly Expression[], join: (bounds: readonly Bounds[]) => Bounds): WholeBounds | undefined => {
    const known = parts.map(go);
    if (known.includes(undefined)) return undefined;
    const bounds = known as readonly WholeBounds[];
    return withParts(join(bounds), bounds);
  };
  switch (e.kind) {
    case 'constant':
      return Number.isSafeInteger(e.value) ? leaf({ min: e.value, max: e.value }) : undefined;
    case 'index':
      return leaf(range(e.affine, axes));
    case 'load': {
      const bounds = tensors(e.tensor);
      return bounds && leaf(bounds);
    }
    case 'sum':
      return all(e.terms, (bounds) => bounds.reduce(add));
    case 'product':
      return all(e.factors, (bounds) => bounds.reduce(multiply));
    case 'unary':
      switch (e.operator) {
        case 'negate':
          return all([e.operand], ([x]) => multiply(x, { min: -1, max: -1 }));
        case 'abs':
          return all([e.operand], ([x]) => ({ min: Math.max(0, x.min, -x.max), max: Math.max(x.max, -x.min) }));
        case 'sign':
          return all([e.operand], ([x]) => ({ min: Math.sign(x.min), max: Math.sign(x.max) }));
        default:
          return undefined;
      }
    case 'binary':
      switch (e.operator) {
        case 'minimum':
          return all([e.left, e.right], ([a, b]) => ({ min: Math.min(a.min, b.min), max: Math.min(a.max, b.max) }));
        case 'maximum':
          return all([e.left, e.right], ([a, b]) => ({ min: Math.max(a.min, b.min), max: Math.max(a.max, b.max) }));
        case 'quotient':
          return all([e.left, e.right], ([a, b]) => quotientBounds(a, b));
        case 'remainder':
          return all([e.left, e.right], ([a, b]) => remainderBounds(a, b));
        case 'divide':
        case 'power':
          return undefined;
        default:
          return e satisfies never;
      }
    case 'select':
      return all([e.then, e.otherwise], ([a, b]) => ({ min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) }));
    case 'random':
      return undefined;
    default:
      return e satisfies never;
  }
}

function leaf(bounds: Bounds): WholeBounds {
  return { ...bounds, parts: bounds };
}

function withParts(own: Bounds, parts: readonly WholeBounds[]): WholeBounds {
  const all = [own, ...parts.map((part) => part.parts)];
  return { ...own, parts: { min: Math.min(...all.map((b) => b.min)), max: Math.max(...all.map((b) => b.max)) } };
}

function add(a: Bounds, b: Bounds): Bounds {
  return { min: a.min + b.min, max: a.max + b.max };
}

function multiply(a: Bounds, b: Bounds): Bounds {
  const corners = [a.min * b.min, a.min * b.max, a.max * b.min, a.max * b.max];
  return { min: Math.min(...corners), max: Math.max(...corners) };
}

/** Rounded down; the largest magnitude is the dividend's by a divisor of 1. A divisor of 0 has no quotient. */
function quotientBounds(a: Bounds, b: Bounds): Bounds {
  const divisors = [b.min, b.max, -1, 1].filter((d) => d !== 0 && d >= b.min && d <= b.max);
  const corners = divisors.flatMap((d) => [Math.floor(a.min / d), Math.floor(a.max / d)]);
  return corners.length === 0 ? { min: 0, max: 0 } : { min: Math.min(...corners), max: Math.max(...corners) };
}

/** From 0 to below the divisor's magnitude; the dividend itself where it is in there already. */
function remainderBounds(a: Bounds, b: Bounds): Bounds {
  const most = Math.max(Math.abs(b.min), Math.abs(b.max)) - 1;
  const least = Math.min(Math.abs(b.min), Math.abs(b.max));
  const isSame = a.min >= 0 && b.min > 0 && a.max < least;
  return isSame ? a : { min: 0, max: Math.max(0, a.min >= 0 ? Math.min(a.max, most) : most) };
}
