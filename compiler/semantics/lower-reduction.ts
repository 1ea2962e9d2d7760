/**
 * Named reductions: `mean[i](e)`, `softmax[u](S where u <= t)`, `max[*](W)`.
 *
 * A reduction takes only what is present, and is present itself; of nothing it is 0, as an element of the tensor
 * program is that no point stores to. A mean's count is a number where the domain leaves it one, and a tensor
 * (`~count`) where the domain makes it differ from element to element. A softmax is exp(S - logsumexp S), 0 where S is
 * absent.
 *
 * The trap: a reduced axis is bound inside. Where the same axis is bound around too, its slot is used again, which is
 * right because the reduction becomes an equation of its own; but conditions around on that axis must not reach in.
 */
import { holds, isAffine } from '../ir/affine.ts';
import { binary, constant, constraintAxes, divide, negate, sum, unary } from '../ir/expression.ts';
import type { AffineConstraint, Constraint, Expression, Reducer } from '../ir/program.ts';
import type { Span } from '../syntax/diagnostic.ts';
import {
  type Around,
  around,
  type Builder,
  bind,
  conjunction,
  type Env,
  type Lowered,
  lift,
  materialised,
  never,
  placeholder,
  present,
  slotsOf,
  small,
} from './builder.ts';
import type { Call, Reduction } from './calls.ts';
import { meantWhole, refuseReal } from './integers.ts';
import { axesOf } from './lower-condition.ts';
import { lowerValue } from './lower-value.ts';
import type { AxisEntity } from './model.ts';
import { axesNamed } from './names.ts';

/** Those that are one equation each. */
export type PlainReduction = Exclude<Reduction, 'softmax' | 'var' | 'rms'>;

/** A reduction as the parts of an equation. */
export interface ReductionDraft {
  readonly slots: readonly number[];
  readonly reducer: Reducer;
  readonly value: Expression;
  readonly domain: readonly Constraint[];
}

/** The axes in the brackets of a reduction; what is wrong there is reported and left out. */
export function reducedAxes(b: Builder, e: Call, env: Env): readonly AxisEntity[] {
  const { report } = b.context;
  if (e.every) return [...axesOf(b, e.arguments[0], env)];
  const axes: AxisEntity[] = [];
  for (const name of e.axes ?? []) {
    const found = axesNamed(name, { scope: env.scope, frame: env.frame, report });
    for (const axis of found ?? []) {
      if (axes.includes(axis)) {
        report.error(
          'E0507',
          name.span,
          `the axis \`${name.text}\` stands twice in the brackets of \`${e.callee.text}\``,
        );
      } else axes.push(axis);
    }
  }
  return axes;
}

export function lowerReduction(b: Builder, e: Call, reduction: Reduction, env: Env): Lowered {
  const axes = reducedAxes(b, e, env);
  if (env.integers !== undefined) {
    refuseReal(b, e.span, `\`${e.callee.text}\` reduces, and ${meantWhole(env)} is computed at each element alone`);
    return placeholder;
  }
  if (reduction === 'softmax') return lowerSoftmax(b, e, axes, env);
  const before = b.guardUses;
  const { env: inner, slots } = enterReduction(b, axes, env);
  const plain = lowerValue(b, e.arguments[0], inner);
  const twice = reduction === 'var';
  const argument = twice ? small(b, plain, inner, e.span, b.guardUses > before) : plain;
  const conditions = around(b, inner, before);
  const { span } = e;
  switch (reduction) {
    case 'sum':
    case 'prod':
    case 'max':
    case 'min':
    case 'logsumexp':
    case 'mean':
      return present(
        liftDraft(b, reduction, draftReduction(b, reduction, slots, argument, conditions, span), conditions, span),
      );
    case 'rms': {
      const square = squared(materialised(argument));
      const draft = draftReduction(b, 'mean', slots, { ...argument, value: square, support: [] }, conditions, span);
      return present(unary('sqrt', liftDraft(b, 'meansquare', draft, conditions, span)));
    }
    case 'var': {
      const whole: Lowered = { value: materialised(argument), present: argument.present, support: [] };
      const mean = liftDraft(b, 'mean', draftReduction(b, 'mean', slots, whole, conditions, span), conditions, span);
      const deviation = squared(sum([whole.value, negate(mean)]));
      const draft = draftReduction(b, 'mean', slots, { ...whole, value: deviation }, conditions, span);
      return present(liftDraft(b, 'var', draft, conditions, span));
    }
    default:
      return reduction satisfies never;
  }
}

/** Binds the axes of a reduction; conditions around on those axes stay outside. */
export function enterReduction(
  b: Builder,
  axes: readonly AxisEntity[],
  env: Env,
): { readonly env: Env; readonly slots: readonly number[] } {
  const { env: bound, slots } = bind(b, env, axes);
  const guards = bound.guards.filter((c) => !constraintAxes(c).some((slot) => slots.includes(slot)));
  const restrictions = bound.restrictions.filter((r) => !axes.some((axis) => r.axes.has(axis)));
  return { env: { ...bound, guards, restrictions }, slots };
}

function squared(e: Expression): Expression {
  return e.kind === 'constant' ? constant(e.value ** 2) : binary('power', e, constant(2));
}

const labels: Readonly<Record<PlainReduction | 'var' | 'meansquare', string>> = {
  sum: 'sum',
  prod: 'prod',
  mean: 'mean',
  max: 'max',
  min: 'min',
  logsumexp: 'lse',
  var: 'var',
  meansquare: 'meansquare',
};

function liftDraft(
  b: Builder,
  label: keyof typeof labels,
  { slots, reducer, value, domain }: ReductionDraft,
  conditions: Around,
  span: Span,
): Expression {
  return lift(b, { label: labels[label], reduced: slots, reducer, value, domain, around: conditions, span });
}

export function draftReduction(
  b: Builder,
  reduction: PlainReduction,
  slots: readonly number[],
  argument: Lowered,
  conditions: Around,
  span: Span,
): ReductionDraft {
  switch (reduction) {
    case 'sum': {
      const domain = conjunction(b, [argument.present, argument.support]);
      return { slots, reducer: 'sum', value: argument.value, domain };
    }
    case 'mean': {
      const domain = conjunction(b, [argument.present, argument.support]);
      return { slots, reducer: 'sum', value: divideByCount(b, slots, argument, conditions, span), domain };
    }
    case 'prod':
      return { slots, reducer: 'product', value: materialised(argument), domain: argument.present };
    case 'max':
    case 'min':
    case 'logsumexp':
      return { slots, reducer: reduction, value: materialised(argument), domain: argument.present };
    default:
      return reduction satisfies never;
  }
}

/** Points that are counted one by one to find a count that the domain makes. */
const countLimit = 1 << 20;

function divideByCount(
  b: Builder,
  slots: readonly number[],
  { value, present: domain }: Lowered,
  conditions: Around,
  span: Span,
): Expression {
  if (domain.includes(never)) return value;
  const counted = domain.filter((c) => constraintAxes(c).some((slot) => slots.includes(slot)));
  const positions = counted.filter(isAffine);
  const varying =
    positions.length < counted.length || counted.some((c) => constraintAxes(c).some((slot) => !slots.includes(slot)));
  const number = varying ? undefined : countPoints(b, slots, positions);
  if (number !== undefined) return divide(value, constant(Math.max(1, number)));
  // Slots that no condition speaks of multiply the count; only the others are counted.
  const spoken = slots.filter((slot) => counted.some((c) => constraintAxes(c).includes(slot)));
  const rest = slots.filter((slot) => !spoken.includes(slot)).reduce((n, slot) => n * b.slots[slot].extent, 1);
  const count = lift(b, {
    label: 'count',
    reduced: spoken,
    reducer: 'sum',
    value: constant(rest),
    domain: counted,
    around: conditions,
    span,
  });
  // Where nothing is present nothing is divided; the 1 is for whoever takes the division out of the sum.
  return divide(value, binary('maximum', count, constant(1)));
}

function countPoints(
  b: Builder,
  slots: readonly number[],
  constraints: readonly AffineConstraint[],
): number | undefined {
  const spoken = slots.filter((slot) => constraints.some((c) => slotsOf(c.affine).includes(slot)));
  const extents = spoken.map((slot) => b.slots[slot].extent);
  const rest = slots.filter((slot) => !spoken.includes(slot)).reduce((n, slot) => n * b.slots[slot].extent, 1);
  const box = extents.reduce((n, extent) => n * extent, 1);
  if (Number.isNaN(box * rest)) return 1;
  if (constraints.length === 0) return rest;
  if (box > countLimit) return undefined;
  const point: number[] = b.slots.map(() => 0);
  let found = 0;
  for (let i = 0; i < box; i++) {
    let at = i;
    for (const [k, slot] of spoken.entries()) {
      point[slot] = at % extents[k];
      at = Math.floor(at / extents[k]);
    }
    if (constraints.every((c) => holds(c, point))) found++;
  }
  return found * rest;
}

/** exp(S - lse), over the axes as they are bound around: a softmax keeps its axes. */
function lowerSoftmax(b: Builder, e: Call, axes: readonly AxisEntity[], env: Env): Lowered {
  const before = b.guardUses;
  const { env: inner, slots } = enterReduction(b, axes, env);
  const plain = lowerValue(b, e.arguments[0], inner);
  const guarded = b.guardUses > before;
  const scores = small(b, { ...plain, value: materialised(plain), support: [] }, inner, e.span, guarded);
  const conditions = around(b, inner, before);
  const draft = draftReduction(b, 'logsumexp', slots, scores, conditions, e.span);
  const lse = liftDraft(b, 'logsumexp', draft, conditions, e.span);
  const value = unary('exp', sum([scores.value, negate(lse)]));
  return { value, present: [], support: scores.present };
}
