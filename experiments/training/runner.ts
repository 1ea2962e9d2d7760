/**
 * What the training loop and `verify` ask of whatever runs a program: give tensors, run, take tensors. The device does it with
 * WGSL, the interpreter in float64; the same step thus runs on both, and tests hold one against the other.
 */
import { interpret, nextInputs } from '../../compiler/ir/interpret.ts';
import { type NdArray, ndarray, zeros } from '../../compiler/ir/ndarray.ts';
import type { Program } from '../../compiler/ir/program.ts';

export interface Runner {
  upload(name: string, data: Float32Array | Int32Array | Float64Array): void;
  /** One run; states take their next values. */
  run(): void;
  /** Values after the last run; a state has its next value. */
  download(...names: string[]): Promise<Map<string, ArrayLike<number>>>;
  destroy(): void;
}

export type MakeRunner = (program: Program) => Promise<Runner>;

/** Runs on the interpreter. What is not uploaded is 0, as on the device. */
export async function interpreterRunner(program: Program): Promise<Runner> {
  const given = program.tensors.filter(({ source }) => source.kind === 'input' || source.kind === 'param');
  let inputs = new Map<string, NdArray>(given.map(({ name, shape }) => [name, zeros(shape)]));
  let values = new Map<string, NdArray>();
  const states = new Set(program.updates.map(({ state }) => state));
  return {
    upload: (name, data) => {
      const known = inputs.get(name);
      if (known === undefined) throw new Error(`the program has no input ${name}`);
      inputs.set(name, ndarray(known.shape, data));
    },
    run: () => {
      values = interpret(program, inputs);
      inputs = nextInputs(program, inputs, values);
    },
    download: async (...names) => {
      const found = names.map((name) => [name, (states.has(name) ? inputs : values).get(name)?.data] as const);
      for (const [name, data] of found) if (data === undefined) throw new Error(`no value for ${name}`);
      return new Map(found as [string, Float64Array][]);
    },
    destroy: () => undefined,
  };
}
