/**
 * What kernels on tensor cores ask of eight numbers at once, against what is right, with zeros, infinities and NaN at every place: the
 * largest magnitude, exponents, extremes. Denormals are left out: devices may flush them.
 */
import { expect, test } from 'vitest';
import { libraryCode } from '../../../kernels/wgsl/library.ts';
import { wgsl } from '../../../kernels/wgsl/text.ts';
import { createBuffer, destroyBuffer } from '../../../runtime/buffers.ts';
import { createReadbackPool } from '../../../runtime/readback.ts';
import { bufferUsage } from '../../../runtime/webgpu-constants.ts';
import { testDevice } from '../../support/device.ts';
import { uniforms } from '../../support/random-values.ts';

const { device } = await testDevice();

const largest = 3.4028234663852886e38;
const special = [0, -0, Infinity, -Infinity, Number.NaN, 2 ** -126, -(2 ** -126), largest, -largest, 1];

/** Octets of numbers of all sizes: with each special number at every place, with NaN beside it, of nothing else, and without one. */
function octets(): number[][] {
  const count = special.length * 9 + 20;
  const { data: exponents } = uniforms([count, 8], 1, -100, 100);
  const { data: signs } = uniforms([count, 8], 2, -1, 1);
  const all = Array.from({ length: count }, (_, row) =>
    Array.from({ length: 8 }, (_, place) => {
      const at = row * 8 + place;
      return Math.fround(Math.sign(signs[at]) * 2 ** exponents[at]);
    }),
  );
  special.forEach((x, i) => {
    for (let place = 0; place < 8; place++) all[i * 9 + place][place] = x;
    const beside = all[i * 9 + 8];
    [beside[i % 8], beside[(i + 3) % 8]] = [x, Number.NaN];
  });
  return [...all, ...special.map((x) => new Array<number>(8).fill(x))];
}

/** WGSL of `result(x, y)` as bits, of each octet. */
async function onDevice(rows: readonly number[][], names: readonly string[], result: string): Promise<Uint32Array> {
  const code = wgsl`
    @group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;
    @group(0) @binding(1) var<storage, read_write> bits: array<u32>;
    ${libraryCode(names)}
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x >= arrayLength(&bits)) { return; }
      let x = rows[2 * id.x];
      let y = rows[2 * id.x + 1];
      bits[id.x] = ${result};
    }
  `;
  const [size, resultSize] = [rows.length * 32, rows.length * 4];
  const read = createBuffer(device, { size, usage: bufferUsage.storage | bufferUsage.copyTo });
  const made = createBuffer(device, { size: resultSize, usage: bufferUsage.storage | bufferUsage.copyFrom });
  device.queue.writeBuffer(read, 0, Float32Array.from(rows.flat()));
  const pipeline = await device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }) },
  });
  const pool = createReadbackPool(device);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [read, made].map((buffer, binding) => ({ binding, resource: { buffer } }));
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(Math.ceil(rows.length / 64));
  pass.end();
  const copied = pool.record(encoder, [{ buffer: made, offsetBytes: 0, sizeBytes: resultSize }]);
  device.queue.submit([encoder.finish()]);
  const [bytes] = await copied();
  pool.destroy();
  for (const buffer of [read, made]) destroyBuffer(device, buffer);
  return new Uint32Array(bytes);
}

const toFloat = (bits: Uint32Array): Float32Array => new Float32Array(bits.buffer);
const finiteMagnitudes = (row: readonly number[]): number[] => row.filter(Number.isFinite).map(Math.abs);
const rows = octets();

test.each(['max', 'min'] as const)('the %s of eight is NaN where one is', async (operator) => {
  const name = `${operator}_octet_f32`;
  const have = toFloat(await onDevice(rows, [name], `bitcast<u32>(${name}(x, y))`));
  rows.forEach((row, i) => {
    const want = Math[operator](...row);
    if (want === 0) expect(Math.abs(have[i]), `${row}`).toBe(0);
    else expect(have[i], `${row}`).toBe(want);
  });
});

test('the largest finite magnitude of eight', async () => {
  const have = toFloat(await onDevice(rows, ['largest_f32'], 'largest_f32(x, y)'));
  rows.forEach((row, i) => {
    expect(have[i], `${row}`).toBe(Math.max(0, ...finiteMagnitudes(row)));
  });
});

test('the largest magnitude of eight, infinite where one is', async () => {
  const numbers = rows.filter((row) => !row.some(Number.isNaN));
  const name = 'largest_magnitude_f32';
  const have = toFloat(await onDevice(numbers, [name], `bitcast<u32>(${name}(x, y))`));
  numbers.forEach((row, i) => {
    expect(have[i], `${row}`).toBe(Math.max(...row.map(Math.abs)));
  });
});

test('the exponent of the largest order of eight is that of the largest finite one', async () => {
  const names = ['largest_order_f32', 'order_exponent_f32'];
  const have = new Int32Array(
    (await onDevice(rows, names, 'bitcast<u32>(order_exponent_f32(largest_order_f32(x, y)))')).buffer,
  );
  rows.forEach((row, i) => {
    const finite = finiteMagnitudes(row);
    if (finite.length === 0) expect(have[i], `${row}`).toBe(-128);
    else if (Math.max(...finite) === 0) expect(have[i], `${row}`).toBe(-127);
    else expect(have[i], `${row}`).toBe(Math.floor(Math.log2(Math.max(...finite))));
  });
});
