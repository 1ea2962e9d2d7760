/** Grids of more workgroups than a dimension takes: every number once, and few beyond. */
import { expect, test } from 'vitest';
import { spread } from '../../../kernels/wgsl/grid.ts';
import { h100 } from '../../support/h100-target.ts';

const most = h100.limits.maxComputeWorkgroupsPerDimension;

test.each([1, 264, most, most + 1, 2 * most + 1, most ** 2, most ** 2 + 1])('%i workgroups', (count) => {
  const { workgroups, number, isExact } = spread(count, h100);
  const [x, y, z] = workgroups;
  const all = x * y * z;
  expect(Math.max(x, y, z)).toBeLessThanOrEqual(most);
  expect(isExact).toBe(all === count);
  // Fewer are left over than there are rows.
  expect(all - count).toBeGreaterThanOrEqual(0);
  expect(all - count).toBeLessThan(y * z);
  const numberOf = new Function('group_id', `return ${number.replaceAll(/(\d)u\b/g, '$1')};`);
  expect(numberOf({ x: 0, y: 0, z: 0 })).toBe(0);
  expect(numberOf({ x: x - 1, y: y - 1, z: z - 1 })).toBe(all - 1);
});

test('more than the grid holds are refused', () => {
  const target = { ...h100, limits: { ...h100.limits, maxComputeWorkgroupsPerDimension: 4 } };
  expect(spread(64, target).workgroups).toEqual([4, 4, 4]);
  expect(() => spread(65, target)).toThrow('65 workgroups are beyond the grid');
});
