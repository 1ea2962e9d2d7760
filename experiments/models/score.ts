/**
 * The score of a model's attention: what fills the slot `Score` of the models, `Score(x[n, t, i]) -> A[n, h, t, u]`, a built-in one
 * or a file of the user's. Both go the same way, through the compiler: input and outputs by position, whatever their names; of the
 * sizes that a model gives (D, H, T, layer, layers, block_size) a score takes those that it declares.
 *
 * A second output of the input's shape is what the attention makes its values from; without it, the input itself.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../compiler/command-line/errors.ts';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { structurePath } from '../library.ts';
import { mixers, type SizeValue } from '../options/mixers.ts';
import { type ModelOptions, mixerSettings } from '../options/transformer.ts';
import { fileSource } from './resolve.ts';
import { readStructure, type StructureCopy } from './structure-copy.ts';

/** The slot's name in every model. */
export const scoreSlot = 'Score';

export interface Score extends StructureCopy {
  /** Sizes and consts beside those that the model gives. */
  readonly sizes: Readonly<Record<string, SizeValue>>;
}

/**
 * The score that the options name, with the sizes that they and `-s` give it. A built-in one of which a run has kept a copy is that
 * copy: `copies` is its folder. Throws where a file cannot be read.
 */
export function scoreOf(options: ModelOptions, sizes: Readonly<Record<string, SizeValue>>, copies?: string): Score {
  if (options.structure !== null) return { ...readStructure(options.structure), sizes };
  const mixer = mixers[options.token_mixing_struct ?? ''];
  if (mixer === undefined) throw new UserError(`no score is called ${options.token_mixing_struct}`);
  const settings = mixerSettings(options);
  const name = mixer.file(settings);
  const copy = copies === undefined ? undefined : join(copies, `${name}.mlbtc`);
  const path = copy !== undefined && existsSync(copy) ? copy : structurePath(name);
  return { ...readStructure(path), sizes: { ...mixer.sizes(settings), ...sizes } };
}

/** The text of a file that a model with this score is made of. */
export function modelSource({ sources }: Score, file: string): Source | undefined {
  return sources.find((source) => source.file === file) ?? fileSource(file);
}
