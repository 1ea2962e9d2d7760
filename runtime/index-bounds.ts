/**
 * i32 tensors as indices: which tensors a program reads positions from, how large those may be, and the check of real values
 * against that before anything is uploaded. A kernel reads outside its buffer otherwise, and WebGPU then gives anything at all.
 */

import { UserError } from '../compiler/command-line/errors.ts';
import { equationsOf } from '../compiler/ir/equation.ts';
import { loads } from '../compiler/ir/expression.ts';
import type { Index, Program } from '../compiler/ir/program.ts';

export interface IndexBound {
  /** Values must lie in 0 .. extent - 1. */
  readonly extent: number;
  /** The tensor that is indexed, for people. */
  readonly target: string;
  readonly dimension: number;
}

/** For each tensor whose elements are used as indices, the tightest of the extents that it indexes. */
export function indexBounds(program: Program): ReadonlyMap<string, IndexBound> {
  const shapes = new Map(program.tensors.map(({ name, shape }) => [name, shape]));
  const bounds = new Map<string, IndexBound>();
  const visit = (target: string, indices: readonly Index[]): void => {
    indices.forEach((index, dimension) => {
      if (index.kind !== 'gather') return;
      const extent = shapes.get(target)?.[dimension] ?? 0;
      const known = bounds.get(index.tensor);
      if (known === undefined || extent < known.extent) bounds.set(index.tensor, { extent, target, dimension });
      visit(index.tensor, index.indices);
    });
  };
  for (const tensor of program.tensors) {
    for (const equation of equationsOf(tensor)) {
      visit(tensor.name, equation.store);
      for (const load of loads(equation.value)) visit(load.tensor, load.indices);
    }
  }
  return bounds;
}

/** Throws UserError with the first value that is out of range and its position. */
export function checkIndices(name: string, shape: readonly number[], data: Int32Array, bound: IndexBound): void {
  const { extent, target, dimension } = bound;
  const wrong = data.findIndex((value) => value < 0 || value >= extent);
  if (wrong < 0) return;
  const position = positionIn(shape, wrong).join(', ');
  throw new UserError(
    `\`${name}\`[${position}] is ${data[wrong]}, and it indexes dimension ${dimension} of \`${target}\`, ` +
      `where only 0 to ${extent - 1} exist`,
  );
}

export function positionIn(shape: readonly number[], flat: number): number[] {
  const position: number[] = [];
  let rest = flat;
  for (let d = shape.length - 1; d >= 0; d--) {
    position.unshift(rest % shape[d]);
    rest = Math.floor(rest / shape[d]);
  }
  return position;
}
