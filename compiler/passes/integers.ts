/**
 * Indices, conditions and numbers that go through a computed integer tensor become positions again where they are affine, or affine
 * in a few pieces: a circulant stays index arithmetic, a bucketed bias stays a read, and no tensor of indices is made.
 *
 *   shift[i, j] sum= remainder(i - j, 4)         W[i, j] sum= c[i - j]       where i - j >= 0
 *   W[i, j] sum= c[shift[i, j]]              →   W[i, j] sum= c[i - j + 4]   where i - j < 0
 *
 * Under a sum each piece is an equation with the piece's domain; anywhere else it is a choice by position, `select`.
 *
 * The trap: an element of an integer tensor that nothing stores is 0, so the outside of its domain is a piece too.
 */
import { affine, complement, decide, isAffine } from '../ir/affine.ts';
import { factorsOf, productOf } from '../ir/contraction.ts';
import { equationsOf } from '../ir/equation.ts';
import {
  axisRenaming,
  constant,
  load,
  loads,
  mapChildren,
  renameAxes,
  rewriteConstraint,
  select,
} from '../ir/expression.ts';
import { findPoint } from '../ir/feasible.ts';
import { constraintKey } from '../ir/hash.ts';
import { mapSame } from '../ir/lists.ts';
import { affinePieces, comparedWhole, type Piece } from '../ir/piecewise.ts';
import type {
  Affine,
  AffineConstraint,
  Axis,
  Constraint,
  Equation,
  Expression,
  Index,
  Load,
  Program,
  Tensor,
} from '../ir/program.ts';
import { plainStore } from './store.ts';

/** Boxes looked at to find that no point is in a piece. */
const emptinessBudget = 500;

/** More pieces than this are better read from a tensor. */
const mostPieces = 4;

type Definitions = ReadonlyMap<string, Definition>;

/** An integer tensor of positions alone; `axes` are its dimensions. */
interface Definition {
  readonly axes: readonly Axis[];
  /** Everything that is written of it, 0 where nothing is. */
  readonly value: Expression;
  readonly pieces: readonly Piece[] | undefined;
}

/** What a read is at the points of a piece. */
interface ReadPiece<T> {
  readonly when: readonly AffineConstraint[];
  readonly read: T;
}

export function inlineIntegers(program: Program): Program {
  const definitions = new Map<string, Definition>();
  const tensors = mapSame(program.tensors, (tensor): Tensor => {
    if (tensor.source.kind !== 'computed') return tensor;
    const before = tensor.source.equations;
    const after = before.flatMap((equation) => readPieces(equation, definitions));
    const same = after.length === before.length && after.every((equation, i) => equation === before[i]);
    const rewritten: Tensor = same ? tensor : { ...tensor, source: { kind: 'computed', equations: after } };
    const definition = tensor.dtype === 'i32' ? definitionOf(rewritten) : undefined;
    if (definition !== undefined) definitions.set(tensor.name, definition);
    return rewritten;
  });
  return tensors === program.tensors ? program : { ...program, tensors };
}

function definitionOf(tensor: Tensor): Definition | undefined {
  const [only, ...others] = equationsOf(tensor);
  if (only === undefined || others.length > 0 || only.reducer !== 'sum' || loads(only.value).length > 0)
    return undefined;
  const stored = plainStore(only);
  if (stored === undefined || stored.length !== only.axes.length || !only.domain.every(isAffine)) return undefined;
  if (stored.some((axis, d) => only.axes[axis].extent !== tensor.shape[d])) return undefined;
  const dimensions: number[] = [];
  stored.forEach((axis, d) => {
    dimensions[axis] = d;
  });
  const axes = stored.map((axis) => only.axes[axis]);
  const constraints = only.domain.map((c) => rewriteConstraint(c, { affine: axisRenaming(dimensions) }));
  const inside = renameAxes(only.value, dimensions);
  const value = constraints.length === 0 ? inside : select({ kind: 'domain', constraints }, inside, constant(0));
  const pieces = piecesUnder(constraints.filter(isAffine), inside, axes);
  return { axes, value, pieces };
}

/** The pieces of a value that is 0 outside a domain. */
function piecesUnder(
  domain: readonly AffineConstraint[],
  value: Expression,
  axes: readonly Axis[],
): readonly Piece[] | undefined {
  const inside = affinePieces(value, axes, mostPieces)?.map(({ when, ...rest }) => ({
    when: [...domain, ...when],
    ...rest,
  }));
  const outside = complement(domain).map((when): Piece => ({ when: when.filter(isAffine), value: affine(0) }));
  const all = inside && [...inside, ...outside].filter(({ when }) => !when.some((c) => decide(c, axes) === 'never'));
  return all !== undefined && all.length <= mostPieces ? all : undefined;
}

/** The equation once for each piece, where a factor of a sum is read through one; elsewhere with choices in the value. */
function readPieces(equation: Equation, definitions: Definitions): readonly Equation[] {
  const { axes } = equation;
  const { constant: c, factors } = factorsOf(equation.value);
  for (const [position, factor] of equation.reducer === 'sum' ? factors.entries() : []) {
    const pieces = factor.kind === 'load' ? piecesOfLoad(factor, definitions) : undefined;
    if (pieces === undefined) continue;
    return pieces.flatMap(({ when, read }) => {
      const domain = conjunction(equation.domain, when, axes);
      if (findPoint(axes, domain, emptinessBudget).kind === 'none') return [];
      const value = productOf({ constant: c, factors: factors.map((f, i) => (i === position ? read : f)) });
      return readPieces({ ...equation, domain, value }, definitions);
    });
  }
  const value = inPositions(equation.value, definitions);
  const domain = equation.domain.flatMap((condition) => constraintsInPositions(condition, definitions, axes));
  const isSame = domain.length === equation.domain.length && domain.every((d, i) => d === equation.domain[i]);
  return value === equation.value && isSame
    ? [equation]
    : [{ ...equation, domain: isSame ? equation.domain : domain, value }];
}

/** Without what always holds or stands twice. */
function conjunction(
  domain: readonly Constraint[],
  more: readonly Constraint[],
  axes: readonly Axis[],
): readonly Constraint[] {
  const all = new Map([...domain, ...more].map((c) => [constraintKey(c), c]));
  return [...all.values()].filter((c) => decide(c, axes) !== 'always');
}

/** A read whose indices go through integer tensors of positions; undefined where none does. */
function piecesOfLoad(read: Load, definitions: Definitions): readonly ReadPiece<Load>[] | undefined {
  if (!read.indices.some((index) => goesThrough(index, definitions))) return undefined;
  const found = piecesOfIndices(read.indices, definitions);
  return found?.map(({ when, read: indices }) => ({ when, read: load(read.tensor, indices) }));
}

function goesThrough(index: Index, definitions: Definitions): boolean {
  if (index.kind === 'affine') return false;
  return definitions.get(index.tensor)?.pieces !== undefined || index.indices.some((i) => goesThrough(i, definitions));
}

function piecesOfIndices(
  indices: readonly Index[],
  definitions: Definitions,
): readonly ReadPiece<readonly Index[]>[] | undefined {
  let all: readonly ReadPiece<readonly Index[]>[] = [{ when: [], read: [] }];
  for (const index of indices) {
    const found = piecesOfIndex(index, definitions);
    if (found === undefined || found.length * all.length > mostPieces) return undefined;
    all = all.flatMap((before) =>
      found.map(({ when, read }) => ({ when: [...before.when, ...when], read: [...before.read, read] })),
    );
  }
  return all;
}

function piecesOfIndex(index: Index, definitions: Definitions): readonly ReadPiece<Index>[] | undefined {
  if (index.kind === 'affine') return [{ when: [], read: index }];
  const inner = piecesOfIndices(index.indices, definitions);
  const pieces = definitions.get(index.tensor)?.pieces;
  const all = inner?.flatMap(({ when, read: indices }): readonly ReadPiece<Index>[] => {
    if (pieces === undefined || !indices.every((i) => i.kind === 'affine'))
      return [{ when, read: { ...index, indices } }];
    const at = axisRenaming(indices as readonly Affine[]);
    return pieces.map((piece) => ({
      when: [...when, ...piece.when.map((c) => ({ ...c, affine: at(c.affine) }))],
      read: at(piece.value),
    }));
  });
  return all !== undefined && all.length <= mostPieces ? all : undefined;
}

/** An expression with the reads of and through such tensors written out. */
function inPositions(e: Expression, definitions: Definitions): Expression {
  if (e.kind === 'load') {
    const number = numberOf(e, definitions);
    if (number !== undefined) return number;
    const pieces = piecesOfLoad(e, definitions);
    if (pieces === undefined) return e;
    const [last, ...others] = pieces.toReversed();
    return others.reduce<Expression>(
      (otherwise, { when, read }) => select({ kind: 'domain', constraints: when }, read, otherwise),
      last.read,
    );
  }
  return mapChildren(e, (child) => inPositions(child, definitions));
}

/** What an element of such a tensor is, as a number. */
function numberOf({ tensor, indices }: Load, definitions: Definitions): Expression | undefined {
  const definition = definitions.get(tensor);
  if (definition === undefined || !indices.every((index) => index.kind === 'affine')) return undefined;
  const value = renameAxes(definition.value, indices as readonly Affine[]);
  const [piece, ...others] = definition.pieces ?? [];
  if (piece === undefined || others.length > 0 || piece.when.length > 0) return value;
  return { kind: 'index', affine: axisRenaming(indices as readonly Affine[])(piece.value) };
}

function constraintsInPositions(c: Constraint, definitions: Definitions, axes: readonly Axis[]): readonly Constraint[] {
  if (c.kind !== 'data') return [c];
  const [left, right] = [inPositions(c.left, definitions), inPositions(c.right, definitions)];
  return left === c.left && right === c.right ? [c] : comparedWhole(left, c.operator, right, axes);
}
