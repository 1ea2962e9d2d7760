/** The data that the options of a language model name. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../compiler/command-line/errors.ts';
import type { LmOptions } from '../options/lm.ts';
import { embeddedText } from './embedded.ts';
import { openTokenData } from './open.ts';
import type { TokenData } from './token-data.ts';

/** Throws UserError where there are none, where they are not whole, or do not fit the options. */
export function chosenData(
  options: Pick<LmOptions, 'data' | 'data_dir' | 'dataset' | 'vocab_size' | 'block_size'>,
): TokenData {
  const data = named(options);
  const { vocab_size: vocabulary, block_size: length } = options;
  if (vocabulary !== null && vocabulary < data.vocabulary) {
    throw new UserError(
      `--vocab_size ${vocabulary} is less than the ${data.vocabulary} different tokens of ${data.name}; leave it out, or give as many`,
    );
  }
  for (const split of ['train', 'val'] as const) {
    if (data[split].length > length) continue;
    throw new UserError(
      `the ${split === 'train' ? 'training' : 'held-out'} part of ${data.name} has ${data[split].length} tokens, ` +
        `and windows of --block_size ${length} want ${length + 1} or more`,
    );
  }
  return data;
}

/** Whether the options name a data set by its name alone that nobody has prepared yet. */
export function isUnprepared({ data, data_dir, dataset }: Pick<LmOptions, 'data' | 'data_dir' | 'dataset'>): boolean {
  return data === null && data_dir === null && dataset !== null && !existsSync(join('data', dataset));
}

function named({ data, data_dir, dataset }: Pick<LmOptions, 'data' | 'data_dir' | 'dataset'>): TokenData {
  const folder = data ?? data_dir;
  if (folder !== null) return openTokenData(folder);
  if (dataset === null) return embeddedText();
  const path = join('data', dataset);
  if (existsSync(path)) return openTokenData(path);
  throw new UserError(
    `there is no data set ${path}; make it with \`mlbtc data prepare FILES --out ${path} --tokenizer chars96\`, ` +
      'give --data FOLDER for another, or --dataset none for the text that comes with the package',
  );
}
