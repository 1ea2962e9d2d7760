/** What is worth hiding: the kernels that scores of some forms come to, on devices that bind many buffers and few. */
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import type { Plan } from '../../../../compiler/schedule/plan.ts';
import { portableTarget, type Target } from '../../../../kernels/target.ts';
import { lowered } from '../../../support/lowered.ts';

const binding = (buffers: number): Target => ({
  ...portableTarget,
  limits: { ...portableTarget.limits, maxStorageBuffersPerShaderStage: buffers },
});

function planOf(scores: string, target: Target, { outputs = 'y', T = 256, D = 64, r = 16 } = {}): Plan {
  const text = `
    structure Layer {
      size D = ${D}, H = 4, r = ${r}
      axis b: B, t, u: T, i, j: D, h: H, k: r, e: D / H
      input x[b, t, i]
      param Q[h, k, i] ~ normal(fan_in = i)
      param K[h, k, i] ~ normal(fan_in = i)
      param V[h, e, i] ~ normal(fan_in = i)
      q[b, h, t, k] = Q[h, k, i] * x[b, t, i]
      s[b, h, u, k] = K[h, k, i] * x[b, u, i]
      ${scores}
      A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)
      v[b, h, u, e] = V[h, e, i] * x[b, u, i]
      y[b, h, t, e] = A[b, h, t, u] * v[b, h, u, e]
      output ${outputs}
    }`;
  return compileProgram(lowered(text, { B: 16, T }), { target, gradients: true }).plan;
}

const product = 'S[b, h, t, u] = q[b, h, t, k] * s[b, h, u, k] / sqrt(r)';
const slope = `param slope[h] ~ zeros ${product} - slope[h] * (t - u)`;

/** Tensors of T × T that lie in memory. */
function storedScores({ tensors }: Plan, T = 256): readonly string[] {
  return Object.entries(tensors)
    .filter(([, { shape }]) => shape.filter((extent) => extent === T).length === 2)
    .map(([name]) => name);
}

const makers = ({ kernels }: Plan, name: string): number =>
  kernels.flatMap(({ streams }) => streams).filter(({ hides }) => hides.includes(name)).length;

test('the gradient of a slope a head is summed by the walk that makes the gradient of the queries', () => {
  const plan = planOf(slope, binding(12));
  expect(storedScores(plan)).toEqual([]);
  const walks = plan.kernels.flatMap(({ streams }) => streams.map(({ results }) => results));
  const own = walks.filter((results) => results.includes('grad.slope~rows'));
  expect(own).toEqual([expect.arrayContaining(['cot~q', 'grad.slope~rows'])]);
});

describe('few buffers: results of one walk in several kernels', () => {
  test.each([
    [12, 3],
    [10, 3],
    [8, 4],
  ])('%d: scores are made in %d kernels and stored in none', (buffers, kernels) => {
    const plan = planOf(product, binding(buffers));
    expect(storedScores(plan)).toEqual([]);
    expect(makers(plan, 'S')).toBe(kernels);
    for (const { bindings } of plan.kernels) expect(bindings.length).toBeLessThanOrEqual(buffers);
  });
});

describe('probabilities that are an output wait for their whole row, so that scores would be made twice', () => {
  test('few features: twice is cheap', () => {
    const plan = planOf(product, binding(12), { outputs: 'A', r: 8 });
    expect([storedScores(plan), makers(plan, 'S')]).toEqual([expect.not.arrayContaining(['S']), 2]);
  });
  test('many: they are stored', () => {
    const plan = planOf(product, binding(12), { outputs: 'A', D: 512, r: 288, T: 448 });
    expect(storedScores(plan, 448)).toContain('S');
  });
});

test('scores of many features are stored, and what is made of them is not: the walk along them makes their softmax', () => {
  const plan = planOf(product, binding(12), { D: 256, r: 256 });
  expect(Object.keys(plan.tensors)).toEqual(expect.arrayContaining(['S', 'cot~S']));
  expect(plan.tensors).not.toHaveProperty('A');
  const [walk, ...others] = plan.kernels.flatMap(({ streams }) => streams);
  expect(others).toEqual([]);
  expect(walk.results).toEqual(expect.arrayContaining(['y']));
  expect(walk.hides).toEqual(['S~tile', 'A']);
  // Rows that a contraction's tile holds are finished there.
  const short = planOf(product, binding(12), { D: 128, r: 128, T: 128 });
  expect(short.kernels.flatMap(({ streams }) => streams)).toEqual([]);
});

describe('a bias for each of a few distances', () => {
  const bias = (places: number): string => `
    param bias[h, n] ~ zeros
    axis n: ${places}
    bucket[t, u]: i32 = min((t - u) / 2, ${places - 1}) where u <= t
    ${product} + bias[h, bucket[t, u]]`;
  test('its gradient is summed by place where the gradient of the scores is made', () => {
    const plan = planOf(bias(16), binding(12));
    expect(storedScores(plan)).toEqual([]);
    const walks = plan.kernels.flatMap(({ streams }) => streams.map(({ results }) => results));
    expect(walks.filter((results) => results.includes('grad.bias~rows'))).toEqual([
      expect.arrayContaining(['cot~q', 'grad.bias~rows']),
    ]);
    expect(plan.tensors['grad.bias~rows'].shape).toEqual([4, 16, 16, 256]);
  });
  test('where places are no fewer than a quarter of the tokens, scores are stored', () => {
    expect(storedScores(planOf(bias(65), binding(12)))).toContain('cot~S');
  });
});
