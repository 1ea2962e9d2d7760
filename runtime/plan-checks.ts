/**
 * Whether a plan fits a device, said before anything is allocated: every limit with its value, the buffer or kernel that
 * exceeds it, and the whole amount of memory. What a device refuses later than here it refuses in words nobody can act on.
 *
 * The trap: WebGPU tells no total of memory. A software device shares the machine's, which can be asked; a GPU's cannot, and
 * there the allocation itself is the test (executor.ts).
 */

import { freemem, totalmem } from 'node:os';
import { bytesText } from '../compiler/command-line/amounts.ts';
import { MachineError } from '../compiler/command-line/errors.ts';
import { planBytes } from '../compiler/schedule/plan.ts';
import type { TargetLimits } from '../kernels/target.ts';
import type { ExecutableKernel, ExecutablePlan } from './executable-plan.ts';

/** Throws MachineError where the plan exceeds a limit of the device, and Error where the plan contradicts itself. */
export function checkPlan(plan: ExecutablePlan, limits: TargetLimits, deviceClass: 'cpu' | 'gpu'): void {
  const obstacle = planObstacle(plan, limits, deviceClass);
  if (obstacle !== undefined) throw new MachineError(`${obstacle}; a smaller batch, sequence or model needs less`);
  const sizeOf = new Map(plan.buffers.map(({ id, sizeBytes }) => [id, sizeBytes]));
  for (const kernel of plan.kernels) checkKernel(sizeOf, kernel, limits);
  for (const [name, { buffer, offsetBytes }] of Object.entries(plan.tensors)) {
    if (!sizeOf.has(buffer)) throw new Error(`tensor '${name}' lies in no buffer of the plan`);
    if (offsetBytes % 4 !== 0) throw new Error(`tensor '${name}' begins at byte ${offsetBytes}, no multiple of 4`);
  }
}

/** What of a plan is too large for a device, where something is; less of the same would fit. */
export function planObstacle(
  plan: ExecutablePlan,
  limits: TargetLimits,
  deviceClass: 'cpu' | 'gpu',
): string | undefined {
  for (const { id, sizeBytes } of plan.buffers) {
    if (sizeBytes > limits.maxBufferSize) {
      return (
        `${largestIn(plan, id)} would take ${bytesText(sizeBytes)}, this device allows ` +
        `${bytesText(limits.maxBufferSize)} a buffer`
      );
    }
  }
  const totalBytes = planBytes(plan);
  if (deviceClass === 'cpu' && totalBytes > Math.max(freemem(), totalmem() / 2)) {
    return `the run would take ${bytesText(totalBytes)} of memory, this machine has ${bytesText(freemem())} free`;
  }
  for (const { label, bindings, workgroups } of plan.kernels) {
    for (const count of workgroups) {
      if (count <= limits.maxComputeWorkgroupsPerDimension) continue;
      return (
        `the kernel '${label}' needs a grid of ${workgroups.join('×')} workgroups, ` +
        `this device allows ${limits.maxComputeWorkgroupsPerDimension} a dimension`
      );
    }
    for (const { buffer, sizeBytes } of bindings) {
      if (sizeBytes <= limits.maxStorageBufferBindingSize) continue;
      return (
        `the kernel '${label}' binds ${bytesText(sizeBytes)} of '${buffer}', ` +
        `this device allows ${bytesText(limits.maxStorageBufferBindingSize)} a binding`
      );
    }
  }
  return undefined;
}

/** What lies in a buffer, by the largest of it: a tensor of the user's file with its shape. */
function largestIn({ tensors }: ExecutablePlan, id: string): string {
  const elements = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);
  const inside = Object.entries(tensors).filter(([, { buffer }]) => buffer === id);
  const [largest] = inside.sort(([, p], [, q]) => elements(q.shape) - elements(p.shape));
  if (largest === undefined) return `the buffer '${id}'`;
  const [name, { shape }] = largest;
  const own = name.replace(/~.*/, '');
  const what = own === name ? `the tensor '${name}'` : `an intermediate of '${own}'`;
  return `${what} of shape [${shape.join(', ')}]`;
}

function checkKernel(sizeOf: ReadonlyMap<string, number>, kernel: ExecutableKernel, limits: TargetLimits): void {
  const { label, bindings, workgroups } = kernel;
  if (bindings.length > limits.maxStorageBuffersPerShaderStage) {
    throw new MachineError(
      `the kernel '${label}' needs ${bindings.length} storage buffers, this device binds ${limits.maxStorageBuffersPerShaderStage}`,
    );
  }
  if (workgroups.some((count) => count < 1)) {
    throw new Error(`the kernel '${label}' has an empty grid, ${workgroups.join('×')}`);
  }
  const accessOf = new Map<string, 'read' | 'read_write'>();
  for (const { buffer, offsetBytes, sizeBytes, access } of bindings) {
    const wholeBytes = sizeOf.get(buffer);
    if (wholeBytes === undefined || offsetBytes + sizeBytes > wholeBytes) {
      throw new Error(
        `the kernel '${label}' binds bytes ${offsetBytes}+${sizeBytes} of '${buffer}', which are not there`,
      );
    }
    if (offsetBytes % limits.minStorageBufferOffsetAlignment !== 0) {
      throw new Error(`the kernel '${label}' binds '${buffer}' at byte ${offsetBytes}, not aligned for this device`);
    }
    if ((accessOf.get(buffer) ?? access) !== access) {
      throw new Error(`the kernel '${label}' binds '${buffer}' for reading and for writing at once`);
    }
    accessOf.set(buffer, access);
  }
}
