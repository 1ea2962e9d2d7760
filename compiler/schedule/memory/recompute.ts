/**
 * Which tensors are made again where they are read late, rather than kept until then, so that less is live at once. Timeline → steps.
 *
 * At the dispatch where most is live, a tensor that was read before and is read again only later could be made again for those later
 * readers. What it is made of must then be there; what is not is made again with it. Of all such tensors those come first that leave
 * most bytes for the time that it takes: maps of one element, then norms, then products, and at last whole layers between two narrow
 * tensors. Those that are as good go together, then what is live is reckoned anew. (Chen et al., "Training Deep Nets with
 * Sublinear Memory Cost", 2016; the greedy choice is that of XLA's rematerialisation.)
 *
 * Nothing here knows of layers, or of a forward and a backward half: only of who reads what, and when.
 *
 * The trap: a tensor is made at most twice, so its copy lasts from the first late reader to the last, the copies made of it included.
 */
import { microseconds } from '../dispatches/combine.ts';
import { type Memory, memoryWith, type Need, needOf, type Splits, type Timeline, type Unit } from './timeline.ts';

/** Tensors that save as much for their time as the best, to this share, are chosen together: those of other layers. */
const asGood = 0.999;

/** A step on the way to less memory: a unit that is made again, and what is made again for it. */
export type Step = Splits;

/** The way to as little that is live at once as can be found, what saves most for its time first. */
export function recomputeSteps(timeline: Timeline): readonly Step[] {
  const steps: Step[] = [];
  const refused = new Set<Unit>();
  let memory = memoryWith(timeline, new Map())!;
  let most = Number.POSITIVE_INFINITY;
  for (;;) {
    const { bytes, time } = peakOf(memory);
    const splits = taken(steps);
    const picked = pick(timeline, memory, splits, time, refused).slice(0, most);
    if (picked.length === 0) return steps;
    const more = memoryWith(timeline, taken([splits, ...picked]));
    if (more !== undefined && more.live[time] < bytes && peakOf(more).bytes <= bytes) {
      steps.push(...picked);
      memory = more;
      most = Number.POSITIVE_INFINITY;
    } else if (picked.length > 1) most = 1;
    else refused.add([...picked[0].keys()][0]);
  }
}

/** All that is made again after these steps. A unit keeps the split that it was given first. */
export function taken(steps: readonly Step[]): Splits {
  const all = new Map<Unit, number>();
  for (const step of steps) for (const [unit, split] of step) if (!all.has(unit)) all.set(unit, split);
  return all;
}

interface Peak {
  readonly bytes: number;
  readonly time: number;
}

export function peakOf({ live }: Memory): Peak {
  let time = 0;
  for (let i = 1; i < live.length; i++) if (live[i] > live[time]) time = i;
  return { bytes: live[time] ?? 0, time };
}

/** A unit that could be made again, with all that must be made again for it; each tensor is thought to be read once for all of them. */
interface Candidate {
  readonly all: Splits;
  /** What is no longer kept, for the time that making it again takes. */
  readonly bytesPerUs: number;
}

/** The best of those that are live at `time` without being read there. */
function pick(
  timeline: Timeline,
  memory: Memory,
  splits: Splits,
  time: number,
  refused: ReadonlySet<Unit>,
): readonly Step[] {
  const candidates = timeline.units
    .filter((unit) => !splits.has(unit) && !refused.has(unit) && isIdle(unit, timeline, memory, time))
    .flatMap((unit) => candidateOf(unit, timeline, memory, splits, time) ?? [])
    .sort((a, b) => b.bytesPerUs - a.bytesPerUs);
  return candidates
    .filter(({ bytesPerUs }) => bytesPerUs > 0 && bytesPerUs >= asGood * candidates[0].bytesPerUs)
    .map(({ all }) => all);
}

/** Whether the unit is kept at that time, made and read before and read after. */
function isIdle(unit: Unit, { readers }: Timeline, { ends, needs }: Memory, time: number): boolean {
  if (!unit.isFree || unit.bytes === 0 || unit.last >= time || ends.get(unit)! <= time) return false;
  return (readers.get(unit) ?? []).every(
    (reader) => (reader.first > time || reader.last < time) && needs.get(reader)?.time !== time,
  );
}

function candidateOf(
  unit: Unit,
  timeline: Timeline,
  memory: Memory,
  splits: Splits,
  time: number,
): Candidate | undefined {
  const need = earliestNeed(unit, timeline, memory, time);
  if (need === undefined) return undefined;
  const all = new Map([[unit, time]]);
  const open = [unit];
  const read = new Set<string>();
  let [savedBytes, movedBytes, multiplyAdds] = [0, 0, 0];
  for (let made = open.pop(); made !== undefined; made = open.pop()) {
    movedBytes += made.bytes;
    for (const name of made.loads) read.add(name);
    multiplyAdds += made.multiplyAdds;
    if (isIdle(made, timeline, memory, time)) savedBytes += made.bytes;
    for (const name of made.reads) {
      const source = timeline.unitOf.get(name);
      if (source === undefined || source.staysPut || all.has(source) || splits.has(source)) continue;
      const end = memory.ends.get(source)!;
      if (source.bytes > 0 && end >= need.time) continue;
      if (!source.isFree) return undefined;
      all.set(source, Math.max(time, end));
      open.push(source);
    }
  }
  for (const name of read) movedBytes += timeline.bytesOf(name);
  return { all, bytesPerUs: savedBytes / microseconds(movedBytes, multiplyAdds) };
}

/** When the copy of a unit would be made for those that read it after `time`. */
function earliestNeed(unit: Unit, timeline: Timeline, { needs }: Memory, time: number): Need | undefined {
  const late = (timeline.readers.get(unit) ?? []).flatMap((reader): Need[] => {
    const copied = needs.get(reader);
    const own =
      reader.first > time ? [needOf(timeline, reader, time) ?? { anchor: '', time, position: reader.position }] : [];
    return copied !== undefined && copied.time > time ? [...own, copied] : own;
  });
  if (late.length === 0) return undefined;
  const earliest = late.reduce((a, b) => (b.position < a.position ? b : a));
  return earliest.anchor === '' ? undefined : earliest;
}
