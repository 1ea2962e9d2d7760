/** What a run of a language model says of its text, so that the model can be used without it; and the run read back. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../../compiler/command-line/errors.ts';
import { bigramEntropy } from '../data/bigrams.ts';
import type { TokenData, TokenSplit } from '../data/token-data.ts';
import { type Score, scoreOf } from '../models/score.ts';
import { type LmOptions, resolveLm } from '../options/lm.ts';
import type { SizeValue } from '../options/mixers.ts';
import { bestCheckpointPath, checkpointPath, checkpointSteps } from './checkpoint.ts';
import { existingRun, type RunFolder } from './folder.ts';

const partSchema = z.object({ tokens: z.number(), sha256: z.string().optional() });

const dataSchema = z.object({
  name: z.string(),
  tokenizer: z.enum(['chars96', 'bytes', 'gpt2']),
  vocabulary: z.number(),
  /** Of the held-out part, nats a token: what its plots hold the loss against. */
  bigramEntropy: z.number(),
  /** By which a run that goes on knows its text again. */
  train: partSchema.optional(),
  val: partSchema.optional(),
});
export type RunData = z.infer<typeof dataSchema>;
const recordSchema = z.object({ data: dataSchema });

export function dataRecord({ name, tokenizer, vocabulary, train, val }: TokenData): RunData {
  const part = ({ length: tokens, sha256 }: TokenSplit) => ({ tokens, ...(sha256 !== undefined && { sha256 }) });
  const facts = { name, tokenizer, vocabulary, bigramEntropy: bigramEntropy(val), train: part(train), val: part(val) };
  return dataSchema.parse(facts);
}

/** What a run's folder says of a language model beside its score. */
export interface LmSetting {
  readonly folder: RunFolder;
  readonly options: LmOptions;
  readonly sizes: Readonly<Record<string, SizeValue>>;
  readonly data: RunData;
}

export interface LmRun extends LmSetting {
  readonly score: Score;
}

/** Throws UserError where the folder is no run of a language model, or not a whole one. */
export function readLmRun(path: string): LmRun {
  const setting = readLmSetting(path);
  const { folder, options, sizes } = setting;
  return { ...setting, score: scoreOf(options, sizes, folder.structurePath) };
}

/** The same without the score. */
export function readLmSetting(path: string): LmSetting {
  const folder = existingRun(path, 'mlbtc train lm');
  const data = readRecord(folder);
  const { options, sizes } = resolveLm(['--config', folder.configPath]);
  return { folder, options, sizes, data };
}

function readRecord({ path, recordPath }: RunFolder): RunData {
  const text = existsSync(recordPath) ? readFileSync(recordPath, 'utf8') : '{}';
  try {
    return recordSchema.parse(JSON.parse(text)).data;
  } catch {
    throw new UserError(`${path} is no run of a language model: ${recordPath} does not say which text it read`);
  }
}

/** `best`, `last`, or a file. Throws UserError where it is not there. */
export function chosenCheckpoint({ checkpointsPath, path }: RunFolder, which: string): string {
  const steps = existsSync(checkpointsPath) ? checkpointSteps(checkpointsPath) : [];
  const best = bestCheckpointPath(checkpointsPath);
  const last = steps.at(-1);
  if (which === 'best' && existsSync(best)) return best;
  if (which === 'best' || which === 'last') {
    if (last !== undefined) return checkpointPath(checkpointsPath, last);
    throw new UserError(`${path} has no checkpoint yet`);
  }
  if (existsSync(which)) return which;
  const known = [
    ...(existsSync(best) ? ['best'] : []),
    'last',
    ...steps.map((step) => checkpointPath(checkpointsPath, step)),
  ];
  throw new UserError(`there is no checkpoint ${which}; ${path} has ${known.join(', ')}`);
}
