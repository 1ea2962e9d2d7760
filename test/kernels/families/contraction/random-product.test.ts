/**
 * Random products through the forms of the contraction family, each through one half of them or the other; MLBTC_RANDOM_PRODUCTS and
 * MLBTC_RANDOM_SEED set how many and which.
 */
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { printProgram } from '../../../../compiler/ir/print.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import type { ScheduleOptions } from '../../../../compiler/schedule/schedule.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { randomProduct } from '../../../support/random-product.ts';
import { withinRounding } from '../../../support/within-rounding.ts';

const usual = { runs: 100, seed: 20_261_125 };
const runs = Number(process.env.MLBTC_RANDOM_PRODUCTS ?? usual.runs);
const seed = Number(process.env.MLBTC_RANDOM_SEED ?? usual.seed);

const opened = await testDevice();
const [cpu, gpu] = (['cpu', 'gpu'] as const).map((kind) => ({ ...opened.target, class: kind }));
const forms: Readonly<Record<string, ScheduleOptions>> = {
  tiled: {
    target: gpu!,
    contractAll: true,
    override: { contraction: { form: 'tiled', tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 } },
  },
  direct: {
    target: cpu!,
    contractAll: true,
    override: { contraction: { form: 'direct', tileM: 8, tileN: 8, tileK: 1, rows: 4, columns: 4 } },
  },
  ...(opened.features.includes('subgroups')
    ? {
        subgroup: {
          target: cpu!,
          contractAll: true,
          override: { contraction: { form: 'subgroup', tileM: 8, tileN: 16, tileK: 1, rows: 8, columns: 4 } },
        },
      }
    : {}),
  lanes: {
    target: cpu!,
    contractAll: true,
    override: { contraction: { form: 'lanes', tileM: 4, tileN: 4, tileK: 1, rows: 4, columns: 4 } },
  },
};

const hits = new Map<string, number>(
  [
    ...Object.keys(forms),
    ...['epilogue', 'rows', 'adds to what is there', 'addend', 'mask', 'quads of memory', 'loop'],
  ].map((what) => [what, 0]),
);
const count = (what: string): void => void hits.set(what, (hits.get(what) ?? 0) + 1);

async function hold(p: Program, half: number): Promise<void> {
  expect(verify(p), printProgram(p)).toEqual([]);
  const held = withinRounding(opened, p, feed(p), `in\n${printProgram(p)}`);
  opened.pipelines.clear();
  for (const options of Object.values(forms).filter((_, n) => n % 2 === half)) {
    const { kernels } = await held(options);
    for (const kernel of kernels) {
      if (kernel.family !== 'contraction') {
        count(kernel.family);
        continue;
      }
      count(String(kernel.tuning.form));
      if (kernel.makes.length > 1) count('epilogue');
      if (kernel.wgsl.includes('fn across_')) count('rows');
      if (kernel.wgsl.includes('_value += ')) count('adds to what is there');
      if (kernel.makes.length < kernel.equations.length) count('addend');
      if (kernel.equations[0].includes('where')) count('mask');
      if (kernel.wgsl.includes('array<vec4<f32>>;')) count('quads of memory');
    }
  }
}

test(`${runs} random products, seed ${seed}`, { timeout: 1_800_000 }, async () => {
  await fc.assert(fc.asyncProperty(randomProduct(), fc.nat(1), hold), {
    numRuns: runs,
    seed,
    endOnFailure: !process.env.MLBTC_SHRINK,
  });
});

afterAll(() => {
  const rows = [...hits].sort(([a], [b]) => a.localeCompare(b)).map(([what, n]) => `${String(n).padStart(6)}  ${what}`);
  console.info(`hits of ${runs} random products, seed ${seed}\n${rows.join('\n')}`);
  // Another seed or a shorter run cannot meet everything.
  if (seed === usual.seed && runs >= usual.runs) expect([...hits].filter(([, n]) => n === 0)).toEqual([]);
});
