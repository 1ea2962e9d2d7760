/**
 * What takes time before and between the steps of a run, told to whoever listens: `-v` prints it, `--trace` draws it. Stages are
 * timed where they are called, so that the compiler itself stays without clocks; without a listener nothing is kept.
 *
 * The trap: a stage may lie inside another, so durations are not to be added up over different names.
 */

export interface Stage {
  readonly name: string;
  /** What came of it, in a few words: `305 kernels`. */
  readonly detail: string;
  /** On the clock of `performance.now()`. */
  readonly startMs: number;
  readonly endMs: number;
}

type Listener = (stage: Stage) => void;

const listeners = new Set<Listener>();

/** Returns a function that ends the listening. */
export function listenToStages(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function staged<T>(name: string, action: () => T, describe: (result: T) => string = () => ''): T {
  const startMs = performance.now();
  const result = action();
  tell(name, startMs, () => describe(result));
  return result;
}

export async function stagedAsync<T>(
  name: string,
  action: () => Promise<T>,
  describe: (result: T) => string = () => '',
): Promise<T> {
  const startMs = performance.now();
  const result = await action();
  tell(name, startMs, () => describe(result));
  return result;
}

function tell(name: string, startMs: number, detail: () => string): void {
  if (listeners.size === 0) return;
  const stage = { name, detail: detail(), startMs, endMs: performance.now() };
  for (const listener of listeners) listener(stage);
}
