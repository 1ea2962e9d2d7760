/**
 * Which kernels share a dispatch; kernels in an order → dispatches in an order, each a list of kernels that do not depend on one
 * another and lie side by side in one grid. On a GPU a small step is a count of dispatches: each costs the host 7 µs and the
 * device 2, however little it does (test/bench/records).
 *
 *   q = x·Wq   k = x·Wk   mean(L)   │   S = q·k   L / mean(L)   │   …
 *
 * Each kernel joins the first dispatch after all that it waits for, or opens one at the end; those with the longest way still to go
 * come first. So the gradient of a weight is made beside the next steps back; what only needs parameters is done with the first
 * layer or, where that has no room, just before its own (`latest.ts`), and every layer combines in the same way, so that layers share
 * pipelines. In which order the dispatches then run is `sequence.ts`.
 */

import { commonWorkgroup, type Workgroup, workgroupOf } from '../../../kernels/emit.ts';
import { fillsMultiprocessor } from '../../../kernels/families/contraction/matrix-tile-sizes.ts';
import type { Arrays, Kernel } from '../../../kernels/kernel.ts';
import { kernelParts, kernelReads } from '../../../kernels/statements.ts';
import type { Target } from '../../../kernels/target.ts';
import { tensorMap, viewBase } from '../../ir/equation.ts';
import { multiplyAddsOf } from '../../ir/multiply-adds.ts';
import type { Program } from '../../ir/program.ts';
import { bufferNames } from '../place.ts';
import { isWorkspace, sizeBytes } from '../workspaces.ts';
import { type KernelGraph, kernelGraph } from './kernel-graph.ts';
import { latestDispatches, stepsAfter } from './latest.ts';
import { sequence } from './sequence.ts';

/** Kernels of one dispatch. */
export type Dispatch = readonly [Kernel, ...Kernel[]];

/** Bytes and multiply-adds a microsecond of a GPU that is kept busy. */
const bytesPerUs = 2e6;
const multiplyAddsPerUs = 1e7;
/** What takes less loses less by the company of a kernel that leaves less room than it would by a dispatch of its own. */
const smallUs = 15;
/**
 * The same of loops and rows: beside slabs a multiprocessor holds a third of their threads, and what they wait for memory is not hidden.
 */
const smallBesideSlabsUs = 5;
/** Workspaces of a dispatch beside the one that its temporaries are counted as: what it reads, and what it makes. */
const workspacesBeside = (allowed: number): number => Math.min(3, Math.floor(allowed / 4) - 1);
/** Longer code takes longer to compile than it saves. */
const mostKernels = 16;

interface Draft {
  readonly kernels: Kernel[];
  readonly wishes: Workgroup[];
  readonly buffers: Set<string>;
  /** Dispatches that must be done before. */
  readonly waits: Set<number>;
  /** Temporaries that it reads or makes. */
  readonly temporaries: Set<string>;
  /** Of the kernel that leaves the least room. */
  need: Need;
  /** Of the large kernel that would leave the most. */
  leastLarge: Need;
}

/**
 * What a kernel takes of a multiprocessor, and all beside it with it, for a dispatch has the registers and the workgroup memory of its
 * greediest kernel: loops and rows leave room for many threads, which is what moves memory fast; blocks of sums in registers
 * leave less, slabs in workgroup memory less again. Slabs that leave no room for a second workgroup, as those of the largest tiles on tensor
 * cores do, leave products on f32 units waiting, which are many small workgroups: 17 TFLOP/s on an H100 where they have 30 or more.
 */
const needs = { little: 0, registers: 1, slabs: 2, all: 3 } as const;
type Need = (typeof needs)[keyof typeof needs];

export function combineKernels(
  program: Program,
  kernels: readonly Kernel[],
  inPlace: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  target: Target,
): Dispatch[] {
  const graph = kernelGraph(program, kernels, inPlace, after);
  const tensors = tensorMap(program);
  const layouts: Arrays = (name) => tensors.get(name)!;
  const bufferOf = bufferNames(program, inPlace);
  const bytesOf = (name: string): number => sizeBytes(tensors.get(name)!);
  const described = kernels.map((kernel): Candidate => {
    const touched = touchedBy(kernel);
    const need = needOf(kernel);
    const isLarge = estimateUs(kernel, touched, bytesOf) > (need === needs.little ? smallBesideSlabsUs : smallUs);
    return {
      kernel,
      wish: workgroupOf(kernel, { target, layouts }),
      need,
      leastLarge: isLarge ? need : needs.all,
      buffers: new Set(touched.map(bufferOf)),
      temporaries: touched.filter((name) => isWorkspace(bufferOf(name))).map((name) => viewBase(name, tensors)),
    };
  });
  const states = new Set(program.updates.map(({ state }) => state));
  const isInput = (name: string): boolean => tensors.get(name)!.source.kind === 'input' && !states.has(name);
  const readsInput = (k: number): boolean => touchedBy(kernels[k]).some((name) => isInput(viewBase(name, tensors)));
  const soon = fill(described, graph, target, []);
  const { drafts } = fill(described, graph, target, latestDispatches(graph, soon.doneIn, readsInput));
  return sequence(drafts, bytesOf).map((at) => drafts[at].kernels as [Kernel, ...Kernel[]]);
}

/** Dispatches that all kernels have joined, and the dispatch of each; those of which `latest` says so join the last one that will do. */
function fill(
  candidates: readonly Candidate[],
  graph: KernelGraph,
  target: Target,
  latest: readonly (number | undefined)[],
): { readonly drafts: readonly Draft[]; readonly doneIn: readonly number[] } {
  const drafts: Draft[] = [];
  const doneIn: number[] = [];
  for (const k of criticalFirst(graph)) {
    const candidate = candidates[k];
    const first = Math.max(-1, ...graph[k].map((other) => doneIn[other])) + 1;
    const isOpen = (draft: Draft): boolean => joins(candidate, draft, target);
    const last = drafts.slice(first, (latest[k] ?? first - 1) + 1).findLastIndex(isOpen);
    let at = first + Math.max(0, last);
    while (at < drafts.length && !isOpen(drafts[at])) at++;
    drafts[at] ??= {
      kernels: [],
      wishes: [],
      buffers: new Set(),
      waits: new Set(),
      temporaries: new Set(),
      need: needs.little,
      leastLarge: needs.all,
    };
    addTo(drafts[at], candidate);
    for (const other of graph[k]) drafts[at].waits.add(doneIn[other]);
    doneIn[k] = at;
  }
  return { drafts, doneIn };
}

function addTo(draft: Draft, { kernel, wish, need, leastLarge, buffers, temporaries }: Candidate): void {
  draft.kernels.push(kernel);
  draft.wishes.push(wish);
  if (need > draft.need) draft.need = need;
  if (leastLarge < draft.leastLarge) draft.leastLarge = leastLarge;
  for (const buffer of buffers) draft.buffers.add(buffer);
  for (const name of temporaries) draft.temporaries.add(name);
}

/** Kernels in the order of how many dispatches must still follow: those on the longest way open dispatches, the others fill them. */
function criticalFirst(graph: KernelGraph): readonly number[] {
  const following = stepsAfter(graph);
  return [...graph.keys()].sort((a, b) => following[b] - following[a] || a - b);
}

function touchedBy(kernel: Kernel): readonly string[] {
  const made = kernelParts(kernel).filter((part) => part.stored);
  const inside = new Set(kernelParts(kernel).map((part) => part.tensor));
  const read = [...kernelReads(kernel)].filter((name) => !inside.has(name));
  return [...read, ...made.map((part) => part.tensor)];
}

function needOf(kernel: Kernel): Need {
  if (kernel.family === 'stream' || kernel.family === 'resident') return needs.slabs;
  if (kernel.family !== 'contraction') return needs.little;
  const { tuning } = kernel.choice ?? {};
  if (tuning?.form === 'lanes') return needs.registers;
  return tuning !== undefined && fillsMultiprocessor(tuning) ? needs.all : needs.slabs;
}

function estimateUs(kernel: Kernel, touched: readonly string[], bytesOf: (tensor: string) => number): number {
  const bytes = touched.reduce((total, name) => total + bytesOf(name), 0);
  const equations = kernelParts(kernel).flatMap((part) => part.equations);
  const multiplyAdds = equations.reduce((total, equation) => total + multiplyAddsOf(equation), 0);
  return microseconds(bytes, multiplyAdds);
}

/** What a GPU that is kept busy takes at least. */
export function microseconds(bytes: number, multiplyAdds: number): number {
  return Math.max(bytes / bytesPerUs, multiplyAdds / multiplyAddsPerUs);
}

interface Candidate {
  readonly kernel: Kernel;
  readonly wish: Workgroup;
  readonly need: Need;
  readonly leastLarge: Need;
  readonly buffers: ReadonlySet<string>;
  /** Temporaries that it reads or makes. */
  readonly temporaries: readonly string[];
}

function joins(candidate: Candidate, draft: Draft, target: Target): boolean {
  if (draft.kernels.length >= mostKernels) return false;
  if (commonWorkgroup([...draft.wishes, candidate.wish]) === undefined) return false;
  const buffers = new Set([...draft.buffers, ...candidate.buffers]).size;
  const allowed = target.limits.maxStorageBuffersPerShaderStage;
  if (buffers + workspacesBeside(allowed) > allowed) return false;
  return Math.max(draft.need, candidate.need) <= Math.min(draft.leastLarge, candidate.leastLarge);
}
