/**
 * `mlbtc export RUN --to reference|safetensors|npz`: a trained model's parameters for other programs. `mlbtc export FILE.mlbtc --to
 * pytorch`: a structure for them.
 */
import { join } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../../compiler/command-line/errors.ts';
import { outputPlace, refuseOverwriting } from '../../compiler/command-line/output-place.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { setupOfRun } from '../exchange/model-setup.ts';
import { type ExportFormat, exportFormats, exportNames, writeParameters } from '../exchange/parameter-files.ts';
import { trainedParameters } from '../exchange/run.ts';
import { chosenCheckpoint } from '../runs/lm-run.ts';

interface ExportOptions {
  readonly to: ExportFormat;
  readonly out?: string;
  readonly checkpoint: string;
}

const help = `
What --to can be:
  reference     the parameters under the names and in the layouts of the paper's code, as safetensors; with the model's config in
                the file's metadata. docs/load_in_pytorch.py loads it
  safetensors   the same numbers under their own names
  npz           these for NumPy: np.load(FILE)["body.block.0.values"]

Examples:
  mlbtc export runs/icl-tiny --to reference
  mlbtc export runs/lm-tiny --to npz --out lm.npz
`;

export function registerExport(program: Command): void {
  program
    .command('export')
    .summary('a trained model for other programs')
    .description('write the parameters of a run for other programs')
    .argument('<run>', 'folder of a run')
    .requiredOption('--to <format>', `what to write: ${exportFormats.join(', ')}`, readFormat)
    .option('--out <file>', 'where to write (default: a file in the folder of the run)')
    .option('--checkpoint <which>', 'best, last, or a file', 'best')
    .addHelpText('after', help)
    .action((path: string, options: ExportOptions) => exportRun(path, options));
}

function readFormat(word: string): ExportFormat {
  const found = exportFormats.find((format) => format === word);
  if (found !== undefined) return found;
  const near = closest(word, exportFormats);
  throw new UsageError(
    `--to ${word}: ${near === undefined ? `it is one of ${exportFormats.join(', ')}` : `did you mean ${near}?`}`,
  );
}

function exportRun(path: string, { to: format, out, checkpoint: which }: ExportOptions): void {
  if (out === '') throw new UsageError('--out "" names no file');
  const setup = setupOfRun(path);
  const checkpoint = chosenCheckpoint(setup.folder, which);
  const file = out ?? join(path, exportNames[format]);
  refuseOverwriting(file, [checkpoint, setup.folder.configPath, setup.folder.recordPath, setup.folder.metricsPath]);
  const parameters = trainedParameters(checkpoint, setup);
  const written = writeParameters(file, setup, parameters, format);
  const told = outputPlace(file).kind === 'file' ? process.stdout : process.stderr;
  told.write(`${written.size} parameters of ${checkpoint} in ${file}\n`);
}
