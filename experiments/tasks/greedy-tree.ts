/**
 * A regression tree grown greedily from the points before (CART): each node takes the coordinate and threshold that leave the
 * smallest sum of squares on both sides, a leaf answers with its mean.
 *
 * A tree is grown for every prediction, and of it only the path that the point in question takes. The coordinates' orders are kept
 * from point to point, so that a node costs (points in it) · dims.
 *
 * The trap: a threshold lies halfway between two values, and equal values cannot be parted. Of splits that are equally good, as any
 * two of two points are, the first coordinate's is taken: sums in another order must not decide.
 */
import type { Context } from './context.ts';

/** Splits whose gains differ by less than this part of Σ y² are equally good. */
const equalGain = 1e-10;

export function greedyTree({ dims, xs, ys, asked }: Context, depth = Number.POSITIVE_INFINITY): Float64Array {
  const predictions = new Float64Array(xs.length);
  /** Points by each coordinate, ascending. */
  const orders: number[][] = Array.from({ length: dims }, () => []);
  for (const p of xs.keys()) {
    if (p > 0) predictions[p] = answer(xs, ys, orders, asked[p], depth);
    for (const [j, order] of orders.entries()) {
      const after = order.findIndex((q) => xs[q][j] > xs[p][j]);
      order.splice(after < 0 ? order.length : after, 0, p);
    }
  }
  return predictions;
}

function answer(
  xs: readonly Float64Array[],
  ys: Float64Array,
  orders: readonly (readonly number[])[],
  x: Float64Array,
  depth: number,
): number {
  let inside = orders;
  for (let level = 0; level < depth; level += 1) {
    const split = bestSplit(xs, ys, inside);
    if (split === undefined) break;
    const { coordinate, threshold } = split;
    const isRight = x[coordinate] > threshold;
    inside = inside.map((order) => order.filter((q) => xs[q][coordinate] > threshold === isRight));
  }
  return inside[0].reduce((sum, q) => sum + ys[q], 0) / inside[0].length;
}

/** Undefined where all answers are equal, or all points. */
function bestSplit(xs: readonly Float64Array[], ys: Float64Array, orders: readonly (readonly number[])[]) {
  const points = orders[0].length;
  const total = orders[0].reduce((sum, q) => sum + ys[q], 0);
  if (orders[0].every((q) => ys[q] === ys[orders[0][0]])) return undefined;
  let best: { readonly coordinate: number; readonly threshold: number } | undefined;
  const squares = orders[0].reduce((sum, q) => sum + ys[q] ** 2, 0);
  /** Σ y² less the squares that are left: what a split explains. */
  let explained = Number.NEGATIVE_INFINITY;
  for (const [coordinate, order] of orders.entries()) {
    let left = 0;
    for (let k = 1; k < points; k += 1) {
      left += ys[order[k - 1]];
      const [below, above] = [xs[order[k - 1]][coordinate], xs[order[k]][coordinate]];
      if (below === above) continue;
      const found = left ** 2 / k + (total - left) ** 2 / (points - k);
      if (found > explained + equalGain * squares)
        [explained, best] = [found, { coordinate, threshold: (below + above) / 2 }];
    }
  }
  return best;
}
