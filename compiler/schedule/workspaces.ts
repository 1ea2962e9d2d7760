/**
 * Workspaces, a few buffers in which temporary tensors lie. Those whose lifetimes, counted in dispatches, do not meet may have the same
 * place.
 *
 * The trap: a buffer that a dispatch writes is bound for writing wherever the dispatch reads it too, and what is bound for writing is
 * read past the caches that a GPU has for what stays as it is: steps took up to a tenth longer. So what a dispatch makes lies in
 * another workspace than what it reads, where there is one, unless a budget asks for less memory (`Packing`).
 */
import type { Kernel } from '../../kernels/kernel.ts';
import { exponentBytes } from '../../kernels/parts/halves.ts';
import { kernelParts, kernelReads } from '../../kernels/statements.ts';
import type { TargetLimits } from '../../kernels/target.ts';
import { tensorMap, viewBase } from '../ir/equation.ts';
import { addTo } from '../ir/lists.ts';
import type { Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { type PlanBuffer, planBytes } from './plan.ts';

export interface Placement {
  readonly buffer: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Of those that lie side by side as one: see `blocksOf`. */
  readonly block?: string;
}

export interface Placements {
  readonly buffers: readonly PlanBuffer[];
  readonly of: ReadonlyMap<string, Placement>;
}

export function sizeBytes(tensor: Tensor): number {
  const bytes = elementCount(tensor.shape) * (tensor.dtype === 'f16' ? 2 : 4);
  return Math.ceil(bytes / 4) * 4 + (tensor.inHalves ? exponentBytes : 0);
}

/** Temporary tensors begin at multiples of this: no device asks for more of a binding. */
const granuleBytes = 256;

/** Elements of one binding have one type, so temporaries of each dtype have a workspace of their own. */
export const workspaceName = (dtype: Tensor['dtype']): string => `workspace ${dtype}`;

export const isWorkspace = (buffer: string): boolean => buffer.startsWith('workspace ');

/** A temporary tensor and the first and last dispatch that it must last for. */
export interface Lifetime {
  readonly tensor: Tensor;
  readonly first: number;
  readonly last: number;
}

/**
 * Whether what a dispatch makes lies apart from what it reads, or wherever workspaces grow least. Close, a step of icl low_rank 16 256 took
 * 541 MiB and 3.72 ms on an H100 in place of 594 and 3.50, and with all computed again that saves memory 219 MiB in place of 307
 * (test/bench/records/2026-11-28-ends-2.jsonl).
 */
export type Packing = 'apart' | 'close';

/** Places for temporaries in workspaces: by the way of choosing workspaces, and the order of cutting them, that take least. */
export function placeTemporaries(
  program: Program,
  dispatches: readonly (readonly Kernel[])[],
  temporaries: readonly Lifetime[],
  limits: TargetLimits,
  packing: Packing,
): Placements {
  const tensors = tensorMap(program);
  const blocks = blocksOf(temporaries, dispatches, tensors, limits);
  return preferences[packing]
    .map((prefer) => workspaceNumbers(temporaries, dispatches, tensors, prefer))
    .flatMap((numbers) => orders.map((weigh) => cutWorkspaces(program, sorted(blocks, weigh), numbers, limits)))
    .reduce((a, b) => (planBytes(b) < planBytes(a) ? b : a));
}

/** What decides which blocks are given a place first: bytes, or bytes times how long they lie. Neither takes less for every model. */
const orders: readonly ((block: Block) => number)[] = [
  ({ sizeBytes }) => sizeBytes,
  ({ sizeBytes, first, last }) => sizeBytes * (last - first + 1),
];

const sorted = (blocks: readonly Block[], weigh: (block: Block) => number): readonly Block[] =>
  [...blocks].sort((a, b) => weigh(b) - weigh(a) || a.first - b.first);

/** Workspaces that what is made goes to: so many that hardly a dispatch reads all of them. */
export const workspaceCount = 6;

/**
 * Which workspace what a dispatch makes goes to: of those that it reads least of, nothing if possible, the first or the one that grows least;
 * or of those that grow least the one that it reads least of. Neither of the first two takes less for every model.
 */
type Preference = 'the lowest number' | 'least growth' | 'growth before reads';
const preferences: Readonly<Record<Packing, readonly Preference[]>> = {
  apart: ['the lowest number', 'least growth'],
  close: ['growth before reads'],
};

/** For each temporary the number of its workspace. */
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
    const growth = live.map((bytes, n) => Math.max(0, bytes + bytesMade - most[n]));
    const number = preferred(prefer, bytesRead, growth);
    for (const name of made) numbers.set(name, number);
    live[number] += bytesMade;
    most[number] = Math.max(most[number], live[number]);
    for (const name of endsIn.get(i) ?? []) live[numbers.get(name)!] -= bytesOf(name);
  });
  return numbers;
}

function preferred(prefer: Preference, bytesRead: readonly number[], growth: readonly number[]): number {
  const least = (by: readonly number[], among: readonly number[]): readonly number[] => {
    const few = Math.min(...among.map((n) => by[n]));
    return among.filter((n) => by[n] === few);
  };
  const all = [...growth.keys()];
  switch (prefer) {
    case 'the lowest number':
      return least(bytesRead, all)[0];
    case 'least growth':
      return least(growth, least(bytesRead, all))[0];
    case 'growth before reads':
      return least(bytesRead, least(growth, all))[0];
    default:
      return prefer satisfies never;
  }
}

/** Temporaries of one dtype that lie side by side: one, or several of one lifetime. */
interface Block extends Omit<Lifetime, 'tensor'> {
  readonly tensors: readonly [Tensor, ...Tensor[]];
  readonly sizeBytes: number;
}

const placeBytes = (tensor: Tensor): number => Math.ceil(sizeBytes(tensor) / granuleBytes) * granuleBytes;

/** The most that one binding may be. */
const mostBytesOf = ({ maxBufferSize, maxStorageBufferBindingSize }: TargetLimits): number =>
  Math.min(maxBufferSize, maxStorageBufferBindingSize);

/**
 * Where a dispatch touches more tensors than it can bind one by one, those that one dispatch makes and that last as long lie side by side, in
 * the order in which they are made: bound as one, they are in the same places in it whatever else lies in memory, so that the code
 * that says those places is the same for every layer.
 */
function blocksOf(
  temporaries: readonly Lifetime[],
  dispatches: readonly (readonly Kernel[])[],
  tensors: ReadonlyMap<string, Tensor>,
  limits: TargetLimits,
): readonly Block[] {
  const crowded = new Set<string>();
  for (const kernels of dispatches) {
    const stored = kernels.flatMap(kernelParts).flatMap((part) => (part.stored ? [part.tensor] : []));
    const touched = new Set([...stored, ...kernels.flatMap((kernel) => [...kernelReads(kernel)])]);
    if (touched.size <= limits.maxStorageBuffersPerShaderStage) continue;
    for (const name of touched) crowded.add(viewBase(name, tensors));
  }
  const open = new Map<string, Block>();
  const blocks: Block[] = [];
  for (const { tensor, first, last } of temporaries) {
    const key = crowded.has(tensor.name) ? `${tensor.dtype} from ${first} to ${last}` : tensor.name;
    const begun = open.get(key);
    const added = (begun?.sizeBytes ?? 0) + placeBytes(tensor);
    if (begun === undefined || added > mostBytesOf(limits)) {
      if (begun !== undefined) blocks.push(begun);
      open.set(key, { tensors: [tensor], first, last, sizeBytes: placeBytes(tensor) });
    } else open.set(key, { ...begun, tensors: [...begun.tensors, tensor], sizeBytes: added });
  }
  return [...blocks, ...open.values()];
}

interface Placed extends Block {
  readonly from: number;
  readonly to: number;
}

interface Workspace {
  readonly dtype: Tensor['dtype'];
  readonly number: number;
  /** Ascending, as `lowestFree` wants them. */
  readonly placed: Placed[];
}

/**
 * Cuts workspaces by lifetimes: block after block, each at the lowest place that is free as long as it lasts. A
 * workspace is no larger than one binding may be, for kernels of one dispatch see it as one.
 */
function cutWorkspaces(
  program: Program,
  blocks: readonly Block[],
  numbers: ReadonlyMap<string, number>,
  limits: TargetLimits,
): Placements {
  const workspaces: Workspace[] = [];
  for (const block of blocks) {
    const { first, last, sizeBytes: size } = block;
    const [{ dtype, name }] = block.tensors;
    const number = numbers.get(name)!;
    const fits = workspaces
      .filter((workspace) => workspace.dtype === dtype && workspace.number === number)
      .map((workspace) => ({ workspace, from: lowestFree(workspace.placed, size, first, last) }))
      .find(({ from }) => from + size <= mostBytesOf(limits));
    const { workspace, from } = fits ?? { workspace: { dtype, number, placed: [] }, from: 0 };
    if (fits === undefined) workspaces.push(workspace);
    const { placed } = workspace;
    placed.splice(placed.findLastIndex((other) => other.from <= from) + 1, 0, { ...block, from, to: from + size });
  }
  const buffers: PlanBuffer[] = [];
  const of = new Map<string, Placement>();
  for (const [id, { placed }] of named(workspaces, program)) {
    buffers.push({ id, sizeBytes: Math.max(...placed.map(({ to }) => to)), role: 'temporary' });
    for (const block of placed) placeBlock(block, id, of);
  }
  return { buffers, of };
}

/** Workspaces by names that no tensor has, numbered as they come into use. */
function named(workspaces: readonly Workspace[], program: Program): ReadonlyMap<string, Workspace> {
  const taken = new Set(program.tensors.map(({ name }) => name));
  const firstUse = ({ placed }: Workspace): number => Math.min(...placed.map(({ first }) => first));
  const names = new Map<string, Workspace>();
  for (const workspace of [...workspaces].sort((a, b) => firstUse(a) - firstUse(b))) {
    const { dtype } = workspace;
    const same = [...names.values()].filter((other) => other.dtype === dtype).length;
    let id = same === 0 ? workspaceName(dtype) : `${workspaceName(dtype)} ${same + 1}`;
    while (taken.has(id)) id += '~';
    names.set(id, workspace);
  }
  return names;
}

function placeBlock({ tensors, from }: Placed, buffer: string, of: Map<string, Placement>): void {
  let offsetBytes = from;
  for (const tensor of tensors) {
    const place = { buffer, offsetBytes, sizeBytes: sizeBytes(tensor) };
    of.set(tensor.name, tensors.length === 1 ? place : { ...place, block: `block of ${tensors[0].name}` });
    offsetBytes += placeBytes(tensor);
  }
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
