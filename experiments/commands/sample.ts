/** `mlbtc sample RUN`: text from a trained language model, as it is made. */
import type { Command } from 'commander';
import { bytesText } from '../../compiler/command-line/amounts.ts';
import { UsageError } from '../../compiler/command-line/errors.ts';
import { NotIncremental } from '../../compiler/passes/incremental/token-time.ts';
import { openDevice } from '../../runtime/device.ts';
import { encodeOrRefuse, type Tokenizer, tokenizerNamed } from '../data/tokenizers.ts';
import { chosenCheckpoint, type LmRun, readLmRun } from '../runs/lm-run.ts';
import { cacheReport } from '../sampling/cache-report.ts';
import type { DecodedModel } from '../sampling/decoder.ts';
import { decodedModel, decoderOf, textOf } from '../sampling/run.ts';
import { sample } from '../sampling/sampler.ts';

interface SampleOptions {
  readonly prompt?: string;
  readonly tokens: string;
  readonly temperature: string;
  readonly top_k: string;
  readonly seed: string;
  readonly cache: string;
  readonly report_cache?: boolean;
  readonly checkpoint: string;
  readonly device?: string;
}

const help = `
Examples:
  mlbtc sample runs/lm-tiny --prompt "The whale " --tokens 300
  mlbtc sample runs/lm-tiny --temperature 0 --tokens 100  what is most likely, the same every time
  mlbtc sample runs/lm-tiny --tokens 0 --report_cache     only what it keeps of each token
`;

export function registerSample(program: Command): void {
  program
    .command('sample')
    .description('text from a trained language model')
    .argument('<run>', 'folder of a run of `mlbtc train lm`')
    .option('--prompt <text>', 'what the text begins with (default: a new text)')
    .option('--tokens <n>', 'tokens to write', '500')
    .option('--temperature <x>', 'below 1 keeps to what is likely, 0 takes the most likely', '0.8')
    .option('--top_k <k>', 'draw among the k most likely tokens, 0 for all', '40')
    .option('--seed <n>', 'of the draws', '1')
    .option(
      '--cache <flag>',
      'True keeps what later tokens read of earlier ones, False reads the whole text for every token',
      'True',
    )
    .option('--report_cache', 'what is kept for each token, beside standard attention')
    .option('--checkpoint <which>', 'best, last, or a file', 'best')
    .option('--device <name>', 'adapter to use, as `mlbtc doctor` names it')
    .addHelpText('after', help)
    .action((path: string, options: SampleOptions) => sampleFrom(path, options));
}

async function sampleFrom(path: string, given: SampleOptions): Promise<void> {
  const numbers = readNumbers(given);
  const run = readLmRun(path);
  const tokenizer = await tokenizerNamed(run.data.tokenizer);
  const prompt = promptOf(given.prompt, tokenizer);
  const model = decodedModel(run.options, run.score, run.data.vocabulary);
  if (given.report_cache === true) {
    process.stdout.write(`${reportOf(run, model).join('\n')}\n`);
    if (numbers.tokens === 0) return;
  }
  const checkpoint = chosenCheckpoint(run.folder, given.checkpoint);
  const opened = await openDevice(given.device === undefined ? {} : { name: given.device });
  try {
    const decoder = await decoderOf(opened, model, checkpoint, readFlag(given.cache)).catch((error) => {
      if (!(error instanceof NotIncremental)) throw error;
      throw new UsageError(`--cache=True: ${error.message}; --cache=False reads the whole text for every token`);
    });
    if (given.prompt !== undefined) process.stdout.write(given.prompt);
    for await (const piece of textOf(sample(decoder, prompt, numbers), tokenizer.decoder()))
      process.stdout.write(piece);
    process.stdout.write('\n');
    decoder.destroy();
  } finally {
    opened.destroy();
  }
}

function readFlag(word: string): boolean {
  const lower = word.toLowerCase();
  if (['true', '1', 'yes'].includes(lower)) return true;
  if (['false', '0', 'no'].includes(lower)) return false;
  throw new UsageError(`--cache ${word}: True or False`);
}

/** As of a training's. */
const largestSeed = 2 ** 31 - 1;

function readNumbers({ tokens, temperature, top_k, seed }: SampleOptions) {
  const whole = (name: string, word: string): number => {
    if (!/^\d+$/.test(word)) throw new UsageError(`--${name} ${word}: a whole number from 0 on`);
    return Number(word);
  };
  const drawn = whole('seed', seed);
  if (drawn > largestSeed) throw new UsageError(`--seed ${seed}: must be at most ${largestSeed}`);
  const heat = Number(temperature);
  if (temperature.trim() === '' || !Number.isFinite(heat) || heat < 0) {
    throw new UsageError(`--temperature ${temperature}: a number from 0 on`);
  }
  const topK = whole('top_k', top_k);
  return {
    tokens: whole('tokens', tokens),
    temperature: heat,
    topK: topK === 0 ? null : topK,
    seed: drawn,
  };
}

function promptOf(prompt: string | undefined, tokenizer: Tokenizer): ArrayLike<number> {
  if (prompt === undefined || prompt === '') return [tokenizer.start];
  return encodeOrRefuse(tokenizer, prompt, '--prompt');
}

function reportOf({ options }: LmRun, model: DecodedModel): readonly string[] {
  const { kept, bytes, standardBytes, tokens } = cacheReport(model, options);
  const perToken = (total: number) => `${Math.round(total / tokens).toLocaleString('en')} bytes a token`;
  return [
    `kept of a text of ${tokens} tokens: ${bytesText(bytes)}, ${perToken(bytes)}`,
    `standard attention:        ${bytesText(standardBytes)}, ${perToken(standardBytes)}`,
    ...kept.map(
      ({ tensor, tokens: length, bytesPerToken }) => `  ${tensor}: ${length} tokens of ${bytesPerToken} bytes`,
    ),
  ];
}
