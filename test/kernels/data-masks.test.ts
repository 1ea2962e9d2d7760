/**
 * Conditions on data and computed indices through the whole road, with gradients: what a kernel of each family gives is what the
 * interpreter gives of the program as written.
 */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../compiler/ir/interpret.ts';
import { ndarray } from '../../compiler/ir/ndarray.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { differentiate } from '../../compiler/passes/differentiate/differentiate.ts';
import { optimise, optimiseDerivatives } from '../../compiler/passes/pipeline.ts';
import type { ScheduleOptions } from '../../compiler/schedule/schedule.ts';
import { analyse } from '../../compiler/semantics/analyse.ts';
import { testDevice } from '../support/device.ts';
import { feed } from '../support/feed.ts';
import { relativeError, runOnDevice } from '../support/run-on-device.ts';

const opened = await testDevice();
const cpu = { ...opened.target, class: 'cpu' as const };
const gpu = { ...opened.target, class: 'gpu' as const };

const forms: Readonly<Record<string, Partial<ScheduleOptions>>> = {
  fused: { target: cpu },
  apart: { target: cpu, fuse: false },
  direct: {
    target: cpu,
    contractAll: true,
    override: { contraction: { form: 'direct', tileM: 8, tileN: 8, tileK: 1, rows: 4, columns: 4 } },
  },
  tiled: {
    target: gpu,
    contractAll: true,
    override: {
      contraction: { form: 'tiled', tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 },
      row: { lanes: 4, workgroupSize: 32, shuffle: false },
    },
  },
};

const structures: Readonly<Record<string, string>> = {
  'document mask': `structure DocumentMask {
    axis b: 2, t, u: 5, i, j: 3
    input x[b, t, i]
    input seg[b, t]: i32
    param Q[i, j] ~ normal(fan_in = i)
    S[b, t, u] = Q[i, j] * x[b, t, i] * x[b, u, j]
    A[b, t, u] = softmax[u](S[b, t, u] where u <= t and seg[b, t] == seg[b, u])
    y[b, t, i] = A[b, t, u] * x[b, u, i]
    output y
  }`,
  'reducers over what the data leave': `structure Reducers {
    axis t: 5, u: 7
    input S[t, u]
    input k[u]: i32
    input r[t]: i32
    m[t] = mean[u](S[t, u] where k[u] > r[t])
    l[t] = logsumexp[u](S[t, u] where k[u] != 1)
    x[t] = max[u](S[t, u] where k[u] == 0)
    v[t] = var[u](S[t, u] where k[u] >= 1)
    p[t] = S[t, u] * S[t, u] where k[u] < 2 and r[t] == 1
    q[t] = prod[u](S[t, u] where k[u] != r[t])
    output m, l, x, v, p, q
  }`,
  'masked product': `structure Product {
    axis n: 6, m: 5, k: 7
    input A[n, k]
    input B[m, k]
    input row[n]: i32
    input column[m]: i32
    input deep[k]: i32
    y[n, m] = A[n, k] * B[m, k] where row[n] == column[m] and deep[k] != row[n] and deep[k] >= column[m] - 1
    output y
  }`,
  't5 and circulant': `structure Bias {
    size NB = 3, D = 4
    axis b: 2, t, u: 5, n: NB, i, j: D
    input x[b, t, j]
    input c[j]
    param bias[n] ~ normal(std = 1)
    bucket[t, u]: i32 = min((t - u + 1) / 2, NB - 1) where u <= t
    W[i, j] = c[(i - j) % D]
    z[b, t, i] = W[i, j] * x[b, t, j]
    S[b, t, u] = z[b, t, i] * x[b, u, i] + bias[bucket[t, u]] - 0.1 * bucket[t, u]
    A[b, t, u] = softmax[u](S[b, t, u] where u <= t and bucket[t, u] != 1)
    output A, z
  }`,
};

function lowered(text: string): Program {
  const source = { file: 'main.mlbtc', text };
  const { program, diagnostics } = analyse({ source, sizes: {}, unbound: 'refuse', resolve: () => undefined });
  if (program === undefined) throw new Error(diagnostics.map((d) => d.message).join('\n'));
  return program;
}

function withGradients(program: Program): Program {
  const floating = program.tensors.filter(({ dtype }) => dtype !== 'i32');
  const wrt = floating.filter(({ source }) => source.kind !== 'computed').map(({ name }) => name);
  return differentiate(program, { seeds: Object.fromEntries(program.outputs.map((name) => [name, 'input'])), wrt });
}

describe.each(Object.entries(structures))('%s', (_, text) => {
  const written = lowered(text);
  const plain = withGradients(written);
  const inputs = new Map([...feed(plain, 3)].map(([name, v]) => [name, ndarray(v.shape, Float32Array.from(v.data))]));
  const want = interpret(plain, inputs, plain.outputs);
  const derived = optimiseDerivatives(withGradients(optimise(written)));

  test('by the passes', () => {
    const found = interpret(derived, inputs, plain.outputs);
    for (const name of plain.outputs)
      expect(relativeError(found.get(name)!.data, want.get(name)!.data), name).toBeLessThan(1e-12);
  });

  test.each(Object.entries(forms))('%s', async (__, options) => {
    const { values } = await runOnDevice(opened, derived, inputs, options);
    for (const name of plain.outputs)
      expect(relativeError(values.get(name)!.data, want.get(name)!.data), name).toBeLessThan(1e-5);
  });
});
