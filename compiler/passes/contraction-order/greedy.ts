/**
 * One tree made greedily: always the pair whose result is smallest against what it takes away, with some chance in it.
 *
 *   score = |A·B| - α · (|A| + |B|),   joined: the least of  sign(score) · log|score| - T · g,   g drawn from Gumbel's distribution
 *
 * T = 0 is plain greedy. With T and α drawn anew each time, the best of many trees is far better than the first, since a choice
 * that looks equally good early may cost a thousand times as much later. The rule is that of cotengra's random greedy trees
 * (https://doi.org/10.22331/q-2021-03-15-410).
 *
 * Only parts that share an axis or a constraint are compared; where none do, the two smallest are joined.
 */
import type { Part, Parts } from './parts.ts';

export interface Temper {
  /** T: 0 is none. */
  readonly temperature: number;
  /** α: how much the size of what is taken away counts. */
  readonly removal: number;
  /** In (0, 1). */
  readonly random: () => number;
}

interface Candidate {
  readonly left: number;
  readonly right: number;
  readonly joined: Part;
  readonly score: number;
}

/** `tried` is called for every join that is looked at. */
export function greedyTree(parts: Parts, { temperature, removal, random }: Temper, tried: () => void): Part {
  const standing = new Map<number, Part>();
  for (let operand = 0; operand < parts.count; operand++) standing.set(operand, parts.summedLeaf(operand));
  /** Of each standing part, its bonds as sets of standing parts. */
  const bondsOf = new Map<number, Set<Set<number>>>();
  for (const operand of standing.keys()) bondsOf.set(operand, new Set());
  for (const bond of parts.bonds().map((holders) => new Set(holders))) {
    for (const operand of bond) bondsOf.get(operand)?.add(bond);
  }
  const candidate = (left: number, right: number): Candidate => {
    tried();
    const [a, b] = [standing.get(left) as Part, standing.get(right) as Part];
    const joined = parts.join(a, b);
    const removed = parts.points(a.axes) + parts.points(b.axes);
    const score = logarithm(parts.points(joined.axes) - removal * removed);
    const noise = temperature === 0 ? 0 : -temperature * Math.log(-Math.log(random()));
    return { left, right, joined, score: score - noise };
  };
  const neighbours = (part: number): Set<number> => {
    const beside = new Set<number>();
    for (const bond of bondsOf.get(part) ?? []) for (const other of bond) beside.add(other);
    beside.delete(part);
    return beside;
  };
  let candidates: Candidate[] = [...standing.keys()].flatMap((left) =>
    [...neighbours(left)].filter((right) => right > left).map((right) => candidate(left, right)),
  );
  for (let made = parts.count; standing.size > 1; made++) {
    const next = candidates.length > 0 ? candidates.reduce((a, b) => (b.score < a.score ? b : a)) : smallest();
    const { left, right, joined } = next;
    const bonds = new Set([...(bondsOf.get(left) ?? []), ...(bondsOf.get(right) ?? [])]);
    for (const bond of bonds) {
      bond.delete(left);
      bond.delete(right);
      if (bond.size === 0) bonds.delete(bond);
      else bond.add(made);
    }
    bondsOf.set(made, bonds);
    for (const part of [left, right]) {
      standing.delete(part);
      bondsOf.delete(part);
    }
    standing.set(made, joined);
    candidates = candidates.filter(({ left: l, right: r }) => standing.has(l) && standing.has(r));
    for (const other of neighbours(made)) candidates.push(candidate(other, made));
  }
  const [whole] = standing.values();
  return whole;

  function smallest(): Candidate {
    const [left, right] = [...standing.keys()].sort((a, b) => size(a) - size(b) || a - b);
    return candidate(left, right);
  }

  function size(part: number): number {
    return parts.points((standing.get(part) as Part).axes);
  }
}

/** Keeps the order of numbers of either sign and makes differences relative. */
function logarithm(score: number): number {
  return Math.sign(score) * Math.log(1 + Math.abs(score));
}
