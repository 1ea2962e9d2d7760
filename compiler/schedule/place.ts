/**
 * Where each tensor lies: dispatches and program → buffers and placements.
 *
 * Inputs, params and outputs have buffers of their own; a `concat` is one arena in which its parts lie where they are made, a
 * `view` lies in its base; a state's next value takes the place of the state where each thread reads the old element before it
 * writes the new one. All else is temporary and lies in a few workspaces (`workspaces.ts`).
 */

import type { Kernel } from '../../kernels/kernel.ts';
import { flatIndex } from '../../kernels/parts/linear.ts';
import { kernelParts, kernelReads, readAsIndex } from '../../kernels/statements.ts';
import type { TargetLimits } from '../../kernels/target.ts';
import { equalAffine } from '../ir/affine.ts';
import { readTensors, tensorMap, viewBase } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import type { Program, Tensor } from '../ir/program.ts';
import type { PlanBuffer } from './plan.ts';
import {
  type Lifetime,
  type Packing,
  type Placement,
  type Placements,
  placeTemporaries,
  sizeBytes,
  workspaceName,
} from './workspaces.ts';

/**
 * Updates whose next value is written over the state. Decided before kernels share dispatches: the writer then waits for all
 * other readers of the state (`kernel-graph.ts`).
 */
export function inPlaceUpdates(program: Program, kernels: readonly Kernel[]): ReadonlyMap<string, string> {
  const updates = program.updates.filter(({ state, next }) => isInPlace(program, kernels, state, next));
  return new Map(updates.map(({ state, next }) => [next, state]));
}

/** The buffer that each tensor will lie in; all temporaries of a dtype are taken for one. */
export function bufferNames(program: Program, inPlace: ReadonlyMap<string, string>): (tensor: string) => string {
  const tensors = tensorMap(program);
  const given = new Map(inPlace);
  for (const { name, source } of program.tensors)
    if (source.kind === 'concat') for (const part of source.parts) given.set(part.tensor, name);
  const own = new Set([...program.outputs, ...program.updates.map((u) => u.next)]);
  const bufferOf = (name: string): string => {
    const within = given.get(name);
    if (within !== undefined) return bufferOf(within);
    const { source, dtype } = tensors.get(name)!;
    if (source.kind === 'view') return bufferOf(source.base);
    return source.kind === 'computed' && !own.has(name) ? workspaceName(dtype) : name;
  };
  return bufferOf;
}

export function placeTensors(
  program: Program,
  dispatches: readonly (readonly Kernel[])[],
  inPlace: ReadonlyMap<string, string>,
  limits: TargetLimits,
  packing: Packing,
): Placements {
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
  for (const [next, state] of inPlace) of.set(next, of.get(state)!);
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
  const temporaries = lifetimes(program, dispatches, tensors, of);
  const workspaces = placeTemporaries(program, dispatches, temporaries, limits, packing);
  buffers.push(...workspaces.buffers);
  for (const [name, placement] of workspaces.of) of.set(name, placement);
  for (const tensor of program.tensors) {
    if (tensor.source.kind !== 'view') continue;
    const placed = view(tensor);
    if (placed) of.set(tensor.name, placed);
  }
  return { buffers, of };
}

/** Whether `next` may be written over `state`: no later read of it, and in the writing kernel only of the same element before. */
function isInPlace(program: Program, kernels: readonly Kernel[], state: string, next: string): boolean {
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

function lifetimes(
  program: Program,
  dispatches: readonly (readonly Kernel[])[],
  tensors: ReadonlyMap<string, Tensor>,
  placed: ReadonlyMap<string, Placement>,
): Lifetime[] {
  const baseOf = (name: string): string => viewBase(name, tensors);
  const first = new Map<string, number>();
  const last = new Map<string, number>();
  dispatches.forEach((kernels, i) => {
    for (const kernel of kernels) {
      for (const name of kernelReads(kernel)) last.set(baseOf(name), i);
      for (const { tensor, stored } of kernelParts(kernel)) {
        if (!stored) continue;
        last.set(tensor, i);
        if (!first.has(tensor) && !placed.has(tensor)) first.set(tensor, i);
      }
    }
  });
  for (const name of program.outputs) last.set(baseOf(name), Number.POSITIVE_INFINITY);
  return [...first].map(([name, i]) => ({ tensor: tensors.get(name)!, first: i, last: last.get(name)! }));
}
