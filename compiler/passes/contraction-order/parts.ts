/**
 * Parts of a contraction, and what joining two of them leaves and costs: the arithmetic that every search for an order shares.
 *
 * Sets of axes and of operands are words of 32 bits here. A search joins parts by the hundred thousand, and bigints, which the rest
 * of the compiler has for such sets, would be several times slower.
 *
 * The trap: a part is one subset *and* how it was made, so two parts of the same operands differ; but what axes they have does not
 * depend on the way (a leaf that was not summed first aside).
 */
import type { AxisSet } from '../../ir/contraction.ts';
import { axesIn } from '../../ir/contraction.ts';
import type { Cost, Network, Ordered, Tree } from './network.ts';
import { compareCosts, freeCost } from './network.ts';

const wordBits = 32;

export type Words = readonly number[];

interface PartOf {
  readonly operands: Words;
  /** Axes of the operands together, summed or not. */
  readonly own: Words;
  /** Axes that the part has. */
  readonly axes: Words;
  /** Of everything in it. */
  readonly cost: Cost;
}

export interface Leaf extends PartOf {
  readonly kind: 'leaf';
  readonly operand: number;
  /** See `Tree`. */
  readonly summed: boolean;
}

export interface Join extends PartOf {
  readonly kind: 'join';
  readonly left: Part;
  readonly right: Part;
}

export type Part = Leaf | Join;

export class Parts {
  readonly count: number;
  private readonly extents: readonly number[];
  private readonly store: Words;
  private readonly constraints: readonly Words[];
  /** Of each axis, the operands that have it. */
  private readonly holders: readonly (readonly number[])[];
  /** Of each operand, the ways to begin with it: as it is, then with the axes that nothing else needs summed first. */
  readonly leaves: readonly (readonly Leaf[])[];

  constructor(private readonly network: Network) {
    const { extents, operands, store, constraints } = network;
    const axisWords = Math.max(1, Math.ceil(extents.length / wordBits));
    this.count = operands.length;
    this.extents = extents;
    this.store = toWords(store, axisWords);
    this.constraints = constraints.map((axes) => toWords(axes, axisWords));
    this.holders = extents.map((_, axis) =>
      operands.flatMap((axes, operand) => (((axes >> BigInt(axis)) & 1n) === 1n ? [operand] : [])),
    );
    this.leaves = operands.map((axes, operand) => this.waysToBegin(operand, toWords(axes, axisWords)));
  }

  /** An operand with no more axes than it must have. */
  summedLeaf(operand: number): Leaf {
    const ways = this.leaves[operand];
    return ways[ways.length - 1];
  }

  join(left: Part, right: Part): Join {
    const operands = union(left.operands, right.operands);
    const own = union(left.own, right.own);
    const axes = this.live(union(left.axes, right.axes), operands, own);
    const isWhole = sizeOf(operands) === this.count;
    const cost = {
      multiplyAdds: left.cost.multiplyAdds + right.cost.multiplyAdds + this.stepPoints(left, right),
      elements: left.cost.elements + right.cost.elements + (isWhole ? 0 : this.points(axes)),
    };
    return { kind: 'join', left, right, operands, own, axes, cost };
  }

  /** Points of the loop that joins two parts. */
  stepPoints(left: Part, right: Part): number {
    return this.product(left.axes, right.axes);
  }

  points(axes: Words): number {
    return this.product(axes, axes);
  }

  /**
   * Sets of operands that are worth joining early: those that share an axis of more than one point, or a constraint. An axis of all
   * operands says nothing about which of them belong together.
   */
  bonds(): readonly (readonly number[])[] {
    const byAxis = this.holders.filter(
      (holders, axis) => this.extents[axis] > 1 && holders.length > 1 && holders.length < this.count,
    );
    const byConstraint = this.network.constraints.map((axes) => [
      ...new Set(axesIn(axes).flatMap((axis) => this.holders[axis])),
    ]);
    return [...byAxis, ...byConstraint.filter((holders) => holders.length > 1 && holders.length < this.count)];
  }

  ordered(part: Part): Ordered {
    return { tree: treeOf(part), cost: part.cost };
  }

  private waysToBegin(operand: number, own: Words): readonly Leaf[] {
    const words = Math.ceil(this.count / wordBits);
    const operands = Array.from({ length: words }, (_, w) => (w === operand >> 5 ? 1 << (operand & 31) : 0));
    const raw: Leaf = { kind: 'leaf', operand, summed: false, operands, own, axes: own, cost: freeCost };
    const axes = this.live(own, operands, own);
    if (equalWords(axes, own)) return [raw];
    return [raw, { ...raw, summed: true, axes, cost: { multiplyAdds: this.points(own), elements: this.points(axes) } }];
  }

  private live(axes: Words, operands: Words, own: Words): Words {
    const open = this.constraints.length > 0 ? this.undecided(own) : this.store;
    return axes.map((word, w) => {
      let kept = word & open[w];
      for (let rest = word & ~kept; rest !== 0; rest &= rest - 1) {
        const bit = 31 - Math.clz32(rest & -rest);
        if (this.holders[w * wordBits + bit].some((holder) => !has(operands, holder))) kept |= 1 << bit;
      }
      return kept;
    });
  }

  /** The axes of the store and of constraints that these axes cannot decide. */
  private undecided(own: Words): Words {
    return this.constraints
      .filter((axes) => axes.some((word, w) => (word & ~own[w]) !== 0))
      .reduce((all, axes) => union(all, axes), this.store);
  }

  private product(a: Words, b: Words): number {
    let points = 1;
    for (let w = 0; w < a.length; w++) {
      for (let rest = a[w] | b[w]; rest !== 0; rest &= rest - 1) {
        points *= this.extents[w * wordBits + 31 - Math.clz32(rest & -rest)];
      }
    }
    return points;
  }
}

function sizeOf(set: Words): number {
  let size = 0;
  for (const word of set) for (let rest = word; rest !== 0; rest &= rest - 1) size++;
  return size;
}

export function has(set: Words, element: number): boolean {
  return ((set[element >> 5] >>> (element & 31)) & 1) === 1;
}

export function union(a: Words, b: Words): Words {
  return a.map((word, w) => word | b[w]);
}

export function meets(a: Words, b: Words): boolean {
  for (let w = 0; w < a.length; w++) if ((a[w] & b[w]) !== 0) return true;
  return false;
}

export function cheaper<P extends Part>(a: P, b: P): P {
  return compareCosts(b.cost, a.cost) < 0 ? b : a;
}

function equalWords(a: Words, b: Words): boolean {
  return a.every((word, w) => word === b[w]);
}

function toWords(set: AxisSet, count: number): Words {
  return Array.from({ length: count }, (_, w) => Number(BigInt.asIntN(wordBits, set >> BigInt(w * wordBits))));
}

function toSet(words: Words): AxisSet {
  return words.reduce((set, word, w) => set | (BigInt(word >>> 0) << BigInt(w * wordBits)), 0n);
}

function treeOf(part: Part): Tree {
  const axes = toSet(part.axes);
  if (part.kind === 'leaf') return { kind: 'leaf', operand: part.operand, summed: part.summed, axes };
  const [left, right] = [treeOf(part.left), treeOf(part.right)];
  return { kind: 'join', left, right, loop: left.axes | right.axes, axes };
}
