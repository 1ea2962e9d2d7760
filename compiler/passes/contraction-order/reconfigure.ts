/**
 * A tree made cheaper in place: each window of a few parts at a time is joined in the best way there is.
 *
 *   ((A·B)·(C·D))·E   the window {A, B, C·D, E} at the root   →   ((A·(C·D))·B)·E   if that costs less; then the windows below
 *
 * A window may hold parts that share nothing, so that outer products are found where they pay. Round follows round until no window
 * gains; a subtree that a round left as it was is not looked at again.
 */
import { cheapestTree } from './exhaustive.ts';
import { compareCosts } from './network.ts';
import type { Join, Part, Parts } from './parts.ts';

/** Parts of a window. */
const windowParts = 6;
/** More rounds than any tree has been seen to need. */
const mostRounds = 20;

/** Which part of a window is opened next: the dearest step, or the first, so that a window is as even as it can be. */
type Opening = 'dearest' | 'first';

/** Windows that may still be looked at. */
export interface Patience {
  windows: number;
}

export function reconfigure(parts: Parts, tree: Part, patience: Patience): Part {
  let current = tree;
  const settled = { dearest: new WeakSet<Part>(), first: new WeakSet<Part>() };
  for (let round = 0; round < mostRounds; round++) {
    const before = current;
    for (const opening of ['dearest', 'first'] as const) current = improve(current, opening);
    if (current === before || patience.windows <= 0) return current;
  }
  return current;

  function improve(part: Part, opening: Opening): Part {
    if (part.kind === 'leaf' || settled[opening].has(part) || patience.windows <= 0) return part;
    const better = improveWindow(part, opening);
    const [left, right] = [improve(better.left, opening), improve(better.right, opening)];
    const result = left === better.left && right === better.right ? better : parts.join(left, right);
    if (result === part) settled[opening].add(part);
    return result;
  }

  function improveWindow(part: Join, opening: Opening): Join {
    patience.windows--;
    const window = openWindow(parts, part, opening);
    const options = window.map((w) => (w.kind === 'leaf' ? parts.leaves[w.operand] : [w]));
    const best = cheapestTree(parts, options, { bound: part.cost.multiplyAdds });
    return best?.kind === 'join' && compareCosts(best.cost, part.cost) < 0 ? best : part;
  }
}

function openWindow(parts: Parts, root: Join, opening: Opening): readonly Part[] {
  const window: Part[] = [root.left, root.right];
  while (window.length < windowParts) {
    const joins = window.filter((part) => part.kind === 'join');
    if (joins.length === 0) break;
    const next = opening === 'first' ? joins[0] : joins.reduce((a, b) => (ownPoints(b) > ownPoints(a) ? b : a));
    window.splice(window.indexOf(next), 1);
    window.push(next.left, next.right);
  }
  return window;

  function ownPoints({ left, right }: Join): number {
    return parts.stepPoints(left, right);
  }
}
