/** A training of some hundred steps leaves nothing behind; `node dist/test/bench/soak.js` does 5,000. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createBuffer, destroyBuffer } from '../../../runtime/buffers.ts';
import { testDevice } from '../../support/device.ts';
import { growth, type SoakSample, soak } from '../../support/soak.ts';

const opened = await testDevice();
const parent = mkdtempSync(join(tmpdir(), 'mlbtc-soak-'));
const [steps, sampleEvery] = [400, 20];
const heap = (sample: SoakSample) => sample.heapBytes;
const device = (sample: SoakSample) => sample.deviceBytes;
/** Over a quarter of the steps: a kilobyte and a half a step, and more than what the heap does by itself. */
const allowedHeapBytes = 150_000;

test('nothing grows with the steps, the device holds what was estimated, and afterwards what it held before', async () => {
  const { samples, settled, before, after, neededBytes } = await soak(opened, {
    outDir: join(parent, 'flat'),
    steps,
    sampleEvery,
  });
  console.log(
    `heap ${growth(settled, heap)}, device ${growth(settled, device)}, resident ${growth(settled, (s) => s.residentBytes)} bytes more in the last ${steps / 4} steps`,
  );
  expect(samples.length).toBeGreaterThanOrEqual(steps / sampleEvery);
  expect(growth(settled, device)).toBe(0);
  expect(growth(settled, heap)).toBeLessThan(allowedHeapBytes);
  expect(after).toBe(before);
  const most = Math.max(...samples.map(device)) - before;
  // Losses on their way to the host are not worth an estimate.
  expect(most).toBeLessThanOrEqual(neededBytes + 2 ** 14);
  expect(most).toBeGreaterThan(neededBytes / 3);
});

test('a leak of two kilobytes a step is found, on the host and on the device', async () => {
  const kept: unknown[] = [];
  const buffers: GPUBuffer[] = [];
  const eachStep = () => {
    kept.push(Array.from({ length: 256 }, (_, i) => i + kept.length));
    buffers.push(createBuffer(opened.device, { size: 2048, usage: 0x80 }));
  };
  const { settled, before, after } = await soak(opened, {
    outDir: join(parent, 'leaking'),
    steps,
    sampleEvery,
    eachStep,
  });
  expect(growth(settled, device)).toBeGreaterThan(2048 * (steps / 4 - 2 * sampleEvery));
  expect(growth(settled, heap)).toBeGreaterThan(allowedHeapBytes);
  expect(after - before).toBe(2048 * buffers.length);
  for (const buffer of buffers) destroyBuffer(opened.device, buffer);
});
