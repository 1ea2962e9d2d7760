import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { MachineError } from '../../compiler/command-line/errors.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { unpackSwiftShader } from '../../runtime/swiftshader.ts';
import { testWithSwiftShader } from '../support/bundled.ts';
import { testDevice } from '../support/device.ts';

const scratch = mkdtempSync(join(tmpdir(), 'mlbtc-device-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Writes 2·i for i < 8 on a device and reads it back. */
async function doubled({ device }: OpenedDevice): Promise<number[]> {
  const code = `@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) { result[i] = 2.0 * f32(i); }`;
  const compute = { module: device.createShaderModule({ code }) };
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute });
  const result = device.createBuffer({ size: 32, usage: 0x80 | 0x04 });
  const staging = device.createBuffer({ size: 32, usage: 0x01 | 0x08 });
  const entries = [{ binding: 0, resource: { buffer: result } }];
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(result, staging, 32);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  return [...new Float32Array(staging.getMappedRange())];
}

describe('the ladder', () => {
  test('opens a device that computes, and derives a target from it', async () => {
    const opened = await testDevice();
    expect(await doubled(opened)).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
    expect(opened.target.class).toBe(opened.adapterInfo.isFallbackAdapter ? 'cpu' : 'gpu');
    expect(opened.target.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(opened.target.features).toEqual([...opened.device.features].sort());
  });

  testWithSwiftShader(
    'opens the bundled SwiftShader when asked, beside another device, and leaves the environment as it was',
    async () => {
      await testDevice();
      const before = { ...process.env };
      const opened = await openDevice({ name: 'swiftshader' });
      expect(opened.rung).toBe('bundled-swiftshader');
      expect(opened.target.subgroupSize).toEqual({ min: 4, max: 4 });
      expect(await doubled(opened)).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
      opened.destroy();
      opened.destroy();
      expect(process.env).toEqual(before);
    },
  );

  test('a name that nothing matches is a MachineError that lists what was tried', async () => {
    await expect(openDevice({ name: 'voodoo 3' })).rejects.toThrow(MachineError);
    await expect(openDevice({ name: 'voodoo 3' })).rejects.toThrow('no device matches --device voodoo 3');
  });

  testWithSwiftShader('compiles kernels with much workgroup memory on SwiftShader as fast as others', async () => {
    const opened = await openDevice({ name: 'swiftshader' });
    const code = `var<workgroup> scratch: array<vec4<f32>, 1024>;
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) { result[i] = scratch[1023u - i]; }`;
    const before = process.cpuUsage();
    const compute = { module: opened.device.createShaderModule({ code }), entryPoint: 'main' };
    await opened.guard(opened.device.createComputePipelineAsync({ layout: 'auto', compute }));
    const { user, system } = process.cpuUsage(before);
    // 20 ms; 1500 to 3200 where the driver zeroes the memory.
    expect((user + system) / 1000).toBeLessThan(500);
    opened.destroy();
  });

  testWithSwiftShader('an error outside any scope comes out of the next check', async () => {
    const opened = await openDevice({ name: 'swiftshader' });
    opened.check();
    opened.device.createBuffer({ size: 8, usage: 0x81 });
    await opened.device.queue.onSubmittedWorkDone();
    expect(() => opened.check()).toThrow(/refused a command: .*usages/);
    opened.destroy();
  });
});

/** Opens a device in a process of its own, as a command would, and says how that process ended. */
async function openInProcess(env: NodeJS.ProcessEnv) {
  const args = ['--input-type=module', '--eval', openAndPrint];
  const child = spawn(process.execPath, args, { timeout: 10 * 60_000, env: { ...process.env, ...env } });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const [status] = await once(child, 'close');
  return { status, stdout, stderr };
}

const dist = new URL('../../dist/runtime/', import.meta.url).href;
const openAndPrint = `
import { openDevice, runCommand } from '${dist}index.js';
await runCommand(async () => { const d = await openDevice(); console.log(d.rung); });`;

describe('a process', () => {
  testWithSwiftShader('ends by itself with a device open, silent on stderr', async () => {
    const env = { XDG_CACHE_HOME: join(scratch, 'cold'), MLBTC_DEVICE: 'swiftshader' };
    expect(await openInProcess(env)).toEqual({ status: 0, stdout: 'bundled-swiftshader\n', stderr: '' });
    expect(readdirSync(join(scratch, 'cold', 'mlbtc'))).toEqual(['swiftshader-147.0.0']);
  });

  testWithSwiftShader('shares the cache with others that unpack at the same time', async () => {
    const env = { XDG_CACHE_HOME: join(scratch, 'shared'), MLBTC_DEVICE: 'swiftshader' };
    const results = await Promise.all([env, env, env].map(openInProcess));
    for (const result of results) expect(result).toEqual({ status: 0, stdout: 'bundled-swiftshader\n', stderr: '' });
    expect(readdirSync(join(scratch, 'shared', 'mlbtc'))).toEqual(['swiftshader-147.0.0']);
  });

  testWithSwiftShader('finds SwiftShader where the cache cannot be written', async () => {
    const file = join(scratch, 'a-file');
    writeFileSync(file, '');
    const env = { XDG_CACHE_HOME: join(file, 'below'), MLBTC_DEVICE: 'swiftshader' };
    expect(await openInProcess(env)).toEqual({ status: 0, stdout: 'bundled-swiftshader\n', stderr: '' });
  });

  test('exits with 3 and no stack trace where there is no such device', async () => {
    const result = await openInProcess({ MLBTC_DEVICE: 'voodoo 3' });
    expect(result.status).toBe(3);
    expect(result.stderr).toContain('error: no device matches --device voodoo 3\n');
    expect(result.stderr).not.toMatch(/\n\s+at /);
  });
});

testWithSwiftShader('a damaged cache is unpacked anew', () => {
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = join(scratch, 'damaged');
  const { loaderPath } = unpackSwiftShader();
  const sizeBytes = statSync(loaderPath).size;
  rmSync(loaderPath);
  expect(unpackSwiftShader().loaderPath).toBe(loaderPath);
  expect(statSync(loaderPath).size).toBe(sizeBytes);
  expect(existsSync(join(scratch, 'damaged', 'mlbtc', 'swiftshader-147.0.0', 'libEGL.so'))).toBe(false);
  if (before === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = before;
});
