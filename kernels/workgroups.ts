/**
 * Whose the workgroups of a dispatch are: bodies have theirs one after another, those of few workgroups first. At the end they would
 * leave most of the device idle, and those of many fill what they leave.
 */
import { indent } from './wgsl/text.ts';

/** A body in a function of its own. */
export interface Part {
  readonly name: string;
  /** Workgroups of the dispatch that it takes. */
  readonly groups: number;
}

/** WGSL that calls the part that a workgroup belongs to; its number is the same in all of it, so parts may hold barriers. */
export function choiceOfPart(parts: readonly Part[]): string {
  let first = 0;
  const branches = parts
    .toSorted((a, b) => a.groups - b.groups)
    .map(({ name, groups }, i) => {
      const own = first === 0 ? 'group' : `group - ${first}u`;
      first += groups;
      const block = `{\n${indent(`${name}(${own}, lane);`)}\n}`;
      return i === parts.length - 1 ? block : `if (group < ${first}u) ${block}`;
    });
  return branches.join(' else ');
}
