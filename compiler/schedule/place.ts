/**
 * Where each tensor lies: kernels and program → buffers and placements.
 *
 * Inputs, params and outputs have buffers of their own; a `concat` is one arena in which its parts lie where they are made, a
 * `view` lies in its base; a state's next value takes the place of the state where each thread reads the old element before it
 * writes the new one. All else is temporary: two tensors whose lifetimes, counted in kernels, do not meet may share a buffer.
 */

import type { Kernel } from '../../kernels/kernel.ts';
import { flatIndex } from '../../kernels/linear.ts';
import { kernelParts, kernelReads, readAsIndex } from '../../kernels/statements.ts';
import { equalAffine } from '../ir/affine.ts';
import { readTensors, tensorMap } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import { addTo } from '../ir/lists.ts';
import type { Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import type { PlanBuffer } from './plan.ts';

export interface Placement {
  readonly buffer: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

export interface Placements {
  readonly buffers: readonly PlanBuffer[];
  readonly of: ReadonlyMap<string, Placement>;
}

export function sizeBytes(tensor: Tensor): number {
  const bytes = elementCount(tensor.shape) * (tensor.dtype === 'f16' ? 2 : 4);
  return Math.ceil(bytes / 4) * 4;
}

/** Temporary buffers come in multiples of this, so that tensors of nearly one size can share. */
const granuleBytes = 256;

export function placeTensors(program: Program, kernels: readonly Kernel[]): Placements {
  const tensors = tensorMap(program);
  const buffers: PlanBuffer[] = [];
  const of = new Map<string, Placement>();
  const own = (tensor: Tensor, role: PlanBuffer['role']): void => {
    const size = sizeBytes(tensor);
    buffers.push({ id: tensor.name, sizeBytes: size, role });
    of.set(tensor.name, { buffer: tensor.name, offsetBytes: 0, sizeBytes: size });
  };
  for (const tensor of program.tensors)
    if (tensor.source.kind === 'input' || tensor.source.kind === 'param') own(tensor, 'input');
  for (const tensor of program.tensors) {
    if (tensor.source.kind !== 'concat') continue;
    own(tensor, 'arena');
    for (const part of tensor.source.parts) {
      of.set(part.tensor, {
        buffer: tensor.name,
        offsetBytes: part.offset * 4,
        sizeBytes: sizeBytes(tensors.get(part.tensor)!),
      });
    }
  }
  for (const { state, next } of program.updates)
    if (isInPlace(program, kernels, state, next)) of.set(next, of.get(state)!);
  const view = (tensor: Tensor): Placement | undefined => {
    if (tensor.source.kind !== 'view') return of.get(tensor.name);
    const base = view(tensors.get(tensor.source.base)!);
    return (
      base && {
        buffer: base.buffer,
        offsetBytes: base.offsetBytes + tensor.source.offset * 4,
        sizeBytes: sizeBytes(tensor),
      }
    );
  };
  for (const name of program.outputs)
    if (!of.has(name) && tensors.get(name)!.source.kind !== 'view') own(tensors.get(name)!, 'output');
  for (const { next } of program.updates) if (!of.has(next)) own(tensors.get(next)!, 'output');
  placeTemporaries(program, kernels, tensors, of, buffers);
  for (const tensor of program.tensors) {
    if (tensor.source.kind !== 'view') continue;
    const placed = view(tensor);
    if (placed) of.set(tensor.name, placed);
  }
  return { buffers, of };
}

/** Whether `next` may be written over `state`: no later read of it, and in the writing kernel only of the same element before. */
export function isInPlace(program: Program, kernels: readonly Kernel[], state: string, next: string): boolean {
  const tensors = tensorMap(program);
  if (tensors.get(next)!.source.kind !== 'computed' || program.updates.filter((u) => u.next === next).length > 1)
    return false;
  // A part of a concat has its place already.
  const isPart = program.tensors.some(
    ({ source }) => source.kind === 'concat' && source.parts.some((part) => part.tensor === next),
  );
  if (isPart) return false;
  const aliases = new Set([state]);
  for (const { name, source } of program.tensors)
    if (source.kind === 'view' && aliases.has(source.base)) aliases.add(name);
  const writer = kernels.findIndex((kernel) => kernelParts(kernel).some((part) => part.tensor === next));
  const kernel = kernels[writer];
  if (
    kernel?.family !== 'loop' ||
    kernels.slice(writer + 1).some((k) => [...kernelReads(k)].some((name) => aliases.has(name)))
  )
    return false;
  let written = false;
  for (const part of kernelParts(kernel)) {
    const reads = part.equations.flatMap(readTensors).filter((name) => aliases.has(name));
    if (reads.length > 0 && written) return false;
    const shape = tensors.get(part.tensor)!.shape;
    const aligned = part.equations.every((e) => {
      const store = flatIndex(shape, e.store);
      if (readAsIndex(e).some((name) => aliases.has(name))) return false;
      return loads(e.value)
        .filter((l) => aliases.has(l.tensor))
        .every((l) => {
          const flat = l.tensor === state ? flatIndex(tensors.get(state)!.shape, l.indices) : undefined;
          return store && flat && equalAffine(flat, store);
        });
    });
    if (!aligned) return false;
    if (part.tensor === next) written = true;
  }
  return written;
}

function placeTemporaries(
  program: Program,
  kernels: readonly Kernel[],
  tensors: ReadonlyMap<string, Tensor>,
  of: Map<string, Placement>,
  buffers: PlanBuffer[],
): void {
  const baseOf = (name: string): string => {
    const { source } = tensors.get(name)!;
    return source.kind === 'view' ? baseOf(source.base) : name;
  };
  const lastUse = new Map<string, number>();
  kernels.forEach((kernel, i) => {
    for (const name of kernelReads(kernel)) lastUse.set(baseOf(name), i);
    for (const part of kernelParts(kernel))
      if (part.stored) lastUse.set(part.tensor, Math.max(i, lastUse.get(part.tensor) ?? i));
  });
  for (const name of program.outputs) lastUse.set(baseOf(name), Number.POSITIVE_INFINITY);
  // By size, the longest free first: of many buffers few differ in size.
  const free = new Map<number, Buffer[]>();
  const expiring = new Map<number, Buffer[]>();
  let count = 0;
  kernels.forEach((kernel, i) => {
    for (const part of kernelParts(kernel)) {
      if (!part.stored || of.has(part.tensor)) continue;
      const tensor = tensors.get(part.tensor)!;
      const needed = Math.ceil(sizeBytes(tensor) / granuleBytes) * granuleBytes;
      let fitting: Buffer[] | undefined;
      let fittingBytes = 2 * needed;
      for (const [bytes, list] of free) {
        if (list.length === 0 || bytes < needed || bytes > fittingBytes) continue;
        [fitting, fittingBytes] = [list, bytes];
      }
      let buffer = fitting?.shift();
      if (buffer === undefined) {
        buffer = { id: `temporary ${count++}`, sizeBytes: needed };
        buffers.push({ ...buffer, role: 'temporary' });
      }
      of.set(part.tensor, { buffer: buffer.id, offsetBytes: 0, sizeBytes: sizeBytes(tensor) });
      const last = lastUse.get(part.tensor) ?? i;
      addTo(expiring, last, buffer);
    }
    for (const buffer of expiring.get(i) ?? []) addTo(free, buffer.sizeBytes, buffer);
  });
}

interface Buffer {
  readonly id: string;
  readonly sizeBytes: number;
}
