/**
 * The buffers that a device holds, counted: WebGPU does not tell how much of a device's memory is taken. Everything in this folder that
 * makes a buffer makes it here, and gives it back here.
 *
 * The trap: a buffer that is forgotten stays counted, which is the point; nothing waits for the garbage collector.
 */
const alive = new WeakMap<GPUDevice, Set<GPUBuffer>>();

export function createBuffer(device: GPUDevice, descriptor: GPUBufferDescriptor): GPUBuffer {
  const buffer = device.createBuffer(descriptor);
  const held = alive.get(device) ?? new Set();
  alive.set(device, held.add(buffer));
  return buffer;
}

export function destroyBuffer(device: GPUDevice, buffer: GPUBuffer): void {
  alive.get(device)?.delete(buffer);
  buffer.destroy();
}

export interface HeldMemory {
  readonly buffers: number;
  readonly bytes: number;
}

export function heldMemory(device: GPUDevice): HeldMemory {
  const held = [...(alive.get(device) ?? [])];
  return { buffers: held.length, bytes: held.reduce((sum, { size }) => sum + size, 0) };
}
