/**
 * A plan within so many bytes: what would be kept for too long is made again (`recompute.ts`), no more of it than that takes; where all of that
 * is not enough, tensors lie closer in memory too, which takes a step longer. With half of PyTorch's memory a step of icl bilinear_BTT 64 256
 * took 19.2 ms on an H100 by what is made again alone and 20.1 with both, of MLR 64/256 19.4 and 20.1 (test/bench/records/2026-11-28-ends-2.jsonl).
 *
 * The trap: what is chosen is chosen by what would be live, but copies move kernels about, and workspaces have gaps. So the plan is tried,
 * and where it still takes too much, less is asked to be live.
 */
import type { Arrangement } from '../arrange.ts';
import { planBytes, type Recomputed } from '../plan.ts';
import type { Streams } from '../streams/streams.ts';
import type { Packing } from '../workspaces.ts';
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
/** So often again between what is small enough with tensors close to each other and what is not. */
const closeTries = 3;

/**
 * A program, partly made again; `isTight` where what takes memory for speed was too much: kernels of several stages, whose tensors all live at
 * once, and tensors that lie there a second time as two f16.
 */
export interface Trial {
  readonly remade: Remade;
  readonly isTight: boolean;
}

/** One that fits. */
export interface Fitting extends Trial {
  readonly packing: Packing;
}

/** `attempt` arranges a program that is partly made again, with none of that where memory is tight. Throws MemoryShortage. */
export function withinMemory(
  streams: Streams,
  budget: MemoryBudget | undefined,
  attempt: (trial: Trial) => Arrangement,
): Fitting {
  const [plain, tight] = [false, true].map((isTight) => ({ remade: notRemade(streams), isTight }));
  if (budget === undefined) return { ...plain, packing: 'apart' };
  const free = attempt(plain);
  const freePlaces = free.placed('apart');
  const plainBytes = planBytes(freePlaces);
  const memoryBytes = typeof budget === 'number' ? budget : budget(plainBytes);
  if (plainBytes <= memoryBytes) return { ...plain, packing: 'apart' };
  const canTighten = free.dispatches.flat().some(({ family }) => family === 'resident' || family === 'halves');
  const arranged = canTighten ? attempt(tight) : free;
  const places = canTighten ? arranged.placed('apart') : freePlaces;
  const tightBytes = planBytes(places);
  if (tightBytes <= memoryBytes) return { ...tight, packing: 'apart' };
  const timeline = timelineOf(streams.program, arranged.dispatches, places);
  const steps = recomputeSteps(timeline);
  let leastBytes = tightBytes;
  // The fewest steps after which tensors that lie close fit, and all counts after which not even these do.
  let close: { readonly count: number; readonly trial: Trial } | undefined;
  const tooFew = [0];
  const after = (count: number) => {
    const trial = { remade: remake(streams, timeline, taken(steps.slice(0, count))), isTight: true };
    const { placed } = attempt(trial);
    const [bytes, closeBytes] = [planBytes(placed('apart')), planBytes(placed('close'))];
    leastBytes = Math.min(leastBytes, bytes, closeBytes);
    if (closeBytes > memoryBytes) tooFew.push(count);
    else if (close === undefined || count < close.count) close = { count, trial };
    return { fitting: { ...trial, packing: 'apart' } as const, bytes };
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
  for (let tries = 0; tries < closeTries && close !== undefined; tries++) {
    const { count } = close;
    after(Math.ceil((Math.max(...tooFew.filter((few) => few < count)) + count) / 2));
  }
  if (close !== undefined) return { ...close.trial, packing: 'close' };
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
