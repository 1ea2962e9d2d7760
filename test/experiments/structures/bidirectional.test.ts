/** The library's scores with causal = 0: tokens see those after them as they see those before, and text read backwards gives the same. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import type { NdArray } from '../../../compiler/ir/ndarray.ts';
import { structurePath } from '../../../experiments/library.ts';
import { analyseSource } from '../../../experiments/models/analyse.ts';
import { readSource, resolveFile } from '../../../experiments/models/resolve.ts';
import { initialValue, paramsOf } from '../../../experiments/training/mup.ts';
import { normals } from '../../support/random-values.ts';

const [T, D, H] = [8, 12, 2];
const everywhere = () => true;

describe.each([
  ['attention', {}, everywhere],
  ['attention', { identity_link: 1 }, everywhere],
  ['sliding_window', { w: 2 }, (apart: number) => apart <= 2],
  ['alternating_window', { w: 3, local: [1] }, (apart: number) => apart <= 3],
  ['global_sliding_window', { w: 2, global: 4, local: 2 }, everywhere],
  ['mlr_attention', { ranks: [4, 2] }, everywhere],
  ['bilinear_mlr', { ranks: [4, 2] }, everywhere],
  ['bilinear_btt', {}, everywhere],
  ['bilinear_btt', { identity_link: 1 }, everywhere],
  ['bilinear_btt_normed', {}, everywhere],
  ['linear_attention', {}, everywhere],
] as const)('%s %j', (name, sizes, isSeen) => {
  const x = normals([1, T, D], 1);
  const weights = (causal: number, input: NdArray): NdArray => {
    const program = analyseSource(readSource(structurePath(name)), {
      sizes: { D, H, causal, ...sizes },
      inputShapes: { x: [1, T, D] },
      resolve: resolveFile,
    });
    const params = paramsOf(program).map(
      (param) => [param.name, { shape: param.shape, data: Float64Array.from(initialValue(param, 3)) }] as const,
    );
    const [output] = program.outputs;
    return interpret(program, new Map([['x', input], ...params]), [output]).get(output) as NdArray;
  };

  test('sees both sides alike', () => {
    const backwards = { ...x, data: x.data.map((_, e) => x.data[(T - 1 - Math.floor(e / D)) * D + (e % D)]) };
    const [A, B, masked] = [weights(0, x), weights(0, backwards), weights(1, x)];
    const at = (h: number, t: number, u: number) => (h * T + t) * T + u;
    for (let h = 0; h < H; h += 1) {
      for (let t = 0; t < T; t += 1) {
        for (let u = 0; u < T; u += 1) {
          expect(A.data[at(h, t, u)] !== 0).toBe(isSeen(Math.abs(t - u)));
          expect(A.data[at(h, t, u)]).toBeCloseTo(B.data[at(h, T - 1 - t, T - 1 - u)], 12);
          if (u > t) expect(masked.data[at(h, t, u)]).toBe(0);
        }
      }
      // Whoever sees all that there is sees it as under the mask.
      for (let u = 0; u < T; u += 1) {
        expect(A.data[at(h, T - 1, u)]).toBeCloseTo(masked.data[at(h, T - 1, u)], 12);
      }
    }
  });
});
