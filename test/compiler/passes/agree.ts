/** Whether two programs give the same outputs, by the interpreter. */
import { expect } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import type { NdArray } from '../../../compiler/ir/ndarray.ts';
import { printProgram } from '../../../compiler/ir/print.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { normals } from '../../support/random-values.ts';

/** Sums in another order differ in the last bits, and cancellation makes that more. */
const tolerance = 1e-9;

export function expectSameOutputs(before: Program, after: Program, inputs: ReadonlyMap<string, NdArray>): void {
  const problems = verify(after);
  if (problems.length > 0)
    throw new Error(`${problems.join('\n')}\n${printProgram(before)}\nbecame\n${printProgram(after)}`);
  expect(after.outputs).toEqual(before.outputs);
  expect(after.updates).toEqual(before.updates);
  const wanted = [...before.outputs, ...before.updates.map((update) => update.next)];
  const want = interpret(before, inputs, wanted);
  const have = interpret(after, inputs, wanted);
  for (const [name, { data, shape }] of want) {
    const other = have.get(name) as NdArray;
    expect(other.shape).toEqual(shape);
    for (let i = 0; i < data.length; i++) {
      const [a, b] = [data[i], other.data[i]];
      if (Object.is(a, b) || Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a))) continue;
      // What is infinite or undefined may become another such thing, or be skipped.
      if (!Number.isFinite(a)) continue;
      throw new Error(`${name}[${i}] is ${b}, not ${a}\n${printProgram(before)}\nbecame\n${printProgram(after)}`);
    }
  }
}

export function randomInputs(program: Program, seed: number): Map<string, NdArray> {
  const given = program.tensors.filter(({ source }) => source.kind === 'input' || source.kind === 'param');
  return new Map(given.map(({ name, shape }, i) => [name, normals(shape, seed + i)]));
}
