/**
 * The score of a model's attention: what fills the slot `Score` of the models, `Score(x[n, t, i]) -> A[n, h, t, u]`, a built-in one
 * or a file of the user's. Both go the same way, through the compiler: input and outputs by position, whatever their names; of the
 * sizes that a model gives (D, H, T, layer, layers, block_size) a score takes those that it declares.
 *
 * A second output of the input's shape is what the attention makes its values from; without it, the input itself.
 */
import { UserError } from '../../compiler/command-line/errors.ts';
import { openSource } from '../../compiler/command-line/source.ts';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { structurePath } from '../library.ts';
import { mixers, type SizeValue } from '../options/mixers.ts';
import { type ModelOptions, mixerSettings } from '../options/transformer.ts';
import { readSource } from './resolve.ts';

/** The slot's name in every model. */
export const scoreSlot = 'Score';

export interface Score {
  readonly source: Source;
  /** Sizes and consts beside those that the model gives. */
  readonly sizes: Readonly<Record<string, SizeValue>>;
}

/** The score that the options name, with the sizes that they and `-s` give it. Throws where a file cannot be read. */
export function scoreOf(options: ModelOptions, sizes: Readonly<Record<string, SizeValue>>): Score {
  if (options.structure !== null) return { source: openSource(options.structure).source, sizes };
  const mixer = mixers[options.token_mixing_struct ?? ''];
  if (mixer === undefined) throw new UserError(`no score is called ${options.token_mixing_struct}`);
  const settings = mixerSettings(options);
  return { source: readSource(structurePath(mixer.file(settings))), sizes: { ...mixer.sizes(settings), ...sizes } };
}
