/**
 * What is added where a whole number says becomes a sum for each place that it may say; program → program.
 *
 *   g[h, bucket[t, u]] sum= S[b, h, t, u]   →   g[h, n] sum= S[b, h, t, u]   where bucket[t, u] == n
 *
 * As a loop it would be the longer way, by as many times as there are places: this is for streams (schedule/streams), which meet
 * each element of S once, where it is made, and know by then which place it is for.
 */
import { axisIndex, subtract } from '../../ir/affine.ts';
import { affinesOfIndex, load } from '../../ir/expression.ts';
import type { Affine, Axis, Constraint, Equation, Index, Program } from '../../ir/program.ts';
import { mapEquations } from '../rename.ts';

/** `isWanted` is asked of each equation that could be written so: the number of its places, and the axes that say which. */
export function placesAsColumns(
  program: Program,
  isWanted: (equation: Equation, places: number, axes: readonly Axis[]) => boolean,
): Program {
  return mapEquations(program, (equation, { dtype, shape }) => {
    const d = dtype === 'f32' && equation.reducer === 'sum' ? placedDimension(equation) : undefined;
    if (d === undefined) return [equation];
    const own = [...axesOfIndices([equation.store[d]])].map((axis) => equation.axes[axis]);
    return [isWanted(equation, shape[d], own) ? withColumn(equation, d, shape[d]) : equation];
  });
}

/** The one dimension whose place two axes say together, or a tensor says, neither of which stands elsewhere in the store. */
function placedDimension(equation: Equation): number | undefined {
  const [d, ...others] = [...equation.store.keys()].filter((i) => isPlaced(equation.store[i], equation));
  if (d === undefined || others.length > 0) return undefined;
  const elsewhere = axesOfIndices(equation.store.toSpliced(d, 1));
  return [...axesOfIndices([equation.store[d]])].some((axis) => elsewhere.has(axis)) ? undefined : d;
}

const axesOfIndices = (indices: readonly Index[]): ReadonlySet<number> =>
  new Set(indices.flatMap(affinesOfIndex).flatMap(({ terms }) => terms.map(({ axis }) => axis)));

function isPlaced(index: Index, { axes }: Equation): boolean {
  if (index.kind === 'gather') return true;
  const long = index.terms.filter((t) => axes[t.axis].extent > 1);
  return long.length > 1 && long.some((t) => t.coefficient < 0);
}

function withColumn(equation: Equation, d: number, places: number): Equation {
  const column = axisIndex(equation.axes.length);
  return {
    ...equation,
    axes: [...equation.axes, { name: 'n', extent: places }],
    domain: [...equation.domain, isAt(equation.store[d], column)],
    store: equation.store.map((index, other) => (other === d ? column : index)),
  };
}

function isAt(index: Index, column: Affine): Constraint {
  if (index.kind === 'affine') return { kind: 'zero', affine: subtract(index, column) };
  return {
    kind: 'data',
    operator: '==',
    left: load(index.tensor, index.indices),
    right: { kind: 'index', affine: column },
  };
}
