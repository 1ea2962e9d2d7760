import { expect, test } from 'vitest';
import { availableBytes, canHold, freeHostBytes } from '../../runtime/device-memory.ts';
import { testDevice } from '../support/device.ts';

const opened = await testDevice();

test('what is there is what is wanted; of what is not, what there is', async () => {
  expect(await availableBytes(opened, 4096)).toBe(4096);
  if (opened.class === 'gpu') return;
  expect(await availableBytes(opened, 2 ** 50)).toBeLessThanOrEqual(freeHostBytes() + 2 ** 30);
});

test('asking by taking: in pieces, and given back', async () => {
  for (let times = 0; times < 3; times += 1) expect(await canHold(opened, 3 * 2 ** 20 + 2)).toBe(true);
  opened.check();
});
