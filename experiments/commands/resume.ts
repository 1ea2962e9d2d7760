/** `mlbtc resume RUN`: goes on with a run that has stopped, whichever training it is of. */
import type { Command } from 'commander';
import { UsageError, UserError } from '../../compiler/command-line/errors.ts';
import { existingRun } from '../runs/folder.ts';
import { readTask } from '../runs/provenance.ts';
import { trainings } from './trainings.ts';

const help = `
The run goes on from its last whole checkpoint, bit for bit as if it had never stopped: what it wrote after that is cut and written
again. Everything is as it began; what may be given are --device, how often checkpoints are written, --data where the same data lie elsewhere
now, and --steps for a run that is to become longer, whose schedule goes on as it began. With --dry_run it says what a step of the run is.

Examples:
  mlbtc resume runs/icl-tiny
  mlbtc resume runs/icl-tiny --steps 2800
`;

/** As for training, the option table reads the words itself. */
export function registerResume(program: Command): void {
  program
    .command('resume')
    .summary('go on with a run that has stopped')
    .description('go on with a run that was interrupted or killed, or train a finished one for longer')
    .allowUnknownOption()
    .allowExcessArguments()
    .argument('<run>', 'folder of a run of `mlbtc train`')
    .argument('[options...]', 'as `mlbtc train` has them')
    .addHelpText('after', help)
    .action((path: string, words: string[]) => resume(path, words));
}

async function resume(path: string, words: readonly string[]): Promise<void> {
  if (path.startsWith('-')) throw new UsageError(`the run comes first: mlbtc resume RUN ${path} …`);
  const { recordPath } = existingRun(path, 'mlbtc train');
  const task = readTask(recordPath);
  if (task === undefined)
    throw new UserError(`${path} cannot go on: ${recordPath} does not say which training made it`);
  await trainings[task].resume(path, words);
}
