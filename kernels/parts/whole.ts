/**
 * Whole numbers as WGSL. What is whole by its making (`ir/whole.ts`) stays an integer until something real comes into it, since f32
 * is exact only up to 2^24: as i32 where its bounds say that it fits, else as 64 bits in a `vec2<u32>` (low, high).
 *
 *   f32(t - u)      f32(k[n])      k[n] == a[n]      real_of_wide(add_wide(wide(k[n]), …))
 *
 * The trap: seeds, steps and what i32 tensors hold are i32 whatever their bounds say: they wrap around as i32 arithmetic does.
 */

import type { Condition, Expression } from '../../compiler/ir/program.ts';
import { type Bounds, integers32, type WholeBounds, wholeBounds, within } from '../../compiler/ir/whole.ts';
import { atom, type Piece, paren } from '../wgsl/text.ts';
import { affinePiece, gatherText } from './address.ts';
import { conditionText } from './scalar.ts';
import type { Scope } from './scope.ts';

/** Integers of 64 bits; the largest that a double holds. */
const integers64: Bounds = { min: -(2 ** 63), max: 2 ** 63 - 1024 };

function boundsOf(e: Expression, scope: Pick<Scope, 'axes' | 'emitter'>): WholeBounds | undefined {
  return wholeBounds(e, scope.axes, (tensor) =>
    scope.emitter.layout(tensor).dtype === 'i32' ? integers32 : undefined,
  );
}

export function isWhole(e: Expression, scope: Pick<Scope, 'axes' | 'emitter'>): boolean {
  return boundsOf(e, scope) !== undefined;
}

/** The expression as i32, modulo 2^32; undefined where some part of it may not be whole. */
export function wholeNumber(e: Expression, scope: Scope): string | undefined {
  return boundsOf(e, scope) === undefined ? undefined : wholePiece(e, scope)?.text;
}

/** An expression that is whole as f32, rounded once; undefined where it may not be whole, or needs more than 64 bits. */
export function realOfWhole(e: Expression, scope: Scope): string | undefined {
  const bounds = boundsOf(e, scope);
  if (bounds === undefined) return undefined;
  if (within(bounds.parts, integers32)) {
    const piece = wholePiece(e, scope);
    return piece && `f32(${piece.text})`;
  }
  const wide = within(bounds.parts, integers64) ? wideText(e, scope) : undefined;
  return wide && `${used('real_of_wide', scope)}(${wide})`;
}

/** A comparison of whole numbers; undefined where a side may not be whole. */
export function wholeComparison(
  { operator, left, right }: Extract<Condition, { kind: 'compare' }>,
  scope: Scope,
): string | undefined {
  const bounds = [boundsOf(left, scope), boundsOf(right, scope)];
  if (bounds.includes(undefined)) return undefined;
  if (bounds.every((b) => within(b!.parts, integers32))) {
    const [a, b] = [wholePiece(left, scope), wholePiece(right, scope)];
    return a && b && `${paren(a, 'sum')} ${operator} ${paren(b, 'sum')}`;
  }
  if (!bounds.every((b) => within(b!.parts, integers64))) return undefined;
  const [a, b] = [wideText(left, scope), wideText(right, scope)];
  return a && b && `${used('compare_wide', scope)}(${a}, ${b}) ${operator} 0`;
}

function used(name: string, scope: Scope): string {
  scope.emitter.use(name);
  return name;
}

function wholePiece(e: Expression, scope: Scope): Piece | undefined {
  switch (e.kind) {
    case 'constant':
      // As i32 arithmetic has it, modulo 2^32. The least of them has no literal of its own.
      if (e.value === integers32.min) return atom('i32(-2147483648)');
      return { text: String(e.value | 0), precedence: e.value < 0 ? 'unary' : 'atom' };
    case 'index':
      return affinePiece(e.affine, scope);
    case 'load': {
      const held = scope.heldInteger?.(e);
      if (held !== undefined) return atom(held);
      return scope.held?.(e) === undefined ? atom(gatherText(e, scope)) : undefined;
    }
    case 'sum':
      return joined(e.terms, 'sum', scope);
    case 'product':
      return joined(e.factors, 'product', scope);
    case 'unary': {
      const operand = wholePiece(e.operand, scope);
      if (operand === undefined) return undefined;
      if (e.operator === 'negate') return { text: `-${paren(operand, 'atom')}`, precedence: 'unary' };
      return atom(`${e.operator}(${operand.text})`);
    }
    case 'binary':
      return binaryPiece(e, scope);
    case 'select': {
      const inner = e.condition.kind === 'domain' ? { ...scope, unguarded: true } : scope;
      const [then, otherwise] = [wholePiece(e.then, inner), wholePiece(e.otherwise, inner)];
      return then && otherwise && atom(`select(${otherwise.text}, ${then.text}, ${conditionText(e.condition, scope)})`);
    }
    default:
      return undefined;
  }
}

function joined(parts: readonly Expression[], precedence: 'sum' | 'product', scope: Scope): Piece | undefined {
  const pieces = parts.map((part) => wholePiece(part, scope));
  if (pieces.includes(undefined)) return undefined;
  const inner = precedence === 'sum' ? 'product' : 'unary';
  return { text: pieces.map((p) => paren(p!, inner)).join(precedence === 'sum' ? ' + ' : ' * '), precedence };
}

function binaryPiece(e: Extract<Expression, { kind: 'binary' }>, scope: Scope): Piece | undefined {
  const [left, right] = [wholePiece(e.left, scope), wholePiece(e.right, scope)];
  if (left === undefined || right === undefined) return undefined;
  switch (e.operator) {
    case 'minimum':
    case 'maximum':
      return atom(`${e.operator === 'minimum' ? 'min' : 'max'}(${left.text}, ${right.text})`);
    case 'quotient':
    case 'remainder': {
      // WGSL cuts towards 0, which is the same where nothing is negative.
      const [a, b] = [boundsOf(e.left, scope)!, boundsOf(e.right, scope)!];
      if (!(a.min >= 0 && b.min > 0)) {
        return atom(`${used(`${e.operator}_i32`, scope)}(${left.text}, ${right.text})`);
      }
      const sign = e.operator === 'quotient' ? '/' : '%';
      return { text: `${paren(left, 'unary')} ${sign} ${paren(right, 'unary')}`, precedence: 'product' };
    }
    default:
      return undefined;
  }
}

/** The same as 64 bits; the parts that fit into i32 are computed there. */
function wideText(e: Expression, scope: Scope): string | undefined {
  const bounds = boundsOf(e, scope);
  if (bounds !== undefined && within(bounds.parts, integers32)) {
    const piece = wholePiece(e, scope);
    return piece && `${used('wide', scope)}(${piece.text})`;
  }
  const folded = (name: string, parts: readonly Expression[]): string | undefined => {
    const texts = parts.map((part) => wideText(part, scope));
    if (texts.includes(undefined)) return undefined;
    return (texts as string[]).reduce((a, b) => `${used(name, scope)}(${a}, ${b})`);
  };
  switch (e.kind) {
    case 'sum':
      return folded('add_wide', e.terms);
    case 'product':
      return folded('multiply_wide', e.factors);
    case 'unary':
      return e.operator === 'negate'
        ? folded('multiply_wide', [e.operand, { kind: 'constant', value: -1 }])
        : undefined;
    case 'select': {
      const inner = e.condition.kind === 'domain' ? { ...scope, unguarded: true } : scope;
      const [then, otherwise] = [wideText(e.then, inner), wideText(e.otherwise, inner)];
      return then && otherwise && `select(${otherwise}, ${then}, ${conditionText(e.condition, scope)})`;
    }
    default:
      return undefined;
  }
}
