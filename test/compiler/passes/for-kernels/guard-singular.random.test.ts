// Gradients through guards around what is singular, of the program as it is written and of the one that is scheduled.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../../compiler/ir/ndarray.ts';
import { printProgram } from '../../../../compiler/ir/print.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { differentiate } from '../../../../compiler/passes/differentiate/differentiate.ts';
import { normalise } from '../../../../compiler/schedule/normalise/normalise.ts';
import { analyse } from '../../../../compiler/semantics/analyse.ts';
import { portableTarget } from '../../../../kernels/target.ts';
import { type GuardCase, guardCases, inputShapes, outputShape } from '../../../support/random-guards.ts';

/** Undefined where a constant comes out that is no number. */
function programOf({ text }: GuardCase): Program | undefined {
  const { program, diagnostics } = analyse({
    source: { file: 'S', text },
    sizes: {},
    unbound: 'refuse',
    resolve: () => undefined,
  });
  for (const { severity, code, message } of diagnostics)
    if (severity === 'error' && code !== 'E0604') throw new Error(`${message} in\n${text}`);
  return program;
}

/** Every element of which something is demanded is that. */
function expectGradients(program: Program, { text, inputs, cotangent, gradients }: GuardCase): void {
  const given = [
    ...Object.entries(inputShapes).map(
      ([name, shape]) => [name, inputs[name as keyof typeof inputShapes], shape] as const,
    ),
    ['cot.y', cotangent, outputShape] as const,
  ];
  const values = interpret(
    program,
    new Map(given.map(([name, data, shape]) => [name, ndarray(shape, Float64Array.from(data))])),
  );
  for (const [name, want] of Object.entries(gradients)) {
    want.forEach((right, n) => {
      if (!Number.isFinite(right)) return;
      const have = values.get(`grad.${name}`)!.data[n];
      const wrong = `grad.${name}[${n}] is ${have}, not ${right}, in\n${text}\n${JSON.stringify(inputs)}\n${printProgram(program)}`;
      if (!(Math.abs(have - right) <= 1e-7 * (1 + Math.abs(right)))) expect.fail(wrong);
    });
  }
}

test('what is excluded contributes nothing, whatever it would compute', () => {
  fc.assert(
    fc.property(guardCases, (c) => {
      const program = programOf(c);
      fc.pre(program !== undefined);
      const derived = differentiate(program, { seeds: { y: 'input' }, wrt: Object.keys(inputShapes) });
      expect(verify(derived)).toEqual([]);
      expectGradients(derived, c);
      const compiled = compileProgram(program, { target: portableTarget, gradients: true });
      expectGradients(compiled.program, c);
      expectGradients(normalise(compiled.program), c);
    }),
    { numRuns: Number(process.env.RUNS ?? 80), seed: Number(process.env.SEED ?? 5) },
  );
});
