/** Token by token is what all at once is, for scores of every kind: the interpreter runs both. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../compiler/ir/ndarray.ts';
import { elementCount, type Program, type Tensor } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { type Incremental, incremental, now } from '../../../compiler/passes/incremental.ts';
import { optimise } from '../../../compiler/passes/pipeline.ts';
import { NotIncremental } from '../../../compiler/passes/token-time.ts';
import { limited } from '../../../compiler/schedule/normalise.ts';
import { lowered } from '../../support/lowered.ts';
import { normals } from '../../support/random-values.ts';

/** Two layers of attention with the scores' definition in the middle; T tokens of D = 4, two heads. */
function model(scores: string): string {
  return `
    import "attention" import "mlr_attention" import "sliding_window" import "global_sliding_window"
    import "bilinear_btt" import "bilinear_mlr"
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
      axis b: B, t: T, i, j: D, c: 3
      input x[b, t, i]
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

const projections = `
  param Q[h, r, i] ~ normal(fan_in = i)
  param K[h, r, i] ~ normal(fan_in = i)
  q[b, h, t, r] = Q[h, r, i] * x[b, t, i]
  k[b, h, u, r] = K[h, r, i] * x[b, u, i]`;

/** Scores, and tokens that the pasts of a layer keep, in order. */
const cases: Readonly<Record<string, readonly [scores: string, lengths: readonly number[]]>> = {
  'low rank': [instance('Attention', ''), [11, 11]],
  'a sliding window': [instance('SlidingWindow', 'w = 3, '), [3, 3]],
  'global and sliding': [instance('GlobalSlidingWindow', 'global = 1, local = 1, w = 2, '), [11, 2, 11]],
  'levels of blocks': [instance('MLRAttention', 'T = T, ranks = [1, 1], '), [11, 5, 11]],
  'bilinear BTT': [instance('BilinearBTT', ''), [11, 11]],
  'a slope': [
    `${projections}
     param slope[h] ~ ones
     A[b, h, t, u] = softmax[u](q[b, h, t, r] * k[b, h, u, r] - slope[h] * (t - u) where u <= t)`,
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

function tokenByToken(
  { program, prepared, pasts, tokens }: Incremental,
  params: ReadonlyMap<string, NdArray>,
  x: NdArray,
) {
  const still = interpret(prepared, params, prepared.outputs);
  const [batch, , width] = x.shape;
  const given = new Map<string, NdArray>([...params, ...still]);
  const nothingYet = (name: string) => {
    const { shape } = program.tensors.find((tensor) => tensor.name === name) as Tensor;
    return ndarray(shape, new Float64Array(elementCount(shape)).fill(Number.NaN));
  };
  for (const { name } of pasts) given.set(name, nothingYet(name));
  const rows: Float64Array[] = [];
  for (let t = 0; t < tokens; t += 1) {
    const row = Float64Array.from({ length: batch * width }, (_, n) => {
      const [b, i] = [Math.floor(n / width), n % width];
      return x.data[(b * tokens + t) * width + i];
    });
    given.set('x', ndarray([batch, width], row));
    given.set(now, ndarray([], [t]));
    const values = interpret(program, given);
    rows.push(values.get('logits')?.data as Float64Array);
    for (const { name, row: from, length } of pasts) {
      const past = given.get(name) as NdArray;
      const made = values.get(from) as NdArray;
      past.data.set(made.data, (t % length) * made.data.length);
    }
  }
  return rows;
}

function valuesOf(program: Program, name: string): NdArray {
  const { shape } = program.tensors.find((tensor) => tensor.name === name) ?? { shape: [] };
  return normals(shape, name.length + shape.length);
}

describe('token by token', () => {
  test.each(Object.entries(cases))('%s', (_, [scores, lengths]) => {
    const program = limited(optimise(lowered(model(scores), { B: 2 })));
    const step = incremental(program, { inputs: new Map([['x', 1]]), outputs: ['logits'] });
    expect([verify(step.program), verify(step.prepared)]).toEqual([[], []]);
    expect(step.pasts.slice(0, lengths.length).map(({ length }) => length)).toEqual(lengths);
    const params = new Map(
      program.tensors
        .filter(({ source }) => source.kind === 'param')
        .map(({ name }) => [name, valuesOf(program, name)]),
    );
    const x = valuesOf(program, 'x');
    const whole = interpret(program, new Map([...params, ['x', x]]), ['logits']).get('logits') as NdArray;
    const [batch, tokens, classes] = whole.shape;
    for (const [t, row] of tokenByToken(step, params, x).entries()) {
      for (let b = 0; b < batch; b += 1) {
        for (let c = 0; c < classes; c += 1) {
          expect(row[b * classes + c]).toBeCloseTo(whole.data[(b * tokens + t) * classes + c], 9);
        }
      }
    }
  });

  test('a score that sees later tokens is refused, with the equation', () => {
    const scores = `${projections}  A[b, h, t, u] = softmax[u](q[b, h, t, r] * k[b, h, u, r])`;
    const program = limited(optimise(lowered(model(scores), { B: 1 })));
    expect(() => incremental(program, { inputs: new Map([['x', 1]]), outputs: ['logits'] })).toThrow(NotIncremental);
  });
});
