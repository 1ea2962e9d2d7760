import { describe, expect, test } from 'vitest';
import { drawNormal } from '../../../compiler/ir/philox.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { dimsInput, drawnPrompts, type Pool, streams, type TaskFile } from '../../../experiments/tasks/prompts.ts';
import { taskNames } from '../../../experiments/tasks/tasks.ts';
import { deviceRunners } from '../../../experiments/training/device-runner.ts';
import { interpreterRunner, type MakeRunner } from '../../../experiments/training/runner.ts';
import { testDevice } from '../../support/device.ts';

const shape = { batch: 3, points: 5, nDims: 4 };
const linear: TaskFile = { file: 'linear_regression', sizes: {} };
const opened = await testDevice();

async function prompts(make: MakeRunner, step: number, pool?: Pool, task = linear, more: readonly string[] = []) {
  const tensors = drawnPrompts(shape, streams.train, task, pool === undefined ? {} : { pool });
  const outputs = ['xs', 'ys', ...more];
  const program: Program = { tensors, outputs, updates: [] };
  expect(verify(program)).toEqual([]);
  const runner = await make(program);
  runner.upload('seed', new Int32Array([17]));
  runner.upload('dims', dimsInput(3));
  const names = new Set(tensors.map(({ name }) => name));
  if (names.has('step')) runner.upload('step', new Int32Array([step]));
  if (names.has('example')) runner.upload('example', new Int32Array([8, 2, 8]));
  if (names.has('task')) runner.upload('task', new Int32Array([1, 0, 1]));
  runner.run();
  const found = await runner.download(...outputs);
  runner.destroy();
  return Object.fromEntries(outputs.map((name) => [name, Float64Array.from(found.get(name) ?? [])]));
}

describe('prompts', () => {
  const pools = [undefined, { examples: true, tasks: false }, { examples: true, tasks: true }];
  const cases = pools.flatMap((pool) => taskNames.map((file) => ({ pool, file })));

  test.each(cases)('$file on the device is what the interpreter draws, pool $pool', async ({ pool, file }) => {
    // A step beyond 2^24 would lose bits as a float32.
    const step = 2 ** 24 + 1;
    const task: TaskFile = { file, sizes: file === 'relu_2nn_regression' ? { hidden_layer_size: 5 } : {} };
    const want = await prompts(interpreterRunner, step, pool, task);
    const have = await prompts(deviceRunners(opened), step, pool, task);
    for (const [i, x] of want.xs.entries()) expect(have.xs[i]).toBeCloseTo(x, 5);
    for (const [i, y] of want.ys.entries()) expect(have.ys[i]).toBeCloseTo(y, 5);
  });

  test('coordinates beyond `dims` are 0, and y is x · w', async () => {
    const { xs, ys } = await prompts(interpreterRunner, 3);
    const weights = Array.from({ length: 12 }, (_, e) => drawNormal(17, streams.train.task, 3, e));
    for (let n = 0; n < 3; n += 1) {
      for (let p = 0; p < 5; p += 1) {
        const x = xs.subarray((n * 5 + p) * 4, (n * 5 + p + 1) * 4);
        expect(x[3]).toBe(0);
        expect(ys[n * 5 + p]).toBeCloseTo(
          x.reduce((sum, value, j) => sum + value * weights[n * 4 + j], 0),
          12,
        );
      }
    }
  });

  test('the same prompt of a pool is the same prompt; steps and streams differ', async () => {
    const { xs } = await prompts(interpreterRunner, 3, { examples: true, tasks: false });
    expect([...xs.subarray(0, 20)]).toEqual([...xs.subarray(40, 60)]);
    expect([...xs.subarray(0, 20)]).not.toEqual([...xs.subarray(20, 40)]);
    expect([...(await prompts(interpreterRunner, 4)).xs]).not.toEqual([...(await prompts(interpreterRunner, 3)).xs]);
  });
});

/** A task's answers from its draws, point by point, in the plainest way. */
const answers: Readonly<
  Record<
    string,
    { sizes: TaskFile['sizes']; draws: readonly string[]; answer: (x: number[], draws: number[][]) => number }
  >
> = {
  linear_regression: { sizes: {}, draws: ['w'], answer: (x, [w]) => dot(w, x) },
  linear_classification: { sizes: {}, draws: ['w'], answer: (x, [w]) => (dot(w, x) > 0 ? 1 : -1) },
  sparse_linear_regression: {
    sizes: { sparsity: 2 },
    draws: ['w', 'order'],
    // Two of the three coordinates in use.
    answer: (x, [w, order]) => {
      const kept = [0, 1, 2].sort((a, b) => order[a] - order[b]).slice(0, 2);
      return kept.reduce((sum, j) => sum + w[j] * x[j], 0);
    },
  },
  relu_2nn_regression: {
    sizes: { hidden_layer_size: 5 },
    draws: ['W1', 'w2'],
    answer: (x, [W1, w2]) =>
      Math.sqrt(2 / 5) *
      w2.reduce(
        (sum, w, f) =>
          sum +
          w *
            Math.max(
              0,
              dot(
                [0, 1, 2, 3].map((j) => W1[j * 5 + f]),
                x,
              ),
            ),
        0,
      ),
  },
  decision_tree: {
    sizes: { depth: 3 },
    draws: ['order', 'leaf'],
    // The reference's walk through the array of nodes.
    answer: (x, [order, leaf]) => {
      let node = 0;
      for (let level = 0; level < 3; level += 1) {
        const numbers = order.slice(node * 4, node * 4 + 3);
        node = 2 * node + 1 + (x[numbers.indexOf(Math.max(...numbers))] > 0 ? 1 : 0);
      }
      return leaf[node - 7];
    },
  },
};

test.each(taskNames)('%s: the answers of the equations are those of its definition', async (file) => {
  const { sizes, draws, answer } = answers[file];
  const names = draws.map((name) => `task.${name}`);
  const found = await prompts(interpreterRunner, 9, undefined, { file, sizes }, names);
  let distinct = 0;
  for (let n = 0; n < shape.batch; n += 1) {
    const own = names.map((name) => rowOf(found[name], shape.batch, n));
    const xs = rowOf(found.xs, shape.batch, n);
    const ys = rowOf(found.ys, shape.batch, n);
    distinct += new Set(ys).size;
    for (const [p, y] of ys.entries()) expect(y).toBeCloseTo(answer(xs.slice(4 * p, 4 * p + 4), own), 12);
  }
  expect(distinct).toBeGreaterThan(3);
});

function rowOf(values: Float64Array, rows: number, n: number): number[] {
  const length = values.length / rows;
  return [...values.subarray(n * length, (n + 1) * length)];
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}
