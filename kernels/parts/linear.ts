/**
 * Equations with flat loads, and the merging of axes that walk through memory together.
 *
 * A kernel addresses memory by flat offsets, so every load whose indices are affine becomes a load with ONE index, its flat
 * offset (a load of a rank-1 tensor is that already). Two axes a, b of which, in every affine expression of the equation,
 * `coefficient(a) = coefficient(b) · extent(b)` are one longer axis: a contiguous (b, t, i) box becomes one axis, and with it
 * go the divisions that would take an element's number apart. Loads through a gather keep their indices.
 */
import { affine, coefficientOf, substitute } from '../../compiler/ir/affine.ts';
import {
  affinesOf,
  affinesOfConstraint,
  load,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
} from '../../compiler/ir/expression.ts';
import type { Affine, AffineTerm, Axis, Equation, Index, Load } from '../../compiler/ir/program.ts';
import type { Shapes } from '../kernel.ts';

/** Row-major strides of a shape, in elements. */
export function strides(shape: readonly number[]): number[] {
  const result = new Array<number>(shape.length).fill(1);
  for (let d = shape.length - 2; d >= 0; d--) result[d] = result[d + 1] * shape[d + 1];
  return result;
}

/** The other way: WGSL of coordinate `d` of the element whose flat offset in a tensor of `shape` is `flat`. */
export function coordinate(flat: string, shape: readonly number[], d: number): string {
  const stride = strides(shape)[d];
  const quotient = stride === 1 ? flat : `${flat} / ${stride}`;
  const isOutermost = shape.slice(0, d).every((extent) => extent === 1);
  return isOutermost ? quotient : `${quotient} % ${shape[d]}`;
}

/** The flat offset of an element, when no index is a gather. */
export function flatIndex(shape: readonly number[], indices: readonly Index[]): Affine | undefined {
  if (indices.length === 1 && indices[0].kind === 'affine') return indices[0];
  const stride = strides(shape);
  let constant = 0;
  const terms: AffineTerm[] = [];
  for (const [d, index] of indices.entries()) {
    if (index.kind !== 'affine') return undefined;
    constant += index.constant * stride[d];
    for (const { axis, coefficient } of index.terms) terms.push({ axis, coefficient: coefficient * stride[d] });
  }
  return affine(constant, terms);
}

/** Flattens every affine load; the store map stays as it is. */
export function flattenLoads(equation: Equation, layouts: Shapes): Equation {
  const rewrite = {
    load: (l: Load): Load => {
      const flat = flatIndex(layouts(l.tensor).shape, l.indices);
      return flat ? load(l.tensor, [flat]) : l;
    },
  };
  const domain = equation.domain.map((c) => rewriteConstraint(c, rewrite));
  return { ...equation, domain, value: rewriteExpression(equation.value, rewrite) };
}

/** Every affine expression of the equation but those of the store map. */
export function affinesOutsideStore(equation: Equation): readonly Affine[] {
  return [...affinesOf(equation.value), ...equation.domain.flatMap(affinesOfConstraint)];
}

/** Whether `outer` and `inner` walk together in all the expressions given. */
export function walkTogether(affines: readonly Affine[], outer: number, inner: number, innerExtent: number): boolean {
  return affines.every((a) => coefficientOf(a, outer) === coefficientOf(a, inner) * innerExtent);
}

/** Replaces axis `inner` by the merged axis and drops `outer`; positions of the axes do not change (`outer` gets extent 1). */
export function mergeAxes(equation: Equation, outer: number, inner: number): Equation {
  const axes: Axis[] = [...equation.axes];
  const [a, b] = [axes[outer], axes[inner]];
  axes[inner] = { name: `${a.name}${b.name}`, extent: a.extent * b.extent };
  axes[outer] = { name: a.name, extent: 1 };
  return dropAxis({ ...equation, axes }, outer);
}

/** Takes an axis of extent 1 out of every expression; its position stays, so that others keep theirs. */
function dropAxis(equation: Equation, axis: number): Equation {
  const rewrite = {
    affine: (a: Affine) => substitute(a, (x) => (x === axis ? affine(0) : affine(0, [{ axis: x, coefficient: 1 }]))),
  };
  return {
    ...equation,
    domain: equation.domain.map((c) => rewriteConstraint(c, rewrite)),
    store: equation.store.map((i) => rewriteIndex(i, rewrite)),
    value: rewriteExpression(equation.value, rewrite),
  };
}

/** Merges all axes of `candidates` (in this order, outer before inner) that walk together. Returns those that are left. */
export function mergeAll(
  equation: Equation,
  candidates: readonly number[],
  extra: (e: Equation) => readonly Affine[] = () => [],
): { readonly equation: Equation; readonly left: readonly number[] } {
  let current = equation;
  let left = candidates.filter((axis) => equation.axes[axis].extent > 1);
  for (let merged = true; merged; ) {
    merged = false;
    search: for (const outer of left) {
      for (const inner of left) {
        if (outer === inner) continue;
        const affines = [...affinesOutsideStore(current), ...extra(current)];
        if (!walkTogether(affines, outer, inner, current.axes[inner].extent)) continue;
        current = mergeAxes(current, outer, inner);
        left = left.filter((axis) => axis !== outer);
        merged = true;
        break search;
      }
    }
  }
  return { equation: current, left };
}
