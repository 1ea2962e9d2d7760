/**
 * WGSL to compute pipelines, each compiled once a device: kernels with the same structural key share one, however many plans
 * name it. Layouts are explicit, so that a bind group made for one kernel fits every pipeline of the same accesses.
 *
 * The trap: an error scope catches what is called between its push and its pop, so those three calls stand together without
 * an `await` between them; the compilation messages are asked for only when something failed, because asking waits.
 */

import type { OpenedDevice } from './device.ts';

export interface PipelineSource {
  /** Structural hash: equal keys mean equal code up to names and comments. */
  readonly key: string;
  readonly wgsl: string;
  readonly entryPoint: string;
  /** For people: what the kernel computes. */
  readonly label: string;
  readonly bindings: readonly { readonly access: 'read' | 'read_write' }[];
}

/** The generated code does not compile: a mistake of the compiler, never of the user. */
export class KernelError extends Error {
  override readonly name = 'KernelError';
}

/** The visibility bit of a compute shader, as the WebGPU specification numbers it. */
const computeStage = 4;

const layoutsByDevice = new WeakMap<GPUDevice, Map<string, GPUBindGroupLayout>>();

/** The layout of bind group 0 with one storage buffer a binding. */
export function bindGroupLayout(device: GPUDevice, bindings: PipelineSource['bindings']): GPUBindGroupLayout {
  const layouts = layoutsByDevice.get(device) ?? new Map<string, GPUBindGroupLayout>();
  layoutsByDevice.set(device, layouts);
  const key = accessKey(bindings);
  const known = layouts.get(key);
  if (known !== undefined) return known;
  const layout = device.createBindGroupLayout({
    label: key,
    entries: bindings.map(({ access }, binding) => ({
      binding,
      visibility: computeStage,
      buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
    })),
  });
  layouts.set(key, layout);
  return layout;
}

/** The pipeline of a kernel, from the device's cache where it is there. Rejects with KernelError. */
export function computePipeline(opened: OpenedDevice, source: PipelineSource): Promise<GPUComputePipeline> {
  const key = `${source.key} ${source.entryPoint} ${accessKey(source.bindings)}`;
  const known = opened.pipelines.get(key);
  if (known !== undefined) return known;
  const compiling = compile(opened, source);
  opened.pipelines.set(key, compiling);
  compiling.catch(() => opened.pipelines.delete(key));
  return compiling;
}

async function compile(opened: OpenedDevice, source: PipelineSource): Promise<GPUComputePipeline> {
  const { device } = opened;
  const { label, wgsl, entryPoint, bindings } = source;
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label, code: wgsl });
  const moduleError = device.popErrorScope();
  const layout = device.createPipelineLayout({ bindGroupLayouts: [bindGroupLayout(device, bindings)] });
  const pipeline = device.createComputePipelineAsync({ label, layout, compute: { module, entryPoint } });
  try {
    return await opened.guard(pipeline);
  } catch (error) {
    const badModule = (await moduleError.catch(() => null)) !== null;
    throw badModule ? await moduleFailure(module, source) : kernelFailure(source, (error as Error).message.trim());
  }
}

async function moduleFailure(module: GPUShaderModule, source: PipelineSource): Promise<KernelError> {
  const { messages } = await module.getCompilationInfo();
  const lines = source.wgsl.split('\n');
  const shown = messages
    .filter(({ type }) => type === 'error')
    .map(({ lineNum, linePos, message }) => {
      const position = `${lineNum}:${linePos}`;
      const caret = `${' '.repeat(Math.max(0, linePos - 1))}^`;
      return `${message}\n  line ${position}\n  | ${lines[lineNum - 1] ?? ''}\n  | ${caret}`;
    });
  return kernelFailure(source, shown.join('\n'));
}

function kernelFailure({ label }: PipelineSource, problem: string): KernelError {
  return new KernelError(`the kernel '${label}' does not compile: ${problem}`);
}

function accessKey(bindings: PipelineSource['bindings']): string {
  return bindings.map(({ access }) => (access === 'read' ? 'r' : 'w')).join('');
}
