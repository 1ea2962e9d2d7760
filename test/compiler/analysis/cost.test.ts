/** Costs, memory and ranks of small programs that can be counted by hand. */
import { describe, expect, test } from 'vitest';
import { cachedTensors } from '../../../compiler/analysis/cache.ts';
import {
  leftToRightMultiplyAdds,
  multiplyAdds,
  orderSteps,
  paramCount,
  peakBytes,
  trafficBytes,
} from '../../../compiler/analysis/cost.ts';
import { denseMultiplyAdds } from '../../../compiler/analysis/dense.ts';
import { matrixRankBound } from '../../../compiler/analysis/matrix.ts';
import { scoreRankBounds } from '../../../compiler/analysis/rank.ts';
import { at, computed, input, over, param, program } from '../../../compiler/ir/build.ts';
import { product, sum, unary } from '../../../compiler/ir/expression.ts';
import type { Program, Tensor } from '../../../compiler/ir/program.ts';
import { optimise } from '../../../compiler/passes/pipeline.ts';
import { bilinearBtt, btt, kronecker, lowRank, mlr } from '../passes/matrices.ts';

const three: Program = program(
  [
    input('x', [2, 5]),
    param('A', [3, 4]),
    param('B', [4, 5]),
    computed(
      'y',
      [2, 3],
      [
        over({ n: 2, i: 3, j: 4, k: 5 }, ({ n, i, j, k }) => ({
          store: [n, i],
          value: product([at('A', i, j), at('B', j, k), at('x', n, k)]),
        })),
      ],
    ),
  ],
  ['y'],
);

describe('multiply-adds', () => {
  test('a point of the box each; in the written order; dense', () => {
    expect(multiplyAdds(three)).toBe(2 * 3 * 4 * 5);
    expect(leftToRightMultiplyAdds(three)).toBe(3 * 4 * 5 + 2 * 3 * 5);
    expect(multiplyAdds(optimise(three))).toBe(2 * 4 * 5 + 2 * 3 * 4);
    expect(denseMultiplyAdds(three)).toBe(2 * 3 * 5);
    expect(orderSteps(optimise(three)).map((step) => [step.tensor, step.multiplyAdds, step.bytes])).toEqual([
      ['y~1', 40, 32],
      ['y', 24, 24],
    ]);
  });

  test('a product repeated along an axis that the store alone has counts as often, in either order', () => {
    const repeated = over({ i: 3, j: 4 }, ({ i, j }) => ({ store: [i, j], value: product([at('v', i), at('v', i)]) }));
    const p = program([input('v', [3]), computed('y', [3, 4], [repeated])], ['y']);
    expect(leftToRightMultiplyAdds(p)).toBe(3 * 4);
    expect(multiplyAdds(optimise(p))).toBe(3 * 4);
  });

  test('a product without a sum counts, a sum without a product does not', () => {
    const work = [
      computed(
        'a',
        [2, 5],
        [over({ n: 2, k: 5 }, ({ n, k }) => ({ store: [n, k], value: product([at('x', n, k), at('x', n, k)]) }))],
      ),
      computed('y', [2], [over({ n: 2, k: 5 }, ({ n, k }) => ({ store: [n], value: at('a', n, k) }))]),
    ];
    expect(multiplyAdds(program([input('x', [2, 5]), ...work], ['y']))).toBe(10);
  });

  test('a bilinear score is dense in its features', () => {
    expect(denseMultiplyAdds(bilinearBtt(16, 2, 1, 3, 4))).toBe(3 * 2 * 4 * 16 * 16 + 3 * 2 * 4 * 4 * 16);
  });
});

test('params, traffic', () => {
  expect(paramCount(three)).toBe(3 * 4 + 4 * 5);
  expect(trafficBytes(three)).toBe(4 * (6 + 12 + 20 + 10));
});

test('peak memory follows lifetimes', () => {
  const chain = ['a', 'b', 'c', 'd'].map(
    (name, i, all): Tensor =>
      computed(
        name,
        [100],
        [over({ k: 100 }, ({ k }) => ({ store: [k], value: unary('exp', at(all[i - 1] ?? 'x', k)) }))],
      ),
  );
  // The input, and at any time the tensor being made and the one before it.
  expect(peakBytes(program([input('x', [100]), ...chain], ['d']))).toBe(400 * 3);
  const held = computed(
    'e',
    [100],
    [over({ k: 100 }, ({ k }) => ({ store: [k], value: sum([at('a', k), at('d', k)]) }))],
  );
  expect(peakBytes(program([input('x', [100]), ...chain, held], ['e']))).toBe(400 * 4);
});

describe('rank', () => {
  const inlined = (program: Program): Program => optimise(program, { disabled: new Set(['order']) });

  test.each([
    ['low rank', lowRank(16, 3, 9), 3],
    ['block diagonal low rank', mlr(16, [0 + 1, 2], 9), 1 + 2 * 2],
    ['no more than the side', mlr(16, [8, 8], 9), 16],
    ['kronecker', kronecker(2, 3, 4, 5, 9), 6],
    ['btt', btt(64, 1, 9), 64],
  ])('%s', (_, written, rank) => {
    expect(matrixRankBound(inlined(written))).toBe(rank);
    expect(matrixRankBound(optimise(written))).toBe(rank);
  });

  test('of a score: heads are a batch, tokens the sides', () => {
    const [b, h, T, r] = [2, 3, 9, 4];
    const scores = program(
      [
        input('q', [b, h, T, r]),
        input('k', [b, h, T, r]),
        computed(
          'S',
          [b, h, T, T],
          [
            over({ b, h, t: T, u: T, r }, ({ b, h, t, u, r }) => ({
              store: [b, h, t, u],
              value: product([at('q', b, h, t, r), at('k', b, h, u, r)]),
            })),
          ],
        ),
        computed(
          'S~lse',
          [b, h, T],
          [
            over({ b, h, t: T, u: T }, ({ b, h, t, u }) => ({
              reducer: 'logsumexp',
              store: [b, h, t],
              value: at('S', b, h, t, u),
            })),
          ],
        ),
      ],
      ['S', 'S~lse'],
    );
    expect(scoreRankBounds(scores)).toEqual([{ tensor: 'S', rankBound: r }]);
    expect(cachedTensors(scores)).toEqual([{ tensor: 'k', elementsPerToken: h * r, bytesPerToken: 4 * h * r }]);
  });
});
