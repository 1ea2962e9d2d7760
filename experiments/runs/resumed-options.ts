/**
 * The options of a run that goes on: those that it began with, and of those that are given now what may change. Whatever else is given
 * must be as it was, or it would be another run's curve that goes on.
 */
import { resolve } from 'node:path';
import { UsageError, UserError } from '../../compiler/command-line/errors.ts';
import { isSameStructure, readStructure } from '../models/structure-copy.ts';
import { asWords, givenOptions } from '../options/parse.ts';
import type { Resuming } from '../options/resuming.ts';
import type { OptionSet } from '../options/set.ts';
import { type OptionTable, showValue } from '../options/table.ts';
import type { RunFolder } from './folder.ts';
import type { ResolvedTraining } from './training-run.ts';

/** What of a kind of training this looks at. */
interface Kind<Table extends OptionTable, R extends ResolvedTraining> {
  readonly set: OptionSet<Table>;
  readonly resuming: Resuming<Table>;
  readonly resolve: (words: readonly string[]) => R;
}

export interface ResumedOptions<R> {
  readonly resolved: R;
  /** Options that the run's config has to hold from now on, where the run becomes longer or its data have moved. */
  readonly changes: Readonly<Record<string, unknown>>;
  readonly note: string | undefined;
}

/** Throws UsageError for the command line's mistakes, UserError where what is given is not what the run began with. */
export function resumedOptions<Table extends OptionTable, R extends ResolvedTraining>(
  kind: Kind<Table, R>,
  { path, configPath }: RunFolder,
  words: readonly string[],
): ResumedOptions<R> {
  const { set, resuming } = kind;
  const config = `--config=${configPath}`;
  const given = givenOptions(set, words);
  const begun = kind.resolve([config]);
  const asked = kind.resolve([config, ...asWords({ ...given.values, out_dir: path }, given.sizes)]);
  const found = optionDifferences(kind, begun, asked);
  // Data may lie elsewhere now; whether they are the same is for whoever reads them to say (`changedFact` in provenance.ts).
  const isMoved = ({ name }: OptionDifference) => set.table[name]?.isPath === true;
  const moved = Object.fromEntries(found.filter(isMoved).map(({ name }) => [name, placeOf(asked.options, name)]));
  const differences = found.filter((difference) => !isMoved(difference));
  if (differences.length > 0) {
    throw new UserError(
      `${path} was begun with other options: ${differencesText(differences)}\n` +
        '  help: leave them out to go on with that run, or train a new one in another --out_dir',
    );
  }
  const [before, now] = [begun, asked].map(({ options }) => optionOf(options, resuming.steps) as number);
  if (before === now) return { resolved: asked, changes: moved, note: undefined };
  if (now < before) {
    throw new UsageError(
      `${path} was begun for ${before} steps, --${resuming.steps} ${now} is fewer; Ctrl-C ends a run before its last step`,
    );
  }
  const changes = { ...resuming.lengthened(begun.options as never, now), ...moved };
  const resolved = kind.resolve([config, ...asWords({ ...given.values, ...changes, out_dir: path }, given.sizes)]);
  const note = `note: ${now} steps in place of ${before}: the schedule goes on as it began, a decay that has ended stays where it ended`;
  return { resolved, changes, note };
}

export interface OptionDifference {
  readonly name: string;
  readonly begun: unknown;
  readonly asked: unknown;
}

/** In what two sets of options train differently; their numbers of steps are none. */
export function optionDifferences<Table extends OptionTable, R extends ResolvedTraining>(
  { set, resuming }: Pick<Kind<Table, R>, 'set' | 'resuming'>,
  begun: R,
  asked: R,
): readonly OptionDifference[] {
  const mayDiffer = new Set<string>([...resuming.free, resuming.steps]);
  const differ = (name: string, a: unknown, b: unknown): readonly OptionDifference[] =>
    JSON.stringify(a) === JSON.stringify(b) ? [] : [{ name, begun: a, asked: b }];
  const ofOptions = Object.keys(set.table).flatMap((name) => {
    const [a, b] = [optionOf(begun.options, name), optionOf(asked.options, name)];
    const isSame = name === 'structure' ? isSameFile(a, b) : set.table[name].isPath === true && isSamePath(a, b);
    return mayDiffer.has(name) || isSame ? [] : differ(name, a, b);
  });
  const sizes = new Set([...Object.keys(begun.sizes), ...Object.keys(asked.sizes)]);
  const ofSizes = [...sizes].flatMap((name) => differ(`-s ${name}`, begun.sizes[name], asked.sizes[name]));
  return [...ofOptions, ...ofSizes];
}

export function differencesText(differences: readonly OptionDifference[]): string {
  return differences
    .map(({ name, begun, asked }) => `${name} is ${showValue(begun)} there and ${showValue(asked)} here`)
    .join('; ');
}

/** A structure's text counts, not where it lies: a run has a copy of its own. */
function isSameFile(a: unknown, b: unknown): boolean {
  if (typeof a !== 'string' || typeof b !== 'string') return false;
  return a === b || isSameStructure(readStructure(a), readStructure(b));
}

/** A run's config has a path whole, so that it is the same from anywhere. */
function isSamePath(a: unknown, b: unknown): boolean {
  return typeof a === 'string' && typeof b === 'string' && resolve(a) === resolve(b);
}

/** A folder or a file whole, as a config has it; null where there is none any more. */
function placeOf(options: object, name: string): string | null {
  const value = optionOf(options, name);
  return typeof value === 'string' ? resolve(value) : null;
}

function optionOf(options: object, name: string): unknown {
  return (options as Readonly<Record<string, unknown>>)[name];
}
