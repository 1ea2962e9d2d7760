/**
 * The cheapest of all trees over a few parts, by dynamic programming over their subsets.
 *
 * The trap: the work grows as 3ⁿ, so this is for whole contractions of `exhaustiveLimit` operands and for windows of larger trees.
 */

import { type Cost, freeCost } from './network.ts';
import type { Part, Parts } from './parts.ts';
import { cheaper } from './parts.ts';

/** Most parts that are searched exhaustively. */
export const exhaustiveLimit = 8;

export interface Exhaustive {
  /** Whether a subset of the parts is there already, for nothing. */
  readonly isAvailable?: (subset: readonly number[]) => boolean;
  /** Multiply-adds above which no tree is of interest. */
  readonly bound?: number;
}

/** `options[i]`: the ways to begin with part i. Undefined where every tree is dearer than the bound. */
export function cheapestTree(
  parts: Parts,
  options: readonly (readonly Part[])[],
  { isAvailable, bound = Number.POSITIVE_INFINITY }: Exhaustive = {},
): Part | undefined {
  const full = (1 << options.length) - 1;
  const best: (readonly Part[])[] = new Array(full + 1).fill([]);
  options.forEach((ways, i) => {
    best[1 << i] = ways;
  });
  for (let subset = 1; subset <= full; subset++) {
    const lowest = subset & -subset;
    if (subset === lowest) continue;
    const found = new Cheapest(parts, bound);
    for (let left = (subset - 1) & subset; left > 0; left = (left - 1) & subset) {
      if ((left & lowest) === 0) continue;
      for (const a of best[left]) for (const b of best[subset ^ left]) found.offer(a, b);
    }
    const joined = found.join();
    if (joined === undefined) continue;
    const isFree = subset !== full && isAvailable?.(membersOf(subset)) === true;
    best[subset] = [isFree ? { ...joined, cost: freeCost } : joined];
  }
  const [first, ...others] = best[full] ?? [];
  return first && others.reduce<Part>(cheaper, first);
}

/** The cheapest pair of all that are offered; all make the same subset, so that only one need be joined. */
class Cheapest {
  private left: Part | undefined;
  private right: Part | undefined;
  private cost: Cost;

  constructor(
    private readonly parts: Parts,
    bound: number,
  ) {
    this.cost = { multiplyAdds: bound, elements: Number.POSITIVE_INFINITY };
  }

  offer(left: Part, right: Part): void {
    const least = left.cost.multiplyAdds + right.cost.multiplyAdds;
    if (least > this.cost.multiplyAdds) return;
    const multiplyAdds = least + this.parts.stepPoints(left, right);
    const elements = left.cost.elements + right.cost.elements;
    if (multiplyAdds > this.cost.multiplyAdds) return;
    if (multiplyAdds === this.cost.multiplyAdds && elements >= this.cost.elements) return;
    [this.left, this.right, this.cost] = [left, right, { multiplyAdds, elements }];
  }

  join(): Part | undefined {
    return this.left && this.right && this.parts.join(this.left, this.right);
  }
}

function membersOf(subset: number): readonly number[] {
  const members: number[] = [];
  for (let i = 0; subset >> i !== 0; i++) if (((subset >> i) & 1) === 1) members.push(i);
  return members;
}
