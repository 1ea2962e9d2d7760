/**
 * Waiting without spinning. While a device operation is pending, the Node binding of Dawn polls it in every turn of the event
 * loop, which keeps one core busy for nothing; a software device computes on these same cores, and with two of them it then
 * takes almost twice as long. And every poll leaves garbage: 0.1 GB a second where nothing slows it, whose collection stopped the
 * queue of a GPU with steps of 2 ms for 0.1 to 0.3 s, every 1.3 s. So the thread sleeps a little between turns.
 *
 * The trap: the sleep blocks the event loop, so all pending operations share one, and it is short: signals and timers wait for it.
 */

/**
 * Sleeps grow from the first to the longest while nothing happens, so that a short operation is not kept waiting. A GPU has steps of
 * its own to do meanwhile (`maxRunsInFlight`), none of them shorter than its longest sleep.
 */
const sleepsMs = { cpu: { first: 0.05, longest: 1 }, gpu: { first: 0.02, longest: 0.2 } } as const;

/** Returns a function that awaits an operation of a device of the class, sleeping between the polls. */
export function createRest(deviceClass: keyof typeof sleepsMs): <T>(operation: Promise<T>) => Promise<T> {
  const { first: firstSleepMs, longest: longestSleepMs } = sleepsMs[deviceClass];
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let pending = 0;
  let sleepMs: number = firstSleepMs;
  let isSleeping = false;
  const turn = () => {
    if (pending === 0) {
      isSleeping = false;
      return;
    }
    Atomics.wait(cell, 0, 0, sleepMs);
    sleepMs = Math.min(longestSleepMs, sleepMs * 1.5);
    setImmediate(turn);
  };
  return async (operation) => {
    pending++;
    sleepMs = firstSleepMs;
    if (!isSleeping) {
      isSleeping = true;
      setImmediate(turn);
    }
    try {
      return await operation;
    } finally {
      pending--;
    }
  };
}
