/**
 * The plan: what the compiler gives and the runtime runs. Plain data, JSON-able; `manifest.json` of `mlbtcc build` is this with
 * the WGSL in files of its own. The runtime knows nothing of tensors beyond what stands here.
 */
import type { Dtype } from '../ir/program.ts';
import type { Span } from '../syntax/diagnostic.ts';
import type { Choices } from './choose.ts';

export interface PlanBuffer {
  readonly id: string;
  /** A multiple of 4. */
  readonly sizeBytes: number;
  /** `temporary` buffers are shared by tensors whose lifetimes do not meet. */
  readonly role: 'input' | 'output' | 'arena' | 'temporary';
}

export interface PlanBinding {
  readonly buffer: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly access: 'read' | 'read_write';
  /** Tensors that lie there, for people. */
  readonly tensors: readonly string[];
}

/** A tensor that a kernel computes and does not store. */
export interface PlanHeld {
  readonly tensor: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** `tile`: a workgroup holds a tile of it, over and over, in its registers and its memory; `register`: a thread the element that it is at. */
  readonly place: 'tile' | 'register';
}

/** How a stream goes through the tensors that it holds tiles of. Axes by name. */
export interface PlanStream {
  /** A walk for each value of these, and each tile of `rows`. */
  readonly each: readonly string[];
  readonly rows: string;
  readonly along: string;
  /** Tensors that it makes tile by tile and does not store. */
  readonly hides: readonly string[];
  /** Tensors that it makes of them. */
  readonly results: readonly string[];
}

export interface PlanKernel {
  /** Its number and what it makes, for people. */
  readonly label: string;
  /** Tensors that it computes, in the order of computation. */
  readonly makes: readonly string[];
  /** Those of `makes` that lie nowhere in memory. */
  readonly held: readonly PlanHeld[];
  readonly streams: readonly PlanStream[];
  /** Where the equations that it computes were written, as far as a user wrote them. */
  readonly spans: readonly Span[];
  readonly family: string;
  readonly wgsl: string;
  readonly entryPoint: string;
  /** Hash of the code without names: kernels with one key share a pipeline. */
  readonly key: string;
  /** Binding i of group 0 is element i. */
  readonly bindings: readonly PlanBinding[];
  readonly workgroups: readonly [number, number, number];
  readonly tuning: Readonly<Record<string, number | string>>;
  readonly multiplyAdds: number;
  /** Bytes that it must move at least: each binding once. */
  readonly bytes: number;
  readonly equations: readonly string[];
  /** Keys in the plan's `choices` of what was decided about it. */
  readonly choices: readonly string[];
}

export interface PlanTensor {
  readonly buffer: string;
  readonly offsetBytes: number;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Of a temporary tensor: numbers of the kernels that make it first and read it last, views of it included. */
  readonly lasts?: { readonly first: number; readonly last: number };
}

/** What is computed a second time, rather than kept, so that the plan takes no more memory than it may. */
export interface Recomputed {
  readonly tensors: readonly string[];
  /** Of those of them that lie in memory. */
  readonly sizeBytes: number;
  readonly multiplyAdds: number;
}

export interface Plan {
  readonly buffers: readonly PlanBuffer[];
  readonly kernels: readonly PlanKernel[];
  /** Every tensor that lies in memory; those of `temporary` buffers only hold their value while it is needed. */
  readonly tensors: Readonly<Record<string, PlanTensor>>;
  readonly inputs: readonly string[];
  readonly params: readonly string[];
  readonly outputs: readonly string[];
  readonly recomputed: Recomputed;
  /** What was decided about kernels and sums; given to the scheduler again, it makes this plan again. */
  readonly choices: Choices;
}

export function planMultiplyAdds(plan: Plan): number {
  return plan.kernels.reduce((total, kernel) => total + kernel.multiplyAdds, 0);
}

/** Whether a kernel of the plan multiplies on tensor cores (kernels/families/contraction/matrix.ts), alone or among others. */
export function usesTensorCores(kernel: PlanKernel, plan: Plan): boolean {
  const isMatrix = kernel.choices.some((key) => plan.choices.contractions[key]?.form === 'matrix');
  return isMatrix || hasStreamOnTensorCores(kernel, plan);
}

export function hasStreamOnTensorCores({ choices }: PlanKernel, plan: Plan): boolean {
  return choices.some((key) => plan.choices.streams[key]?.matrices !== undefined);
}

export function planBytes(plan: { readonly buffers: readonly { readonly sizeBytes: number }[] }): number {
  return plan.buffers.reduce((total, buffer) => total + buffer.sizeBytes, 0);
}
