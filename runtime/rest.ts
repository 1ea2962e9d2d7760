/**
 * Waiting without spinning. While a device operation is pending, the Node binding of Dawn polls it in every turn of the event
 * loop, which keeps one core busy for nothing; a software device computes on these same cores, and with two of them it then
 * takes almost twice as long. So the thread sleeps a little between turns.
 *
 * The trap: the sleep blocks the event loop, so all pending operations share one, and it is short: signals and timers wait for it.
 */

/** Sleeps grow from the first to the longest while nothing happens, so that a short operation is not kept waiting. */
const firstSleepMs = 0.05;
const longestSleepMs = 1;

/** Returns a function that awaits an operation, sleeping between the polls. */
export function createRest(): <T>(operation: Promise<T>) => Promise<T> {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let pending = 0;
  let sleepMs = firstSleepMs;
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
