/** Questions that one asks of an equation and small builders of equations; see `program.ts` for what one is. */
import { axisIndex, range } from './affine.ts';
import { affinesOfConstraint, affinesOfIndex, axesOf, constraintLoads, gatheredTensors, loads } from './expression.ts';
import type {
  Affine,
  Axis,
  Constraint,
  Equation,
  Expression,
  Index,
  Load,
  Program,
  Reducer,
  Tensor,
  TensorSource,
} from './program.ts';
import { remembered } from './remembered.ts';

const storeAxesOf = new WeakMap<Equation, readonly number[]>();
const reducedAxesOf = new WeakMap<Equation, readonly number[]>();
const tensorsReadBy = new WeakMap<Equation, readonly string[]>();
const byName = new WeakMap<Program['tensors'], ReadonlyMap<string, Tensor>>();
const madeFrom = new WeakMap<TensorSource, readonly string[]>();

/** Axes that stand in the store map, ascending; the others are reduced. */
export function storeAxes(equation: Equation): readonly number[] {
  return remembered(storeAxesOf, equation, ({ store }) => {
    const axes = new Set(store.flatMap(affinesOfIndex).flatMap((a) => a.terms.map((term) => term.axis)));
    return [...axes].sort((a, b) => a - b);
  });
}

/** Those that are looped over and stand in no store map; a symbol is a single value. */
export function reducedAxes(equation: Equation): readonly number[] {
  return remembered(reducedAxesOf, equation, ({ axes }) => {
    const stored = new Set(storeAxes(equation));
    return axes.flatMap(({ symbol }, axis) => (symbol !== undefined || stored.has(axis) ? [] : [axis]));
  });
}

/** Whether the axes alone, without the domain, keep the store inside a tensor of the shape. */
export function storesInside({ store, axes }: Equation, shape: readonly number[]): boolean {
  return store.every((index, d) => {
    if (index.kind !== 'affine') return false;
    const { min, max } = range(index, axes);
    return min >= 0 && max < shape[d];
  });
}

/** Whether the store map numbers the stored axes as digits, `64·h + e`: no two of their points meet. */
export function storesDigits(equation: Equation): boolean {
  const seen = new Set<number>();
  for (const index of equation.store) {
    if (index.kind !== 'affine') return false;
    const terms = [...index.terms]
      .filter((t) => equation.axes[t.axis].extent > 1)
      .sort((a, b) => b.coefficient - a.coefficient);
    for (const [i, term] of terms.entries()) {
      const next = terms[i + 1];
      if (term.coefficient <= 0 || (next && equation.axes[next.axis].extent * next.coefficient > term.coefficient))
        return false;
      seen.add(term.axis);
    }
  }
  return storeAxes(equation).every((axis) => seen.has(axis) || equation.axes[axis].extent === 1);
}

/** Whether something of the equation is known only when it runs. */
export function hasSymbol(equation: Equation): boolean {
  return equation.axes.some(({ symbol }) => symbol !== undefined);
}

/** Number of points of the axes' box, domain not considered. */
export function pointCount(equation: Equation): number {
  return equation.axes.reduce((product, { extent, symbol }) => (symbol === undefined ? product * extent : product), 1);
}

/** Number of points that one element of the tensor is reduced from, domain not considered. */
export function reducedCount(equation: Equation): number {
  return reducedAxes(equation).reduce((product, axis) => product * equation.axes[axis].extent, 1);
}

/** Every load of the equation, those of its domain last; those that gather indices excepted. */
export function equationLoads({ domain, value }: Equation): readonly Load[] {
  return [...loads(value), ...domain.flatMap(constraintLoads)];
}

/** Names of all tensors that the equation reads, in order of first use, each once. */
export function readTensors(equation: Equation): readonly string[] {
  return remembered(tensorsReadBy, equation, ({ axes, store }) => {
    const read = equationLoads(equation).flatMap((l) => [l.tensor, ...l.indices.flatMap(gatheredTensors)]);
    const symbols = axes.flatMap(({ symbol }) => symbol ?? []);
    return [...new Set([...read, ...store.flatMap(gatheredTensors), ...symbols])];
  });
}

/** Names of all tensors that a tensor is made from. */
export function dependencies({ source }: Tensor): readonly string[] {
  return remembered(madeFrom, source, dependenciesOf);
}

function dependenciesOf(source: TensorSource): readonly string[] {
  switch (source.kind) {
    case 'input':
    case 'param':
      return [];
    case 'computed':
      return [...new Set(source.equations.flatMap(readTensors))];
    case 'view':
      return [source.base];
    case 'concat':
      return source.parts.map((part) => part.tensor);
    default:
      return source satisfies never;
  }
}

/** `out[axes 0..n-1 of the shape] = value`, pointwise over the whole tensor; `value` speaks of axes 0..n-1. */
export function pointwise(axes: readonly Axis[], value: Expression, domain: readonly Constraint[] = []): Equation {
  return { axes, domain, store: axes.map((_, axis) => axisIndex(axis)), reducer: 'sum', value };
}

export interface EquationParts {
  readonly axes: readonly Axis[];
  readonly domain?: readonly Constraint[];
  readonly store: readonly Index[];
  readonly reducer?: Reducer;
  readonly value: Expression;
}

export function equation(parts: EquationParts): Equation {
  return { domain: [], reducer: 'sum', ...parts };
}

/** All affine expressions of an equation: store, domain and value. */
export function usedAxes(equation: Equation): readonly number[] {
  const own = [
    ...equation.store.flatMap(affinesOfIndex),
    ...equation.domain.flatMap(affinesOfConstraint),
  ] as readonly Affine[];
  const axes = new Set([...own.flatMap((a) => a.terms.map((term) => term.axis)), ...axesOf(equation.value)]);
  return [...axes].sort((a, b) => a - b);
}

export function tensorMap({ tensors }: Program): ReadonlyMap<string, Tensor> {
  return remembered(byName, tensors, () => new Map(tensors.map((tensor) => [tensor.name, tensor])));
}

/** The tensor in which a view lies, over whatever views; any other tensor is its own. */
export function viewBase(name: string, tensors: ReadonlyMap<string, Tensor>): string {
  const { source } = tensors.get(name)!;
  return source.kind === 'view' ? viewBase(source.base, tensors) : name;
}

/** Equations of a computed tensor, none for others. */
export function equationsOf(tensor: Tensor): readonly Equation[] {
  return tensor.source.kind === 'computed' ? tensor.source.equations : [];
}

/** Names of the tensors that others are made from, however far back, those themselves included. Throws where one is missing. */
export function neededFor(program: Program, wanted: readonly string[]): ReadonlySet<string> {
  const tensors = tensorMap(program);
  const found = new Set<string>();
  const pending = [...wanted];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (found.has(name)) continue;
    found.add(name);
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`the program has no tensor ${name}`);
    pending.push(...dependencies(tensor));
  }
  return found;
}
