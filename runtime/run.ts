/**
 * `mlbtc run`: a structure on the tensors of a file. Sizes come from `-s`, else from the shapes in the file.
 *
 *   read → compile for the device → match names, shapes, indices → upload, run once, download → write
 *
 * The trap: a size that no input settles because that input is missing would be reported as a size without a value; what the
 * person must hear is that the input is missing.
 */
import type { Command } from 'commander';
import { UserError } from '../compiler/command-line/errors.ts';
import { refuseOverwriting } from '../compiler/command-line/output-place.ts';
import { type SizeBindings, sizeOption } from '../compiler/command-line/size-options.ts';
import { type SlotBindings, slotOption } from '../compiler/command-line/slot-options.ts';
import { diagnosticsError, openSource } from '../compiler/command-line/source.ts';
import { type CompiledProgram, compileAnalysis } from '../compiler/compile.ts';
import type { Program } from '../compiler/ir/program.ts';
import type { Plan } from '../compiler/schedule/plan.ts';
import { analyse } from '../compiler/semantics/analyse.ts';
import type { StructureInterface } from '../compiler/semantics/interface.ts';
import { type OpenedDevice, openDevice } from './device.ts';
import { createExecutor, type HostArray } from './executor.ts';
import { checkIntegers } from './index-bounds.ts';
import { nonFinite } from './non-finite.ts';
import { type ExpectedTensor, matchTensors } from './run-tensors.ts';
import { readSafetensors, type StoredDtype, type StoredTensor, writeSafetensors } from './safetensors.ts';

export interface RunOptions {
  readonly file: string;
  readonly structure?: string;
  readonly sizes: SizeBindings;
  readonly slots?: SlotBindings;
  readonly in: string;
  readonly out: string;
  readonly vjp: boolean;
}

const help = `
Examples:
  mlbtc run btt.mlbtc --in tensors.safetensors --out result.safetensors
      D and the batch from the shape of x; the file holds x and the params L and R
  mlbtc run mlr.mlbtc -s ranks=[4,2,2] --in t.safetensors --out r.safetensors
      a size that no input's shape settles is bound by -s; the params are U.0, V.0, U.1, …
  mlbtc run btt.mlbtc --vjp --in t.safetensors --out r.safetensors
      the file also holds cot.y; the result also grad.x, grad.L, grad.R`;

/** Adds \`run\` to the command line. */
export function registerRun(program: Command): void {
  program
    .command('run')
    .summary('run a structure on tensors of a file')
    .description('Runs a structure on the tensors of a .safetensors file: inputs and params by name, outputs by name.')
    .argument('<file>', 'the structure, a .mlbtc file')
    .option('--structure <name>', 'one of the structures of the file (default: the last)')
    .addOption(sizeOption())
    .addOption(slotOption())
    .requiredOption('--in <file>', 'inputs and params, a .safetensors file')
    .requiredOption('--out <file>', 'where the outputs go')
    .option('--vjp', 'gradients too: the file also holds cot.NAME of each output, the result also grad.NAME')
    .option('--device <name>', 'auto, gpu, cpu, lavapipe, swiftshader or a part of a device’s name')
    .addHelpText('after', help)
    .action(async (file: string, { structure, size, slot, in: input, out, vjp, device }: RunFlags): Promise<void> => {
      // A structure is run once, and its numbers are what is wanted: on f32 units (tensor-cores.ts).
      const opened = () => openDevice({ ...(device === undefined ? {} : { name: device }), tensorCores: 'never' });
      const sizes = size ?? {};
      const chosen = { slots: slot ?? {}, ...(structure === undefined ? {} : { structure }) };
      await runStructure({ file, sizes, in: input, out, vjp: vjp ?? false, ...chosen }, opened);
    });
}

interface RunFlags {
  readonly structure?: string;
  readonly size?: SizeBindings;
  readonly slot?: SlotBindings;
  readonly in: string;
  readonly out: string;
  readonly vjp?: boolean;
  readonly device?: string;
}

/** The device is opened only once everything that can be wrong before has been looked at. */
export async function runStructure(
  options: RunOptions,
  open: () => Promise<OpenedDevice>,
  warn: (text: string) => void = (text) => void process.stderr.write(`${text}\n`),
): Promise<void> {
  const { file, structure, sizes, vjp } = options;
  refuseOverwriting(options.out, [options.in, file]);
  const opened = openSource(file, options.slots);
  const { tensors: given } = readSafetensors(options.in);
  const analysis = analyse({
    ...opened,
    sizes,
    inputShapes: Object.fromEntries([...given].map(([name, { shape }]) => [name, shape])),
    unbound: 'refuse',
    ...(structure === undefined ? {} : { structure }),
  });
  const { program, diagnostics, sources } = analysis;
  refuseOverwriting(
    options.out,
    sources.map((imported) => imported.file),
  );
  // What is wrong with the file itself comes first, as `check` says it; an input that is missing leaves sizes without a value.
  const isMisread = diagnostics.some(({ severity, code }) => severity === 'error' && code !== 'E0302');
  if (!isMisread) refuseMissingInputs(options.in, given, analysis.interface);
  if (program === undefined) throw diagnosticsError(diagnostics, sources);
  const expected = expectedTensors(program, vjp);
  const cotangentNames = new Set(program.outputs.map((name) => `cot.${name}`));
  const arrays = matchTensors(options.in, given, expected, cotangentNames);
  checkIntegers(options.in, program, arrays);
  const wrongGiven = nonFinite(
    new Map(expected.map((tensor) => [tensor.name, { ...tensor, data: arrays.get(tensor.name)! }])),
  );
  if (wrongGiven !== undefined) warn(`warning: not finite in ${options.in}: ${wrongGiven}`);

  const device = await open();
  const result = compileAnalysis(analysis, { target: device.target, gradients: vjp });
  if (result.compiled === undefined) throw diagnosticsError(result.diagnostics, sources);
  const { compiled } = result;
  refuseTakenNames(compiled);
  const executor = await createExecutor(device, compiled.plan);
  try {
    for (const [name, data] of arrays) if (Object.hasOwn(compiled.plan.tensors, name)) executor.upload(name, data);
    executor.run();
    const results = await executor.download(...compiled.plan.outputs);
    const wrong = nonFinite(
      new Map([...results].map(([name, data]) => [name, { ...compiled.plan.tensors[name], data }])),
    );
    if (wrong !== undefined) warn(`warning: not finite in the result: ${wrong}`);
    writeSafetensors(
      options.out,
      new Map([...results].map(([name, data]) => [name, stored(data, compiled.plan, name)])),
    );
  } finally {
    executor.destroy();
  }
}

/** Inputs, params and, for gradients, the cotangents of floating outputs. */
function expectedTensors({ tensors, outputs }: Program, vjp: boolean): ExpectedTensor[] {
  const given = tensors.flatMap(({ name, dtype, shape, source }): ExpectedTensor[] =>
    source.kind === 'input' || source.kind === 'param' ? [{ name, dtype, shape, role: source.kind }] : [],
  );
  if (!vjp) return given;
  const cotangents = outputs
    .map((output) => tensors.find(({ name }) => name === output)!)
    .filter(({ dtype }) => dtype !== 'i32')
    .map(({ name, dtype, shape }): ExpectedTensor => ({ name: `cot.${name}`, dtype, shape, role: 'cotangent' }));
  return [...given, ...cotangents];
}

function refuseMissingInputs(
  path: string,
  given: ReadonlyMap<string, StoredTensor>,
  face: StructureInterface | undefined,
): void {
  const missing = face?.inputs.filter(({ name }) => !given.has(name)) ?? [];
  if (face === undefined || missing.length === 0) return;
  const shapes = face.inputs.map(
    ({ name, dtype, axes }) =>
      `    ${name}  ${dtype}[${axes.map(({ extent, size, name }) => extent ?? size ?? name).join(', ')}]`,
  );
  const names = missing.map(({ name }) => `\`${name}\``).join(', ');
  throw new UserError(
    `${path}: the input${missing.length > 1 ? 's' : ''} ${names} ${missing.length > 1 ? 'are' : 'is'} missing; ` +
      `the file holds ${[...given.keys()].join(', ') || 'nothing'}\n  inputs of ${face.name}:\n${shapes.join('\n')}`,
  );
}

/** An instance called `cot` or `grad` has members of those names itself. */
function refuseTakenNames({ cotangentOf, gradientOf }: CompiledProgram): void {
  for (const [prefix, names] of [
    ['cot', cotangentOf],
    ['grad', gradientOf],
  ] as const) {
    for (const [tensor, name] of names) {
      if (name === `${prefix}.${tensor}`) continue;
      throw new UserError(
        `\`${prefix}.${tensor}\` is a tensor of the structure itself: call the instance \`${prefix}\` something else`,
      );
    }
  }
}

function stored(data: HostArray, { tensors }: Plan, name: string): StoredTensor {
  const { dtype, shape } = tensors[name];
  return { dtype: storedTypes[dtype], shape, data };
}

const storedTypes: Readonly<Record<Plan['tensors'][string]['dtype'], StoredDtype>> = {
  f32: 'F32',
  f16: 'F16',
  i32: 'I32',
};
