/**
 * Where each tensor lies: dispatches and program → buffers and placements.
 *
 * Inputs, params and outputs have buffers of their own; a `concat` is one arena in which its parts lie where they are made, a
 * `view` lies in its base; a state's next value takes the place of the state where each thread reads the old element before it
 * writes the new one. All else is temporary and lies in a few workspaces, where tensors whose lifetimes, counted in dispatches, do
 * not meet may have the same place.
 *
 * The trap: a buffer that a dispatch writes is bound for writing wherever the dispatch reads it too, and what is bound for writing is
 * read past the caches that a GPU has for what stays as it is: steps took up to a tenth longer. So what a dispatch makes lies in
 * another workspace than what it reads, where there is one.
 */

import type { Kernel } from '../../kernels/kernel.ts';
import { flatIndex } from '../../kernels/parts/linear.ts';
import { kernelParts, kernelReads, readAsIndex } from '../../kernels/statements.ts';
import type { TargetLimits } from '../../kernels/target.ts';
import { equalAffine } from '../ir/affine.ts';
import { readTensors, tensorMap, viewBase } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import { addTo } from '../ir/lists.ts';
import type { Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { type PlanBuffer, planBytes } from './plan.ts';

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

/** Temporary tensors begin at multiples of this: no device asks for more of a binding. */
const granuleBytes = 256;

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

/** Elements of one binding have one type, so temporaries of each dtype have a workspace of their own. */
const workspaceName = (dtype: Tensor['dtype']): string => `workspace ${dtype}`;

export const isWorkspace = (buffer: string): boolean => buffer.startsWith('workspace ');

export function placeTensors(
  program: Program,
  dispatches: readonly (readonly Kernel[])[],
  inPlace: ReadonlyMap<string, string>,
  limits: TargetLimits,
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
  const workspaces = preferences
    .map((prefer) => workspaceNumbers(temporaries, dispatches, tensors, prefer))
    .map((numbers) => cutWorkspaces(program, temporaries, numbers, limits))
    .reduce((a, b) => (planBytes(b) < planBytes(a) ? b : a));
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

/** A temporary tensor and the first and last dispatch that it must last for. */
interface Lifetime {
  readonly tensor: Tensor;
  readonly first: number;
  readonly last: number;
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

/** Workspaces that what is made goes to: so many that hardly a dispatch reads all of them. */
const workspaceCount = 6;

/** Which of several workspaces that a dispatch does not read what it makes goes to. No way takes less than the others for every model. */
type Preference = 'the lowest number' | 'least growth';
const preferences: readonly Preference[] = ['the lowest number', 'least growth'];

/** For each temporary the number of a workspace of which the dispatch that makes it reads least, nothing if possible. */
function workspaceNumbers(
  temporaries: readonly Lifetime[],
  dispatches: readonly (readonly Kernel[])[],
  tensors: ReadonlyMap<string, Tensor>,
  prefer: Preference,
): ReadonlyMap<string, number> {
  const bytesOf = (name: string): number => sizeBytes(tensors.get(name)!);
  const madeIn = new Map<number, string[]>();
  const endsIn = new Map<number, string[]>();
  for (const { tensor, first, last } of temporaries) {
    addTo(madeIn, first, tensor.name);
    addTo(endsIn, last, tensor.name);
  }
  const numbers = new Map<string, number>();
  const live = new Array<number>(workspaceCount).fill(0);
  const most = new Array<number>(workspaceCount).fill(0);
  dispatches.forEach((kernels, i) => {
    const bytesRead = new Array<number>(workspaceCount).fill(0);
    const read = new Set(kernels.flatMap((kernel) => [...kernelReads(kernel)].map((name) => viewBase(name, tensors))));
    for (const name of read) {
      const number = numbers.get(name);
      if (number !== undefined) bytesRead[number] += bytesOf(name);
    }
    const made = madeIn.get(i) ?? [];
    const bytesMade = made.reduce((total, name) => total + bytesOf(name), 0);
    const leastRead = Math.min(...bytesRead);
    const growth = live.map((bytes, n) => Math.max(0, bytes + bytesMade - most[n]));
    const free = [...live.keys()].filter((n) => bytesRead[n] === leastRead);
    const number = prefer === 'least growth' ? free.reduce((a, b) => (growth[b] < growth[a] ? b : a)) : free[0];
    for (const name of made) numbers.set(name, number);
    live[number] += bytesMade;
    most[number] = Math.max(most[number], live[number]);
    for (const name of endsIn.get(i) ?? []) live[numbers.get(name)!] -= bytesOf(name);
  });
  return numbers;
}

interface Placed extends Lifetime {
  readonly from: number;
  readonly to: number;
}

interface Workspace {
  readonly id: string;
  readonly dtype: Tensor['dtype'];
  readonly number: number;
  readonly placed: Placed[];
}

/**
 * Cuts workspaces by lifetimes: the largest tensors first, each at the lowest place that is free as long as it lasts. A
 * workspace is no larger than one binding may be, for kernels of one dispatch see it as one.
 */
function cutWorkspaces(
  program: Program,
  temporaries: readonly Lifetime[],
  numbers: ReadonlyMap<string, number>,
  { maxBufferSize, maxStorageBufferBindingSize }: TargetLimits,
): Placements {
  const mostBytes = Math.min(maxBufferSize, maxStorageBufferBindingSize);
  const of = new Map<string, Placement>();
  const taken = new Set(program.tensors.map(({ name }) => name));
  const workspaces: Workspace[] = [];
  const bySize = [...temporaries].sort((a, b) => sizeBytes(b.tensor) - sizeBytes(a.tensor) || a.first - b.first);
  for (const lifetime of bySize) {
    const { tensor, first, last } = lifetime;
    const size = Math.ceil(sizeBytes(tensor) / granuleBytes) * granuleBytes;
    const fits = workspaces
      .filter(({ dtype, number }) => dtype === tensor.dtype && number === numbers.get(tensor.name))
      .map((workspace) => ({ workspace, from: lowestFree(workspace.placed, size, first, last) }))
      .find(({ from }) => from + size <= mostBytes);
    let { workspace, from } = fits ?? { workspace: undefined, from: 0 };
    if (workspace === undefined) {
      const same = workspaces.filter(({ dtype }) => dtype === tensor.dtype).length;
      let id = same === 0 ? workspaceName(tensor.dtype) : `${workspaceName(tensor.dtype)} ${same + 1}`;
      while (taken.has(id)) id += '~';
      workspace = { id, dtype: tensor.dtype, number: numbers.get(tensor.name)!, placed: [] };
      workspaces.push(workspace);
    }
    // Ascending, as `lowestFree` wants them.
    const { placed } = workspace;
    placed.splice(placed.findLastIndex((other) => other.from <= from) + 1, 0, { ...lifetime, from, to: from + size });
    of.set(tensor.name, { buffer: workspace.id, offsetBytes: from, sizeBytes: sizeBytes(tensor) });
  }
  const buffers = workspaces.map(
    ({ id, placed }): PlanBuffer => ({ id, sizeBytes: Math.max(...placed.map(({ to }) => to)), role: 'temporary' }),
  );
  return { buffers, of };
}

function lowestFree(placed: readonly Placed[], size: number, first: number, last: number): number {
  let from = 0;
  for (const other of placed) {
    if (other.last < first || other.first > last) continue;
    if (other.from >= from + size) break;
    from = Math.max(from, other.to);
  }
  return from;
}
