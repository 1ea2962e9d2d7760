/**
 * Positions as WGSL: affine expressions of axes, constraints between them, offsets into tensors, and the elements
 * there.
 *
 * The trap: an expression that is evaluated outside its domain too (`Scope.unguarded`) must still read inside its
 * tensors, so the offset of a load that the axes alone do not keep inside is clamped.
 */
import { coefficientOf, range } from '../../compiler/ir/affine.ts';
import type { Affine, AffineConstraint, Constraint, Gather, Index, Load } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import type { Piece } from '../wgsl/text.ts';
import { strides } from './linear.ts';
import { conditionText } from './scalar.ts';
import type { Scope } from './scope.ts';

export function affineText(a: Affine, scope: Scope): string {
  return affinePiece(a, scope).text;
}

/** `i * 4 + j - 1`: what is added before what is taken away. */
export function affinePiece(a: Affine, scope: Scope): Piece {
  const parts: { text: string; negative: boolean }[] = [];
  for (const { axis, coefficient } of a.terms) {
    const name = scope.axis(axis);
    if (name === '0') continue;
    const size = Math.abs(coefficient);
    parts.push({ text: size === 1 ? name : `${name} * ${size}`, negative: coefficient < 0 });
  }
  if (a.constant !== 0 || parts.length === 0)
    parts.push({ text: String(Math.abs(a.constant)), negative: a.constant < 0 });
  parts.sort((p, q) => Number(p.negative) - Number(q.negative));
  const text = parts.map((p, i) => (i === 0 ? (p.negative ? '-' : '') : p.negative ? ' - ' : ' + ') + p.text).join('');
  const simple = parts.length === 1 && !parts[0].negative && /^\w+$/.test(parts[0].text);
  return { text, precedence: simple ? 'atom' : 'sum' };
}

const comparison: Readonly<Record<AffineConstraint['kind'], string>> = { nonnegative: '>=', zero: '==', nonzero: '!=' };

/** `t >= u + 1` rather than `t - u - 1 >= 0`. */
export function constraintText(constraint: Constraint, scope: Scope): string {
  if (constraint.kind === 'data') return conditionText({ ...constraint, kind: 'compare' }, scope);
  const [left, right] = sidesOf(constraint.affine);
  return `${affineText(left, scope)} ${comparison[constraint.kind]} ${affineText(right, scope)}`;
}

/** The same for four neighbours along an axis, as vec4<bool>: `vec4<i32>(t) >= vec4<i32>(u, u + 1, u + 2, u + 3)`. */
export function wideConstraintText({ kind, affine }: AffineConstraint, axis: number, scope: Scope): string {
  const [left, right] = sidesOf(affine).map((side) => {
    const step = coefficientOf(side, axis);
    const each = [0, 1, 2, 3].map((c) => affineText({ ...side, constant: side.constant + c * step }, scope));
    return `vec4<i32>(${step === 0 ? each[0] : each.join(', ')})`;
  });
  return `${left} ${comparison[kind]} ${right}`;
}

/** What is added and what is taken away, so that both have positive terms alone. */
function sidesOf({ constant, terms }: Affine): readonly [Affine, Affine] {
  const positive = terms.filter((t) => t.coefficient > 0);
  const negative = terms.filter((t) => t.coefficient < 0).map((t) => ({ axis: t.axis, coefficient: -t.coefficient }));
  return [
    { kind: 'affine', constant: Math.max(constant, 0), terms: positive },
    { kind: 'affine', constant: Math.max(-constant, 0), terms: negative },
  ];
}

/** Flat element offset of an element, as a WGSL i32 expression. */
function offset(shape: readonly number[], indices: readonly Index[], scope: Scope): string {
  // One index is a flat offset already, whatever the rank: see linear.ts.
  const stride = indices.length === 1 ? [1] : strides(shape);
  let constant = 0;
  const sum = new Map<number, number>();
  const gathers: string[] = [];
  indices.forEach((index, d) => {
    if (index.kind === 'affine') {
      constant += index.constant * stride[d];
      for (const { axis, coefficient } of index.terms) sum.set(axis, (sum.get(axis) ?? 0) + coefficient * stride[d]);
    } else {
      const value = gatherText(index, scope);
      gathers.push(stride[d] === 1 ? value : `${value} * ${stride[d]}`);
    }
  });
  const terms = [...sum].filter(([, c]) => c !== 0).map(([axis, coefficient]) => ({ axis, coefficient }));
  terms.sort((a, b) => Math.abs(b.coefficient) - Math.abs(a.coefficient));
  const plain = affineText({ kind: 'affine', constant, terms }, scope);
  return gathers.length === 0 ? plain : [...gathers, ...(plain === '0' ? [] : [plain])].join(' + ');
}

/** `offset`, clamped to the tensor where the scope is unguarded and the axes alone do not keep it inside. */
function safeOffset(tensor: string, indices: readonly Index[], scope: Scope): string {
  const { shape } = scope.emitter.layout(tensor);
  const text = offset(shape, indices, scope);
  const count = elementCount(shape);
  // A number outside does not compile, not even where it is never met.
  if (/^-?\d+$/.test(text)) return String(Math.min(Math.max(Number(text), 0), count - 1));
  if (!scope.unguarded) return text;
  const extents = indices.length === 1 ? [count] : shape;
  const leaves = indices.some((index, d) => {
    if (index.kind === 'gather') return false;
    const { min, max } = range(index, scope.axes);
    return min < 0 || max >= extents[d];
  });
  return leaves ? `clamp(${text}, 0, ${count - 1})` : text;
}

/** The value of an i32 tensor's element, as i32. */
export function gatherText({ tensor, indices }: Pick<Gather, 'tensor' | 'indices'>, scope: Scope): string {
  return scope.emitter.reads(tensor, safeOffset(tensor, indices, scope));
}

/** The value of any tensor's element, as f32. */
export function loadText(load: Load, scope: Scope): string {
  return scope.held?.(load) ?? elementText(load.tensor, safeOffset(load.tensor, load.indices, scope), scope.emitter);
}

/** The element at a flat offset, as f32. */
export function elementText(tensor: string, offset: string, emitter: Emitter): string {
  const { dtype } = emitter.layout(tensor);
  switch (dtype) {
    case 'f32':
      return emitter.reads(tensor, offset);
    case 'i32':
      return `f32(${emitter.reads(tensor, offset)})`;
    case 'f16':
      return `unpack2x16float(${emitter.reads(tensor, `(${offset}) / 2`)})[(${offset}) % 2]`;
    default:
      return dtype satisfies never;
  }
}
