/** The integers of a program and its data, before anything is uploaded: the rules are `compiler/ir/integer-check.ts`. */
import { UserError } from '../compiler/command-line/errors.ts';
import { integerMisuse } from '../compiler/ir/integer-check.ts';
import { ndarray } from '../compiler/ir/ndarray.ts';
import type { Program } from '../compiler/ir/program.ts';

/** Throws UserError with the first integer that is out of range where it is used, and its position. */
export function checkIntegers(file: string, program: Program, given: ReadonlyMap<string, ArrayLike<number>>): void {
  const integers = program.tensors.flatMap(({ name, dtype, shape, source }) => {
    const data = dtype === 'i32' && source.kind === 'input' ? given.get(name) : undefined;
    return data === undefined ? [] : [[name, ndarray(shape, data)] as const];
  });
  const misuse = integerMisuse(program, new Map(integers));
  if (misuse !== undefined) throw new UserError(`${file}: ${misuse.message}`);
}
