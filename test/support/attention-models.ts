/** Small models of two layers of attention with scores of every kind, for what must hold whatever the score is. */

/** Two layers of attention with the scores' definition in the middle; T tokens of D = 4, two heads. */
/** With `tokens` the input is whole numbers below 5, else rows of D. */
export function model(scores: string, { tokens = false } = {}): string {
  const input = tokens
    ? 'input tokens[b, t]: i32  param E[w, i] ~ normal(std = 1)  x[b, t, i] = E[tokens[b, t], i]'
    : 'input x[b, t, i]';
  return `
    import "attention" import "mlr_attention" import "sliding_window" import "global_sliding_window"
    import "bilinear_btt" import "bilinear_mlr" import "linear_attention"
    structure Layer {
      size D = 4, H = 2, T = 12
      axis b: B, t, u: T, i, j: D, h: H, e: D / H, r: 2
      input x[b, t, i]
      ${scores}
      param V[h, e, i] ~ normal(fan_in = i)
      param O[i, h, e] ~ normal(fan_in = e)
      v[b, h, u, e] = V[h, e, i] * x[b, u, i]
      y[b, h, t, e] = A[b, h, t, u] * v[b, h, u, e]
      z[b, t, i] = x[b, t, i] + tanh(sum[h, e](O[i, h, e] * y[b, h, t, e]))
      output z
    }
    structure Model {
      size T = 12, D = 4
      axis b: B, t: T, i: D, c: 3, w: 5
      ${input}
      param position[t, i] ~ normal(std = 1)
      param W[c, i] ~ normal(fan_in = i)
      h[b, t, i] = x[b, t, i] + position[t, i]
      use Layer(x = h) as first
      use Layer(x = first.z) as second
      logits[b, t, c] = W[c, i] * second.z[b, t, i]
      output logits
    }`;
}

const instance = (name: string, sizes: string) =>
  `use ${name}(D = D, H = H, ${sizes}x = x) as score  A[b, h, t, u] = score.A[b, h, t, u]`;

export const projections = `
  param Q[h, r, i] ~ normal(fan_in = i)
  param K[h, r, i] ~ normal(fan_in = i)
  q[b, h, t, r] = Q[h, r, i] * x[b, t, i]
  k[b, h, u, r] = K[h, r, i] * x[b, u, i]`;

/** Scores, and tokens that the pasts of a layer keep, in order. */
export const scores: Readonly<Record<string, readonly [text: string, lengths: readonly number[]]>> = {
  'low rank': [instance('Attention', ''), [11, 11]],
  'a sliding window': [instance('SlidingWindow', 'w = 3, '), [3, 3]],
  'global and sliding': [instance('GlobalSlidingWindow', 'global = 1, local = 1, w = 2, '), [11, 2, 11]],
  'levels of blocks': [instance('MLRAttention', 'T = T, ranks = [1, 1], '), [11, 5, 11]],
  'bilinear BTT': [instance('BilinearBTT', ''), [11, 11]],
  'linear attention': [instance('LinearAttention', ''), [11, 11]],
  'a slope': [
    `${projections}
     param slope[h] ~ ones
     A[b, h, t, u] = softmax[u](q[b, h, t, r] * k[b, h, u, r] - slope[h] * (t - u) where u <= t)`,
    [11, 11],
  ],
  'buckets of distance': [
    `${projections}
     axis n: 3
     param bias[h, n] ~ normal(std = 1)
     near[t, u]: i32 = min((t - u) / 2, 2) where u <= t
     A[b, h, t, u] = softmax[u](q[b, h, t, r] * k[b, h, u, r] + bias[h, near[t, u]] where u <= t)`,
    [11, 11],
  ],
  'the token before and no other': [`A[b, h, t, u] = x[b, t, 0] * x[b, u, 1] where u == t - 1`, [1, 1]],
  'blocks alone': [
    `${projections}
     axis c: 3, p, w: T / 3
     S[b, h, (c p), (c w)] = q[b, h, (c p), r] * k[b, h, (c w), r]
     A[b, h, t, u] = tanh(S[b, h, t, u]) where u <= t`,
    [3, 11],
  ],
  'a running mean, no softmax': [`A[b, h, t, u] = x[b, u, 0] / (t + 1) where u <= t`, [11, 11]],
};
