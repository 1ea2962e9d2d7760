/**
 * How far honest f32 may be from float64: the same program on the interpreter with inputs moved by half a unit of f32's last place
 * tells what rounding alone can bring, where a program subtracts nearly equal numbers.
 */
import { interpret } from '../../compiler/ir/interpret.ts';
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { relativeError } from '../support/run-on-device.ts';

type Values = ReadonlyMap<string, NdArray>;

export function rounded(inputs: Values): Map<string, NdArray> {
  return new Map([...inputs].map(([name, { shape, data }]) => [name, { shape, data: data.map(Math.fround) }]));
}

function moved(inputs: Values, program: Program, direction: number): Map<string, NdArray> {
  return new Map(
    [...inputs].map(([name, { shape, data }]) => {
      if (program.tensors.find((t) => t.name === name)?.dtype === 'i32') return [name, { shape, data }];
      return [name, { shape, data: data.map((x, i) => x * (1 + direction * 2 ** -24 * (i % 2 === 0 ? 1 : -1))) }];
    }),
  );
}

/** The largest relative error to allow for each output. */
export function roundingBounds(program: Program, inputs: Values, want: Values): Map<string, number> {
  const allowed = new Map(program.outputs.map((name) => [name, 2e-5]));
  for (const direction of [-1, 1]) {
    const other = interpret(program, moved(inputs, program, direction), program.outputs);
    for (const [name, bound] of allowed) {
      const magnified = 100 * relativeError((other.get(name) as NdArray).data, (want.get(name) as NdArray).data);
      if (magnified > bound) allowed.set(name, magnified);
    }
  }
  return allowed;
}
