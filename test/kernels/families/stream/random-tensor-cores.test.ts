/**
 * Scores with streams on tensor cores, where a device has them, skipped elsewhere: every output, gradients too, against what the same
 * program comes to where scores are stored and f32 units multiply. MLBTC_RANDOM_SCORES says how many random ones there are beside those of the
 * library, MLBTC_RANDOM_SEED which: a net for faults that only a card shows. It has found some that are not
 * mended: in 'a slope' that never sweeps, and in some in a hundred of random ones.
 *
 * Why so many: texts come out wrong that differ from right ones in nothing that matters, not finite or wrong in rows of some subgroups
 * (matrix-masks.ts, runtime/tensor-cores.ts). No emulation shows that, and whether a text is one of them only its values tell.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { type ScheduleOptions, schedule } from '../../../../compiler/schedule/schedule.ts';
import type { Sweeping } from '../../../../compiler/schedule/streams/across.ts';
import type { Streaming } from '../../../../compiler/schedule/streams/spaces.ts';
import { hasTensorCores } from '../../../../kernels/target.ts';
import { targetUsing } from '../../../../runtime/tensor-cores.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered, type Sizes } from '../../../support/lowered.ts';
import { randomScoreOf } from '../../../support/random-score.ts';
import { asF32 } from '../../../support/rounding.ts';
import { relativeError, runOnDevice } from '../../../support/run-on-device.ts';

const opened = await testDevice();
const units = targetUsing(opened.target, 'never');

/** Terms of these are of some elements of a tile alone: such streams stay on f32 units. */
const staysOnUnits = new Set(['global and sliding', 'levels of blocks', 'levels finer than a tile of rows']);

/** Relative error that is not looked into: of scores of 60 and more, products of two f16 parts are off by 1.5e-5, what comes out wrong by 1e-2 and more. */
const leastAllowed = 1e-4;

/** Sums of t - u of both signs, that cancel: of f32 units' gradients they are 9e-6 off. */
const cancels = 1e-3;

interface Held {
  readonly text: string;
  readonly sizes: Sizes;
  readonly options: Pick<ScheduleOptions, 'streaming' | 'sweeping'>;
}

/** What is wrong, and how many kernels have streams on tensor cores. */
async function hold({
  text,
  sizes,
  options,
}: Held): Promise<{ readonly wrong: readonly string[]; readonly streams: number }> {
  const { program } = compileProgram(lowered(text, sizes), { target: opened.target, gradients: true });
  const plan = schedule(program, { target: opened.target, ...options });
  const streams = plan.kernels.filter(
    ({ family, wgsl }) => family.includes('stream') && wgsl.includes('subgroupMatrixLoad'),
  );
  if (streams.length === 0) return { wrong: [], streams: 0 };
  opened.pipelines.clear();
  const inputs = asF32(feed(program, 3));
  const run = async (more: Partial<ScheduleOptions>) => (await runOnDevice(opened, program, inputs, more)).values;
  const have = await run(options);
  const want = await run({ target: units, streaming: 'never' });
  const errorsOf = (values: typeof have): readonly number[] =>
    program.outputs.map((name) => relativeError(values.get(name)!.data, want.get(name)!.data));
  const errors = errorsOf(have);
  if (errors.every((error) => error < leastAllowed)) return { wrong: [], streams: streams.length };
  const onUnits = errorsOf(await run({ ...options, target: units }));
  const wrong = program.outputs.flatMap((name, i) =>
    errors[i] < (name.includes('slope') ? cancels : leastAllowed) + 4 * onUnits[i]
      ? []
      : [`${name}: ${errors[i]}, on f32 units ${onUnits[i]}`],
  );
  return { wrong, streams: streams.length };
}

const projections = `param gq[r] ~ ones
  param gk[r] ~ ones
  param Wq[h, r, i] ~ normal(fan_in = i)
  param Wk[h, r, i] ~ normal(fan_in = i)
  q[b, h, t, r] = layernorm[r](Wq[h, r, i] * x[b, t, i], gq[r])
  k[b, h, u, r] = layernorm[r](Wk[h, r, i] * x[b, u, i], gk[r])
  S[b, h, t, u] = q[b, h, t, r] * k[b, h, u, r] * 8 / (D / H)`;
const use = (name: string, more = ''): string =>
  `use ${name}(D = D, H = H, ${more}x = x) as score  A[b, h, t, u] = score.A[b, h, t, u]`;

const library: Readonly<Record<string, string>> = {
  'low rank': use('Attention'),
  'a sliding window': use('SlidingWindow', 'w = 90, '),
  'global and sliding': use('GlobalSlidingWindow', 'global = 16, local = 16, w = 90, '),
  'levels of blocks': use('MLRAttention', 'T = T, ranks = [16, 8, 4, 4], '),
  'levels finer than a tile of rows': use('MLRAttention', 'T = T, ranks = [16, 4, 4, 2, 2, 2, 2], '),
  'bilinear BTT': use('BilinearBTT'),
  'later tokens': `${projections}  A[b, h, t, u] = softmax[u](S[b, h, t, u] where t <= u)`,
  'every token': `${projections}  A[b, h, t, u] = softmax[u](S[b, h, t, u])`,
  'a window both ways': `${projections}  A[b, h, t, u] = softmax[u](S[b, h, t, u] where t - u < 70 and u - t < 50)`,
  'a slope': `${projections}  param slope[h] ~ ones
  A[b, h, t, u] = softmax[u](S[b, h, t, u] - slope[h] * (t - u) where u <= t)`,
  'no softmax': `${projections}  A[b, h, t, u] = S[b, h, t, u] / (t + 1) where u <= t`,
};

const layers = (
  score: string,
): string => `import "attention" import "mlr_attention" import "sliding_window" import "global_sliding_window"
import "bilinear_btt"
structure Layer {
  size D = 64, H = 2, T = 256
  axis b: B, t, u: T, i, j: D, h: H, e, r: D / H
  input x[b, t, i]
  ${score}
  param V[h, e, i] ~ normal(fan_in = i)
  param O[i, h, e] ~ normal(fan_in = e)
  v[b, h, u, e] = V[h, e, i] * x[b, u, i]
  y[b, h, t, e] = A[b, h, t, u] * v[b, h, u, e]
  z[b, t, i] = x[b, t, i] + O[i, h, e] * y[b, h, t, e]
  output z
}
structure Layers {
  size T = 256, D = 64
  axis b: B, t: T, i: D
  input x[b, t, i]
  use Layer(x = x) as first
  use Layer(x = first.z) as second
  z[b, t, i] = second.z[b, t, i]
  output z
}`;

test
  .skipIf(!hasTensorCores(opened.target))
  .each(
    Object.keys(library).flatMap((name) => (['never', 'always'] as const).map((sweeping) => [name, sweeping] as const)),
  )('two layers of %s, sweeping %s', async (name, sweeping) => {
  const { wrong, streams } = await hold({
    text: layers(library[name]),
    sizes: { B: 1, T: 512, D: 64 },
    options: { streaming: 'always', sweeping },
  });
  expect(wrong).toEqual([]);
  if (!staysOnUnits.has(name)) expect(streams).toBeGreaterThan(0);
});

const products = ['a product of size 1', 'product', 'a product, scaled by rows', 'a product, capped'];
const biases = ['slope', 'a bias by distance', 'a bias by bucket', 'a bias of its own', 'a bias near by', 'blocks'];
const held = fc.record({
  score: randomScoreOf({
    chosen: fc.oneof(
      fc.constantFrom(...products).map((name) => [name]),
      fc.tuple(fc.constantFrom(...products), fc.constantFrom(...biases)),
      fc.constant(['nested levels']),
    ),
    link: fc.constantFrom('softmax', 'softmax', 'identity', 'two softmaxes', 'tanh'),
    layers: fc.integer({ min: 1, max: 2 }),
    blocks: fc.constantFrom(2, 4),
    block: fc.constantFrom(128, 160),
    B: fc.integer({ min: 1, max: 3 }),
    H: fc.constantFrom(1, 2, 4),
    R: fc.constantFrom(16, 32, 48, 64, 128),
    E: fc.constantFrom(16, 32, 48, 64),
  }),
  streaming: fc.constantFrom<Streaming>('always', 'always', 'reading'),
  sweeping: fc.constantFrom<Sweeping>('auto', 'always', 'never', 1),
});
const runs = Number(process.env.MLBTC_RANDOM_SCORES ?? 0);
const seed = Number(process.env.MLBTC_RANDOM_SEED ?? 20_261_128);

test.skipIf(!hasTensorCores(opened.target) || runs === 0)(
  `${runs} random scores, seed ${seed}`,
  { timeout: 1_800_000 },
  async () => {
    let suited = 0;
    const all: string[] = [];
    for (const { score, ...options } of fc.sample(held, { numRuns: runs, seed })) {
      const { wrong, streams } = await hold({ ...score, options });
      if (streams > 0) suited += 1;
      all.push(...wrong.map((line) => `${line} of\n${score.text}\n${JSON.stringify({ ...score.sizes, ...options })}`));
    }
    expect(all).toEqual([]);
    expect(suited / runs).toBeGreaterThan(0.2);
  },
);
