/**
 * Words that begin an item, and what people write instead of them: misspellings, and the words of other languages.
 */
import { closest } from './suggest.ts';

export const itemWords: readonly string[] = [
  ...['size', 'check', 'axis', 'input', 'param', 'const', 'level', 'if', 'slot', 'use', 'output'],
];
export const topWords: readonly string[] = ['structure', 'fn', 'import'];

/** What people coming from other languages write at the beginning of an item. */
const foreignWords: ReadonlyMap<string, string> = new Map([
  ['parameter', 'param'],
  ['weight', 'param'],
  ['constant', 'const'],
  ['let', 'const'],
  ['return', 'output'],
  ['for', 'level'],
  ['loop', 'level'],
  ['assert', 'check'],
  ['require', 'check'],
  ['index', 'axis'],
  ['dim', 'axis'],
  ['elif', 'else if'],
  ['def', 'fn'],
  ['func', 'fn'],
  ['function', 'fn'],
  ['include', 'import'],
  ['from', 'import'],
  ['module', 'structure'],
  ['class', 'structure'],
]);

/** The word that a misspelt or foreign one stands for, if it is near one of `words`. */
export function meantWord(written: string, words: readonly string[]): string | undefined {
  const foreign = foreignWords.get(written);
  return foreign !== undefined && words.includes(foreign) ? foreign : closest(written, words);
}
