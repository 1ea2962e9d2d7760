/** `mlbtc run` without a process: tensors to a file, the command's own function on the shared device, the result read back. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSource } from '../../compiler/command-line/source.ts';
import { interpret } from '../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../compiler/ir/ndarray.ts';
import { elementCount, type Program } from '../../compiler/ir/program.ts';
import { differentiate } from '../../compiler/passes/differentiate/differentiate.ts';
import { analyse } from '../../compiler/semantics/analyse.ts';
import { runStructure } from '../../runtime/run.ts';
import { readSafetensors, type StoredTensor, writeSafetensors } from '../../runtime/safetensors.ts';
import { testDevice } from './device.ts';
import { inFolder } from './folder.ts';
import { normals } from './random-values.ts';

export type Sizes = Readonly<Record<string, number | readonly number[]>>;

export interface Run {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly sizes?: Sizes;
  readonly structure?: string;
  readonly vjp?: boolean;
}

export async function runTensors(run: Run): Promise<ReadonlyMap<string, StoredTensor>> {
  return inFolder(async (folder) => {
    const paths = { in: join(folder, 'in.safetensors'), out: join(folder, 'out.safetensors') };
    writeSafetensors(paths.in, run.tensors);
    const { file, sizes = {}, structure, vjp = false } = run;
    const chosen = structure === undefined ? {} : { structure };
    await runStructure({ file, sizes, vjp, ...paths, ...chosen }, testDevice);
    return readSafetensors(paths.out).tensors;
  });
}

export async function withFile<T>(text: string, action: (file: string) => Promise<T>): Promise<T> {
  return inFolder((folder) => {
    const file = join(folder, 'structure.mlbtc');
    writeFileSync(file, text);
    return action(file);
  });
}

export function f32(shape: readonly number[], data: ArrayLike<number>): StoredTensor {
  return { dtype: 'F32', shape, data: Float32Array.from(data) };
}

export function i32(shape: readonly number[], data: ArrayLike<number>): StoredTensor {
  return { dtype: 'I32', shape, data: Int32Array.from(data) };
}

/** The program as the semantics lower it, for these sizes. */
export function writtenProgram(file: string, sizes: Sizes, structure?: string): Program {
  const { source, resolve } = openSource(file);
  const chosen = structure === undefined ? {} : { structure };
  const { program, diagnostics } = analyse({ source, resolve, sizes, unbound: 'refuse', ...chosen });
  if (program === undefined) throw new Error(diagnostics.map((d) => d.message).join('\n'));
  return program;
}

/** Random values, rounded to f32, for everything the program is given and the cotangents of its outputs. i32 counts up modulo 3. */
export function randomTensors(program: Program): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  program.tensors.forEach(({ name, shape, dtype, source }, i) => {
    if (source.kind !== 'input' && source.kind !== 'param') return;
    const count = elementCount(shape);
    if (dtype === 'i32') {
      tensors.set(
        name,
        i32(
          shape,
          Array.from({ length: count }, (_, k) => k % 3),
        ),
      );
    } else tensors.set(name, f32(shape, normals(shape, 17 + i).data));
  });
  for (const name of program.outputs) {
    const { shape, dtype } = program.tensors.find((t) => t.name === name)!;
    if (dtype !== 'i32') tensors.set(`cot.${name}`, f32(shape, normals(shape, 400).data));
  }
  return tensors;
}

/** Outputs and `grad.NAME` of everything floating by the interpreter, from the program as written. */
export function interpreted(program: Program, tensors: ReadonlyMap<string, StoredTensor>): Map<string, NdArray> {
  const floating = program.tensors.filter(({ dtype }) => dtype !== 'i32');
  const wrt = floating.filter(({ source }) => source.kind === 'input' || source.kind === 'param').map((t) => t.name);
  const seeded = floating.filter(({ name }) => program.outputs.includes(name)).map((t) => t.name);
  const seeds = Object.fromEntries(seeded.map((name) => [name, 'input' as const]));
  const derived = differentiate(program, { seeds, wrt });
  const values = new Map([...tensors].map(([name, t]) => [name, ndarray(t.shape, t.data as ArrayLike<number>)]));
  return interpret(derived, values, derived.outputs);
}
