/**
 * Which tensors are never stored, and the kernels that make them tile by tile wherever they are read. Program → streams, and the
 * program in an order in which the results of a kernel stand together.
 *
 *   S[t, u] = Σ_r q·k;  A[t, u] = exp(S - …);  y[t, e] = Σ_u A·v;  … their gradients
 *     hidden: S, A, and the cotangents of both
 *     rows t, walking u:  maximum, sum and y;  the cotangent of q          rows u, walking t:  the cotangents of k and v
 *
 * Nothing here knows of attention: what is reduced over an axis together with something that is larger than its readers and cheap to
 * make again is a stream, whatever is in it (`spaces.ts` finds that, `worth.ts` weighs it, `drafts.ts` says what one kernel makes, `softmax.ts` what one walk
 * can sum at once).
 */
import type { StreamKernel } from '../../../kernels/kernel.ts';
import type { Target } from '../../../kernels/target.ts';
import { dependencies, equationsOf, pointwise, tensorMap } from '../../ir/equation.ts';
import { loadAxes } from '../../ir/expression.ts';
import type { Axis, Equation, Program, Tensor } from '../../ir/program.ts';
import { freshName } from '../../passes/names.ts';
import { sizeBytes } from '../place.ts';
import { type Draft, draftKernels } from './drafts.ts';
import { kernelOf } from './kernels.ts';
import type { Result, Space } from './space.ts';
import { findSpaces, type Streaming } from './spaces.ts';

export interface Streams {
  /** The results of a kernel stand together in it. */
  readonly program: Program;
  readonly hidden: ReadonlySet<string>;
  /** The kernel whose last result a tensor is. */
  readonly kernels: ReadonlyMap<string, StreamKernel>;
  readonly results: ReadonlySet<string>;
}

export function findStreams(program: Program, streaming: Streaming, target: Target): Streams {
  const nothing: Streams = { program, hidden: new Set(), kernels: new Map(), results: new Set() };
  if (streaming === 'never' || (streaming === 'auto' && !mayStream(program, target))) return nothing;
  const found = findSpaces(program, streaming, target);
  if (found.spaces.length === 0) return nothing;
  const parted = partResults(found.program, found.spaces);
  const drafts = draftKernels(parted.program, parted.spaces, target);
  const hidden = new Set(parted.spaces.flatMap((space) => [...space.hidden]));
  const kernels = drafts
    .map((draft) => [...draft.members].at(-1)!)
    .map((last, i) => [last, kernelOf(drafts[i], tensorMap(parted.program))] as const);
  return {
    program: together(parted.program, drafts, hidden),
    hidden,
    kernels: new Map(kernels),
    results: new Set(drafts.flatMap((draft) => [...draft.members])),
  };
}

/** A software device stores all that it can bind: whatever else there is needs no looking for. */
function mayStream({ tensors }: Program, { class: kind, limits }: Target): boolean {
  return kind === 'gpu' || tensors.some((tensor) => sizeBytes(tensor) > limits.maxStorageBufferBindingSize);
}

/**
 * A tensor of which only a part is a result of one kernel becomes the sum of its parts: `y = Σ_u A·v + x`, or the cotangent of what is
 * read both as rows and along the walk.
 */
function partResults(program: Program, spaces: readonly Space[]): { program: Program; spaces: readonly Space[] } {
  const taken = new Set(program.tensors.map((t) => t.name));
  const counts = new Map<string, number>();
  for (const { results } of spaces)
    for (const { tensor } of results) counts.set(tensor.name, (counts.get(tensor.name) ?? 0) + 1);
  const made = new Map<string, { readonly parts: Tensor[]; readonly moved: Set<Equation> }>();
  const changed = spaces.map(
    (space): Space => ({
      ...space,
      results: space.results.map((result): Result => {
        const { tensor, given } = result;
        if (counts.get(tensor.name) === 1 && given.length === equationsOf(tensor).length) return result;
        const name = freshName(`${tensor.name}~stream`, taken);
        const part: Tensor = { ...tensor, name, source: { kind: 'computed', equations: given } };
        const known = made.get(tensor.name) ?? { parts: [], moved: new Set() };
        made.set(tensor.name, known);
        known.parts.push(part);
        for (const equation of given) known.moved.add(equation);
        return { ...result, tensor: part };
      }),
    }),
  );
  if (made.size === 0) return { program, spaces };
  const tensors = program.tensors.flatMap((tensor): Tensor[] => {
    const known = made.get(tensor.name);
    if (known === undefined) return [tensor];
    const axes = tensor.shape.map((extent, d): Axis => ({ name: `o${d}`, extent }));
    const all = [...axes.keys()];
    const sums = known.parts.map((part) => pointwise(axes, loadAxes(part.name, all)));
    const rest = equationsOf(tensor).filter((e) => !known.moved.has(e));
    return [...known.parts, { ...tensor, source: { kind: 'computed', equations: [...rest, ...sums] } }];
  });
  return { program: { ...program, tensors }, spaces: changed };
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
