/** What a walk knows is its own row, from a shift on that says where it was before: neither what other rows come to, nor a maximum that moves. */
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

describe('what a walk does not know', () => {
  for (const [name, equations] of [
    [
      'weights twice',
      `z[t, e] = A[t, u] * v[u, e]
      y[t, e] = A[t, u] * z[u, e]`,
    ],
    [
      'weights of the largest of the column',
      `M[t] = max[u](S[t, u])
      y[t, e] = exp(S[t, u] - M[u] - 3) * v[u, e]`,
    ],
    [
      'weights of the sum of the column',
      `M[t] = max[u](S[t, u])
      N[t] = log(sum[u](exp(S[t, u] - M[t])))
      y[t, e] = exp(S[t, u] - M[t] - N[u]) * v[u, e]`,
    ],
    [
      'a softmax written out',
      `M[t] = max[u](S[t, u] where u <= t)
      E[t, u] = exp(S[t, u] - M[t]) where u <= t
      Z[t] = sum[u](E[t, u])
      y[t, e] = E[t, u] * v[u, e] / Z[t]`,
    ],
    [
      'values times the largest',
      `M[t] = max[u](S[t, u])
      y[t, e] = exp(S[t, u] - M[t]) * M[u] * v[u, e]`,
    ],
  ]) {
    for (const gradients of [false, true])
      test(`${name}${gradients ? ', with gradients' : ''}`, async () => {
        const text = `structure S {
          size T
          axis t, u: T, r: 4, e: 3
          input q[t, r]
          input k[u, r]
          input v[u, e]
          S[t, u] = q[t, r] * k[u, r] / 2
          A[t, u] = softmax[u](S[t, u] where u <= t)
          ${equations}
          output y
        }`;
        const { program } = compileProgram(lowered(text, { T: 70 }), { target: opened.target, gradients });
        const { worst, worstOutput } = await compare(opened, program, feed(program), { streaming: 'always' });
        expect(worst, worstOutput).toBeLessThan(1e-5);
      });
  }
});
