/**
 * `node dist/test/bench/soak.js [--steps 5000]`: a training of so many steps with evaluations, checkpoints and stages, and what it
 * holds meanwhile. The last lines say how much that grew in the second half; exit status 1 where it did.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bytesText, openDevice } from '../../runtime/index.ts';
import { growth, type SoakSample, soak } from '../support/soak.ts';

const { values } = parseArgs({ options: { steps: { type: 'string', default: '5000' } } });
const steps = Number(values.steps);
const folder = mkdtempSync(join(tmpdir(), 'mlbtc-soak-'));
const opened = await openDevice();
const { samples, settled, before, after } = await soak(opened, {
  outDir: join(folder, 'run'),
  steps,
  sampleEvery: Math.ceil(steps / 25),
});
console.log(`${steps} steps on ${opened.name}`);
console.log('    step   resident       heap      on the device');
for (const { step, residentBytes, heapBytes, deviceBytes, deviceBuffers } of samples) {
  const columns = [bytesText(residentBytes), bytesText(heapBytes), `${bytesText(deviceBytes)} in ${deviceBuffers}`];
  console.log([String(step).padStart(8), ...columns.map((text, i) => text.padStart([11, 11, 19][i]))].join(''));
}
const figures: readonly (readonly [name: string, of: (sample: SoakSample) => number, allowedBytes: number])[] = [
  ['resident', (sample) => sample.residentBytes, 2 ** 23],
  ['heap', (sample) => sample.heapBytes, 2 ** 20],
  ['on the device', (sample) => sample.deviceBytes, 0],
];
for (const [name, of, allowedBytes] of figures) {
  const grown = growth(settled, of);
  if (grown > allowedBytes) process.exitCode = 1;
  console.log(`grew in the second half, ${name}: ${grown} bytes (${allowedBytes} allowed)`);
}
console.log(`on the device before and after the training: ${before}, ${after} bytes`);
if (after !== before) process.exitCode = 1;
opened.destroy();
rmSync(folder, { recursive: true });
