/** An option set by every spelling of its names that is understood, and what somebody may have meant by one that is not. */
import { closest } from '../../compiler/syntax/suggest.ts';
import type { OptionSet } from './set.ts';
import type { OptionRow, OptionTable } from './table.ts';

export interface Names {
  readonly set: OptionSet<OptionTable>;
  readonly rows: Readonly<Record<string, OptionRow<unknown>>>;
  /** Canonical names by normal spellings, short names among them. */
  readonly canonical: ReadonlyMap<string, string>;
}

export function namesOf(set: OptionSet<OptionTable>): Names {
  const spelled = [...Object.keys(set.table).map((name) => [name, name]), ...Object.entries(set.aliases)];
  return { set, rows: set.table, canonical: new Map(spelled.map(([from, to]) => [normal(from), to])) };
}

export function normal(name: string): string {
  return name.replaceAll('-', '_').toLowerCase();
}

/**
 * The option that a word nearly spells, as a person would write it; else the shortest whose name has all of the word's parts in it, or
 * parts that they nearly spell: who writes `layers` means `n_layer`, and `lerning_rate` `training_learning_rate`; else the longest that the
 * word ends with, as `training_learning_rate` does with `learning_rate`. `others` are words that are no options of the table.
 */
export function nearestOption(
  { set, canonical }: Names,
  word: string,
  others: readonly string[] = [],
): string | undefined {
  const known = [...canonical.keys(), ...others];
  const near = closest(normal(word), known) ?? withParts(normal(word), known) ?? withinWord(normal(word), known);
  return near === undefined || near in set.aliases ? near : (canonical.get(near) ?? near);
}

const fewestLetters = 3;
/** Of a name's letters, those that the word has; fewer are a coincidence. */
const leastShare = 0.4;

function withParts(word: string, known: readonly string[]): string | undefined {
  const parts = word
    .split('_')
    .map((part) => part.replace(/s$/, ''))
    .filter(({ length }) => length >= fewestLetters);
  if (parts.length === 0) return undefined;
  const letters = parts.join('').length;
  const isIn = (part: string, name: string) =>
    name.includes(part) || (part.length > fewestLetters && closest(part, name.split('_')) !== undefined);
  const fitting = known.filter(
    (name) => parts.every((part) => isIn(part, name)) && letters >= leastShare * name.length,
  );
  const exact = (name: string) => parts.filter((part) => name.includes(part)).length;
  return fitting.sort((a, b) => exact(b) - exact(a) || a.length - b.length)[0];
}

function withinWord(word: string, known: readonly string[]): string | undefined {
  return known.filter((name) => word.endsWith(`_${name}`)).sort((a, b) => b.length - a.length)[0];
}
