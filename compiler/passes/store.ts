/**
 * What a store map does: whether each element takes at most one point, and whether every element takes one.
 *
 *   W[8·α + β, γ] over α, β: 8, γ   once and, if the extents fill the shape, everywhere
 *   d[t + k]      over t, k         neither known: several points may store to one element
 *
 * The trap: both answers are "surely" or "not known"; the domain is not looked at by `storesOnce`, it can only take points away, and
 * a reduced axis of extent 1 is reduced like any other, so that no extent decides which kernels there are.
 */
import { asAxis } from '../ir/affine.ts';
import type { AffineTerm, Axis, Equation } from '../ir/program.ts';

/** Whether no two points store to one element, so that the reducer has nothing to reduce. */
export function storesOnce({ axes, store }: Equation): boolean {
  const settled = new Set<number>();
  let changed = true;
  while (changed) {
    changed = false;
    for (const index of store) {
      if (index.kind !== 'affine') continue;
      const open = index.terms.filter((term) => !settled.has(term.axis));
      if (open.length === 0 || !areDigits(open, axes)) continue;
      for (const term of open) settled.add(term.axis);
      changed = true;
    }
  }
  return axes.every((_, axis) => settled.has(axis));
}

/** Whether the terms are the digits of one number: each step is larger than all smaller digits together. */
function areDigits(terms: readonly AffineTerm[], axes: readonly Axis[]): boolean {
  let reach = 0;
  for (const { axis, coefficient } of bySize(terms)) {
    if (Math.abs(coefficient) <= reach) return false;
    reach += Math.abs(coefficient) * (axes[axis].extent - 1);
  }
  return true;
}

function bySize(terms: readonly AffineTerm[]): readonly AffineTerm[] {
  return [...terms].sort((a, b) => Math.abs(a.coefficient) - Math.abs(b.coefficient));
}

/** Whether every element of the shape takes exactly one point: plain axes or full groups of digits, each axis once. */
export function fillsOnce(equation: Equation, shape: readonly number[]): boolean {
  return equation.domain.length === 0 && storesOnce(equation) && fills(equation, shape);
}

/** Whether the box of the axes stores to every element: plain axes or full groups of digits, each axis once. */
export function fills({ axes, store }: Pick<Equation, 'axes' | 'store'>, shape: readonly number[]): boolean {
  const used = store
    .flatMap((index) => (index.kind === 'affine' ? index.terms.map((term) => term.axis) : []))
    .filter((axis) => axes[axis].extent > 1);
  if (new Set(used).size !== used.length) return false;
  return store.every((index, d) => {
    if (index.kind !== 'affine' || index.constant !== 0) return false;
    let filled = 1;
    for (const { axis, coefficient } of bySize(index.terms)) {
      if (coefficient !== filled) return false;
      filled *= axes[axis].extent;
    }
    return filled === shape[d];
  });
}

/** The axes of a store map that is one plain axis a dimension, all different; undefined otherwise. */
export function plainStore({ store }: Equation): readonly number[] | undefined {
  const plain = store.map((index) => (index.kind === 'affine' ? asAxis(index) : undefined));
  if (plain.some((axis) => axis === undefined) || new Set(plain).size !== plain.length) return undefined;
  return plain as readonly number[];
}
