/** A trained language model from its run's folder: params of a checkpoint, a decoder, text. */
import { UserError } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import type { TokenData } from '../data/token-data.ts';
import { type TokenDecoder, tokenizerNamed } from '../data/tokenizers.ts';
import type { Score } from '../models/score.ts';
import type { LmOptions } from '../options/lm.ts';
import { readCheckpoint } from '../runs/checkpoint.ts';
import type { RunFolder } from '../runs/folder.ts';
import { chosenCheckpoint } from '../runs/lm-run.ts';
import { lmProgram } from '../training/lm-task.ts';
import { cachedDecoder, type DecodedModel, type Decoder, plainDecoder } from './decoder.ts';
import { type SamplingOptions, sample } from './sampler.ts';

/** The model that reads a text alone, as `decoder.ts` takes it. */
export function decodedModel(options: LmOptions, score: Score, vocabulary: number): DecodedModel {
  const program = lmProgram(options, score, { batch: 1, length: options.block_size }, vocabulary);
  return { program, tokens: 'tokens', logits: 'logits' };
}

/** A checkpoint's params by name. Throws UserError where it is not of this model. */
export function checkpointParams(path: string, program: Program): ReadonlyMap<string, { readonly data: Float32Array }> {
  const { tensors } = readCheckpoint(path);
  const params = new Map<string, { readonly data: Float32Array }>();
  for (const { name, shape, source } of program.tensors) {
    if (source.kind !== 'param') continue;
    const stored = tensors.get(`param.${name}`);
    if (stored === undefined || !(stored.data instanceof Float32Array)) {
      throw new UserError(`${path}: no tensor param.${name}; is it a checkpoint of another model?`);
    }
    if (stored.shape.join() !== shape.join()) {
      throw new UserError(
        `${path}: param.${name} has shape (${stored.shape.join(', ')}), the model wants (${shape.join(', ')})`,
      );
    }
    params.set(name, { data: stored.data });
  }
  return params;
}

export async function decoderOf(
  opened: OpenedDevice,
  model: DecodedModel,
  checkpoint: string,
  cache: boolean,
): Promise<Decoder> {
  const params = checkpointParams(checkpoint, model.program);
  return cache ? cachedDecoder(opened, model, params) : plainDecoder(opened, model, params);
}

/** Characters as they become whole. */
export async function* textOf(tokens: AsyncGenerator<number>, decoder: TokenDecoder): AsyncGenerator<string> {
  for await (const token of tokens) {
    const text = decoder.push(token);
    if (text !== '') yield text;
  }
  const rest = decoder.end();
  if (rest !== '') yield rest;
}

/** Of the held-out text, what a run's sample begins after. */
const promptTokens = 64;
const runSample: Omit<SamplingOptions, 'tokens' | 'seed'> = { temperature: 0.8, topK: 40 };

/** What a run ends with: how its best model goes on with the held-out text. */
export async function sampleRun({
  options,
  score,
  data,
  opened,
  folder,
}: {
  readonly options: LmOptions;
  readonly score: Score;
  readonly data: TokenData;
  readonly opened: OpenedDevice;
  readonly folder: RunFolder;
}): Promise<{ readonly prompt: string; readonly text: string }> {
  const tokenizer = await tokenizerNamed(data.tokenizer);
  const model = decodedModel(options, score, data.vocabulary);
  const decoder = await decoderOf(opened, model, chosenCheckpoint(folder, 'best'), true);
  try {
    const prompt = data.val.read(0, Math.min(promptTokens, options.block_size, data.val.length));
    const drawn = sample(decoder, prompt, { ...runSample, tokens: options.sample_tokens, seed: options.seed });
    let text = '';
    for await (const piece of textOf(drawn, tokenizer.decoder())) text += piece;
    const shown = tokenizer.decoder();
    return { prompt: Array.from(prompt, shown.push).join('') + shown.end(), text };
  } finally {
    decoder.destroy();
  }
}
