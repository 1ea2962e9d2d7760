/** Random structured matrices: every pass keeps their products, and no order is dearer than left to right. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leftToRightMultiplyAdds, multiplyAdds } from '../../../compiler/analysis/cost.ts';
import { contractionOperands } from '../../../compiler/ir/contraction.ts';
import { equationsOf } from '../../../compiler/ir/equation.ts';
import { loads } from '../../../compiler/ir/expression.ts';
import { printProgram, printTensor } from '../../../compiler/ir/print.ts';
import type { Load, Program } from '../../../compiler/ir/program.ts';
import { tensorCost } from '../../../compiler/passes/contraction-order/equation-cost.ts';
import type { Cost } from '../../../compiler/passes/contraction-order/network.ts';
import { addCosts, compareCosts, freeCost } from '../../../compiler/passes/contraction-order/network.ts';
import { optimise, passes } from '../../../compiler/passes/pipeline.ts';
import { expectSameOutputs, randomInputs } from './agree.ts';
import { randomContraction } from './random-contraction.ts';

describe('random contractions', () => {
  test('all passes keep the value', () => {
    fc.assert(
      fc.property(randomContraction(), (program) => {
        const inputs = randomInputs(program, 7);
        expectSameOutputs(program, optimise(program), inputs);
      }),
      { numRuns: 400, seed: 1 },
    );
  });

  test.each(['inline', 'distribute', 'order', 'simplify'] as const)('%s alone keeps the value', (name) => {
    fc.assert(
      fc.property(randomContraction(), (program) => {
        expectSameOutputs(program, passes[name](program), randomInputs(program, 7));
      }),
      { numRuns: 100, seed: 2 },
    );
  });

  test('an order is never dearer than left to right, nor inlining than storing', () => {
    fc.assert(
      fc.property(randomContraction(), (program) => {
        const inlined = optimise(program, { disabled: new Set(['order']) });
        const stored = optimise(program, { disabled: new Set(['order', 'inline']) });
        expect(multiplyAdds(optimise(program))).toBeLessThanOrEqual(leftToRightMultiplyAdds(inlined));
        expect(compareCosts(costOf(inlined), costOf(stored)), printProgram(inlined)).toBeLessThanOrEqual(0);
      }),
      { numRuns: 200, seed: 3 },
    );
  });

  test('the random run meets what it is there for', () => {
    const hits = new Map<string, number>();
    const hit = (name: string, met: boolean): void => void hits.set(name, (hits.get(name) ?? 0) + Number(met));
    for (const program of fc.sample(randomContraction(), { numRuns: 300, seed: 4 })) {
      const ordered = optimise(program);
      const inlined = optimise(program, { disabled: new Set(['order']) });
      const names = ordered.tensors.map((tensor) => tensor.name);
      const before = program.tensors.flatMap(equationsOf);
      const after = inlined.tensors.flatMap(equationsOf);
      hit('W inlined', !names.includes('W'));
      hit('W stored', names.includes('W') && !program.outputs.includes('W'));
      hit(
        'intermediate',
        names.some((name) => /~\d/.test(name)),
      );
      hit(
        'several levels',
        inlined.tensors.some((tensor) => equationsOf(tensor).length > 1),
      );
      hit(
        'digit split',
        after.some((e) => loads(e.value).some(isSplitCore)),
      );
      hit('leftover domain', !before.some((e) => e.domain.length > 0) && after.some((e) => e.domain.length > 0));
      hit(
        'domain',
        before.some((e) => e.domain.length > 0),
      );
      hit('distributed', after.length > before.length);
      hit(
        'five operands',
        after.some((e) => (contractionOperands(e)?.length ?? 0) >= 5),
      );
      hit(
        'clipped core lifted',
        ordered.tensors.some((t) => /~\d/.test(t.name) && /maximum/.test(printTensor(t))),
      );
    }
    expect([...hits].filter(([, count]) => count === 0)).toEqual([]);
  });
});

/** A core that the consumer reads with digits of another radix. */
function isSplitCore({ tensor, indices }: Load): boolean {
  return tensor.startsWith('C') && indices.some((index) => index.kind === 'affine' && index.terms.length > 1);
}

function costOf(program: Program): Cost {
  return program.tensors.map(tensorCost).reduce(addCosts, freeCost);
}
