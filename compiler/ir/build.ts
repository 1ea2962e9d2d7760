/**
 * Writing programs by hand, in tests and in passes. An equation is written over named axes that arrive as index expressions:
 *
 *   over({ b: 4, i: 8, j: 8 }, ({ b, i, j }) => ({ store: [b, i], value: product([at('W', i, j), at('x', b, j)]) }))
 */
import { affine, axisIndex } from './affine.ts';
import type { EquationParts } from './equation.ts';
import { dependencies, equation } from './equation.ts';
import { load } from './expression.ts';
import type { Affine, Constraint, Dtype, Equation, Index, Init, Load, Program, Tensor } from './program.ts';

export function input(name: string, shape: readonly number[], dtype: Dtype = 'f32'): Tensor {
  return { name, dtype, shape, source: { kind: 'input' } };
}

export function param(
  name: string,
  shape: readonly number[],
  init: Init = { kind: 'normal', std: 1 },
  fixed = false,
): Tensor {
  return { name, dtype: 'f32', shape, source: { kind: 'param', init, fixed } };
}

export function computed(
  name: string,
  shape: readonly number[],
  equations: readonly Equation[],
  dtype: Dtype = 'f32',
): Tensor {
  return { name, dtype, shape, source: { kind: 'computed', equations } };
}

export function program(
  tensors: readonly Tensor[],
  outputs: readonly string[],
  updates: Program['updates'] = [],
): Program {
  return { tensors, outputs, updates };
}

type OverParts = Omit<EquationParts, 'axes' | 'store'> & { readonly store: readonly (Index | number)[] };

/** An equation over axes with the given names and extents. */
export function over<Name extends string>(
  extents: Readonly<Record<Name, number>>,
  parts: (axes: Readonly<Record<Name, Affine>>) => OverParts,
): Equation {
  const names = Object.keys(extents) as Name[];
  const indices = Object.fromEntries(names.map((name, axis) => [name, axisIndex(axis)])) as Record<Name, Affine>;
  const { store, ...rest } = parts(indices);
  return equation({
    ...rest,
    axes: names.map((name) => ({ name, extent: extents[name] })),
    store: store.map(toIndex),
  });
}

/** A load; a number stands for a constant index. */
export function at(tensor: string, ...indices: readonly (Index | number)[]): Load {
  return load(tensor, indices.map(toIndex));
}

export function gather(tensor: string, ...indices: readonly (Index | number)[]): Index {
  return { kind: 'gather', tensor, indices: indices.map(toIndex) };
}

export function atLeastZero(a: Affine): Constraint {
  return { kind: 'nonnegative', affine: a };
}

function toIndex(index: Index | number): Index {
  return typeof index === 'number' ? affine(index) : index;
}

/** The tensors in an order in which each comes after those it reads; otherwise as they stood. Throws on a cycle. */
export function inOrder(tensors: readonly Tensor[]): readonly Tensor[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const ordered: Tensor[] = [];
  const state = new Map<string, 'open' | 'done'>();
  // A stack of our own: a program may be a chain longer than the call stack is deep.
  for (const root of tensors) {
    const stack = [root];
    while (stack.length > 0) {
      const tensor = stack[stack.length - 1];
      if (state.get(tensor.name) === 'done') {
        stack.pop();
        continue;
      }
      state.set(tensor.name, 'open');
      const before = dependencies(tensor).filter((name) => state.get(name) !== 'done' && byName.has(name));
      if (before.some((name) => state.get(name) === 'open')) {
        throw new Error(`the tensor ${tensor.name} depends on itself`);
      }
      if (before.length === 0) {
        state.set(tensor.name, 'done');
        ordered.push(tensor);
        stack.pop();
      } else {
        stack.push(...before.reverse().map((name) => byName.get(name) as Tensor));
      }
    }
  }
  return ordered;
}
