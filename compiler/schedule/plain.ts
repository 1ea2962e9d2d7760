/** Equations that store to one element a point of some of their axes, in the tensor's own order: the plain case. */
import { asAxis } from '../ir/affine.ts';
import { reducedAxes } from '../ir/equation.ts';
import type { Equation } from '../ir/program.ts';

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
