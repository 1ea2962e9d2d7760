import { expect, test } from 'vitest';
import { peakFlopsPerSecond } from '../../runtime/device-peaks.ts';

test('peaks of devices that are known, by what drivers call them', () => {
  expect(peakFlopsPerSecond('NVIDIA: 580.159.04 nvidia-h100-80gb-hbm3')).toBe(66.9e12);
  expect(peakFlopsPerSecond('NVIDIA H100 PCIe')).toBe(51.2e12);
  expect(peakFlopsPerSecond('NVIDIA L4')).toBe(30.3e12);
  expect(peakFlopsPerSecond('NVIDIA L40S')).toBe(91.6e12);
  expect(peakFlopsPerSecond('llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)')).toBeUndefined();
});
