/**
 * Which tensors could be hidden in streams: those whose readers all read them at one point of a space, and reduce that space over one
 * of two axes. Program → spaces.
 *
 * The trap: a tensor that is no longer hidden changes what its neighbours may be, so that its space is looked at again.
 */
import type { Target } from '../../../kernels/target.ts';
import { equationsOf, hasSymbol, readTensors } from '../../ir/equation.ts';
import { affinesOfIndex, constraintLoads, gatheredTensors, loads } from '../../ir/expression.ts';
import { digitsOf, isPointwise, longReduced, plainAxes, pointOf } from '../../ir/plain.ts';
import type { Equation, Program, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import { type Read, readsOf } from '../../ir/reads.ts';
import { wholeAxes } from '../../passes/for-streams/block-axes.ts';
import { placesAsColumns } from '../../passes/for-streams/places-as-columns.ts';
import { rowsFirst } from '../../passes/for-streams/rows-first.ts';
import { sumsAtOnce } from '../../passes/for-streams/sums-at-once.ts';
import { type StoredTiles, tilesOfStored } from '../../passes/for-streams/tiles-of-stored.ts';
import { heldTensors } from '../../passes/rename.ts';
import { type Arrangement, arrange, connected } from './arrange.ts';
import type { Counted } from './drafts.ts';
import type { Space } from './space.ts';
import { betterRead, notWorth, unbindable } from './worth.ts';

/** What is summed by place is worth a sum for each place of each row where there are so many times fewer of them than points of a row. */
const leastShare = 4;

/**
 * `always`, `reading` and `never` are for tests, and for people who compare. `reading`: as `always`, but products are stored, and tiles of
 * them read.
 */
export type Streaming = 'auto' | 'always' | 'reading' | 'never';

interface Found {
  readonly program: Program;
  readonly spaces: readonly Space[];
}

export function findSpaces(
  program: Program,
  streaming: Exclude<Streaming, 'never'>,
  target: Target,
  counted: Counted,
): Found {
  const at = sumsAtOnce(program);
  const stored = new Set<Equation>();
  const unread = new Set<string>();
  for (;;) {
    const placed = new Set<Equation>();
    const ready = placesAsColumns(at, (equation, places, axes) => {
      const isShort = streaming !== 'auto' || axes.every(({ extent }) => places * leastShare <= extent);
      if (isShort && !stored.has(equation)) placed.add(equation);
      return placed.has(equation);
    });
    const found = spacesOf(ready, streaming, target, counted, unread);
    const hidden = new Set(found.spaces.flatMap((space) => [...space.hidden]));
    const left = [...placed].filter((equation) => !readTensors(equation).some((name) => hidden.has(name)));
    const copied = [...found.sources].filter(([tile]) => !hidden.has(tile));
    if (left.length + copied.length === 0) return found;
    for (const equation of left) stored.add(equation);
    for (const [, source] of copied) unread.add(source);
  }
}

/** `unread`: tensors that nothing is won by reading as tiles. */
function spacesOf(
  program: Program,
  streaming: Exclude<Streaming, 'never'>,
  target: Target,
  counted: Counted,
  unread: Set<string>,
): Found & { readonly sources: ReadonlyMap<string, string> } {
  const held = heldTensors(program);
  const sources = new Map<string, string>();
  let current = program;
  let reads = readsOf(current);
  let hidden = withoutSmaller(
    current.tensors.filter((t) => isTile(t, held, reads)),
    reads,
  );
  for (;;) {
    const now = current;
    const reading: StoredTiles[] = [];
    const unfit = (space: Space): readonly string[] => {
      const wide = unbindable(space, now, target);
      if (wide.length > 0 || streaming === 'always') return wide;
      const gone = streaming === 'reading' ? [] : notWorth(space, now, target, counted);
      if (streaming === 'auto' && gone.length === 0) return gone;
      const better = betterRead(space, now, target, streaming);
      if (better === undefined || [...better.stored].some((name) => unread.has(name))) return gone;
      reading.push(better);
      return [];
    };
    const settled = settle(hidden, reads, unfit);
    if (reading.length > 0) {
      const names = settled.flatMap(({ tensors }) => tensors.map(({ name }) => name));
      const read = withTiles(current, reading, new Set(names), { sources, unread });
      current = read.program;
      hidden = current.tensors.filter(({ name }) => read.hidden.has(name));
      reads = readsOf(current);
      continue;
    }
    const splits = settled.flatMap((found) => found.splits);
    if (splits.length === 0) return { program: current, spaces: settled.flatMap(({ space }) => space ?? []), sources };
    const stored = new Set<string>();
    for (const split of splits) {
      const parted = rowsFirst(current, split);
      if (parted === undefined) for (const name of readTensors(split.equation)) stored.add(name);
      else current = parted;
    }
    hidden = settled.flatMap((found) => found.tensors).filter(({ name }) => !stored.has(name));
    reads = readsOf(current);
  }
}

/** Each of `reading` as tiles of stored tensors, where that can be, and what is hidden then; notes the tiles' sources, or what stays unread. */
function withTiles(
  program: Program,
  reading: readonly StoredTiles[],
  hidden: ReadonlySet<string>,
  { sources, unread }: { readonly sources: Map<string, string>; readonly unread: Set<string> },
): { readonly program: Program; readonly hidden: ReadonlySet<string> } {
  let current = program;
  const now = new Set(hidden);
  for (const tiles of reading) {
    const found = tilesOfStored(current, tiles);
    if (found === undefined) {
      for (const name of tiles.stored) unread.add(name);
      continue;
    }
    current = found.program;
    for (const [tile, source] of found.sources) {
      sources.set(tile, source);
      now.delete(source);
      now.add(tile);
    }
  }
  return { program: current, hidden: now };
}

type Reads = ReadonlyMap<string, readonly Read[]>;

/** A space that nothing stands in the way of, or whose equations must be split first. */
interface Settled extends Arrangement {
  readonly tensors: readonly Tensor[];
}

/** The spaces of those tensors that can be hidden; one is dropped, and what depends on it looked at again, until all that is left can. */
function settle(
  tensors: readonly Tensor[],
  reads: Reads,
  unfit: (space: Space) => readonly string[],
): readonly Settled[] {
  return connected(readAsTiles(tensors, reads), reads).flatMap((part): readonly Settled[] => {
    const found = arrange(part, reads);
    const { space, refused } = found;
    const gone = new Set(refused.length === 0 && space !== undefined ? unfit(space) : refused);
    if (gone.size === 0) return [{ ...found, tensors: part }];
    return settle(
      part.filter(({ name }) => !gone.has(name)),
      reads,
      unfit,
    );
  });
}

/** A tensor that could be a tile: an element for each point of at least two dimensions, every point stored plainly. */
function isTile(tensor: Tensor, kept: ReadonlySet<string>, reads: Reads): boolean {
  if (tensor.source.kind !== 'computed' || tensor.dtype !== 'f32' || kept.has(tensor.name)) return false;
  if (tensor.shape.filter((extent) => extent > 1).length < 2 || !reads.has(tensor.name)) return false;
  const { equations } = tensor.source;
  return (
    equations.length > 0 &&
    equations
      .map(wholeAxes)
      .every((e) => e.reducer === 'sum' && !hasSymbol(e) && plainAxes(e, tensor.shape) !== undefined)
  );
}

/** Of a tensor that could be hidden and one that reduces it, the larger one is what is worth hiding. */
function withoutSmaller(tensors: readonly Tensor[], reads: Reads): readonly Tensor[] {
  const sizes = new Map(tensors.map(({ name, shape }) => [name, elementCount(shape)]));
  const smaller = new Set<string>();
  for (const { name } of tensors) {
    for (const { reader, equation } of reads.get(name)!) {
      if (!sizes.has(reader.name)) continue;
      const whole = wholeAxes(equation);
      const reduced = new Set(longReduced(whole));
      const read = loads(whole.value).filter((l) => l.tensor === name);
      const isReduced = read.some((l) =>
        l.indices.some((i) => affinesOfIndex(i).some((a) => a.terms.some((t) => reduced.has(t.axis)))),
      );
      if (isReduced) smaller.add(sizes.get(name)! <= sizes.get(reader.name)! ? name : reader.name);
    }
  }
  return tensors.filter(({ name }) => !smaller.has(name));
}

/** Without what is not read as it must be. */
function readAsTiles(tensors: readonly Tensor[], reads: Reads): readonly Tensor[] {
  const hidden = new Set(tensors.map(({ name }) => name));
  for (let before = -1; before !== hidden.size; ) {
    before = hidden.size;
    for (const name of hidden) {
      const agree = reads
        .get(name)!
        .every(({ reader, equation }) => readsAsTile(name, reader, wholeAxes(equation), hidden));
      if (!agree) hidden.delete(name);
    }
  }
  return tensors.filter(({ name }) => hidden.has(name));
}

function readsAsTile(name: string, reader: Tensor, equation: Equation, hidden: ReadonlySet<string>): boolean {
  if (reader.source.kind !== 'computed' || reader.dtype !== 'f32' || hasSymbol(equation)) return false;
  const indexing = [...equation.store, ...loads(equation.value).flatMap((l) => l.indices)].flatMap(gatheredTensors);
  if (indexing.includes(name) || equation.domain.some((c) => constraintLoads(c).some((l) => l.tensor === name)))
    return false;
  const points = loads(equation.value)
    .filter((l) => l.tensor === name)
    .map((l) => pointOf(l, equation));
  if (points.includes(undefined)) return false;
  const axes = new Set(points.flatMap((point) => point!.filter((axis) => axis !== undefined)));
  const reduced = longReduced(equation);
  if (reduced.every((axis) => !axes.has(axis)) && (hidden.has(reader.name) || isMapped(equation, reader))) return true;
  return !hidden.has(reader.name) && isReduction(equation, reader, hidden);
}

/** Whether each point of the equation is an element of its own. */
function isMapped(equation: Equation, reader: Tensor): boolean {
  return equation.reducer === 'sum' && isPointwise(equation, reader.shape);
}

/** Whether the equation reduces hidden tensors over axes of theirs alone, into elements that it stores one by one. */
function isReduction(equation: Equation, reader: Tensor, hidden: ReadonlySet<string>): boolean {
  if (!['sum', 'max', 'min'].includes(equation.reducer)) return false;
  if (equation.reducer !== 'sum' && equationsOf(reader).length > 1) return false;
  const points = loads(equation.value)
    .filter((l) => hidden.has(l.tensor))
    .map((l) => pointOf(l, equation));
  const axes = new Set(points.flatMap((point) => point ?? []));
  const reduced = longReduced(equation);
  if (reduced.length === 0 || !reduced.every((axis) => axes.has(axis))) return false;
  const stored = new Set<number>();
  return equation.store.every((index, d) => {
    if (index.kind !== 'affine') return false;
    const long = index.terms.filter((t) => equation.axes[t.axis].extent > 1);
    const isOne = long.length === 0 || (long.length === 1 && long[0].coefficient === 1);
    if (!isOne && digitsOf(index, equation, reader.shape[d]) === undefined) return false;
    if (long.some(({ axis }) => stored.has(axis))) return false;
    for (const { axis } of long) stored.add(axis);
    return true;
  });
}
