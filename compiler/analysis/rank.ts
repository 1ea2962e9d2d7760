/**
 * Bounds on the rank of scores, from the sizes alone and for all values of the params: for one sequence and head, the matrix of
 * (tokens × tokens) before any mask.
 *
 *   S[t, u] = q[t, r] * k[u, r] - slope * (t - u)   →   r + 2: a cut through r, a column of t, a row of u
 *
 * Terms add; a factor of one side alone scales rows or columns and changes nothing; two that are of both sides multiply; a sum over
 * further axes is cut (`cut.ts`). What a function makes of a score, or a table of its own for each pair, has no bound: unknown.
 *
 * The trap: a mask is absence only for whoever does not read what is absent. A tensor with a `where` of both sides, read
 * beyond it, has zeros there, and any rank: the bound holds only where its reader says the same `where`.
 */
import { asAxis, equalAffine, isAffine, substitute } from '../ir/affine.ts';
import { computed } from '../ir/build.ts';
import type { AxisSet } from '../ir/contraction.ts';
import {
  axesIn,
  axesOfConstraint,
  axesOfExpression,
  axesOfStore,
  axisSet,
  factorsOf,
  pointsOf,
} from '../ir/contraction.ts';
import { dependencies, equationsOf, pointCount, pointwise, readTensors, tensorMap } from '../ir/equation.ts';
import { children, renameAxes } from '../ir/expression.ts';
import { interpret } from '../ir/interpret.ts';
import type { NdArray } from '../ir/ndarray.ts';
import type { Affine, Constraint, Equation, Expression, Load, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { leastCut } from './cut.ts';
import { type Score, scoresOf } from './scores.ts';
import { axesOfIndices, type Carriers, carriersOf, sidesOfTensor } from './tokens.ts';

export type RankBound = number | 'unknown';

export interface ScoreRank {
  /** The score's tensor, before the softmax. */
  readonly tensor: string;
  /** Bound on the rank of each (tokens × tokens) matrix. */
  readonly rankBound: RankBound;
}

export function scoreRankBounds(program: Program): readonly ScoreRank[] {
  const tensors = tensorMap(program);
  const carriers = carriersOf(program);
  return scoresOf(program, carriers).map((score) => ({
    tensor: score.name,
    rankBound: score.isWhole ? boundOfOutput(score, tensors, carriers) : boundOf(score, tensors),
  }));
}

function boundOf({ equation, value, sides }: Score, tensors: ReadonlyMap<string, Tensor>): RankBound {
  const { first: rows, second: columns } = sides;
  const { axes } = equation;
  const fixed = axisSet(axes.map((_, axis) => axis)) & ~(rows | columns);
  const place: Place = { axes, rows, columns, fixed, present: equation.domain, tensors };
  const found = inBlocks(place, (block) => rankOf(value, block));
  return bounded(found, pointsOf(rows, axes), pointsOf(columns, axes));
}

/** No rank is above the shorter side, so that one of a single position is known whatever it is. */
function bounded(found: Parts | undefined, ...sides: readonly number[]): RankBound {
  const most = Math.min(...sides);
  if (found === undefined) return most === 1 ? 1 : 'unknown';
  return Math.min(total(found), most);
}

/** A score that is an output: nobody reads it here, so a `where` of its one equation is its mask. */
function boundOfOutput({ maker }: Score, tensors: ReadonlyMap<string, Tensor>, carriers: Carriers): RankBound {
  const sides = sidesOfTensor(maker, carriers);
  if (sides === undefined) return 'unknown';
  const equations = equationsOf(maker);
  const found = addAll(
    equations.map((equation) => {
      const at = (dimensions: readonly number[]) => axesOfIndices(dimensions.map((d) => equation.store[d]));
      const [rows, columns] = [at(sides.first), at(sides.second)];
      const fixed = axesOfStore(equation) & ~(rows | columns);
      const present = equations.length === 1 ? equation.domain : [];
      return rankOfEquation(equation, { axes: equation.axes, rows, columns, fixed, present, tensors });
    }),
  );
  const extentOf = (dimensions: readonly number[]) => elementCount(dimensions.map((d) => maker.shape[d]));
  return bounded(found, extentOf(sides.first), extentOf(sides.second));
}

/** What is known at a point of an equation, and which of its axes are rows, columns, or the same for the whole matrix. */
interface Place {
  readonly axes: Equation['axes'];
  readonly rows: AxisSet;
  readonly columns: AxisSet;
  readonly fixed: AxisSet;
  readonly present: readonly Constraint[];
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** A sum of one matrix that only varies with the rows, one that only varies with the columns, and one of bounded rank. */
interface Parts {
  readonly ofRows: boolean;
  readonly ofColumns: boolean;
  readonly rest: number;
}

/** Elements of a table whose rows are compared at most. */
const mostTabled = 1 << 20;

const nothing: Parts = { ofRows: false, ofColumns: false, rest: 0 };

function total({ ofRows, ofColumns, rest }: Parts): number {
  return Number(ofRows) + Number(ofColumns) + rest;
}

/** The side that a set of axes belongs to; undefined where it is of both. */
function sideOf(set: AxisSet, { rows, columns, fixed }: Place): 'none' | 'rows' | 'columns' | undefined {
  if ((set & ~fixed) === 0n) return 'none';
  if ((set & ~(rows | fixed)) === 0n) return 'rows';
  return (set & ~(columns | fixed)) === 0n ? 'columns' : undefined;
}

/** Undefined where no bound is known. */
function rankOf(e: Expression, place: Place): Parts | undefined {
  if (e.kind === 'constant' && e.value === 0) return nothing;
  const side = sideOf(axesOfExpression(e), place);
  if (side !== undefined) return { ofRows: side !== 'columns', ofColumns: side === 'columns', rest: 0 };
  return rankOfBoth(e, place) ?? rankOfTable(e, place);
}

function rankOfBoth(e: Expression, place: Place): Parts | undefined {
  switch (e.kind) {
    case 'index':
      // The terms of an affine expression are of one axis each.
      return { ofRows: true, ofColumns: true, rest: 0 };
    case 'sum':
      return addAll(e.terms.map((term) => rankOf(term, place)));
    case 'product':
      return multiplyAll(e.factors, place);
    case 'unary':
      return e.operator === 'negate' ? rankOf(e.operand, place) : undefined;
    case 'binary': {
      const { operator, left, right } = e;
      // A divisor of one side scales as a factor does.
      if (operator === 'divide' && sideOf(axesOfExpression(right), place) !== undefined) {
        return multiplyAll([left, right], place);
      }
      const isPower =
        operator === 'power' && right.kind === 'constant' && Number.isInteger(right.value) && right.value > 0;
      if (isPower)
        return multiplyAll(
          Array.from({ length: right.value }, () => left),
          place,
        );
      const isReciprocal = left.kind === 'constant';
      if (operator !== 'divide' || isReciprocal) return undefined;
      return multiplyAll([left, { ...e, left: { kind: 'constant', value: 1 } }], place);
    }
    case 'load':
      return rankOfLoad(e, place);
    case 'select':
    case 'random':
    case 'constant':
      return undefined;
    default:
      return e satisfies never;
  }
}

/**
 * What no input and no param reaches is a table of known numbers: its rank is at most the number of its different rows. So the
 * levels that a pair of tokens shares, by which multi-level scores are divided, have no more than there are blocks.
 */
function rankOfTable(e: Expression, { axes, rows, columns, tensors }: Place): Parts | undefined {
  const isOfMore = (axesOfExpression(e) & ~(rows | columns)) !== 0n;
  const [down, across] = [axesIn(rows), axesIn(columns)];
  const [height, width] = [pointsOf(rows, axes), pointsOf(columns, axes)];
  if (isOfMore || height * width > mostTabled) return undefined;
  const needed = tablesFor(e, tensors);
  if (needed === undefined) return undefined;
  const order = [...down, ...across];
  const value = renameAxes(
    e,
    axes.map((_, axis) => Math.max(0, order.indexOf(axis))),
  );
  const table = computed(
    '~table',
    order.map((axis) => axes[axis].extent),
    [
      pointwise(
        order.map((axis) => axes[axis]),
        value,
      ),
    ],
  );
  const { data } = interpret({ tensors: [...needed, table], outputs: [table.name], updates: [] }, new Map()).get(
    table.name,
  ) as NdArray;
  const different = new Set(
    Array.from({ length: height }, (_, row) => data.slice(row * width, (row + 1) * width).join()),
  );
  return { ...nothing, rest: different.size };
}

/** All that an expression is made from, in order; undefined where that is not known before a run, or much to compute. */
function tablesFor(e: Expression, tensors: ReadonlyMap<string, Tensor>): readonly Tensor[] | undefined {
  const needed = new Set<string>();
  const pending = readTensors(pointwise([], e)).slice();
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const tensor = tensors.get(name);
    if (tensor?.source.kind !== 'computed' || isRandom(tensor)) return undefined;
    if (!needed.has(name)) pending.push(...dependencies(tensor));
    needed.add(name);
  }
  const found = [...tensors.values()].filter(({ name }) => needed.has(name));
  const points = found.flatMap(equationsOf).reduce((n, equation) => n + pointCount(equation), 0);
  return points <= 4 * mostTabled ? found : undefined;
}

function isRandom(tensor: Tensor): boolean {
  const draws = (e: Expression): boolean => e.kind === 'random' || children(e).some(draws);
  return equationsOf(tensor).some(({ value }) => draws(value));
}

function addAll(all: readonly (Parts | undefined)[]): Parts | undefined {
  let sum = nothing;
  for (const parts of all) {
    if (parts === undefined) return undefined;
    const { ofRows, ofColumns, rest } = parts;
    sum = { ofRows: sum.ofRows || ofRows, ofColumns: sum.ofColumns || ofColumns, rest: sum.rest + rest };
  }
  return sum;
}

/** Elementwise: scaled rows and columns keep a rank, and ranks of both sides multiply. */
function multiplyAll(factors: readonly Expression[], place: Place): Parts | undefined {
  let [scalesRows, scalesColumns] = [false, false];
  let product: Parts | undefined;
  for (const factor of factors) {
    const side = sideOf(axesOfExpression(factor), place);
    if (side === 'rows') scalesRows = true;
    else if (side === 'columns') scalesColumns = true;
    else if (side === undefined) {
      const parts = rankOf(factor, place);
      if (parts === undefined) return undefined;
      product = product === undefined ? parts : { ...nothing, rest: total(product) * total(parts) };
    }
  }
  if (product === undefined) return { ...nothing, rest: 1 };
  const { ofRows, ofColumns, rest } = product;
  return {
    ofRows: ofRows && !scalesColumns,
    ofColumns: ofColumns && !scalesRows,
    rest: rest + Number(ofRows && scalesColumns) + Number(ofColumns && scalesRows),
  };
}

/** Of a tensor that is read at rows and columns: as many as it has, rows and columns being taken from it as they are read. */
function rankOfLoad({ tensor: name, indices }: Load, place: Place): Parts | undefined {
  const tensor = place.tensors.get(name);
  if (tensor === undefined || tensor.source.kind !== 'computed') return undefined;
  const sides = indices.map((index) => sideOf(axesOfIndices([index]), place));
  if (sides.includes(undefined)) return undefined;
  const store = (side: string): readonly number[] => sides.flatMap((s, d) => (s === side ? [d] : []));
  const [rowDimensions, columnDimensions, others] = [store('rows'), store('columns'), store('none')];
  return addAll(
    equationsOf(tensor).map((equation) => {
      const at = (dimensions: readonly number[]) => axesOfIndices(dimensions.map((d) => equation.store[d]));
      const fixed = at(others);
      const inner: Place = {
        axes: equation.axes,
        rows: at(rowDimensions) & ~fixed,
        columns: at(columnDimensions) & ~fixed,
        fixed,
        present: translated(place.present, equation, indices),
        tensors: place.tensors,
      };
      return rankOfEquation(equation, inner);
    }),
  );
}

/**
 * What a reader knows of the elements that it reads, told of the axes that store them. Each of its constraints is tried with the
 * equation's own in `isPresent`, so only pairs that could be equal need be told: those over stored axes.
 */
function translated(
  present: readonly Constraint[],
  { store }: Equation,
  indices: Load['indices'],
): readonly Constraint[] {
  /** The axis that the store names where the load names this axis alone. */
  const axisFor = (axis: number): number | undefined => {
    const d = indices.findIndex((index) => index.kind === 'affine' && asAxis(index) === axis);
    const stored = d < 0 ? undefined : store[d];
    return stored?.kind === 'affine' ? asAxis(stored) : undefined;
  };
  return present.filter(isAffine).flatMap((c) => {
    const all = c.affine.terms.map(({ axis }) => axisFor(axis));
    if (all.includes(undefined)) return [];
    const told: Affine = substitute(c.affine, (axis) => ({
      kind: 'affine',
      constant: 0,
      terms: [{ axis: axisFor(axis) as number, coefficient: 1 }],
    }));
    return [{ kind: c.kind, affine: told }];
  });
}

/** Axes of rows and columns alike number blocks along the diagonal: each has the rank of a block, and together they add. */
function inBlocks(place: Place, rankOfBlock: (block: Place) => Parts | undefined): Parts | undefined {
  const shared = place.rows & place.columns;
  if (shared === 0n) return rankOfBlock(place);
  const { rows, columns, fixed, axes } = place;
  const parts = rankOfBlock({ ...place, rows: rows & ~shared, columns: columns & ~shared, fixed: fixed | shared });
  return parts && { ...nothing, rest: total(parts) * pointsOf(shared, axes) };
}

function rankOfEquation(equation: Equation, outer: Place): Parts | undefined {
  return inBlocks(outer, (place) => rankOfBlock(equation, place));
}

function rankOfBlock(equation: Equation, place: Place): Parts | undefined {
  const reduced = axisSet(equation.axes.map((_, axis) => axis)) & ~axesOfStore(equation);
  const known = place.present.filter(isAffine);
  const isPresent = (c: Constraint) =>
    isAffine(c) && known.some((p) => p.kind === c.kind && equalAffine(p.affine, c.affine));
  const masks = equation.domain.filter((c) => !isPresent(c)).map(axesOfConstraint);
  const isOfBoth = (set: AxisSet) => (set & reduced) === 0n && sideOf(set, place) === undefined;
  if (masks.some(isOfBoth)) return undefined;
  if (reduced === 0n) return rankOf(equation.value, place);
  if (equation.reducer !== 'sum') return undefined;
  const terms = equation.value.kind === 'sum' ? equation.value.terms : [equation.value];
  return addAll(terms.map((term) => rankOfSum(term, equation, reduced, masks, place)));
}

/** Of a product summed over further axes: the least cut, times what factors of both sides but not of those axes have. */
function rankOfSum(
  term: Expression,
  { axes }: Equation,
  reduced: AxisSet,
  masks: readonly AxisSet[],
  place: Place,
): Parts | undefined {
  const { factors } = factorsOf(term);
  const isOuter = (factor: Expression) => (axesOfExpression(factor) & reduced) === 0n;
  const outer = multiplyAll(factors.filter(isOuter), place);
  if (outer === undefined) return undefined;
  const operands = [...factors.filter((factor) => !isOuter(factor)).map(axesOfExpression), ...masks];
  const { rows, columns, fixed } = place;
  // A factor of both sides under the sum is a table for each pair: no cut goes past it.
  const isTable = (set: AxisSet) => sideOf(set & ~reduced, place) === undefined;
  if (operands.some(isTable)) return undefined;
  const cut = leastCut({ axes, rows, columns, fixed, operands });
  return { ...nothing, rest: total(outer) * cut };
}
