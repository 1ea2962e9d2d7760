/**
 * What lowering one definition works with.
 *
 * Expressions are built over *slots*, numbered as axes are bound while the definition is read; only when an equation is
 * finished are its slots renamed to positions. A `Lowered` expression says besides its value where it is present
 * (outside, so is nothing that is computed from it), and its support: where it may differ from 0 although it is present
 * everywhere, as a softmax is outside its domain.
 *
 * Reductions that are no equation's own are *lifted*: they become tensors called `TARGET~mean`, over the axes that they
 * keep, and identical ones are one tensor. The traps: a read that only an enclosing `where` keeps inside its tensor must
 * be kept inside in the lifted equation too, so that the conditions around go into its domain (`Env.guards`,
 * `Builder.guardUses`). And what may be infinite is computed only where the conditions around can hold at all: what
 * they exclude is never to meet a derivative.
 */
import { affine, axisIndex, decide, substitute } from '../ir/affine.ts';
import { anyNumber, boundsOf } from '../ir/bounds.ts';
import {
  affinesOf,
  affinesOfConstraint,
  children,
  constant,
  constraintAxes,
  load,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
  select,
} from '../ir/expression.ts';
import { constraintKey, equationKey } from '../ir/hash.ts';
import type { Affine, Axis, Constraint, Equation, Expression, Index, Load, Reducer, Tensor } from '../ir/program.ts';
import { shadowOf } from '../ir/shadow.ts';
import type { FunctionItem, Expression as Syntax } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import type { AxisSet, Placement } from './einstein.ts';
import type { Module } from './files.ts';
import type { AxisEntity, Scope } from './model.ts';
import type { Frame } from './names.ts';
import type { ReferenceContext } from './references.ts';
import { axisExtent } from './sizes.ts';

export interface LoweringContext extends ReferenceContext {
  /** Lifted tensors by what they are, and how often each name has been given. */
  readonly lifted: Map<string, Tensor>;
  readonly labels: Map<string, number>;
}

export interface Builder {
  readonly context: LoweringContext;
  /** The tensor being defined, after which lifted ones are named. */
  readonly target: string;
  readonly slots: Axis[];
  readonly placement: Placement;
  /** The axes on the left. */
  readonly left: readonly AxisEntity[];
  readonly axesIn: (e: Syntax) => AxisSet;
  /** Counts reads that only the conditions around keep inside their tensors. */
  guardUses: number;
  /** Nodes that the definition has come to so far, functions written out. */
  nodes: number;
  /** Tensors of integers that the definition has read. */
  readonly integers: Set<string>;
  /** Whether some `where` of the definition cannot be said: then nothing is said to lie outside its bounds. */
  open: boolean;
}

export interface Lowered {
  readonly value: Expression;
  readonly present: readonly Constraint[];
  readonly support: readonly Constraint[];
}

/** A condition on an axis that is summed further inside; it restricts the sums that bind the axis. */
export interface Restriction {
  readonly condition: Syntax & { readonly kind: 'compare' };
  readonly axes: AxisSet;
  used: boolean;
}

export interface BodyFrame extends Frame {
  readonly callEnv: Env;
  readonly parameterAxes: (name: string) => AxisSet | undefined;
  readonly uses: ReadonlyMap<string, number>;
  readonly memo: Map<string, Lowered>;
}

export interface Env {
  readonly scope: Scope;
  readonly module: Module;
  readonly frame: BodyFrame | undefined;
  /** Slots of the axes that are bound. */
  readonly bound: ReadonlyMap<AxisEntity, number>;
  readonly guards: readonly Constraint[];
  readonly restrictions: readonly Restriction[];
  /** Where whole numbers are meant: in an integer tensor, where `/` rounds down, or in an index or a condition. */
  readonly integers: 'tensor' | 'index' | undefined;
  /** The functions whose bodies one is in. */
  readonly functions: readonly FunctionItem[];
}

export const never: Constraint = { kind: 'nonnegative', affine: affine(-1) };

/**
 * What stands for a value that has been reported, or cannot be said yet: no constant, so that nothing is folded with
 * it.
 */
export const placeholder: Lowered = { value: { kind: 'index', affine: affine(1) }, present: [], support: [] };

export function isSaid(e: Expression): boolean {
  return e.kind !== 'index' && children(e).every(isSaid);
}

export function present(value: Expression): Lowered {
  return { value, present: [], support: [] };
}

export function newSlot(b: Builder, axis: AxisEntity): number {
  b.slots.push({ name: axis.name, extent: axisExtent(axis, b.context) ?? Number.NaN });
  return b.slots.length - 1;
}

/** Slots for axes: the ones they have, or new ones. */
export function bind(
  b: Builder,
  env: Env,
  axes: readonly AxisEntity[],
): { readonly env: Env; readonly slots: readonly number[] } {
  const missing = [...axes].some((axis) => !env.bound.has(axis));
  if (!missing) return { env, slots: [...axes].map((axis) => env.bound.get(axis) as number) };
  const bound = new Map(env.bound);
  const slots: number[] = [];
  for (const axis of axes) {
    let slot = bound.get(axis);
    if (slot === undefined) {
      slot = newSlot(b, axis);
      bound.set(axis, slot);
    }
    slots.push(slot);
  }
  return { env: { ...env, bound }, slots };
}

export function slotsOf(a: Affine): readonly number[] {
  return a.terms.map((term) => term.axis);
}

/** A conjunction without what always holds or stands twice; where it never holds, `never` alone. */
export function conjunction(b: Builder, lists: readonly (readonly Constraint[])[]): readonly Constraint[] {
  const filled = lists.filter((list) => list.length > 0);
  if (filled.length === 0) return [];
  const all = new Map<string, Constraint>();
  for (const constraint of filled.flat()) {
    const verdict = decide(constraint, b.slots);
    if (verdict === 'never') return [never];
    if (verdict === 'sometimes') all.set(constraintKey(constraint), constraint);
  }
  return [...all.values()];
}

/** The value with its support written out: `select(support, value, 0)`. */
export function materialised(lowered: Lowered): Expression {
  const { value, support } = lowered;
  return support.length === 0 ? value : select({ kind: 'domain', constraints: support }, value, constant(0));
}

const nodeCounts = new WeakMap<Expression, number>();

export function nodeCount(e: Expression): number {
  const known = nodeCounts.get(e);
  if (known !== undefined) return known;
  const count = children(e).reduce((total, child) => total + nodeCount(child), 1);
  nodeCounts.set(e, count);
  return count;
}

/** Above this many nodes an expression that is needed more than once becomes a tensor of its own. */
export const inlineLimit = 40;

export interface EquationDraft {
  /** Slots in the order of the equation's axes. */
  readonly axes: readonly number[];
  readonly domain: readonly Constraint[];
  readonly store: readonly Index[];
  readonly reducer: Reducer;
  readonly value: Expression;
  readonly span: Span;
}

/** Renames slots to positions. */
export function finish(b: Builder, draft: EquationDraft): Equation {
  const positions = new Map(draft.axes.map((slot, position) => [slot, position]));
  const rename = (a: Affine): Affine =>
    substitute(a, (slot) => {
      const position = positions.get(slot);
      if (position === undefined) throw new Error(`the axis ${b.slots[slot]?.name} is not bound in this equation`);
      return axisIndex(position);
    });
  return {
    axes: draft.axes.map((slot) => b.slots[slot]),
    domain: draft.domain.map((c) => rewriteConstraint(c, { affine: rename })),
    store: draft.store.map((index) => rewriteIndex(index, { affine: rename })),
    reducer: draft.reducer,
    value: rewriteExpression(draft.value, { affine: rename }),
    span: b.context.report.placeOf(draft.span),
  };
}

export interface Lift {
  /** `mean`, `lse`: what follows the tilde. */
  readonly label: string;
  readonly reduced: readonly number[];
  readonly reducer: Reducer;
  /** `i32` for what is whole, else `f32`. */
  readonly dtype?: 'i32';
  readonly value: Expression;
  readonly domain: readonly Constraint[];
  readonly around: Around;
  readonly span: Span;
}

/** The conditions around an expression, and whether a read in it lies inside its tensor only because of them. */
export interface Around {
  readonly conditions: readonly Constraint[];
  readonly areNeeded: boolean;
}

/** `before` is the count of guard uses from before the expression was lowered. */
export function around(b: Builder, { guards }: Env, before: number): Around {
  return { conditions: guards, areNeeded: b.guardUses > before };
}

/** Conditions that speak, directly or through each other, of the slots in `used`, to which theirs are added. */
function connected(
  guards: readonly Constraint[],
  used: Set<number>,
  reduced: ReadonlySet<number>,
): readonly Constraint[] {
  let rest = guards.filter((c) => !constraintAxes(c).some((slot) => reduced.has(slot)));
  const taken: Constraint[] = [];
  for (let more = true; more; ) {
    const touching = rest.filter((c) => {
      const slots = constraintAxes(c);
      return slots.length === 0 || slots.some((slot) => used.has(slot));
    });
    rest = rest.filter((c) => !touching.includes(c));
    taken.push(...touching);
    for (const slot of touching.flatMap(constraintAxes)) used.add(slot);
    more = touching.length > 0;
  }
  return taken;
}

/** What a lifted equation asks of the conditions around it, over the slots in `used`, to which others may be added. */
function asked(b: Builder, draft: Lift, used: Set<number>, reduced: ReadonlySet<number>): readonly Constraint[] {
  const { conditions, areNeeded } = draft.around;
  if (areNeeded) return connected(conditions, used, reduced);
  const { value, domain } = draft;
  if (conditions.length === 0 || b.slots.some(({ extent }) => Number.isNaN(extent))) return [];
  if (boundsOf(value, { axes: b.slots, domain, tensor: () => anyNumber }).finite) return [];
  const outside = conditions.filter((c) => !constraintAxes(c).some((slot) => reduced.has(slot)));
  const shadow = shadowOf(outside, b.slots, (slot) => used.has(slot));
  return shadow.exact ? shadow.constraints : connected(conditions, used, reduced);
}

/** Makes a tensor of a reduction (or of a value, with nothing reduced) and reads it. */
export function lift(b: Builder, draft: Lift): Load {
  const reduced = new Set(draft.reduced);
  const used = new Set(
    [...affinesOf(draft.value), ...draft.domain.flatMap(affinesOfConstraint)]
      .flatMap(slotsOf)
      .filter((slot) => !reduced.has(slot)),
  );
  const guards = asked(b, draft, used, reduced);
  const kept = [...used].sort((p, q) => p - q);
  const domain = conjunction(b, [draft.domain, guards]);
  const impossible = domain.includes(never);
  const equation = finish(b, {
    axes: [...kept, ...draft.reduced],
    domain: impossible ? [] : domain,
    store: kept.map(axisIndex),
    reducer: impossible ? 'sum' : draft.reducer,
    value: impossible ? constant(0) : draft.value,
    span: draft.span,
  });
  const shape = kept.map((slot) => b.slots[slot].extent);
  const { dtype = 'f32' } = draft;
  const key = `${dtype} ${equationKey(equation)} [${shape.join(', ')}]`;
  const { lifted, labels } = b.context;
  let tensor = lifted.get(key);
  if (tensor === undefined) {
    const base = `${b.target}~${draft.label}`;
    const count = (labels.get(base) ?? 0) + 1;
    labels.set(base, count);
    tensor = {
      name: count === 1 ? base : `${base}${count}`,
      dtype,
      shape,
      source: { kind: 'computed', equations: [equation] },
      span: b.context.report.placeOf(draft.span),
    };
    lifted.set(key, tensor);
  }
  if (dtype === 'i32') b.integers.add(tensor.name);
  return load(tensor.name, kept.map(axisIndex));
}

/** The same value, as a tensor if it is large: for what is needed more than once. */
export function small(b: Builder, lowered: Lowered, env: Env, span: Span, guarded = false): Lowered {
  if (nodeCount(lowered.value) <= inlineLimit) return lowered;
  const value = lift(b, {
    label: 'value',
    reduced: [],
    reducer: 'sum',
    ...(env.integers === undefined ? {} : { dtype: 'i32' }),
    value: lowered.value,
    domain: conjunction(b, [lowered.present, lowered.support]),
    around: { conditions: env.guards, areNeeded: guarded },
    span,
  });
  return { value, present: lowered.present, support: [] };
}
