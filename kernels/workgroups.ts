/**
 * Whose the workgroups of a dispatch are: bodies have theirs one after another. First those of several stages, which take longest: behind
 * other products they were what a dispatch waited for (BTT 16/64, H200: 58 µs, 52 with them first). Then those of few workgroups: at the
 * end they would leave most of the device idle, and those of many fill what they leave. Last those that are brief, however few.
 */
import { indent } from './wgsl/text.ts';

/** A body in a function of its own. */
export interface Part {
  readonly name: string;
  /** Workgroups of the dispatch that it takes. */
  readonly groups: number;
  /** What each of them does one after another (`KernelBody`). */
  readonly stages?: number;
  /** Whether each of them takes next to nothing (`KernelBody`). */
  readonly isBrief?: boolean;
}

/** WGSL that calls the part that a workgroup belongs to; its number is the same in all of it, so parts may hold barriers. */
export function choiceOfPart(parts: readonly Part[]): string {
  let first = 0;
  const lengthOf = ({ stages = 1, isBrief = false }: Part): number => (isBrief ? 0 : stages);
  const branches = parts
    .toSorted((a, b) => lengthOf(b) - lengthOf(a) || a.groups - b.groups)
    .map(({ name, groups }, i) => {
      const own = first === 0 ? 'group' : `group - ${first}u`;
      first += groups;
      const block = `{\n${indent(`${name}(${own}, lane);`)}\n}`;
      return i === parts.length - 1 ? block : `if (group < ${first}u) ${block}`;
    });
  return branches.join(' else ');
}
