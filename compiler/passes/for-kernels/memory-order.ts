/**
 * In which order the dimensions of a temporary lie in memory; program → program, with the same names and values.
 *
 *   s[b, h, t, r, k] = Σ_m W[k, m, h, r] · x[b, t, 64·k + m]   →   s[b, t, k, h, r]
 *
 * Products with a matrix for every k write and read tiles of (b, t) and (h, r). With k last each of their elements is alone in its sector of
 * memory, so that a tile's workgroups touch eight times as much as they use; with k before h and r a tile has rows of memory, and
 * comes in quads. What is made of such a tensor's rows, or they of it, follows: a mean of rows in the order of the rows, a tensor of the same
 * points with the last of them in the same order.
 *
 * The trap: other products may want the dimension last. Then it stays.
 */
import { equationLoads, equationsOf, storeAxes, tensorMap } from '../../ir/equation.ts';
import { axesOf } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import { longReduced, pointOf } from '../../ir/plain.ts';
import type { Equation, Expression, Load, Program, Tensor } from '../../ir/program.ts';
import { heldTensors, mapEquations, rewriteEquation } from '../rename.ts';

/** What a dimension is to a product of matrices: it numbers them, it is theirs alone, or the product sums over it. */
type Role = 'batch' | 'left' | 'right' | 'own' | 'summed';

/** The dimensions of a tensor in their new order; of so many last ones it is asked, the others are as they were. */
interface Order {
  readonly dimensions: readonly number[];
  readonly asked: number;
  /** It need not wait for another tensor of the same points to be ordered so. */
  readonly isFirst: boolean;
}

/** A place where an equation stores to a tensor or reads it. */
interface Use {
  readonly tensor: string;
  readonly equation: Equation;
  readonly isStored: boolean;
  /** The axis of each dimension, where it is a whole one. */
  readonly point: readonly (number | undefined)[] | undefined;
  /** Of each dimension, where the equation is a product of matrices. */
  readonly roles?: readonly (Role | undefined)[];
}

export function orderMemory(program: Program): Program {
  const tensors = tensorMap(program);
  const held = heldTensors(program);
  const free = program.tensors.filter((t) => t.source.kind === 'computed' && t.dtype === 'f32' && !held.has(t.name));
  const usesOfTensor = new Map<string, Use[]>();
  const usesInEquation: (readonly Use[])[] = [];
  for (const tensor of program.tensors) {
    for (const equation of equationsOf(tensor)) {
      const uses = usesOf(equation, tensor, tensors);
      usesInEquation.push(uses);
      for (const use of uses) addTo(usesOfTensor, use.tensor, use);
    }
  }
  const wishes = new Map<string, Order>();
  for (const { name, shape } of free) {
    const order = wishOf(usesOfTensor.get(name) ?? [], shape);
    if (order !== undefined) wishes.set(name, order);
  }
  const wished = new Map([...wishes].filter(([, { isFirst }]) => isFirst));
  if (wished.size === 0) return program;
  for (const uses of usesInEquation) {
    for (const use of uses) {
      const [wish, leaders] = [wishes.get(use.tensor), uses.filter((other) => wishes.get(other.tensor)?.isFirst)];
      if (wish !== undefined && leaders.some((leader) => liesLike(use, wish, leader, wishes.get(leader.tensor)!)))
        wished.set(use.tensor, wish);
    }
  }
  const orders = new Map([...wished].map(([name, { dimensions }]) => [name, dimensions]));
  const mayFollow = new Set(free.map(({ name }) => name));
  for (const uses of usesInEquation) {
    for (const leader of uses.filter((use) => wished.has(use.tensor) && use.roles === undefined)) {
      for (const use of uses) {
        if (orders.has(use.tensor) || !mayFollow.has(use.tensor)) continue;
        const order = followed(use, leader, wished.get(leader.tensor)!);
        if (order !== undefined && keepsRoles(order, usesOfTensor.get(use.tensor)!)) orders.set(use.tensor, order);
      }
    }
  }
  return reordered(program, orders);
}

function usesOf(equation: Equation, tensor: Tensor, tensors: ReadonlyMap<string, Tensor>): readonly Use[] {
  const operands = operandsOf(equation);
  const stored: Load = { kind: 'load', tensor: tensor.name, indices: equation.store };
  const extentOf = (axis: number | undefined): number => (axis === undefined ? 1 : equation.axes[axis].extent);
  return [stored, ...equationLoads(equation)].map((l): Use => {
    const { shape } = tensors.get(l.tensor)!;
    const read = pointOf(l, equation);
    const point = read?.every((axis, d) => extentOf(axis) === shape[d]) ? read : undefined;
    const isOfProduct = operands !== undefined && (l === stored || operands.includes(l));
    const use = { tensor: l.tensor, equation, point, isStored: l === stored };
    if (!isOfProduct) return use;
    const roles = (point ?? []).map((axis) =>
      axis === undefined
        ? undefined
        : l === stored
          ? roleInResult(axis, operands)
          : roleInOperand(axis, l, operands, equation),
    );
    return { ...use, roles };
  });
}

type Operands = readonly [Expression, Expression];

/** The two factors of a product of matrices: each has axes of its own, and both have what it sums over. */
function operandsOf(equation: Equation): Operands | undefined {
  const { reducer, value } = equation;
  const reduced = longReduced(equation);
  if (reducer !== 'sum' || value.kind !== 'product' || reduced.length === 0) return undefined;
  const [left, right, ...others] = value.factors.filter((f) => axesOf(f).some((axis) => reduced.includes(axis)));
  if (left === undefined || right === undefined || others.length > 0) return undefined;
  const hasOwn = (a: Expression, b: Expression): boolean =>
    axesOf(a).some((axis) => equation.axes[axis].extent > 1 && !reduced.includes(axis) && !axesOf(b).includes(axis));
  return hasOwn(left, right) && hasOwn(right, left) ? [left, right] : undefined;
}

function roleInResult(axis: number, [left, right]: Operands): Role {
  const [inLeft, inRight] = [left, right].map((operand) => axesOf(operand).includes(axis));
  return inLeft === inRight ? 'batch' : inLeft ? 'left' : 'right';
}

function roleInOperand(axis: number, operand: Expression, [left, right]: Operands, equation: Equation): Role {
  if (!storeAxes(equation).includes(axis)) return 'summed';
  return axesOf(operand === left ? right : left).includes(axis) ? 'batch' : 'own';
}

/**
 * The order that every product wants; undefined where they differ, or it is the one that there is. What no product makes may be the epilogue
 * of one, which it leaves for no more than matrices that come apart.
 */
function wishOf(uses: readonly Use[], shape: readonly number[]): Order | undefined {
  if (uses.some(({ point }) => point === undefined)) return undefined;
  const products = uses.filter(({ roles }) => roles !== undefined);
  // A mask is cut into tiles along the dimensions as they are.
  const [first, ...others] = products.map(({ roles, equation }) =>
    equation.domain.length > 0 ? undefined : rowsLast(roles!, shape),
  );
  if (first === undefined || first.dimensions.every((d, i) => d === i)) return undefined;
  const isOne = others.every((wish) => String(wish?.dimensions) === String(first.dimensions));
  return isOne ? { ...first, isFirst: first.isFirst || products.some(({ isStored }) => isStored) } : undefined;
}

/** The dimensions of a matrix's rows last, and before them what numbers matrices, where that came last. */
function rowsLast(roles: readonly (Role | undefined)[], shape: readonly number[]): Order | undefined {
  const long = [...shape.keys()].filter((d) => shape[d] > 1);
  const last = long.findLast((d) => roles[d] !== 'batch');
  if (last === undefined) return undefined;
  const batch = long.filter((d) => d > last);
  const row = long.filter((d) => roles[d] === roles[last]);
  const asked = [...batch, ...row];
  const isThere = [...long.filter((d) => !asked.includes(d)), ...asked].every((d, i) => d === long[i]);
  const dimensions = [...shape.keys()];
  const moved = isThere ? dimensions : [...dimensions.filter((d) => !asked.includes(d)), ...asked];
  return { dimensions: moved, asked: asked.length, isFirst: batch.length > 0 };
}

/** Whether two tensors have the same points in the same order, once each is ordered. */
function liesLike(a: Use, orderOfA: Order, b: Use, orderOfB: Order): boolean {
  if (a.roles !== undefined || b.roles !== undefined || a.point === undefined || b.point === undefined) return false;
  const long = (use: Use, { dimensions }: Order) =>
    dimensions.map((d) => use.point![d]).filter((axis) => axis !== undefined);
  return String(long(a, orderOfA)) === String(long(b, orderOfB));
}

/**
 * The order of a tensor at whose points another is made, or that is made at the other's: that of its rows where it has one element a row,
 * else that of its last dimensions; undefined where it stays.
 */
function followed(use: Use, leader: Use, { dimensions, asked }: Order): readonly number[] | undefined {
  const { point } = use;
  if (point === undefined || leader.point === undefined || use.roles !== undefined) return undefined;
  const inOrder = dimensions.map((d) => leader.point![d]);
  const last = inOrder.slice(-asked);
  const place = (d: number): number => (point[d] === undefined ? -1 : inOrder.indexOf(point[d]));
  const own = [...point.keys()];
  const isOfRows =
    own.every((d) => point[d] === undefined || place(d) >= 0) && last.some((axis) => !point.includes(axis));
  const from = isOfRows ? 0 : own.findLastIndex((d) => !last.includes(point[d])) + 1;
  const result = [...own.slice(0, from), ...own.slice(from).sort((a, b) => place(a) - place(b))];
  return result.every((d, i) => d === i) ? undefined : result;
}

/** Whether what changes places is the same to every product, so that none reads it differently. */
function keepsRoles(order: readonly number[], uses: readonly Use[]): boolean {
  const changed = order.filter((d, i) => d !== i);
  return uses.every(
    ({ point, roles }) =>
      point !== undefined && (roles === undefined || new Set(changed.map((d) => roles[d])).size === 1),
  );
}

function reordered(program: Program, orders: ReadonlyMap<string, readonly number[]>): Program {
  const inOrder = <T>(name: string, list: readonly T[]): readonly T[] => orders.get(name)?.map((d) => list[d]) ?? list;
  const load = (l: Load): Load => (orders.has(l.tensor) ? { ...l, indices: inOrder(l.tensor, l.indices) } : l);
  const { tensors, ...rest } = mapEquations(program, (equation, { name }) => {
    if (!orders.has(name) && !equationLoads(equation).some((l) => orders.has(l.tensor))) return [equation];
    const rewritten = rewriteEquation(equation, { load });
    return [{ ...rewritten, store: inOrder(name, rewritten.store) }];
  });
  const placed = tensors.map((t) => (orders.has(t.name) ? { ...t, shape: inOrder(t.name, t.shape) } : t));
  return { ...rest, tensors: placed };
}
