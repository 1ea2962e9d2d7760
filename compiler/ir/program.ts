/**
 * The tensor program: the one intermediate language between the syntax tree and the kernels. This page is its grammar.
 *
 *   program   = tensors, outputs, updates
 *   tensor    = name : dtype [shape], and where its elements come from (`source`)
 *   equation  = store map, reducer, expression, over axes with extents and a domain
 *
 * An equation reads, for `y[b, i] = W[i, j] * x[b, j] where j <= i`:
 *
 *   for every point (b, i, j) of the axes that lies in the domain { i - j >= 0 }:
 *       y[b, i]  sum=  W[i, j] * x[b, j]
 *
 * The store map is affine as the loads' maps are: a block-diagonal matrix stores to `[p·k + i, q·k + j]`, a derivative
 * exchanges a load's map with the store's, a scatter-add stores through a `gather` index. A tensor's element is the SUM over
 * its equations of what each equation's reducer makes of the points that store to it; an element that no point stores to is 0.
 * (The trap: a `max` or a product of nothing is therefore 0, and two equations of one tensor always add.)
 *
 * A domain is a conjunction of affine constraints, which loops and tiles are cut by, and of comparisons of integer data
 * (`seg[b, t] == seg[b, u]`), which a point is asked for where it is met. Either way a point outside stores nothing.
 *
 * Contraction, pointwise map, reduction, transpose, slice, block diagonal, gather are all this one node; what an equation *is*
 * is found by looking at it. Everything is immutable plain data; axes are referred to by their position in `Equation.axes`, so
 * that equal equations are equal data up to names. `interpret.ts` is the meaning of all of this, in float64.
 */
import type { Span } from '../syntax/diagnostic.ts';

export type Dtype = 'f32' | 'f16' | 'i32';

export interface Program {
  /** In an order in which every tensor comes after those it reads (its `view` base and `concat` parts too). */
  readonly tensors: readonly Tensor[];
  /** Names of tensors that the caller reads. */
  readonly outputs: readonly string[];
  /** State carried from run to run: after a run, `state` (an input) takes the value of `next` (computed, same shape). */
  readonly updates: readonly Update[];
}

export interface Update {
  readonly state: string;
  readonly next: string;
}

export interface Tensor {
  /** Unique in the program: `x`, `U.0`, `attn.W`, `grad.x`; the compiler's own have a tilde: `S~lse`. */
  readonly name: string;
  readonly dtype: Dtype;
  /** Extents, row-major; `[]` is a scalar. Every extent is at least 1. */
  readonly shape: readonly number[];
  readonly source: TensorSource;
  /** Its elements lie in memory as two f16 each (kernels/parts/halves.ts): the scheduler's own, which only products on tensor cores read. */
  readonly inHalves?: true;
  /** Where the user wrote it; absent for what the compiler made. */
  readonly span?: Span;
  readonly doc?: string;
}

export type TensorSource =
  /** Given by the caller at every run. */
  | { readonly kind: 'input' }
  /** A trainable tensor, given by the caller. */
  | { readonly kind: 'param'; readonly init: Init; readonly fixed: boolean }
  | { readonly kind: 'computed'; readonly equations: readonly Equation[] }
  /** `elementCount(shape)` consecutive elements of the flat `base` from `offset` on: a param inside its arena. */
  | { readonly kind: 'view'; readonly base: string; readonly offset: number }
  /** A flat tensor of whole tensors laid at given offsets, 0 between them: gradients gathered into their arena. */
  | { readonly kind: 'concat'; readonly parts: readonly { readonly tensor: string; readonly offset: number }[] };

export type Init =
  /** Independent normals of mean 0. `fanIn` is set where the user gave one; it also fixes muP's learning rate. */
  | { readonly kind: 'normal'; readonly std: number; readonly fanIn?: number }
  /** With a `fanIn` a matrix that starts at zero, without one a norm's weight or a bias. */
  | { readonly kind: 'constant'; readonly value: number; readonly fanIn?: number };

export interface Axis {
  /** The user's name, for people; only the position counts. */
  readonly name: string;
  readonly extent: number;
  /**
   * An i32 scalar, at least 0 and below the extent, whose value is the only one that the axis takes: a number that is known when
   * the program runs, such as the position of the token that is being decoded. Domains, maps and values may speak of it as of any
   * axis; nothing is looped over, and it reduces nothing.
   */
  readonly symbol?: string;
}

export type Reducer = 'sum' | 'product' | 'max' | 'min' | 'logsumexp';

export interface Equation {
  readonly axes: readonly Axis[];
  /** Conjunction. A point outside stores nothing. */
  readonly domain: readonly Constraint[];
  /** One index per dimension of the target. */
  readonly store: readonly Index[];
  readonly reducer: Reducer;
  readonly value: Expression;
  readonly span?: Span;
}

/** `constant + Σ coefficient · axis`: terms sorted by axis, no coefficient 0. */
export interface Affine {
  readonly kind: 'affine';
  readonly constant: number;
  readonly terms: readonly AffineTerm[];
}

export interface AffineTerm {
  readonly axis: number;
  readonly coefficient: number;
}

/** Position in one dimension of a tensor: affine, or read from an i32 tensor. */
export type Index = Affine | Gather;

export interface Gather {
  readonly kind: 'gather';
  readonly tensor: string;
  readonly indices: readonly Index[];
}

/** Where a point must lie, or what the data must say of it. */
export type Constraint = AffineConstraint | DataConstraint;

/** `affine >= 0`, `affine == 0` or `affine != 0`: known before anything runs. */
export interface AffineConstraint {
  readonly kind: 'nonnegative' | 'zero' | 'nonzero';
  readonly affine: Affine;
}

/** A comparison of whole numbers (`whole.ts`), read from i32 tensors or not affine in the axes. */
export interface DataConstraint {
  readonly kind: 'data';
  readonly operator: ComparisonOperator;
  readonly left: Expression;
  readonly right: Expression;
}

export type UnaryOperator =
  | 'negate'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'rsqrt'
  | 'abs'
  | 'sign'
  | 'tanh'
  | 'erf'
  | 'sigmoid'
  | 'relu'
  | 'gelu'
  | 'silu'
  | 'sin'
  | 'cos';

/**
 * `maximum(a, b)` gives its gradient to a in a tie. `quotient` and `remainder` are of whole numbers: rounded down, and never
 * negative.
 */
export type BinaryOperator = 'divide' | 'power' | 'minimum' | 'maximum' | 'quotient' | 'remainder';

export type ComparisonOperator = '<' | '<=' | '>' | '>=' | '==' | '!=';

/** A scalar expression at one point of an equation's axes. i32 loads count as numbers. */
export type Expression =
  | { readonly kind: 'constant'; readonly value: number }
  /** An axis (or affine expression of axes) as a number. */
  | { readonly kind: 'index'; readonly affine: Affine }
  | Load
  | { readonly kind: 'sum'; readonly terms: readonly Expression[] }
  | { readonly kind: 'product'; readonly factors: readonly Expression[] }
  | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly operand: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly kind: 'select';
      readonly condition: Condition;
      readonly then: Expression;
      readonly otherwise: Expression;
    }
  | Random;

export interface Load {
  readonly kind: 'load';
  readonly tensor: string;
  readonly indices: readonly Index[];
}

export type Condition =
  | { readonly kind: 'domain'; readonly constraints: readonly Constraint[] }
  | {
      readonly kind: 'compare';
      readonly operator: ComparisonOperator;
      readonly left: Expression;
      readonly right: Expression;
    };

/**
 * A draw that depends only on (seed, stream, step, element): Philox4x32-10 with key (seed, stream) and counter
 * (element, step, 0, 0). `uniform` is in (0, 1); `normal` by Box-Muller from the first two words. `seed` and `step` are
 * expressions so that they may be loads of i32 scalars.
 */
export interface Random {
  readonly kind: 'random';
  readonly distribution: 'uniform' | 'normal';
  readonly seed: Expression;
  readonly stream: number;
  readonly step: Expression;
  readonly element: Affine;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}
