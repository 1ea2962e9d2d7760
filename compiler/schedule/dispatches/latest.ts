/**
 * Which kernels wait until just before they are asked for. What only needs parameters could all be done with the first layer; done
 * before its own layer it shares a dispatch with the same kernels in every layer, so that layers share pipelines, and it lies in
 * memory no longer than it must.
 *
 *   norms of W0 W1 W2   │   layer 0   │   layer 1   │   layer 2    →    norms of W0   │   layer 0, norms of W1   │   layer 1, norms of W2   │   layer 2
 */
import type { KernelGraph } from './kernel-graph.ts';

/**
 * Where the first dispatches have room for all of it, no kernel more than so many later than it could be, it is better done there, side by
 * side: six times the wait for a small kernel in six dispatches is 4 % of the smallest step of test/bench on an H100.
 */
const mostDelay = 4;

/**
 * For each kernel the last dispatch that is early enough for all that wait for it, if it may wait: neither it nor what it is made of reads
 * an input (`readsInput`) or lies on a longest way through the graph. All else is done as soon as it can be. `doneIn`: the dispatch of each.
 */
export function latestDispatches(
  graph: KernelGraph,
  doneIn: readonly number[],
  readsInput: (kernel: number) => boolean,
): readonly (number | undefined)[] {
  const [before, following] = [stepsBefore(graph), stepsAfter(graph)];
  const longest = Math.max(0, ...following);
  const mayWait: boolean[] = [];
  for (const [k, others] of graph.entries()) {
    const isAside = before[k] + following[k] < longest && !readsInput(k);
    mayWait.push(isAside && others.every((other) => mayWait[other]));
  }
  const latest = graph.map((): number | undefined => undefined);
  const delay = Math.max(0, ...doneIn.map((at, k) => (mayWait[k] ? at - before[k] : 0)));
  if (delay <= mostDelay) return latest;
  for (let k = graph.length - 1; k >= 0; k--) {
    const asked = mayWait[k] ? latest[k] : doneIn[k];
    if (asked === undefined) continue;
    for (const other of graph[k]) if (mayWait[other]) latest[other] = Math.min(latest[other] ?? asked - 1, asked - 1);
  }
  return latest;
}

/** How many kernels must be done before each, one after another. */
export function stepsBefore(graph: KernelGraph): readonly number[] {
  const before: number[] = [];
  for (const others of graph) before.push(Math.max(0, ...others.map((other) => before[other] + 1)));
  return before;
}

/** How many kernels must still follow each, one after another. */
export function stepsAfter(graph: KernelGraph): readonly number[] {
  const following = new Array<number>(graph.length).fill(0);
  for (let k = graph.length - 1; k >= 0; k--)
    for (const other of graph[k]) following[other] = Math.max(following[other], following[k] + 1);
  return following;
}
