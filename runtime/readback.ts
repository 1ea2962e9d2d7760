/**
 * Small tensors on their way from the device while the loop goes on: the copy into a staging buffer is part of the step's
 * own command buffer, the map resolves some steps later, and the staging buffer goes back to the pool.
 *
 * The trap: waiting for a free staging buffer would stall the loop, so the pool grows instead; it stays as small as the
 * number of steps in flight.
 */

import { createBuffer, destroyBuffer } from './buffers.ts';
import { bufferUsage, mapModeRead } from './webgpu-constants.ts';

export interface Region {
  readonly buffer: GPUBuffer;
  readonly offsetBytes: number;
  /** A multiple of 4. */
  readonly sizeBytes: number;
}

export interface ReadbackPool {
  /**
   * Records copies of the regions; what it returns is called after the submit and resolves to their bytes, in order.
   * Each is an ArrayBuffer of its own.
   */
  record(encoder: GPUCommandEncoder, regions: readonly Region[]): () => Promise<ArrayBuffer[]>;
  destroy(): void;
}

const smallestStagingBytes = 256;

/** What the pool makes for so many bytes, so that a buffer serves many sizes. */
export function stagingBytes(sizeBytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(sizeBytes, smallestStagingBytes)));
}

export function createReadbackPool(device: GPUDevice): ReadbackPool {
  const free: GPUBuffer[] = [];
  const all = new Set<GPUBuffer>();

  const take = (sizeBytes: number): GPUBuffer => {
    const index = free.findIndex((buffer) => buffer.size >= sizeBytes);
    if (index >= 0) return free.splice(index, 1)[0];
    const size = stagingBytes(sizeBytes);
    const usage = bufferUsage.mapRead | bufferUsage.copyTo;
    const buffer = createBuffer(device, {
      label: 'read back',
      size: Math.min(size, device.limits.maxBufferSize),
      usage,
    });
    all.add(buffer);
    return buffer;
  };

  return {
    record: (encoder, regions) => {
      const totalBytes = regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      const staging = take(totalBytes);
      let offset = 0;
      for (const { buffer, offsetBytes, sizeBytes } of regions) {
        encoder.copyBufferToBuffer(buffer, offsetBytes, staging, offset, sizeBytes);
        offset += sizeBytes;
      }
      return async () => {
        await staging.mapAsync(mapModeRead, 0, totalBytes);
        const mapped = staging.getMappedRange(0, totalBytes);
        let begin = 0;
        const copies = regions.map(({ sizeBytes }) => {
          begin += sizeBytes;
          return mapped.slice(begin - sizeBytes, begin);
        });
        staging.unmap();
        free.push(staging);
        return copies;
      };
    },
    destroy: () => {
      for (const buffer of all) destroyBuffer(device, buffer);
      all.clear();
      free.length = 0;
    },
  };
}
