/**
 * A program that is ready for kernels → what runs and where everything lies: kernels, their choices, dispatches, places. All of the
 * schedule that says what a plan takes in memory, and none of the code, so that a plan can be tried.
 */

import { tilesOf } from '../../kernels/families/stream/shape.ts';
import type { ContractionKernel, Kernel } from '../../kernels/kernel.ts';
import { kernelParts, kernelReads, withStored } from '../../kernels/statements.ts';
import { tensorMap } from '../ir/equation.ts';
import type { Program } from '../ir/program.ts';
import { copyOf } from '../passes/for-kernels/explicit-copies.ts';
import { heldTensors } from '../passes/rename.ts';
import { type Chooser, contractionChoice, layoutsOf, withChoices } from './choose.ts';
import { combineKernels, type Dispatch } from './dispatches/combine.ts';
import { type GroupOptions, groupKernels } from './group/group.ts';
import { type Halves, withHalves } from './halves.ts';
import type { Remade } from './memory/remake.ts';
import { inPlaceUpdates, placeTensors } from './place.ts';
import { rereadNothing } from './reread.ts';
import { type Residents, withResidents } from './residents/residents.ts';
import { leaveUnread } from './unread.ts';
import type { Packing, Placements } from './workspaces.ts';

export interface ArrangeOptions extends Omit<GroupOptions, 'tuningOf'> {
  /** Whether kernels may share a dispatch. */
  readonly combine: boolean;
  /** Whether some of these may be stages of one. */
  readonly residents: Residents;
  readonly halves: Halves;
}

export interface Arrangement {
  readonly program: Program;
  readonly dispatches: readonly Dispatch[];
  readonly placed: (packing: Packing) => Placements;
}

export function arrange(remade: Remade, options: ArrangeOptions, chooser: Chooser): Arrangement {
  const { program } = remade.streams;
  const { target, combine, residents, halves } = options;
  const layouts = layoutsOf(program);
  const tuningOf = (kernel: ContractionKernel) => contractionChoice(kernel, layouts, chooser, target).tuning;
  const drafted = groupKernels(remade, { ...options, tuningOf });
  const grouped = target.class === 'gpu' ? rereadNothing(program, drafted) : drafted;
  const inPlace = inPlaceUpdates(program, grouped);
  const kept = [...keepStored(program, grouped), ...stateCopies(program, inPlace)];
  const chosen = withChoices(leaveUnread(program, kept), layouts, chooser, target);
  const staged = combine
    ? withResidents(program, chosen, { residents, target, layouts, chooser, inPlace, after: remade.after })
    : chosen;
  const ready = withHalves(program, staged, { halves, target, chooser });
  const dispatches = combine
    ? combineKernels(ready.program, ready.kernels, inPlace, remade.after, target)
    : ready.kernels.map((kernel): Dispatch => [kernel]);
  const placed = (packing: Packing) => placeTensors(ready.program, dispatches, inPlace, target.limits, packing);
  return { program: ready.program, dispatches, placed };
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
