/**
 * Loads as data: how many neighbouring elements of an operand come out of memory at once, along which axis, decided here for every
 * kernel that reads more than one; `wideText` writes what was decided.
 *
 *   x[m * 256 + k], k along memory, extents and steps of all others multiples of 4   →   x[(m * 256 + k) >> 2u], x bound as vec4s
 *
 * A buffer is bound as vec4s where something in the dispatch reads quads of it and nothing writes it; what else reads it takes its
 * elements out of them (`Emitter.reads`). Of a buffer that is written the four are read one by one.
 *
 * The trap: a quad reads its four elements whether or not a domain keeps them, so all lie inside the tensor by its axes alone, and who
 * reads within a domain puts 0 in the place of the others.
 */
import { coefficientOf, range } from '../../compiler/ir/affine.ts';
import type { Affine, Axis, Dtype, Expression } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import type { Arrays } from '../kernel.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { plus } from '../wgsl/text.ts';
import { affineText } from './address.ts';
import type { Scope } from './scope.ts';

export interface WideLoad {
  readonly tensor: string;
  readonly dtype: Dtype;
  /** Elements. */
  readonly width: 4;
  /** Flat offset of the first of them, where `axis` is at a multiple of the width; a multiple of it too. */
  readonly offset: Affine;
  /** The axis that memory is contiguous in. */
  readonly axis: number;
}

/** Whether a quad of memory is four neighbours along an axis, from a multiple of 4 on: memory runs along it, and all else goes in fours. */
export const runsInQuads = (offset: Affine, axis: number, axes: readonly Axis[]): boolean =>
  runsIn(4, offset, axis, axes);

/** The same of any number of neighbours. */
export function runsIn(count: number, offset: Affine, axis: number, axes: readonly Axis[]): boolean {
  const others = offset.terms.filter((t) => t.axis !== axis && axes[t.axis].extent > 1);
  return (
    coefficientOf(offset, axis) === 1 &&
    [offset.constant, ...others.map((t) => t.coefficient)].every((n) => n % count === 0)
  );
}

/** The operand's quads along an axis, if it is a plain load (flat, see linear.ts) that comes in whole quads of memory. */
export function wideLoad(
  operand: Expression,
  axis: number | undefined,
  axes: readonly Axis[],
  layouts: Arrays,
): WideLoad | undefined {
  if (operand.kind !== 'load' || axis === undefined || operand.indices.length !== 1) return undefined;
  const [offset] = operand.indices;
  const { shape, dtype } = layouts(operand.tensor);
  if (offset.kind !== 'affine' || dtype !== 'f32') return undefined;
  const { min, max } = range(offset, axes);
  const isInside = min >= 0 && max < elementCount(shape);
  if (!runsInQuads(offset, axis, axes) || axes[axis].extent % 4 !== 0 || !isInside) return undefined;
  return { tensor: operand.tensor, dtype, width: 4, offset, axis };
}

/** The four elements as WGSL, vec4<f32>; `place` makes of their offset what is read. */
export function wideText(
  { tensor, offset }: WideLoad,
  scope: Scope,
  place: (offset: string) => string = (text) => text,
): string {
  const { emitter } = scope;
  return quadText(tensor, place(affineText(offset, scope)), emitter);
}

/** The four elements of a tensor from a flat offset on, a multiple of 4, as WGSL. */
export function quadText(tensor: string, first: string, emitter: Emitter): string {
  const quad = emitter.readsQuad(tensor, first);
  if (quad !== undefined) return quad;
  const elements = [0, 1, 2, 3].map((c) => emitter.reads(tensor, c === 0 ? first : `${first} + ${c}`));
  return `vec4<f32>(${elements.join(', ')})`;
}

/** WGSL that writes the four elements of a tensor from a flat offset on, a multiple of 4. */
export function writeQuad(tensor: string, first: string, value: string, emitter: Emitter): string {
  const quad = emitter.writesQuad(tensor, first);
  if (quad !== undefined) return `${quad} = ${value};`;
  return [0, 1, 2, 3].map((c) => `${emitter.writes(tensor, plus(first, c))} = ${value}[${c}];`).join('\n');
}
