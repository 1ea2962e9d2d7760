/** Sums that are there already are found in longer ones, and nothing changes where they are not the same sum. */
import { describe, expect, test } from 'vitest';
import { subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { equationsOf } from '../../../../compiler/ir/equation.ts';
import { constant, product } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { printEquation } from '../../../../compiler/ir/print.ts';
import type { Constraint, Program } from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { reuseSums } from '../../../../compiler/passes/for-kernels/reuse-sums.ts';
import { feed } from '../../../support/feed.ts';
import { relativeError } from '../../../support/relative-error.ts';

const point = { t: 7, u: 7, e: 3 };

interface Domains {
  readonly y: boolean;
  readonly D: boolean;
  readonly g: boolean;
}

/** y = A v, D = c vᵀ, g[t] = -2 Σ_u A D, each over the past or over all. */
function softmaxGradient(domains: Domains): Program {
  const past = (isPast: boolean, t: Parameters<typeof subtract>[0], u: Parameters<typeof subtract>[0]): Constraint[] =>
    isPast ? [atLeastZero(subtract(t, u))] : [];
  return program(
    [
      input('A', [7, 7]),
      input('v', [7, 3]),
      input('c', [7, 3]),
      computed(
        'y',
        [7, 3],
        [
          over(point, ({ t, u, e }) => ({
            store: [t, e],
            domain: past(domains.y, t, u),
            value: product([at('A', t, u), at('v', u, e)]),
          })),
        ],
      ),
      computed(
        'D',
        [7, 7],
        [
          over(point, ({ t, u, e }) => ({
            store: [t, u],
            domain: past(domains.D, t, u),
            value: product([at('c', t, e), at('v', u, e)]),
          })),
        ],
      ),
      computed(
        'g',
        [7],
        [
          over({ t: 7, u: 7 }, ({ t, u }) => ({
            store: [t],
            domain: past(domains.g, t, u),
            value: product([constant(-2), at('A', t, u), at('D', t, u)]),
          })),
        ],
      ),
    ],
    ['y', 'g'],
  );
}

function reused(p: Program): string {
  const after = reuseSums(p);
  expect(verify(after)).toEqual([]);
  const inputs = feed(p);
  const [want, have] = [p, after].map((q) => interpret(q, inputs, q.outputs));
  for (const name of p.outputs) expect(relativeError(have.get(name)!.data, want.get(name)!.data)).toBeLessThan(1e-12);
  return equationsOf(after.tensors.find(({ name }) => name === 'g')!)
    .map((e) => printEquation(e, 'g'))
    .join('\n');
}

describe('the sum that a softmax’s gradient asks for', () => {
  test('over all', () => {
    expect(reused(softmaxGradient({ y: false, D: false, g: false }))).toBe(
      'g[t] sum= -2 * c[t, e] * y[t, e]   over t: 7, e: 3',
    );
  });
  test('over the past', () => {
    expect(reused(softmaxGradient({ y: true, D: true, g: true }))).toContain('c[t, e] * y[t, e]');
    expect(reused(softmaxGradient({ y: true, D: false, g: true }))).toContain('c[t, e] * y[t, e]');
  });
  test('not where one is over other points', () => {
    for (const domains of [
      { y: true, D: false, g: false },
      { y: false, D: false, g: true },
      { y: false, D: true, g: true },
    ])
      expect(reused(softmaxGradient(domains))).toContain('A[t, u] * D[t, u]');
  });
});
