/**
 * Where an expression stands: the kernel that it is written for, and what its axes and the tensors already computed are
 * called there. Each family makes its own; what writes an expression (`scalar.ts`, `whole.ts`, `address.ts`) sees only
 * this.
 */
import type { Axis, Expression, Load } from '../../compiler/ir/program.ts';
import type { Emitter } from '../wgsl/emitter.ts';

export interface Scope {
  readonly emitter: Emitter;
  /** A WGSL i32 name, or '0' for an axis of extent 1. */
  readonly axis: (axis: number) => string;
  readonly axes: readonly Axis[];
  /** WGSL f32 for a tensor's element where the kernel holds it in a variable. */
  readonly held?: (load: Load) => string | undefined;
  /** The same as i32, for an i32 tensor. */
  readonly heldInteger?: (load: Load) => string | undefined;
  /** Subexpressions, by identity, whose value is in a variable already. */
  readonly known?: ReadonlyMap<Expression, string>;
  /** The expression is evaluated at points outside its domain too, its value then dropped: offsets are kept inside. */
  readonly unguarded?: boolean;
}
