#!/usr/bin/env node
/**
 * The `mlbtc` command: training and everything around it. Registers the commands of this folder and those of the runtime;
 * what each does is in its own file.
 */
import { Command } from 'commander';
import { runCommand } from '../compiler/command-line/errors.ts';
import { knownWords } from '../compiler/command-line/unknown-words.ts';
import { packageVersion } from '../compiler/command-line/version.ts';
import { registerDoctor } from '../runtime/doctor.ts';
import { registerRun } from '../runtime/run.ts';
import { registerData } from './commands/data.ts';
import { registerEval } from './commands/eval.ts';
import { registerExport } from './commands/export.ts';
import { registerImport } from './commands/import.ts';
import { registerPlot } from './commands/plot.ts';
import { registerResume } from './commands/resume.ts';
import { registerRuns } from './commands/runs.ts';
import { registerSample } from './commands/sample.ts';
import { registerSchema } from './commands/schema.ts';
import { registerTrain } from './commands/train.ts';
import { registerVerify } from './commands/verify.ts';

const epilog = `
Start here
  mlbtc doctor                          which device will be used, and what is missing
  mlbtc train icl --preset tiny         a training run of two minutes, on any machine
  mlbtc train lm --preset tiny          a small language model, minutes on any machine
  mlbtc train icl --help                every option; also lm, series and vit
  mlbtc resume runs/icl-tiny            go on with a run that was interrupted or killed
  mlbtc runs                            what has been trained, and how well
  mlbtc data prepare FILES --out DIR    tokens of a text of your own, for mlbtc train lm --data DIR
  mlbtcc explain FILE.mlbtc -s D=256    what a structure costs (the compiler's own command)

Exit status: 0 done, 1 the input is wrong, 2 the command line is wrong, 3 this machine cannot do it, 4 training diverged,
130 interrupted. With --debug an error shows its stack.
Training writes a checkpoint and ends at Ctrl-C, SIGTERM, SIGHUP; it writes one and goes on at SIGUSR1, SIGUSR2.
`;

export function makeProgram(): Command {
  const program = new Command('mlbtc')
    .description('Structured attention scores and matrices from tensor equations, trained on the GPU.')
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .version(packageVersion(), '--version', 'print the version')
    .option('--debug', 'show stack traces')
    .exitOverride()
    .addHelpText('after', epilog);
  registerTrain(program);
  registerResume(program);
  registerData(program);
  registerVerify(program);
  registerEval(program);
  registerSample(program);
  registerPlot(program);
  registerExport(program);
  registerImport(program);
  registerRuns(program);
  registerSchema(program);
  registerRun(program);
  registerDoctor(program);
  for (const command of program.commands.flatMap((c) => [c, ...c.commands])) {
    command.exitOverride();
    if (command.commands.length === 0) command.option('--debug', 'show stack traces');
  }
  return program;
}

await runCommand(async (argv) => {
  const program = makeProgram();
  await program.parseAsync([...knownWords(program, argv.slice(2))], { from: 'user' });
});
