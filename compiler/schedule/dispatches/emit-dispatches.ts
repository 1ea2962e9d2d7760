/**
 * Dispatches and the places of their tensors → the kernels of the plan: which ranges of which buffers each binds, and its code.
 *
 * A tensor is a binding of its own, so that its place stays outside the code and layers share pipelines. Where that would be more
 * bindings than a device has, what a dispatch touches of a block that was placed as one (`place.ts`) becomes one binding, in which tensors
 * have the same places for every layer; where that is not enough, all of one buffer.
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
      const { shape, dtype } = tensor;
      const place = placements.of.get(name);
      if (place === undefined) return { shape, dtype, slot: `register ${name}`, start: 0 };
      const range = rangeOf.get(slotOf(place)) ?? ranges.find((r) => isWithin(place, r))!;
      const start = (place.offsetBytes - range.offsetBytes) / (dtype === 'f16' ? 2 : 4);
      return { shape, dtype, slot: slotOf(range), start, cutsQuad: range.sizeBytes % quadBytes !== 0 };
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

/** One range a tensor; where they are too many, one a block of temporaries or a buffer of another kind, then one a buffer. */
function rangesOf(kernels: readonly Kernel[], placements: Placements, allowed: number): readonly Placement[] {
  const inBlocks = joined(
    placesOf(kernels, placements),
    (place) => place.block ?? (isWorkspace(place.buffer) ? slotOf(place) : place.buffer),
    allowed,
  );
  return joined(inBlocks, ({ buffer }) => buffer, allowed);
}

/** Places of one key as one range, of those with most places first, until there are no more than allowed. */
function joined(
  places: readonly Placement[],
  keyOf: (place: Placement) => string,
  allowed: number,
): readonly Placement[] {
  const byKey = new Map<string, Placement[]>();
  for (const place of places) addTo(byKey, keyOf(place), place);
  let count = places.length;
  return [...byKey.values()]
    .sort((a, b) => b.length - a.length)
    .flatMap((list) => {
      if (count <= allowed || list.length === 1) return list;
      count -= list.length - 1;
      return [spanOf(list)];
    });
}

/** Four elements at a time are read of what is bound: the last ones too, where nothing but a workspace ends inside four. */
function spanOf(places: readonly Placement[]): Placement {
  const [{ buffer }] = places;
  const offsetBytes = Math.min(...places.map((place) => place.offsetBytes));
  const sizeBytes = Math.max(...places.map(endOf)) - offsetBytes;
  return { buffer, offsetBytes, sizeBytes: isWorkspace(buffer) ? wholeQuads(sizeBytes) : sizeBytes };
}
