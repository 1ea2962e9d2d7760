/** `mlbtcc explain`: what a structure costs before anything is run. */
import type { Command } from 'commander';
import type { CommandIo } from '../command-line/io.ts';
import { type SizeBindings, sizeOption } from '../command-line/size-options.ts';
import { type SlotBindings, slotOption } from '../command-line/slot-options.ts';
import { compileFile, openSource } from '../command-line/source.ts';
import { jsonText } from '../emit/json.ts';
import { explainReport } from './explain-report.ts';
import { explainText } from './explain-text.ts';
import { readTarget } from './target-file.ts';
import { unboundTokens } from './unbound-tokens.ts';

const help = `
Examples:
  mlbtcc explain btt.mlbtc -s D=4096             655,360 multiply-adds a row, a dense matrix takes 16,777,216
  mlbtcc explain mlr.mlbtc -s D=1024 -s ranks=[8,8,8,8]
  mlbtcc explain btt.mlbtc -s D=256 --grad       forward and backward
  mlbtcc explain btt.mlbtc -s D=256 --json       the same as data, for a script

What is counted:
  multiply-adds  one for each product of values at each point that a kernel visits, however many its factors, whether it is summed,
                 added or stored; constants, divisions and functions are none. What a where keeps out is not visited.
  dense product  of a matrix: vectors · rows · columns; of scores: B · H · (T · D² + T² · D). Nothing else has one. With --grad,
                 three times as much.
  written order  the same joined from left to right as it is written, on whole boxes.
  rank bound     of the matrix, or of what a softmax takes, for one sequence and head, before its mask and for all values of the
                 params; "unknown" where there is none.
  never stored   what is larger than its readers and cheap to make again, as scores are, a GPU makes a tile at a time in each kernel
                 that reads it (family stream); --target cpu, and devices that bind few buffers, store more.
  cache          what decoding keeps of a token in one layer: all that is read at another token than the one that asks.

A size that nothing binds counts as 1 and the report says so: what is left out, as a batch, is one row of it.`;

interface Options {
  readonly structure?: string;
  readonly size?: SizeBindings;
  readonly slot?: SlotBindings;
  readonly grad?: boolean;
  readonly json?: boolean;
  readonly target?: string;
}

export function registerExplain(program: Command, io: CommandIo): void {
  program
    .command('explain')
    .summary('say what a structure costs')
    .description(
      'Prints params, multiply-adds beside a dense product, rank bound, cache and memory, the order of contractions, the kernels and what they never store.',
    )
    .argument('<file>', 'the structure')
    .option('--structure <name>', 'one of the structures of the file (default: the last)')
    .addOption(sizeOption())
    .addOption(slotOption())
    .option('--grad', 'with the gradients of every input and param')
    .option('--json', 'as data')
    .option('--target <device>', 'cpu, gpu or a .json of a device (default: gpu, the limits that every WebGPU has)')
    .addHelpText('after', help)
    .action((file: string, { structure, size, slot, grad, json, target }: Options) => {
      const options = {
        sizes: size ?? {},
        unbound: 'one',
        ...(structure === undefined ? {} : { structure }),
      } as const;
      const opened = openSource(file, slot);
      const compiling = { ...options, gradients: grad ?? false, target: readTarget(target) };
      const compiled = compileFile(file, compiling, io, opened);
      const report = explainReport(compiled, unboundTokens({ ...options, ...opened }, compiled.interface));
      io.out(json ? jsonText(report) : explainText(report));
    });
}
