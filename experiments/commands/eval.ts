/** `mlbtc eval RUN`: what a trained model is worth on data that it was not trained on. Which model it is, the run's folder says. */
import type { Command } from 'commander';
import { UsageError, UserError } from '../../compiler/command-line/errors.ts';
import type { TaskName } from '../options/set.ts';
import { existingRun } from '../runs/folder.ts';
import { readTask } from '../runs/provenance.ts';
import { iclEval } from './eval-icl.ts';
import type { EvalKind, EvalOptions } from './eval-kind.ts';
import { lmEval } from './eval-lm.ts';
import { seriesEval } from './eval-series.ts';
import { vitEval } from './eval-vit.ts';

const kinds: Readonly<Record<TaskName, EvalKind>> = { icl: iclEval, lm: lmEval, series: seriesEval, vit: vitEval };

const help = `
Examples:
  mlbtc eval runs/lm-tiny                             loss, perplexity, bits a character of the held-out text
  mlbtc eval runs/icl-tiny --setting standard,skewed  the error under these settings, and a picture of it
  mlbtc eval runs/series-tiny --split val --json      of another part, as data
`;

export function registerEval(program: Command): void {
  program
    .command('eval')
    .description('what a trained model is worth on data that it was not trained on')
    .argument('<run>', 'folder of a run of `mlbtc train`')
    .option(
      '--split <name>',
      'lm: val, the held-out part, or train (default: val); series and vit: test, val or train (default: test)',
    )
    .option('--setting <names>', 'icl: settings joined by commas, such as standard,noisyLR (default: all)')
    .option('--checkpoint <which>', 'best, last, or a file (default: best)')
    .option(
      '--data <path>',
      'lm: another text, of the same tokenizer; series: another table with the same columns; vit: other images',
    )
    .option(
      '--eval_iters <n>',
      'batches to evaluate (default: lm as the run has them, series and vit all, icl 1280 prompts)',
    )
    .option('--json', 'one JSON object')
    .option('--device <name>', 'adapter to use, as `mlbtc doctor` names it')
    .addHelpText('after', help)
    .action((path: string, options: EvalOptions) => evaluateRun(path, options));
}

async function evaluateRun(path: string, { debug: _, ...options }: EvalOptions & { debug?: boolean }): Promise<void> {
  const { recordPath } = existingRun(path, 'mlbtc train');
  const task = readTask(recordPath);
  if (task === undefined) {
    const known = Object.keys(kinds).map((name) => `\`mlbtc train ${name}\``);
    throw new UserError(`${path} cannot be evaluated: ${recordPath} does not say that ${known.join(' or ')} made it`);
  }
  const kind = kinds[task];
  for (const name of Object.keys(options) as (keyof EvalOptions)[]) {
    if (!kind.takes.includes(name)) {
      throw new UsageError(`--${name} means nothing for ${path}, a run of \`mlbtc train ${task}\``);
    }
  }
  await kind.evaluate(path, options);
}
