import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { bytesText } from '../../compiler/command-line/amounts.ts';
import { MachineError } from '../../compiler/command-line/errors.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import type { ExecutableKernel, ExecutablePlan } from '../../runtime/executable-plan.ts';
import { createExecutor, type Executor } from '../../runtime/executor.ts';
import { KernelError } from '../../runtime/pipelines.ts';
import { checkPlan } from '../../runtime/plan-checks.ts';
import { testWithSwiftShader } from '../support/bundled.ts';
import { testDevice } from '../support/device.ts';

let opened: OpenedDevice;
const executors: Executor[] = [];
beforeAll(async () => {
  opened = await testDevice();
});
afterEach(() => {
  for (const executor of executors.splice(0)) executor.destroy();
});

async function executorOf(plan: ExecutablePlan, shared?: ReadonlyMap<string, GPUBuffer>): Promise<Executor> {
  const executor = await createExecutor(opened, plan, { shared });
  executors.push(executor);
  return executor;
}

const addOne = (key = 'add one'): ExecutableKernel => ({
  label: 'y = x + 1',
  key,
  entryPoint: 'main',
  wgsl: `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&y)) { y[id.x] = x[id.x] + 1.0; }
}`,
  bindings: [
    { buffer: 'x', offsetBytes: 0, sizeBytes: 24, access: 'read' },
    { buffer: 'y', offsetBytes: 0, sizeBytes: 24, access: 'read_write' },
  ],
  workgroups: [2, 1, 1],
});

const addToSum: ExecutableKernel = {
  label: 'sum += y',
  key: 'sum',
  entryPoint: 'accumulate',
  wgsl: `@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
@compute @workgroup_size(1) fn accumulate() { for (var i = 0u; i < 6u; i += 1u) { sum[0] += y[i]; } }`,
  bindings: [
    { buffer: 'y', offsetBytes: 0, sizeBytes: 24, access: 'read' },
    { buffer: 'sum', offsetBytes: 0, sizeBytes: 4, access: 'read_write' },
  ],
  workgroups: [1, 1, 1],
};

const plan: ExecutablePlan = {
  buffers: [
    { id: 'x', sizeBytes: 24 },
    { id: 'y', sizeBytes: 24 },
    { id: 'sum', sizeBytes: 4 },
    { id: 'mixed', sizeBytes: 32 },
  ],
  kernels: [addOne(), addToSum],
  tensors: {
    x: { buffer: 'x', offsetBytes: 0, dtype: 'f32', shape: [2, 3] },
    y: { buffer: 'y', offsetBytes: 0, dtype: 'f32', shape: [2, 3] },
    sum: { buffer: 'sum', offsetBytes: 0, dtype: 'f32', shape: [] },
    halves: { buffer: 'mixed', offsetBytes: 0, dtype: 'f16', shape: [3] },
    ints: { buffer: 'mixed', offsetBytes: 8, dtype: 'i32', shape: [2] },
  },
};

describe('a run', () => {
  test('computes from what was uploaded, in the order of the kernels, on buffers that began as zeros', async () => {
    const executor = await executorOf(plan);
    executor.upload('x', Float32Array.of(1, 2, 3, 4, 5, 6));
    executor.run();
    const first = await executor.runAndRead('sum', 'y');
    expect([...(first.get('y') ?? [])]).toEqual([2, 3, 4, 5, 6, 7]);
    expect([...(first.get('sum') ?? [])]).toEqual([54]);
  });

  test('reads of several runs resolve to the value of their own run, although none was waited for', async () => {
    const executor = await executorOf(plan);
    const reads: Promise<ReadonlyMap<string, ArrayLike<number>>>[] = [];
    for (let step = 0; step < 10; step += 1) {
      executor.upload('x', new Float32Array(6).fill(step - 1));
      reads.push(executor.runAndRead('sum'));
      await executor.pace();
    }
    const sums = (await Promise.all(reads)).map((read) => read.get('sum')?.[0]);
    expect(sums).toEqual([0, 6, 18, 36, 60, 90, 126, 168, 216, 270]);
    await executor.finish();
  });

  test('profiles every kernel', async () => {
    const executor = await executorOf(plan);
    const timings = await executor.profile();
    expect(timings.map(({ label }) => label)).toEqual(['y = x + 1', 'sum += y']);
    for (const { timeUs } of timings) expect(timeUs).toBeGreaterThanOrEqual(0);
    expect([...((await executor.download('sum')).get('sum') ?? [])]).toEqual([6]);
  });

  test('goes on from the buffers of another executor', async () => {
    const first = await executorOf(plan);
    first.upload('x', new Float32Array(6).fill(1));
    first.run();
    const second = await executorOf(plan, new Map([['sum', first.buffers.get('sum') as GPUBuffer]]));
    second.upload('x', new Float32Array(6).fill(0));
    const read = await second.runAndRead('sum');
    expect(read.get('sum')?.[0]).toBe(18);
    second.destroy();
    expect((await first.download('sum')).get('sum')?.[0]).toBe(18);
  });

  test('runs nothing where there is nothing to run', async () => {
    const executor = await executorOf({ buffers: [], kernels: [], tensors: {} });
    executor.run();
    await executor.finish();
  });
});

describe('tensors', () => {
  test('of every dtype go up and come down, odd halves too', async () => {
    const executor = await executorOf(plan);
    executor.upload('halves', Float32Array.of(1, -2, 65504));
    executor.upload('ints', Int32Array.of(-1, 2 ** 31 - 1));
    executor.upload('x', Float64Array.of(1, 2, 3, 4, 5, 1 / 3));
    const read = await executor.download('halves', 'ints', 'x');
    expect(read.get('halves')).toEqual(Uint16Array.of(0x3c00, 0xc000, 0x7bff));
    expect(read.get('ints')).toEqual(Int32Array.of(-1, 2 ** 31 - 1));
    expect(read.get('x')?.[5]).toBe(Math.fround(1 / 3));
  });

  test('of the wrong size, dtype or name are refused', async () => {
    const executor = await executorOf(plan);
    expect(() => executor.upload('x', new Float32Array(5))).toThrow("tensor 'x' (2, 3) takes 6 elements, got 5");
    expect(() => executor.upload('ints', new Float32Array(2))).toThrow('is i32, a Float32Array does not go into it');
    expect(() => executor.upload('z', new Float32Array(5))).toThrow("the plan has no tensor 'z'");
  });
});

describe('pipelines', () => {
  test('are compiled once for a key, whatever the label', async () => {
    const before = opened.pipelines.size;
    const kernels = [addOne('one key'), { ...addOne('one key'), label: 'the same again' }, addOne('another key')];
    await executorOf({ ...plan, kernels });
    await executorOf({ ...plan, kernels });
    expect(opened.pipelines.size - before).toBe(2);
  });

  test('that do not compile say which kernel, which line and what', async () => {
    const broken = { ...addOne('broken'), wgsl: addOne().wgsl.replace('+ 1.0', '+ 1i') };
    const failure = createExecutor(opened, { ...plan, kernels: [broken] });
    await expect(failure).rejects.toThrow(KernelError);
    await expect(failure).rejects.toThrow("the kernel 'y = x + 1' does not compile: no matching overload");
    await expect(failure).rejects.toThrow(/line 4:\d+\n {2}\| {3}if \(id\.x < arrayLength\(&y\)\) \{ y\[id\.x\]/);
    opened.check();
  });

  test('whose entry point is missing say so, and can be mended under the same key', async () => {
    const broken = { ...addOne('mended'), entryPoint: 'other' };
    await expect(createExecutor(opened, { ...plan, kernels: [broken] })).rejects.toThrow(KernelError);
    const mended = await executorOf({ ...plan, kernels: [addOne('mended')] });
    mended.run();
    await mended.finish();
  });
});

describe('limits are checked before anything is made', () => {
  const limits = () => opened.target.limits;
  const refused = (change: Partial<ExecutablePlan>, deviceClass: 'cpu' | 'gpu' = 'gpu') => {
    expect(() => checkPlan({ ...plan, ...change }, limits(), deviceClass)).toThrow(MachineError);
    return expect(() => checkPlan({ ...plan, ...change }, limits(), deviceClass));
  };
  const withKernel = (change: Partial<ExecutableKernel>) => ({ kernels: [{ ...addOne(), ...change }] });

  test('a buffer, the whole memory, a binding, a grid', () => {
    const tooLarge = limits().maxBufferSize + 4;
    refused({ buffers: [{ id: 'big', sizeBytes: tooLarge }] }).toThrow("the buffer 'big' would take");
    const tensors = { 'S~sum': { buffer: 'big', offsetBytes: 0, dtype: 'f32' as const, shape: [8, 1024] } };
    refused({ buffers: [{ id: 'big', sizeBytes: tooLarge }], tensors }).toThrow(
      "an intermediate of 'S' of shape [8, 1024] would take",
    );
    const many = Array.from({ length: 4096 }, (_, i) => ({ id: `b${i}`, sizeBytes: 2 ** 28 }));
    refused({ buffers: many, kernels: [], tensors: {} }, 'cpu').toThrow('the run would take 1 TiB of memory');
    const grid = withKernel({ workgroups: [limits().maxComputeWorkgroupsPerDimension + 1, 1, 1] });
    refused(grid).toThrow("the kernel 'y = x + 1' needs a grid of");
    const bindings = Array.from({ length: limits().maxStorageBuffersPerShaderStage + 1 }, () => addOne().bindings[0]);
    refused(withKernel({ bindings })).toThrow('storage buffers, this device binds');
  });

  test('a plan that contradicts itself is an internal error', () => {
    const [read, write] = addOne().bindings;
    const wrong = (bindings: ExecutableKernel['bindings']) =>
      expect(() => checkPlan({ ...plan, ...withKernel({ bindings }) }, limits(), 'cpu'));
    wrong([{ ...read, sizeBytes: 28 }]).toThrow("binds bytes 0+28 of 'x', which are not there");
    wrong([{ ...read, offsetBytes: 4, sizeBytes: 4 }]).toThrow('not aligned');
    wrong([{ ...read, buffer: 'y' }, write]).toThrow('for reading and for writing at once');
  });

  test('sizes are told in units a person reads', () => {
    expect([0, 12, 1536, 2 ** 30, 1.5 * 2 ** 40, 300 * 2 ** 20].map(bytesText)).toEqual([
      '0 bytes',
      '12 bytes',
      '1.5 KiB',
      '1 GiB',
      '1.5 TiB',
      '300 MiB',
    ]);
  });
});

testWithSwiftShader('a device that is gone says so instead of the command that found out', async () => {
  const own = await openDevice({ name: 'swiftshader' });
  const executor = await createExecutor(own, plan);
  own.device.destroy();
  await expect(executor.runAndRead('sum')).rejects.toThrow(/was lost/);
  expect(() => executor.run()).toThrow(/was lost/);
  own.destroy();
});
