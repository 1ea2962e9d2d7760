/** How long a plan takes on the device, queued one run after the other and with a wait after each. */
import type { Executor } from '../../runtime/executor.ts';

/** An idle GPU needs a second under load to reach its clock. */
export const warmUpMs = 1500;

/** Means over queued runs, the median of those that are waited for. */
export async function time(
  executor: Executor,
  steps: number,
  warmMs: number,
): Promise<{ stepMs: number; waitedMs: number }> {
  const step = async (): Promise<void> => {
    executor.run();
    await executor.pace();
  };
  const begun = performance.now();
  do await step();
  while (performance.now() - begun < warmMs);
  await executor.finish();
  const from = performance.now();
  for (let i = 0; i < steps; i++) await step();
  await executor.finish();
  const stepMs = (performance.now() - from) / steps;
  const waits: number[] = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    executor.run();
    await executor.finish();
    waits.push(performance.now() - start);
  }
  return { stepMs, waitedMs: waits.sort((a, b) => a - b)[steps >> 1] };
}

export function round(value: number): number {
  return Number(value.toPrecision(4));
}
