/**
 * The cheapest order of one contraction: a binary tree over its operands, found by dynamic programming over subsets.
 *
 *   Σ L[β,α,γ] R[γ,δ,β] x[n,γ,δ]   →   L · (R · x)      n·γ·δ·β + n·β·α·γ multiply-adds
 *
 * An axis is *live* in a subset's intermediate while the target, an operand outside, or a constraint that cannot be decided inside
 * still needs it; the others are summed as soon as the subset is joined. Cost of a step: the points of the box of both sides' axes.
 * Costs compare by multiply-adds first, then by elements of the intermediates.
 *
 * Beyond `exhaustiveLimit` operands, the cheapest of: greedily the pair whose step costs least relative to what it removes; from each
 * operand outwards, always by the cheapest next step (a chain of cores applied to a vector); left to right. Beyond `greedyLimit`: left
 * to right. The trap: left to right is in every search space, so that no answer is ever dearer than it.
 */
import type { AxisSet } from '../ir/contraction.ts';
import { axesIn } from '../ir/contraction.ts';

/** Most operands that are searched exhaustively. */
export const exhaustiveLimit = 8;
/** Most operands of which pairs are compared; the work grows with their cube. Beyond it they are joined from left to right. */
export const greedyLimit = 32;

export interface Network {
  /** Extent of every axis. */
  readonly extents: readonly number[];
  readonly operands: readonly AxisSet[];
  /** Axes of the store map. */
  readonly store: AxisSet;
  /** Axes of each constraint of the domain. */
  readonly constraints: readonly AxisSet[];
  /** Whether some tensor of the program already holds the intermediate of these operands (positions), ready for use. */
  readonly isAvailable?: (operands: readonly number[]) => boolean;
}

export interface Cost {
  /** Points of the steps' boxes. */
  readonly multiplyAdds: number;
  /** Elements of the intermediates. */
  readonly elements: number;
}

export type Tree =
  /** `summed`: the axes that only this operand holds are summed by a step of its own. */
  | { readonly kind: 'leaf'; readonly operand: number; readonly summed: boolean; readonly axes: AxisSet }
  | {
      readonly kind: 'join';
      readonly left: Tree;
      readonly right: Tree;
      /** Axes of the loop, and those that remain. */
      readonly loop: AxisSet;
      readonly axes: AxisSet;
    };

export interface Ordered {
  readonly tree: Tree;
  readonly cost: Cost;
}

export const freeCost: Cost = { multiplyAdds: 0, elements: 0 };

export function addCosts(a: Cost, b: Cost): Cost {
  return { multiplyAdds: a.multiplyAdds + b.multiplyAdds, elements: a.elements + b.elements };
}

/** Negative where a is cheaper. */
export function compareCosts(a: Cost, b: Cost): number {
  return a.multiplyAdds - b.multiplyAdds || a.elements - b.elements;
}

/** The cheapest tree known for the network, which has at least one operand. */
export function orderNetwork(network: Network): Ordered {
  const search = new Search(network);
  if (network.operands.length <= exhaustiveLimit) return search.exhaustive();
  const plain = search.leftToRight();
  if (network.operands.length > greedyLimit) return plain;
  const grown = network.operands.map((_, start) => search.outwardsFrom(start));
  return [search.greedy(), ...grown].reduce((a, b) => (compareCosts(b.cost, a.cost) < 0 ? b : a), plain);
}

/** What joining the operands one after another, as they are written, costs. */
export function leftToRight(network: Network): Ordered {
  return new Search(network).leftToRight();
}

/** Axes of a subset's intermediate that something outside of it still needs. `members` are all operands of the subset. */
export function liveAxes(network: Network, members: readonly number[]): AxisSet {
  const inside = new Set(members);
  let own = 0n;
  let needed = network.store;
  network.operands.forEach((axes, operand) => {
    if (inside.has(operand)) own |= axes;
    else needed |= axes;
  });
  for (const constraint of network.constraints) if ((constraint & ~own) !== 0n) needed |= constraint;
  return own & needed;
}

class Search {
  private readonly network: Network;
  private readonly sizes = new Map<AxisSet, number>();

  constructor(network: Network) {
    this.network = network;
  }

  exhaustive(): Ordered {
    const count = this.network.operands.length;
    const full = (1 << count) - 1;
    const best: (readonly Ordered[])[] = new Array(full + 1);
    for (let subset = 1; subset <= full; subset++) {
      const members = membersOf(subset);
      if (members.length === 1) {
        best[subset] = this.leaves(members[0]);
        continue;
      }
      const axes = liveAxes(this.network, members);
      const lowest = subset & -subset;
      let found: Ordered | undefined;
      for (let left = (subset - 1) & subset; left > 0; left = (left - 1) & subset) {
        if ((left & lowest) === 0) continue;
        for (const a of best[left]) {
          for (const b of best[subset ^ left]) {
            const loop = a.tree.axes | b.tree.axes;
            const multiplyAdds = a.cost.multiplyAdds + b.cost.multiplyAdds + this.points(loop);
            if (found !== undefined && multiplyAdds > found.cost.multiplyAdds) continue;
            const candidate = this.join(a, b, axes, subset === full);
            if (found === undefined || compareCosts(candidate.cost, found.cost) < 0) found = candidate;
          }
        }
      }
      const joined = found as Ordered;
      const free = subset !== full && this.network.isAvailable?.(members) === true;
      best[subset] = [free ? { ...joined, cost: freeCost } : joined];
    }
    return best[full].reduce((a, b) => (compareCosts(b.cost, a.cost) < 0 ? b : a));
  }

  leftToRight(): Ordered {
    let done: Ordered = this.leaf(0, false);
    for (let next = 1; next < this.network.operands.length; next++) {
      const members = Array.from({ length: next + 1 }, (_, i) => i);
      const last = next === this.network.operands.length - 1;
      done = this.join(done, this.leaf(next, false), liveAxes(this.network, members), last);
    }
    return done;
  }

  greedy(): Ordered {
    let parts = this.network.operands.map((_, operand) => ({
      members: [operand],
      options: this.leaves(operand),
    }));
    while (parts.length > 1) {
      let best: { a: number; b: number; ordered: Ordered; members: number[]; score: number } | undefined;
      for (let a = 0; a < parts.length; a++) {
        for (let b = a + 1; b < parts.length; b++) {
          const members = [...parts[a].members, ...parts[b].members];
          const axes = liveAxes(this.network, members);
          for (const left of parts[a].options) {
            for (const right of parts[b].options) {
              const ordered = this.join(left, right, axes, parts.length === 2);
              const removed = this.points(left.tree.axes) + this.points(right.tree.axes) - this.points(axes);
              const step = ordered.cost.multiplyAdds - left.cost.multiplyAdds - right.cost.multiplyAdds;
              const score = step - removed;
              if (best === undefined || score < best.score) best = { a, b, ordered, members, score };
            }
          }
        }
      }
      const { a, b, ordered, members } = best as NonNullable<typeof best>;
      parts = [...parts.filter((_, i) => i !== a && i !== b), { members, options: [ordered] }];
    }
    return parts[0].options.reduce((a, b) => (compareCosts(b.cost, a.cost) < 0 ? b : a));
  }

  outwardsFrom(start: number): Ordered {
    const left = new Set(this.network.operands.keys());
    left.delete(start);
    const members = [start];
    let done = this.leaf(start, false);
    while (left.size > 0) {
      let nearest = { operand: -1, points: Number.POSITIVE_INFINITY };
      for (const operand of left) {
        const points = this.points(done.tree.axes | this.network.operands[operand]);
        if (points < nearest.points) nearest = { operand, points };
      }
      left.delete(nearest.operand);
      members.push(nearest.operand);
      done = this.join(done, this.leaf(nearest.operand, false), liveAxes(this.network, members), left.size === 0);
    }
    return done;
  }

  private leaves(operand: number): readonly Ordered[] {
    const raw = this.leaf(operand, false);
    const summed = this.leaf(operand, true);
    return raw.tree.axes === summed.tree.axes ? [raw] : [raw, summed];
  }

  private leaf(operand: number, summed: boolean): Ordered {
    const own = this.network.operands[operand];
    if (!summed) return { tree: { kind: 'leaf', operand, summed, axes: own }, cost: freeCost };
    const axes = liveAxes(this.network, [operand]);
    const cost = { multiplyAdds: this.points(own), elements: this.points(axes) };
    return { tree: { kind: 'leaf', operand, summed, axes }, cost };
  }

  private join(left: Ordered, right: Ordered, axes: AxisSet, last: boolean): Ordered {
    const loop = left.tree.axes | right.tree.axes;
    const step: Cost = { multiplyAdds: this.points(loop), elements: last ? 0 : this.points(axes) };
    return {
      tree: { kind: 'join', left: left.tree, right: right.tree, loop, axes },
      cost: addCosts(addCosts(left.cost, right.cost), step),
    };
  }

  private points(set: AxisSet): number {
    const known = this.sizes.get(set);
    if (known !== undefined) return known;
    const size = axesIn(set).reduce((all, axis) => all * this.network.extents[axis], 1);
    this.sizes.set(set, size);
    return size;
  }
}

function membersOf(subset: number): readonly number[] {
  const members: number[] = [];
  for (let i = 0; subset >> i !== 0; i++) if (((subset >> i) & 1) === 1) members.push(i);
  return members;
}
