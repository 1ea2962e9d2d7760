/**
 * The cheapest order of one contraction: a binary tree over its operands. To `exhaustiveLimit` operands the best of all trees; beyond
 * it the best that a search of bounded effort finds (`search.ts`).
 *
 * The trap: left to right is in every search space, so that no answer is ever dearer than it.
 */
import { cheapestTree, exhaustiveLimit } from './exhaustive.ts';
import type { Network, Ordered } from './network.ts';
import { type Part, Parts } from './parts.ts';
import { joinLeftToRight, searchTree } from './search.ts';

/** Trees of searches, by network: costs are compared (`inline.ts`) before what was compared is ordered. */
const searched = new Map<string, Ordered>();
const mostRemembered = 1000;

/** The cheapest tree known for the network, which has at least one operand. */
export function orderNetwork(network: Network): Ordered {
  if (network.operands.length > exhaustiveLimit) return searchNetwork(network);
  const parts = new Parts(network);
  return parts.ordered(cheapestTree(parts, parts.leaves, { isAvailable: network.isAvailable }) as Part);
}

/** `isAvailable` is not asked: what is there already is read, but an order is not chosen for it. */
function searchNetwork(network: Network): Ordered {
  const { extents, operands, store, constraints } = network;
  const key = `${extents} ${operands} ${store} ${constraints}`;
  const known = searched.get(key);
  if (known !== undefined) return known;
  if (searched.size >= mostRemembered) searched.clear();
  const parts = new Parts(network);
  const found = parts.ordered(searchTree(parts));
  searched.set(key, found);
  return found;
}

/** What joining the operands one after another, as they are written, costs. */
export function leftToRight(network: Network): Ordered {
  const parts = new Parts(network);
  return parts.ordered(joinLeftToRight(parts));
}
