/**
 * A plan within so many bytes: what would be kept for too long is made again (`recompute.ts`), no more of it than that takes.
 *
 * The trap: what is chosen is chosen by what would be live, but copies move kernels about, and workspaces have gaps. So the plan is tried,
 * and where it still takes too much, less is asked to be live.
 */
import type { Arrangement } from '../arrange.ts';
import { planBytes, type Recomputed } from '../plan.ts';
import type { Streams } from '../streams/streams.ts';
import { peakOf, recomputeSteps, taken } from './recompute.ts';
import { notRemade, type Remade, remake } from './remake.ts';
import { memoryWith, timelineOf } from './timeline.ts';

/** Bytes that a plan may take; or how many they are, by how many it takes with nothing made again. */
export type MemoryBudget = number | ((plainBytes: number) => number);

/** No plan was found that takes so little. */
export class MemoryShortage extends Error {
  override readonly name = 'MemoryShortage';

  /** What the plan may take, what it takes at the least, and what it takes with nothing made again. */
  constructor(
    readonly memoryBytes: number,
    readonly leastBytes: number,
    readonly plainBytes: number,
  ) {
    super(`the plan takes ${leastBytes} bytes at the least, more than ${memoryBytes}`);
  }
}

/** So often is a plan tried that is thought to be small enough, and so many more, over all the way, where none was. */
const mostTries = 8;

/** A program, partly made again, that fits; `isTight` where kernels of several stages, whose tensors all live at once, were too much. */
export interface Fitting {
  readonly remade: Remade;
  readonly isTight: boolean;
}

/** `attempt` arranges a program that is partly made again, with kernels of one stage alone where memory is tight. Throws MemoryShortage. */
export function withinMemory(
  streams: Streams,
  budget: MemoryBudget | undefined,
  attempt: (fitting: Fitting) => Arrangement,
): Fitting {
  const [plain, tight] = [false, true].map((isTight) => ({ remade: notRemade(streams), isTight }));
  if (budget === undefined) return plain;
  const free = attempt(plain);
  const plainBytes = planBytes(free.placements);
  const memoryBytes = typeof budget === 'number' ? budget : budget(plainBytes);
  if (plainBytes <= memoryBytes) return plain;
  const hasResidents = free.dispatches.some((kernels) => kernels.some(({ family }) => family === 'resident'));
  const arranged = hasResidents ? attempt(tight) : free;
  const tightBytes = planBytes(arranged.placements);
  if (tightBytes <= memoryBytes) return tight;
  const timeline = timelineOf(streams.program, arranged.dispatches, arranged.placements);
  const steps = recomputeSteps(timeline);
  let leastBytes = tightBytes;
  const after = (count: number) => {
    const fitting = { remade: remake(streams, timeline, taken(steps.slice(0, count))), isTight: true };
    const bytes = planBytes(attempt(fitting).placements);
    leastBytes = Math.min(leastBytes, bytes);
    return { fitting, bytes };
  };
  const liveAfter = (count: number) => peakOf(memoryWith(timeline, taken(steps.slice(0, count)))!).bytes;
  let live = liveAfter(0) - (tightBytes - memoryBytes);
  for (let count = 0, tries = 0; tries < mostTries && count < steps.length; tries++) {
    count = firstFrom(count + 1, steps.length, (count) => liveAfter(count) <= live);
    const { fitting, bytes } = after(count);
    if (bytes <= memoryBytes) return fitting;
    live -= bytes - memoryBytes;
  }
  // Nothing of what was thought small enough was.
  for (let part = mostTries; part > 0; part--) {
    const { fitting, bytes } = after(Math.ceil((part / mostTries) * steps.length));
    if (bytes <= memoryBytes) return fitting;
  }
  throw new MemoryShortage(memoryBytes, leastBytes, plainBytes);
}

/** The first of `from` … `to` that holds, if those after it do too; `to` where none does. */
function firstFrom(from: number, to: number, holds: (count: number) => boolean): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function recomputedIn({ units }: Remade): Recomputed {
  return {
    tensors: units.flatMap((unit) => unit.makes),
    sizeBytes: units.reduce((total, unit) => total + unit.bytes, 0),
    multiplyAdds: units.reduce((total, unit) => total + unit.multiplyAdds, 0),
  };
}
