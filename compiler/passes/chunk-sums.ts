/**
 * A sum over a triangle whose terms part into one of t and one of u is a running sum, and is made in chunks of C:
 *
 *   y[t, e] sum= q[t, k] * key[u, k] * v[u, e]   where t - u >= 0
 *   →  y~chunk[c, k, e] sum= key[C·c + j, k] * v[C·c + j, e]                               what each chunk adds
 *      y~state[c, k, e] sum= y~chunk[d, k, e]   where c - d >= 0                           what has come before a chunk
 *      y[C·c + i, e]    sum= q[C·c + i, k] * key[C·c + j, k] * v[C·c + j, e]   where i - j >= 0
 *      y[C·(c + 1) + i, e] sum= q[C·(c + 1) + i, k] * y~state[c, k, e]
 *
 * Work and memory grow with T where the triangle's grow with T²: linear attention. The state is itself a sum over a triangle, and goes
 * the same way where that pays. Backward comes for nothing: each of these has a derivative that is as cheap.
 *
 * Whether, and with which C, is decided by cost (`prices`), like any order of contraction. A triangle may lie either way, with its
 * diagonal (`t - u >= 0`, `u - t >= 0`) or without; sums over a band, or of terms that hold both t and u, stay as they are.
 *
 * The trap: T need not be a multiple of C. Only the last chunk is ragged, and everything that reads it asks for `t < T` itself, since
 * loads must lie inside their tensors by what their own equation says.
 */
import { add, affine, axisIndex, decide, isAffine, scale, subtract } from '../ir/affine.ts';
import type { AxisSet } from '../ir/contraction.ts';
import {
  axesIn,
  axesOfConstraint,
  axesOfExpression,
  axesOfStore,
  axisSet,
  factorsOf,
  productOf,
} from '../ir/contraction.ts';
import { equationsOf, hasSymbol } from '../ir/equation.ts';
import { axisRenaming, loadAxes, product, renameAxes, rewriteConstraint, rewriteIndex } from '../ir/expression.ts';
import type { Affine, Axis, Constraint, Dtype, Equation, Expression, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { equationCost, tensorCost } from './contraction-order/equation-cost.ts';
import type { Cost } from './contraction-order/network.ts';
import { freshName } from './names.ts';

/** What is weighed against multiply-adds, in multiply-adds. */
export interface Prices {
  /** An element of an intermediate, written and read: what a GPU multiplies in the time that its memory takes for that. */
  readonly element: number;
  /** Another equation, where it is a dispatch of its own: 2 µs, at a fourth of what the GPU can multiply. */
  readonly equation: number;
}

/** From an H100 in f32: 33 T multiply-adds/s, 3.3 TB/s. A CPU minds elements less and equations much less. */
const prices: Prices = { element: 64, equation: 2 ** 24 };

const smallestChunk = 4;

export function chunkSums(program: Program, priced: Prices = prices): Program {
  const taken = new Set(program.tensors.map(({ name }) => name));
  const tensors = program.tensors.flatMap((tensor) => chunkTensor(tensor, taken, (sum) => bestChunk(sum, priced)));
  return tensors.length === program.tensors.length ? program : { ...program, tensors };
}

/** The tensor with every sum over a triangle in chunks for which `choose` names a size, after what it needs for that. */
export function chunkTensor(
  tensor: Tensor,
  taken: Set<string>,
  choose: (sum: TriangleSum) => number | undefined,
): readonly Tensor[] {
  // Whole numbers add up exactly, in an order that does not matter, and are few.
  if (tensor.dtype === 'i32') return [tensor];
  const before: Tensor[] = [];
  const equations = equationsOf(tensor).flatMap((equation) => {
    const sum = triangleSum(equation);
    const size = sum === undefined ? undefined : choose(sum);
    if (sum === undefined || size === undefined) return [equation];
    const parts = inChunks(sum, size, tensor.dtype, (what) => freshName(`${tensor.name}~${what}`, taken));
    before.push(parts.chunk, ...chunkTensor(parts.state, taken, choose));
    return [parts.inside, parts.across];
  });
  return before.length === 0 ? [tensor] : [...before, { ...tensor, source: { kind: 'computed', equations } }];
}

/** The size that costs least, undefined where the triangle itself does. */
function bestChunk(sum: TriangleSum, priced: Prices): number | undefined {
  /** By extent: states differ in nothing else. */
  const states = new Map<number, number>();
  const priceOf = ({ multiplyAdds, elements }: Cost) => multiplyAdds + priced.element * elements + priced.equation;
  const cheapest = (one: TriangleSum): { readonly price: number; readonly size: number | undefined } => {
    let price = priceOf(equationCost(one.equation));
    let best: number | undefined;
    for (let size = smallestChunk; size < one.extent; size *= 2) {
      const { chunk, state, inside, across } = inChunks(one, size, 'f32', (what) => what);
      const found =
        priceOf(tensorCost(chunk)) +
        priceOf(equationCost(inside)) +
        priceOf(equationCost(across)) +
        priceOfState(state);
      if (found < price) [price, best] = [found, size];
    }
    return { price, size: best };
  };
  const priceOfState = (state: Tensor): number => {
    const known = states.get(state.shape[0]);
    if (known !== undefined) return known;
    const inner = triangleSum(equationsOf(state)[0]) as TriangleSum;
    const price = cheapest(inner).price + priced.element * elementCount(state.shape);
    states.set(state.shape[0], price);
    return price;
  };
  return cheapest(sum).size;
}

/** A sum over a triangle that parts. */
export interface TriangleSum {
  readonly equation: Equation;
  /** The stored axis and the summed one, both of this extent. */
  readonly t: number;
  readonly u: number;
  readonly extent: number;
  /** 1: u comes before t; -1: after. */
  readonly direction: 1 | -1;
  readonly triangle: Constraint;
  /** The factors that hold u, and all others with the constant. */
  readonly ofU: readonly Expression[];
  readonly others: Expression;
}

/** The equation as such a sum; undefined where it is none. */
export function triangleSum(equation: Equation): TriangleSum | undefined {
  if (equation.reducer !== 'sum' || hasSymbol(equation) || equation.store.some(({ kind }) => kind === 'gather')) {
    return undefined;
  }
  const stored = axesOfStore(equation);
  for (const triangle of equation.domain) {
    const found = sidesOf(triangle, stored);
    if (found === undefined) continue;
    const { t, u, direction } = found;
    const extent = equation.axes[t].extent;
    const both = axisSet([t, u]);
    const isMixed = (axes: AxisSet) => (axes & both) === both;
    // A condition that ties t or u to another axis could be asked in no part alone.
    const rest = equation.domain.filter((constraint) => constraint !== triangle).map(axesOfConstraint);
    const isTied = (axes: AxisSet) => (axes & both) !== 0n && axes !== axisSet([t]) && axes !== axisSet([u]);
    const { constant, factors } = factorsOf(equation.value);
    if (equation.axes[u].extent !== extent || rest.some(isTied)) continue;
    if (factors.some((factor) => isMixed(axesOfExpression(factor)))) continue;
    const holdsU = (factor: Expression) => (axesOfExpression(factor) & axisSet([u])) !== 0n;
    const ofU = factors.filter(holdsU);
    if (ofU.length === 0) continue;
    const others = productOf({ constant, factors: factors.filter((factor) => !holdsU(factor)) });
    return { equation, t, u, extent, direction, triangle, ofU, others };
  }
  return undefined;
}

/** Of `± (t - u) + constant >= 0` with t stored and u summed, the diagonal in or out. */
function sidesOf(constraint: Constraint, stored: AxisSet) {
  if (!isAffine(constraint) || constraint.kind !== 'nonnegative') return undefined;
  const { terms, constant } = constraint.affine;
  if (terms.length !== 2 || (constant !== 0 && constant !== -1)) return undefined;
  const isStored = (axis: number) => (stored & axisSet([axis])) !== 0n;
  const t = terms.find(({ axis }) => isStored(axis));
  const u = terms.find(({ axis }) => !isStored(axis));
  if (t === undefined || u === undefined) return undefined;
  const direction = t.coefficient;
  return (direction === 1 || direction === -1) && u.coefficient === -direction
    ? { t: t.axis, u: u.axis, direction: direction as 1 | -1 }
    : undefined;
}

/** Axes that the factors of u hold, u among them. */
function axesOfU({ ofU }: TriangleSum): AxisSet {
  return ofU.reduce((all, factor) => all | axesOfExpression(factor), 0n);
}

/** Of those the ones that nothing else needs: they are summed with u. */
function summedWithU(sum: TriangleSum): AxisSet {
  const own = axesOfU(sum);
  const elsewhere = sum.equation.domain
    .map(axesOfConstraint)
    .filter((axes) => (axes & ~own) !== 0n)
    .reduce((all, axes) => all | axes, axesOfStore(sum.equation) | axesOfExpression(sum.others));
  return own & ~elsewhere & ~axisSet([sum.u]);
}

export interface Chunked {
  /** What each chunk adds to the chunks beyond it. */
  readonly chunk: Tensor;
  /** What all chunks on one side of a chunk add up to. */
  readonly state: Tensor;
  /** The triangle inside each chunk, and what comes from beyond it: in the place of the equation. */
  readonly inside: Equation;
  readonly across: Equation;
}

/**
 * The sum in chunks of `size`. Chunk c of t reads the state number c - 1 (u before t) or c (after); the state numbered s adds up
 * chunks up to s, or from s + 1 on: the outermost chunk has no state, and nobody reads what it would add.
 */
function inChunks(sum: TriangleSum, size: number, dtype: Dtype, nameOf: (what: string) => string): Chunked {
  const { equation, t, u, extent, direction, triangle, ofU, others } = sum;
  const states = Math.ceil(extent / size) - 1;
  const isForward = direction === 1;
  const summed = summedWithU(sum);
  const kept = axesIn(axesOfU(sum) & ~summed & ~axisSet([u]));
  const [chunkName, stateName] = [nameOf('chunk'), nameOf('state')];

  const chunks: Axis = { name: `${equation.axes[t].name}Chunk`, extent: states };
  const within = (axis: number): Axis => ({ name: equation.axes[axis].name, extent: size });
  const keptAxes = kept.map((axis) => equation.axes[axis]);

  const chunk = rebuilt(sum, {
    axes: [chunks, ...keptAxes, within(u), ...axesIn(summed).map((axis) => equation.axes[axis])],
    places: new Map([
      ...kept.map((axis, d) => [axis, axisIndex(1 + d)] as const),
      ...axesIn(summed).map((axis, d) => [axis, axisIndex(2 + kept.length + d)] as const),
      [u, placeIn(0, isForward ? 0 : 1, 1 + kept.length, size)],
    ]),
    asks: (axes) => (axes & ~axesOfU(sum)) === 0n,
    bounded: isForward ? [] : [u],
    value: product(ofU),
    store: [0, ...kept.map((_, d) => 1 + d)],
  });
  const shape = [states, ...keptAxes.map((axis) => axis.extent)];
  const upTo: Equation = {
    axes: [chunks, { ...chunks, name: `${equation.axes[u].name}Chunk` }, ...keptAxes],
    domain: [{ kind: 'nonnegative', affine: scale(subtract(axisIndex(0), axisIndex(1)), direction) }],
    store: [axisIndex(0), ...kept.map((_, d) => axisIndex(2 + d))],
    reducer: 'sum',
    value: loadAxes(chunkName, [1, ...kept.map((_, d) => 2 + d)]),
    ...(equation.span === undefined ? {} : { span: equation.span }),
  };

  const left = equation.axes.flatMap((_, axis) =>
    axis === t || axis === u || (summed & axisSet([axis])) !== 0n ? [] : [axis],
  );
  const across = rebuilt(sum, {
    axes: [chunks, within(t), ...left.map((axis) => equation.axes[axis])],
    places: new Map([
      ...left.map((axis, d) => [axis, axisIndex(2 + d)] as const),
      [t, placeIn(0, isForward ? 1 : 0, 1, size)],
    ]),
    asks: (axes) => (axes & (summed | axisSet([u]))) === 0n,
    bounded: isForward ? [t] : [],
    value: others,
    with: loadAxes(stateName, [0, ...kept.map((axis) => 2 + left.indexOf(axis))]),
  });

  const whole: Axis = { ...chunks, extent: states + 1 };
  const all = equation.axes.flatMap((_, axis) => (axis === t || axis === u ? [] : [axis]));
  const inside = rebuilt(sum, {
    axes: [whole, within(t), within(u), ...all.map((axis) => equation.axes[axis])],
    places: new Map([
      ...all.map((axis, d) => [axis, axisIndex(3 + d)] as const),
      [t, placeIn(0, 0, 1, size)],
      [u, placeIn(0, 0, 2, size)],
    ]),
    asks: () => true,
    bounded: [t, u],
    value: equation.value,
    also: {
      kind: 'nonnegative',
      affine: add(scale(subtract(axisIndex(1), axisIndex(2)), direction), constantOf(triangle)),
    },
  });
  return {
    chunk: { name: chunkName, dtype, shape, source: { kind: 'computed', equations: [chunk] } },
    state: { name: stateName, dtype, shape, source: { kind: 'computed', equations: [upTo] } },
    inside,
    across,
  };
}

interface Rebuilt {
  readonly axes: readonly Axis[];
  /** Each axis of the sum as an affine expression of the new ones. */
  readonly places: ReadonlyMap<number, Affine>;
  /** Which of the sum's other constraints stay, by their axes. */
  readonly asks: (axes: AxisSet) => boolean;
  /** Axes whose last chunk may be ragged. */
  readonly bounded: readonly number[];
  readonly value: Expression;
  /** A factor over the new axes. */
  readonly with?: Expression;
  readonly also?: Constraint;
  /** New axes of an intermediate; without them the sum's own store. */
  readonly store?: readonly number[];
}

/** A part of the sum over other axes. */
function rebuilt({ equation, triangle, extent }: TriangleSum, parts: Rebuilt): Equation {
  const places = equation.axes.map((_, axis) => parts.places.get(axis) ?? affine(0));
  const rename = axisRenaming(places);
  const domain = equation.domain.filter((c) => c !== triangle && parts.asks(axesOfConstraint(c)));
  const bounds = parts.bounded.map(
    (axis): Constraint => ({
      kind: 'nonnegative',
      affine: subtract(affine(extent - 1), places[axis]),
    }),
  );
  const value = renameAxes(parts.value, places);
  return {
    ...equation,
    axes: parts.axes,
    domain: [
      ...domain.map((c) => rewriteConstraint(c, { affine: rename })),
      ...bounds.filter((bound) => decide(bound, parts.axes) !== 'always'),
      ...(parts.also === undefined ? [] : [parts.also]),
    ],
    store: parts.store?.map(axisIndex) ?? equation.store.map((index) => rewriteIndex(index, { affine: rename })),
    value: parts.with === undefined ? value : product([value, parts.with]),
  };
}

/** size · (chunk + shift) + inner */
function placeIn(chunk: number, shift: number, inner: number, size: number): Affine {
  return add(add(scale(axisIndex(chunk), size), affine(shift * size)), axisIndex(inner));
}

function constantOf(constraint: Constraint): Affine {
  return affine(isAffine(constraint) ? constraint.affine.constant : 0);
}
