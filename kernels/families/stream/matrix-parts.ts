/**
 * What a stream's products on tensor cores are of: which of its tiles are made from matrices and which sums take some, and whether all of
 * them suit the form (matrix.ts).
 *
 *   tiles   one product of rows and walk, over up to 64 steps that lie side by side in memory, or element by element from other tiles
 *   sums    one term, of up to 64 columns that lie side by side in memory
 *   across  the same, of as many columns as the tile has rows at most, and of what a sum takes of a tile
 */
import { decide, isAffine } from '../../../compiler/ir/affine.ts';
import { axesOf, children } from '../../../compiler/ir/expression.ts';
import type { Equation, Expression, UnaryOperator } from '../../../compiler/ir/program.ts';
import type { Arrays, StreamKernel, StreamStatement } from '../../kernel.ts';
import { flattenLoads } from '../../parts/linear.ts';
import { type WideLoad, wideLoad } from '../../parts/loads.ts';
import { matrixSize } from '../../target.ts';
import { type Levels, splitLevels } from './levels.ts';
import {
  asProduct,
  asSum,
  asSumAcross,
  columnDimensions,
  columnsOf,
  ownAxes,
  shapeOfPiece,
  streamAxes,
  type TwoSided,
  takenKey,
  tilesOf,
} from './shape.ts';

/**
 * Levels (levels.ts) of which matrices take the `coarse` first ones, up to column `to`: their blocks are whole tiles of rows, so that a tile
 * has one number of columns that count. How many `fine` ones there are, within a tile of rows (matrix-near.ts).
 */
export interface MatrixLevels {
  readonly levels: Levels;
  readonly to: number;
  readonly fine: number;
}

/** One of two operands: what is read in quads, along `axis` of the equation, of so many elements. */
export interface MatrixSide {
  readonly load: WideLoad;
  readonly parts: TwoSided;
  readonly axis: number;
  readonly extent: number;
  readonly levels: MatrixLevels | undefined;
}

export interface MatrixProduct {
  readonly parts: TwoSided;
  readonly left: MatrixSide;
  readonly right: MatrixSide;
}

export interface MatrixSum {
  readonly parts: TwoSided;
  readonly right: MatrixSide;
}

/** A sum across: `right` is of the rows and the columns. It takes of a tile what the sum of the tensor `as` takes. */
export interface MatrixAcross extends MatrixSum {
  readonly as: string;
}

/** By tensor. */
export interface MatrixParts {
  readonly products: ReadonlyMap<string, MatrixProduct>;
  readonly sums: ReadonlyMap<string, MatrixSum>;
  readonly across: ReadonlyMap<string, MatrixAcross>;
}

/** Steps or columns that a subgroup holds matrices of. */
const mostElements = 64;
/** Steps, and columns, of all tiles and sums together: their matrices are in registers through the walk. */
const mostHeld = 128;
/** Sums across: their side of all rows is in registers too. */
const mostAcross = 1;

/**
 * Whether every lane of a subgroup has a piece of what is staged of an operand. Sweeps take that apart where it was read: with 48 elements, of
 * which two lanes of eight have none, gradients were not finite on an H100 in five of five (test/bench/records/2026-11-28-masks-5.jsonl).
 */
const fillsLanes = ({ extent }: MatrixSide): boolean => Number.isInteger(Math.log2(extent / matrixSize));

/** `tileRows`: rows of a workgroup. */
export function matrixParts(kernel: StreamKernel, layouts: Arrays, tileRows: number): MatrixParts | undefined {
  const products = new Map<string, MatrixProduct>();
  const sums = new Map<string, MatrixSum>();
  for (const s of kernel.statements) {
    if (s.kind === 'map') return undefined;
    if (s.kind !== 'row' && !s.equations.every(({ value }) => isStraight(value))) return undefined;
    if (s.kind === 'tile') {
      const product = productOf(s, kernel, layouts, tileRows);
      if (product === undefined) return undefined;
      if (product !== 'elements') products.set(s.tensor, product);
    }
    if (s.kind === 'sum') {
      const sum = sumOf(s, kernel, layouts, tileRows);
      if (sum === undefined) return undefined;
      sums.set(s.tensor, sum);
    }
  }
  const across = new Map<string, MatrixAcross>();
  for (const s of kernel.statements.filter(({ kind }) => kind === 'across')) {
    const part = acrossOf(s, kernel, layouts, tileRows, sums);
    if (part === undefined) return undefined;
    across.set(s.tensor, part);
  }
  const held = (extents: readonly number[]): number => extents.reduce((total, extent) => total + extent, 0);
  const suits =
    (products.size > 0 || readsElements(kernel, layouts)) &&
    sums.size > 0 &&
    across.size <= mostAcross &&
    (across.size === 0 || [...products.values(), ...sums.values()].every(({ right }) => fillsLanes(right))) &&
    held([...products.values()].map(({ left }) => left.extent)) <= mostHeld &&
    held([...sums.values()].map(({ right }) => right.extent)) <= mostHeld;
  return suits ? { products, sums, across } : undefined;
}

/**
 * Whether all lanes go the same way through what an element is: sums, products, quotients and exponentials. Where a compiler may branch, as around
 * `select(0, exp(…), t >= u)` or the two halves of a tanh, what subgroups do behind it came out wrong on an H100, by the text around it
 * (test/bench/records/2026-11-28-masks-5.jsonl): such streams stay on f32 units.
 */
function isStraight(e: Expression): boolean {
  switch (e.kind) {
    case 'constant':
    case 'index':
    case 'load':
      return true;
    case 'sum':
    case 'product':
      return children(e).every(isStraight);
    case 'unary':
      return straightFunctions.has(e.operator) && isStraight(e.operand);
    case 'binary':
      return e.operator === 'divide' && children(e).every(isStraight);
    case 'select':
    case 'random':
      return false;
    default:
      return e satisfies never;
  }
}

const straightFunctions: ReadonlySet<UnaryOperator> = new Set(['negate', 'exp', 'abs', 'sqrt']);

/** Whether a tile is read from memory, in quads along the walk (matrix-points.ts). */
function readsElements(kernel: StreamKernel, layouts: Arrays): boolean {
  const { row, walk } = streamAxes(kernel);
  return kernel.statements
    .filter(({ kind }) => kind === 'tile')
    .flatMap(({ equations }) => equations.map((equation) => flattenLoads(equation, layouts)))
    .some((e) => axesOf(e.value).includes(row) && wideLoad(e.value, walk, e.axes, layouts) !== undefined);
}

/** A statement's terms as one, and the levels that it is of. */
function termOf(
  s: StreamStatement,
  kernel: StreamKernel,
  layouts: Arrays,
  tileRows: number,
): { readonly equation: Equation; readonly levels: MatrixLevels | undefined } | undefined {
  const equations = s.equations.map((equation) => flattenLoads(equation, layouts));
  if (equations.length === 1) return { equation: equations[0], levels: undefined };
  const { levels, others } = splitLevels(equations, streamAxes(kernel));
  if (levels === undefined || others.length > 0) return undefined;
  const isCoarse = ({ block }: Levels['levels'][number]): boolean => block === undefined || block % tileRows === 0;
  const coarse = levels.levels.filter(isCoarse);
  if (coarse.length === 0) return undefined;
  return {
    equation: levels.equation,
    levels: { levels, to: coarse.at(-1)!.to, fine: levels.levels.length - coarse.length },
  };
}

function productOf(
  s: StreamStatement,
  kernel: StreamKernel,
  layouts: Arrays,
  tileRows: number,
): MatrixProduct | 'elements' | undefined {
  const axes = streamAxes(kernel);
  if (s.equations.every((equation) => ownAxes(flattenLoads(equation, layouts), axes).length === 0))
    return s.equations.every((e) => e.domain.every((c) => decide(c, e.axes) === 'always')) ? 'elements' : undefined;
  const term = termOf(s, kernel, layouts, tileRows);
  const parts = term && asProduct(term.equation, axes, tilesOf(kernel));
  if (parts === undefined || parts.onLeft.length > 0) return undefined;
  if (term!.levels !== undefined && parts.onTile.length > 0) return undefined;
  const left = sideOf(parts, parts.left, term!.levels, layouts);
  const right = sideOf(parts, parts.right, term!.levels, layouts);
  return left && right && { parts, left, right };
}

function sumOf(s: StreamStatement, kernel: StreamKernel, layouts: Arrays, tileRows: number): MatrixSum | undefined {
  const axes = streamAxes(kernel);
  const term = termOf(s, kernel, layouts, tileRows);
  const parts = term && asSum(term.equation, axes, tilesOf(kernel));
  if (parts === undefined || parts.place !== undefined || !s.stored) return undefined;
  if (term!.levels !== undefined && s.follows.length > 0) return undefined;
  const right = sideOf(parts, parts.right, term!.levels, layouts);
  const { shape } = layouts(s.tensor);
  const along = columnDimensions(s, shape, axes).filter(({ extent }) => extent > 1);
  const isAll = along.length === 1 && right?.extent === columnsOf(s, shape, axes);
  return right && isAll ? { parts, right } : undefined;
}

function acrossOf(
  s: StreamStatement,
  kernel: StreamKernel,
  layouts: Arrays,
  tileRows: number,
  sums: ReadonlyMap<string, MatrixSum>,
): MatrixAcross | undefined {
  const axes = streamAxes(kernel);
  if (s.equations.length > 1 || kernel.statements.some(({ kind }) => kind === 'extreme')) return undefined;
  const parts = asSumAcross(flattenLoads(s.equations[0], layouts), axes, tilesOf(kernel));
  if (parts === undefined || parts.place !== undefined || !parts.onTile.every(isAffine)) return undefined;
  const right = sideOf(parts, parts.right, undefined, layouts);
  const shape = shapeOfPiece(s, layouts(s.tensor).shape, kernel);
  const along = columnDimensions(s, shape, axes).filter(({ extent }) => extent > 1);
  const isAll = along.length === 1 && right?.extent === columnsOf(s, shape, axes);
  const taken = takenKey(parts);
  const sum = [...sums].find(([, other]) => takenKey(other.parts) === taken);
  return right && isAll && sum && right.extent <= tileRows ? { parts, right, as: sum[0] } : undefined;
}

function sideOf(
  parts: TwoSided,
  operand: TwoSided['left'],
  levels: MatrixLevels | undefined,
  layouts: Arrays,
): MatrixSide | undefined {
  const { own, equation, onRight } = parts;
  if (own.length !== 1 || onRight.length > 0) return undefined;
  const [axis] = own;
  const { extent } = equation.axes[axis];
  const wide = wideLoad(operand, axis, equation.axes, layouts);
  if (wide === undefined || extent % matrixSize !== 0 || extent > mostElements) return undefined;
  return { load: wide, parts, axis, extent, levels };
}
