/**
 * The order in which dispatches run: one that leaves less in memory than it found comes as soon as all is done that it waits for; all
 * else keeps its order.
 *
 *   cot~y   cot~x   cot~w   …   grad.W = cot~y·x    →    cot~y   grad.W   cot~x   cot~w   …      neither x nor cot~y is kept any longer
 *
 * Dispatches come in the order in which `combine.ts` opened them: what nothing waits for comes last. On tensor cores, where a product
 * shares no dispatch with another, those are the gradients of all weights, and until then all lay in memory that they are made of. In
 * this order a step of the language model of test/bench with low-rank scores takes 2,233 MiB on an H100, in that one 2,740.
 */

/** A dispatch, as far as its place in the order depends on it. */
export interface Sequenced {
  /** Numbers of the dispatches that must be done before; all are lower than its own. */
  readonly waits: ReadonlySet<number>;
  /** Tensors that it reads or makes and that last from the first dispatch that touches them to the last. */
  readonly temporaries: ReadonlySet<string>;
}

/** Numbers of dispatches, as they run one after another. */
export function sequence(dispatches: readonly Sequenced[], bytesOf: (tensor: string) => number): readonly number[] {
  const touchesLeft = new Map<string, number>();
  for (const { temporaries } of dispatches)
    for (const name of temporaries) touchesLeft.set(name, (touchesLeft.get(name) ?? 0) + 1);
  const live = new Set<string>();
  /** Bytes that are live after the dispatch and were not before. */
  const growth = (at: number): number =>
    [...dispatches[at].temporaries].reduce(
      (total, name) => total + (live.has(name) ? 0 : bytesOf(name)) - (touchesLeft.get(name) === 1 ? bytesOf(name) : 0),
      0,
    );
  const order: number[] = [];
  const done = new Set<number>();
  const isReady = (at: number): boolean => !done.has(at) && [...dispatches[at].waits].every((other) => done.has(other));
  while (order.length < dispatches.length) {
    const [first, ...others] = [...dispatches.keys()].filter(isReady);
    const next = others.reduce((best, at) => (growth(at) < Math.min(0, growth(best)) ? at : best), first);
    order.push(next);
    done.add(next);
    for (const name of dispatches[next].temporaries) {
      live.add(name);
      touchesLeft.set(name, touchesLeft.get(name)! - 1);
      if (touchesLeft.get(name) === 0) live.delete(name);
    }
  }
  return order;
}
