/** The text of exported modules; that PyTorch computes the same with it is in test/pytorch. */
import { describe, expect, test } from 'vitest';
import { describeError } from '../../../compiler/command-line/errors.ts';
import { structureModule } from '../../../experiments/exchange/structure-module.ts';
import { resolveFile } from '../../../experiments/models/resolve.ts';

const moduleOf = (text: string, sizes: Readonly<Record<string, number>> = {}) =>
  structureModule({ source: { file: 'here.mlbtc', text }, resolve: resolveFile, slots: {} }, { sizes }).text;

/** The lines of `forward` that compute, without comments and checks. */
const forward = (text: string, sizes: Readonly<Record<string, number>> = {}) =>
  moduleOf(text, sizes)
    .split('def forward')[1]
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^\w+ = |^return /.test(line));

describe('a structure as a PyTorch module', () => {
  test('the whole text', () => {
    const text = `/// Scores that fall with distance.
structure Near {
  size D = 4, r = 2
  axis b: B, t, u: T, i, j: D, k: r
  input x[b, t, i]
  param Q[k, i] ~ normal(fan_in = i)
  param K[k, i] ~ normal(fan_in = i)
  S[b, t, u] = Q[k, i] * x[b, t, i] * K[k, j] * x[b, u, j] / r
  A[b, t, u] = softmax[u](S[b, t, u] where u <= t)
  output A
}`;
    expect(moduleOf(text, { T: 3 })).toBe(`"""Near, from here.mlbtc, with D = 4, r = 2, T = 3.

Scores that fall with distance.

Inputs
    x: f32 [B, 3, 4]

Parameters
    Q: [2, 4]
    K: [2, 4]

Outputs
    A: [B, 3, 3]

Written by \`mlbtc export --to pytorch\`; B may be any, the order of contraction is that for B = 32.
"""
import math

import torch
from torch import nn


def _logsumexp(x, keep, count):
    """The logarithm of the sum of exponentials over the last \`count\` dimensions, of what \`keep\` keeps; 0 of nothing."""
    x, keep = (part.flatten(-count) for part in torch.broadcast_tensors(x, keep))
    some = keep.any(-1)
    x = torch.where(some[..., None], torch.where(keep, x, -math.inf), 0.0)
    return torch.where(some, x.logsumexp(-1), 0.0)


class Near(nn.Module):
    def __init__(self):
        super().__init__()
        self.Q = nn.Parameter(torch.empty(2, 4))
        self.K = nn.Parameter(torch.empty(2, 4))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        nn.init.normal_(self.Q, std=0.5)
        nn.init.normal_(self.K, std=0.5)

    def forward(self, x):
        B = x.shape[0]
        if x.shape != (B, 3, 4):
            raise ValueError(f"x has shape {tuple(x.shape)}, not {(B, 3, 4)}")
        device = self.Q.device
        t = torch.arange(3, device=device)
        u = torch.arange(3, device=device)
        # here.mlbtc:8: S[b, t, u] = Q[k, i] * x[b, t, i] * K[k, j] * x[b, u, j] / r
        S_1 = torch.einsum("ki,bti->btk", self.Q, x)
        S_2 = torch.einsum("kj,buj->buk", self.K, x)
        S = 0.5 * torch.einsum("btk,buk->btu", S_1, S_2)
        # here.mlbtc:9: A[b, t, u] = softmax[u](S[b, t, u] where u <= t)
        A_lse = _logsumexp(S, t[..., None] >= u, 1)
        A = torch.exp(torch.where(t[..., None] >= u, S - A_lse[..., None], -math.inf))
        return A
`);
  });

  const matrix = (items: string, equation: string) => `structure M {\n${items}\n${equation}\noutput y\n}`;

  test('digits of an axis are a view, a block diagonal too', () => {
    const text = matrix(
      'axis k: 2, p: 3, q: 4, i: 6, j: 8, b: B\ninput x[b, j]\nparam U[k, p, q] ~ ones',
      'W[(k p), (k q)] = U[k, p, q]\ny[b, i] = W[i, j] * x[b, j]\noutput W',
    );
    expect(forward(text)).toEqual([
      'B = x.shape[0]',
      'W = torch.diag_embed(self.U.permute(1, 2, 0), 0, 0, 2).flatten(0, 1).flatten(1, 2)',
      'y = torch.einsum("kpq,bkq->bkp", self.U, x.unflatten(1, (2, 4))).flatten(1, 2)',
      'return W, y',
    ]);
  });

  test('gathers index, whole numbers are made real where nothing else does, slices are slices', () => {
    const text = matrix(
      'axis b: B, v: 5, i: 4, o: 2\ninput n[b]: i32\nparam E[v, i] ~ ones',
      'y[b, o] = E[n[b], 2*o + 1] * exp(n[b]) + o / 2',
    );
    expect(forward(text)).toEqual([
      'B = n.shape[0]',
      'n = n.long()',
      'dtype = self.E.dtype',
      'device = self.E.device',
      'o = torch.arange(2, device=device)',
      'y = self.E[:, 1::2][n] * torch.exp(n[..., None].to(dtype)) + 0.5 * o.to(dtype)',
      'return y',
    ]);
  });
});

describe('what cannot be', () => {
  const refused = (text: string) => {
    try {
      moduleOf(text);
      return '';
    } catch (error) {
      return describeError(error).message;
    }
  };

  test('a size that is asked for has to be bound', () => {
    const body = 'axis t, u: T\ninput x[t]\ny[t] = sum[u](x[u] where u <= t)\noutput y';
    expect(refused(`structure S {\n${body}\n}`)).toBe(
      'error: S asks for T, in a condition, a sum or as a number, so the module has to know it\n  help: bind -s T=…',
    );
    expect(refused('structure S {\nsize N\naxis n: N\ninput x[n]\ny[n] = x[n] / N\noutput y\n}')).toContain(
      'S asks for N',
    );
    // A batch is not.
    expect(refused('structure S {\nsize N\naxis n: N\ninput x[n]\ny[n] = 2 * x[n]\noutput y\n}')).toBe('');
  });

  test('a mistake in the file is its diagnostic', () => {
    expect(refused('structure S {\naxis n: N\ninput x[n]\ny[n] = z[n]\noutput y\n}')).toMatch(
      /^here\.mlbtc:4:8: error E\d+/,
    );
  });
});
