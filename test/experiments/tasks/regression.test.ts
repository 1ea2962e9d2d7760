import { describe, expect, test } from 'vitest';
import { drawNormal } from '../../../compiler/ir/philox.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { dimsInput, drawnPrompts, type Pool, streams } from '../../../experiments/tasks/regression.ts';
import { deviceRunners } from '../../../experiments/training/device-runner.ts';
import { interpreterRunner, type MakeRunner } from '../../../experiments/training/runner.ts';
import { testDevice } from '../../support/device.ts';

const shape = { batch: 3, points: 5, nDims: 4 };
const opened = await testDevice();

async function prompts(make: MakeRunner, step: number, pool?: Pool) {
  const tensors = drawnPrompts(shape, streams.train, pool);
  const program: Program = { tensors, outputs: ['xs', 'ys'], updates: [] };
  expect(verify(program)).toEqual([]);
  const runner = await make(program);
  runner.upload('seed', new Int32Array([17]));
  runner.upload('dims', dimsInput(3));
  const names = new Set(tensors.map(({ name }) => name));
  if (names.has('step')) runner.upload('step', new Int32Array([step]));
  if (names.has('example')) runner.upload('example', new Int32Array([8, 2, 8]));
  if (names.has('task')) runner.upload('task', new Int32Array([1, 0, 1]));
  runner.run();
  const found = await runner.download('xs', 'ys');
  runner.destroy();
  return { xs: Float64Array.from(found.get('xs') ?? []), ys: Float64Array.from(found.get('ys') ?? []) };
}

describe('prompts', () => {
  test.each([undefined, { examples: true, tasks: false }, { examples: true, tasks: true }])('pool %j', async (pool) => {
    // A step beyond 2^24 would lose bits as a float32.
    const step = 2 ** 24 + 1;
    const want = await prompts(interpreterRunner, step, pool);
    const have = await prompts(deviceRunners(opened), step, pool);
    for (const [i, x] of want.xs.entries()) expect(have.xs[i]).toBeCloseTo(x, 5);
    for (const [i, y] of want.ys.entries()) expect(have.ys[i]).toBeCloseTo(y, 5);
  });

  test('coordinates beyond `dims` are 0, and y is x · w', async () => {
    const { xs, ys } = await prompts(interpreterRunner, 3);
    const weights = Array.from({ length: 12 }, (_, e) => drawNormal(17, streams.train.w, 3, e));
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
