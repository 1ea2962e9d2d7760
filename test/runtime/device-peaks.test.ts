import { expect, test } from 'vitest';
import { peakFlopsPerSecond } from '../../runtime/device-peaks.ts';

test('peaks of devices that are known, by what drivers call them', () => {
  expect((peakFlopsPerSecond('NVIDIA: 580.159.04 nvidia-h100-80gb-hbm3') ?? 0) / 1e12).toBeCloseTo(66.9);
  expect((peakFlopsPerSecond('NVIDIA H100 PCIe') ?? 0) / 1e12).toBeCloseTo(51.2);
  expect((peakFlopsPerSecond('NVIDIA L4') ?? 0) / 1e12).toBeCloseTo(30.3);
  expect((peakFlopsPerSecond('NVIDIA L40S') ?? 0) / 1e12).toBeCloseTo(91.6);
  expect(peakFlopsPerSecond('llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)')).toBeUndefined();
});
