/**
 * What is added where a whole number says becomes a sum for each place that it may say; program → program.
 *
 *   g[h, bucket[t, u]] sum= S[b, h, t, u]   →   g[h, n] sum= S[b, h, t, u]   where bucket[t, u] == n
 *
 * As a loop it would be the longer way, by as many times as there are places: this is for streams (schedule/streams), which meet
 * each element of S once, where it is made, and know by then which place it is for.
 */
import { axisIndex, subtract } from '../../ir/affine.ts';
import { equationsOf } from '../../ir/equation.ts';
import { affinesOfIndex, load } from '../../ir/expression.ts';
import type { Affine, Axis, Constraint, Equation, Index, Program, Tensor } from '../../ir/program.ts';

/** `isWanted` is asked of each equation that could be written so: the number of its places, and the axes that say which. */
export function placesAsColumns(
  program: Program,
  isWanted: (equation: Equation, places: number, axes: readonly Axis[]) => boolean,
): Program {
  let changed = false;
  const tensors = program.tensors.map((tensor): Tensor => {
    if (tensor.source.kind !== 'computed' || tensor.dtype !== 'f32') return tensor;
    const equations = equationsOf(tensor).map((equation) => {
      const d = placedDimension(equation);
      if (d === undefined) return equation;
      const axes = [...new Set(affinesOfIndex(equation.store[d]).flatMap((a) => a.terms.map((t) => t.axis)))];
      const places = tensor.shape[d];
      const own = axes.map((axis) => equation.axes[axis]);
      return isWanted(equation, places, own) ? withColumn(equation, d, places) : equation;
    });
    if (equations.every((e, i) => e === equationsOf(tensor)[i])) return tensor;
    changed = true;
    return { ...tensor, source: { kind: 'computed', equations } };
  });
  return changed ? { ...program, tensors } : program;
}

/** The one dimension whose place two axes say together, or a tensor says, neither of which stands elsewhere in the store. */
function placedDimension(equation: Equation): number | undefined {
  if (equation.reducer !== 'sum') return undefined;
  const placed = equation.store.flatMap((index, d) => (isPlaced(index, equation) ? [d] : []));
  if (placed.length !== 1) return undefined;
  const [d] = placed;
  const own = new Set(affinesOfIndex(equation.store[d]).flatMap((a) => a.terms.map((t) => t.axis)));
  const others = equation.store.filter((_, other) => other !== d).flatMap(affinesOfIndex);
  return others.some((a) => a.terms.some((t) => own.has(t.axis))) ? undefined : d;
}

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
