/**
 * Which results one kernel makes: those of the same rows and walk, and what is made from their rows. Program, spaces → drafts of kernels.
 *
 * The trap: the results of one kernel must not wait for each other by way of another kernel, another stream among them.
 */
import type { StreamPieces, StreamStatement } from '../../../kernels/kernel.ts';
import type { Target } from '../../../kernels/target.ts';
import { asAxis } from '../../ir/affine.ts';
import { dependencies, equationsOf, tensorMap } from '../../ir/equation.ts';
import { loads } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import { isPointwise } from '../../ir/plain.ts';
import type { Affine, Equation, Load, Program, Tensor } from '../../ir/program.ts';
import { bufferNames } from '../place.ts';
import { isWorkspace } from '../workspaces.ts';
import { type Followed, followRows, type RowFacts } from './softmax.ts';
import { type Class, hiddenBelow, kernelClasses, kernelKey, type Result, type Space } from './space.ts';

/** A kernel while it is put together. */
export interface Draft {
  readonly space: Space;
  readonly key: string;
  readonly order: readonly Class[];
  readonly like: Result;
  /** Results in the order of computation, tensors made from rows among them. */
  readonly members: Set<string>;
  readonly statements: DraftStatement[];
  readonly moving: Set<string>;
  readonly final: Set<string>;
  /** Where the first and the last of its members stand in the program. */
  readonly span: { readonly first: number; last: number };
  /** Where it has sums across (`across.ts`). */
  readonly pieces?: StreamPieces;
}

/** What a statement of the kernel will be, in its equations' own axes. */
export interface DraftStatement {
  readonly kind: Exclude<StreamStatement['kind'], 'tile'>;
  readonly tensor: string;
  readonly equations: readonly Equation[];
  /** Class of each axis of each equation, where it has one. */
  readonly classes: readonly ReadonlyMap<number, Class>[];
  readonly followed?: Followed;
}

/**
 * What a kernel's bindings are counted by: its tensors, or the buffers that those will lie in. Temporaries lie in few, how few is known
 * once all have a place.
 */
export type Counted = 'tensors' | 'buffers';

/** More workspaces than a kernel's temporaries lie in. */
const mostWorkspaces = 10;

export function draftKernels(
  program: Program,
  spaces: readonly Space[],
  target: Target,
  counted: Counted,
): readonly Draft[] {
  const tensors = tensorMap(program);
  const position = new Map(program.tensors.map(({ name }, at) => [name, at]));
  const resultOf = new Map(
    spaces.flatMap((space) => space.results.map((result) => [result.tensor.name, { space, result }] as const)),
  );
  const hidden = new Set(spaces.flatMap((space) => [...space.hidden]));
  const drafts: Draft[] = [];
  const draftsOf = new Map<Space, Draft[]>();
  const draftOf = new Map<string, Draft>();
  const directly = directSources(tensors, hidden);
  const fits = fitsBindings(program, directly, target, counted);
  const add = (statement: DraftStatement, draft: Draft): void => {
    draft.statements.push(statement);
    draft.members.add(statement.tensor);
    draft.span.last = position.get(statement.tensor)!;
    draftOf.set(statement.tensor, draft);
  };
  for (const [at, tensor] of program.tensors.entries()) {
    if (hidden.has(tensor.name)) continue;
    const found = resultOf.get(tensor.name);
    if (found === undefined) {
      const draft = rowOf(tensor, draftOf);
      if (draft !== undefined && fits(draft, [tensor.name])) add(rowStatement(tensor, draft), draft);
      continue;
    }
    const { space, result } = found;
    const key = kernelKey(result);
    const sources = directly(tensor.name);
    let joined = false;
    for (const draft of [...(draftsOf.get(space) ?? [])].reverse()) {
      if (draft.key !== key || !fits(draft, [tensor.name, ...sources])) continue;
      const inside = sources.filter((name) => draft.members.has(name));
      // What the kernel sums is known of its own rows alone, and at the end: another sum may want it of all.
      if (inside.some((name) => !isRow(name, draft))) continue;
      const canFollow = inside.length > 0 && !result.isMap;
      const followed = !canFollow ? undefined : followRows(result, rowFacts(draft), hidden, tensors);
      if (inside.length > 0 && (followed === undefined || clashes(followed, draft, hidden, tensors))) continue;
      const from = beginningOf(draft, drafts);
      const outside = sources.filter((name) => !draft.members.has(name));
      if (reaches(outside, draft, draftOf, (name) => (position.get(name)! < from ? [] : directly(name)))) continue;
      add(resultStatement(result, followed, draft), draft);
      joined = true;
      break;
    }
    if (joined) continue;
    const draft: Draft = {
      space,
      key,
      order: kernelClasses(result),
      like: result,
      members: new Set(),
      statements: [],
      moving: new Set(),
      final: new Set(),
      span: { first: at, last: at },
    };
    drafts.push(draft);
    addTo(draftsOf, space, draft);
    add(resultStatement(result, undefined, draft), draft);
  }
  return drafts;
}

/** Whether a kernel may bind all that a draft names, and `names`. */
export function fitsBindings(
  program: Program,
  directly: (name: string) => readonly string[],
  target: Target,
  counted: Counted,
): (draft: Draft, names: readonly string[]) => boolean {
  const bufferOf = bufferNames(program, new Map());
  const allowed = target.limits.maxStorageBuffersPerShaderStage;
  return ({ members }, names) => {
    const all = new Set([...members].flatMap((name) => [name, ...directly(name)]).concat(names));
    if (all.size <= allowed || counted === 'tensors') return all.size <= allowed;
    const buffers = new Set([...all].map(bufferOf).filter((buffer) => !isWorkspace(buffer)));
    return buffers.size + mostWorkspaces <= allowed;
  };
}

/** No tensor before this place in the program waits for the draft, be it by way of other drafts. `drafts` are in order. */
export function beginningOf(draft: Draft, drafts: readonly Draft[]): number {
  return drafts.reduceRight(
    (from, { span }) => (span.first < from && span.last >= from ? span.first : from),
    draft.span.first,
  );
}

/** What a tensor is made from without the hidden ones between. */
export function directSources(
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
export function reaches(
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
  return draft.statements.some((statement) => {
    const needed = hiddenBelow(statement.equations, { hidden }, tensors);
    return [...followed.tiles.keys()].some((name) => needed.has(name) && !statement.followed?.tiles.has(name));
  });
}

function resultStatement(result: Result, followed: Followed | undefined, draft: Draft): DraftStatement {
  const { tensor, classes } = result;
  const kind = kindOf(result, draft);
  if (kind === 'extreme') draft.moving.add(tensor.name);
  else if (kind === 'total') draft.final.add(tensor.name);
  const equations = followed?.equations ?? result.equations;
  return { kind, tensor: tensor.name, equations, classes, ...(followed === undefined ? {} : { followed }) };
}

function kindOf({ tensor, equations: [equation], isMap }: Result, draft: Draft): DraftStatement['kind'] {
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

function rowFacts(draft: Draft): RowFacts {
  const { moving, final, statements } = draft;
  return {
    moving,
    final,
    isExtreme: (name) => statements.some(({ kind, tensor }) => kind === 'extreme' && tensor === name),
    dimensions: (name) => rowDimensions(name, draft),
  };
}

/** Known of a row while, or after, it is walked: all that its kernel can read of it. */
function isRow(name: string, { moving, final }: Draft): boolean {
  return moving.has(name) || final.has(name);
}

/** The draft whose rows alone a tensor is made from, element by element. */
function rowOf(tensor: Tensor, draftOf: ReadonlyMap<string, Draft>): Draft | undefined {
  const [equation, ...others] = equationsOf(tensor);
  if (equation === undefined || others.length > 0 || tensor.dtype !== 'f32') return undefined;
  const read = loads(equation.value);
  const draft = read.length === 0 ? undefined : draftOf.get(read[0].tensor);
  if (draft === undefined || equation.domain.length > 0 || !isPointwise(equation, tensor.shape)) return undefined;
  const isOwn = (l: Load): boolean => isRow(l.tensor, draft);
  const aligned = (l: Load): boolean =>
    l.indices.every((index, d) => {
      const axis = index.kind === 'affine' ? asAxis(index) : undefined;
      const own = asAxis(equation.store[d] as Affine);
      return (axis !== undefined && axis === own) || tensor.shape[d] === 1;
    });
  if (
    !read.every(isOwn) ||
    !rowDimensions(read[0].tensor, draft).every((id, d) => id !== undefined || tensor.shape[d] === 1)
  )
    return undefined;
  return read.every((l) => isOwn(l) && l.indices.length === tensor.shape.length && aligned(l)) ? draft : undefined;
}

function rowStatement(tensor: Tensor, draft: Draft): DraftStatement {
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
  (isMoving ? draft.moving : draft.final).add(tensor.name);
  return { kind: 'row', tensor: tensor.name, equations: [equation], classes: [classes] };
}

/** The classes of the dimensions of a row tensor that the draft makes. */
function rowDimensions(name: string, draft: Draft): readonly (Class | undefined)[] {
  const { equations, classes } = draft.statements.find(({ tensor }) => tensor === name)!;
  return equations[0].store.map((index) => {
    const axis = asAxis(index as Affine);
    return axis === undefined ? undefined : classes[0].get(axis);
  });
}
