/** Tile sizes by default: what the model of contraction/tile-sizes.ts chooses, and that a device has room for it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ContractionSizes } from '../../../../kernels/families/contraction/shape.ts';
import {
  chip,
  fastestPieces,
  fastestTiled,
  leastWork,
  tiledCandidates,
  turns,
} from '../../../../kernels/families/contraction/tile-sizes.ts';
import { type ContractionTuning, contractionThreads } from '../../../../kernels/families/contraction/tuning.ts';
import { portableTarget } from '../../../../kernels/target.ts';

const large = {
  ...portableTarget,
  limits: {
    ...portableTarget.limits,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupStorageSize: 48 * 1024,
  },
};

/** Quads of both slabs, each with one more a step of k, so that neighbours lie in other banks. */
const slabBytes = ({ tileM, tileN, tileK, buffers = 1 }: ContractionTuning): number =>
  16 * buffers * tileK * (tileM / 4 + tileN / 4 + 2);

const one = (m: number, n: number, k: number) => ({ batch: 1, m, n, k });

describe('tiles', () => {
  const areaOf = (m: number, n: number, k: number) => {
    const { tileM, tileN } = fastestTiled(one(m, n, k), large).tuning;
    return tileM * tileN;
  };
  test('the more work, the larger the tile', () => {
    const areas = [32, 64, 512, 4096].map((n) => areaOf(n, n, n));
    expect(areas).toEqual([...areas].sort((a, b) => a - b));
    expect(areas[0]).toBeLessThan(areas[3]);
  });
  test('a narrow product takes a narrow tile, either way round', () => {
    expect(fastestTiled(one(65536, 16, 256), large).tuning.tileN).toBeLessThanOrEqual(32);
    expect(fastestTiled(one(16, 65536, 256), large).tuning.tileM).toBeLessThanOrEqual(32);
  });
  test.each([portableTarget, large])(
    'a target has room for what it gets: $limits.maxComputeWorkgroupStorageSize',
    (target) => {
      const { maxComputeInvocationsPerWorkgroup: threads, maxComputeWorkgroupStorageSize: bytes } = target.limits;
      const size = fc.integer({ min: 1, max: 5000 });
      fc.assert(
        fc.property(size, size, size, fc.integer({ min: 1, max: 600 }), (m, n, k, batch) => {
          const { tuning, timeUs } = fastestTiled({ batch, m, n, k }, target);
          expect(timeUs).toBeGreaterThan(0);
          expect(contractionThreads(tuning)).toBeLessThanOrEqual(threads);
          expect(slabBytes(tuning)).toBeLessThanOrEqual(bytes);
        }),
        { seed: 13 },
      );
    },
  );
  test('and for what a tuner tries on it, which is not all there is', () => {
    const count = tiledCandidates(large).length;
    const small = tiledCandidates({ ...large, limits: portableTarget.limits });
    const manyThreads = tiledCandidates({
      ...large,
      limits: { ...large.limits, maxComputeWorkgroupStorageSize: 8192 },
    });
    expect(small.length).toBeLessThan(count);
    expect(manyThreads.length).toBeLessThan(count);
    for (const tuning of manyThreads) expect(slabBytes(tuning)).toBeLessThanOrEqual(8192);
    for (const tuning of small)
      expect(contractionThreads(tuning)).toBeLessThanOrEqual(portableTarget.limits.maxComputeInvocationsPerWorkgroup);
  });
  test('every candidate is a whole number of quads and of threads', () => {
    for (const { tileM, tileN, tileK, rows, columns } of tiledCandidates(large)) {
      expect([rows % 4, columns % 4, tileM % rows, tileN % columns, tileK % 4]).toEqual([0, 0, 0, 0, 0]);
    }
  });
});

const timeOf = (sizes: ContractionSizes): number => fastestTiled(sizes, large).timeUs;

describe('how long workgroups take together', () => {
  const company = { each: 0.8, waiting: 0.2 };
  const wave = 3 * chip.multiprocessors;

  test('a full wave takes what each of its workgroups does, another as much again', () => {
    expect(turns(wave, 3, company)).toBe(3);
    expect(turns(2 * wave, 3, company)).toBe(6);
  });
  test('fewer take less, but not in proportion; one more than a wave takes longer', () => {
    expect(turns(chip.multiprocessors, 3, company)).toBeCloseTo(0.8 + 3 * 0.2);
    expect(turns(1, 3, company)).toBe(turns(chip.multiprocessors, 3, company));
    expect(turns(wave + 1, 3, company)).toBeGreaterThan(3);
  });
  test('more never take less', () => {
    const groups = fc.integer({ min: 1, max: 5000 });
    fc.assert(
      fc.property(groups, fc.integer({ min: 1, max: 8 }), (count, resident) => {
        expect(turns(count + 1, resident, company)).toBeGreaterThanOrEqual(turns(count, resident, company));
      }),
      { seed: 13 },
    );
  });
});

describe('slices', () => {
  const slicesOf = (sizes: ContractionSizes): number => fastestTiled(sizes, large).tuning.slices ?? 1;

  test('share long sums where there are few tiles', () => {
    expect(slicesOf({ batch: 64, m: 64, n: 64, k: 512 })).toBeGreaterThan(1);
    expect(slicesOf(one(4096, 64, 256))).toBeGreaterThan(1);
  });
  test('not where tiles keep every multiprocessor busy, nor where sums are short', () => {
    expect(slicesOf(one(4096, 4096, 512))).toBe(1);
    expect(slicesOf(one(65536, 64, 256))).toBe(1);
    expect(slicesOf(one(4096, 64, 32))).toBe(1);
  });
});

describe('the least work', () => {
  const many = { batch: 16, m: 256, n: 64, k: 256 };
  test('shares no sum', () => {
    expect(fastestTiled(many, large).tuning.slices).toBeGreaterThan(1);
    expect(leastWork(many, large)).toMatchObject({ tileM: 64, tileN: 64 });
    expect(leastWork(many, large)?.slices).toBeUndefined();
  });
  test.each([portableTarget, large])('leaves room for others in a workgroup of 256', (target) => {
    for (const sizes of [many, one(8192, 8192, 8192), { ...many, k: 4096 }]) {
      const tuning = leastWork(sizes, target)!;
      const beside = 256 / contractionThreads(tuning);
      expect(beside).toBeGreaterThanOrEqual(2);
      expect(beside * slabBytes(tuning)).toBeLessThanOrEqual(target.limits.maxComputeWorkgroupStorageSize);
    }
  });
  test('is of no tile where one would be left over, or where workgroups are small', () => {
    expect(leastWork(one(16, 16, 4096), large)).toBeUndefined();
    const limits = { ...portableTarget.limits, maxComputeInvocationsPerWorkgroup: 128 };
    expect(leastWork(many, { ...portableTarget, limits })).toBeUndefined();
  });
  test('has no tile that is mostly padding', () => {
    const { tileM, tileN } = leastWork({ batch: 16, m: 64, n: 16, k: 256 }, large)!;
    expect([tileM, tileN]).toEqual([32, 32]);
  });
});

describe('pieces', () => {
  test('a long sum for few results is made in many, one that keeps the device busy in none', () => {
    expect(fastestPieces(one(64, 64, 16384), 64, timeOf)).toBeGreaterThanOrEqual(16);
    expect(fastestPieces(one(4096, 4096, 4096), 64, timeOf)).toBe(1);
  });
  test('none is shorter than the least', () => {
    for (const least of [64, 512, 4096])
      expect(4096 / fastestPieces(one(64, 64, 4096), least, timeOf)).toBeGreaterThanOrEqual(least);
  });
});
