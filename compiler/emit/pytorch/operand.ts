/**
 * A load as Python: the tensor sliced, reshaped and indexed so that each of its dimensions is one axis.
 *
 *   x[b, 32*k + q]       x.unflatten(1, (8, 32))             k, q count a dimension as digits
 *   x[t, 2*i + 1]        x[:, 1::2]
 *   E[tokens[b, t], i]   E[tokens]
 *   A[i, i]              A[i, i]                              with i = torch.arange(n)
 *
 * Slices and digits are views; where an index is neither, or an axis stands twice, the dimension is indexed by a tensor of positions.
 *
 * The trap: PyTorch puts the dimensions of several indexing tensors in front if others lie between them, so those are moved to the end
 * before. And an index that a condition keeps from being used is computed all the same, and must lie inside: it is clamped.
 */
import { range } from '../../ir/affine.ts';
import { affinesOfIndex } from '../../ir/expression.ts';
import type { Affine, AffineTerm, Axis, Index } from '../../ir/program.ts';
import { positions } from './expression.ts';
import { binding, tuple, within } from './python.ts';
import { atom, type EquationScope, type Term } from './scope.ts';

/** Python for a tensor with one dimension for each of these axes, in this order. */
export interface Operand {
  readonly text: string;
  readonly axes: readonly number[];
}

/** How one dimension is read. */
type Reading =
  | { readonly kind: 'select'; readonly at: number }
  /** Digits of the dimension, from `start` on in steps; one axis, or several that count row by row. */
  | { readonly kind: 'slice'; readonly start: number; readonly step: number; readonly digits: readonly number[] }
  | { readonly kind: 'indexed'; readonly index: Index };

export function operandOf(tensor: string, indices: readonly Index[], scope: EquationScope): Operand {
  const { text, shape } = scope.tensor(tensor);
  const readings = readingsOf(indices, shape, scope.axes);
  const sliced = brackets(
    readings.map((reading, d) => sliceText(reading, shape[d], scope)),
    ':',
  );
  const kept = readings.filter((reading) => reading.kind !== 'select');
  // From the last dimension on, so that those before keep their places.
  const unflattened = kept
    .map((reading, d) =>
      reading.kind === 'slice' && reading.digits.length > 1
        ? `.unflatten(${d}, ${tuple(reading.digits.map(scope.extent))})`
        : '',
    )
    .reverse();
  const left = kept.flatMap((reading): readonly (number | Index)[] =>
    reading.kind === 'slice' ? reading.digits : [reading.index],
  );
  return indexed([text, sliced, ...unflattened].join(''), left, tensorDimensions(readings, shape), scope);
}

/** Extents of the dimensions that are still to be indexed, in order. */
function tensorDimensions(readings: readonly Reading[], shape: readonly number[]): readonly number[] {
  return readings.flatMap(({ kind }, d) => (kind === 'indexed' ? [shape[d]] : []));
}

function readingsOf(indices: readonly Index[], shape: readonly number[], axes: readonly Axis[]): readonly Reading[] {
  const uses = new Map<number, number>();
  for (const index of indices) {
    const used = new Set(affinesOfIndex(index).flatMap((a) => a.terms.map((term) => term.axis)));
    for (const axis of used) uses.set(axis, (uses.get(axis) ?? 0) + 1);
  }
  const isShared = (index: Index) =>
    affinesOfIndex(index).some((a) => a.terms.some((term) => (uses.get(term.axis) ?? 0) > 1));
  return indices.map((index, d): Reading => {
    if (index.kind !== 'affine') return { kind: 'indexed', index };
    if (index.terms.length === 0) {
      const isInside = index.constant >= 0 && index.constant < shape[d];
      return isInside ? { kind: 'select', at: index.constant } : { kind: 'indexed', index };
    }
    const { min, max } = range(index, axes);
    const digits = digitsOf(index, axes);
    if (isShared(index) || digits === undefined || min < 0 || max >= shape[d]) return { kind: 'indexed', index };
    return { kind: 'slice', start: index.constant, ...digits };
  });
}

/** An affine index as digits of one another, the first the slowest; undefined where it is none. */
export function digitsOf(
  { terms }: Affine,
  axes: readonly Axis[],
): { readonly digits: readonly number[]; readonly step: number } | undefined {
  const ones = terms.filter(({ axis }) => axes[axis].extent === 1);
  const counting = terms
    .filter(({ axis }) => axes[axis].extent !== 1)
    .sort((a, b) => b.coefficient - a.coefficient || a.axis - b.axis);
  const step = counting.at(-1)?.coefficient ?? 1;
  if (step < 1) return undefined;
  const isNested = counting.every(
    ({ coefficient }: AffineTerm, i) =>
      i === 0 || counting[i - 1].coefficient === coefficient * axes[counting[i].axis].extent,
  );
  return isNested ? { digits: [...ones, ...counting].map(({ axis }) => axis), step } : undefined;
}

function sliceText(reading: Reading, extent: number, { axes }: EquationScope): string {
  if (reading.kind === 'select') return String(reading.at);
  if (reading.kind === 'indexed') return ':';
  const { start, step, digits } = reading;
  const count = digits.reduce((product, axis) => product * axes[axis].extent, 1);
  if (start === 0 && step === 1 && count === extent) return ':';
  const end = start + step * (count - 1) + 1;
  return `${start === 0 ? '' : start}:${end === extent ? '' : end}${step === 1 ? '' : `:${step}`}`;
}

/** `[…]`, shortened where the last ones say nothing; empty where none does. */
function brackets(parts: readonly string[], nothing: string): string {
  let length = parts.length;
  while (length > 0 && parts[length - 1] === nothing) length -= 1;
  return length === 0 ? '' : `[${parts.slice(0, length).join(', ')}]`;
}

function indexed(
  text: string,
  left: readonly (number | Index)[],
  extents: readonly number[],
  scope: EquationScope,
): Operand {
  const places = left.flatMap((part, d) => (typeof part === 'number' ? [] : [d]));
  const plain = left.filter((part) => typeof part === 'number');
  if (places.length === 0) return { text, axes: plain };
  const indices = places.map((d) => left[d] as Index);
  const frame = [
    ...new Set(indices.flatMap((i) => affinesOfIndex(i).flatMap((a) => a.terms.map((term) => term.axis)))),
  ].sort((a, b) => a - b);
  const texts = indices.map((index, i) => positionText(index, extents[i], frame, scope));
  const isTogether = places.every((d, i) => i === 0 || d === places[i - 1] + 1);
  if (isTogether) {
    const before = left.slice(0, places[0]) as number[];
    const after = left.slice(places[0] + places.length) as number[];
    return {
      text: `${text}[${[...before.map(() => ':'), ...texts].join(', ')}]`,
      axes: [...before, ...frame, ...after],
    };
  }
  const order = [...left.keys()].filter((d) => typeof left[d] === 'number').concat(places);
  return { text: `${text}.permute(${order.join(', ')})[..., ${texts.join(', ')}]`, axes: [...plain, ...frame] };
}

function positionText(index: Index, extent: number, frame: readonly number[], scope: EquationScope): string {
  const term = indexTerm(index, frame, scope);
  const isSure =
    index.kind === 'affine'
      ? range(index, scope.axes).min >= 0 && range(index, scope.axes).max < extent
      : !scope.isGuarded;
  if (isSure) return term.text;
  if (term.kind === 'literal') return String(Math.min(Math.max(term.value ?? 0, 0), extent - 1));
  return `${within(term, binding.atom)}.clamp(0, ${extent - 1})`;
}

/** An index as an integer term over a frame. */
export function indexTerm(index: Index, frame: readonly number[], scope: EquationScope): Term {
  if (index.kind === 'affine') return positions(index, frame, scope);
  return aligned(operandOf(index.tensor, index.indices, scope), frame, 'integer');
}

/** An operand with its dimensions in the order of the frame, and dimensions of 1 where it has none. */
export function aligned({ text, axes }: Operand, frame: readonly number[], kind: Term['kind']): Term {
  const order = frame.filter((axis) => axes.includes(axis));
  const isOrdered = axes.every((axis, d) => axis === order[d]);
  const permuted = isOrdered ? text : `${text}.permute(${order.map((axis) => axes.indexOf(axis)).join(', ')})`;
  const first = order.length === 0 ? frame.length : frame.indexOf(order[0]);
  const parts = frame.slice(first).map((axis) => (axes.includes(axis) ? ':' : 'None'));
  const lastKept = parts.lastIndexOf(':');
  const tail = parts.slice(lastKept + 1);
  const isFilled = !parts.includes('None');
  // `[..., None]` where only the last are missing.
  const inserted = isFilled
    ? ''
    : parts.slice(0, lastKept + 1).includes('None')
      ? `[${parts.join(', ')}]`
      : `[..., ${tail.join(', ')}]`;
  return { ...atom(permuted + inserted), kind, axes: new Set(axes) };
}
