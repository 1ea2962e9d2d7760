/**
 * Which tensors are never stored, and the kernels that make them tile by tile wherever they are read. Program → streams, and the
 * program in an order in which the results of a kernel stand together.
 *
 *   S[t, u] = Σ_r q·k;  A[t, u] = exp(S - …);  y[t, e] = Σ_u A·v;  … their gradients
 *     hidden: S, A, and the cotangents of both
 *     rows t, walking u:  maximum, sum and y;  the cotangent of q          rows u, walking t:  the cotangents of k and v
 *
 * Nothing here knows of attention: what is reduced over an axis together with something that is larger than its readers and cheap to
 * make again is a stream, whatever is in it (`stream-spaces.ts` finds that, `stream-softmax.ts` what one walk can do at once).
 *
 * The trap: the results of one kernel must not wait for each other by way of another kernel, another stream among them.
 */
import type { StreamKernel, StreamStatement } from '../../kernels/kernel.ts';
import type { Target } from '../../kernels/target.ts';
import { asAxis } from '../ir/affine.ts';
import { dependencies, equationsOf, pointwise, readTensors, tensorMap } from '../ir/equation.ts';
import { load, loadAxes, loads } from '../ir/expression.ts';
import { constraintKey, expressionKey } from '../ir/hash.ts';

import type { Affine, Axis, Constraint, Equation, Load, Program, Tensor } from '../ir/program.ts';
import { freshName } from '../passes/names.ts';
import { sizeBytes } from './place.ts';
import { isPointwise } from './plain.ts';
import { type Followed, followRows } from './stream-softmax.ts';
import {
  type Class,
  findSpaces,
  hiddenBelow,
  inKernel,
  kernelClasses,
  kernelKey,
  type Result,
  type Space,
  type Streaming,
  streamed,
  tileClasses,
} from './stream-spaces.ts';

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

/** A kernel while it is put together. */
interface Draft {
  readonly space: Space;
  readonly key: string;
  readonly order: readonly Class[];
  readonly like: Result;
  /** Results in the order of computation, tensors made from rows among them. */
  readonly members: Set<string>;
  readonly statements: { readonly statement: StreamStatement; readonly tiles: ReadonlyMap<string, Equation> }[];
  readonly moving: Set<string>;
  readonly final: Set<string>;
}

function draftKernels(program: Program, spaces: readonly Space[], target: Target): readonly Draft[] {
  const tensors = tensorMap(program);
  const resultOf = new Map(
    spaces.flatMap((space) => space.results.map((result) => [result.tensor.name, { space, result }] as const)),
  );
  const hidden = new Set(spaces.flatMap((space) => [...space.hidden]));
  const drafts: Draft[] = [];
  const draftOf = new Map<string, Draft>();
  const directly = directSources(tensors, hidden);
  const fits = (draft: Draft, names: readonly string[]): boolean => {
    const all = new Set([...draft.members].flatMap((name) => [name, ...directly(name)]).concat(names));
    return all.size <= target.limits.maxStorageBuffersPerShaderStage;
  };
  for (const tensor of program.tensors) {
    if (hidden.has(tensor.name)) continue;
    const found = resultOf.get(tensor.name);
    if (found === undefined) {
      const draft = rowOf(tensor, draftOf);
      if (draft !== undefined && fits(draft, [tensor.name])) joinRow(tensor, draft, draftOf);
      continue;
    }
    const { space, result } = found;
    const key = kernelKey(result);
    const sources = directly(tensor.name);
    let joined = false;
    for (const draft of [...drafts].reverse()) {
      if (draft.space !== space || draft.key !== key || !fits(draft, [tensor.name, ...sources])) continue;
      const inside = sources.filter((name) => draft.members.has(name));
      const canFollow = inside.length > 0 && !result.isMap;
      const followed = !canFollow ? undefined : followRows(result.equations, draft, hidden, tensors);
      if (inside.length > 0 && (followed === undefined || clashes(followed, draft, hidden, tensors))) continue;
      const outside = sources.filter((name) => !draft.members.has(name));
      if (reaches(outside, draft, draftOf, directly)) continue;
      addResult(result, followed, draft, draftOf);
      joined = true;
      break;
    }
    if (joined) continue;
    const order = kernelClasses(result);
    const draft: Draft = {
      space,
      key,
      order,
      like: result,
      members: new Set(),
      statements: [],
      moving: new Set(),
      final: new Set(),
    };
    drafts.push(draft);
    addResult(result, undefined, draft, draftOf);
  }
  return drafts;
}

/** What a tensor is made from without the hidden ones between. */
function directSources(
  tensors: ReadonlyMap<string, Tensor>,
  hidden: ReadonlySet<string>,
): (name: string) => readonly string[] {
  const known = new Map<string, readonly string[]>();
  const of = (name: string): readonly string[] => {
    const before = known.get(name);
    if (before !== undefined) return before;
    const found = [...new Set(dependencies(tensors.get(name)!).flatMap((d) => (hidden.has(d) ? of(d) : [d])))];
    known.set(name, found);
    return found;
  };
  return of;
}

/** Whether something that must come before depends on what the draft makes. */
function reaches(
  names: readonly string[],
  draft: Draft,
  draftOf: ReadonlyMap<string, Draft>,
  directly: (name: string) => readonly string[],
): boolean {
  const seen = new Set<string>();
  const open = [...names];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    if (draft.members.has(name)) return true;
    const other = draftOf.get(name);
    for (const member of other?.members ?? [name]) {
      if (!seen.has(member) || member === name) open.push(...directly(member));
      seen.add(member);
    }
  }
  return false;
}

/** A tile without its logarithm is another tensor: nothing else of the kernel may want it whole. */
function clashes(
  followed: Followed,
  draft: Draft,
  hidden: ReadonlySet<string>,
  tensors: ReadonlyMap<string, Tensor>,
): boolean {
  if (followed.tiles.size === 0) return false;
  return draft.statements.some(({ statement, tiles }) => {
    const needed = hiddenBelow(statement.equations, { hidden }, tensors);
    return [...followed.tiles.keys()].some((name) => needed.has(name) && !tiles.has(name));
  });
}

function addResult(result: Result, followed: Followed | undefined, draft: Draft, draftOf: Map<string, Draft>): void {
  const { tensor } = result;
  const { extentOf } = draft.space;
  const given = followed?.equations ?? result.equations;
  const equations = given.map((e, i) => inKernel(e, result.classes[i], draft.order, extentOf));
  const kind = kindOf(result, draft);
  const finish =
    followed?.finish === undefined
      ? undefined
      : inKernel({ ...given[0], value: followed.finish }, result.classes[0], draft.order, extentOf).value;
  const statement: StreamStatement = {
    kind,
    tensor: tensor.name,
    equations,
    stored: true,
    follows: followed?.follows ?? [],
    ...(finish === undefined ? {} : { finish }),
  };
  draft.statements.push({ statement, tiles: followed?.tiles ?? new Map() });
  draft.members.add(tensor.name);
  draftOf.set(tensor.name, draft);
  if (kind === 'extreme') draft.moving.add(tensor.name);
  else if (kind === 'total') draft.final.add(tensor.name);
}

function kindOf({ tensor, equations: [equation], isMap }: Result, draft: Draft): StreamStatement['kind'] {
  if (isMap) return 'map';
  if (equation.reducer !== 'sum') return 'extreme';
  return isRowShaped(tensor, draft) ? 'total' : 'sum';
}

function rowShape({ like, space }: Draft): readonly number[] {
  return [...like.batch, like.row].map((id) => space.extentOf.get(id)!);
}

/** One element for each row and batch, whatever the order of its dimensions. */
function isRowShaped({ shape }: Tensor, draft: Draft): boolean {
  const count = (extents: readonly number[]): number => extents.reduce((n, extent) => n * extent, 1);
  return count(shape) === count(rowShape(draft));
}

/** The draft whose rows alone a tensor is made from, element by element. */
function rowOf(tensor: Tensor, draftOf: ReadonlyMap<string, Draft>): Draft | undefined {
  const [equation, ...others] = equationsOf(tensor);
  if (equation === undefined || others.length > 0 || tensor.dtype !== 'f32' || !isPointwise(equation, tensor.shape))
    return undefined;
  if (equation.domain.length > 0) return undefined;
  const read = loads(equation.value);
  const draft = read.length === 0 ? undefined : draftOf.get(read[0].tensor);
  if (draft === undefined) return undefined;
  const isRow = (l: Load): boolean => draft.moving.has(l.tensor) || draft.final.has(l.tensor);
  const aligned = (l: Load): boolean =>
    l.indices.every((index, d) => {
      const axis = index.kind === 'affine' ? asAxis(index) : undefined;
      const own = asAxis(equation.store[d] as Affine);
      return (axis !== undefined && axis === own) || tensor.shape[d] === 1;
    });
  if (
    !read.every(isRow) ||
    !rowDimensions(read[0].tensor, draft).every((id, d) => id !== undefined || tensor.shape[d] === 1)
  )
    return undefined;
  return read.every((l) => isRow(l) && l.indices.length === tensor.shape.length && aligned(l)) ? draft : undefined;
}

function joinRow(tensor: Tensor, draft: Draft, draftOf: Map<string, Draft>): void {
  const [equation] = equationsOf(tensor);
  const [read] = loads(equation.value);
  const classes = new Map<number, Class>();
  const dimensions = rowDimensions(read.tensor, draft);
  equation.store.forEach((index, d) => {
    const axis = asAxis(index as Affine);
    const id = dimensions[d];
    if (axis !== undefined && id !== undefined) classes.set(axis, id);
  });
  const isMoving = loads(equation.value).every((l) => draft.moving.has(l.tensor));
  const own = inKernel(equation, classes, draft.order, draft.space.extentOf);
  const statement: StreamStatement = { kind: 'row', tensor: tensor.name, equations: [own], stored: true, follows: [] };
  draft.statements.push({ statement, tiles: new Map() });
  draft.members.add(tensor.name);
  draftOf.set(tensor.name, draft);
  (isMoving ? draft.moving : draft.final).add(tensor.name);
}

/** The classes of the dimensions of a row tensor that the draft makes. */
function rowDimensions(name: string, draft: Draft): readonly (Class | undefined)[] {
  const { statement } = draft.statements.find((s) => s.statement.tensor === name)!;
  return statement.equations[0].store.map((index) => {
    const axis = asAxis(index as Affine);
    return axis === undefined ? undefined : draft.order[axis];
  });
}

/** The kernel, with each tile before the first statement that needs it. */
function kernelOf(draft: Draft, tensors: ReadonlyMap<string, Tensor>): StreamKernel {
  const { space, order, like } = draft;
  const without = new Map(draft.statements.flatMap(({ tiles }) => [...tiles]));
  const common = commonConstraints(draft);
  const made = new Map<string, StreamStatement>();
  const statements: StreamStatement[] = [];
  const tileOf = (name: string): StreamStatement => {
    const tensor = tensors.get(name)!;
    const given = without.has(name) ? [without.get(name)!] : equationsOf(tensor);
    const equations = given.map(streamed).map((e) => {
      const own = inKernel(e, tileClasses(e, tensor, space), order, space.extentOf);
      return { ...own, domain: own.domain.filter((c) => !common.has(constraintKey(c))) };
    });
    return { kind: 'tile', tensor: name, equations, stored: false, follows: [] };
  };
  const need = (equation: Equation): void => {
    for (const name of readTensors(equation)) {
      if (!space.hidden.has(name) || made.has(name)) continue;
      const tile = tileOf(name);
      made.set(name, tile);
      for (const e of tile.equations) need(e);
      statements.push(tile);
    }
  };
  for (const { statement } of draft.statements) {
    const shared = sharesTile(statement, [...without.keys()].map(tileOf), common);
    for (const e of shared.equations) need(e);
    statements.push(shared);
  }
  const named = like.equations[0];
  const axis = (id: Class): Axis => {
    const own = [...like.classes[0]].find(([, c]) => c === id)?.[0];
    return { name: own === undefined ? `i${id}` : named.axes[own].name, extent: space.extentOf.get(id)! };
  };
  return {
    family: 'stream',
    batch: like.batch.map(axis),
    outer: like.outer.map(axis),
    row: axis(like.row),
    walk: axis(like.walk),
    statements,
  };
}

/** Constraints that every result has: what a tile is outside of them nobody asks. */
function commonConstraints({ statements }: Draft): ReadonlySet<string> {
  const lists = statements
    .filter(({ statement }) => statement.kind !== 'row')
    .flatMap(({ statement }) => statement.equations.map((e) => new Set(e.domain.map(constraintKey))));
  const [first, ...others] = lists;
  return new Set([...first].filter((key) => others.every((keys) => keys.has(key))));
}

/** A total of what a tile of the kernel holds reads it there. */
function sharesTile(
  statement: StreamStatement,
  tiles: readonly StreamStatement[],
  common: ReadonlySet<string>,
): StreamStatement {
  if (statement.kind !== 'total') return statement;
  const equations = statement.equations.map((equation): Equation => {
    const key = expressionKey(equation.value);
    const tile = tiles.find(
      ({ equations: [only] }) =>
        expressionKey(only.value) === key && only.domain.every((c: Constraint) => common.has(constraintKey(c))),
    );
    return tile === undefined ? equation : { ...equation, value: load(tile.tensor, tile.equations[0].store) };
  });
  return { ...statement, equations };
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
