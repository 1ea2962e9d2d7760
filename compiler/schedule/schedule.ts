/** The compiler's last stage: an optimised tensor program → the plan that the runtime runs, for one target. */
import { tensorMap, viewBase } from '../ir/equation.ts';
import { elementCount, type Program } from '../ir/program.ts';
import { withinBindings } from '../passes/for-kernels/bindable.ts';
import { explicitCopies } from '../passes/for-kernels/explicit-copies.ts';
import { type Arrangement, arrange } from './arrange.ts';
import { type ChooseOptions, type Chooser, createChooser } from './choose.ts';
import { emitDispatches } from './dispatches/emit-dispatches.ts';
import type { Halves } from './halves.ts';
import { type MemoryBudget, recomputedIn, type Trial, withinMemory } from './memory/within-memory.ts';
import { normalise, splitLongSums } from './normalise/normalise.ts';
import type { Plan, PlanKernel, PlanTensor } from './plan.ts';
import type { Residents } from './residents/residents.ts';
import type { Sweeping } from './streams/across.ts';
import type { Counted } from './streams/drafts.ts';
import type { Streaming } from './streams/spaces.ts';
import { findStreams } from './streams/streams.ts';
import type { Placements } from './workspaces.ts';

export interface ScheduleOptions extends ChooseOptions {
  /** False: one kernel a tensor. */
  readonly fuse?: boolean;
  /** Whether kernels may share a dispatch; where nothing is said, on a GPU: a software device's dispatches cost next to nothing. */
  readonly combine?: boolean;
  /** Whether kernels that depend on one another piece by piece may be one; where nothing is said, where it takes less time. */
  readonly residents?: Residents;
  /** Whether weights may also lie in memory as products on tensor cores want them; where nothing is said, where it takes less time. */
  readonly halves?: Halves;
  /** See `GroupOptions`. */
  readonly contractAll?: boolean;
  /** Whether tensors that are larger than their readers are computed where they are read. */
  readonly streaming?: Streaming;
  /** Whether streams that walk the same tiles both ways are one kernel; where nothing is said, where it takes less time. */
  readonly sweeping?: Sweeping;
  /** All buffers of the plan together take no more: what would is computed again where it is read late (`recompute.ts`). */
  readonly memoryBytes?: MemoryBudget;
}

/** Throws MemoryShortage where no plan is found that keeps to `memoryBytes`. */
export function schedule(program: Program, options: ScheduleOptions): Plan {
  const plan = scheduleCounting(program, options, 'buffers');
  // A stream is one kernel: where its temporaries came to lie in more buffers than it may bind, it is drafted by its tensors.
  const allowed = options.target.limits.maxStorageBuffersPerShaderStage;
  const isBound = plan.kernels.every(({ bindings }) => bindings.length <= allowed);
  return isBound ? plan : scheduleCounting(program, options, 'tensors');
}

function scheduleCounting(program: Program, options: ScheduleOptions, counted: Counted): Plan {
  const { target, fuse = true, contractAll = false, streaming = 'auto', sweeping = 'auto', memoryBytes } = options;
  const { residents = fuse ? 'auto' : 'never', halves = fuse ? 'auto' : 'never' } = options;
  const { combine = fuse && target.class === 'gpu' } = options;
  const chooser = createChooser(options);
  const bindable = withinBindings(
    explicitCopies(normalise(program), target.limits.minStorageBufferOffsetAlignment / 4),
    target.limits.maxStorageBuffersPerShaderStage,
  );
  const streams = findStreams(bindable, fuse ? streaming : 'never', target, { counted, sweeping, chooser });
  const made = new Set([...streams.hidden, ...streams.results]);
  const ready = { ...streams, program: splitLongSums(streams.program, target, made, chooser) };
  const settings = { target, fuse, contractAll, combine };
  const arrangeIn = ({ remade, isTight }: Trial, table: Chooser): Arrangement =>
    arrange(
      remade,
      { ...settings, ...(isTight ? { residents: 'never', halves: 'never' } : { residents, halves }) },
      table,
    );
  const fitting = withinMemory(ready, memoryBytes, (trial) => arrangeIn(trial, createChooser(options)));
  const { program: arranged, dispatches, placed } = arrangeIn(fitting, chooser);
  const placements = placed(fitting.packing);
  const kernels = emitDispatches(arranged, dispatches, placements, target);
  return {
    buffers: placements.buffers,
    kernels,
    tensors: planTensors(arranged, placements, kernels),
    inputs: arranged.tensors.filter((t) => t.source.kind === 'input').map((t) => t.name),
    params: arranged.tensors.filter((t) => t.source.kind === 'param').map((t) => t.name),
    outputs: arranged.outputs,
    recomputed: recomputedIn(fitting.remade),
    choices: chooser.made(),
  };
}

function planTensors(program: Program, placements: Placements, kernels: readonly PlanKernel[]): Plan['tensors'] {
  const lifetimes = temporaryLifetimes(program, placements, kernels);
  const entries = program.tensors.flatMap((t): [string, PlanTensor][] => {
    const place = placements.of.get(t.name);
    if (!place || elementCount(t.shape) === 0) return [];
    const { buffer, offsetBytes } = place;
    const lasts = lifetimes.get(t.name);
    const tensor = { buffer, offsetBytes, dtype: t.dtype, shape: t.shape };
    return [[t.name, lasts === undefined ? tensor : { ...tensor, lasts }]];
  });
  return Object.fromEntries(entries);
}

function temporaryLifetimes(
  program: Program,
  { buffers, of }: Placements,
  kernels: readonly PlanKernel[],
): ReadonlyMap<string, { readonly first: number; readonly last: number }> {
  const tensors = tensorMap(program);
  const workspaces = new Set(buffers.filter(({ role }) => role === 'temporary').map(({ id }) => id));
  const lifetimes = new Map<string, { first: number; last: number }>();
  for (const [i, { bindings }] of kernels.entries()) {
    for (const name of bindings.flatMap((binding) => binding.tensors).map((name) => viewBase(name, tensors))) {
      if (!workspaces.has(of.get(name)?.buffer ?? '')) continue;
      lifetimes.set(name, { first: lifetimes.get(name)?.first ?? i, last: i });
    }
  }
  for (const name of program.outputs.map((name) => viewBase(name, tensors))) {
    const lifetime = lifetimes.get(name);
    if (lifetime !== undefined) lifetime.last = kernels.length - 1;
  }
  return lifetimes;
}
