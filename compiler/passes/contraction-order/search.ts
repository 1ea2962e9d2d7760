/**
 * The order of a contraction of many operands: what is tried, in which order, and how much of it.
 *
 *  1. a greedy tree, and the operands from left to right, made cheaper window by window (`reconfigure.ts`);
 *  2. every tree that joins only what is connected and is cheaper than that (`connected.ts`): chains, rings, trees and
 *     networks of some twenty operands end here, with the best such tree;
 *  3. where there are too many: greedy trees with chance in them, the best of which are made cheaper window by window.
 *
 * The trap: what is found must be the same on every machine and in every run, so chance is seeded and effort is counted, never timed.
 */
import { cheapestConnected } from './connected.ts';
import { greedyTree, type Temper } from './greedy.ts';
import { compareCosts } from './network.ts';
import type { Part, Parts } from './parts.ts';
import { cheaper } from './parts.ts';
import { reconfigure } from './reconfigure.ts';

/** Greedy trees with chance, and the joins that they may look at in all: large networks get fewer trees. */
const mostTrials = 128;
const mostJoins = 100_000;
/** How many of the trees are made cheaper, and in how many windows in all (about 0.1 ms each). */
const mostReconfigured = 16;
const mostWindows = 6000;
/** Bounds of what is drawn for each tree; the temperature on a logarithmic scale. */
const removals = [0.2, 3] as const;
const temperatures = [0.005, 1] as const;
const seed = 1;

export function searchTree(parts: Parts): Part {
  let joins = 0;
  const tried = (): void => {
    joins++;
  };
  const plain = greedyTree(parts, { temperature: 0, removal: 1, random: () => 0.5 }, tried);
  const patience = { windows: mostWindows };
  const first = reconfigure(parts, cheaper(plain, joinLeftToRight(parts)), patience);
  const connected = cheapestConnected(parts, first.cost.multiplyAdds);
  // Outer products may still pay.
  if (connected !== 'too many') return reconfigure(parts, connected ?? first, { windows: mostWindows });
  const random = generator(seed);
  const trees: Part[] = [];
  for (let trial = 0; trial < mostTrials && joins < mostJoins; trial++) {
    trees.push(greedyTree(parts, draw(random), tried));
  }
  const best = trees.sort((a, b) => compareCosts(a.cost, b.cost)).slice(0, mostReconfigured);
  return best.map((tree) => reconfigure(parts, tree, patience)).reduce(cheaper, first);
}

/** The operands joined one after another, as they are written. */
export function joinLeftToRight(parts: Parts): Part {
  return parts.leaves.map(([raw]) => raw as Part).reduce((joined, next) => parts.join(joined, next));
}

function draw(random: () => number): Temper {
  const [least, most] = temperatures;
  const temperature = least * (most / least) ** random();
  return { temperature, removal: removals[0] + (removals[1] - removals[0]) * random(), random };
}

/** Numbers in (0, 1): Marsaglia's xorshift. */
function generator(start: number): () => number {
  let state = start;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
}
