/**
 * Runs a plan: buffers, pipelines and bind groups are made once, a run is one encoder, one compute pass, one submission.
 * The last stop of a structure's way; what computes is entirely in the plan, what moves is entirely here.
 *
 * The traps: nothing in a run may wait for the device (`pace` bounds how far the host gets ahead instead), and every buffer
 * that is not given by the caller starts as zeros, as WebGPU promises.
 */

import { bytesText } from '../compiler/command-line/amounts.ts';
import { MachineError } from '../compiler/command-line/errors.ts';
import { type PlanTensor, planBytes } from '../compiler/schedule/plan.ts';
import { createBuffer, destroyBuffer } from './buffers.ts';
import type { OpenedDevice } from './device.ts';
import type { ExecutablePlan } from './executable-plan.ts';
import { floatsToHalves } from './half-float.ts';
import { bindGroupLayout, computePipeline } from './pipelines.ts';
import { checkPlan } from './plan-checks.ts';
import { createReadbackPool, type Region } from './readback.ts';
import { stagedAsync } from './stages.ts';
import { bufferUsage } from './webgpu-constants.ts';

/** A tensor's elements on the host; f16 as its bits. */
export type HostArray = Float32Array | Int32Array | Uint16Array;

export interface ExecutorOptions {
  /** Buffers of another executor to use in place of new ones, by id: parameters shared between the steps of a curriculum. */
  readonly shared?: ReadonlyMap<string, GPUBuffer>;
  /** At most this many submissions are on their way when `pace` returns. */
  readonly maxRunsInFlight?: number;
}

export interface KernelTiming {
  readonly label: string;
  /** From the beginning of the run's first kernel. */
  readonly startUs: number;
  readonly timeUs: number;
}

export interface Executor {
  readonly plan: ExecutablePlan;
  /** The GPU buffers by id, for `shared` of another executor. */
  readonly buffers: ReadonlyMap<string, GPUBuffer>;
  /** Writes a whole tensor; in order with the runs. Throws where dtype or element count differ. */
  upload(name: string, data: HostArray | Float64Array): void;
  /** Reads whole tensors after everything submitted so far. */
  download(...names: string[]): Promise<Map<string, HostArray>>;
  /** Encodes and submits one run; returns at once. Throws what has gone wrong on the device before. */
  run(): void;
  /** The same, with copies of small tensors in the same command buffer; they resolve when the run is done. */
  runAndRead(...names: string[]): Promise<Map<string, HostArray>>;
  /** Queues copies of whole tensors into rows of others, after everything submitted so far. */
  copyRows(copies: readonly RowCopy[]): void;
  /** Yields to the event loop, and waits only while too many runs are in flight. Call it once a step. */
  pace(): Promise<void>;
  /** Waits until everything submitted is done; throws what went wrong. */
  finish(): Promise<void>;
  /** One run with a pass a kernel and the device's own clock. Needs the feature timestamp-query. */
  profile(): Promise<KernelTiming[]>;
  /** Frees the buffers that this executor made. */
  destroy(): void;
}

/** `to[row, …] = from`, where `to` has one dimension more. */
export interface RowCopy {
  readonly from: string;
  readonly to: string;
  readonly row: number;
}

interface Step {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Makes everything a plan needs. Throws MachineError where the device cannot hold it, KernelError where code is wrong. */
export async function createExecutor(
  opened: OpenedDevice,
  plan: ExecutablePlan,
  options: ExecutorOptions = {},
): Promise<Executor> {
  const { device } = opened;
  const { shared = new Map<string, GPUBuffer>(), maxRunsInFlight = 4 } = options;
  checkPlan(plan, opened.target.limits, opened.class);
  const buffers = await allocate(opened, plan, shared);
  const pool = createReadbackPool(device);
  const destroy = () => {
    for (const [id, buffer] of buffers) if (shared.get(id) !== buffer) destroyBuffer(device, buffer);
    pool.destroy();
  };
  const steps = await makeSteps(opened, plan, buffers).catch((error) => {
    destroy();
    throw error;
  });
  const inFlight: Promise<void>[] = [];

  const submit = (encoder: GPUCommandEncoder) => {
    device.queue.submit([encoder.finish()]);
    const done = device.queue.onSubmittedWorkDone().then(
      () => void inFlight.splice(inFlight.indexOf(done), 1),
      () => void inFlight.splice(inFlight.indexOf(done), 1),
    );
    inFlight.push(done);
  };
  const encodeRun = () => {
    opened.check();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encodeSteps(pass, steps);
    pass.end();
    return encoder;
  };
  const submitAndRead = async (encoder: GPUCommandEncoder, names: readonly string[]) => {
    const tensors = names.map((name) => planTensor(plan, name));
    const read = pool.record(
      encoder,
      tensors.map((tensor) => regionOf(tensor, buffers)),
    );
    submit(encoder);
    const bytes = await opened.guard(read());
    opened.check();
    return new Map(tensors.map((tensor, i) => [names[i], hostArray(tensor, bytes[i])]));
  };

  return {
    plan,
    buffers,
    upload: (name, data) => {
      const tensor = planTensor(plan, name);
      writeTensor(device.queue, regionOf(tensor, buffers), uploadable(name, tensor, data));
    },
    download: (...names) => submitAndRead(device.createCommandEncoder(), names),
    run: () => submit(encodeRun()),
    runAndRead: (...names) => submitAndRead(encodeRun(), names),
    copyRows: (copies) => {
      opened.check();
      const encoder = device.createCommandEncoder();
      for (const { from, to, row } of copies) {
        const [source, target] = [from, to].map((name) => regionOf(planTensor(plan, name), buffers));
        const offset = row * source.sizeBytes;
        if (offset + source.sizeBytes > target.sizeBytes) throw new Error(`'${to}' has no row ${row} of '${from}'`);
        encoder.copyBufferToBuffer(
          source.buffer,
          source.offsetBytes,
          target.buffer,
          target.offsetBytes + offset,
          source.sizeBytes,
        );
      }
      submit(encoder);
    },
    pace: async () => {
      while (inFlight.length >= maxRunsInFlight) await opened.guard(inFlight[0]);
      await new Promise((resolve) => setImmediate(resolve));
      opened.check();
    },
    finish: async () => {
      await opened.guard(device.queue.onSubmittedWorkDone());
      opened.check();
    },
    profile: () => profileSteps(opened, steps),
    destroy,
  };
}

async function allocate(
  opened: OpenedDevice,
  plan: ExecutablePlan,
  shared: ReadonlyMap<string, GPUBuffer>,
): Promise<Map<string, GPUBuffer>> {
  const { device, name } = opened;
  const buffers = new Map<string, GPUBuffer>();
  const usage = bufferUsage.storage | bufferUsage.copyFrom | bufferUsage.copyTo;
  for (const { id, sizeBytes } of plan.buffers) {
    const given = shared.get(id);
    if (given === undefined || given.size === sizeBytes) continue;
    throw new Error(`the shared buffer '${id}' has ${given.size} bytes, the plan wants ${sizeBytes}`);
  }
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  for (const { id, sizeBytes } of plan.buffers) {
    buffers.set(id, shared.get(id) ?? createBuffer(device, { label: id, size: sizeBytes, usage }));
  }
  const [memoryError, otherError] = [device.popErrorScope(), device.popErrorScope()];
  const [outOfMemory, invalid] = await opened.guard(Promise.all([memoryError, otherError]));
  if (outOfMemory === null && invalid === null) return buffers;
  for (const [id, buffer] of buffers) if (shared.get(id) !== buffer) destroyBuffer(device, buffer);
  if (outOfMemory === null) throw new Error(invalid?.message);
  throw new MachineError(
    `the run takes ${bytesText(planBytes(plan))} of memory, more than the device '${name}' has free; ` +
      'a smaller batch, sequence or model needs less',
  );
}

async function makeSteps(
  opened: OpenedDevice,
  plan: ExecutablePlan,
  buffers: ReadonlyMap<string, GPUBuffer>,
): Promise<Step[]> {
  const compile = () => Promise.all(plan.kernels.map((kernel) => computePipeline(opened, kernel)));
  const pipelines =
    plan.kernels.length === 0
      ? []
      : await stagedAsync(
          'compile WGSL',
          compile,
          (made) => `${new Set(made).size} pipelines for ${made.length} kernels`,
        );
  const { device } = opened;
  device.pushErrorScope('validation');
  const steps = plan.kernels.map(({ label, bindings, workgroups }, i) => {
    const entries = bindings.map(({ buffer, offsetBytes, sizeBytes }, binding) => ({
      binding,
      resource: { buffer: buffers.get(buffer) as GPUBuffer, offset: offsetBytes, size: sizeBytes },
    }));
    const bindGroup = device.createBindGroup({ label, layout: bindGroupLayout(device, bindings), entries });
    return { label, pipeline: pipelines[i], bindGroup, workgroups };
  });
  const error = await opened.guard(device.popErrorScope());
  if (error !== null) throw new Error(`the plan's bindings are wrong: ${error.message.trim()}`);
  return steps;
}

function encodeSteps(pass: GPUComputePassEncoder, steps: readonly Step[]): void {
  let current: GPUComputePipeline | undefined;
  for (const { pipeline, bindGroup, workgroups } of steps) {
    if (pipeline !== current) pass.setPipeline(pipeline);
    current = pipeline;
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
  }
}

/** Query sets hold at most 4096 queries, two a kernel. */
const kernelsPerQuerySet = 2048;
const timestampBytes = 8;

async function profileSteps(opened: OpenedDevice, steps: readonly Step[]): Promise<KernelTiming[]> {
  const { device, name } = opened;
  if (!device.features.has('timestamp-query')) {
    throw new MachineError(`the device '${name}' has no timestamp-query, kernels cannot be timed on it`);
  }
  const timings: KernelTiming[] = [];
  let firstNs: bigint | undefined;
  for (let start = 0; start < steps.length; start += kernelsPerQuerySet) {
    const part = steps.slice(start, start + kernelsPerQuerySet);
    const querySet = device.createQuerySet({ type: 'timestamp', count: 2 * part.length });
    const size = 2 * part.length * timestampBytes;
    const resolved = createBuffer(device, { size, usage: bufferUsage.queryResolve | bufferUsage.copyFrom });
    const pool = createReadbackPool(device);
    const encoder = device.createCommandEncoder();
    part.forEach((step, i) => {
      const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
      const pass = encoder.beginComputePass({ label: step.label, timestampWrites });
      encodeSteps(pass, [step]);
      pass.end();
    });
    encoder.resolveQuerySet(querySet, 0, 2 * part.length, resolved, 0);
    const read = pool.record(encoder, [{ buffer: resolved, offsetBytes: 0, sizeBytes: size }]);
    device.queue.submit([encoder.finish()]);
    const [bytes] = await opened.guard(read());
    const timesNs = new BigUint64Array(bytes);
    for (const [i, { label }] of part.entries()) {
      const [startNs, endNs] = [timesNs[2 * i], timesNs[2 * i + 1]];
      firstNs ??= startNs;
      timings.push({ label, startUs: Number(startNs - firstNs) / 1000, timeUs: Number(endNs - startNs) / 1000 });
    }
    querySet.destroy();
    destroyBuffer(device, resolved);
    pool.destroy();
  }
  opened.check();
  return timings;
}

const hostArrays = { f32: Float32Array, f16: Uint16Array, i32: Int32Array } as const;

function planTensor(plan: ExecutablePlan, name: string): PlanTensor {
  if (!Object.hasOwn(plan.tensors, name)) throw new Error(`the plan has no tensor '${name}'`);
  return plan.tensors[name];
}

function elementCount({ shape }: PlanTensor): number {
  return shape.reduce((count, size) => count * size, 1);
}

function regionOf(tensor: PlanTensor, buffers: ReadonlyMap<string, GPUBuffer>): Region {
  const sizeBytes = Math.ceil((elementCount(tensor) * hostArrays[tensor.dtype].BYTES_PER_ELEMENT) / 4) * 4;
  return { buffer: buffers.get(tensor.buffer) as GPUBuffer, offsetBytes: tensor.offsetBytes, sizeBytes };
}

function hostArray(tensor: PlanTensor, bytes: ArrayBuffer): HostArray {
  return new hostArrays[tensor.dtype](bytes, 0, elementCount(tensor));
}

/** The data as the tensor's own array type: float64 is rounded, and floats for an f16 tensor become their bits. */
function uploadable(name: string, tensor: PlanTensor, data: HostArray | Float64Array): HostArray {
  const count = elementCount(tensor);
  if (data.length !== count) {
    throw new Error(`tensor '${name}' (${tensor.shape.join(', ')}) takes ${count} elements, got ${data.length}`);
  }
  const isFloats = data instanceof Float32Array || data instanceof Float64Array;
  if (tensor.dtype === 'f16' && isFloats) return floatsToHalves(data);
  if (tensor.dtype === 'f32' && data instanceof Float64Array) return Float32Array.from(data);
  if (!(data instanceof hostArrays[tensor.dtype])) {
    throw new Error(`tensor '${name}' is ${tensor.dtype}, a ${data.constructor.name} does not go into it`);
  }
  return data;
}

/** In pieces, because the queue stages each write as a whole; an odd number of halves is padded to a multiple of 4 bytes. */
function writeTensor(queue: GPUQueue, { buffer, offsetBytes, sizeBytes }: Region, data: HostArray): void {
  const largestPieceBytes = 2 ** 28;
  let bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length < sizeBytes) {
    const padded = new Uint8Array(sizeBytes);
    padded.set(bytes);
    bytes = padded;
  }
  for (let done = 0; done < sizeBytes; done += largestPieceBytes) {
    const piece = bytes.subarray(done, Math.min(sizeBytes, done + largestPieceBytes));
    queue.writeBuffer(buffer, offsetBytes + done, piece as Uint8Array<ArrayBuffer>);
  }
}
