/** Gradients of a structure's one output y under a cotangent of ones, by the interpreter: as written, and as scheduled. */
import { compileProgram } from '../../compiler/compile.ts';
import { interpret } from '../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../compiler/ir/ndarray.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import { differentiate } from '../../compiler/passes/differentiate/differentiate.ts';
import { normalise } from '../../compiler/schedule/normalise/normalise.ts';
import { analyse } from '../../compiler/semantics/analyse.ts';
import { portableTarget, type Target } from '../../kernels/target.ts';

export type Data = Readonly<Record<string, readonly number[]>>;

/** The program with its derivatives, at three stages of its way. */
export function stagesOf(text: string, target: Target = portableTarget): Readonly<Record<string, Program>> {
  const source = { file: 'S', text: `structure S {\n${text}\noutput y\n}` };
  const { program, diagnostics } = analyse({ source, sizes: {}, unbound: 'refuse', resolve: () => undefined });
  if (program === undefined) throw new Error(diagnostics.map((d) => d.message).join('\n'));
  const wrt = program.tensors.filter(({ source: s }) => s.kind === 'input').map(({ name }) => name);
  const compiled = compileProgram(program, { target, gradients: true }).program;
  return {
    written: differentiate(program, { seeds: { y: 'input' }, wrt }),
    compiled,
    normalised: normalise(compiled),
  };
}

/** Everything that is given to such a program. */
export function givenTo({ tensors }: Program, data: Data): Map<string, NdArray> {
  const given = tensors.filter(({ source }) => source.kind === 'input');
  return new Map(
    given.map(({ name, shape }) => [
      name,
      ndarray(shape, Float64Array.from(data[name] ?? Array.from({ length: elementCount(shape) }, () => 1))),
    ]),
  );
}

/** y and every gradient, by the name of its tensor. */
export function valuesOf(program: Program, data: Data): Record<string, number[]> {
  const values = interpret(program, givenTo(program, data), program.outputs);
  return Object.fromEntries([...values].map(([name, { data: d }]) => [name.replace(/^grad\./, ''), [...d]]));
}
