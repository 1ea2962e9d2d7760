import fc from 'fast-check';
import { expect, test } from 'vitest';
import { logTicks } from '../../../experiments/plots/log-ticks.ts';

test.each([
  [{ min: 0.57, max: 0.75 }, 8, [0.6, 0.65, 0.7, 0.75]],
  [{ min: 2, max: 5 }, 8, [2, 2.5, 3, 3.5, 4, 4.5, 5]],
  [{ min: 0.01, max: 2 }, 8, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]],
  [{ min: 0.001, max: 20 }, 8, [0.001, 0.01, 0.1, 1, 10]],
  [{ min: 1e10, max: 1e13 }, 7, [1e10, 3e10, 1e11, 3e11, 1e12, 3e12, 1e13]],
  [{ min: 1e-30, max: 1 }, 7, [1e-30, 1e-25, 1e-20, 1e-15, 1e-10, 1e-5, 1]],
])('%j', (extent, most, ticks) => expect(logTicks(extent, most)).toEqual(ticks));

test('of any extent: a few, within it, ascending', () => {
  fc.assert(
    fc.property(
      fc.double({ min: -20, max: 20, noNaN: true }),
      fc.double({ min: 0.01, max: 12, noNaN: true }),
      fc.integer({ min: 4, max: 10 }),
      (low, decades, most) => {
        const extent = { min: 10 ** low, max: 10 ** (low + decades) };
        const ticks = logTicks(extent, most);
        expect(ticks.length).toBeGreaterThan(0);
        expect(ticks.length).toBeLessThanOrEqual(most + 1);
        expect(ticks.every((tick) => tick >= extent.min * 0.999 && tick <= extent.max * 1.001)).toBe(true);
        expect([...ticks].sort((a, b) => a - b)).toEqual(ticks);
      },
    ),
  );
});
