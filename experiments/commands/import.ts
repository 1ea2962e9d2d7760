/**
 * `mlbtc import icl|lm|series|vit FILE OPTIONS`: a run folder of parameters that another program trained, or that `mlbtc export` wrote. The options
 * are those of `mlbtc train`: they say which model it is.
 */
import type { Command } from 'commander';
import { UsageError } from '../../compiler/command-line/errors.ts';
import { setupOf } from '../exchange/model-setup.ts';
import { readParameters } from '../exchange/parameter-files.ts';
import { importedRun } from '../exchange/run.ts';
import { type TaskName, taskNames } from '../options/set.ts';

const help = `
FILE is safetensors or npz, under our names or the reference's. The options are those of \`mlbtc train\`, and must be of the model
that FILE holds. The run can then be evaluated, sampled from and exported.

Examples:
  mlbtc import lm weights.safetensors --preset train_struct_gpt2 --token_mixing_struct low_rank --out_dir runs/theirs
  mlbtc import icl runs/icl-tiny/model.npz --config runs/icl-tiny/config.yaml --out_dir runs/again
`;

/** As for training, the option table reads the words itself. */
export function registerImport(program: Command): void {
  const command = program
    .command('import')
    .summary('a run of parameters that were trained elsewhere')
    .description('make a run of a model whose parameters are in a file')
    .addHelpText('after', help)
    .action(() => {
      throw new UsageError(`say what it is a model of: ${taskNames.map((task) => `mlbtc import ${task}`).join(', ')}`);
    });
  for (const task of taskNames) {
    command
      .command(task)
      .description(`a model of \`mlbtc train ${task}\``)
      .allowUnknownOption()
      .allowExcessArguments()
      .argument('<file>', 'parameters')
      .argument('[options...]', `the model's, as \`mlbtc train ${task} --help\` has them`)
      .addHelpText('after', help)
      .action((file: string, words: string[]) => importModel(task, file, words));
  }
}

function importModel(task: TaskName, file: string, words: readonly string[]): void {
  if (file.startsWith('-')) throw new UsageError(`the file comes first: mlbtc import ${task} FILE ${file} …`);
  const setup = setupOf(task, words);
  const { path } = importedRun(setup, readParameters(file, setup), [file, ...words]);
  for (const note of setup.resolved.notes) process.stdout.write(`${note}\n`);
  process.stdout.write(`the run is in ${path}\n`);
}
