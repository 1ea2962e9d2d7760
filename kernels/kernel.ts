/**
 * A kernel before it is WGSL: which equations one dispatch computes, and in what form. The scheduler (`compiler/schedule`)
 * makes these, one file a family turns them into code.
 *
 *   loop         one thread an element of the output; reduced axes are loops inside the thread. Takes any equation at all.
 *   row          several reductions and maps over the same rows, one row a workgroup (or a thread).
 *   contraction  sum of products in register tiles, with an epilogue over the finished elements.
 *
 * In all of them `Statement`s come in the order of computation; a later one may read what an earlier one made, at the same
 * element (loop, contraction epilogue) or in the same row (row), without a trip through memory.
 */
import type { Dtype, Equation } from '../compiler/ir/program.ts';

/** Computes one whole tensor: the sum over `equations`. `stored` is false when nothing outside the kernel reads it. */
export interface Statement {
  readonly tensor: string;
  readonly equations: readonly Equation[];
  readonly stored: boolean;
}

/** One thread an element of a tensor of `shape`; every statement's tensor has this shape. */
export interface LoopKernel {
  readonly family: 'loop';
  readonly shape: readonly number[];
  readonly statements: readonly Statement[];
}

/**
 * One equation over rows and, inside a row, points. `rowAxes[d]` is the equation's axis that runs over row dimension d.
 * `reduce`: the tensor has one element a row. `map`: it has one element a point, stored through the equation's store map.
 */
export interface RowStatement {
  readonly kind: 'reduce' | 'map';
  readonly tensor: string;
  readonly equation: Equation;
  readonly rowAxes: readonly number[];
  readonly stored: boolean;
}

export interface RowKernel {
  readonly family: 'row';
  readonly rows: readonly number[];
  readonly statements: readonly RowStatement[];
}

/**
 * `tensor (+)= Σ a·b`, an equation with a sum reducer whose store map is injective. `accumulate` adds to what the buffer
 * holds. `addends` are pointwise equations of the same tensor with one axis per dimension, added to each element.
 * `epilogue` are pointwise statements that read the finished element.
 */
export interface ContractionKernel {
  readonly family: 'contraction';
  readonly tensor: string;
  readonly equation: Equation;
  readonly addends: readonly Equation[];
  readonly accumulate: boolean;
  readonly stored: boolean;
  readonly epilogue: readonly Statement[];
}

export type Kernel = LoopKernel | RowKernel | ContractionKernel;

/** What code generation must know of a tensor. Tensors with the same `slot` are the same memory (in-place updates). */
export interface TensorLayout {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly slot: string;
}

export type Layouts = (tensor: string) => TensorLayout;

export interface KernelBinding {
  readonly slot: string;
  /** Tensors of the user's program that this binding holds, for people. */
  readonly tensors: readonly string[];
  readonly access: 'read' | 'read_write';
  readonly dtype: Dtype;
}

/** A kernel's whole code. */
export interface KernelCode {
  readonly wgsl: string;
  readonly bindings: readonly KernelBinding[];
  readonly workgroups: readonly [number, number, number];
  readonly tuning: Readonly<Record<string, number | string>>;
  /** Points of the contraction loops that the code runs, padding of tiles not counted; 0 where nothing is contracted. */
  readonly multiplyAdds: number;
}

/** What a family writes of it; declarations and library functions come before. */
export interface FamilyCode extends Omit<KernelCode, 'wgsl' | 'bindings'> {
  readonly body: string;
  /** WGSL extensions that the body needs. */
  readonly enables: readonly string[];
}
