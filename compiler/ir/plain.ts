/** What stores and reads plainly: one element a point of some axes, a dimension for each of them. */
import { asAxis } from './affine.ts';
import { reducedAxes } from './equation.ts';
import type { Affine, Equation, Load } from './program.ts';

/** One distinct axis of full extent for every dimension; extents of 1 may be the number 0. */
export function plainAxes(equation: Equation, shape: readonly number[]): readonly (number | undefined)[] | undefined {
  const axes: (number | undefined)[] = [];
  for (const [d, index] of equation.store.entries()) {
    if (index.kind !== 'affine') return undefined;
    // A digit that is always 0 makes an index no less plain.
    const long = index.terms.filter((term) => equation.axes[term.axis].extent > 1);
    const axis = asAxis(long.length > 0 ? { ...index, terms: long } : index);
    if (axis === undefined) {
      if (shape[d] !== 1 || index.terms.length > 0) return undefined;
    } else {
      const { extent, symbol } = equation.axes[axis];
      if (axes.includes(axis) || extent !== shape[d] || symbol !== undefined) return undefined;
    }
    axes.push(axis);
  }
  return axes;
}

/** No reduced axis and a plain store. */
export function isPointwise(equation: Equation, shape: readonly number[]): boolean {
  return reducedAxes(equation).length === 0 && plainAxes(equation, shape) !== undefined;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, d) => extent === b[d]);
}

/** The axis at which each dimension is read, none for those of one element; undefined where it is read another way. */
export function pointOf(l: Load, { axes }: Equation): readonly (number | undefined)[] | undefined {
  const point: (number | undefined)[] = [];
  for (const index of l.indices) {
    if (index.kind !== 'affine' || index.constant !== 0) return undefined;
    const [only, ...others] = index.terms.filter((t) => axes[t.axis].extent > 1);
    if (only !== undefined && (others.length > 0 || only.coefficient !== 1 || point.includes(only.axis)))
      return undefined;
    point.push(only?.axis);
  }
  return point;
}

/** Axes of more than one value that the equation reduces. */
export const longReduced = (equation: Equation): readonly number[] =>
  reducedAxes(equation).filter((axis) => equation.axes[axis].extent > 1);

/** The axes that number a whole dimension as digits, `64·h + e`; undefined where they do not. */
export function digitsOf(index: Affine, { axes }: Equation, extent: number): readonly number[] | undefined {
  const long = index.terms.filter((t) => axes[t.axis].extent > 1).sort((a, b) => a.coefficient - b.coefficient);
  let step = 1;
  for (const { axis, coefficient } of long) {
    if (coefficient !== step) return undefined;
    step *= axes[axis].extent;
  }
  return index.constant === 0 && step === extent ? long.map(({ axis }) => axis) : undefined;
}
