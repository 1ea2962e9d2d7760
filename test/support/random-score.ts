/**
 * Attention of random scores: sums of products, nested levels of blocks, caps, slopes, biases by distance and additive terms; under a softmax, two
 * of them, another function or none; masked by the past, the future, windows, all but oneself, segments of the data or not at all;
 * one layer, or two that read each other.
 */
import fc from 'fast-check';

export interface RandomScore {
  readonly text: string;
  readonly sizes: Readonly<Record<string, number>>;
}

const terms: Readonly<Record<string, { readonly declared: string; readonly value: string }>> = {
  product: { declared: '', value: 'q[b, h, t, r] * k[b, h, u, r]' },
  'a product of size 1': { declared: '', value: 'q[b, h, t, r] * k[b, h, u, r] / R ^ 0.5' },
  'a product, scaled by rows': {
    declared: 'param weight[h, t] ~ normal(std = 0.3)',
    value: 'weight[h, t] * q[b, h, t, r] * k[b, h, u, r]',
  },
  'a product, capped': { declared: '', value: '5 * tanh(sum[r](q[b, h, t, r] * k[b, h, u, r]) / 5)' },
  'a part of the features': { declared: '', value: 'q[b, h, t, 0] * k[b, h, u, 0]' },
  slope: { declared: 'param slope[h] ~ normal(std = 0.3)', value: 'slope[h] * (t - u)' },
  'a bias by distance': { declared: 'param G[h, d] ~ normal(std = 1)', value: 'G[h, t - u + T - 1]' },
  'a bias by bucket': {
    declared: 'near[t, u]: i32 = max(t - u, 0) / 2  param N[h, p] ~ normal(std = 1)',
    value: 'N[h, near[t, u]]',
  },
  'a bias by what the data say': {
    declared: 'param M[c5, h] ~ normal(std = 1)',
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
  'nested levels': {
    declared: `level l in 0 .. len(ranks) - 1 {
    axis lc: C ^ l, lm, ln: T / C ^ l, lr: ranks[l]
    N[b, h, (lc lm), (lc ln)] += q[b, h, (lc lm), prefix(ranks, l) + lr] * k[b, h, (lc ln), prefix(ranks, l) + lr] / ranks[l]
  }`,
    value: 'N[b, h, t, u]',
  },
};

const masks: Readonly<Record<string, (tokens: number) => string>> = {
  none: () => '',
  past: () => ' where u <= t',
  future: () => ' where t <= u',
  window: () => ' where u <= t and u + 3 >= t',
  'a third of the past': (tokens) => ` where u <= t and t - u <= ${Math.floor(tokens / 3)}`,
  'a window both ways': (tokens) => ` where t - u < ${Math.ceil(tokens / 4)} and u - t < ${Math.ceil(tokens / 5)}`,
  'all but oneself': () => ' where u != t',
  segments: () => ' where seg[b, t] == seg[b, u]',
  'segments of the past': () => ' where u <= t and seg[b, t] == seg[b, u]',
  'the one before': () => ' where u == t - 1',
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
  /** Names of terms, of a mask and of a link. */
  readonly chosen?: fc.Arbitrary<readonly string[]>;
  readonly mask?: fc.Arbitrary<string>;
  readonly link?: fc.Arbitrary<string>;
  readonly layers?: fc.Arbitrary<number>;
  /** How many blocks there are, and tokens of each. */
  readonly blocks?: fc.Arbitrary<number>;
  readonly block?: fc.Arbitrary<number>;
  /** Texts. */
  readonly B?: fc.Arbitrary<number>;
  readonly H?: fc.Arbitrary<number>;
  /** Features and columns of a head. */
  readonly R?: fc.Arbitrary<number>;
  readonly E?: fc.Arbitrary<number>;
}

export const randomScoreOf = (ranges: ScoreRanges): fc.Arbitrary<RandomScore> =>
  fc
    .record({
      chosen: ranges.chosen ?? fc.subarray(Object.keys(terms), { minLength: 1, maxLength: 3 }),
      mask: ranges.mask ?? fc.constantFrom(...Object.keys(masks)),
      link: ranges.link ?? fc.constantFrom(...Object.keys(links)),
      residual: fc.boolean(),
      merged: fc.boolean(),
      layers: ranges.layers ?? fc.constant(1),
      blocks: ranges.blocks ?? fc.integer({ min: 1, max: 3 }),
      block: ranges.block ?? fc.integer({ min: 2, max: 7 }),
      B: ranges.B ?? fc.integer({ min: 1, max: 2 }),
      H: ranges.H ?? fc.integer({ min: 1, max: 2 }),
      R: ranges.R ?? fc.integer({ min: 1, max: 11 }),
      E: ranges.E ?? fc.integer({ min: 1, max: 19 }),
    })
    .map(({ chosen, mask, link, residual, merged, layers, blocks, block, B, H, R, E }) => {
      const T = blocks * block;
      const score = chosen.map((name) => terms[name].value).join(' + ');
      const declared = chosen.map((name) => terms[name].declared).filter((line) => line !== '');
      const where = masks[mask](T);
      const value = merged ? '[b, u, f]' : '[b, h, u, e]';
      const row = value.replace('u', 't');
      const inputs = [
        'q[b, h, t, r]',
        'k[b, h, u, r]',
        `v${value}`,
        ...(residual ? [`x${row}`] : []),
        ...(where.includes('seg[') ? ['seg[b, t]: i32'] : []),
        ...(score.includes('place[') ? ['place[b, t, u]: i32'] : []),
      ];
      const names = inputs.map((input) => input.slice(0, input.indexOf('[')));
      const given = (values: string): string =>
        ['B = B, H = H, R = R, E = E', ...names.map((name) => `${name} = ${name === 'v' ? values : name}`)].join(', ');
      const axes = 'axis b: B, h: H, t, u: T, r: R, e: E, f: H * E';
      const declaredInputs = inputs.map((input) => `input ${input}`).join('\n  ');
      const text = `structure Score {
  size B, H, R, E, T = ${T}, C = ${blocks}, ranks = [${ranksOf(R, T, blocks).join(', ')}]
  ${axes}, c: C, m, n: T / C, d: 2 * T - 1, p: T, c5: 5, z: 2
  ${declaredInputs}
  ${declared.join('\n  ')}
  ${links[link](score, where)}
  ${merged ? 'y[b, t, (h e)] = A[b, h, t, u] * v[b, u, (h e)]' : 'y[b, h, t, e] = A[b, h, t, u] * v[b, h, u, e]'}${residual ? (merged ? ' + x[b, t, (h e)]' : ' + x[b, h, t, e]') : ''}
  output y
}`;
      const twice = `structure Layers {
  size B, H, R, E, T = ${T}
  ${axes}
  ${declaredInputs}
  use Score(${given('v')}) as first
  use Score(${given('first.y')}) as second
  y${row} = second.y${row}
  output y
}`;
      return { text: layers === 1 ? text : `${text}\n${twice}`, sizes: { B, H, R, E } };
    });

/** Of how many features the levels are: the coarsest has half of them. */
function ranksOf(features: number, tokens: number, blocks: number): readonly number[] {
  if (features === 1) return [1];
  const half = Math.floor(features / 2);
  if (features < 4 || tokens % blocks ** 2 !== 0) return [features - half, half];
  const quarter = Math.floor(features / 4);
  return [features - 2 * quarter, quarter, quarter];
}

export const randomScore = randomScoreOf({});
