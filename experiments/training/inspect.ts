/**
 * Where numbers stop being finite: the tensors of a step, one after the other, as the model defines them; where all of them are
 * finite, those of its gradients. And why: the equation, its line, the values that went in (compiler/analysis/non-finite.ts).
 *
 * The trap: every tensor of a step at once may be more than the device holds, since a step itself keeps few of them; then a half of
 * them is looked at after the other. Sums are ordered as in training, or the looking would take longer than the run; nothing is
 * inlined, so that tensors have the names that they were given.
 */
import { type NonFiniteCause, nonFiniteCause } from '../../compiler/analysis/non-finite.ts';
import { MachineError } from '../../compiler/command-line/errors.ts';
import { dependencies, equationsOf, tensorMap } from '../../compiler/ir/equation.ts';
import { type NdArray, ndarray, positionIn } from '../../compiler/ir/ndarray.ts';
import { elementCount, type Program, type Tensor } from '../../compiler/ir/program.ts';
import { optimise } from '../../compiler/passes/pipeline.ts';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { lineIndex, lineText, positionOf } from '../../compiler/syntax/position.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { type DeviceRunner, deviceRunner } from './device-runner.ts';
import { differentiateLoss } from './differentiate-loss.ts';
import { type Upload, uploadWhereRead } from './lazy-runner.ts';
import { paramsOf } from './mup.ts';
import type { SharedState } from './state.ts';
import { assembleStep } from './step.ts';

export interface Inspection {
  readonly opened: OpenedDevice;
  readonly state: SharedState;
  /** As the semantics give it, with the output `loss`. */
  readonly model: Program;
  /** Tensors in the place of the model's inputs; none: they are given. */
  readonly batch: readonly Tensor[];
  /** Uploads the batch. */
  readonly feed: (upload: Upload) => void;
  /** The text of a file that the model is made of. */
  readonly sourceOf: (file: string) => Source | undefined;
}

export interface NonFinite {
  /** `body.block.0.attn.S`, `the gradient of read_in`. */
  readonly name: string;
  /** Which element, the line that made it, the operation, the values that went in. */
  readonly lines: readonly string[];
}

/** The first tensor, params before all others, that is not finite. Undefined if all are. */
export async function firstNonFinite(inspection: Inspection): Promise<NonFinite | undefined> {
  const { model, batch, state } = inspection;
  const params = (await state.executor.download('params')).get('params') as Float32Array;
  const { arena } = assembleStep({ program: model, gradientOf: new Map() }, paramsOf(model), noStep(batch, []));
  for (const { param, offset, elements } of arena.slots) {
    const at = params.subarray(offset, offset + elements).findIndex((value) => !Number.isFinite(value));
    if (at >= 0) return { name: param.name, lines: [elementLine(param, at, params[offset + at])] };
  }
  const forward = orderedAsNamed(model);
  const seen = computedNames(forward);
  const found = await scan(inspection, forward, [...batch.filter(isComputed).map(({ name }) => name), ...seen]);
  if (found !== undefined) return found;
  const { program } = differentiateLoss({ ...forward, outputs: model.outputs });
  const known = new Set(seen);
  return scan(
    inspection,
    program,
    computedNames(program).filter((name) => !known.has(name)),
  );
}

function orderedAsNamed(model: Program): Program {
  return optimise({ ...model, outputs: computedNames(model) }, { disabled: new Set(['inline', 'distribute']) });
}

function isComputed({ dtype, source }: Tensor): boolean {
  return source.kind === 'computed' && dtype !== 'i32';
}

function computedNames({ tensors }: Program): readonly string[] {
  return tensors.filter(isComputed).map(({ name }) => name);
}

function noStep(batch: readonly Tensor[], outputs: readonly string[]) {
  return { batch, optimizer: undefined, outputs };
}

/** The first of these tensors, in the order of computation, that is not finite. */
async function scan(
  inspection: Inspection,
  program: Program,
  names: readonly string[],
): Promise<NonFinite | undefined> {
  try {
    return await look(inspection, program, names);
  } catch (error) {
    if (!(error instanceof MachineError) || names.length < 2) throw error;
    const half = names.length >> 1;
    return (
      (await scan(inspection, program, names.slice(0, half))) ?? (await scan(inspection, program, names.slice(half)))
    );
  }
}

async function look(
  { opened, state, batch, feed, sourceOf }: Inspection,
  program: Program,
  names: readonly string[],
): Promise<NonFinite | undefined> {
  // What a tensor was made from is wanted too where it turns out not to be finite.
  const tensors = tensorMap({ ...program, tensors: [...batch, ...program.tensors] });
  const read = names.flatMap((name) => dependencies(tensors.get(name) as Tensor));
  const outputs = [...new Set([...names, ...read])].filter((name) => tensors.get(name)?.source.kind === 'computed');
  const step = assembleStep({ program, gradientOf: new Map() }, paramsOf(program), noStep(batch, outputs));
  const runner = await deviceRunner(opened, step.program, state.buffers);
  try {
    feed(uploadWhereRead(runner));
    runner.run();
    const own = new Set(names);
    for (const tensor of step.program.tensors) {
      if (!own.has(tensor.name)) continue;
      const values = (await runner.download(tensor.name)).get(tensor.name) as Float32Array;
      const at = values.findIndex((value) => !Number.isFinite(value));
      if (at < 0) continue;
      const element = positionIn(tensor.shape, at);
      const inputs = await valuesOf(dependencies(tensor), step.program, runner);
      const cause = nonFiniteCause(equationsOf(tensor), element, inputs);
      const lines = [elementLine(tensor, at, values[at]), ...(cause === undefined ? [] : causeLines(cause, sourceOf))];
      return { name: tensorText(tensor.name), lines };
    }
    return undefined;
  } finally {
    runner.destroy();
  }
}

async function valuesOf(
  names: readonly string[],
  { tensors }: Program,
  runner: DeviceRunner,
): Promise<ReadonlyMap<string, NdArray>> {
  const found = new Map<string, NdArray>();
  for (const { name, shape, source } of tensors.filter((tensor) => names.includes(tensor.name))) {
    const [from, offset] = source.kind === 'view' ? [source.base, source.offset] : [name, 0];
    const data = (await runner.download(from)).get(from) as Float32Array;
    found.set(name, ndarray(shape, data.subarray(offset, offset + elementCount(shape))));
  }
  return found;
}

/** What a tensor is to a person: names of passes say what it belongs to. */
function tensorText(name: string): string {
  const gradient = /^(?:grad\.|cot~)(.+)$/.exec(name)?.[1];
  const own = (gradient ?? name).replace(/~.*/, '');
  return gradient !== undefined ? `the gradient of ${own}` : own === name ? name : `an intermediate of ${own}`;
}

function elementLine({ name, shape }: Pick<Tensor, 'name' | 'shape'>, at: number, value: number): string {
  const where = shape.length === 0 ? name : `${name}[${positionIn(shape, at).join(', ')}]`;
  return `${where} is ${valueText(value)}`;
}

function causeLines(
  { equation, operation, inputs }: NonFiniteCause,
  sourceOf: Inspection['sourceOf'],
): readonly string[] {
  const { span } = equation;
  const source = span === undefined ? undefined : sourceOf(span.file);
  const lines: string[] = [];
  if (span !== undefined && source !== undefined) {
    const { line, column } = positionOf(source, span.start);
    lines.push(`${span.file}:${line}:${column}: ${lineText(source, lineIndex(source, span.start)).trim()}`);
  }
  lines.push(
    operation === undefined
      ? `no value of its ${equation.reducer} is beyond f32, all together are; the first is of`
      : `${operation.text} is ${valueText(operation.value)}, with`,
    ...inputs.map(({ element, value }) => `  ${element} = ${valueText(value)}`),
  );
  return lines;
}

/** In float64, of what was f32 on the device. */
function valueText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '-∞';
  return String(Number(value.toPrecision(7)));
}
