/** Temporaries lie in memory as products of matrices write and read them, and what is made of their rows follows. */
import { describe, expect, test } from 'vitest';
import { add, scale } from '../../../../compiler/ir/affine.ts';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { equationsOf } from '../../../../compiler/ir/equation.ts';
import { constant, negate, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { printEquation } from '../../../../compiler/ir/print.ts';
import type { Program, Tensor } from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { orderMemory } from '../../../../compiler/passes/for-kernels/memory-order.ts';
import { feed } from '../../../support/feed.ts';
import { relativeError } from '../../../support/relative-error.ts';

const [B, T, H, R, K, M] = [2, 3, 2, 4, 3, 5];
const points = { b: B, h: H, t: T, r: R, k: K };

/** s[b, h, t, r, k] = Σ_m W[k, m, h, r] · x[b, t, 5·k + m] */
const projected = computed(
  's',
  [B, H, T, R, K],
  [
    over({ ...points, m: M }, ({ b, h, t, r, k, m }) => ({
      store: [b, h, t, r, k],
      value: product([at('W', k, m, h, r), at('x', b, t, add(scale(k, M), m))]),
    })),
  ],
);

const mean = computed(
  'mean',
  [B, H, T],
  [
    over(points, ({ b, h, t, r, k }) => ({
      store: [b, h, t],
      value: product([constant(1 / (R * K)), at('s', b, h, t, r, k)]),
    })),
  ],
);

const centred = computed(
  'q',
  [B, H, T, R, K],
  [
    over(points, ({ b, h, t, r, k }) => ({
      store: [b, h, t, r, k],
      value: product([sum([at('s', b, h, t, r, k), negate(at('mean', b, h, t))]), at('g', r, k)]),
    })),
  ],
);

/** S[b, h, t, u] = Σ_{r, k} q[b, h, t, r, k] · q[b, h, u, r, k] */
const scores = computed(
  'S',
  [B, H, T, T],
  [
    over({ b: B, h: H, t: T, u: T, r: R, k: K }, ({ b, h, t, u, r, k }) => ({
      store: [b, h, t, u],
      value: product([at('q', b, h, t, r, k), at('q', b, h, u, r, k)]),
    })),
  ],
);

const inputs = [input('W', [K, M, H, R]), input('x', [B, T, K * M]), input('g', [R, K])];
const level = program([...inputs, projected, mean, centred, scores], ['S']);

function hold(p: Program): readonly string[] {
  const after = orderMemory(p);
  expect(verify(after)).toEqual([]);
  const inputsOf = feed(p);
  const [want, have] = [p, after].map((q) => interpret(q, inputsOf, q.outputs));
  for (const name of p.outputs) expect(relativeError(have.get(name)!.data, want.get(name)!.data)).toBeLessThan(1e-12);
  const isMade = (t: Tensor) => t.source.kind === 'computed';
  return after.tensors
    .filter(isMade)
    .flatMap((t) => equationsOf(t).map((e) => printEquation(e, t.name).split('   over')[0]));
}

describe('a number of matrices in the last dimension', () => {
  test('goes before the rows of one; means of rows and tensors of the same points follow', () => {
    expect(hold(level)).toEqual([
      's[b, t, k, h, r] sum= W[k, m, h, r] * x[b, t, 5*k + m]',
      'mean[b, t, h] sum= 0.08333333333333333 * s[b, t, k, h, r]',
      'q[b, h, t, k, r] sum= (s[b, t, k, h, r] - 1 * mean[b, t, h]) * g[r, k]',
      'S[b, h, t, u] sum= q[b, h, t, k, r] * q[b, h, u, k, r]',
    ]);
  });

  test('stays where the caller reads the tensor', () => {
    const p = program(level.tensors, ['s', 'S']);
    expect(orderMemory(p)).toBe(p);
  });

  test('stays where another product sums over it', () => {
    const other = computed(
      'o',
      [B, H, T, R],
      [
        over({ ...points, n: R }, ({ b, h, t, r, k, n }) => ({
          store: [b, h, t, n],
          value: product([at('s', b, h, t, r, k), at('W', k, r, h, n)]),
        })),
      ],
    );
    const p = program([...inputs, projected, other], ['o']);
    expect(orderMemory(p)).toBe(p);
  });

  test('stays where something reads another element than its own', () => {
    const shifted = computed(
      'o',
      [B, H, T, R, K - 1],
      [
        over({ ...points, k: K - 1 }, ({ b, h, t, r, k }) => ({
          store: [b, h, t, r, k],
          value: unary('exp', at('s', b, h, t, r, add(k, { kind: 'affine', constant: 1, terms: [] }))),
        })),
      ],
    );
    const p = program([...inputs, projected, shifted], ['o']);
    expect(orderMemory(p)).toBe(p);
  });
});
