/** Linear attention of the library: what it computes, and that a model with it takes the same work for a token of any text. */
import { expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import type { NdArray } from '../../../compiler/ir/ndarray.ts';
import { structurePath } from '../../../experiments/library.ts';
import { analyseSource } from '../../../experiments/models/analyse.ts';
import { languageModelProgram } from '../../../experiments/models/model.ts';
import { readSource, resolveFile } from '../../../experiments/models/resolve.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { forwardMultiplyAddsPerToken } from '../../../experiments/training/flops.ts';
import { normals } from '../../support/random-values.ts';

test('weights are products of positive features over their sum', () => {
  const [T, D, H, r] = [5, 6, 2, 3];
  const program = analyseSource(readSource(structurePath('linear_attention')), {
    sizes: { D, H },
    inputShapes: { x: [1, T, D] },
    resolve: resolveFile,
  });
  const [x, Q, K] = [normals([1, T, D], 1), normals([H, r, D], 2), normals([H, r, D], 3)];
  const A = interpret(program, new Map(Object.entries({ x, Q, K })), ['A']).get('A') as NdArray;
  const feature = (W: NdArray, h: number, t: number) =>
    Array.from({ length: r }, (_, k) => {
      let v = 0;
      for (let i = 0; i < D; i += 1) v += W.data[(h * r + k) * D + i] * x.data[t * D + i];
      return v > 0 ? v + 1 : Math.exp(v);
    });
  for (let h = 0; h < H; h += 1) {
    for (let t = 0; t < T; t += 1) {
      const products = Array.from({ length: T }, (_, u) =>
        u > t ? 0 : feature(Q, h, t).reduce((sum, q, k) => sum + q * feature(K, h, u)[k], 0),
      );
      const mass = products.reduce((sum, p) => sum + p, 0);
      for (const [u, p] of products.entries()) expect(A.data[(h * T + t) * T + u]).toBeCloseTo(p / mass, 12);
    }
  }
});

test('a model with it takes the same work for a token of a text four times as long; softmax takes more', () => {
  const perToken = (score: string, tokens: number) => {
    const { options } = resolveLm(`--preset tiny ${score} --block_size ${tokens}`.split(' '));
    const model = languageModelProgram(options, scoreOf(options, {}), {
      batch: 1,
      tokens,
      vocabulary: 96,
      positions: tokens,
    });
    return forwardMultiplyAddsPerToken(model, 'logits', tokens);
  };
  const linear = `--structure ${structurePath('linear_attention')}`;
  expect(perToken(linear, 32768) / perToken(linear, 8192)).toBeLessThan(1.02);
  expect(
    perToken('--token_mixing_struct low_rank', 32768) / perToken('--token_mixing_struct low_rank', 8192),
  ).toBeGreaterThan(2);
});
