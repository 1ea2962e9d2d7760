/**
 * Which tensors are never stored, and the kernels that make them tile by tile wherever they are read. Program → streams, and the
 * program in an order in which the results of a kernel stand together.
 *
 *   S[t, u] = Σ_r q·k;  A[t, u] = exp(S - …);  y[t, e] = Σ_u A·v;  … their gradients
 *     hidden: S, A, and the cotangents of both
 *     rows t, walking u:  maximum, sum and y;  the cotangent of q          rows u, walking t:  the cotangents of k and v
 *     or, in one sweep of rows u, walking t:  the cotangents of k and v, and across of q (`across.ts`)
 *
 * Nothing here knows of attention: what is reduced over an axis together with something that is larger than its readers and cheap to
 * make again is a stream, whatever is in it (`spaces.ts` finds that, `worth.ts` weighs it, `drafts.ts` says what one kernel makes, `softmax.ts` what one walk
 * can sum at once).
 */
import type { StreamKernel } from '../../../kernels/kernel.ts';
import type { Target } from '../../../kernels/target.ts';
import { dependencies, tensorMap } from '../../ir/equation.ts';
import type { Program, Tensor } from '../../ir/program.ts';
import { type Chooser, createChooser } from '../choose.ts';
import { sizeBytes } from '../workspaces.ts';
import { type Sweeping, sumAcross } from './across.ts';
import { type Counted, type Draft, draftKernels } from './drafts.ts';
import { kernelOf } from './kernels.ts';
import { partResults } from './parts.ts';
import { findSpaces, type Streaming } from './spaces.ts';

export interface Streams {
  /** The results of a kernel stand together in it. */
  readonly program: Program;
  readonly hidden: ReadonlySet<string>;
  /** The kernel whose last result a tensor is. */
  readonly kernels: ReadonlyMap<string, StreamKernel>;
  readonly results: ReadonlySet<string>;
}

export interface StreamOptions {
  readonly counted?: Counted;
  readonly sweeping?: Sweeping;
  readonly chooser?: Chooser;
}

export function findStreams(
  program: Program,
  streaming: Streaming,
  target: Target,
  { counted = 'tensors', sweeping = 'auto', chooser = createChooser({ target }) }: StreamOptions = {},
): Streams {
  const nothing: Streams = { program, hidden: new Set(), kernels: new Map(), results: new Set() };
  if (streaming === 'never' || (streaming === 'auto' && !mayStream(program, target))) return nothing;
  const found = findSpaces(program, streaming, target, counted);
  if (found.spaces.length === 0) return nothing;
  const parted = partResults(found.program, found.spaces);
  const drafted = draftKernels(parted.program, parted.spaces, target, counted);
  const { program: swept, drafts } = sumAcross(parted.program, drafted, { sweeping, target, counted, chooser });
  const hidden = new Set(parted.spaces.flatMap((space) => [...space.hidden]));
  const tensors = tensorMap(swept);
  const kernels = drafts.map((draft) => [[...draft.members].at(-1)!, kernelOf(draft, tensors)] as const);
  return {
    program: together(swept, drafts, hidden),
    hidden,
    kernels: new Map(kernels),
    results: new Set(drafts.flatMap((draft) => [...draft.members])),
  };
}

/** A software device stores all that it can bind: whatever else there is needs no looking for. */
function mayStream({ tensors }: Program, { class: kind, limits }: Target): boolean {
  return kind === 'gpu' || tensors.some((tensor) => sizeBytes(tensor) > limits.maxStorageBufferBindingSize);
}

/** The program's tensors in an order in which those that a kernel makes stand together, behind all that it reads. */
function together(program: Program, drafts: readonly Draft[], hidden: ReadonlySet<string>): Program {
  const tensors = tensorMap(program);
  const draftOf = new Map(drafts.flatMap((draft) => [...draft.members].map((name) => [name, draft] as const)));
  const placed = new Set<string>();
  const result: Tensor[] = [];
  const place = (name: string): void => {
    if (placed.has(name)) return;
    const draft = draftOf.get(name);
    const members = draft === undefined ? [name] : [...draft.members];
    const isOwn = (other: string): boolean => draft?.members.has(other) === true;
    const before = (member: string): void => {
      for (const source of dependencies(tensors.get(member)!)) {
        if (isOwn(source) || placed.has(source)) continue;
        if (hidden.has(source)) {
          placed.add(source);
          before(source);
          result.push(tensors.get(source)!);
        } else place(source);
      }
    };
    for (const member of members) before(member);
    for (const member of members) {
      placed.add(member);
      result.push(tensors.get(member)!);
    }
  };
  for (const { name } of program.tensors) if (!hidden.has(name)) place(name);
  return { ...program, tensors: result };
}
