/**
 * How much memory a device has left, asked before anything is made on it.
 *
 * The trap: WebGPU tells no total. A software device takes from the machine's memory, which can be asked. Of a GPU nothing is known
 * until it is asked for the memory itself: so as much as is wanted is taken and given back at once.
 */
import { freemem } from 'node:os';
import { createBuffer, destroyBuffer } from './buffers.ts';
import type { OpenedDevice } from './device.ts';
import { bufferUsage } from './webgpu-constants.ts';

/** Bytes that this process may still take of the machine's memory, a container's limit heeded. */
export function freeHostBytes(): number {
  return Math.min(freemem(), process.availableMemory?.() ?? Number.POSITIVE_INFINITY);
}

/** `wantedBytes` where the device has as much beside what it holds now, else about what it has. */
export async function availableBytes(opened: OpenedDevice, wantedBytes: number): Promise<number> {
  if (opened.class === 'cpu') return Math.min(wantedBytes, freeHostBytes());
  if (await canHold(opened, wantedBytes)) return wantedBytes;
  let [has, lacks] = [0, wantedBytes];
  for (let halving = 0; halving < probes; halving += 1) {
    const between = (has + lacks) / 2;
    if (await canHold(opened, between)) has = between;
    else lacks = between;
  }
  return has;
}

/** So often the range of a GPU's free memory is halved: what is told of it is right to a hundredth of what was wanted. */
const probes = 7;
const largestPieceBytes = 2 ** 30;
const piecesAtOnce = 8;

/** Whether the device has so many bytes, asked by taking them. */
export async function canHold({ device, guard, limits }: OpenedDevice, bytes: number): Promise<boolean> {
  const pieceBytes = Math.min(largestPieceBytes, limits.maxBufferSize);
  const buffers: GPUBuffer[] = [];
  let left = Math.ceil(bytes / 4) * 4;
  let hasFailed = false;
  // A few at a time: what is refused is known only afterwards, and a thousand more refusals tell nothing.
  while (left > 0 && !hasFailed) {
    device.pushErrorScope('out-of-memory');
    for (let piece = 0; piece < piecesAtOnce && left > 0; piece += 1, left -= pieceBytes) {
      const size = Math.min(left, pieceBytes);
      buffers.push(createBuffer(device, { label: 'probe', size, usage: bufferUsage.storage }));
    }
    hasFailed = (await guard(device.popErrorScope())) !== null;
  }
  for (const buffer of buffers) destroyBuffer(device, buffer);
  // What is destroyed is freed once the queue has come by.
  device.queue.submit([]);
  await guard(device.queue.onSubmittedWorkDone());
  return !hasFailed;
}
