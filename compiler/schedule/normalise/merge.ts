/**
 * Equations of one tensor over the same box become one, so that one loop does their work:
 *
 *   T = a;  T += b where c               →   T = a + select(c, b, 0)
 *   m[t] = Σ_i a;  m[t] += Σ_i b         →   m[t] = Σ_i (a + b)
 *
 * Contractions stay apart: as products they have kernels of their own.
 */

import { contractionShape } from '../../../kernels/families/contraction/shape.ts';
import { worthTiling } from '../../../kernels/families/contraction/tuning.ts';
import { affine, asAxis, axisIndex, substitute } from '../../ir/affine.ts';
import { hasSymbol, reducedAxes } from '../../ir/equation.ts';
import { constant, renameAxes, rewriteConstraint, select, sum } from '../../ir/expression.ts';
import { constraintKey } from '../../ir/hash.ts';
import { addTo } from '../../ir/lists.ts';
import { plainAxes } from '../../ir/plain.ts';
import type { Affine, Axis, Constraint, Equation, Tensor } from '../../ir/program.ts';

export function mergeEquations(
  tensor: Tensor,
  equations: readonly Equation[],
  known: ReadonlyMap<string, Tensor>,
): readonly Equation[] {
  const boxes = new Map<string, Part[]>();
  const apart: Equation[] = [];
  for (const equation of equations) {
    const part = isApart(equation, tensor, known) ? undefined : canonical(equation, tensor.shape);
    if (!part) apart.push(equation);
    else {
      const key = part.reduced.map((axis) => axis.extent).join('×');
      addTo(boxes, key, part);
    }
  }
  return [...apart, ...[...boxes.values()].map((parts) => merged(parts, tensor.shape))];
}

function isApart(equation: Equation, tensor: Tensor, known: ReadonlyMap<string, Tensor>): boolean {
  if (hasSymbol(equation)) return true;
  if (equation.reducer !== 'sum') return !isReducerOfOne(equation);
  const layouts = (name: string): { shape: readonly number[]; dtype: 'f32'; slot: string } => ({
    shape: known.get(name)!.shape,
    dtype: 'f32',
    slot: name,
  });
  const contraction = contractionShape(equation, layouts, tensor.shape);
  return contraction !== undefined && worthTiling(contraction);
}

/** A max or min over nothing but one point is the point. */
function isReducerOfOne(equation: Equation): boolean {
  return reducedAxes(equation).length === 0;
}

/** An equation whose axes are the tensor's dimensions, then the reduced axes from the longest to the shortest. */
interface Part {
  readonly equation: Equation;
  readonly reduced: readonly Axis[];
  readonly dimensions: readonly string[];
  readonly domain: readonly Constraint[];
  readonly value: Equation['value'];
}

function canonical(equation: Equation, shape: readonly number[]): Part | undefined {
  const plain = plainAxes(equation, shape);
  if (!plain) return undefined;
  const order = [...reducedAxes(equation)].sort((a, b) => {
    const [p, q] = [equation.axes[a], equation.axes[b]];
    return q.extent - p.extent || (p.name < q.name ? -1 : p.name > q.name ? 1 : a - b);
  });
  const positions = equation.axes.map((_, axis): Affine => {
    const [d, r] = [plain.indexOf(axis), order.indexOf(axis)];
    return d >= 0 ? axisIndex(d) : r >= 0 ? axisIndex(shape.length + r) : affine(0);
  });
  const rename = (a: Affine): Affine => substitute(a, (axis) => positions[axis]);
  return {
    equation,
    reduced: order.map((axis) => equation.axes[axis]),
    dimensions: plain.map((axis, d) => (axis === undefined ? `o${d}` : equation.axes[axis].name)),
    domain: equation.domain.map((c) => rewriteConstraint(c, { affine: rename })),
    value: renameAxes(equation.value, positions),
  };
}

function merged(parts: readonly Part[], shape: readonly number[]): Equation {
  const [first] = parts as [Part];
  if (parts.length === 1 && isAsMerged(first, shape)) return first.equation;
  const common = first.domain.filter((c) => parts.every((part) => part.domain.some((o) => sameConstraint(o, c))));
  const terms = parts.map((part) => {
    const own = part.domain.filter((c) => !common.some((o) => sameConstraint(o, c)));
    return own.length === 0 ? part.value : select({ kind: 'domain', constraints: own }, part.value, constant(0));
  });
  return {
    ...first.equation,
    axes: [...shape.map((extent, d): Axis => ({ name: first.dimensions[d], extent })), ...first.reduced],
    domain: common,
    store: shape.map((_, d) => axisIndex(d)),
    reducer: 'sum',
    value: terms.length === 1 ? terms[0] : sum(terms),
  };
}

/** Whether what would be written of it alone is what it is. */
function isAsMerged({ equation, reduced }: Part, shape: readonly number[]): boolean {
  const { axes, store, reducer } = equation;
  return (
    reducer === 'sum' &&
    axes.length === shape.length + reduced.length &&
    store.every((index, d) => index.kind === 'affine' && asAxis(index) === d) &&
    reduced.every((axis, r) => axis === axes[shape.length + r])
  );
}

function sameConstraint(a: Constraint, b: Constraint): boolean {
  return constraintKey(a) === constraintKey(b);
}
