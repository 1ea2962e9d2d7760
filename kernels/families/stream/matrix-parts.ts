/**
 * What a stream's products on tensor cores are of: which of its tiles are made from matrices and which sums take some, and whether all of
 * them suit the form (matrix.ts).
 *
 *   tiles   one product of rows and walk, over up to 64 steps that lie side by side in memory, or element by element from other tiles
 *   sums    one term, of up to 64 columns that lie side by side in memory
 */
import type { Arrays, StreamKernel, StreamStatement } from '../../kernel.ts';
import { flattenLoads } from '../../parts/linear.ts';
import { type WideLoad, wideLoad } from '../../parts/loads.ts';
import { matrixSize } from '../../target.ts';
import { asProduct, asSum, columnDimensions, columnsOf, ownAxes, streamAxes, type TwoSided, tilesOf } from './shape.ts';

/** One of two operands: what is read in quads, along `axis` of the equation, of so many elements. */
export interface MatrixSide {
  readonly load: WideLoad;
  readonly parts: TwoSided;
  readonly axis: number;
  readonly extent: number;
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

/** By tensor. */
export interface MatrixParts {
  readonly products: ReadonlyMap<string, MatrixProduct>;
  readonly sums: ReadonlyMap<string, MatrixSum>;
}

/** Steps or columns that a subgroup holds matrices of. */
const mostElements = 64;
/** Steps, and columns, of all tiles and sums together: their matrices are in registers through the walk. */
const mostHeld = 128;

export function matrixParts(kernel: StreamKernel, layouts: Arrays): MatrixParts | undefined {
  const products = new Map<string, MatrixProduct>();
  const sums = new Map<string, MatrixSum>();
  for (const s of kernel.statements) {
    if (s.kind === 'map') return undefined;
    if (s.kind === 'tile') {
      const product = productOf(s, kernel, layouts);
      if (product === undefined) return undefined;
      if (product !== 'elements') products.set(s.tensor, product);
    }
    if (s.kind === 'sum') {
      const sum = sumOf(s, kernel, layouts);
      if (sum === undefined) return undefined;
      sums.set(s.tensor, sum);
    }
  }
  const held = (extents: readonly number[]): number => extents.reduce((total, extent) => total + extent, 0);
  const suits =
    products.size > 0 &&
    sums.size > 0 &&
    held([...products.values()].map(({ left }) => left.extent)) <= mostHeld &&
    held([...sums.values()].map(({ right }) => right.extent)) <= mostHeld;
  return suits ? { products, sums } : undefined;
}

function productOf(s: StreamStatement, kernel: StreamKernel, layouts: Arrays): MatrixProduct | 'elements' | undefined {
  const axes = streamAxes(kernel);
  const equations = s.equations.map((equation) => flattenLoads(equation, layouts));
  if (equations.every((equation) => ownAxes(equation, axes).length === 0)) return 'elements';
  const parts = equations.length > 1 ? undefined : asProduct(equations[0], axes, tilesOf(kernel));
  if (parts === undefined || parts.onLeft.length > 0) return undefined;
  const left = sideOf(parts, parts.left, layouts);
  const right = sideOf(parts, parts.right, layouts);
  return left && right && { parts, left, right };
}

function sumOf(s: StreamStatement, kernel: StreamKernel, layouts: Arrays): MatrixSum | undefined {
  const axes = streamAxes(kernel);
  const parts =
    s.equations.length > 1 ? undefined : asSum(flattenLoads(s.equations[0], layouts), axes, tilesOf(kernel));
  if (parts === undefined || parts.place !== undefined) return undefined;
  const right = sideOf(parts, parts.right, layouts);
  const { shape } = layouts(s.tensor);
  const along = columnDimensions(s, shape, axes).filter(({ extent }) => extent > 1);
  const isAll = along.length === 1 && right?.extent === columnsOf(s, shape, axes);
  return right && isAll ? { parts, right } : undefined;
}

function sideOf(parts: TwoSided, operand: TwoSided['left'], layouts: Arrays): MatrixSide | undefined {
  const { own, equation, onRight } = parts;
  if (own.length !== 1 || onRight.length > 0) return undefined;
  const [axis] = own;
  const { extent } = equation.axes[axis];
  const wide = wideLoad(operand, axis, equation.axes, layouts);
  if (wide === undefined || extent % matrixSize !== 0 || extent > mostElements) return undefined;
  return { load: wide, parts, axis, extent };
}
