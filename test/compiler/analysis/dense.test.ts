/** The dense baseline of every file of the library, by the closed form that it is defined by. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { denseMultiplyAdds } from '../../../compiler/analysis/dense.ts';
import { analyse } from '../../../compiler/analysis/report.ts';
import { stagesOf } from '../../../compiler/compile.ts';
import { experimentsFolder } from '../../../experiments/library.ts';
import { lowered, loweredLibrary, type Sizes } from '../../support/lowered.ts';

const [B, T, D, H] = [3, 5, 12, 2];
const scores = B * H * (T * D ** 2 + T ** 2 * D);

const library: readonly (readonly [name: string, sizes: Sizes, dense: number])[] = [
  ['attention', { B, T, D, H }, scores],
  ['attention', { B, T, D, H, identity_link: 1, qk_ln: 0 }, scores],
  ['sliding_window', { B, T, D, H, w: 2 }, scores],
  ['linear_attention', { B, T, D, H }, scores],
  ['alternating_window', { B, T, D, H, w: 2, layer: 1 }, scores],
  ['global_sliding_window', { B, T, D, H, w: 2, global: 4, local: 2 }, scores],
  ['mlr_attention', { B, T: 6, D, H, ranks: [5, 1] }, B * H * (6 * D ** 2 + 36 * D)],
  ['bilinear_btt', { N: B, T, D, H, s: 1 }, scores],
  ['bilinear_btt_normed', { N: B, T, D, H, s: 2 }, scores],
  ['bilinear_mlr', { B, T, D, H, ranks: [4, 2] }, scores],
  ['dense', { I: 7, O: 4, B }, B * 7 * 4],
  ['low_rank', { D, rank: 2, rows: 5, B }, B * 5 * D],
  ['block_diagonal', { blocks: 3, height: 2, width: 4, N: B }, B * 6 * 12],
  ['kronecker', { a: 2, b: 3, c: 4, d: 5, N: B }, B * 6 * 20],
  ['btt', { D: 16, s: 1, N: B }, B * 16 ** 2],
  ['monarch', { D: 16, N: B }, B * 16 ** 2],
  ['butterfly', { depth: 4, N: B }, B * 16 ** 2],
  ['mlr', { D: 16, ranks: [2, 1], rows: 8, B }, B * 8 * 16],
  ['mlbtc', { N: B }, B * 64 ** 2],
  ['tensor_train', { m: 3, rank: 2, N: B }, B * 27 ** 2],
];

test('every file of the library is there', () => {
  const files = readdirSync(join(experimentsFolder, 'structures')).map((file) => file.replace(/\.mlbtc$/, ''));
  expect([...new Set(library.map(([name]) => name))].sort()).toEqual(files.sort());
});

test.each(library)('%s %j', (name, sizes, dense) => {
  expect(analyse(stagesOf(loweredLibrary(name, sizes))).denseMultiplyAdds).toBe(dense);
});

describe('of one’s own', () => {
  const mine = (body: string) =>
    lowered(`structure Mine {
  size B = ${B}, T = ${T}, D = ${D}, H = ${H}, O = 4, U = 7, E = 3
  axis b: B, t, u: T, i, j: D, h: H, o: O, v: U, e: E
  input x[b, t, i]
${body}
}`);

  test.each([
    ['low rank, in one equation', 'S[b, h, t, u] = Q[h, o, i] * x[b, t, i] * K[h, o, j] * x[b, u, j]'],
    [
      'low rank, in steps',
      'q[b, h, t, o] = Q[h, o, i] * x[b, t, i]\n  S[b, h, t, u] = q[b, h, t, o] * K[h, o, j] * x[b, u, j]',
    ],
    ['a dense form', 'M[h, i, j] = Q[h, o, i] * K[h, o, j]\n  S[b, h, t, u] = M[h, i, j] * x[b, t, i] * x[b, u, j]'],
  ])('scores do not depend on how they are written: %s', (_, equations) => {
    const params = '  param Q[h, o, i] ~ normal(fan_in = i)\n  param K[h, o, j] ~ normal(fan_in = j)\n  ';
    expect(denseMultiplyAdds(mine(`${params}${equations}\n  output S`))).toBe(scores);
  });

  test('keys of another input', () => {
    const program = mine(`  input z[b, v, e]
  param M[h, i, e] ~ normal(fan_in = i)
  S[b, h, t, v] = M[h, i, e] * x[b, t, i] * z[b, v, e]
  output S`);
    expect(denseMultiplyAdds(program)).toBe(B * H * (7 * 3 * D + T * 7 * D));
  });

  test('a matrix for every token; one that mixes the tokens; a diagonal', () => {
    const map = (body: string) => denseMultiplyAdds(mine(`${body}\n  output y`));
    expect(map('  param W[o, i] ~ ones\n  y[b, t, o] = W[o, i] * x[b, t, i]')).toBe(B * T * 4 * D);
    expect(map('  param W[t, u] ~ ones\n  y[b, t, i] = W[t, u] * x[b, u, i]')).toBe(B * (T * D) ** 2);
    expect(map('  param g[i] ~ ones\n  y[b, t, i] = g[i] * x[b, t, i]')).toBe(B * T * D ** 2);
  });

  test('a layer has none', () => {
    const layer = mine('  param W[o, i] ~ ones\n  y[b, t, o] = relu(W[o, i] * x[b, t, i])\n  output y');
    expect(denseMultiplyAdds(layer)).toBeUndefined();
  });
});
