/**
 * `mlbtc export RUN --to reference|safetensors|npz`: a trained model's parameters for other programs. `mlbtc export FILE.mlbtc --to
 * pytorch`: a structure for them.
 */
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { UsageError } from '../../compiler/command-line/errors.ts';
import { outputPlace, refuseOverwriting } from '../../compiler/command-line/output-place.ts';
import { type SizeBindings, sizeOption } from '../../compiler/command-line/size-options.ts';
import { type SlotBindings, slotOption } from '../../compiler/command-line/slot-options.ts';
import { openSource } from '../../compiler/command-line/source.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { setupOfRun } from '../exchange/model-setup.ts';
import { type ExportFormat, exportFormats, exportNames, writeParameters } from '../exchange/parameter-files.ts';
import { trainedParameters } from '../exchange/run.ts';
import { structureModule } from '../exchange/structure-module.ts';
import { chosenCheckpoint } from '../runs/lm-run.ts';

interface ExportOptions {
  readonly to: ExportFormat | 'pytorch';
  readonly out?: string;
  readonly checkpoint?: string;
  readonly structure?: string;
  readonly size?: SizeBindings;
  readonly slot?: SlotBindings;
}

const formats = [...exportFormats, 'pytorch'] as const;

const help = `
Of a run, --to can be:
  reference     the parameters under the names and in the layouts of the paper's code, as safetensors; with the model's config in
                the file's metadata. docs/load_in_pytorch.py loads it
  safetensors   the same numbers under their own names
  npz           these for NumPy: np.load(FILE)["body.block.0.values"]
Of a .mlbtc file:
  pytorch       the structure as a plain torch.nn.Module, contracted in the same order. Its sizes are the numbers that they have
                here; those that are only carried along, as a batch, need no value and are read off the inputs

Examples:
  mlbtc export runs/icl-tiny --to reference
  mlbtc export runs/lm-tiny --to npz --out lm.npz
  mlbtc export btt.mlbtc --to pytorch -s D=256 --out btt.py
`;

export function registerExport(program: Command): void {
  program
    .command('export')
    .summary('a trained model, or a structure, for other programs')
    .description('write the parameters of a run, or a structure, for other programs')
    .argument('<run-or-file>', 'folder of a run, or a .mlbtc file')
    .requiredOption('--to <format>', `what to write: ${formats.join(', ')}`, readFormat)
    .option('--out <file>', 'where to write (default: in the folder of the run; FILE.py here)')
    .option('--checkpoint <which>', 'of a run: best, last, or a file (default: best)')
    .option('--structure <name>', 'of a file: one of its structures (default: the last)')
    .addOption(sizeOption())
    .addOption(slotOption())
    .addHelpText('after', help)
    .action((subject: string, options: ExportOptions) => {
      if (options.out === '') throw new UsageError('--out "" names no file');
      if (subject.endsWith('.mlbtc')) exportStructure(subject, options);
      else exportRun(subject, options);
    });
}

function readFormat(word: string): ExportFormat | 'pytorch' {
  const found = formats.find((format) => format === word);
  if (found !== undefined) return found;
  const near = closest(word, formats);
  throw new UsageError(
    `--to ${word}: ${near === undefined ? `it is one of ${formats.join(', ')}` : `did you mean ${near}?`}`,
  );
}

function exportRun(path: string, options: ExportOptions): void {
  const { to: format, out, checkpoint: which = 'best' } = options;
  if (format === 'pytorch') {
    throw new UsageError(
      `--to pytorch is of a .mlbtc file, and ${path} is called otherwise; of a run: ${exportFormats.map((name) => `--to ${name}`).join(', ')}`,
    );
  }
  refuseOptions(options, ['structure', 'size', 'slot'], 'a run, which has what it was trained with');
  const setup = setupOfRun(path);
  const checkpoint = chosenCheckpoint(setup.folder, which);
  const file = out ?? join(path, exportNames[format]);
  refuseOverwriting(file, [checkpoint, setup.folder.configPath, setup.folder.recordPath, setup.folder.metricsPath]);
  const parameters = trainedParameters(checkpoint, setup);
  const written = writeParameters(file, setup, parameters, format);
  tell(file, `${written.size} parameters of ${checkpoint} in ${file}\n`);
}

function exportStructure(path: string, options: ExportOptions): void {
  const { to: format, size = {}, slot, structure } = options;
  if (format !== 'pytorch') {
    throw new UsageError(`--to ${format} is of a run, and ${path} is a structure: --to pytorch writes its module`);
  }
  refuseOptions(options, ['checkpoint'], 'a structure, which has none');
  const file = options.out ?? `${basename(path, '.mlbtc')}.py`;
  const opened = openSource(path, slot);
  refuseOverwriting(file, [path, ...Object.values(opened.slots).map((source) => source.file)]);
  const { text, warnings } = structureModule(opened, {
    sizes: size,
    ...(structure === undefined ? {} : { structure }),
  });
  process.stderr.write(warnings);
  writeFileAtomically(file, [text]);
  tell(file, `${path} as a PyTorch module in ${file}\n`);
}

function refuseOptions(options: ExportOptions, names: readonly (keyof ExportOptions)[], of: string): void {
  const given = names.find((name) => options[name] !== undefined);
  if (given !== undefined) throw new UsageError(`--${given} means nothing for ${of}`);
}

/** Where the file itself goes to standard output, nothing else may. */
function tell(file: string, line: string): void {
  const told = outputPlace(file).kind === 'file' ? process.stdout : process.stderr;
  told.write(line);
}
