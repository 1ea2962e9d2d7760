/** `mlbtc train icl|lm|series|vit OPTIONS`: options to a run folder with a trained model in it. */
import type { Command } from 'commander';
import { UsageError } from '../../compiler/command-line/errors.ts';
import { trainings } from './trainings.ts';

/** The option table reads the words after `icl` itself: commander would not take `_` for `-`, nor `--x=True` for a flag. */
export function registerTrain(program: Command): void {
  const command = program
    .command('train')
    .description(
      'train a model: `mlbtc train icl --preset tiny`, `mlbtc train lm --preset tiny`; `mlbtc train icl --help` tells all',
    )
    .action(() => {
      throw new UsageError('say what to train: mlbtc train icl, mlbtc train lm, mlbtc train series or mlbtc train vit');
    });
  for (const [name, { about, train }] of Object.entries(trainings)) {
    command
      .command(name)
      .description(about)
      .helpOption(false)
      .allowUnknownOption()
      .allowExcessArguments()
      .argument('[options...]')
      .action((words: string[]) => train(words));
  }
}
