/** The compiler's last stage: an optimised tensor program → the plan that the runtime runs, for one target. */
import type { Kernel } from '../../kernels/kernel.ts';
import { kernelParts, kernelReads, withStored } from '../../kernels/statements.ts';
import { tilesOf } from '../../kernels/stream-shape.ts';
import type { Target } from '../../kernels/target.ts';
import { axisIndex } from '../ir/affine.ts';
import { tensorMap } from '../ir/equation.ts';
import { loadAxes } from '../ir/expression.ts';
import type { Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { withinBindings } from '../passes/bindable.ts';
import { heldTensors } from '../passes/rename.ts';
import { type ChooseOptions, createChooser, withChoices } from './choose.ts';
import { combineKernels, type Dispatch } from './combine.ts';
import { emitDispatches } from './emit-dispatches.ts';
import { groupKernels } from './group.ts';
import { normalise, splitLongSums } from './normalise.ts';
import { inPlaceUpdates, type Placements, placeTensors } from './place.ts';
import type { Plan } from './plan.ts';
import type { Streaming } from './streams/spaces.ts';
import { findStreams } from './streams/streams.ts';

export interface ScheduleOptions extends ChooseOptions {
  /** False: one kernel a tensor. */
  readonly fuse?: boolean;
  /** Whether kernels may share a dispatch; where nothing is said, on a GPU: a software device's dispatches cost next to nothing. */
  readonly combine?: boolean;
  /** See `GroupOptions`. */
  readonly contractAll?: boolean;
  /** Whether tensors that are larger than their readers are computed where they are read. */
  readonly streaming?: Streaming;
}

export function schedule(program: Program, options: ScheduleOptions): Plan {
  const { target, fuse = true, contractAll = false, streaming = 'auto' } = options;
  const { combine = fuse && target.class === 'gpu' } = options;
  const chooser = createChooser(options);
  const bindable = withinBindings(
    explicitCopies(normalise(program), target),
    target.limits.maxStorageBuffersPerShaderStage,
  );
  const streams = findStreams(bindable, fuse ? streaming : 'never', target);
  const made = new Set([...streams.hidden, ...streams.results]);
  const ready = splitLongSums(streams.program, target, made, chooser);
  const grouped = groupKernels(ready, streams, { target, fuse, contractAll });
  const inPlace = inPlaceUpdates(ready, grouped);
  const kept = [...keepStored(ready, grouped), ...stateCopies(ready, inPlace)];
  const kernels = withChoices(ready, kept, chooser, target);
  const dispatches = combine
    ? combineKernels(ready, kernels, inPlace, target)
    : kernels.map((kernel): Dispatch => [kernel]);
  const placements = placeTensors(ready, dispatches, inPlace, target.limits);
  return {
    buffers: placements.buffers,
    kernels: emitDispatches(ready, dispatches, placements, target),
    tensors: planTensors(ready, placements),
    inputs: ready.tensors.filter((t) => t.source.kind === 'input').map((t) => t.name),
    params: ready.tensors.filter((t) => t.source.kind === 'param').map((t) => t.name),
    outputs: ready.outputs,
    choices: chooser.made(),
  };
}

/**
 * A part of a `concat` that cannot be made in place (an input, a part used twice, an odd offset), a `view` at an odd offset and
 * an output that is an input become copies.
 */
function explicitCopies(program: Program, target: Target): Program {
  const alignment = target.limits.minStorageBufferOffsetAlignment / 4;
  const tensors = tensorMap(program);
  const given = (name: string): boolean => tensors.get(name)!.source.kind !== 'computed';
  const used = new Map<string, number>();
  for (const t of program.tensors)
    if (t.source.kind === 'concat') for (const p of t.source.parts) used.set(p.tensor, (used.get(p.tensor) ?? 0) + 1);
  const result = program.tensors.flatMap((tensor): Tensor[] => {
    const { source } = tensor;
    if (source.kind === 'view' && (source.offset % alignment !== 0 || program.outputs.includes(tensor.name)))
      return [copyOfView(tensor, source, tensors)];
    if (source.kind !== 'concat') return [tensor];
    const copies: Tensor[] = [];
    const direct = source.parts.every((p) => p.offset % alignment === 0);
    if (!direct) return [concatByEquations(tensor, source.parts, tensors)];
    const parts = source.parts.map((part, i) => {
      if (!given(part.tensor) && used.get(part.tensor) === 1) return part;
      const name = `${tensor.name}~part${i}`;
      copies.push(copyOf(tensors.get(part.tensor)!, name));
      return { tensor: name, offset: part.offset };
    });
    return [...copies, { ...tensor, source: { kind: 'concat', parts } }];
  });
  return { ...program, tensors: result };
}

function axesOfShape(shape: readonly number[]): { name: string; extent: number }[] {
  return shape.map((extent, d) => ({ name: `o${d}`, extent }));
}

export function copyOf(tensor: Tensor, name: string): Tensor {
  const dims = tensor.shape.map((_, d) => d);
  const equation = {
    axes: axesOfShape(tensor.shape),
    domain: [],
    store: dims.map(axisIndex),
    reducer: 'sum' as const,
    value: loadAxes(tensor.name, dims),
  };
  return { name, dtype: tensor.dtype, shape: tensor.shape, source: { kind: 'computed', equations: [equation] } };
}

function flatOf(
  shape: readonly number[],
  offset: number,
): { kind: 'affine'; constant: number; terms: { axis: number; coefficient: number }[] } {
  let stride = 1;
  const terms: { axis: number; coefficient: number }[] = [];
  for (let d = shape.length - 1; d >= 0; d--) {
    terms.unshift({ axis: d, coefficient: stride });
    stride *= shape[d];
  }
  return { kind: 'affine', constant: offset, terms };
}

function copyOfView(
  tensor: Tensor,
  view: { readonly base: string; readonly offset: number },
  tensors: ReadonlyMap<string, Tensor>,
): Tensor {
  const dims = tensor.shape.map((_, d) => d);
  const base = tensors.get(view.base)!;
  if (base.shape.length !== 1) throw new Error(`the base ${view.base} of a view must be flat`);
  const value = { kind: 'load' as const, tensor: view.base, indices: [flatOf(tensor.shape, view.offset)] };
  const equation = {
    axes: axesOfShape(tensor.shape),
    domain: [],
    store: dims.map(axisIndex),
    reducer: 'sum' as const,
    value,
  };
  return { ...tensor, source: { kind: 'computed', equations: [equation] } };
}

function concatByEquations(
  tensor: Tensor,
  parts: readonly { readonly tensor: string; readonly offset: number }[],
  tensors: ReadonlyMap<string, Tensor>,
): Tensor {
  const equations = parts.map((part) => {
    const { shape } = tensors.get(part.tensor)!;
    const value = loadAxes(
      part.tensor,
      shape.map((_, d) => d),
    );
    return {
      axes: axesOfShape(shape),
      domain: [],
      store: [flatOf(shape, part.offset)],
      reducer: 'sum' as const,
      value,
    };
  });
  return { ...tensor, source: { kind: 'computed', equations } };
}

const none: ReadonlySet<string> = new Set();

/** A tensor goes to memory only if a kernel other than its own, or the caller, reads it, or its own rereads it from there. */
function keepStored(program: Program, kernels: readonly Kernel[]): Kernel[] {
  const kept = new Set(heldTensors(program));
  const makers = new Map<string, number>();
  for (const [i, kernel] of kernels.entries()) for (const part of kernelParts(kernel)) makers.set(part.tensor, i);
  kernels.forEach((kernel, i) => {
    // A stream's tiles have as many makers as readers.
    const tiles = kernel.family === 'stream' ? tilesOf(kernel) : none;
    for (const name of kernelReads(kernel)) if (makers.get(name) !== i && !tiles.has(name)) kept.add(name);
    if (kernel.family === 'contraction' && makers.get(kernel.tensor) !== i) kept.add(kernel.tensor);
    if (kernel.family === 'contraction' && kernel.accumulate) kept.add(kernel.tensor);
    if (kernel.family === 'row') for (const s of kernel.statements) if (s.kind === 'map') kept.add(s.tensor);
  });
  // What nobody reads is not made.
  return kernels
    .map((kernel) => withStored(kernel, (tensor) => kept.has(tensor)))
    .filter((kernel) => kernelParts(kernel).some(({ stored }) => stored));
}

/** Updates whose next value could not be made in place end with a copy. */
function stateCopies(program: Program, inPlace: ReadonlyMap<string, string>): Kernel[] {
  const tensors = tensorMap(program);
  return program.updates
    .filter(({ state, next }) => inPlace.get(next) !== state)
    .map(({ state, next }): Kernel => {
      const copy = copyOf({ ...tensors.get(next)!, name: next }, state);
      return {
        family: 'loop',
        shape: copy.shape,
        statements: [
          { tensor: state, equations: copy.source.kind === 'computed' ? copy.source.equations : [], stored: true },
        ],
      };
    });
}

function planTensors(program: Program, placements: Placements): Plan['tensors'] {
  const entries = program.tensors.flatMap((t) => {
    const place = placements.of.get(t.name);
    if (!place || elementCount(t.shape) === 0) return [];
    return [
      [t.name, { buffer: place.buffer, offsetBytes: place.offsetBytes, dtype: t.dtype, shape: t.shape }] as const,
    ];
  });
  return Object.fromEntries(entries);
}
