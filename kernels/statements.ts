/** Questions about a kernel whatever its family: what it makes, what it reads. */
import { equationLoads, readTensors } from '../compiler/ir/equation.ts';
import { gatheredTensors } from '../compiler/ir/expression.ts';
import type { Equation } from '../compiler/ir/program.ts';
import { remembered } from '../compiler/ir/remembered.ts';
import type { Kernel, ResidentStage } from './kernel.ts';

export interface KernelPart {
  readonly tensor: string;
  readonly equations: readonly Equation[];
  readonly stored: boolean;
}

const partsOfKernel = new WeakMap<Kernel, readonly KernelPart[]>();
const readsOfKernel = new WeakMap<Kernel, ReadonlySet<string>>();

/** What the kernel computes, in order. */
export function kernelParts(kernel: Kernel): readonly KernelPart[] {
  return remembered(partsOfKernel, kernel, partsOf);
}

function partsOf(kernel: Kernel): readonly KernelPart[] {
  switch (kernel.family) {
    case 'loop':
      return kernel.statements;
    case 'row':
      return kernel.statements.map((s) => ({ tensor: s.tensor, equations: [s.equation], stored: s.stored }));
    case 'contraction': {
      const { tensor, equation, products, addends, stored, epilogue } = kernel;
      return [{ tensor, equations: [equation, ...products, ...addends], stored }, ...epilogue];
    }
    case 'stream':
      return kernel.statements;
    case 'resident':
      return kernel.stages.flatMap((stage) => kernelParts(stage.kernel));
    case 'halves':
      return kernel.statements;
    default:
      return kernel satisfies never;
  }
}

/** Tensors that the kernel's equations name, its own included. */
export function kernelReads(kernel: Kernel): ReadonlySet<string> {
  return remembered(readsOfKernel, kernel, () => {
    const names = kernelParts(kernel).flatMap((part) => part.equations.flatMap(readTensors));
    if (kernel.family === 'contraction' && kernel.accumulate) names.push(kernel.tensor);
    if (kernel.family === 'halves') names.push(...kernel.statements.map((s) => s.largest));
    if (kernel.family === 'resident') names.push(...kernel.stages.flatMap((stage) => [...kernelReads(stage.kernel)]));
    return new Set(names);
  });
}

/** Tensors that the equation reads for an index, whether or not it reads them as values too. */
export function readAsIndex(equation: Equation): readonly string[] {
  const indices = [...equation.store, ...equationLoads(equation).flatMap((l) => l.indices)];
  return indices.flatMap(gatheredTensors);
}

/** Returns the kernel with `stored` decided anew for each tensor. */
export function withStored(kernel: Kernel, stored: (tensor: string) => boolean): Kernel {
  switch (kernel.family) {
    case 'loop':
      return { ...kernel, statements: kernel.statements.map((s) => ({ ...s, stored: stored(s.tensor) })) };
    case 'row':
      return { ...kernel, statements: kernel.statements.map((s) => ({ ...s, stored: stored(s.tensor) })) };
    case 'contraction':
      return {
        ...kernel,
        stored: stored(kernel.tensor),
        epilogue: kernel.epilogue.map((s) => ({ ...s, stored: stored(s.tensor) })),
      };
    case 'stream':
      return {
        ...kernel,
        statements: kernel.statements.map((s) => (s.kind === 'tile' ? s : { ...s, stored: stored(s.tensor) })),
      };
    case 'resident': {
      const [first, ...others] = kernel.stages.map((stage) => ({
        ...stage,
        kernel: withStored(stage.kernel, stored) as ResidentStage['kernel'],
      }));
      return { ...kernel, stages: [first, ...others] };
    }
    case 'halves': {
      const [first, ...others] = kernel.statements.map((s) => ({ ...s, stored: stored(s.tensor) }));
      return { ...kernel, statements: [first, ...others] };
    }
    default:
      return kernel satisfies never;
  }
}
