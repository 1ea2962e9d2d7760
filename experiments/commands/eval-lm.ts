/** `mlbtc eval RUN` of a language model: its loss on a part of its text, or of another. */
import { UsageError, UserError } from '../../compiler/command-line/errors.ts';
import { openDevice } from '../../runtime/device.ts';
import { bigramEntropy } from '../data/bigrams.ts';
import { chosenData } from '../data/choose.ts';
import type { SplitName, TokenData } from '../data/token-data.ts';
import { chosenCheckpoint, type LmRun, readLmRun } from '../runs/lm-run.ts';
import { checkpointParams } from '../sampling/run.ts';
import { givenWindows } from '../tasks/windows.ts';
import { packArena } from '../training/arena.ts';
import { deviceRunner } from '../training/device-runner.ts';
import { bitsPerCharacter, lmProgram, meanLoss } from '../training/lm-task.ts';
import { short } from '../training/progress.ts';
import { evaluationStep } from '../training/training-step.ts';
import { batchesOf, type EvalKind, type EvalOptions } from './eval-kind.ts';

const defaults = { split: 'val', checkpoint: 'best' } as const;

export const lmEval: EvalKind = {
  takes: ['split', 'checkpoint', 'data', 'eval_iters', 'json', 'device'],
  evaluate: evaluateRun,
};

async function evaluateRun(path: string, given: EvalOptions): Promise<void> {
  const { split, checkpoint: which } = { ...defaults, ...given };
  if (!isSplit(split)) throw new UsageError(`--split ${split}: val or train`);
  const run = readLmRun(path);
  const iterations = batchesOf(given) ?? run.options.eval_iters;
  const data = dataOf(run, given.data);
  const checkpoint = chosenCheckpoint(run.folder, which);
  const opened = await openDevice(given.device === undefined ? {} : { name: given.device });
  try {
    const options = { ...run.options, eval_iters: iterations };
    const shape = { batch: options.batch_size, length: options.block_size };
    const model = lmProgram(options, run.score, shape, run.data.vocabulary);
    const step = evaluationStep(model, givenWindows(shape), ['loss']);
    const params = checkpointParams(checkpoint, model);
    const runner = await deviceRunner(opened, step.program);
    runner.upload(
      'params',
      packArena(step.arena, ({ name }) => (params.get(name) as { readonly data: Float32Array }).data),
    );
    const loss = await meanLoss(runner, options, data[split]);
    runner.destroy();
    const result = {
      run: path,
      checkpoint,
      split,
      loss,
      perplexity: Math.exp(loss),
      bitsPerCharacter: bitsPerCharacter(loss, data[split]),
      bigramEntropy: bigramEntropy(data[split]),
      tokens: iterations * shape.batch * shape.length,
    };
    process.stdout.write(given.json === true ? `${JSON.stringify(result)}\n` : `${linesOf(result).join('\n')}\n`);
  } finally {
    opened.destroy();
  }
}

function isSplit(name: string): name is SplitName {
  return name === 'val' || name === 'train';
}

/** The run's own text, or another with the same tokens. */
function dataOf({ options, data: made, folder }: LmRun, other: string | undefined): TokenData {
  const data = chosenData(other === undefined ? options : { ...options, data: other, data_dir: null });
  if (data.tokenizer === made.tokenizer && data.vocabulary === made.vocabulary) return data;
  throw new UserError(
    `${data.name} holds ${data.vocabulary} tokens of ${data.tokenizer}, the model of ${folder.path} reads ${made.vocabulary} of ${made.tokenizer}`,
  );
}

function linesOf(result: {
  readonly checkpoint: string;
  readonly split: SplitName;
  readonly loss: number;
  readonly perplexity: number;
  readonly bitsPerCharacter: number | null;
  readonly bigramEntropy: number;
  readonly tokens: number;
}): readonly string[] {
  const { checkpoint, split, loss, perplexity, bitsPerCharacter: bits, bigramEntropy: bigrams, tokens } = result;
  return [
    `${split === 'val' ? 'held-out' : 'training'} text, ${tokens} tokens, ${checkpoint}`,
    `loss               ${loss.toFixed(4)} nats a token`,
    `perplexity         ${short(perplexity)}`,
    `bits a character   ${bits === null ? 'unknown' : short(bits)}`,
    `bigram entropy     ${bigrams.toFixed(4)} nats a token`,
  ];
}
