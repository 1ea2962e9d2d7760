/** Values for every input and param of a program, the same on every machine. */
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { integers, normals } from './random-values.ts';

/** Normals for floating tensors, whole numbers below `bound` for i32 ones. */
export function feed(program: Program, bound = 5): Map<string, NdArray> {
  const given = program.tensors.filter((t) => t.source.kind === 'input' || t.source.kind === 'param');
  return new Map(
    given.map(({ name, shape, dtype }, i) => [
      name,
      dtype === 'i32' ? integers(shape, 31 + i, bound) : normals(shape, 7 + i),
    ]),
  );
}
