/** `mlbtc train lm`: language models. */

import { counted } from '../../compiler/command-line/amounts.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { peakFlopsPerSecond } from '../../runtime/device-peaks.ts';
import { chosenData, isUnprepared } from '../data/choose.ts';
import { splitOf, type TokenData } from '../data/token-data.ts';
import { checkLmCausal } from '../models/causal.ts';
import { type Score, scoreOf } from '../models/score.ts';
import { checkLm, lmOptions, lmResuming, type lmTable, type ResolvedLm, resolveLm } from '../options/lm.ts';
import { lmLevels, lmPlotFiles } from '../plots/lm-run.ts';
import { type RunFolder, scoreName } from '../runs/folder.ts';
import { dataRecord } from '../runs/lm-run.ts';
import { isLmTrain, type LmEvaluationRecord, type LmTrainRecord, readMetrics } from '../runs/metrics.ts';
import { sampleRun } from '../sampling/run.ts';
import { trainingFlopsPerToken } from '../training/flops.ts';
import { type CompiledLm, lmDryStep, lmProgram, lmSteps, lmTask } from '../training/lm-task.ts';
import { short } from '../training/progress.ts';
import type { Phase } from '../training/task.ts';
import type { TrainingKind } from './training-kind.ts';

export const lmKind: TrainingKind<typeof lmTable, ResolvedLm, Phase, CompiledLm, LmTrainRecord, LmEvaluationRecord> = {
  set: lmOptions,
  resuming: lmResuming,
  about: 'a language model',
  resolve: (words) => {
    const resolved = resolveLm(words);
    checkLm(resolved.options);
    return resolved;
  },
  begin: (resolved) => {
    const { options, sizes, copies } = resolved;
    const score = scoreOf(options, sizes, copies);
    const data = chosenData(options);
    const model = lmProgram(options, score, { batch: 1, length: options.block_size }, data.vocabulary);
    const flopsPerToken = trainingFlopsPerToken(model, 'loss', options.block_size);
    const record = dataRecord(data);
    const levels = lmLevels(options, record);
    return {
      score,
      record: { data: record },
      notes: [checkLmCausal(options, score, model)],
      steps: lmSteps(options),
      lastRecord: 'evaluation',
      title: titleOf(resolved, data),
      task: (opened) => lmTask({ resolved, score, data, opened, flopsPerToken, levels }),
      summary: async (evaluation, opened, folder) => [
        lossLine(evaluation, levels.bigrams),
        ...speedLines(folder, opened),
        ...(await sampleLines(resolved, score, data, opened, folder)),
      ],
      files: lmPlotFiles,
    };
  },
  dryStep: ({ options, sizes, copies }) => {
    const score = scoreOf(options, sizes, copies);
    const text = dryText(options);
    const model = lmProgram(options, score, { batch: 1, length: options.block_size }, text.vocabulary);
    return { note: checkLmCausal(options, score, model), step: lmDryStep(options, score, text) };
  },
};

/** The chosen data, or where they are not prepared yet a text of the vocabulary that is asked for: a step can be told without. */
function dryText(options: ResolvedLm['options']): Pick<TokenData, 'vocabulary' | 'train'> {
  const { vocab_size: vocabulary, block_size: length } = options;
  if (vocabulary === null || !isUnprepared(options)) return chosenData(options);
  const tokens = vocabulary > 256 ? new Uint16Array(length + 1) : new Uint8Array(length + 1);
  return { vocabulary, train: splitOf(tokens, undefined) };
}

function titleOf(resolved: ResolvedLm, data: TokenData): string {
  const { d_model, n_layer, n_head, block_size, max_iters, eval_only } = resolved.options;
  return (
    `training on ${data.name} (${data.train.length} tokens of ${data.tokenizer}): ${scoreName(resolved)} scores, d_model ${d_model}, ` +
    `${counted(n_layer, 'layer')}, ${counted(n_head, 'head')}, ${block_size} tokens, ${eval_only ? 'evaluated as it starts' : counted(max_iters, 'step')}`
  );
}

/** What a run is judged by, beside what counting pairs of tokens gives. */
export function lossLine(
  { loss, trainLoss, perplexity, bitsPerCharacter }: LmEvaluationRecord,
  bigrams: number,
): string {
  const bits = bitsPerCharacter === null ? '' : `, ${short(bitsPerCharacter)} bits a character`;
  return (
    `held-out text: loss ${short(loss)} nats a token (its bigram entropy ${short(bigrams)}), ` +
    `perplexity ${short(perplexity)}${bits}; training text: loss ${short(trainLoss)}`
  );
}

function speedLines(folder: RunFolder, { name, adapterInfo }: OpenedDevice): readonly string[] {
  const last = readMetrics(folder.metricsPath).filter(isLmTrain).at(-1);
  if (last === undefined || last.flopsPerSecond === null) return [];
  const peak = peakFlopsPerSecond(`${name} ${adapterInfo.device}`);
  const share = peak === undefined ? 'unknown' : `${short((100 * last.flopsPerSecond) / peak)} %`;
  return [
    `speed: ${short(last.tokensPerSecond)} tokens/s, ${short(last.flopsPerSecond / 1e9)} GFLOP/s of the model; ` +
      `share of the device's f32 peak: ${share}`,
  ];
}

/** What the model writes after the beginning of the held-out text. */
async function sampleLines(
  { options }: ResolvedLm,
  score: Score,
  data: TokenData,
  opened: OpenedDevice,
  folder: RunFolder,
): Promise<readonly string[]> {
  if (options.sample_tokens === 0) return [];
  const { prompt, text } = await sampleRun({ options, score, data, opened, folder });
  return ['', 'a sample of what it writes, after', ...indented(prompt), 'it goes on', ...indented(text), ''];
}

function indented(text: string): readonly string[] {
  return text.split('\n').map((line) => `  ${line}`);
}
