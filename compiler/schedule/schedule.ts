/** The compiler's last stage: an optimised tensor program → the plan that the runtime runs, for one target. */
import type { Target } from '../../kernels/target.ts';
import { axisIndex } from '../ir/affine.ts';
import { tensorMap } from '../ir/equation.ts';
import { loadAxes } from '../ir/expression.ts';
import type { Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { withinBindings } from '../passes/bindable.ts';
import { arrange } from './arrange.ts';
import { type ChooseOptions, createChooser } from './choose.ts';
import { axesOfShape, copyOf } from './copy.ts';
import { emitDispatches } from './emit-dispatches.ts';
import { normalise, splitLongSums } from './normalise.ts';
import type { Placements } from './place.ts';
import type { Plan } from './plan.ts';
import type { Streaming } from './streams/spaces.ts';
import { findStreams } from './streams/streams.ts';
import { recomputedIn, withinMemory } from './within-memory.ts';

export interface ScheduleOptions extends ChooseOptions {
  /** False: one kernel a tensor. */
  readonly fuse?: boolean;
  /** Whether kernels may share a dispatch; where nothing is said, on a GPU: a software device's dispatches cost next to nothing. */
  readonly combine?: boolean;
  /** See `GroupOptions`. */
  readonly contractAll?: boolean;
  /** Whether tensors that are larger than their readers are computed where they are read. */
  readonly streaming?: Streaming;
  /** All buffers of the plan together take no more: what would is computed again where it is read late (`recompute.ts`). */
  readonly memoryBytes?: number;
}

/** Throws MemoryShortage where no plan is found that keeps to `memoryBytes`. */
export function schedule(program: Program, options: ScheduleOptions): Plan {
  const { target, fuse = true, contractAll = false, streaming = 'auto', memoryBytes } = options;
  const { combine = fuse && target.class === 'gpu' } = options;
  const chooser = createChooser(options);
  const bindable = withinBindings(
    explicitCopies(normalise(program), target),
    target.limits.maxStorageBuffersPerShaderStage,
  );
  const streams = findStreams(bindable, fuse ? streaming : 'never', target);
  const made = new Set([...streams.hidden, ...streams.results]);
  const ready = { ...streams, program: splitLongSums(streams.program, target, made, chooser) };
  const settings = { target, fuse, contractAll, combine };
  const remade = withinMemory(ready, memoryBytes, (trial) => arrange(trial, settings, createChooser(options)));
  const { program: arranged, dispatches, placements } = arrange(remade, settings, chooser);
  return {
    buffers: placements.buffers,
    kernels: emitDispatches(arranged, dispatches, placements, target),
    tensors: planTensors(arranged, placements),
    inputs: arranged.tensors.filter((t) => t.source.kind === 'input').map((t) => t.name),
    params: arranged.tensors.filter((t) => t.source.kind === 'param').map((t) => t.name),
    outputs: arranged.outputs,
    recomputed: recomputedIn(remade),
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
