/** `mlbtc eval RUN`: the loss of a trained language model on a part of its text, or of another. */
import type { Command } from 'commander';
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

interface EvalOptions {
  readonly split: string;
  readonly checkpoint: string;
  readonly data?: string;
  readonly evalIters?: string;
  readonly json?: boolean;
  readonly device?: string;
}

export function registerEval(program: Command): void {
  program
    .command('eval')
    .description('the loss of a trained language model on its text')
    .argument('<run>', 'folder of a run of `mlbtc train lm`')
    .option('--split <name>', 'val, the held-out part, or train', 'val')
    .option('--checkpoint <which>', 'best, last, or a file', 'best')
    .option('--data <folder>', 'another text, of the same tokenizer')
    .option('--eval-iters <n>', 'batches to evaluate (default: as the run has them)')
    .option('--json', 'one JSON object')
    .option('--device <name>', 'adapter to use, as `mlbtc doctor` names it')
    .action((path: string, options: EvalOptions) => evaluateRun(path, options));
}

async function evaluateRun(path: string, given: EvalOptions): Promise<void> {
  if (given.split !== 'val' && given.split !== 'train') throw new UsageError(`--split ${given.split}: val or train`);
  const run = readLmRun(path);
  const iterations = given.evalIters === undefined ? run.options.eval_iters : Number(given.evalIters);
  if (!Number.isInteger(iterations) || iterations < 1) {
    throw new UsageError(`--eval-iters ${given.evalIters}: a whole number from 1 on`);
  }
  const data = dataOf(run, given.data);
  const checkpoint = chosenCheckpoint(run.folder, given.checkpoint);
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
    const split: SplitName = given.split;
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
