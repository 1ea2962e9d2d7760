/** From a kernel to its WGSL: picks the family's generator and puts header, bindings and library around what it writes. */

import { hashText } from '../compiler/ir/hash.ts';
import { printEquation } from '../compiler/ir/print.ts';
import { elementCount } from '../compiler/ir/program.ts';
import { emitContraction } from './contraction.ts';
import { contractionShape } from './contraction-shape.ts';
import { type ContractionTuning, defaultContractionTuning } from './contraction-tuning.ts';
import { Emitter } from './emitter.ts';
import type { FamilyCode, Kernel, KernelCode, Layouts } from './kernel.ts';
import { emitLoop } from './loop.ts';
import { emitRow, type RowTuning } from './row.ts';
import type { Target } from './target.ts';

/** Forces a family's tuning; tests force each form on small ragged shapes. */
export interface TuningOverride {
  readonly contraction?: ContractionTuning;
  readonly row?: RowTuning;
}

export interface EmitOptions {
  readonly target: Target;
  readonly layouts: Layouts;
  /** Slots that must be bound `read_write` though they are only read: their buffer is written in the same kernel. */
  readonly readWrite: (slot: string) => boolean;
  readonly override?: TuningOverride;
}

/** Hash of the code with all names taken out: kernels of one key can share a pipeline. */
export function kernelKey(kernel: Kernel, options: EmitOptions): string {
  return hashText(write(kernel, options, true).wgsl);
}

export function emitKernel(kernel: Kernel, options: EmitOptions): KernelCode {
  const code = write(kernel, options, false);
  return { ...code, wgsl: `${header(kernel, code, options.layouts)}\n${code.wgsl}` };
}

function write(kernel: Kernel, options: EmitOptions, canonical: boolean): KernelCode {
  const emitter = new Emitter(options.layouts, canonical, options.target);
  const part = writeFamily(kernel, emitter, options);
  const declarations = emitter.declarations(options.readWrite);
  const enables = part.enables.map((feature) => `enable ${feature};`).join('\n');
  const wgsl = [enables, declarations, emitter.libraryText(), part.body].filter((text) => text !== '').join('\n\n');
  const bindings = emitter
    .bindings()
    .map((b) => (options.readWrite(b.slot) ? { ...b, access: 'read_write' as const } : b));
  return {
    wgsl: `${wgsl}\n`,
    bindings,
    workgroups: part.workgroups,
    tuning: part.tuning,
    multiplyAdds: part.multiplyAdds,
  };
}

function writeFamily(kernel: Kernel, emitter: Emitter, options: EmitOptions): FamilyCode {
  const { target, layouts, override } = options;
  switch (kernel.family) {
    case 'loop':
      return emitLoop(kernel, emitter, target);
    case 'row':
      return emitRow(kernel, emitter, target, override?.row);
    case 'contraction': {
      const shape = contractionShape(kernel.equation, layouts, layouts(kernel.tensor).shape);
      if (!shape) throw new Error(`${kernel.tensor} is no contraction of two operands`);
      const tuning = override?.contraction ?? defaultContractionTuning(shape, target);
      return emitContraction(kernel, shape, emitter, target, tuning);
    }
    default:
      return kernel satisfies never;
  }
}

/** The comment that a kernel begins with: what it computes, its form, its work, and the bytes that it must move at least. */
function header(kernel: Kernel, code: KernelCode, layouts: Layouts): string {
  const lines = equations(kernel).map((text) => text.replaceAll('\n', ' '));
  const tuning = Object.entries(code.tuning).map(([name, value]) => `${name} ${value}`);
  const work = code.multiplyAdds > 0 ? [`${code.multiplyAdds} multiply-adds`] : [];
  const bytes = code.bindings.reduce((n, { tensors: [first] }) => {
    const { shape, dtype } = layouts(first!);
    return n + elementCount(shape) * (dtype === 'f16' ? 2 : 4);
  }, 0);
  return [...lines, `${kernel.family}: ${[...tuning, ...work, `${bytes} bytes`].join(', ')}`]
    .map((line) => `// ${line}`)
    .join('\n');
}

export function equations(kernel: Kernel): string[] {
  switch (kernel.family) {
    case 'loop':
      return kernel.statements.flatMap((s) => s.equations.map((e) => printEquation(e, s.tensor)));
    case 'row':
      return kernel.statements.map((s) => printEquation(s.equation, s.tensor));
    case 'contraction':
      return [
        printEquation(kernel.equation, kernel.tensor),
        ...kernel.addends.map((e) => printEquation(e, kernel.tensor)),
        ...kernel.epilogue.flatMap((s) => s.equations.map((e) => printEquation(e, s.tensor))),
      ];
    default:
      return kernel satisfies never;
  }
}
