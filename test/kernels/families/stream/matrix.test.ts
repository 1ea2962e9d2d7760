/**
 * Streams on tensor cores: which suit the form, and what it computes, on any device with its matrices as numbers (emulated-matrices.ts),
 * against the interpreter: values and gradients, walks longer than a stretch, scores that move far from tile to tile.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../../compiler/ir/ndarray.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import type { Sweeping } from '../../../../compiler/schedule/streams/across.ts';
import type { Streaming } from '../../../../compiler/schedule/streams/spaces.ts';
import { matrixTuning, type StreamTuning } from '../../../../kernels/families/stream/tuning.ts';
import type { Target } from '../../../../kernels/target.ts';
import { testDevice } from '../../../support/device.ts';
import { emulateMatrices, withMatrices } from '../../../support/emulated-matrices.ts';
import { feed } from '../../../support/feed.ts';
import { h100, h100WithoutTensorCores } from '../../../support/h100-target.ts';
import { lowered } from '../../../support/lowered.ts';
import { randomScoreOf } from '../../../support/random-score.ts';
import { asF32 } from '../../../support/rounding.ts';
import { compare, relativeError, runOnDevice } from '../../../support/run-on-device.ts';

const opened = await testDevice();
const target = withMatrices(opened.target);

/** Two subgroups. */
const stream: StreamTuning = { ...matrixTuning, threadRows: 32 };
const options = { target, streaming: 'always', override: { stream } } as const;

const attention = (tokens: number, steps = 16, columns = 16, where = 'u <= t'): string => `structure S {
  size T = ${tokens}
  axis t, u: T, h: 1, r: ${steps}, e: ${columns}
  param q[h, t, r] ~ normal(std = 1)
  param k[h, u, r] ~ normal(std = 1)
  param v[h, u, e] ~ normal(std = 1)
  A[h, t, u] = softmax[u](0.25 * q[h, t, r] * k[h, u, r] where ${where})
  y[h, t, e] = A[h, t, u] * v[h, u, e]
  output y
}`;

interface Ways {
  readonly streaming?: Streaming;
  readonly sweeping?: Sweeping;
}

async function errorOf(
  text: string,
  gradients: boolean,
  change = (inputs: Map<string, NdArray>) => inputs,
  { streaming = 'always', sweeping = 'never' }: Ways = {},
) {
  const { program } = compileProgram(lowered(text, {}), { target, gradients });
  const inputs = change(new Map(feed(program, 1)));
  const { plan, worst, worstOutput } = await compare(
    opened,
    program,
    inputs,
    { ...options, streaming, sweeping },
    emulateMatrices,
  );
  const streams = plan.kernels.filter(({ family }) => family.includes('stream'));
  expect(streams.length).toBeGreaterThan(0);
  for (const { wgsl } of streams) expect(wgsl).toContain('Sums()');
  return { worst, worstOutput };
}

test('a softmax and its gradients', async () => {
  const { worst, worstOutput } = await errorOf(attention(64), true);
  expect(worst, worstOutput).toBeLessThan(2e-6);
});

test('elements that fill no matrix’s lanes, in a window', async () => {
  const { worst, worstOutput } = await errorOf(attention(96, 48, 16, 'u <= t and t - u < 40'), true);
  expect(worst, worstOutput).toBeLessThan(2e-6);
});

/** Scores of −40 to 40 in rows of growing size: shifts move by more than may stay behind, and weights of one subgroup are far apart. */
const movingFar = (inputs: Map<string, NdArray>): Map<string, NdArray> => {
  const { shape, data } = inputs.get('k')!;
  return inputs.set(
    'k',
    ndarray(
      shape,
      data.map((x, i) => ((x * i) / data.length) * 8),
    ),
  );
};

test('a walk longer than a stretch, with scores that move far', async () => {
  const { worst, worstOutput } = await errorOf(attention(320, 32), false, movingFar);
  expect(worst, worstOutput).toBeLessThan(1e-5);
});

test('gradients of a walk longer than a stretch', async () => {
  const { worst, worstOutput } = await errorOf(attention(288), true);
  expect(worst, worstOutput).toBeLessThan(2e-6);
});

/** Values in rows of 10^-4 to 10^4. */
const farApart = (inputs: Map<string, NdArray>): Map<string, NdArray> => {
  const { shape, data } = inputs.get('v')!;
  const columns = shape.at(-1)!;
  return inputs.set(
    'v',
    ndarray(
      shape,
      data.map((x, i) => x * 10 ** ((Math.floor(i / columns) % 9) - 4)),
    ),
  );
};

test.each<[name: string, text: string, pieces: number]>([
  ['tile after tile, in a window', attention(96, 16, 16, 'u <= t and t - u < 40'), 1],
  ['two pieces, the last block cut, and a walk longer than a stretch', attention(288), 2],
  ['later columns, as many as rows', attention(64, 32, 32, 't <= u'), 1],
])('sums across: %s', async (_, text, sweeping) => {
  const { worst, worstOutput } = await errorOf(text, true, undefined, { sweeping });
  expect(worst, worstOutput).toBeLessThan(2e-6);
});

test('sums across of what is far apart', async () => {
  const two = await errorOf(attention(64), true, farApart);
  const one = await errorOf(attention(64), true, farApart, { sweeping: 1 });
  expect(one.worst, one.worstOutput).toBeLessThan(2e-6 + 2 * two.worst);
});

test.each([
  ['causal', 'u <= t'],
  ['in a window', 'u <= t and t - u < 40'],
  ['whole', 't + 1 > 0'],
])('scores that are stored, read tile by tile: %s', async (_, where) => {
  const { worst, worstOutput } = await errorOf(attention(320, 24, 32, where), false, movingFar, {
    streaming: 'reading',
  });
  expect(worst, worstOutput).toBeLessThan(1e-5);
});

test.each([
  ['- 200', 'u <= t'],
  ['+ 200', 't <= u'],
  ['- 9 * (u + 20)', 't <= u'],
])('scores far from 0: %s where %s', async (more, where) => {
  const text = attention(96, 16, 16, where).replace('k[h, u, r] where', `k[h, u, r] ${more} where`);
  const { worst, worstOutput } = await errorOf(text, true);
  // Of scores of 800 the last bit of f32 is 6e-5.
  expect(worst, worstOutput).toBeLessThan(2e-4);
});

test.each([Number.NaN, Infinity, -Infinity])('%d in a key: rows before it are as without', async (value) => {
  const { program } = compileProgram(lowered(attention(64), {}), { target, gradients: false });
  const inputs = new Map(feed(program, 1));
  const key = 40;
  const { shape, data } = inputs.get('k')!;
  inputs.set(
    'k',
    ndarray(
      shape,
      Float32Array.from(data, (x, i) => (i === key * 16 + 3 ? value : x)),
    ),
  );
  const { values } = await runOnDevice(opened, program, inputs, options, emulateMatrices);
  const [have, want] = [values, interpret(program, inputs, program.outputs)].map((of) => of.get('y')!.data);
  expect(relativeError(have.slice(0, key * 16), want.slice(0, key * 16))).toBeLessThan(2e-6);
  if (Number.isNaN(value)) for (const y of have.slice(key * 16)) expect(y).toBeNaN();
});

const scores = randomScoreOf({
  chosen: fc.constantFrom(['product'], ['product'], ['product', 'slope'], ['blocks']),
  link: fc.constantFrom('softmax', 'identity'),
  blocks: fc.integer({ min: 1, max: 2 }),
  block: fc.constant(32),
  B: fc.constant(1),
  R: fc.constantFrom(16, 32),
  E: fc.constantFrom(16, 32),
});
const runs = Number(process.env.MLBTC_RANDOM_PROGRAMS ?? 8);
const seed = Number(process.env.MLBTC_RANDOM_SEED ?? 20_261_127);
let suited = 0;

test(`${runs} random scores with gradients, seed ${seed}`, { timeout: 1_800_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(scores, async ({ text, sizes }) => {
      const { program } = compileProgram(lowered(text, sizes), { target, gradients: true });
      const inputs = asF32(feed(program));
      const want = interpret(program, inputs, program.outputs);
      const errorsOf = async (tuning: StreamTuning): Promise<readonly number[]> => {
        const override = { stream: tuning };
        const { values } = await runOnDevice(opened, program, inputs, { ...options, override }, emulateMatrices);
        return program.outputs.map((name) => relativeError(values.get(name)!.data, want.get(name)!.data));
      };
      const plain = await errorsOf({ threadRows: 4, threadColumns: 4, rowQuads: 1, depth: 4 });
      let found: readonly number[];
      try {
        found = await errorsOf(stream);
      } catch (error) {
        if (!(error instanceof Error) || !error.message.includes('tensor cores')) throw error;
        return;
      }
      suited += 1;
      for (const [i, name] of program.outputs.entries())
        expect(found[i], `${name} of\n${text}\n${JSON.stringify(sizes)}`).toBeLessThan(5e-6 + 4 * plain[i]);
    }),
    { numRuns: runs, seed, ...(process.env.MLBTC_SHRINK ? {} : { endOnFailure: true }) },
  );
  expect(suited / runs).toBeGreaterThan(0.2);
});

const levels = `structure S {
  size T = 128, blocks = [128, 64, 16, 8], ranks = [8, 4, 2, 2]
  axis t, u: T, h: 1, r: 16, e: 16
  param q[h, t, r] ~ normal(std = 1)
  param k[h, u, r] ~ normal(std = 1)
  param v[h, u, e] ~ normal(std = 1)
  level l in 0 .. len(ranks) - 1 {
    axis c: T / blocks[l], m, n: blocks[l], o: ranks[l]
    S[h, (c m), (c n)] += q[h, (c m), prefix(ranks, l) + o] * k[h, (c n), prefix(ranks, l) + o] / ranks[l]
  }
  A[h, t, u] = softmax[u](S[h, t, u] where u <= t)
  y[h, t, e] = A[h, t, u] * v[h, u, e]
  output y
}`;

test('levels of blocks, wider and narrower than the rows of a workgroup', async () => {
  const { worst, worstOutput } = await errorOf(levels, true);
  expect(worst, worstOutput).toBeLessThan(2e-6);
});

const onTensorCores = (text: string, device: Target): readonly boolean[] => {
  const { program } = compileProgram(lowered(text, {}), { target: device, gradients: true });
  const { kernels } = schedule(program, { target: device, streaming: 'always' });
  return kernels.filter(({ family }) => family === 'stream').map(({ wgsl }) => wgsl.includes('subgroupMatrixLoad'));
};

test('long walks of whole tiles are on tensor cores, the two ways back in one dispatch', () => {
  const long = attention(1024, 64, 64);
  expect(onTensorCores(long, h100)).toEqual([true, true]);
  expect(onTensorCores(long, h100WithoutTensorCores)).not.toContain(true);
  const small = { ...h100, limits: { ...h100.limits, maxComputeWorkgroupStorageSize: 16384 } };
  expect(onTensorCores(long, small)).toEqual([true, false]);
  expect(onTensorCores(attention(1000, 64, 64), h100)).not.toContain(true);
  expect(onTensorCores(attention(128, 64, 64), h100)).not.toContain(true);
});

test.each([
  [
    'an exponential chosen by a condition',
    'softmax[u](0.1 * s[h, t, u] where u <= t) + softmax[u](s[h, t, u] where t <= u)',
  ],
  ['a cap', 'softmax[u](5 * tanh(s[h, t, u] / 5) where u <= t)'],
  ['terms of some elements', 'softmax[u](s[h, t, u] + near[h, t, u] where u <= t)'],
])('tiles in which lanes may part are made on f32 units: %s', (_, score) => {
  const text = attention(512, 64, 64).replace(
    /A\[h.*\n/,
    `param z[h, b] ~ normal(std = 1)
  near[h, t, u] = z[h, t - u] where u <= t and t - u < 2
  s[h, t, u] = q[h, t, r] * k[h, u, r]
  A[h, t, u] = ${score}\n`,
  );
  expect(onTensorCores(text.replace('h: 1,', 'h: 1, b: 2,'), h100)).not.toContain(true);
});

test('sweeps on tensor cores stage operands of which every lane has a piece', () => {
  const sweepsOf = (columns: number): number => {
    const { program } = compileProgram(lowered(attention(640, columns, 32), {}), { target: h100, gradients: true });
    const { kernels } = schedule(program, { target: h100, streaming: 'always', sweeping: 2 });
    return kernels.filter(({ wgsl }) => wgsl.includes('across_high_0')).length;
  };
  expect([64, 48].map(sweepsOf)).toEqual([1, 0]);
});

test('a sweep of one product and one sum keeps to rows of a block of its pieces', () => {
  const linear = attention(512, 32, 32)
    .replace('softmax[u](0.25 *', '(0.25 *')
    .replace(' where', ') where')
    .replace('u <= t)', 'u <= t');
  const { program } = compileProgram(lowered(linear, {}), { target: h100, gradients: true });
  const { kernels } = schedule(program, { target: h100, streaming: 'always', sweeping: 'always' });
  expect(kernels.filter(({ wgsl }) => wgsl.includes('across_high_0'))).toHaveLength(1);
});

test('what does not suit the form is refused', () => {
  const { program } = compileProgram(lowered(attention(48), {}), { target, gradients: false });
  expect(() => schedule(program, { ...options, override: { stream: matrixTuning } })).toThrow('tensor cores');
});
