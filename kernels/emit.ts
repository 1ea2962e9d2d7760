/**
 * From kernels to the WGSL of their dispatch: picks each family's generator, and puts header, bindings, library, workgroup
 * memory and `main` around what they write. Nobody else writes any of these.
 */

import { hashText } from '../compiler/ir/hash.ts';
import { printEquation } from '../compiler/ir/print.ts';
import { elementCount } from '../compiler/ir/program.ts';
import { emitContraction, mostSideBySide } from './families/contraction/contraction.ts';
import { type ProductShapes, productShapes } from './families/contraction/shape.ts';
import { type ContractionTuning, contractionThreads, defaultContractionTuning } from './families/contraction/tuning.ts';
import { emitHalves, halvesThreads } from './families/halves.ts';
import { emitLoop, loopWorkgroupSize } from './families/loop.ts';
import { emitResident } from './families/resident.ts';
import { defaultRowTuning, emitRow, type RowTuning } from './families/row.ts';
import { emitStream } from './families/stream/stream.ts';
import { defaultStreamTuning, type StreamTuning } from './families/stream/tuning.ts';
import {
  type Arrays,
  type ContractionKernel,
  type DispatchCode,
  type Kernel,
  type KernelBinding,
  type KernelBody,
  type Layouts,
  packNumber,
  type RowKernel,
  type StreamKernel,
} from './kernel.ts';
import type { Target } from './target.ts';
import { Emitter, type SlotForm } from './wgsl/emitter.ts';
import { spread } from './wgsl/grid.ts';
import { indent, wgsl } from './wgsl/text.ts';
import { choiceOfPart } from './workgroups.ts';

/** What decides the form of a kernel that has no choice of its own. */
export interface FormOptions {
  readonly target: Target;
  readonly layouts: Arrays;
}

export interface EmitOptions extends FormOptions {
  readonly layouts: Layouts;
  /** Slots that must be bound `read_write` though they are only read: their buffer is written in the same dispatch. */
  readonly readWrite: (slot: string) => boolean;
}

/**
 * The code of one dispatch. Its kernels share nothing but the grid, the bindings and the workgroup memory: kernel i has the
 * workgroups after those of the kernels before it. All have one size of workgroup, and none reads what another writes.
 */
export function emitDispatch(kernels: readonly Kernel[], options: EmitOptions): DispatchCode {
  const common = commonWorkgroup(kernels.map((kernel) => workgroupOf(kernel, options)));
  if (common === undefined) throw new Error('no workgroup suits all kernels of the dispatch');
  const workgroupSize = largeWhereMany(common, kernels, options);
  const { emitter, bodies } = writeBodies(kernels, workgroupSize, options);
  const { workgroups, main } = mainFunction(bodies, workgroupSize, emitter, options.target);
  const enables = new Set(bodies.flatMap((body) => body.enables));
  const sharedQuads = Math.max(...bodies.map(({ sharedQuads, sideBySide = 1 }) => sharedQuads * sideBySide));
  const code = [
    [...enables].map((feature) => `enable ${feature};`).join('\n'),
    emitter.declarations(options.readWrite),
    sharedQuads === 0 ? '' : `var<workgroup> scratch: array<vec4<f32>, ${sharedQuads}>;`,
    emitter.libraryText(),
    main,
  ].filter((text) => text !== '');
  const text = `${code.join('\n\n')}\n`;
  const bindings = emitter
    .bindings()
    .map((b) => (options.readWrite(b.slot) ? { ...b, access: 'read_write' as const } : b));
  return {
    wgsl: `${header(kernels, bodies, bindings, options.layouts)}\n${text}`,
    key: hashText(emitter.canonical(text)),
    bindings,
    workgroups,
    tuning: bodies.length === 1 ? bodies[0].tuning : { workgroupSize },
    multiplyAdds: bodies.reduce((total, body) => total + body.multiplyAdds, 0),
  };
}

/** Twice where a buffer turns out to be read both as quads and as elements: a binding has one type. */
function writeBodies(
  kernels: readonly Kernel[],
  workgroupSize: number,
  options: EmitOptions,
  forms: ReadonlyMap<string, SlotForm> = new Map(),
): { readonly emitter: Emitter; readonly bodies: readonly KernelBody[] } {
  const emitter = new Emitter(options.layouts, options.target, forms);
  const bodies = kernels.map((kernel) => {
    emitter.openBody();
    return writeBody(kernel, emitter, workgroupSize, options);
  });
  const contested = emitter.contested();
  if (contested.size > 0) return writeBodies(kernels, workgroupSize, options, new Map([...forms, ...contested]));
  return { emitter, bodies };
}

/** Invocations of a workgroup that a kernel can do with: those that it would have alone; beside others a multiple of `unit`. */
export interface Workgroup {
  readonly alone: number;
  readonly unit: number;
  readonly most: number;
}

export function workgroupOf(kernel: Kernel, options: FormOptions): Workgroup {
  const { target } = options;
  const most = target.limits.maxComputeInvocationsPerWorkgroup;
  switch (kernel.family) {
    case 'loop':
      return { alone: loopWorkgroupSize, unit: 1, most };
    case 'row': {
      const { workgroupSize, lanes } = rowTuningOf(kernel, target);
      return { alone: workgroupSize, unit: lanes, most };
    }
    case 'contraction': {
      const { shapes, tuning } = contractionOf(kernel, options);
      const size = contractionThreads(tuning);
      return {
        alone: size,
        unit: size,
        most: size * mostSideBySide(shapes, tuning, target, kernel.rowLength !== undefined),
      };
    }
    case 'stream': {
      const { threadRows, threadColumns } = streamTuningOf(kernel, options);
      const size = threadRows * threadColumns;
      return { alone: size, unit: size, most: size };
    }
    case 'resident': {
      const { workgroupSize: size } = kernel;
      return { alone: size, unit: size, most: size };
    }
    case 'halves':
      return { alone: loopWorkgroupSize, unit: 1, most };
    default:
      return kernel satisfies never;
  }
}

/** The largest size that suits all of them, of those that one would have alone, if there is one. */
export function commonWorkgroup(wishes: readonly Workgroup[]): number | undefined {
  return wishes
    .map((wish) => wish.alone)
    .sort((a, b) => b - a)
    .find((size) => wishes.every(({ unit, most }) => size % unit === 0 && size <= most));
}

/**
 * A GPU begins so many workgroups a nanosecond, whatever their size and however little they do, an H200 1.6: 4 MB written by 16384 of 64
 * threads took 11 µs, by 4096 of 256 it took 6, and a step of AdamW 49 and 40
 * (test/bench/records/2026-11-27-small-kernels.jsonl).
 */
const manyWorkgroups = 2048;
const largeWorkgroup = 256;

/** Workgroups larger than kernels would have alone, where there would be many. */
function largeWhereMany(size: number, kernels: readonly Kernel[], options: FormOptions): number {
  if (options.target.class !== 'gpu') return size;
  const invocations = kernels.map((kernel) => invocationsOf(kernel, options));
  if (!invocations.every((count) => count !== undefined)) return size;
  const count = invocations.reduce((total, more) => total + more, 0);
  return count > manyWorkgroups * size ? Math.max(size, largeWorkgroup) : size;
}

/** Invocations of kernels to which the size of a workgroup is all the same. */
function invocationsOf(kernel: Kernel, options: FormOptions): number | undefined {
  if (kernel.family === 'loop') return elementCount(kernel.shape);
  if (kernel.family === 'halves') return halvesThreads(kernel, options.layouts);
  if (kernel.family !== 'row') return undefined;
  const { lanes } = rowTuningOf(kernel, options.target);
  return elementCount(kernel.rows) * lanes;
}

function rowTuningOf(kernel: RowKernel, target: Target): RowTuning {
  return kernel.choice?.tuning ?? defaultRowTuning(kernel, target);
}

function contractionOf(
  kernel: ContractionKernel,
  { target, layouts }: FormOptions,
): { readonly shapes: ProductShapes; readonly tuning: ContractionTuning } {
  const shapes = productShapes(kernel, layouts);
  return { shapes, tuning: kernel.choice?.tuning ?? defaultContractionTuning(shapes[0], target) };
}

const streamTuningOf = (kernel: StreamKernel, { target, layouts }: FormOptions): StreamTuning =>
  kernel.choice?.tuning ?? defaultStreamTuning(kernel, layouts, target);

function writeBody(kernel: Kernel, emitter: Emitter, workgroupSize: number, options: EmitOptions): KernelBody {
  switch (kernel.family) {
    case 'loop':
      return emitLoop(kernel, emitter, workgroupSize);
    case 'row': {
      const tuning = rowTuningOf(kernel, options.target);
      return emitRow(kernel, emitter, { ...tuning, workgroupSize });
    }
    case 'contraction': {
      const { shapes, tuning } = contractionOf(kernel, options);
      return emitContraction(kernel, shapes, emitter, { tuning, workgroupSize });
    }
    case 'stream':
      return emitStream(kernel, emitter, options.target, streamTuningOf(kernel, options));
    case 'resident':
      return emitResident(kernel, emitter, (stage) => writeBody(stage, emitter, workgroupSize, options));
    case 'halves':
      return emitHalves(kernel, emitter, workgroupSize);
    default:
      return kernel satisfies never;
  }
}

type NamedPart = KernelBody & { readonly name: string };

/** `main` and the functions that it calls. One body is `main` itself; of several each is a function, told its own number. */
function mainFunction(
  bodies: readonly KernelBody[],
  workgroupSize: number,
  emitter: Emitter,
  target: Target,
): { readonly main: string; readonly workgroups: DispatchCode['workgroups'] } {
  const count = bodies.reduce((total, { groups, sideBySide = 1 }) => total + groups / sideBySide, 0);
  const { workgroups, number, isExact } = spread(count, target);
  const [{ body }] = bodies;
  const parts = bodies.map((part) => ({ ...part, name: bodies.length === 1 ? '' : emitter.global('part') }));
  const functions = parts.flatMap((part) =>
    part.name === '' ? part.functions : [...part.functions, partFunction(part, workgroupSize)],
  );
  const shares = parts.map(({ groups, sideBySide = 1, ...part }) => ({ ...part, groups: groups / sideBySide }));
  const main = wgsl`
    @compute @workgroup_size(${workgroupSize})
    fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
      let group = ${number};
      ${isExact ? '' : `if (group >= ${count}u) { return; }`}
      ${parts.length === 1 ? body : choiceOfPart(shares)}
    }
  `;
  return { main: [...functions, main].join('\n\n'), workgroups };
}

/**
 * A part's function. Dawn knows between what a remainder lies, but nothing of a parameter, and it guards every access to workgroup
 * memory that it cannot tell to be inside by a minimum: a seventh of a product's time. Of tiles side by side `pack` counts the
 * workgroups: theirs alone is the same number in all of a workgroup, which what a barrier depends on must be.
 */
function partFunction(part: NamedPart, workgroupSize: number): string {
  const { name, body, sideBySide = 1, workgroupSize: threads, sharedQuads } = part;
  const isPacked = sideBySide > 1;
  if (!isPacked && sharedQuads === 0) return `fn ${name}(group: u32, lane: u32) {\n${indent(body)}\n}`;
  const tile = `index % ${workgroupSize}u / ${threads}u`;
  return wgsl`
    fn ${name}(${isPacked ? packNumber : 'group'}: u32, index: u32) {
      ${isPacked ? `let group = ${packNumber} * ${sideBySide}u + ${tile};` : ''}
      let lane = index % ${threads}u;
      ${isPacked && sharedQuads > 0 ? `let scratch_from = i32(${tile}) * ${sharedQuads};` : ''}
      ${body}
    }
  `;
}

function bytesOf(tensor: string, layouts: Layouts): number {
  const { shape, dtype } = layouts(tensor);
  return elementCount(shape) * (dtype === 'f16' ? 2 : 4);
}

/** The comment that a dispatch begins with: what each kernel computes, its form, its work, and the bytes that it must move. */
function header(
  kernels: readonly Kernel[],
  bodies: readonly KernelBody[],
  bindings: readonly KernelBinding[],
  layouts: Layouts,
): string {
  const sizes = bindings.flatMap(({ tensors, slot }) =>
    tensors.map((tensor): [string, number] => [`${slot}+${layouts(tensor).start}`, bytesOf(tensor, layouts)]),
  );
  const bytes = [...new Map(sizes).values()].reduce((total, size) => total + size, 0);
  const lines = kernels.flatMap((kernel, i) => {
    const { tuning, multiplyAdds } = bodies[i];
    const form = Object.entries(tuning).map(([name, value]) => `${name} ${value}`);
    const work = multiplyAdds > 0 ? [`${multiplyAdds} multiply-adds`] : [];
    const moved = kernels.length === 1 ? [`${bytes} bytes`] : [];
    const texts = equations(kernel).map((text) => text.replaceAll('\n', ' '));
    return [...texts, `${kernel.family}: ${[...form, ...work, ...moved].join(', ')}`];
  });
  if (kernels.length > 1) lines.push(`${kernels.length} kernels in one dispatch, ${bytes} bytes`);
  return lines.map((line) => `// ${line}`).join('\n');
}

export function equations(kernel: Kernel): string[] {
  switch (kernel.family) {
    case 'loop':
      return kernel.statements.flatMap((s) => s.equations.map((e) => printEquation(e, s.tensor)));
    case 'row':
      return kernel.statements.map((s) => printEquation(s.equation, s.tensor));
    case 'stream':
      return kernel.statements.flatMap((s) => s.equations.map((e) => printEquation(e, s.tensor)));
    case 'contraction':
      return [
        ...[kernel.equation, ...kernel.products].map((e) => printEquation(e, kernel.tensor)),
        ...kernel.addends.map((e) => printEquation(e, kernel.tensor)),
        ...kernel.epilogue.flatMap((s) => s.equations.map((e) => printEquation(e, s.tensor))),
      ];
    case 'resident':
      return kernel.stages.flatMap((stage) => equations(stage.kernel));
    case 'halves':
      return kernel.statements.flatMap((s) => s.equations.map((e) => printEquation(e, s.tensor)));
    default:
      return kernel satisfies never;
  }
}
