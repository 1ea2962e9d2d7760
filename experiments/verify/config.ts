/** The options that a case's `config` gives, whichever model it is of. */
import { UserError } from '../../compiler/command-line/errors.ts';
import { sizesSchema } from '../options/layer-file.ts';
import type { SizeValue } from '../options/mixers.ts';
import { optionsFromRecord } from '../options/parse.ts';
import type { OptionSet } from '../options/set.ts';
import { choice, integer, type OptionValues } from '../options/table.ts';
import { scoreRows } from '../options/transformer.ts';

const positive = { min: 1 };

const configTable = {
  d_model: integer(16, 'width of the transformer', positive),
  n_head: integer(2, 'attention heads', positive),
  n_layer: integer(2, 'blocks', positive),
  n_dims: integer(4, 'dimensions of x', positive),
  block_size: integer(16, 'rows of the position table', positive),
  vocab_size: integer(96, 'different tokens', positive),
  patch_size: integer(2, 'pixels of a patch along each side', positive),
  pool: choice(['class', 'mean'], 'class', 'what the class of an image is read off'),
  ...scoreRows,
} as const;

export type ConfigOptions = OptionValues<typeof configTable>;

const configOptions: OptionSet<typeof configTable> = {
  name: 'icl',
  groups: {},
  table: configTable,
  alternatives: [],
  aliases: {},
  intro: [],
};

/** What the options do not know is left out. Throws UserError for a value that one does not admit. */
export function optionsOfConfig(config: Readonly<Record<string, unknown>>, id: string): ConfigOptions {
  const blockSize = config.block_size ?? 4 * Number(config.n_dims ?? configTable.n_dims.fallback);
  return optionsFromRecord(configOptions, { ...config, block_size: blockSize }, id);
}

/** Sizes of the score and of what fills slots, as a run's config has them. Throws UserError where they are none. */
export function sizesOfConfig(
  config: Readonly<Record<string, unknown>>,
  id: string,
): Readonly<Record<string, SizeValue>> {
  const result = sizesSchema.safeParse(config.sizes ?? {});
  if (result.success) return result.data;
  throw new UserError(`${id}: sizes: a map of names to numbers or lists is expected`);
}
