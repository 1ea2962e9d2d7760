/**
 * The command line of `mlbtcc`: the commands, their help, `--version`. Each command registers itself from a file of its own.
 *
 * The trap: commander ends the process itself unless it is told to throw; here it throws, and `runCommand` makes of it the exit
 * statuses of design.md §4.
 */
import { Command } from 'commander';
import type { CommandIo } from '../command-line/io.ts';
import { knownWords } from '../command-line/unknown-words.ts';
import { packageVersion } from '../command-line/version.ts';
import { registerBuild } from './build.ts';
import { registerCheck } from './check.ts';
import { registerExplain } from './explain.ts';
import { registerFmt } from './fmt.ts';

const examples = `
A file of ten lines is enough to begin with:

  structure LowRank {
    size D = 64, r = 4
    axis b: B, i, j: D, k: r
    input x[b, j]
    param L[i, k] ~ normal(fan_in = k)
    param R[j, k] ~ normal(fan_in = j)
    W[i, j] = L[i, k] * R[j, k]
    y[b, i] = W[i, j] * x[b, j]
    output y
  }

Then:
  mlbtcc check low_rank.mlbtc                        is it right?
  mlbtcc explain low_rank.mlbtc -s D=256             what does it cost, beside a dense matrix?
  mlbtcc build low_rank.mlbtc -s B=32 -o out         the kernels, as WGSL
  mlbtc run low_rank.mlbtc --in t.safetensors --out y.safetensors
                                                     the kernels on real tensors

Exit status: 0 done, 1 the input is wrong, 2 the command line is wrong.`;

/** Runs one command line (without node and script). Throws what `runCommand` turns into a message and an exit status. */
export async function runMlbtcc(args: readonly string[], io: CommandIo): Promise<void> {
  const program = new Command('mlbtcc')
    .description(
      'Compiles structured matrices and attention scores, written as tensor equations, to fused WGSL kernels.',
    )
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help; `mlbtcc COMMAND --help` has more, with examples')
    .helpCommand(false)
    .option('--debug', 'with an error, print the stack trace as well')
    .addHelpText('after', examples);
  registerCheck(program, io);
  registerBuild(program, io);
  registerExplain(program, io);
  registerFmt(program, io);
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .configureOutput({ writeOut: io.out, writeErr: io.err })
      .showHelpAfterError(
        `(${['mlbtcc', ...(command === program ? [] : [command.name()])].join(' ')} --help tells more)`,
      );
    if (command !== program) command.option('--debug', 'with an error, print the stack trace as well');
  }
  await program.parseAsync([...knownWords(program, args)], { from: 'user' });
}
