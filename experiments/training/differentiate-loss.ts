/**
 * The compiler's passes as training uses them: optimise, differentiate the loss, optimise once more.
 *
 * The trap: a param that the loss does not depend on gets a gradient of zeros; it must take no step, not even weight decay.
 */
import type { Program } from '../../compiler/ir/program.ts';
import { differentiate } from '../../compiler/passes/differentiate/differentiate.ts';
import { optimiseDerivatives } from '../../compiler/passes/pipeline.ts';
import type { Differentiated } from './step.ts';

/** Gradients of the output `loss` with respect to every trained param that it depends on. */
export function differentiateLoss(program: Program): Differentiated {
  const trained = program.tensors.filter(({ source }) => source.kind === 'param' && !source.fixed);
  const wrt = trained.map(({ name }) => name);
  const backward = differentiate(program, { seeds: { loss: 'one' }, wrt });
  const gradients = backward.outputs.slice(program.outputs.length);
  const zero = new Set(
    backward.tensors
      .filter(({ source }) => source.kind === 'computed' && source.equations.length === 0)
      .map(({ name }) => name),
  );
  const touched = wrt.map((name, i) => [name, gradients[i]] as const).filter(([, gradient]) => !zero.has(gradient));
  const kept = { ...backward, outputs: [...program.outputs, ...new Set(touched.map(([, gradient]) => gradient))] };
  return { program: optimiseDerivatives(kept), gradientOf: new Map(touched) };
}
