/**
 * One contraction as its order sees it: operands and store as sets of axes, orders as binary trees over the operands.
 *
 *   Σ L[β,α,γ] R[γ,δ,β] x[n,γ,δ]   →   L · (R · x)      n·γ·δ·β + n·β·α·γ multiply-adds, n·γ·β elements
 *
 * An axis is *live* in a subset's intermediate while the target, an operand outside, or a constraint that cannot be decided inside
 * still needs it; the others are summed as soon as the subset is joined. Cost of a step: the points of the box of both sides' axes.
 * Costs compare by multiply-adds first, then by elements of the intermediates.
 */
import type { AxisSet } from '../../ir/contraction.ts';

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
