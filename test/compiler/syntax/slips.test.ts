/** What people write from habit: the help says what to write, and that is right here. */
import { describe, expect, test } from 'vitest';
import { analysed, diagnose } from '../semantics/support.ts';

const near = `structure Near {
  size T = 8, D = 8, H = 2, r = 3, ranks = [2, 3]
  axis b: 4, t, u: T, i, j: D, h: H, k: r
  input x[b, t, i]
  param Q[h, k, i] ~ normal(std = 0.02)
  param slope[h] ~ zeros
  S[b, h, t, u] = Q[h, k, i] * x[b, t, i] * Q[h, k, j] * x[b, u, j] / sqrt(r) - slope[h] * (t - u)
  A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)
  level l in 0 .. len(ranks) - 1 {
    axis c: 2^l, p: D / 2^l
    z[b, t, (c p)] += ranks[l] * x[b, t, (c p)]
  }
  output A, z
}
`;

/** What stands there, what is written instead, what the help says to write. */
const slips: readonly (readonly [right: string, written: string, help: string])[] = [
  ['where u <= t', 'where not u > t', '`u <= t`'],
  ['where u <= t', 'where !(u > t)', '`u <= t`'],
  ['where u <= t', ', where u <= t', 'leave out the `,`'],
  ['where u <= t', 'where', '`where u <= t`'],
  ['where u <= t', 'where u <= t and', 'leave out the `and`'],
  ['S[b, h, t, u] where u <= t', 'S[b, h, t, u] if u <= t', '`where u <= t`'],
  ['where u <= t', 'where u in 0 .. t', '`0 <= u and u <= t`'],
  ['where u <= t', 'where u <= t || t < 4', '`max(t - u, 4 - t - 1) >= 0`'],
  ['where u <= t', 'where u ⩽ t', '`<=`'],
  ['A[b, h, t, u] =', 'A(b, h, t, u) =', '`A[b, h, t, u]`'],
  ['A[b, h, t, u] =', 'A[b h t u] =', '`b, h, t, u`'],
  ['A[b, h, t, u] =', 'A[b][h][t][u] =', '`A[b, h, t, u]`'],
  ['A[b, h, t, u] =', 'A_{b,h,t,u} =', '`A[b, h, t, u]`'],
  ['A[b, h, t, u] =', 'A[b, h, t, u] :=', '`=`'],
  ['A[b, h, t, u] =', 'A[b, h, t, u] <-', '`=`'],
  ['A[b, h, t, u] =', 'A[b, h, t, u] -=', '`+=`'],
  ['A[b, h, t, u] =', 'A[b, h, :, :] =', '`axis i: D`'],
  ['A[b, h, t, u] =', 'A[..., t, u] =', '`axis i: D`'],
  ['slope[h] * (', 'slope[h].T * (', 'the order of the indices'],
  ['slope[h] * (', 'slope[h] . (', '`*`'],
  ['slope[h] * (', 'slope[h] @ (', '`*`'],
  ['slope[h] * (', 'slope[h] ∗ (', '`*`'],
  [' - slope', ' – slope', '`-`'],
  ['x[b, t, i] *', 'x[b, t，i] *', '`,`'],
  ['slope[h] * (', 'exp slope[h] * (', '`exp(slope[h])`'],
  ['slope[h] * (', '1. * slope[h] * (', '`1.0`'],
  ['slope[h] * (', '1,5 * slope[h] * (', '`1.5`'],
  ['slope[h] * (', '0x10 * slope[h] * (', '`16`'],
  ['slope[h] * (', '1_000 * slope[h] * (', '`1000`'],
  ['slope[h] * (', '0.1f * slope[h] * (', '`0.1`'],
  ['slope[h] * (', '\u200bslope[h] * (', 'leave it out'],
  ['z[b, t, (c p)]', 'z[b, t, c p]', '`(c p)`'],
  ['z[b, t, (c p)]', 'z[b, t, (c, p)]', '`(c p)`'],
  ['ranks = [2, 3]', 'ranks = (2, 3)', '`[2, 3]`'],
  ['ranks = [2, 3]', 'ranks = {2, 3}', '`[2, 3]`'],
  ['ranks = [2, 3]', 'ranks = [2 3]', '`[2, 3]`'],
  ['slope[h] ~ zeros', 'slope[h] = zeros', '`~ zeros`'],
  ['slope[h] ~ zeros', 'slope[h]', '`~ normal(fan_in = h)`'],
  ['slope[h] ~ zeros', 'slope[h]: f32 ~ zeros', 'leave it out'],
  ['slope[h] ~ zeros', 'slope[h] ~ 0', '`zeros`'],
  ['slope[h] ~ zeros', 'slope[h] ~ 0.5', '`constant(0.5)`'],
  ['slope[h] ~ zeros', 'slope[h] ~ zeros()', '`zeros`'],
  ['slope[h] ~ zeros', 'slope[h] ~ fixed', '`~ zeros, fixed`'],
  ['slope[h] ~ zeros', 'slope[2] ~ zeros', '`axis c: 2`'],
  ['normal(std = 0.02)', 'normal(0.02)', '`normal(std = 0.02)`'],
  ['normal(std = 0.02)', 'normal(0, 0.02)', '`normal(std = 0.02)`'],
  ['input x[b, t, i]', 'input x: f32[b, t, i]', '`input x[b, t, i]: f32`'],
  ['input x[b, t, i]', 'input x[b, t, i] ~ normal(std = 1)', '`param`'],
  ['input x[b, t, i]', 'input x[b, t, i] = 0', 'an equation'],
  ['input x[b, t, i]', 'input x[b; t, i]', '`,`'],
  ['T = 8', 'T := 8', '`T = 8`'],
  ['T = 8', 'T: 8', '`T = 8`'],
  ['h: H', 'h = H', '`h: H`'],
  ['h: H', 'h in H', '`h: H`'],
  ['h: H', 'h: 1..H', '`h: H`'],
  ['h: H, k', 'h: H; k', '`,`'],
  ['output A, z', 'output A z', '`output A, z`'],
  ['structure Near {', 'structure Near() {', 'leave out the parentheses'],
  ['structure Near {', 'structure Near:', '`{ … }`'],
  ['in 0 .. len(ranks) - 1 {', '= 0 .. len(ranks) - 1 {', '`in`'],
  ['in 0 .. len(ranks) - 1 {', 'in 0 ... len(ranks) - 1 {', '`.. len(ranks) - 1`'],
  ['in 0 .. len(ranks) - 1 {', 'in range(len(ranks)) {', '`0 .. len(ranks) - 1`'],
  ['in 0 .. len(ranks) - 1 {', 'in ranks {', '`0 .. len(ranks) - 1`'],
  ['2^l, p', '1 << l, p', '`2^l`'],
];

describe('a slip, and what it should have been', () => {
  test('the structure without one is right', () => {
    expect(diagnose(near)).toEqual([]);
  });

  test.each(slips.map(([right, written, help]) => ({ right, written, help })))(
    '$written',
    ({ right, written, help }) => {
      expect(near).toContain(right);
      const { diagnostics } = analysed(near.replace(right, written), { unbound: 'postpone' });
      expect(diagnostics.map((d) => d.help ?? '').join('\n')).toContain(help);
      expect(diagnostics.length, diagnostics.map((d) => d.message).join('\n')).toBeLessThanOrEqual(2);
    },
  );
});

test('an `if` behind an equation on its line chooses items, as before', () => {
  const text = 'size a = 1 axis i: 2 input x[i] y[i] = x[i] if a == 1 { z[i] = y[i] } else { z[i] = x[i] } output z';
  expect(diagnose(text)).toEqual([]);
});
