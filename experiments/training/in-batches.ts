/** What a step makes of many items, a batch of them at a time. */
import type { Executor } from '../../runtime/executor.ts';

export interface BatchedStep<Item> {
  readonly executor: Executor;
  readonly batch: number;
  /** The tensor that is read of each run. */
  readonly output: string;
  /** Gives the device a whole batch. */
  readonly give: (items: readonly Item[]) => void;
  /** Takes what was made of one item: its part of the output. */
  readonly take: (item: Item, values: Float32Array) => void;
}

/**
 * Runs the step until all items are taken, in their order. The next batch is on its way while the last is read; the last one is filled up
 * with its last item, of which what is made is dropped.
 */
export async function inBatches<Item>(
  items: readonly Item[],
  { executor, batch, output, give, take }: BatchedStep<Item>,
): Promise<void> {
  let taken = Promise.resolve();
  for (let first = 0; first < items.length; first += batch) {
    const some = items.slice(first, first + batch);
    give(Array.from({ length: batch }, (_, n) => some[Math.min(n, some.length - 1)]));
    const reading = executor.runAndRead(output);
    reading.catch(() => undefined);
    taken = taken.then(async () => {
      const values = (await reading).get(output) as Float32Array;
      const size = values.length / batch;
      for (const [n, item] of some.entries()) take(item, values.subarray(n * size, (n + 1) * size));
    });
    // A device that is lost meanwhile is told by the wait below.
    taken.catch(() => undefined);
    await executor.pace();
  }
  await taken;
}
