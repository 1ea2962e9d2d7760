/** Tiles of one product that lie side by side in a larger workgroup, and so meet at the same barriers, though each needs a stretch of k of its own. */
import { describe, expect, test } from 'vitest';
import { add, affine, subtract } from '../../../../compiler/ir/affine.ts';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { product } from '../../../../compiler/ir/expression.ts';
import type { Affine, Constraint, Tensor } from '../../../../compiler/ir/program.ts';
import type { Target } from '../../../../kernels/target.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();
const gpu: Target = { ...opened.target, class: 'gpu' };

const atLeast = (a: Affine, least = 0): Constraint => ({ kind: 'nonnegative', affine: add(a, affine(-least)) });
const causal = (t: Affine, u: Affine): Constraint[] => [atLeast(subtract(t, u))];
/** u from t - 9 to t + 2. */
const window = (t: Affine, u: Affine): Constraint[] => [atLeast(subtract(t, u), -2), atLeast(subtract(u, t), -9)];
const later = (t: Affine, u: Affine): Constraint[] => [atLeast(subtract(u, t), 1)];

/** A row of its own, whose workgroup is eight times as large as one of 16×16 sums. */
const beside: Tensor[] = [
  input('z', [3, 70]),
  computed('r', [3], [over({ t: 3, u: 70 }, ({ t, u }) => ({ store: [t], value: at('z', t, u) }))]),
];

/** y[h, t, e] = Σ_u A[h, t, u] v[h, u, e] where … */
const mixed = (t: number, mask: typeof causal): Tensor[] => [
  input('A', [4, t, t]),
  input('v', [4, t, 13]),
  computed(
    'y',
    [4, t, 13],
    [
      over({ h: 4, t, e: 13, u: t }, ({ h, t, e, u }) => ({
        store: [h, t, e],
        value: product([at('A', h, t, u), at('v', h, u, e)]),
        domain: mask(t, u),
      })),
    ],
  ),
];

/** The same added up over heads, of which each has a stretch of u. */
const ofAllHeads = (t: number, mask: typeof causal): Tensor[] => [
  input('A', [4, 3, t, t]),
  input('v', [4, 3, t, 13]),
  computed(
    'y',
    [4, t, 13],
    [
      over({ n: 4, t, e: 13, h: 3, u: t }, ({ n, h, t, e, u }) => ({
        store: [n, t, e],
        value: product([at('A', n, h, t, u), at('v', n, h, u, e)]),
        domain: mask(t, u),
      })),
    ],
  ),
];

/** Scores, of which tiles beyond the diagonal are outside the domain as a whole. */
const scores = (t: number, mask: typeof causal): Tensor[] => [
  input('q', [4, t, 9]),
  input('k', [4, t, 9]),
  computed(
    'y',
    [4, t, t],
    [
      over({ h: 4, t, u: t, i: 9 }, ({ h, t, u, i }) => ({
        store: [h, t, u],
        value: product([at('q', h, t, i), at('k', h, u, i)]),
        domain: mask(t, u),
      })),
    ],
  ),
];

describe.each([
  ['sums over u', mixed],
  ['sums over heads and u', ofAllHeads],
  ['scores', scores],
])('%s', (_, tensors) => {
  test.each([
    ['causal', causal],
    ['a window', window],
    ['what comes later', later],
  ])('%s', async (_, mask) => {
    const p = program([...tensors(31, mask), ...beside], ['y', 'r']);
    const contraction = { form: 'tiled' as const, tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 };
    const options = { target: gpu, contractAll: true, override: { contraction } };
    const { worst, worstOutput, plan } = await compare(opened, p, feed(p), options);
    expect(worst, worstOutput).toBeLessThan(1e-5);
    expect(plan.kernels.map((kernel) => kernel.makes)).toEqual([expect.arrayContaining(['y', 'r'])]);
    expect(plan.kernels[0].wgsl).toContain('tile_in_pack');
  });
});
