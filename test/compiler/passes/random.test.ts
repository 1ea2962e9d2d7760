/** Every pass, alone and together, on and off, keeps the value of random programs and of their derivatives. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hashProgram } from '../../../compiler/ir/hash.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { differentiate } from '../../../compiler/passes/differentiate/differentiate.ts';
import type { PassName } from '../../../compiler/passes/pipeline.ts';
import { optimise, passes } from '../../../compiler/passes/pipeline.ts';
import { simplify } from '../../../compiler/passes/simplify/simplify.ts';
import type { RandomCase } from '../../support/random-program.ts';
import { randomProgram } from '../../support/random-program.ts';
import { normals } from '../../support/random-values.ts';
import { expectSameOutputs } from './agree.ts';

const names = Object.keys(passes) as PassName[];

/** The program with its gradients, and cotangents among its inputs. */
function withGradients({ program, inputs, wrt }: RandomCase): Pick<RandomCase, 'program' | 'inputs'> {
  const floating = program.outputs.filter((name) => program.tensors.find((t) => t.name === name)?.dtype !== 'i32');
  const seeds = Object.fromEntries(floating.map((name) => [name, 'input' as const]));
  const both = differentiate(program, { seeds, wrt });
  const all = new Map(inputs);
  for (const { name, shape, source } of both.tensors) {
    if (source.kind === 'input' && !all.has(name)) all.set(name, normals(shape, all.size));
  }
  return { program: both, inputs: all };
}

function check(numRuns: number, seed: number, run: (random: Pick<RandomCase, 'program' | 'inputs'>) => void): void {
  fc.assert(
    fc.property(randomProgram(), (random) => {
      run(random);
      run(withGradients(random));
    }),
    { numRuns, seed },
  );
}

describe('random programs', () => {
  test.each(names)('%s alone', (name) => {
    check(40, 1, ({ program, inputs }) => expectSameOutputs(program, passes[name](program), inputs));
  });

  test('all passes', () => {
    check(40, 2, ({ program, inputs }) => expectSameOutputs(program, optimise(program), inputs));
  });

  test.each(names)('all but %s', (name) => {
    check(20, 3, ({ program, inputs }) => {
      expectSameOutputs(program, optimise(program, { disabled: new Set([name]) }), inputs);
    });
  });

  test('optimised, differentiated, optimised', () => {
    fc.assert(
      fc.property(randomProgram(), (random) => {
        const plain = withGradients(random);
        const twice = withGradients({ ...random, program: optimise(random.program) });
        expectSameOutputs(plain.program, optimise(twice.program), plain.inputs);
      }),
      { numRuns: 40, seed: 4 },
    );
  });

  test('simplify has nothing to do on what it gave', () => {
    check(40, 5, ({ program }) => {
      const once = simplify(program);
      expect(hashProgram(simplify(once))).toBe(hashProgram(once));
    });
  });

  test('the same program gives the same program', () => {
    check(20, 6, ({ program }) => {
      const copy: Program = structuredClone(program);
      expect(hashProgram(optimise(copy))).toBe(hashProgram(optimise(program)));
    });
  });
});
