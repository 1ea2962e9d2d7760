/** `mlbtcc build`: the kernels of a structure as files. All of them are made before the first is written. */
import { type Command, Option } from 'commander';
import type { Target } from '../../kernels/target.ts';
import { checkPlan } from '../../runtime/plan-checks.ts';
import { bytesOf, bytesText, shareOf } from '../command-line/amounts.ts';
import { MachineError, UsageError, UserError } from '../command-line/errors.ts';
import type { CommandIo } from '../command-line/io.ts';
import { manifestName, type OutputFile, writeFolder } from '../command-line/output-folder.ts';
import { refuseOverwritingIn } from '../command-line/output-place.ts';
import { type SizeBindings, sizeOption } from '../command-line/size-options.ts';
import { type SlotBindings, slotOption } from '../command-line/slot-options.ts';
import { type CompiledFile, compileFile, openSource } from '../command-line/source.ts';
import { planDot } from '../emit/dot.ts';
import { jsonText } from '../emit/json.ts';
import { kernelFiles } from '../emit/kernel-files.ts';
import { makeManifest } from '../emit/manifest.ts';
import { moduleText } from '../emit/module.ts';
import { originFinder } from '../emit/origin.ts';
import { printProgram } from '../ir/print.ts';
import { type MemoryBudget, MemoryShortage } from '../schedule/memory/within-memory.ts';
import { type PrintAfter, passPrinter, printAfterOption, printPlan } from './print-after.ts';
import { readTarget } from './target-file.ts';

const help = `
What --emit can name:
  wgsl   a .wgsl file for each distinct kernel, named after what it makes, its origin in a comment
  json   manifest.json: buffers with shapes and dtypes, bindings, dispatch sizes, kernel order, tuning
  ir     NAME.ir: the tensor program after the passes, as text
  dot    NAME.dot: kernels and tensors as a graph, for Graphviz
  ts     NAME.ts: one typed module that runs the kernels with nothing but WebGPU

Examples:
  mlbtcc build btt.mlbtc -s N=32 -s D=256 -o out
  mlbtcc build btt.mlbtc -s N=32 --grad --emit wgsl,json,ts -o out
      with cotangents cot.NAME as further inputs and gradients grad.NAME as further outputs
  mlbtcc build btt.mlbtc -s N=32 --print-after order
      the program after that pass; --print-after all after every one, and the kernels; without -o nothing is written
  mlbtcc build attention.mlbtc -s B=1 -s T=128 --emit ir,dot -o out

Every size must have a value here: bind those without a default, as a batch, by -s.
The same command gives the same bytes. Other files in the folder stay.`;

const emits = ['wgsl', 'ir', 'json', 'ts', 'dot'] as const;
type Emit = (typeof emits)[number];

interface Options {
  readonly structure?: string;
  readonly size?: SizeBindings;
  readonly slot?: SlotBindings;
  readonly grad?: boolean;
  readonly emit: ReadonlySet<Emit>;
  /** Null: nothing is written. */
  readonly out: string | null;
  readonly target?: string;
  readonly memory?: MemoryBudget;
  readonly printAfter?: PrintAfter;
}

export function registerBuild(program: Command, io: CommandIo): void {
  program
    .command('build')
    .summary('write the kernels of a structure')
    .description('Writes the kernels of a structure as WGSL, with all that running them takes.')
    .argument('<file>', 'the structure')
    .option('--structure <name>', 'one of the structures of the file (default: the last)')
    .addOption(sizeOption())
    .addOption(slotOption())
    .option('--grad', 'with the gradients of every input and param')
    .addOption(
      new Option('--emit <list>', `what to write: ${emits.join(',')}`)
        .argParser(parseEmits)
        .default(new Set<Emit>(['wgsl', 'json']), 'wgsl,json'),
    )
    .requiredOption('-o, --out <folder>', 'where to write; may be left out with --print-after')
    .option('--target <device>', 'cpu, gpu or a .json of a device (default: gpu, the limits that every WebGPU has)')
    .addOption(
      new Option(
        '--memory <amount>',
        'most that all buffers together may take, 500MB, 2GiB or, of what they take without a limit, 50%: what would take more is computed again where it is read',
      ).argParser(parseMemory),
    )
    .addOption(printAfterOption())
    .addHelpText('after', help)
    .action((file: string, { structure, size, slot, grad, emit, out, target, memory, printAfter }: Options) => {
      if (out === '') throw new UsageError('--out "" names no folder; `.` is the one you are in');
      if (out === '-') {
        throw new UsageError(
          '--out - : kernels are files of a folder, not one stream\n  help: ./- is a folder of that name; --print-after schedule without -o shows the kernels',
        );
      }
      const chosen = readTarget(target);
      const compiled = withinMemory(() =>
        compileFile(
          file,
          {
            sizes: size ?? {},
            unbound: 'refuse',
            gradients: grad ?? false,
            target: chosen,
            ...(structure === undefined ? {} : { structure }),
            ...(memory === undefined ? {} : { memoryBytes: memory }),
            ...(printAfter === undefined ? {} : { inspect: passPrinter(printAfter, io.out) }),
          },
          io,
          openSource(file, slot),
        ),
      );
      if (printAfter?.has('schedule')) io.out(printPlan(compiled.plan));
      if (out === null) return;
      const files = outputFiles(compiled, emit, chosen);
      refuseOverwritingIn(
        out,
        files.map(({ name }) => name),
        compiled.sources.map((source) => source.file),
      );
      writeFolder(out, files);
      warnOfLimits(compiled, chosen, io);
      const kernels = compiled.plan.kernels.length;
      io.out(
        `${out}: ${files.length} file${files.length === 1 ? '' : 's'}, ${kernels} kernel${kernels === 1 ? '' : 's'}\n`,
      );
    });
}

function outputFiles(compiled: CompiledFile, emit: ReadonlySet<Emit>, target: Target): OutputFile[] {
  const { file, sources, program, written, plan, gradients } = compiled;
  const { name: structure } = compiled.interface;
  const sizes = Object.fromEntries(
    compiled.interface.sizes.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const])),
  );
  const originOf = originFinder([written, program], sources);
  const kernels = kernelFiles(plan, originOf);
  const subject = { structure, sizes, gradients, target, program, plan };
  const result: OutputFile[] = [];
  if (emit.has('wgsl')) result.push(...kernels.files.map(({ name, wgsl }) => ({ name, text: wgsl })));
  if (emit.has('json')) {
    const manifest = makeManifest(subject, kernels, originOf);
    result.push({ name: manifestName, text: jsonText(manifest) });
  }
  if (emit.has('ir')) result.push({ name: `${structure}.ir`, text: printProgram(program) });
  if (emit.has('dot')) result.push({ name: `${structure}.dot`, text: planDot(plan, structure) });
  if (emit.has('ts')) {
    const base = file.split(/[\\/]/).at(-1) ?? file;
    result.push({ name: `${structure}.ts`, text: moduleText({ structure, sizes, file: base, plan }, kernels) });
  }
  return result;
}

/** What the target's limits do not allow can be built; who runs it must ask the device for more. */
function warnOfLimits({ plan }: CompiledFile, { limits, name }: Target, io: CommandIo): void {
  try {
    checkPlan(plan, limits, 'gpu');
  } catch (problem) {
    if (!(problem instanceof MachineError)) throw problem;
    io.err(`warning: beyond the limits of the target '${name}': ${problem.message}\n`);
  }
}

/** What `make` makes; what is larger than it may be is told with what is enough. */
function withinMemory<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof MemoryShortage)) throw error;
    const [allowed, least, plain] = [error.memoryBytes, error.leastBytes, error.plainBytes].map(bytesText);
    throw new UserError(
      `--memory: the buffers take ${plain}, and ${least} where all is computed again that can be, more than ${allowed}\n` +
        `  help: --memory ${error.leastBytes} is enough; smaller sizes take less`,
    );
  }
}

function parseMemory(text: string): MemoryBudget {
  const bytes = bytesOf(text);
  if (bytes !== undefined) return bytes;
  const share = shareOf(text);
  if (share !== undefined) return (plainBytes) => Math.floor(share * plainBytes);
  throw new UsageError(`--memory ${JSON.stringify(text)} is no amount such as 2GiB, 500MB, 50% or a number of bytes`);
}

function parseEmits(text: string): ReadonlySet<Emit> {
  const chosen = text.split(',').map((word) => word.trim());
  for (const word of chosen) {
    if (!(emits as readonly string[]).includes(word)) {
      throw new UsageError(`--emit ${JSON.stringify(text)}: ${JSON.stringify(word)} is none of ${emits.join(', ')}`);
    }
  }
  return new Set(chosen as Emit[]);
}
