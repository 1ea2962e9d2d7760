/**
 * A space: tensors that are never stored, the classes of their dimensions, and what is reduced from them; and the questions that all
 * of this folder asks of one.
 *
 *   S[b, h, t, u], A[b, h, t, u], cot~S[b, h, t, u]   →   one space with classes b, h, t, u and the pair (t, u)
 *
 * A class is a dimension that such tensors have in common, whatever its axis is called in each equation. Dimensions of one element
 * have none. Equations are taken with whole axes (`passes/for-streams/block-axes.ts`) throughout.
 */
import { affine, axisIndex, substitute } from '../../ir/affine.ts';
import { equationsOf, readTensors } from '../../ir/equation.ts';
import { rewriteConstraint, rewriteExpression, rewriteIndex } from '../../ir/expression.ts';
import { longReduced, plainAxes } from '../../ir/plain.ts';
import type { Affine, Axis, Equation, Tensor } from '../../ir/program.ts';

/** Axes of a space by class. */
export type Class = number;

export interface Space {
  readonly hidden: ReadonlySet<string>;
  readonly extentOf: ReadonlyMap<Class, number>;
  /** Rows and walk of its kernels, one way or the other. */
  readonly pair: readonly [Class, Class];
  /** Classes of the dimensions of each hidden tensor. */
  readonly dimensions: ReadonlyMap<string, readonly (Class | undefined)[]>;
  /** Tensors that reduce hidden ones. */
  readonly results: readonly Result[];
}

/** A tensor that reduces hidden ones: its equations that do so, and what they are to the space. */
export interface Result {
  readonly tensor: Tensor;
  /** Of the tensor's equations, in the program and as streams see them. */
  readonly given: readonly Equation[];
  readonly equations: readonly Equation[];
  /** It reduces nothing: an element for each point of the space, which is stored. */
  readonly isMap: boolean;
  /** Class of each axis of each equation, where it has one. */
  readonly classes: readonly ReadonlyMap<number, Class>[];
  readonly row: Class;
  readonly walk: Class;
  /** Reduced beside the walk. */
  readonly outer: readonly Class[];
  /** Stored beside the row. */
  readonly batch: readonly Class[];
}

export const isContracted = (equation: Equation): boolean => longReduced(equation).length > 0;

/** The classes of a kernel's own axes, in their order. */
export function kernelClasses({
  batch,
  outer,
  row,
  walk,
}: Pick<Result, 'batch' | 'outer' | 'row' | 'walk'>): readonly Class[] {
  return [...batch, ...outer, row, walk];
}

/** The equation over a kernel's own axes, then those that are no class of the space. */
export function inKernel(
  equation: Equation,
  classes: ReadonlyMap<number, Class>,
  order: readonly Class[],
  extentOf: ReadonlyMap<Class, number>,
): Equation {
  const own = [...equation.axes.keys()].filter((axis) => !classes.has(axis) && equation.axes[axis].extent > 1);
  const named = new Map([...classes].map(([axis, id]) => [id, equation.axes[axis].name]));
  const axes: Axis[] = [
    ...order.map((id): Axis => ({ name: named.get(id) ?? `i${id}`, extent: extentOf.get(id)! })),
    ...own.map((axis) => equation.axes[axis]),
  ];
  const place = (axis: number): Affine => {
    const id = classes.get(axis);
    if (id !== undefined) return axisIndex(order.indexOf(id));
    const position = own.indexOf(axis);
    return position < 0 ? affine(0) : axisIndex(order.length + position);
  };
  const rewrite = { affine: (a: Affine): Affine => substitute(a, place) };
  return {
    ...equation,
    axes,
    domain: equation.domain.map((c) => rewriteConstraint(c, rewrite)),
    store: equation.store.map((index) => rewriteIndex(index, rewrite)),
    value: rewriteExpression(equation.value, rewrite),
  };
}

/** Classes of a hidden tensor's axes in one of its own equations. */
export function tileClasses(equation: Equation, tensor: Tensor, space: Space): ReadonlyMap<number, Class> {
  return classesOfTile(equation, tensor, space.dimensions.get(tensor.name)!);
}

export function classesOfTile(
  equation: Equation,
  tensor: Tensor,
  dimensions: readonly (Class | undefined)[],
): ReadonlyMap<number, Class> {
  const classes = new Map<number, Class>();
  plainAxes(equation, tensor.shape)!.forEach((axis, d) => {
    const id = dimensions[d];
    if (axis !== undefined && id !== undefined) classes.set(axis, id);
  });
  return classes;
}

/** A key that kernels which could be one have in common. */
export function kernelKey({ batch, outer, row, walk }: Result): string {
  return [batch, outer, row, walk].map(String).join(' | ');
}

/** The hidden tensors that equations need, those behind others too. */
export function hiddenBelow(
  equations: readonly Equation[],
  space: Pick<Space, 'hidden'>,
  tensors: ReadonlyMap<string, Tensor>,
): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (e: Equation): void => {
    for (const name of readTensors(e)) {
      if (!space.hidden.has(name) || found.has(name)) continue;
      for (const below of equationsOf(tensors.get(name)!)) visit(below);
      found.add(name);
    }
  };
  for (const e of equations) visit(e);
  return found;
}

/** Stands for an axis where only their number counts. */
export const noAxis: Axis = { name: '', extent: 1 };
