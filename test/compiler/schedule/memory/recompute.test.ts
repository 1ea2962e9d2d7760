/**
 * A plan that keeps to a budget has the values of one without: every score forward and backward, random towers with their gradients,
 * on the device against the interpreter, at the least memory that there is and half way to it.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { planBytes } from '../../../../compiler/schedule/plan.ts';
import type { ScheduleOptions } from '../../../../compiler/schedule/schedule.ts';
import { model, scores } from '../../../support/attention-models.ts';
import { cutQuads } from '../../../support/cut-quads.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { memoryRange } from '../../../support/least-memory.ts';
import { lowered } from '../../../support/lowered.ts';
import { withinRounding } from '../../../support/within-rounding.ts';

const opened = await testDevice();
const gpu = { ...opened.target, class: 'gpu' as const };
const cpu = { ...opened.target, class: 'cpu' as const };
/** Small tiles without barriers: the test takes a software device a quarter of the time, and how products are computed is not at issue. */
const override = {
  contraction: { form: 'lanes', tileM: 4, tileN: 4, tileK: 1, rows: 4, columns: 4 },
  stream: { threadRows: 2, threadColumns: 2, rowQuads: 1, depth: 4 },
} as const;
const smallTile = { form: 'tiled', tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 } as const;

/** The least, and the middle between it and all that is taken without a budget. */
function budgets(p: Program, options: ScheduleOptions): readonly number[] {
  const { least, plain } = memoryRange(p, options);
  return least === plain ? [] : [least, Math.floor((least + plain) / 2)];
}

describe('a budget changes no value', () => {
  const forms: Readonly<Record<string, ScheduleOptions>> = {
    'tensors stored': { target: cpu },
    // As a GPU's rules choose them, tiled and with barriers, but in small tiles, which a software device compiles in two thirds of the time.
    combined: { target: gpu, override: { contraction: smallTile } },
    'few bindings': { target: { ...gpu, limits: { ...gpu.limits, maxStorageBuffersPerShaderStage: 8 } }, override },
    streams: { target: gpu, streaming: 'always', override },
  };
  const named = Object.entries(forms);
  for (const [n, [name, [text]]] of Object.entries(scores).entries()) {
    // Each score in streams and in one of the other forms.
    for (const [form, options] of [named[n % 3], named[3]]) {
      test(`${name}, ${form}`, async () => {
        const p = compileProgram(lowered(model(text), { B: 3, T: 18 }), { target: gpu, gradients: true }).program;
        const held = withinRounding(opened, p, feed(p));
        expect((await held(options)).recomputed.tensors).toEqual([]);
        const within = budgets(p, options);
        expect(within).not.toEqual([]);
        for (const memoryBytes of within) {
          const plan = await held({ ...options, memoryBytes });
          expect(planBytes(plan)).toBeLessThanOrEqual(memoryBytes);
          expect(plan.recomputed.tensors).not.toEqual([]);
          expect(cutQuads(plan)).toEqual([]);
        }
      });
    }
  }
});

/** Steps of a tower: from the step before, and one of those before that. */
const steps: readonly ((l: number, before: string, other: string) => string)[] = [
  (l, x) => `h${l}[b, t, i] = gelu(${x}[b, t, i])`,
  (l, x) => `param W${l}[i, j] ~ normal(fan_in = j)  h${l}[b, t, i] = W${l}[i, j] * ${x}[b, t, j]`,
  (l, x) => `param g${l}[i] ~ ones  h${l}[b, t, i] = layernorm[i](${x}[b, t, i], g${l}[i])`,
  (l, x, y) => `h${l}[b, t, i] = ${x}[b, t, i] + ${y}[b, t, i]`,
  (l, x, y) => `h${l}[b, t, i] = ${x}[b, t, i] * sigmoid(${y}[b, t, i])`,
  (l, x, y) =>
    `S${l}[b, t, u] = ${x}[b, t, i] * ${y}[b, u, i] / sqrt(D)  A${l}[b, t, u] = softmax[u](S${l}[b, t, u] where u <= t)
     h${l}[b, t, i] = A${l}[b, t, u] * ${x}[b, u, i]`,
];

const tower = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 4, maxLength: 12 }).map((drawn) => {
  const names = ['x', ...drawn.map((_, l) => `h${l}`)];
  const lines = drawn.map(([kind, other], l) => steps[kind % steps.length](l, names[l], names[other % (l + 1)]));
  return `structure Tower {
    size D = 8, T = 16
    axis b: B, t, u: T, i, j: D
    input x[b, t, i]
    ${lines.join('\n    ')}
    output ${names.at(-1)}
  }`;
});

const usual = { runs: 5, seed: 20_261_126 };
const runs = Number(process.env.MLBTC_RANDOM_PROGRAMS ?? usual.runs);
const seed = Number(process.env.MLBTC_RANDOM_SEED ?? usual.seed);
let withBudget = 0;

async function hold(text: string): Promise<void> {
  const p = compileProgram(lowered(text, { B: 3 }), { target: gpu, gradients: true }).program;
  const held = withinRounding(opened, p, feed(p), `in\n${text}`);
  opened.pipelines.clear();
  for (const options of [
    { target: gpu, override },
    { target: cpu, fuse: false },
  ] satisfies ScheduleOptions[]) {
    for (const memoryBytes of budgets(p, options)) {
      const plan = await held({ ...options, memoryBytes });
      withBudget += 1;
      expect(planBytes(plan), text).toBeLessThanOrEqual(memoryBytes);
    }
  }
}

test(`${runs} random towers with gradients, seed ${seed}`, { timeout: 1_800_000 }, async () => {
  await fc.assert(fc.asyncProperty(tower, hold), {
    numRuns: runs,
    seed,
    ...(process.env.MLBTC_SHRINK ? {} : { endOnFailure: true }),
  });
  if (runs > 0) expect(withBudget / runs, 'budgets a tower').toBeGreaterThan(2);
});
