/**
 * A sum that goes where a whole number says is a product with the table of who goes where, which is never stored:
 *
 *   g[ids[n], i] sum= c[n, i]   →   g[w, i] sum= (ids[n] == w ? 1 : 0) * c[n, i]
 *
 * As it stands every element of g looks through all n, which is as many steps as the product has multiply-adds; but a product is made in
 * tiles, which read an id once for all columns of a tile and a row of c once for all its places (gradient of an embedding).
 *
 * The trap: what is infinite in c makes NaN of its column in all places, as in any product of a masked operand.
 */
import { axisIndex } from '../../ir/affine.ts';
import { storeAxes } from '../../ir/equation.ts';
import { affinesOfIndex, constant, load, product, select } from '../../ir/expression.ts';
import type { Constraint, Equation } from '../../ir/program.ts';

/** The equation as such a product; undefined where it is none. */
export function scatterAsProduct(equation: Equation, shape: readonly number[]): Equation | undefined {
  if (equation.reducer !== 'sum') return undefined;
  const [d, ...others] = [...equation.store.keys()].filter((i) => equation.store[i].kind === 'gather');
  if (d === undefined || others.length > 0) return undefined;
  const index = equation.store[d];
  if (index.kind !== 'gather') return undefined;
  const searched = new Set(affinesOfIndex(index).flatMap(({ terms }) => terms.map(({ axis }) => axis)));
  const own = storeAxes({ ...equation, store: equation.store.toSpliced(d, 1) });
  if (own.some((axis) => searched.has(axis))) return undefined;
  const place = axisIndex(equation.axes.length);
  const isAt: Constraint = {
    kind: 'data',
    operator: '==',
    left: load(index.tensor, index.indices),
    right: { kind: 'index', affine: place },
  };
  const isThere = select({ kind: 'domain', constraints: [isAt] }, constant(1), constant(0));
  return {
    ...equation,
    axes: [...equation.axes, { name: 'place', extent: shape[d] }],
    store: equation.store.with(d, place),
    value: product([isThere, equation.value]),
  };
}
