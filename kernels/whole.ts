/**
 * Whole numbers as WGSL: sums and products of i32 tensors, positions and whole constants, written as i32. Seeds, steps
 * and indices go this way, since f32 is exact only up to 2^24.
 */
import type { Expression } from '../compiler/ir/program.ts';
import { affinePiece, gatherText } from './address.ts';
import type { Scope } from './scope.ts';
import { atom, type Piece, paren } from './wgsl.ts';

/** The expression as i32, or undefined where some part of it may not be whole. */
export function wholeNumber(e: Expression, scope: Scope): string | undefined {
  return wholePiece(e, scope)?.text;
}

function wholePiece(e: Expression, scope: Scope): Piece | undefined {
  switch (e.kind) {
    case 'constant':
      if (!Number.isInteger(e.value)) return undefined;
      // As i32 arithmetic has it, modulo 2^32.
      return { text: String(e.value | 0), precedence: e.value < 0 ? 'unary' : 'atom' };
    case 'index':
      return affinePiece(e.affine, scope);
    case 'load': {
      if (scope.emitter.layout(e.tensor).dtype !== 'i32') return undefined;
      const held = scope.heldInteger?.(e);
      if (held !== undefined) return atom(held);
      if (scope.held?.(e) !== undefined) return undefined;
      return atom(gatherText(e, scope));
    }
    case 'sum':
      return joined(e.terms, 'sum', scope);
    case 'product':
      return joined(e.factors, 'product', scope);
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
