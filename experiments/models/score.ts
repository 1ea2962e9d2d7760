/**
 * The score of a model's attention: what fills the slot `Score` of the models, `Score(x[n, t, i]) -> A[n, h, t, u]`, a built-in one
 * or a file of the user's. Both go the same way, through the compiler: input and outputs by position, whatever their names; of the
 * sizes that a model gives (D, H, T, layer, layers, block_size, causal) a score takes those that it declares.
 *
 * A second output of the input's shape is what the attention makes its values from; without it, the input itself.
 */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UsageError, UserError } from '../../compiler/command-line/errors.ts';
import { libraryNames } from '../../compiler/command-line/files.ts';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { parse } from '../../compiler/syntax/parser.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { structurePath } from '../library.ts';
import { filledSlots, isFile } from '../options/maps.ts';
import { mixers, type SizeValue } from '../options/mixers.ts';
import { type ModelOptions, mixerSettings } from '../options/transformer.ts';
import { fileSource } from './resolve.ts';
import { readStructure, readStructures, type StructureCopy } from './structure-copy.ts';

/** The slot's name in every model. */
export const scoreSlot = 'Score';

export interface Score extends StructureCopy {
  /** Whether its files are the library's, as the library has them, and its sizes those that the options give. */
  readonly isLibrarys: boolean;
  /** Sizes and consts beside those that the model gives. */
  readonly sizes: Readonly<Record<string, SizeValue>>;
  /** What takes the place of the models' dense maps, by slot, and its sizes by slot and name. */
  readonly maps: { readonly slots: ReadonlyMap<string, Source>; readonly sizes: Readonly<Record<string, SizeValue>> };
}

/**
 * The score that the options name, with the sizes that they and `-s` give it, and the structures that go with it. A built-in one of
 * which a run has kept a copy is that copy: `copies` is its folder. Throws where a file cannot be read, and UsageError for a size that
 * is the model's and said otherwise.
 */
export function scoreOf(options: ModelOptions, sizes: Readonly<Record<string, SizeValue>>, copies?: string): Score {
  const mixer = mixers[options.token_mixing_struct ?? ''];
  if (options.structure === null && mixer === undefined) {
    throw new UserError(`no score is called ${options.token_mixing_struct}`);
  }
  const settings = mixerSettings(options);
  const main = options.structure ?? libraryPath(mixer.file(settings), copies);
  const slots = slotNames(readStructure(main).source);
  const filled = filledSlots(options.slot ?? [], sizes, (slot) => slots.has(slot));
  refuseModelSizes(filled.others, options);
  const fillers = new Map(
    [...filled.files].map(([slot, file]) => [slot, isFile(file) ? file : libraryPath(file, copies)]),
  );
  const read = readStructures(main, [...new Set(fillers.values())]);
  const sourceAt = (path: string) => read.sources.find(({ file }) => file === path) as Source;
  const own = options.structure === null ? mixer.sizes(settings) : {};
  const isGiven = Object.keys(filled.others).length > 0;
  return {
    ...read,
    isLibrarys: !isGiven && [main, ...fillers.values()].every(isLibraryPath),
    sizes: { ...own, ...filled.others },
    maps: { slots: new Map([...fillers].map(([slot, path]) => [slot, sourceAt(path)])), sizes: filled.sizes },
  };
}

/** Sizes that say what the model is: `-s` cannot say otherwise for the score alone. */
const modelSizes = { D: 'd_model', H: 'n_head', layers: 'n_layer' } as const;

function refuseModelSizes(given: Readonly<Record<string, SizeValue>>, options: ModelOptions): void {
  for (const [size, option] of Object.entries(modelSizes)) {
    if (given[size] === undefined || given[size] === options[option]) continue;
    throw new UsageError(
      `-s ${size}=${given[size]}: ${size} is the model's, which --${option} ${options[option]} says`,
    );
  }
}

function isLibraryPath(path: string): boolean {
  return path === structurePath(basename(path, '.mlbtc'));
}

/** A library file, or a run's copy of it. Throws UserError where there is none. */
function libraryPath(name: string, copies: string | undefined): string {
  const copy = copies === undefined ? undefined : join(copies, `${name}.mlbtc`);
  if (copy !== undefined && existsSync(copy)) return copy;
  const path = structurePath(name);
  if (existsSync(path)) return path;
  const near = closest(name, libraryNames());
  throw new UserError(
    `the library has no ${name}; ${near === undefined ? `for a file of yours write ./${name}.mlbtc` : `did you mean ${near}?`}`,
  );
}

/** Slots of a file's main structure, in lower case. */
function slotNames(source: Source): ReadonlySet<string> {
  const items = parse(source).file.structures.at(-1)?.items ?? [];
  return new Set(items.flatMap((item) => (item.kind === 'slot' ? [item.name.text.toLowerCase()] : [])));
}

/** The text of a file that a model with this score is made of. */
export function modelSource({ sources }: Score, file: string): Source | undefined {
  return sources.find((source) => source.file === file) ?? fileSource(file);
}
