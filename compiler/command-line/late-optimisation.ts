/**
 * Code that runs a few times is not worth optimising. With Node 20's usual budget of 132 KB of bytecode a function, a third of the
 * processor time of tests and of commands that compile went into optimising what had done its work by then: a step of the tiny preset
 * took 4.4 s of it, with this budget 3.0, one of GPT-2's size 7.3 and 4.6. Later versions of Node count otherwise.
 */
import { setFlagsFromString } from 'node:v8';

export const lateOptimisation: readonly string[] = process.versions.node.startsWith('20.')
  ? ['--interrupt-budget=1500000']
  : [];

/** For this process, from here on. */
export function optimiseLate(): void {
  for (const flag of lateOptimisation) setFlagsFromString(flag);
}
