/**
 * The cheapest tree that joins only what is connected, by dynamic programming over connected subsets of operands.
 *
 *   A–B–C–D:  {A,B} {B,C} {C,D},  {A,B,C} {B,C,D},  all      but never {A,C}: a chain of n has n² of them, not 2ⁿ
 *
 * A tree that is known already bounds the search: no subset that costs as much, with the step that must still read it, can be part
 * of a cheaper one. Components that share no axis are searched apart, and their results joined from the smallest on.
 *
 * The trap: a dense network has too many connected subsets whatever the bound; the search then gives up after a stated amount of
 * work, the same on every machine.
 */
import type { Part, Parts, Words } from './parts.ts';
import { has, meets, union } from './parts.ts';

/** Pairs of subsets that are looked at before the search gives up: a part of a second. */
const mostPairs = 200_000;
const mostSubsets = 10_000;

/** A connected subset on its way: `beside` are the operands next to it, `rim` those of its own that have others next to them. */
interface Region {
  readonly part: Part;
  readonly beside: Words;
  readonly rim: readonly number[];
}

/** Regions that have an operand on their rim; of any operand where it is undefined. */
interface Listed {
  readonly operand: number | undefined;
  readonly regions: readonly Region[];
}

/** Undefined where no such tree costs less than `bound` multiply-adds, 'too many' where the search gave up. */
export function cheapestConnected(parts: Parts, bound: number): Part | undefined | 'too many' {
  const neighbours = neighboursOf(parts);
  const budget = { pairs: mostPairs, subsets: mostSubsets };
  const results: Part[] = [];
  for (const component of componentsOf(neighbours)) {
    const result = searchComponent(parts, component, neighbours, bound, budget);
    if (result === undefined || result === 'too many') return result;
    results.push(result);
  }
  while (results.length > 1) {
    results.sort((a, b) => parts.points(a.axes) - parts.points(b.axes));
    results.push(parts.join(...(results.splice(0, 2) as [Part, Part])));
  }
  return results[0].cost.multiplyAdds < bound ? results[0] : undefined;
}

function searchComponent(
  parts: Parts,
  component: readonly number[],
  neighbours: readonly Words[],
  bound: number,
  budget: { pairs: number; subsets: number },
): Part | undefined | 'too many' {
  const region = (part: Part): Region => {
    const members = component.filter((operand) => has(part.operands, operand));
    const around = members.map((operand) => neighbours[operand]).reduce(union);
    const beside = around.map((word, w) => word & ~part.operands[w]);
    const rim = members.filter((operand) => neighbours[operand].some((word, w) => (word & ~part.operands[w]) !== 0));
    return { part, beside, rim };
  };
  const leaves = component.map((operand) => region(parts.summedLeaf(operand)));
  /** Size → regions; operand → size → regions that have it on their rim, the cheapest first. */
  const bySize: Region[][] = [[], [...leaves].sort((a, b) => a.part.cost.multiplyAdds - b.part.cost.multiplyAdds)];
  const byRim = new Map<number, Region[][]>(component.map((operand) => [operand, []]));
  const file = (regions: readonly Region[], size: number): void => {
    for (const r of regions) {
      for (const operand of r.rim) {
        const lists = byRim.get(operand) as Region[][];
        lists[size] ??= [];
        lists[size].push(r);
      }
    }
  };
  file(bySize[1], 1);
  /** Lists with every region of some size that is next to another: by operand beside that, or all where that is shorter. */
  const lookedAt = ({ beside }: Region, size: number): readonly Listed[] => {
    const near = component
      .filter((operand) => has(beside, operand))
      .map((operand) => ({ operand, regions: byRim.get(operand)?.[size] ?? [] }));
    const count = near.reduce((total, { regions }) => total + regions.length, 0);
    return count <= bySize[size].length ? near : [{ operand: undefined, regions: bySize[size] }];
  };
  for (let size = 2; size <= component.length; size++) {
    const found = new Map<number | string, Part>();
    for (let smaller = 1; 2 * smaller <= size; smaller++) {
      for (const a of bySize[smaller]) {
        for (const { operand, regions } of lookedAt(a, size - smaller)) {
          for (const b of regions) {
            if (--budget.pairs < 0) return 'too many';
            const least = a.part.cost.multiplyAdds + b.part.cost.multiplyAdds;
            if (least >= bound) break;
            if (meets(a.part.operands, b.part.operands)) continue;
            const first = firstIn(a.beside, b.part.operands);
            if (first === undefined || (operand !== undefined && first !== operand)) continue;
            const multiplyAdds = least + parts.stepPoints(a.part, b.part);
            if (multiplyAdds >= bound) continue;
            const key = keyOf(a.part.operands, b.part.operands);
            const known = found.get(key);
            if (known !== undefined && known.cost.multiplyAdds <= multiplyAdds) continue;
            found.set(key, parts.join(a.part, b.part));
          }
        }
      }
    }
    const isLast = size === component.length;
    const kept = [...found.values()]
      .filter((part) => isLast || part.cost.multiplyAdds + parts.points(part.axes) < bound)
      .sort((a, b) => a.cost.multiplyAdds - b.cost.multiplyAdds)
      .map(region);
    budget.subsets -= kept.length;
    if (budget.subsets < 0) return 'too many';
    bySize.push(kept);
    file(kept, size);
  }
  return bySize[component.length][0]?.part;
}

/** Of both sets together: a number where it holds them, which is much the cheaper key. */
function keyOf(a: Words, b: Words): number | string {
  if (a.length > 2) return union(a, b).join();
  const low = (a[0] | b[0]) >>> 0;
  return a.length === 1 ? low : a[1] | b[1] ? `${a[1] | b[1]} ${low}` : low;
}

/** The first operand that both sets have. */
function firstIn(a: Words, b: Words): number | undefined {
  for (let w = 0; w < a.length; w++) {
    const both = a[w] & b[w];
    if (both !== 0) return w * 32 + 31 - Math.clz32(both & -both);
  }
  return undefined;
}

function neighboursOf(parts: Parts): readonly Words[] {
  const words = parts.summedLeaf(0).operands.map(() => 0);
  const neighbours = Array.from({ length: parts.count }, () => [...words]);
  for (const bond of parts.bonds()) {
    for (const a of bond) for (const b of bond) if (a !== b) neighbours[a][b >> 5] |= 1 << (b & 31);
  }
  return neighbours;
}

function componentsOf(neighbours: readonly Words[]): readonly (readonly number[])[] {
  const components: number[][] = [];
  const seen = new Set<number>();
  for (const start of neighbours.keys()) {
    if (seen.has(start)) continue;
    const component = new Set([start]);
    for (const member of component) {
      for (const other of neighbours.keys()) if (has(neighbours[member], other)) component.add(other);
    }
    for (const member of component) seen.add(member);
    components.push([...component].sort((a, b) => a - b));
  }
  return components;
}
