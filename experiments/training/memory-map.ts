/**
 * Where the tensors of a plan live and how long: what lies in workspaces where most does, by what it is for, and what lies in none.
 *
 *   kernel      0   1   2   3   4   5
 *   x           ├───────────────────┤     kept: made in the forward half, read last in the backward half
 *   y               ├───────┤             temporary
 *   cot~y                   ├───┤         temporary
 *                           ↑ the peak
 *
 * The trap: workspaces are larger than what is live at any time, for a tensor has one place from its first kernel to its last. What is
 * between is told as gaps, so that parts add up to what the buffers take.
 */
import type { Plan, PlanHeld } from '../../compiler/schedule/plan.ts';

/** `made again`: a second time, for the backward half, rather than kept. */
export type Use = 'kept' | 'temporary' | 'made again';

/** A tensor in a workspace; `first` and `last` are numbers of kernels. */
export interface Resident {
  readonly tensor: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
  readonly use: Use;
}

/** A tensor that kernels compute and that lies in no memory; `bytes` are what it would take. */
export interface Unstored {
  readonly tensor: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly place: PlanHeld['place'];
}

/** A tensor that is computed a second time; `bytes` are what it takes, or would where it is stored neither time. */
export type Remade = Pick<Unstored, 'tensor' | 'shape' | 'bytes'>;

export interface MemoryMap {
  /** The kernel at which most bytes of workspaces are live: its number, of how many, and what it makes. */
  readonly peak: { readonly kernel: number; readonly kernels: number; readonly makes: readonly string[] };
  /** What is live there, largest first. */
  readonly residents: readonly Resident[];
  readonly keptBytes: number;
  readonly temporaryBytes: number;
  /** What workspaces take beyond that. */
  readonly gapBytes: number;
  readonly unstored: readonly Unstored[];
  readonly remade: readonly Remade[];
}

export function memoryMap(plan: Plan): MemoryMap {
  const all = residentsOf(plan);
  const change = new Float64Array(plan.kernels.length + 1);
  for (const { bytes, first, last } of all) {
    change[first] += bytes;
    change[last + 1] -= bytes;
  }
  let [live, most, kernel] = [0, 0, 0];
  for (let at = 0; at < plan.kernels.length; at++) {
    live += change[at];
    if (live > most) [most, kernel] = [live, at];
  }
  const residents = all
    .filter(({ first, last }) => first <= kernel && kernel <= last)
    .sort((a, b) => b.bytes - a.bytes);
  const keptBytes = total(residents.filter(({ use }) => use === 'kept'));
  const workspaces = plan.buffers.filter(({ role }) => role === 'temporary');
  return {
    peak: { kernel, kernels: plan.kernels.length, makes: plan.kernels[kernel]?.makes ?? [] },
    residents,
    keptBytes,
    temporaryBytes: most - keptBytes,
    gapBytes: workspaces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) - most,
    unstored: unstoredOf(plan),
    remade: remadeIn(plan),
  };
}

const isOfBackward = (tensor: string): boolean => /^(grad\.|cot[.~])/.test(tensor);

function residentsOf({ tensors, kernels }: Plan): readonly Resident[] {
  return Object.entries(tensors).flatMap(([tensor, { shape, dtype, lasts }]) => {
    if (lasts === undefined) return [];
    const isKept = !isOfBackward(tensor) && kernels[lasts.last].makes.some(isOfBackward);
    const use = tensor.includes('~again') ? 'made again' : isKept ? 'kept' : 'temporary';
    return [{ tensor, shape, bytes: bytesOf(shape, dtype), ...lasts, use }];
  });
}

function unstoredOf({ tensors, kernels }: Plan): readonly Unstored[] {
  const found = new Map<string, Unstored>();
  for (const { held } of kernels)
    for (const { tensor, shape, dtype, place } of held)
      if (tensors[tensor] === undefined) found.set(tensor, { tensor, shape, bytes: bytesOf(shape, dtype), place });
  return [...found.values()].sort((a, b) => b.bytes - a.bytes);
}

function remadeIn({ tensors, kernels, recomputed }: Plan): readonly Remade[] {
  const held = new Map(kernels.flatMap((kernel) => kernel.held.map((one) => [one.tensor, one] as const)));
  return recomputed.tensors.flatMap((tensor) => {
    const found = tensors[tensor] ?? held.get(tensor);
    return found === undefined ? [] : [{ tensor, shape: found.shape, bytes: bytesOf(found.shape, found.dtype) }];
  });
}

function bytesOf(shape: readonly number[], dtype: string): number {
  return shape.reduce((n, extent) => n * extent, dtype === 'f16' ? 2 : 4);
}

function total(tensors: readonly { readonly bytes: number }[]): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Tensors that differ only in the layer that they are of: `body.block.*.mlp_up.y`. */
export interface Alike<T> {
  readonly name: string;
  readonly tensors: readonly T[];
  readonly bytes: number;
}

/** In groups of one shape, those that take most together first. */
export function alike<T extends Resident | Unstored | Remade>(tensors: readonly T[]): readonly Alike<T>[] {
  const groups = new Map<string, T[]>();
  for (const tensor of tensors) {
    const what = 'use' in tensor ? tensor.use : 'place' in tensor ? tensor.place : '';
    const key = [layerless(tensor.tensor), tensor.shape, what].join(' ');
    groups.set(key, [...(groups.get(key) ?? []), tensor]);
  }
  return [...groups.values()]
    .map((group) => ({
      name: group.length === 1 ? group[0].tensor : layerless(group[0].tensor),
      tensors: group,
      bytes: total(group),
    }))
    .sort((a, b) => b.bytes - a.bytes);
}

const layerless = (name: string): string => name.replace(/(?<=\.)\d+(?=\.)/g, '*');
