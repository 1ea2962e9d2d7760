/**
 * Whose the workgroups of a dispatch are. Bodies have theirs one after another, those of few workgroups first: at the end they would
 * leave most of the device idle, and those of many fill what they leave. Bodies that go through the same large tensor in the
 * same steps take turns: what one brings into the cache is there for the others, and memory is not asked for all of it again by each.
 *
 *   p = Σ_t S·k,  q = Σ_u S·l,  64 workgroups each, S of 128 MiB   →   p has workgroups 0, 2, 4, …, q has 1, 3, 5, …
 */
import { indent, wgsl } from './wgsl/text.ts';

/** A body in a function of its own. */
export interface Part {
  readonly name: string;
  /** Workgroups of the dispatch that it takes. */
  readonly groups: number;
  /** Tensors that its workgroups go through part by part, in the order of their numbers, and the bytes of each. */
  readonly walks: ReadonlyMap<string, number>;
}

/** Smaller tensors stay in a GPU's cache from one body to the next (50 MB on an H100, in two halves that hold much the same). */
const leastBytes = 2 ** 25;

/** WGSL that calls the part that a workgroup belongs to; its number is the same in all of it, so parts may hold barriers. */
export function choiceOfPart(parts: readonly Part[]): string {
  const rounds = inTurns(parts);
  let first = 0;
  const branches = rounds.map((round, i) => {
    const call = callText(round, first);
    first += round.length * round[0].groups;
    if (rounds.length === 1) return call;
    const block = `{\n${indent(call)}\n}`;
    return i === rounds.length - 1 ? block : `if (group < ${first}u) ${block}`;
  });
  return branches.join(' else ');
}

/** Parts that take turns, those of few workgroups first. */
function inTurns(parts: readonly Part[]): (readonly [Part, ...Part[]])[] {
  const rounds: [Part, ...Part[]][] = [];
  for (const part of parts.toSorted((a, b) => a.groups - b.groups)) {
    const round = rounds.find((others) => part.groups === others[0].groups && shareLarge([...others, part]));
    if (round) round.push(part);
    else rounds.push([part]);
  }
  return rounds;
}

/** Whether there is a large tensor that all of them go through. */
function shareLarge([first, ...others]: readonly Part[]): boolean {
  return [...first.walks].some(([tensor, bytes]) => bytes >= leastBytes && others.every((o) => o.walks.has(tensor)));
}

/** Calls a part, or those that take turns, by the workgroups from `first` on. */
function callText(parts: readonly [Part, ...Part[]], first: number): string {
  const [own, factor] = first === 0 ? ['group', 'group'] : [`group - ${first}u`, `(group - ${first}u)`];
  const last = parts.length - 1;
  if (last === 0) return `${parts[0].name}(${own}, lane);`;
  const cases = parts.map(({ name }, i) => `${i === last ? 'default' : `case ${i}u`}: { ${name}(turn, lane); }`);
  return wgsl`
    let turn = ${factor} / ${parts.length}u;
    switch (${factor} % ${parts.length}u) {
      ${cases.join('\n')}
    }
  `;
}
