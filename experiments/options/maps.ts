/**
 * The linear maps of the models that a structure may take the place of: how the command line calls them, and which slots of the models
 * they are (models/transformer.mlbtc; queries and keys are slots of the scores that have them).
 *
 *   --slot linear=low_rank --slot mlp_up=btt -s linear.rank=4 -s mlp_up.s=2
 *       →   Values, Attn_out, Mlp_down and the score's Q and K: low_rank of rank 4;   Mlp_up: btt with s = 2
 */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import type { SizeValue } from './mixers.ts';

export const mapSlots = {
  q: 'Score.Q',
  k: 'Score.K',
  values: 'Values',
  attn_out: 'Attn_out',
  mlp_up: 'Mlp_up',
  mlp_down: 'Mlp_down',
} as const;
type MapName = keyof typeof mapSlots;

/** What is said of all maps at once. */
const all = 'linear';

export interface Filled {
  /** A library structure's name, or a file, by slot. */
  readonly files: ReadonlyMap<string, string>;
  /** By slot and name. */
  readonly sizes: Readonly<Record<string, SizeValue>>;
  /** Of the score. */
  readonly others: Readonly<Record<string, SizeValue>>;
}

/** Whether what fills a slot is a file, as in an `import`; a structure of the library else. */
export function isFile(filler: string): boolean {
  return /[\\/]|\.mlbtc$/.test(filler);
}

/**
 * Which slots are filled, and with which sizes. `hasOwn` says whether the score has a slot of its own of that name, lower case. Throws
 * UsageError for a map that there is not.
 */
export function filledSlots(
  words: readonly string[],
  sizes: Readonly<Record<string, SizeValue>>,
  hasOwn: (slot: string) => boolean,
): Filled {
  const given = new Map<string, string>();
  for (const word of words) {
    const [name, filler] = [word.slice(0, word.indexOf('=')).toLowerCase(), word.slice(word.indexOf('=') + 1)];
    checkName(name, word, hasOwn);
    given.set(name, filler);
  }
  const linear = given.get(all);
  const files = new Map<string, string>();
  const named: Record<string, SizeValue> = {};
  const sizesOf = (name: string) => Object.entries(sizes).filter(([size]) => size.toLowerCase().startsWith(`${name}.`));
  for (const [name, slot] of Object.entries(mapSlots) as [MapName, string][]) {
    const isThere = !slot.startsWith('Score.') || hasOwn(name);
    const filler = given.get(name) ?? (isThere ? linear : undefined);
    if (filler === undefined) continue;
    files.set(slot, filler);
    const says = [...(given.has(name) ? [] : sizesOf(all)), ...sizesOf(name)];
    for (const [size, value] of says) named[`${slot}${size.slice(size.indexOf('.'))}`] = value;
  }
  const isOfMap = (size: string) =>
    size.includes('.') && [all, ...Object.keys(mapSlots)].includes(size.split('.')[0].toLowerCase());
  for (const size of Object.keys(sizes)) {
    const [name] = size.toLowerCase().split('.');
    if (isOfMap(size) && !given.has(name) && !(name in mapSlots && files.has(mapSlots[name as MapName]))) {
      throw new UsageError(`-s ${size}: nothing fills ${name}; --slot ${name}=STRUCTURE does`);
    }
  }
  return { files, sizes: named, others: Object.fromEntries(Object.entries(sizes).filter(([size]) => !isOfMap(size))) };
}

function checkName(name: string, word: string, hasOwn: (slot: string) => boolean): void {
  const known = [...Object.keys(mapSlots), all];
  if (!known.includes(name)) {
    const near = closest(name, known);
    throw new UsageError(
      `--slot ${word}: there is no map ${name}; ${near === undefined ? `there are ${known.join(', ')}` : `did you mean ${near}?`}`,
    );
  }
  if ((name === 'q' || name === 'k') && !hasOwn(name)) {
    throw new UsageError(
      `--slot ${word}: the score has no slot ${name.toUpperCase()}; low_rank, its windows and multi_level_low_rank have one`,
    );
  }
}
