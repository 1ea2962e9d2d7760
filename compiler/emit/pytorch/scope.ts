/** What the text of an equation needs to know of the module around it, and terms: Python for a tensor whose dimensions are axes. */
import type { Axis } from '../../ir/program.ts';
import type { Span } from '../../syntax/diagnostic.ts';
import { binding, type Python } from './python.ts';

export interface KnownTensor {
  /** Python for the whole tensor. */
  readonly text: string;
  readonly shape: readonly number[];
  readonly isInteger: boolean;
  /** None of its elements is infinite, or no number, as long as what is given is not. */
  readonly alwaysFinite: boolean;
}

export interface Scope {
  readonly tensor: (name: string) => KnownTensor;
  /** The variable that counts 0, 1, 2, … up to an extent, called as the axis is if it can be; asking for it makes it. */
  readonly position: (name: string, extent: string) => string;
  /** Asks for one of the module's helper functions (helpers.ts). */
  readonly helper: (name: HelperName) => string;
}

export type HelperName = 'logsumexp' | 'amax' | 'amin' | 'prod' | 'placed' | 'scattered';

/** One equation, while it is written. */
export interface EquationScope extends Scope {
  readonly axes: readonly Axis[];
  /** The extent of an axis: a number, or the variable that has it. */
  readonly extent: (axis: number) => string;
  /** Points may be excluded, so what they would read may lie outside. */
  readonly isGuarded: boolean;
  /** Over the frame, where what is written is kept; elsewhere it is computed all the same, and must not be infinite. */
  readonly keep?: Term;
  readonly span: Span | undefined;
}

/**
 * An expression over a frame, which is a list of axes: its dimensions are the last ones of the frame, as many as it has, each of the
 * axis's extent or 1, so that two of the same frame can be combined as they stand. A literal has no dimensions.
 */
export interface Term extends Python {
  readonly kind: 'real' | 'integer' | 'boolean' | 'literal';
  /** Those that it has at their extents. */
  readonly axes: ReadonlySet<number>;
  /** Of a literal. */
  readonly value?: number;
}

/** What PyTorch cannot be told, in the user's own terms. */
export class NotExpressible extends Error {
  override readonly name = 'NotExpressible';
  readonly span: Span | undefined;

  constructor(message: string, span: Span | undefined) {
    super(message);
    this.span = span;
  }
}

export function atom(text: string): Python {
  return { text, binding: binding.atom };
}
