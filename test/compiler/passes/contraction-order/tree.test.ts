/** The order of a contraction against trying every tree, against left to right, and against what opt_einsum finds. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AxisSet } from '../../../../compiler/ir/contraction.ts';
import { axesIn, axisSet } from '../../../../compiler/ir/contraction.ts';
import { exhaustiveLimit } from '../../../../compiler/passes/contraction-order/exhaustive.ts';
import type { Network, Tree } from '../../../../compiler/passes/contraction-order/network.ts';
import { liveAxes } from '../../../../compiler/passes/contraction-order/network.ts';
import { Parts } from '../../../../compiler/passes/contraction-order/parts.ts';
import { searchTree } from '../../../../compiler/passes/contraction-order/search.ts';
import { leftToRight, orderNetwork } from '../../../../compiler/passes/contraction-order/tree.ts';
import type { Choices } from '../../../support/choices.ts';
import { choicesFrom } from '../../../support/choices.ts';

function randomNetwork(choices: Choices, operands: number): Network {
  const extents = Array.from({ length: choices.between(2, 7) }, () => choices.pick([2, 3, 5, 7, 11, 1]));
  const subset = (): AxisSet =>
    extents.reduce((set, _, axis) => (choices.oneIn(2) ? set | (1n << BigInt(axis)) : set), 0n);
  return {
    extents,
    operands: Array.from({ length: operands }, subset),
    store: subset(),
    constraints: choices.oneIn(3) ? [subset()] : [],
  };
}

interface Part {
  readonly members: readonly number[];
  readonly axes: AxisSet;
}

/** Least multiply-adds over every sequence of pairwise joins and sums, by trying them all. */
function bruteForce(network: Network): number {
  const points = (set: AxisSet): number => axesIn(set).reduce((all, axis) => all * network.extents[axis], 1);
  const live = (part: Part): AxisSet => {
    const own = part.members.reduce((all, m) => all | network.operands[m], 0n);
    let needed = network.store;
    network.operands.forEach((axes, m) => {
      if (!part.members.includes(m)) needed |= axes;
    });
    for (const c of network.constraints) if ((c & ~own) !== 0n) needed |= c;
    return part.axes & needed;
  };
  const search = (parts: readonly Part[]): number => {
    if (parts.length === 1) return 0;
    let best = Number.POSITIVE_INFINITY;
    for (let a = 0; a < parts.length; a++) {
      // An operand may first be summed by itself.
      const summed = live(parts[a]);
      if (parts[a].members.length === 1 && summed !== parts[a].axes) {
        const next = parts.map((part, i) => (i === a ? { ...part, axes: summed } : part));
        best = Math.min(best, points(parts[a].axes) + search(next));
      }
      for (let b = a + 1; b < parts.length; b++) {
        const loop = parts[a].axes | parts[b].axes;
        const joined: Part = { members: [...parts[a].members, ...parts[b].members], axes: loop };
        const rest = parts.filter((_, i) => i !== a && i !== b);
        best = Math.min(best, points(loop) + search([...rest, { ...joined, axes: live(joined) }]));
      }
    }
    return best;
  };
  return search(network.operands.map((axes, m) => ({ members: [m], axes })));
}

interface ComparedCase {
  readonly family: string;
  readonly count: number;
  readonly extents: readonly number[];
  readonly operands: readonly (readonly number[])[];
  readonly store: readonly number[];
  /** The least cost that opt_einsum finds. */
  readonly best: number;
}

/** See `opt-einsum/generate.py`. */
const compared: { readonly cases: readonly ComparedCase[] } = JSON.parse(
  readFileSync(join(import.meta.dirname, 'opt-einsum/cases.json'), 'utf8'),
);

function networkOf({ extents, operands, store }: ComparedCase): Network {
  return { extents, operands: operands.map(axisSet), store: axisSet(store), constraints: [] };
}

describe('contraction order', () => {
  test('is the best of all trees, up to five operands', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 60 }), fc.integer({ min: 2, max: 4 }), (tape, operands) => {
        const network = randomNetwork(choicesFrom(tape), operands);
        expect(orderNetwork(network).cost.multiplyAdds).toBe(bruteForce(network));
      }),
      { numRuns: 150, seed: 1 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 60 }), (tape) => {
        const network = randomNetwork(choicesFrom(tape), 5);
        expect(orderNetwork(network).cost.multiplyAdds).toBe(bruteForce(network));
      }),
      { numRuns: 12, seed: 2 },
    );
  });

  test('is never dearer than left to right, for any number of operands', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 20, maxLength: 200 }),
        fc.integer({ min: 2, max: 12 }),
        (tape, operands) => {
          const network = randomNetwork(choicesFrom(tape), operands);
          expect(orderNetwork(network).cost.multiplyAdds).toBeLessThanOrEqual(leftToRight(network).cost.multiplyAdds);
        },
      ),
      { numRuns: 300, seed: 3 },
    );
  });

  test('a chain of matrices beyond the exhaustive search is still joined along the chain', () => {
    const count = exhaustiveLimit + 4;
    const operands = Array.from({ length: count }, (_, i) => (1n << BigInt(i)) | (1n << BigInt(i + 1)));
    const extents = Array.from({ length: count + 1 }, (_, i) => (i === count ? 1 : 16));
    const network: Network = { extents, operands, store: 1n | (1n << BigInt(count)), constraints: [] };
    // From the vector end: count products of a matrix and a vector.
    expect(orderNetwork(network).cost.multiplyAdds).toBe(count === 12 ? 11 * 256 : Number.NaN);
  });

  test('a tree beyond the exhaustive search joins every operand once, and its axes and costs are what they say', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 40, maxLength: 200 }),
        fc.integer({ min: 9, max: 12 }),
        (tape, operands) => {
          const network = randomNetwork(choicesFrom(tape), operands);
          const { tree, cost } = orderNetwork(network);
          const points = (set: AxisSet): number => axesIn(set).reduce((all, axis) => all * network.extents[axis], 1);
          const walk = (node: Tree): { members: readonly number[]; multiplyAdds: number } => {
            if (node.kind === 'leaf') {
              const own = network.operands[node.operand];
              expect(node.axes).toBe(node.summed ? liveAxes(network, [node.operand]) : own);
              return { members: [node.operand], multiplyAdds: node.summed ? points(own) : 0 };
            }
            const [left, right] = [walk(node.left), walk(node.right)];
            const members = [...left.members, ...right.members];
            expect(node.loop).toBe(node.left.axes | node.right.axes);
            expect(node.axes).toBe(liveAxes(network, members));
            return { members, multiplyAdds: left.multiplyAdds + right.multiplyAdds + points(node.loop) };
          };
          const { members, multiplyAdds } = walk(tree);
          expect([...members].sort((a, b) => a - b)).toEqual(network.operands.map((_, operand) => operand));
          expect(multiplyAdds).toBe(cost.multiplyAdds);
        },
      ),
      { numRuns: 25, seed: 4 },
    );
  });

  test('the same search gives the same tree', () => {
    const network = networkOf(compared.cases.find((c) => c.family === 'degree4' && c.count === 25) as ComparedCase);
    const [first, second] = [0, 1].map(() => new Parts(network)).map((parts) => parts.ordered(searchTree(parts)));
    expect(second).toEqual(first);
  });

  test.each(compared.cases)('$family of $count operands costs at most 1.05 of what opt_einsum finds', (compare) => {
    expect(orderNetwork(networkOf(compare)).cost.multiplyAdds).toBeLessThanOrEqual(1.05 * compare.best);
  });
});
