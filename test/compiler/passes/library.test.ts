/** Every shared structure through the front end: what the passes promise of it, with and without gradients. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { multiplyAdds } from '../../../compiler/analysis/cost.ts';
import { analyse as report } from '../../../compiler/analysis/report.ts';
import { printProgram } from '../../../compiler/ir/print.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { differentiate } from '../../../compiler/passes/differentiate/differentiate.ts';
import { optimise, optimiseDerivatives } from '../../../compiler/passes/pipeline.ts';
import { analyse } from '../../../compiler/semantics/analyse.ts';
import type { SizeValue } from '../../../compiler/semantics/model.ts';
import { expectSameOutputs, randomInputs } from './agree.ts';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../structures');

function lower(name: string, sizes: Readonly<Record<string, SizeValue>>): Program {
  const read = (file: string) => ({ file, text: readFileSync(join(folder, file), 'utf8') });
  const { program, diagnostics } = analyse({
    source: read(`${name}.mlbtc`),
    sizes,
    resolve: (path) => read(path.endsWith('.mlbtc') ? path : `${path}.mlbtc`),
    unbound: 'refuse',
  });
  expect(diagnostics).toEqual([]);
  return program as Program;
}

function withGradients(program: Program): Program {
  const wrt = program.tensors.filter((t) => t.source.kind === 'input' || t.source.kind === 'param').map((t) => t.name);
  return differentiate(program, { seeds: Object.fromEntries(program.outputs.map((name) => [name, 'input'])), wrt });
}

function largestComputed(program: Program): number {
  const computed = program.tensors.filter((tensor) => tensor.source.kind === 'computed');
  return Math.max(...computed.map((tensor) => elementCount(tensor.shape)));
}

interface Matrix {
  readonly name: string;
  readonly sizes: Readonly<Record<string, SizeValue>>;
  readonly D: number;
  readonly perRow: number;
  readonly rank: number;
}

/** At sizes where everything matters and the interpreter is quick. */
const matrices: readonly Matrix[] = [
  { name: 'dense', sizes: { I: 64, O: 64, B: 3 }, D: 64, perRow: 4096, rank: 64 },
  { name: 'low_rank', sizes: { D: 64, rank: 8, B: 3 }, D: 64, perRow: 2 * 64 * 8, rank: 8 },
  { name: 'kronecker', sizes: { N: 3 }, D: 64, perRow: 2 * 8 ** 3, rank: 64 },
  { name: 'btt', sizes: { D: 64, s: 1, N: 3 }, D: 64, perRow: 64 * 20, rank: 64 },
  { name: 'btt', sizes: { D: 64, s: 2, N: 3 }, D: 64, perRow: 2 * 64 * 20, rank: 64 },
  { name: 'monarch', sizes: { D: 64, N: 3 }, D: 64, perRow: 64 * 20, rank: 64 },
  { name: 'mlr', sizes: { D: 64, ranks: [4, 2, 1], B: 3 }, D: 64, perRow: 2 * 64 * 7, rank: 4 + 2 * 2 + 4 },
  { name: 'mlbtc', sizes: { N: 3 }, D: 64, perRow: 64 * 16 + 64 * 8 + 64 * 6, rank: 64 },
  { name: 'tensor_train', sizes: { N: 3 }, D: 64, perRow: 4 ** 4 * (2 + 4 + 2), rank: 64 },
  { name: 'butterfly', sizes: { N: 3 }, D: 64, perRow: 64 * 2 * 6, rank: 64 },
];

describe.each(matrices)('$name $sizes', ({ name, sizes, D, perRow, rank }) => {
  const written = lower(name, sizes);
  const inlined = optimise(written, { disabled: new Set(['order']) });
  const forward = optimise(written);
  const both = optimiseDerivatives(withGradients(forward));

  test('costs', () => {
    const explained = report({ written, inlined, optimised: forward });
    expect(explained.multiplyAdds, printProgram(forward)).toBe(3 * perRow);
    expect(explained.multiplyAdds).toBeLessThanOrEqual(explained.leftToRightMultiplyAdds);
    expect(explained.denseMultiplyAdds).toBe(3 * D * D);
    expect(explained.rankBound).toBe(rank);
    expect(JSON.parse(JSON.stringify(explained))).toEqual(explained);
  });

  test('with gradients at most three times as much, and never formed', () => {
    expect(multiplyAdds(both), printProgram(both)).toBeLessThanOrEqual(3 * multiplyAdds(forward));
    if (name !== 'dense') expect(largestComputed(both), printProgram(both)).toBeLessThan(D * D);
  });

  test('same values, same gradients', () => {
    expect(verify(both)).toEqual([]);
    expectSameOutputs(withGradients(written), both, randomInputs(both, 11));
  });
});

describe('one row', () => {
  test.each([
    [256, 10_240],
    [4096, 655_360],
  ])('BTT at D = %i takes %i multiply-adds', (D, expected) => {
    const forward = optimise(lower('btt', { D, s: 1, N: 1 }));
    const both = optimiseDerivatives(withGradients(forward));
    expect(multiplyAdds(forward)).toBe(expected);
    expect(multiplyAdds(both)).toBeLessThanOrEqual(3 * expected);
    expect(largestComputed(both)).toBeLessThan(D * D);
  });
});

const B = 2;
const T = 6;
const H = 2;
const D = 16;

interface Scores {
  readonly name: string;
  readonly sizes: Readonly<Record<string, SizeValue>>;
  /** Elements that decoding keeps for each token. */
  readonly cached: number;
  readonly ranks: readonly number[];
}

const scores: readonly Scores[] = [
  { name: 'attention', sizes: { D, H, B, T }, cached: D, ranks: [6] },
  { name: 'sliding_window', sizes: { D, H, B, T, w: 2 }, cached: D, ranks: [6] },
  { name: 'global_sliding_window', sizes: { D, H, B, T, w: 2, global: 5, local: 3 }, cached: D, ranks: [5, 3] },
  { name: 'mlr_attention', sizes: { D, H, B, T, ranks: [5, 3] }, cached: D, ranks: [6] },
  { name: 'bilinear_btt', sizes: { D, H, N: B, T, s: 1 }, cached: H * D, ranks: [6] },
  { name: 'bilinear_mlr', sizes: { D, H, B, T, ranks: [2, 3, 3] }, cached: H * (2 + 6 + 12), ranks: [6] },
];

describe.each(scores)('$name', ({ name, sizes, cached, ranks }) => {
  const written = lower(name, sizes);
  const forward = optimise(written);

  test('ranks and cache', () => {
    const explained = report({ written, inlined: written, optimised: forward });
    expect(
      explained.scoreRanks.map((score) => score.rankBound),
      printProgram(forward),
    ).toEqual(ranks);
    expect(explained.cacheBytes, JSON.stringify(explained.cached)).toBe(4 * cached);
  });

  test('same values, same gradients', () => {
    const both = optimiseDerivatives(withGradients(forward));
    expect(verify(both)).toEqual([]);
    expectSameOutputs(withGradients(written), both, randomInputs(both, 11));
    expect(multiplyAdds(forward)).toBeLessThanOrEqual(
      multiplyAdds(optimise(written, { disabled: new Set(['order']) })),
    );
  });
});
