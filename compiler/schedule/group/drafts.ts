/**
 * The kernels that grouping has made so far, and which of them makes each tensor: what a tensor may still join is asked here.
 *
 * The trap: kernels keep their order, so a tensor can join only a kernel behind everything that it reads, and a view or a
 * concat is there between two kernels: not for the one that makes its last part.
 */
import type { Kernel } from '../../../kernels/kernel.ts';
import { kernelParts } from '../../../kernels/statements.ts';
import type { Target } from '../../../kernels/target.ts';
import { dependencies, equationsOf, readTensors, tensorMap } from '../../ir/equation.ts';
import type { Equation, Program, Tensor } from '../../ir/program.ts';

export class Drafts {
  readonly kernels: Kernel[] = [];
  private readonly tensors: ReadonlyMap<string, Tensor>;
  private readonly producedIn = new Map<string, number>();
  private readonly buffersAllowed: number;
  private readonly buffers = new WeakMap<Kernel, ReadonlySet<string>>();

  /** `after`: see `Remade`. */
  constructor(
    program: Program,
    target: Target,
    private readonly after: ReadonlyMap<string, string>,
  ) {
    this.tensors = tensorMap(program);
    this.buffersAllowed = target.limits.maxStorageBuffersPerShaderStage;
  }

  shapeOf(name: string): readonly number[] {
    return this.tensors.get(name)!.shape;
  }

  /** A kernel of its own, behind the others, that makes the tensor or adds to it. */
  open(kernel: Kernel, tensor: string): void {
    this.kernels.push(kernel);
    this.producedIn.set(tensor, this.kernels.length - 1);
  }

  /** A kernel of its own that makes several tensors. */
  openAll(kernel: Kernel): void {
    this.kernels.push(kernel);
    for (const part of kernelParts(kernel)) this.producedIn.set(part.tensor, this.kernels.length - 1);
  }

  /** The kernel in place of one that did not make the tensor. */
  replace(index: number, kernel: Kernel, tensor: string): void {
    this.kernels[index] = kernel;
    this.producedIn.set(tensor, index);
  }

  /**
   * A tensor that no kernel makes is there once all its parts are: between two kernels. The kernel that makes the last part
   * cannot read it, since its threads would see each other's half-done work through another name.
   */
  given(tensor: Tensor): void {
    const last = Math.floor(Math.max(-1, ...dependencies(tensor).map((name) => this.madeIn(name))));
    this.producedIn.set(tensor.name, last < 0 ? -1 : last + 0.5);
  }

  /** Index of the kernel that makes a tensor: -1 before all, halves between two. */
  madeIn(name: string): number {
    return this.producedIn.get(name) ?? -1;
  }

  /** The kernel by which everything that the equations read is made. */
  madeBy(equations: readonly Equation[]): number {
    return Math.max(-1, ...equations.flatMap(readTensors).map((name) => this.madeIn(name)));
  }

  /** The same of a tensor, and what it comes after: it can join no kernel before that. */
  readyAt(tensor: Tensor): number {
    const after = this.after.get(tensor.name);
    return Math.max(after === undefined ? -1 : Math.ceil(this.madeIn(after)), this.madeBy(equationsOf(tensor)));
  }

  /** Kernels that make what the equations read, latest first. */
  kernelsRead(equations: readonly Equation[]): number[] {
    const made = equations.flatMap(readTensors).map((name) => this.madeIn(name));
    return [...new Set(made)].filter((index) => index >= 0 && Number.isInteger(index)).sort((a, b) => b - a);
  }

  /** Whether one kernel may bind everything that the equations read and the tensor. */
  isBindable(equations: readonly Equation[], tensor: Tensor): boolean {
    return new Set([tensor.name, ...equations.flatMap(readTensors)]).size <= this.buffersAllowed;
  }

  /** Whether a kernel may bind what the tensor needs as well. */
  fitsIn(kernel: Kernel, tensor: Tensor): boolean {
    const own = this.buffersIn(kernel);
    const more = new Set([tensor.name, ...equationsOf(tensor).flatMap(readTensors)]);
    return own.size + [...more].filter((name) => !own.has(name)).length <= this.buffersAllowed;
  }

  private buffersIn(kernel: Kernel): ReadonlySet<string> {
    const known = this.buffers.get(kernel);
    if (known !== undefined) return known;
    const found = new Set(kernelParts(kernel).flatMap((p) => [p.tensor, ...p.equations.flatMap(readTensors)]));
    this.buffers.set(kernel, found);
    return found;
  }
}
