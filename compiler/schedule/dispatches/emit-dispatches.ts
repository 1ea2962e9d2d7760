/**
 * Dispatches and the places of their tensors → the kernels of the plan: which ranges of which buffers each binds, and its code.
 *
 * A tensor is a binding of its own, so that its place stays outside the code and layers share pipelines. Where that would be more
 * bindings than a device has, neighbours that it touches of a block that was placed as one (`place.ts`) become one binding, in which tensors
 * have the same places for every layer; where that is not enough, neighbours of one buffer.
 */
import { equations } from '../../../kernels/emit.ts';
import { tilesOf } from '../../../kernels/families/stream/shape.ts';
import type { Kernel, Layouts, StreamKernel, StreamStatement, TensorLayout } from '../../../kernels/kernel.ts';
import { createEmitter } from '../../../kernels/same-code.ts';
import { kernelParts, kernelReads } from '../../../kernels/statements.ts';
import type { Target } from '../../../kernels/target.ts';
import { tensorMap } from '../../ir/equation.ts';
import { addTo } from '../../ir/lists.ts';
import type { Program, Tensor } from '../../ir/program.ts';
import type { PlanHeld, PlanKernel, PlanStream } from '../plan.ts';
import { isWorkspace, type Placement, type Placements } from '../workspaces.ts';
import type { Dispatch } from './combine.ts';

export function emitDispatches(
  program: Program,
  dispatches: readonly Dispatch[],
  placements: Placements,
  target: Target,
): PlanKernel[] {
  const tensors = tensorMap(program);
  const written = new Map<string, string>();
  const emit = createEmitter();
  const bound = dispatches.flatMap((dispatch) => bindable(dispatch, placements, target.limits));
  return bound.map(({ kernels, ranges }, i) => {
    const parts = kernels.flatMap(kernelParts);
    const writtenBuffers = new Set(parts.filter((p) => p.stored).map((p) => placements.of.get(p.tensor)!.buffer));
    const rangeOf = new Map(ranges.map((range) => [slotOf(range), range]));
    const layoutOf = (name: string): TensorLayout => {
      const tensor = tensors.get(name);
      if (!tensor) throw new Error(`no tensor ${name}`);
      const { shape, dtype, inHalves } = tensor;
      const place = placements.of.get(name);
      if (place === undefined) return { shape, dtype, slot: `register ${name}`, start: 0 };
      const range = rangeOf.get(slotOf(place)) ?? ranges.find((r) => isWithin(place, r))!;
      const start = (place.offsetBytes - range.offsetBytes) / (dtype === 'f16' ? 2 : 4);
      const layout = { shape, dtype, slot: slotOf(range), start, cutsQuad: range.sizeBytes % quadBytes !== 0 };
      return inHalves ? { ...layout, inHalves } : layout;
    };
    const known = new Map<string, TensorLayout>();
    const layouts: Layouts = (name) => {
      const layout = known.get(name) ?? layoutOf(name);
      known.set(name, layout);
      return layout;
    };
    const readWrite = (slot: string): boolean => writtenBuffers.has(rangeOf.get(slot)?.buffer ?? '');
    const code = emit(kernels, { target, layouts, readWrite });
    const wgsl = written.get(code.key) ?? code.wgsl;
    written.set(code.key, wgsl);
    const bindings = code.bindings.map((b) => ({ ...rangeOf.get(b.slot)!, access: b.access, tensors: b.tensors }));
    const makes = parts.map((part) => part.tensor);
    return {
      label: `${i} ${makes.join(', ')}`,
      makes,
      held: kernels.flatMap((kernel) => heldBy(kernel, tensors)),
      streams: kernels.flatMap((kernel) => (kernel.family === 'stream' ? [streamOf(kernel)] : [])),
      spans: parts.flatMap((part) => part.equations.flatMap(({ span }) => span ?? [])),
      family: [...new Set(kernels.map((kernel) => kernel.family))].join(' + '),
      wgsl,
      entryPoint: 'main',
      key: code.key,
      bindings,
      workgroups: code.workgroups,
      tuning: code.tuning,
      multiplyAdds: code.multiplyAdds,
      bytes: placesOf(kernels, placements).reduce((total, { sizeBytes }) => total + sizeBytes, 0),
      equations: kernels.flatMap(equations),
      choices: kernels.flatMap(choicesOf),
    };
  });
}

function choicesOf(kernel: Kernel): readonly string[] {
  if (kernel.family === 'resident') return kernel.stages.flatMap((stage) => choicesOf(stage.kernel));
  return 'choice' in kernel && kernel.choice !== undefined ? [kernel.choice.key] : [];
}

function heldBy(kernel: Kernel, tensors: ReadonlyMap<string, Tensor>): PlanHeld[] {
  const tiles = kernel.family === 'stream' ? tilesOf(kernel) : new Set<string>();
  return kernelParts(kernel)
    .filter((part) => !part.stored)
    .map(({ tensor }) => {
      const { shape, dtype } = tensors.get(tensor)!;
      return { tensor, dtype, shape, place: tiles.has(tensor) ? 'tile' : 'register' };
    });
}

function streamOf({ batch, outer, row, walk, statements }: StreamKernel): PlanStream {
  const named = (kinds: (kind: StreamStatement['kind']) => boolean): string[] =>
    statements.filter((s) => kinds(s.kind)).map((s) => s.tensor);
  return {
    each: [...batch, ...outer].filter(({ extent }) => extent > 1).map(({ name }) => name),
    rows: row.name,
    along: walk.name,
    hides: named((kind) => kind === 'tile'),
    results: named((kind) => kind !== 'tile'),
  };
}

const slotOf = ({ buffer, offsetBytes, sizeBytes }: Placement): string => `${buffer}@${offsetBytes}+${sizeBytes}`;

const quadBytes = 16;

const wholeQuads = (bytes: number): number => Math.ceil(bytes / quadBytes) * quadBytes;

const endOf = ({ offsetBytes, sizeBytes }: Placement): number => offsetBytes + sizeBytes;

function isWithin(place: Placement, range: Placement): boolean {
  return place.buffer === range.buffer && place.offsetBytes >= range.offsetBytes && endOf(place) <= endOf(range);
}

/** The places that a dispatch reads or writes, each once. */
function placesOf(kernels: readonly Kernel[], { of }: Placements): readonly Placement[] {
  const names = kernels.flatMap((kernel) => [
    ...kernelReads(kernel),
    ...kernelParts(kernel).map((part) => part.tensor),
  ]);
  const places = names.flatMap((name) => of.get(name) ?? []);
  return [...new Map(places.map((place) => [slotOf(place), place])).values()];
}

interface Bound {
  readonly kernels: readonly Kernel[];
  /** Ranges of buffers, each a binding. */
  readonly ranges: readonly Placement[];
}

/** The dispatch with its bindings; in halves where a buffer turned out too large to be one binding, or one workspace was not enough. */
function bindable(kernels: readonly Kernel[], placements: Placements, limits: Target['limits']): Bound[] {
  const ranges = rangesOf(kernels, placements, limits.maxStorageBuffersPerShaderStage);
  const isFitting =
    ranges.length <= limits.maxStorageBuffersPerShaderStage &&
    ranges.every(({ sizeBytes }) => sizeBytes <= limits.maxStorageBufferBindingSize);
  if (isFitting || kernels.length === 1) return [{ kernels, ranges }];
  const half = Math.ceil(kernels.length / 2);
  return [kernels.slice(0, half), kernels.slice(half)].flatMap((part) => bindable(part, placements, limits));
}

/** One range a tensor; where they are too many, neighbours of a block of temporaries or of a buffer of another kind share one, then of a buffer. */
function rangesOf(kernels: readonly Kernel[], placements: Placements, allowed: number): readonly Placement[] {
  const written = new Set(
    kernels
      .flatMap(kernelParts)
      .flatMap(({ tensor }) => placements.of.get(tensor) ?? [])
      .map(slotOf),
  );
  const inBlocks = joined(
    placesOf(kernels, placements).map((place) => ({ ...place, isWritten: written.has(slotOf(place)) })),
    (place) => place.block ?? (isWorkspace(place.buffer) ? slotOf(place) : place.buffer),
    allowed,
  );
  return joined(inBlocks, ({ buffer }) => buffer, allowed);
}

/** A range that a dispatch binds. */
interface Range extends Placement {
  readonly isWritten: boolean;
}

/**
 * Neighbours of one key as one range, first those that are only read, then those that are most alike in size, until there are no more than
 * allowed. The trap: a range that is written element by element anywhere in a dispatch is so everywhere in it (`Emitter.contested`), so what
 * is written in quads should not share one with values of its rows, but with its like.
 */
function joined(places: readonly Range[], keyOf: (place: Placement) => string, allowed: number): readonly Range[] {
  let ranges = places;
  while (ranges.length > allowed) {
    const [first] = neighbours(ranges, keyOf).sort(
      (a, b) =>
        Number(a.span.isWritten) - Number(b.span.isWritten) ||
        a.unlike - b.unlike ||
        a.span.sizeBytes - b.span.sizeBytes,
    );
    if (first === undefined) break;
    ranges = [...ranges.filter((range) => !first.pair.includes(range)), first.span];
  }
  return ranges;
}

/** Ranges of one key that lie next to each other, how many times as large the larger is, and what both span. */
function neighbours(ranges: readonly Range[], keyOf: (place: Placement) => string) {
  const byKey = new Map<string, Range[]>();
  for (const range of ranges) addTo(byKey, keyOf(range), range);
  return [...byKey.values()].flatMap((list) => {
    const inOrder = list.sort((a, b) => a.offsetBytes - b.offsetBytes);
    return inOrder.slice(1).map((range, i) => {
      const pair = [inOrder[i], range];
      const sizes = pair.map(({ sizeBytes }) => sizeBytes);
      return { pair, unlike: Math.max(...sizes) / Math.min(...sizes), span: spanOf(pair) };
    });
  });
}

/** Four elements at a time are read of what is bound: the last ones too, where nothing but a workspace ends inside four. */
function spanOf(places: readonly Range[]): Range {
  const [{ buffer, block }] = places;
  const offsetBytes = Math.min(...places.map((place) => place.offsetBytes));
  const sizeBytes = Math.max(...places.map(endOf)) - offsetBytes;
  const isOneBlock = block !== undefined && places.every((place) => place.block === block);
  return {
    buffer,
    offsetBytes,
    sizeBytes: isWorkspace(buffer) ? wholeQuads(sizeBytes) : sizeBytes,
    ...(isOneBlock ? { block } : {}),
    isWritten: places.some(({ isWritten }) => isWritten),
  };
}
