/**
 * Attention of random scores: sums of products, levels of blocks, slopes, biases by distance and additive terms; under a softmax, two
 * of them, another function or none; masked by the past, a window, all but oneself, segments of the data or not at all.
 */
import fc from 'fast-check';

export interface RandomScore {
  readonly text: string;
  readonly sizes: Readonly<Record<string, number>>;
}

const terms: Readonly<Record<string, { readonly declared: string; readonly value: string }>> = {
  product: { declared: '', value: 'q[b, h, t, r] * k[b, h, u, r]' },
  'a part of the features': { declared: '', value: 'q[b, h, t, 0] * k[b, h, u, 0]' },
  slope: { declared: 'param slope[h] ~ normal(std = 0.3)', value: 'slope[h] * (t - u)' },
  'a bias by distance': { declared: 'param G[h, d] ~ normal(std = 1)', value: 'G[h, t - u + T - 1]' },
  'a bias by bucket': {
    declared: 'near[t, u]: i32 = max(t - u, 0) / 2  param N[h, p] ~ normal(std = 1)',
    value: 'N[h, near[t, u]]',
  },
  'a bias by what the data say': {
    declared: 'input place[b, t, u]: i32  param M[c5, h] ~ normal(std = 1)',
    value: 'M[place[b, t, u], h]',
  },
  'a bias near by': {
    declared: 'param Z[h, z] ~ normal(std = 1)  near_by[b, h, t, u] = Z[h, t - u] where u <= t and u + 1 >= t',
    value: 'near_by[b, h, t, u]',
  },
  'a bias of its own': { declared: 'param P[t, u] ~ normal(std = 1)', value: 'P[t, u]' },
  additive: {
    declared: 'param w[h, r] ~ normal(std = 1)',
    value: 'sum[r](w[h, r] * tanh(q[b, h, t, r] + k[b, h, u, r]))',
  },
  blocks: {
    declared: 'L[b, h, (c m), (c n)] = q[b, h, (c m), r] * k[b, h, (c n), r]',
    value: 'L[b, h, t, u]',
  },
};

const masks: Readonly<Record<string, string>> = {
  none: '',
  past: ' where u <= t',
  window: ' where u <= t and u + 3 >= t',
  'all but oneself': ' where u != t',
  segments: ' where seg[b, t] == seg[b, u]',
  'the one before': ' where u == t - 1',
};

const links: Readonly<Record<string, (score: string, mask: string) => string>> = {
  softmax: (s, mask) => `A[b, h, t, u] = softmax[u](${s}${mask})`,
  'two softmaxes': (s, mask) =>
    `A[b, h, t, u] = softmax[u](${s}${mask}) + softmax[u](q[b, h, t, 0] * k[b, h, u, 0] where u <= t and u + 2 >= t)`,
  identity: (s, mask) => `A[b, h, t, u] = (${s}) / (u + 1)${mask}`,
  tanh: (s, mask) => `A[b, h, t, u] = tanh(${s})${mask}`,
};

/** What of a score is drawn from other than usual. */
export interface ScoreRanges {
  /** Names of terms. */
  readonly chosen?: fc.Arbitrary<readonly string[]>;
  /** How many blocks there are, and tokens of each. */
  readonly blocks?: fc.Arbitrary<number>;
  readonly block?: fc.Arbitrary<number>;
  /** Texts. */
  readonly B?: fc.Arbitrary<number>;
  /** Features and columns of a head. */
  readonly R?: fc.Arbitrary<number>;
  readonly E?: fc.Arbitrary<number>;
}

export const randomScoreOf = (ranges: ScoreRanges): fc.Arbitrary<RandomScore> =>
  fc
    .record({
      chosen: ranges.chosen ?? fc.subarray(Object.keys(terms), { minLength: 1, maxLength: 3 }),
      mask: fc.constantFrom(...Object.keys(masks)),
      link: fc.constantFrom(...Object.keys(links)),
      residual: fc.boolean(),
      merged: fc.boolean(),
      blocks: ranges.blocks ?? fc.integer({ min: 1, max: 3 }),
      block: ranges.block ?? fc.integer({ min: 2, max: 7 }),
      B: ranges.B ?? fc.integer({ min: 1, max: 2 }),
      H: fc.integer({ min: 1, max: 2 }),
      R: ranges.R ?? fc.integer({ min: 1, max: 11 }),
      E: ranges.E ?? fc.integer({ min: 1, max: 19 }),
    })
    .map(({ chosen, mask, link, residual, merged, blocks, block, B, H, R, E }) => {
      const score = chosen.map((name) => terms[name].value).join(' + ');
      const declared = chosen.map((name) => terms[name].declared).filter((line) => line !== '');
      const text = `structure Score {
  size T = ${blocks * block}, C = ${blocks}
  axis b: B, h: H, t, u: T, r: R, e: E, c: C, m, n: T / C, d: 2 * T - 1, f: H * E, p: T, c5: 5, z: 2
  input q[b, h, t, r]
  input k[b, h, u, r]
  input v[${merged ? 'b, u, f' : 'b, h, u, e'}]
  ${residual ? `input x[${merged ? 'b, t, f' : 'b, h, t, e'}]` : ''}
  ${mask === 'segments' ? 'input seg[b, t]: i32' : ''}
  ${declared.join('\n  ')}
  ${links[link](score, masks[mask])}
  ${merged ? 'y[b, t, (h e)] = A[b, h, t, u] * v[b, u, (h e)]' : 'y[b, h, t, e] = A[b, h, t, u] * v[b, h, u, e]'}${residual ? (merged ? ' + x[b, t, (h e)]' : ' + x[b, h, t, e]') : ''}
  output y
}`;
      return { text, sizes: { B, H, R, E } };
    });

export const randomScore = randomScoreOf({});
