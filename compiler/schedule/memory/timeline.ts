/**
 * What of an arrangement lies in memory when: kernels and dispatches → units with times, and the bytes that are live at each dispatch
 * when some of them are made a second time.
 *
 * A unit is what is made again as one: a tensor, or all results of a stream. Times are dispatches, positions are places in the program.
 * A unit that is made again has a split: whoever comes after it reads the copy, whoever comes before reads the first one, which need not
 * last any longer.
 *
 *   made ─── read ──── split ─────────── read ── read          one that is kept
 *   made ─── read                needed ─ read ── read          one that is made again, once what it is read together with is there
 *
 * The trap: what a copy is made of must be there when the copy is needed, so a copy may ask for others, earlier in the program.
 */

import { tilesOf } from '../../../kernels/families/stream/shape.ts';
import type { Kernel } from '../../../kernels/kernel.ts';
import { kernelParts } from '../../../kernels/statements.ts';
import { readTensors, tensorMap, viewBase } from '../../ir/equation.ts';
import { addTo } from '../../ir/lists.ts';
import { multiplyAddsOf } from '../../ir/multiply-adds.ts';
import type { Equation, Program } from '../../ir/program.ts';
import { heldTensors } from '../../passes/rename.ts';
import { type Placements, sizeBytes } from '../workspaces.ts';

export interface Unit {
  readonly makes: readonly string[];
  /** Tensors of other units, in the place of a view its base. */
  readonly reads: readonly string[];
  /** The same as they are read. */
  readonly loads: readonly string[];
  /** Dispatches in which it is made: several kernels may add to one tensor. */
  readonly first: number;
  readonly last: number;
  /** Where in the program its kernel opens, or it joins one. */
  readonly position: number;
  /** What it keeps in a workspace. */
  readonly bytes: number;
  readonly multiplyAdds: number;
  /** It may be made again: nothing else lies in it or is known by its name. */
  readonly isFree: boolean;
  /** Where it lies it stays as it is: an output, an arena. */
  readonly staysPut: boolean;
}

export interface Timeline {
  readonly units: readonly Unit[];
  readonly unitOf: ReadonlyMap<string, Unit>;
  readonly readers: ReadonlyMap<Unit, readonly Unit[]>;
  readonly bytesOf: (tensor: string) => number;
  readonly dispatches: number;
}

/** When a copy is made: not before `anchor`, and ahead of `position` in the program. */
export interface Need {
  readonly anchor: string;
  readonly time: number;
  readonly position: number;
}

/** Units that are made again, with their splits. */
export type Splits = ReadonlyMap<Unit, number>;

export interface Memory {
  /** Bytes in workspaces, by dispatch. */
  readonly live: Float64Array;
  /** The last dispatch that reads the unit as it was made first. */
  readonly ends: ReadonlyMap<Unit, number>;
  readonly needs: ReadonlyMap<Unit, Need>;
}

export function timelineOf(
  program: Program,
  dispatches: readonly (readonly Kernel[])[],
  placements: Placements,
): Timeline {
  const tensors = tensorMap(program);
  const positions = new Map(program.tensors.map(({ name }, i) => [name, i]));
  const workspaces = new Set(placements.buffers.filter(({ role }) => role === 'temporary').map(({ id }) => id));
  const placeOf = (name: string): string | undefined => placements.of.get(name)?.buffer;
  const bytesOf = (name: string): number => sizeBytes(tensors.get(name)!);
  const held = heldTensors(program);
  const baseOf = (name: string): string => viewBase(name, tensors);
  const units = makings(dispatches)
    .filter(({ makes }) => makes.every((name) => tensors.get(name)!.source.kind === 'computed'))
    .map(({ makes, reads, first, last, multiplyAdds }): Unit => {
      const loads = [...reads].filter((name) => !makes.includes(name));
      const kept = makes.filter((name) => workspaces.has(placeOf(name) ?? ''));
      return {
        makes,
        reads: [...new Set(loads.map(baseOf))],
        loads,
        first,
        last,
        position: Math.max(...makes.map((name) => positions.get(name)!)),
        bytes: kept.reduce((total, name) => total + bytesOf(name), 0),
        multiplyAdds,
        isFree: makes.every((name) => !held.has(name)),
        staysPut: makes.every((name) => placeOf(name) !== undefined && !workspaces.has(placeOf(name)!)),
      };
    });
  const unitOf = new Map(units.flatMap((unit) => unit.makes.map((name) => [name, unit] as const)));
  const readers = new Map<Unit, Unit[]>();
  for (const reader of units)
    for (const unit of new Set(reader.reads.flatMap((name) => unitOf.get(name) ?? []))) addTo(readers, unit, reader);
  return {
    units: [...units].sort((a, b) => a.position - b.position),
    unitOf,
    readers,
    bytesOf,
    dispatches: dispatches.length,
  };
}

/** A unit while its kernels are met. */
interface Making {
  readonly makes: string[];
  readonly reads: Set<string>;
  readonly first: number;
  last: number;
  multiplyAdds: number;
}

function makings(dispatches: readonly (readonly Kernel[])[]): readonly Making[] {
  const made = new Map<string, Making>();
  const add = (makes: string[], equations: readonly Equation[], time: number, inside: ReadonlySet<string>): void => {
    const making = made.get(makes[0]) ?? { makes, reads: new Set(), first: time, last: time, multiplyAdds: 0 };
    making.last = time;
    for (const equation of equations) {
      for (const name of readTensors(equation)) if (!inside.has(name)) making.reads.add(name);
      making.multiplyAdds += multiplyAddsOf(equation);
    }
    for (const name of makes) made.set(name, making);
  };
  for (const [time, kernels] of dispatches.entries()) {
    for (const kernel of kernels) {
      const parts = kernelParts(kernel);
      if (kernel.family === 'stream') {
        const tiles = tilesOf(kernel);
        const results = parts.map(({ tensor }) => tensor).filter((name) => !tiles.has(name));
        const equations = parts.flatMap((part) => part.equations);
        add([...new Set(results)], equations, time, tiles);
      } else for (const { tensor, equations } of parts) add([tensor], equations, time, none);
    }
  }
  return [...new Set(made.values())];
}

const none: ReadonlySet<string> = new Set();

/** What is live when, if these units are made again; undefined where for one of them there is nothing to wait for. */
export function memoryWith(timeline: Timeline, splits: Splits): Memory | undefined {
  const { units, readers, dispatches } = timeline;
  const needs = new Map<Unit, Need>();
  const ends = new Map<Unit, number>();
  const change = new Float64Array(dispatches + 1);
  const lasts = (bytes: number, first: number, last: number): void => {
    change[first] += bytes;
    change[last + 1] -= bytes;
  };
  // Readers come after what they read, so that their copies are known.
  for (const unit of [...units].reverse()) {
    const split = splits.get(unit) ?? Number.POSITIVE_INFINITY;
    const late: Consumer[] = [];
    let end = unit.last;
    for (const reader of readers.get(unit) ?? []) {
      if (reader.first <= split) end = Math.max(end, reader.last);
      else late.push({ end: reader.last, position: reader.position, reader });
      const copied = needs.get(reader);
      if (copied === undefined) continue;
      if (copied.time <= split) end = Math.max(end, copied.time);
      else late.push({ end: copied.time, position: copied.position, copied });
    }
    ends.set(unit, end);
    lasts(unit.bytes, unit.first, end);
    if (late.length === 0) continue;
    const earliest = late.reduce((a, b) => (b.position < a.position ? b : a));
    const need = earliest.copied ?? needOf(timeline, earliest.reader!, split);
    if (need === undefined) return undefined;
    needs.set(unit, need);
    lasts(unit.bytes, need.time, Math.max(need.time, ...late.map((consumer) => consumer.end)));
  }
  const live = new Float64Array(dispatches);
  let bytes = 0;
  for (let i = 0; i < dispatches; i++) {
    bytes += change[i];
    live[i] = bytes;
  }
  return { live, ends, needs };
}

/** Who reads a copy: a unit, or the copy of one. */
interface Consumer {
  readonly end: number;
  readonly position: number;
  readonly reader?: Unit;
  readonly copied?: Need;
}

/** What a reader reads is made again once the last of all else that it reads is there. */
export function needOf({ unitOf }: Timeline, reader: Unit, split: number): Need | undefined {
  let last: Unit | undefined;
  for (const name of reader.reads) {
    const unit = unitOf.get(name);
    if (unit !== undefined && unit.first > split && (last === undefined || unit.last > last.last)) last = unit;
  }
  return last && { anchor: last.makes.at(-1)!, time: last.last, position: reader.position };
}
