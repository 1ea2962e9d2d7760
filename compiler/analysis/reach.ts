/**
 * What of an input each element of a program's tensors depends on: for one axis of the input, the set of (index, position) pairs
 * between which a chain of loads leads, exactly as the domains have it.
 *
 *   S[t, u] sum= q[t, r] * k[u, r]; A~lse[t] logsumexp= S[t, u] where u <= t   →   A~lse: { (t, p) : p <= t }
 *
 * Positions pass through shifts, groups, reductions, selects; a product is followed only where its other factors may be other
 * than 0 (support.ts). Causality is read off it, and so is what a later token reads of an earlier one.
 *
 * The trap: a gather goes wherever the data say. Its pairs are all there could be, and are marked as not exact.
 */
import { axisIndex, isAffine, substitute } from '../ir/affine.ts';
import { equationsOf } from '../ir/equation.ts';
import { conditionOperands, constraintOperands, loads } from '../ir/expression.ts';
import type { Affine, Equation, Expression, Index, Load, Program, Tensor } from '../ir/program.ts';
import { contains, type Relation, relationKey, simplifyRelation } from './relation.ts';
import {
  branches,
  type Context,
  columnsOf,
  contextOf,
  joined,
  narrowed,
  type Supports,
  supportsOf,
} from './support.ts';

/** An axis of a tensor that is the same position in every element. */
export interface PositionAxis {
  readonly tensor: string;
  readonly dimension: number;
}

/** Pairs of one tensor. The columns are its index, then the position in the input. */
export interface Reach {
  readonly relation: Relation;
  /** Without a gather by data on the way. */
  readonly isExact: boolean;
  readonly tensor: string;
  /** The equation that it comes through, and the pairs of the tensor that is read there; none for the input itself. */
  readonly equation?: Equation;
  readonly from?: Reach;
}

/** Pieces beyond which a tensor's pairs are all pairs, and not exact. */
const mostPieces = 64;

/** By tensor; those that no element of the input reaches are not there. */
export function reachOf(
  program: Program,
  { tensor: source, dimension }: PositionAxis,
  supports: Supports = supportsOf(program),
): ReadonlyMap<string, readonly Reach[]> {
  const found = new Map<string, readonly Reach[]>();
  for (const tensor of program.tensors) {
    const pieces = tensor.name === source ? [identity(tensor, dimension)] : reachOfTensor(tensor, found, supports);
    if (pieces.length > 0) found.set(tensor.name, pieces);
  }
  return found;
}

function identity({ name, shape }: Tensor, dimension: number): Reach {
  const axes = shape.map((extent, d) => ({ name: `d${d}`, extent }));
  const columns = [...axes.map((_, d) => axisIndex(d)), axisIndex(dimension)];
  return { relation: { axes, domain: [], columns }, isExact: true, tensor: name };
}

function reachOfTensor(
  tensor: Tensor,
  found: ReadonlyMap<string, readonly Reach[]>,
  supports: Supports,
): readonly Reach[] {
  const { source } = tensor;
  if (source.kind === 'view' || source.kind === 'concat') {
    const bases = source.kind === 'view' ? [source.base] : source.parts.map((part) => part.tensor);
    return bases
      .flatMap((base) => found.get(base) ?? [])
      .slice(0, 1)
      .map((from) => anything(tensor, from, undefined));
  }
  let pieces: readonly Reach[] = [];
  for (const equation of equationsOf(tensor)) {
    for (const { context, load } of readsOf(equation, found, supports)) {
      for (const from of found.get(load.tensor) ?? []) {
        const piece = through(tensor, equation, context, load, from);
        if (piece !== undefined) pieces = withPiece(pieces, piece);
      }
    }
    if (pieces.length > mostPieces) return [anything(tensor, pieces[0].from as Reach, equation)];
  }
  return pieces;
}

function anything(tensor: Tensor, from: Reach, equation: Equation | undefined): Reach {
  const axes = [
    ...tensor.shape.map((extent, d) => ({ name: `d${d}`, extent })),
    { name: 'p', extent: positions(from) },
  ];
  const relation: Relation = { axes, domain: [], columns: axes.map((_, axis) => axisIndex(axis)) };
  return { relation, isExact: false, tensor: tensor.name, from, ...(equation === undefined ? {} : { equation }) };
}

function positions({ relation, from }: Reach): number {
  if (from !== undefined) return positions(from);
  const position = relation.columns[relation.columns.length - 1];
  return position.terms.reduce((most, { axis }) => Math.max(most, relation.axes[axis].extent), 1);
}

/** The pairs that go through one read: those of what is read, at the index that the equation reads, told for what it stores. */
function through(
  { name, shape }: Tensor,
  equation: Equation,
  context: Context,
  load: Load,
  from: Reach,
): Reach | undefined {
  const { axes, domain, shift } = joined(context, load.indices, from.relation);
  const [all, columns] = columnsOf(equation.store, axes, shape);
  const position = from.relation.columns[from.relation.columns.length - 1];
  const moved: Affine = substitute(position, (axis) => axisIndex(axis + shift));
  const relation = simplifyRelation({ axes: all, domain: domain.filter(isAffine), columns: [...columns, moved] });
  if (relation === undefined) return undefined;
  const isPlain =
    domain.every(isAffine) && [...load.indices, ...equation.store].every((index) => index.kind === 'affine');
  return { relation, isExact: from.isExact && isPlain, tensor: name, equation, from };
}

function withPiece(pieces: readonly Reach[], piece: Reach): readonly Reach[] {
  const covers = (big: Reach, small: Reach): boolean =>
    (big.isExact || !small.isExact) &&
    (relationKey(big.relation) === relationKey(small.relation) || contains(big.relation, small.relation));
  if (pieces.some((known) => covers(known, piece))) return pieces;
  return [...pieces.filter((known) => !covers(piece, known)), piece];
}

interface Read {
  readonly context: Context;
  readonly load: Load;
}

/** Every read of the equation that something reaches, with what is known of the point where its value counts. */
function readsOf(
  equation: Equation,
  found: ReadonlyMap<string, readonly Reach[]>,
  supports: Supports,
): readonly Read[] {
  const reads: Read[] = [];
  const isReached = (e: Expression): boolean =>
    loads(e).some((l) => found.has(l.tensor) || l.indices.some((index) => gatherReached(index)));
  const gatherReached = (index: Index): boolean =>
    index.kind === 'gather' && (found.has(index.tensor) || index.indices.some(gatherReached));
  const visitIndex = (index: Index, context: Context): void => {
    if (index.kind === 'affine') return;
    const load: Load = { kind: 'load', tensor: index.tensor, indices: index.indices };
    if (found.has(index.tensor)) reads.push({ context, load });
    for (const inner of index.indices) visitIndex(inner, context);
  };
  const visit = (e: Expression, context: Context): void => {
    if (!isReached(e)) return;
    switch (e.kind) {
      case 'load':
        if (found.has(e.tensor)) reads.push({ context, load: e });
        for (const index of e.indices) visitIndex(index, context);
        return;
      case 'product':
        for (const [i, factor] of e.factors.entries()) {
          if (!isReached(factor)) continue;
          const others: Expression = { kind: 'product', factors: e.factors.filter((_, k) => k !== i) };
          for (const within of narrowed(context, others, supports)) visit(factor, within);
        }
        return;
      case 'sum':
        for (const term of e.terms) visit(term, context);
        return;
      case 'unary':
        visit(e.operand, context);
        return;
      case 'binary':
        visit(e.left, context);
        visit(e.right, context);
        return;
      case 'select':
        for (const operand of conditionOperands(e.condition)) visit(operand, context);
        for (const [within, branch] of branches(context, e)) visit(branch, within);
        return;
      case 'random':
        visit(e.seed, context);
        visit(e.step, context);
        return;
      case 'constant':
      case 'index':
        return;
      default:
        e satisfies never;
    }
  };
  visit(equation.value, contextOf(equation));
  // What the data say of whether an element is there is something that it depends on.
  const asked: Context = { axes: equation.axes, domain: equation.domain.filter(isAffine) };
  for (const operand of equation.domain.flatMap(constraintOperands)) visit(operand, asked);
  for (const index of equation.store) visitIndex(index, contextOf(equation));
  return reads;
}
