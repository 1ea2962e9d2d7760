/**
 * Dimensions of a loop or row kernel that every statement walks through together become one, and so do reduced axes: a
 * pointwise kernel over `[b, t, i]` is one over `[b·t·i]`, whose threads take no number apart.
 *
 *   y[b, t] = x[b, t] + z[b, t]  over b: 4, t: 6   →   y[bt] = x[bt] + z[bt]  over bt: 24
 *
 * The trap: dimensions stay what they are unless all statements agree, since all share the thread's (or the row's)
 * position.
 */
import { asAxis } from '../../compiler/ir/affine.ts';
import { reducedAxes } from '../../compiler/ir/equation.ts';
import type { Affine, Equation } from '../../compiler/ir/program.ts';
import type { LoopKernel, RowKernel, RowStatement, Shapes } from '../kernel.ts';
import { affinesOutsideStore, flatIndex, flattenLoads, mergeAll, mergeAxes, walkTogether } from './linear.ts';

/** The axes of a row's points. */
function pointAxes({ equation, rowAxes }: RowStatement): readonly number[] {
  return equation.axes.flatMap(({ symbol }, axis) => (rowAxes.includes(axis) || symbol !== undefined ? [] : [axis]));
}

/** Each dimension's own axis where every store map is plain (one distinct full axis a dimension), else undefined. */
export function plainStore(equation: Equation, shape: readonly number[]): readonly number[] | undefined {
  const axes: number[] = [];
  for (const [d, index] of equation.store.entries()) {
    const axis = index.kind === 'affine' ? asAxis(index) : undefined;
    if (axis === undefined || axes.includes(axis) || equation.axes[axis].extent !== shape[d]) return undefined;
    if (equation.axes[axis].symbol !== undefined) return undefined;
    axes.push(axis);
  }
  return axes;
}

/** `shape` with dimensions d and d + 1 as one. */
function mergeDimensions(shape: readonly number[], d: number): readonly number[] {
  return [...shape.slice(0, d), shape[d] * shape[d + 1], ...shape.slice(d + 2)];
}

/** Flat loads, store maps of the merged shape. */
export function collapseLoop(kernel: LoopKernel, layouts: Shapes): LoopKernel {
  let { shape, statements } = kernel;
  const rewrite = (change: (e: Equation) => Equation): void => {
    statements = statements.map((s) => ({ ...s, equations: s.equations.map(change) }));
  };
  rewrite((e) => flattenLoads(e, layouts));
  for (let d = shape.length - 2; d >= 0; d--) {
    const together = statements.every((s) =>
      s.equations.every((e) => {
        const axes = plainStore(e, shape);
        return axes !== undefined && walkTogether(affinesOutsideStore(e), axes[d], axes[d + 1], shape[d + 1]);
      }),
    );
    if (!together) continue;
    rewrite((e) => {
      const axes = plainStore(e, shape)!;
      const merged = mergeAxes(e, axes[d], axes[d + 1]);
      return { ...merged, store: merged.store.filter((_, i) => i !== d) };
    });
    shape = mergeDimensions(shape, d);
  }
  rewrite((e) => mergeAll(e, reducedAxes(e)).equation);
  return { family: 'loop', shape, statements };
}

/** Flat loads and flat stores; the points inside a row are merged too. */
export function collapseRow(kernel: RowKernel, layouts: Shapes): RowKernel {
  const storeOf = (e: Equation): readonly Affine[] => [e.store[0] as Affine];
  let { rows } = kernel;
  let statements = kernel.statements.map((s): RowStatement => {
    const flat = flatIndex(layouts(s.tensor).shape, s.equation.store);
    if (!flat) throw new Error('a row statement stores through an affine map');
    return { ...s, equation: { ...flattenLoads(s.equation, layouts), store: [flat] } };
  });
  for (let d = rows.length - 2; d >= 0; d--) {
    const together = statements.every(({ equation: e, rowAxes }) =>
      walkTogether([...affinesOutsideStore(e), ...storeOf(e)], rowAxes[d], rowAxes[d + 1], rows[d + 1]),
    );
    if (!together) continue;
    statements = statements.map((s) => ({
      ...s,
      equation: mergeAxes(s.equation, s.rowAxes[d], s.rowAxes[d + 1]),
      rowAxes: s.rowAxes.filter((_, i) => i !== d),
    }));
    rows = mergeDimensions(rows, d);
  }
  statements = statements.map((s) => {
    const inner = pointAxes(s);
    return { ...s, equation: mergeAll(s.equation, inner, storeOf).equation };
  });
  return { family: 'row', rows, statements };
}
