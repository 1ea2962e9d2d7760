/** Where the memory of a step goes: parts that add up to what its buffers take, tensors by name, held to closed forms. */
import { describe, expect, test } from 'vitest';
import { add, affine, axisIndex, scale } from '../../../compiler/ir/affine.ts';
import { computed, input, program } from '../../../compiler/ir/build.ts';
import { pointwise } from '../../../compiler/ir/equation.ts';
import { load, unary } from '../../../compiler/ir/expression.ts';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { splitOf } from '../../../experiments/data/token-data.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { dryRun } from '../../../experiments/training/dry-run.ts';
import { dryRunLines } from '../../../experiments/training/dry-run-text.ts';
import { iclDryStep } from '../../../experiments/training/icl-task.ts';
import { lmDryStep } from '../../../experiments/training/lm-task.ts';
import { memoryMap } from '../../../experiments/training/memory-map.ts';
import { planOf } from '../../../experiments/training/plans.ts';
import { portableTarget, type Target } from '../../../kernels/target.ts';
import { h100 } from '../../support/h100-target.ts';

const [batch, length, width, heads, layers] = [8, 64, 32, 2, 3];

function lm(...words: string[]) {
  const shape = [`--d_model=${width}`, `--n_head=${heads}`, `--n_layer=${layers}`, `--block_size=${length}`];
  const { options, sizes } = resolveLm([...shape, `--batch_size=${batch}`, ...words]);
  return lmDryStep(options, scoreOf(options, sizes), {
    vocabulary: 8,
    train: splitOf(new Uint8Array(1000), undefined),
  });
}

function icl(...words: string[]) {
  const { options, sizes } = resolveIcl([
    ...['--token_mixing_struct=low_rank', '--n_dims=4', `--d_model=${width}`, `--n_head=${heads}`],
    ...words,
  ]);
  return iclDryStep(options, scoreOf(options, sizes));
}

const steps = {
  'a language model': lm('--gradient_accumulation_steps=1'),
  'steps of several batches': lm('--gradient_accumulation_steps=2'),
  'a step within less memory': lm('--gradient_accumulation_steps=1', '--memory=5MiB'),
  'learning in context': icl('--n_layer=2'),
};

const cpu: Target = { ...portableTarget, name: 'cpu', class: 'cpu' };

describe.each(Object.entries(steps))('%s', (_, step) => {
  test.each([portableTarget, cpu, h100].map((target) => [target.name, target] as const))('on %s', (_, target) => {
    const { bytes, memory } = dryRun(step, target);
    const { params, optimizer, gradients, kept, temporary, gaps, data } = bytes;
    expect(params + optimizer + gradients + kept + temporary + gaps + data).toBe(bytes.peak);
    expect(Math.min(kept, temporary, gaps)).toBeGreaterThanOrEqual(0);
    // No tensor has a neighbour of more than its own size that it cannot use: gaps stay below what is live.
    expect(gaps).toBeLessThan(kept + temporary);
    const live = step.parts.map(({ program }) => memoryMap(planOf(program, target)));
    const largest = Math.max(...live.map(({ keptBytes, temporaryBytes }) => keptBytes + temporaryBytes));
    expect(memory.residents.reduce((sum, row) => sum + row.bytes, 0)).toBe(largest);
    for (const { first, last } of memory.residents) {
      expect(first).toBeLessThanOrEqual(memory.peak.kernel);
      expect(last).toBeGreaterThanOrEqual(memory.peak.kernel);
    }
  });
});

test('params have moments and gradients of their size; a sum over batches is one more', () => {
  const [one, two] = [steps['a language model'], steps['steps of several batches']].map(
    (step) => dryRun(step, portableTarget).bytes,
  );
  expect(one.optimizer).toBe(2 * one.params + 4);
  expect(one.gradients).toBe(one.params);
  expect(two.optimizer).toBe(one.optimizer);
  // Gradients of a batch, their sum, their mean, and the sum of the losses.
  expect(two.gradients + two.temporary + two.kept).toBeGreaterThanOrEqual(2 * one.params + 4);
});

describe('tensors by name', () => {
  const report = dryRun(steps['a language model'], portableTarget);
  const rowOf = (name: string) => report.memory.residents.find((row) => row.name === name);

  test('those of several layers together, with what they take', () => {
    const q = rowOf('body.block.*.attn.q');
    expect(q).toMatchObject({ tensors: layers, shape: [batch, heads, length, width / heads], use: 'kept' });
    expect(q?.bytes).toBe(4 * layers * batch * length * width);
    expect(rowOf('embedding')).toMatchObject({ tensors: 1, bytes: 4 * batch * length * width, use: 'kept' });
  });

  test('what no memory holds, with what it would take', () => {
    const { unstored } = dryRun(lm('--gradient_accumulation_steps=1', '--block_size=512'), h100).memory;
    expect(unstored.find(({ name }) => name === 'body.block.*.attn.S')).toEqual({
      name: 'body.block.*.attn.S',
      tensors: layers,
      shape: [batch, heads, 512, 512],
      bytes: 4 * layers * batch * heads * 512 ** 2,
      place: 'tile',
    });
  });

  test('what is made again, and then not kept', () => {
    const { memory, recomputed } = dryRun(steps['a step within less memory'], portableTarget);
    expect(report.memory.remade).toEqual([]);
    expect(memory.remade.reduce((sum, { tensors }) => sum + tensors, 0)).toBe(recomputed.tensors);
    expect(memory.remade.length).toBeGreaterThan(0);
    for (const { name, tensors } of memory.remade) {
      const kept = memory.residents.find((row) => row.name === name)?.tensors ?? 0;
      expect(kept, name).toBeLessThanOrEqual(layers - tensors + 1);
    }
  });
});

test('a chain: two tensors are live at once, and nothing lies between them', () => {
  const axes = [{ name: 'i', extent: 4096 }];
  const turned = (name: string) => load(name, [add(scale(axisIndex(0), -1), affine(4095))]);
  const tensors = ['a', 'b', 'c', 'd'].map((name, n) =>
    computed(name, [4096], [pointwise(axes, unary('sin', turned(['x', 'a', 'b', 'c'][n])))]),
  );
  const plan = schedule(program([input('x', [4096]), ...tensors], ['d']), { target: cpu });
  const map = memoryMap(plan);
  expect(map.peak).toEqual({ kernel: 1, kernels: 4, makes: ['b'] });
  expect(map.residents.map(({ tensor, first, last }) => [tensor, first, last])).toEqual([
    ['a', 0, 1],
    ['b', 1, 2],
  ]);
  expect([map.keptBytes, map.temporaryBytes, map.gapBytes]).toEqual([0, 2 * 4 * 4096, 0]);
});

describe('the report', () => {
  const lines = (words: readonly string[], target: Target): readonly string[] =>
    dryRunLines(dryRun(lm('--gradient_accumulation_steps=1', ...words), target));

  test('in few lines of a terminal, shares of the whole among them', () => {
    const text = lines([], portableTarget);
    expect(text.length).toBeLessThan(45);
    expect(Math.max(...text.map((line) => [...line].length))).toBeLessThanOrEqual(100);
    const shares = text.flatMap((line) => /^ {2}[a-z]+ +\S+ \S+ +(\d+) %/.exec(line)?.[1] ?? []).map(Number);
    expect(shares.length).toBe(7);
    expect(Math.abs(shares.reduce((a, b) => a + b) - 100)).toBeLessThanOrEqual(4);
    expect(text.join('\n')).toMatch(
      /\npeak: dispatch \d+ of \d+, which makes .*; live there\n +size +shape +tensor +use +dispatches\n/,
    );
  });

  test('says what helps', () => {
    expect(lines([], portableTarget)).toContain(
      '  a smaller batch or shorter sequences take less; --memory computes again what is kept',
    );
    expect(lines(['--batch_size=1', '--block_size=2', '--d_model=256'], portableTarget)).toContain(
      '  half of it and more goes with the size of the model: fewer or narrower layers take less',
    );
  });
});
