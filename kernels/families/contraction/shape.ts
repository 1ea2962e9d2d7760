/**
 * Takes an equation apart as a contraction of two operands, or finds that it is none; the kernel of `contraction.ts` is written from
 * what comes out, and the scheduler asks here what an equation is.
 *
 * The trap: a point outside the domain stores 0, so every point of the box must have an element of its own inside the tensor.
 */
import { axisIndex, coefficientOf, decide } from '../../../compiler/ir/affine.ts';
import {
  hasSymbol,
  readTensors,
  reducedAxes,
  storeAxes,
  storesDigits,
  storesInside,
} from '../../../compiler/ir/equation.ts';
import {
  affinesOfIndex,
  axesOf,
  axisRenaming,
  constant,
  constraintAxes,
  loads,
  product,
  renameAxes,
  rewriteConstraint,
  zero,
} from '../../../compiler/ir/expression.ts';
import { constraintKey, expressionKey } from '../../../compiler/ir/hash.ts';
import type { Affine, Constraint, Equation, Expression } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import type { ContractionKernel, Shapes } from '../../kernel.ts';
import { flatIndex, flattenLoads, mergeAll } from '../../parts/linear.ts';

/** The equation taken apart. Axis lists are in order, outermost first; extents of 1 are left out. */
export interface ContractionShape {
  readonly equation: Equation;
  readonly left: Expression;
  readonly right: Expression;
  /** Factors without reduced axes, constants included. */
  readonly scale: Expression;
  readonly batch: readonly number[];
  readonly m: readonly number[];
  readonly n: readonly number[];
  readonly k: readonly number[];
  /** A constraint cuts the range of the last k axis short: the k loop then runs once for each value of the others. */
  readonly limited: boolean;
  readonly onLeft: readonly Constraint[];
  readonly onRight: readonly Constraint[];
  readonly onOutput: readonly Constraint[];
}

/** Every stage of the scheduler asks of every equation, and equations never change; the shapes of their tensors might. */
const shapesOf = new WeakMap<Equation, { readonly shapes: string; readonly found: ContractionShape | undefined }>();

/** Takes an equation apart, or says by undefined that it is not a contraction of two operands. */
export function contractionShape(
  equation: Equation,
  layouts: Shapes,
  shapeOfTensor: readonly number[],
): ContractionShape | undefined {
  if (equation.reducer !== 'sum' || equation.value.kind !== 'product') return undefined;
  const shapes = [shapeOfTensor, ...readTensors(equation).map((name) => layouts(name).shape)].join(' ');
  const known = shapesOf.get(equation);
  if (known?.shapes === shapes) return known.found;
  const found = takeApart(equation, layouts, shapeOfTensor);
  shapesOf.set(equation, { shapes, found });
  return found;
}

function takeApart(
  equation: Equation,
  layouts: Shapes,
  shapeOfTensor: readonly number[],
): ContractionShape | undefined {
  if (equation.reducer !== 'sum' || equation.value.kind !== 'product' || hasSymbol(equation)) return undefined;
  const flatStore = flatIndex(shapeOfTensor, equation.store);
  // Points outside the domain store 0, so they have elements of their own too.
  if (!flatStore || !storesDigits(equation) || !storesInside(equation, shapeOfTensor)) return undefined;
  const flat: Equation = { ...flattenLoads(equation, layouts), store: [flatStore] };
  if (loads(flat.value).some((l) => l.indices.some((i) => i.kind === 'gather'))) return undefined;
  const reduced = new Set(reducedAxes(flat).filter((axis) => flat.axes[axis].extent > 1));
  if (reduced.size === 0) return undefined;
  const factors = (flat.value as { factors: readonly Expression[] }).factors;
  const operands = factors.filter((f) => axesOf(f).some((axis) => reduced.has(axis)));
  const scale = product(factors.filter((f) => !operands.includes(f)));
  if (operands.length !== 2) return undefined;
  const inLeft = new Set(axesOf(operands[0]));
  const inRight = new Set(axesOf(operands[1]));
  const classes = classify(flat, inLeft, inRight, reduced);
  const candidate = orient({ equation: flat, left: operands[0], right: operands[1], scale, ...classes });
  return placeConstraints(mergeClasses(candidate));
}

type Classes = Pick<ContractionShape, 'batch' | 'm' | 'n' | 'k'>;

function classify(
  equation: Equation,
  inLeft: ReadonlySet<number>,
  inRight: ReadonlySet<number>,
  reduced: ReadonlySet<number>,
): Classes {
  const classes = { batch: [] as number[], m: [] as number[], n: [] as number[], k: [] as number[] };
  const stride = (axis: number): number => coefficientOf(equation.store[0] as Affine, axis);
  const stored = storeAxes(equation).filter((axis) => equation.axes[axis].extent > 1);
  for (const axis of [...stored].sort((a, b) => stride(b) - stride(a))) {
    const [l, r] = [inLeft.has(axis), inRight.has(axis)];
    classes[l === r ? 'batch' : l ? 'm' : 'n'].push(axis);
  }
  classes.k.push(...reduced);
  return classes;
}

type Unplaced = Omit<ContractionShape, 'limited' | 'onLeft' | 'onRight' | 'onOutput'>;

/** The operand whose own axes reach the output's fastest one is the right one, so that stores are contiguous in n. */
function orient(s: Unplaced): Unplaced {
  const stride = (axes: readonly number[]): number =>
    Math.min(Number.POSITIVE_INFINITY, ...axes.map((axis) => coefficientOf(s.equation.store[0] as Affine, axis)));
  if (stride(s.n) <= stride(s.m)) return s;
  return { ...s, left: s.right, right: s.left, m: s.n, n: s.m };
}

function mergeClasses(s: Unplaced): Unplaced {
  let { equation } = s;
  const merge = (axes: readonly number[]): readonly number[] => {
    const result = mergeAll(equation, axes, (e) => e.store.flatMap(affinesOfIndex));
    equation = result.equation;
    return result.left;
  };
  const [m, n, k, batch] = [merge(s.m), merge(s.n), merge(s.k), merge(s.batch)];
  const factors = (equation.value as { factors: readonly Expression[] }).factors;
  const reduced = new Set(k);
  const operands = factors.filter((f) => axesOf(f).some((axis) => reduced.has(axis)));
  const ofN = new Set(n);
  const rightFirst =
    operands.length === 2 &&
    (n.length > 0
      ? axesOf(operands[0]).some((a) => ofN.has(a))
      : s.m.length > 0 && !axesOf(operands[0]).some((a) => m.includes(a)));
  const [left, right] = rightFirst ? [operands[1], operands[0]] : [operands[0], operands[1]];
  const scale = product([constant(1), ...factors.filter((f) => !operands.includes(f))]);
  return { equation, left, right, scale, batch, m, n, k };
}

function placeConstraints(s: Unplaced): ContractionShape | undefined {
  const [onLeft, onRight, onOutput]: Constraint[][] = [[], [], []];
  const within = (c: Constraint, ...lists: readonly (readonly number[])[]): boolean =>
    constraintAxes(c).every((axis) => s.equation.axes[axis].extent === 1 || lists.some((list) => list.includes(axis)));
  for (const c of s.equation.domain) {
    const verdict = decide(c, s.equation.axes);
    if (verdict === 'always') continue;
    if (within(c, s.batch, s.m, s.n)) onOutput!.push(c);
    else if (within(c, s.batch, s.k)) for (const side of [onLeft, onRight]) side!.push(c);
    else if (within(c, s.batch, s.m, s.k)) onLeft!.push(c);
    else if (within(c, s.batch, s.n, s.k)) onRight!.push(c);
    else return undefined;
  }
  const inner = limitedAxis({ ...s, constraints: [...onLeft!, ...onRight!] });
  const k = inner === undefined ? s.k : [...s.k.filter((axis) => axis !== inner), inner];
  return { ...s, k, limited: inner !== undefined, onLeft: onLeft!, onRight: onRight!, onOutput: onOutput! };
}

/** The reduced axis whose range a constraint with axes of m or n cuts short for a whole tile. */
function limitedAxis(
  s: Pick<ContractionShape, 'm' | 'n' | 'k'> & { constraints: readonly Constraint[] },
): number | undefined {
  for (const c of s.constraints) {
    if (c.kind !== 'nonnegative') continue;
    const inner = c.affine.terms.filter((t) => s.k.includes(t.axis));
    const other = c.affine.terms.filter((t) => !s.k.includes(t.axis));
    const isOfSide = other.length > 0 && [s.m, s.n].some((axes) => other.every((t) => axes.includes(t.axis)));
    if (inner.length === 1 && Math.abs(inner[0].coefficient) === 1 && isOfSide) return inner[0].axis;
  }
  return undefined;
}

const extentOf = (s: ContractionShape, axes: readonly number[]): number =>
  elementCount(axes.map((axis) => s.equation.axes[axis].extent));

/** A scale may be so many times another: a product that is given the one for the other must not overflow for it. */
const mostRatio = 1024;

/**
 * How many times the scale of `a` that of `b` is, if one tile of sums can take in both: the same elements in the same classes, under one
 * mask, with scales that differ by a number. So a gradient that comes by way of queries, keys and values is one kernel, and so are
 * scores of several levels, with no trip through memory between them.
 */
export function scaleRatio(a: ContractionShape, b: ContractionShape): number | undefined {
  if (tilingKey(a) !== tilingKey(b)) return undefined;
  const ratio = numberIn(b.scale).number / numberIn(a.scale).number;
  return Math.abs(ratio) <= mostRatio && Math.abs(ratio) >= 1 / mostRatio ? ratio : undefined;
}

/** Where a shape's elements lie, its mask, and its scale but for the number in it. */
function tilingKey({ equation, batch, m, n, scale, onOutput }: ContractionShape): string {
  const order = [...batch, ...m, ...n];
  const inOrder = equation.axes.map((_, axis) => (order.includes(axis) ? axisIndex(order.indexOf(axis)) : zero));
  const place = (axis: number) => [equation.axes[axis].extent, coefficientOf(equation.store[0] as Affine, axis)];
  const masks = onOutput.map((c) => constraintKey(rewriteConstraint(c, { affine: axisRenaming(inOrder) })));
  return JSON.stringify([
    (equation.store[0] as Affine).constant,
    ...[batch, m, n].map((axes) => axes.map(place)),
    masks.sort(),
    expressionKey(renameAxes(numberIn(scale).rest, inOrder)),
  ]);
}

/** A scale as a number and what else it is a product of. */
function numberIn(scale: Expression): { readonly number: number; readonly rest: Expression } {
  const factors = scale.kind === 'product' ? scale.factors : [scale];
  const [first, ...others] = factors;
  return first.kind === 'constant'
    ? { number: first.value, rest: product(others) }
    : { number: 1, rest: product(factors) };
}

/** Points of each class. */
export interface ContractionSizes {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export function contractionSizes(s: ContractionShape): ContractionSizes {
  return { batch: extentOf(s, s.batch), m: extentOf(s, s.m), n: extentOf(s, s.n), k: extentOf(s, s.k) };
}

/** All products of a contraction kernel, which go into the same sums. */
export type ProductShapes = readonly [ContractionShape, ...ContractionShape[]];

export function productShapes(
  { tensor, equation, products }: Pick<ContractionKernel, 'tensor' | 'equation' | 'products'>,
  layouts: Shapes,
): ProductShapes {
  const shapeOf = (product: Equation): ContractionShape => {
    const shape = contractionShape(product, layouts, layouts(tensor).shape);
    if (!shape) throw new Error(`${tensor} is no contraction of two operands`);
    return shape;
  };
  return [shapeOf(equation), ...products.map(shapeOf)];
}

/** Sizes of a product as long as all together. */
export function sizesTogether(shapes: ProductShapes): ContractionSizes {
  const sizes = shapes.map(contractionSizes);
  return { ...sizes[0], k: sizes.reduce((total, { k }) => total + k, 0) };
}

interface TileSize {
  readonly tileM: number;
  readonly tileN: number;
}

/** Tiles of one batch, along m and along n. */
export function tilesOf(
  { m, n }: Pick<ContractionSizes, 'm' | 'n'>,
  { tileM, tileN }: TileSize,
): readonly [tilesM: number, tilesN: number] {
  return [Math.ceil(m / tileM), Math.ceil(n / tileN)];
}

/** Tiles of all batches. */
export function tileCount(sizes: Pick<ContractionSizes, 'batch' | 'm' | 'n'>, tile: TileSize): number {
  const [tilesM, tilesN] = tilesOf(sizes, tile);
  return sizes.batch * tilesM * tilesN;
}
