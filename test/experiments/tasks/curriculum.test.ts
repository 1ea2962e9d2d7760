import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { curriculumStages } from '../../../experiments/tasks/curriculum.ts';
import { biasCorrections, rateMultiplier } from '../../../experiments/training/learning-rate.ts';
import { phaseAt } from '../../../experiments/training/task.ts';

const { tables } = JSON.parse(readFileSync('test/golden/tables/case.json', 'utf8')) as {
  tables: {
    curriculum: { n_dims: number; train_steps: number; interval: number; changes: [number, number, number][] }[];
    lr_mult: { init_lr: number; min_lr: number; warmup: number; decay_iters: number; at: Record<string, number> }[];
  };
};

const settings = {
  nDims: 20,
  trainSteps: 500001,
  dimsStart: 4,
  pointsStart: 8,
  intervalSteps: 2000,
  increments: undefined,
  warmupRatio: 0.06,
};

describe('curriculum', () => {
  test.each(tables.curriculum)('golden: $n_dims dimensions', ({ n_dims, train_steps, interval, changes }) => {
    const stages = curriculumStages({ ...settings, nDims: n_dims, trainSteps: train_steps, intervalSteps: interval });
    expect(stages.map(({ step, dims, points }) => [step, dims, points])).toEqual(changes);
  });

  /** The oracle's loop, word for word. */
  function oracle(nDims: number, trainSteps: number, interval: number, ratio: number, start: number): string[] {
    const updates = Math.max(1, Math.floor((ratio * trainSteps) / interval));
    const inc = Math.max(1, Math.ceil((nDims - start) / updates));
    let [dims, points] = [start, 8];
    const seen: string[] = [];
    for (let step = 1; step <= trainSteps; step += 1) {
      seen.push(`${dims} ${points}`);
      const bump = step % interval === 0 ? 1 : 0;
      [dims, points] = [Math.min(dims + inc * bump, nDims), Math.min(points + 2 * inc * bump, 2 * nDims)];
    }
    return seen;
  }

  test.each([
    [3, 50, 10, 0.5, 4],
    [7, 64, 1, 0.2, 4],
    [5, 40, 3, 0.9, 4],
    [12, 100, 7, 0.06, 2],
    [4, 10, 20, 0.06, 4],
  ])('every step of n_dims %i, %i steps, interval %i', (nDims, trainSteps, intervalSteps, warmupRatio, dimsStart) => {
    const stages = curriculumStages({ ...settings, nDims, trainSteps, intervalSteps, warmupRatio, dimsStart });
    const ours = Array.from({ length: trainSteps }, (_, step) => {
      const { dims, points } = phaseAt(stages, step);
      return `${dims} ${points}`;
    });
    expect(ours).toEqual(oracle(nDims, trainSteps, intervalSteps, warmupRatio, dimsStart));
  });

  test('given increments hold', () => {
    const stages = curriculumStages({ ...settings, nDims: 10, increments: { dims: 3, points: 5 }, trainSteps: 9000 });
    expect(stages.map(({ dims, points }) => [dims, points])).toEqual([
      [4, 8],
      [7, 13],
      [10, 18],
      [10, 20],
    ]);
  });
});

describe('learning rate', () => {
  test.each(tables.lr_mult)('golden: warm-up $warmup', ({ init_lr, min_lr, warmup, decay_iters, at }) => {
    const schedule = { warmup, decaySteps: decay_iters, floor: min_lr / init_lr };
    for (const [step, expected] of Object.entries(at)) {
      expect(rateMultiplier(Number(step), schedule)).toBeCloseTo(expected, 12);
    }
  });

  test('bias corrections of the first step undo the moments’ start at zero', () => {
    const { first, rootSecond } = biasCorrections(1, 0.9, 0.95);
    expect(first * 0.1).toBeCloseTo(1, 12);
    expect(rootSecond ** 2 * 0.05).toBeCloseTo(1, 12);
  });
});
