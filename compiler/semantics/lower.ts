/**
 * Definitions → equations of the tensor program.
 *
 *   y[b, i] = W[i, j] * x[b, j] + v[i] * 2 where i < 3
 *
 *   y[b, i] sum= v[i] * 2            over b, i       where 2 - i >= 0
 *   y[b, i] sum= W[i, j] * x[b, j]   over b, i, j    where 2 - i >= 0
 *
 * Terms of the right-hand side's sum that sum over axes of their own become equations of their own, the rest is one
 * equation. The trap is absence: a term that is absent makes the whole sum absent, so what restricts one term on the
 * axes of the left goes into the domain of all of them (`common`); but a sum over an axis is present even where all it
 * sums is absent.
 */
import { affine, isConstant, range } from '../ir/affine.ts';
import { constant, negate, rewriteConstraint, sum } from '../ir/expression.ts';
import type { Affine, Constraint, Equation, Expression, Init, Reducer } from '../ir/program.ts';
import type { Identifier, ParamItem, Expression as Syntax } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import {
  around,
  type Builder,
  bind,
  conjunction,
  type Env,
  finish,
  isSaid,
  type Lowered,
  type LoweringContext,
  never,
  newSlot,
} from './builder.ts';
import { type Call, calleeOf, type Reduction } from './calls.ts';
import { axesOfEquation, factorsOf, type Placement, placeSums } from './einstein.ts';
import { pointOf, shownPoint } from './lower-index.ts';
import { draftReduction, enterReduction, type PlainReduction, reducedAxes } from './lower-reduction.ts';
import { bindProduct, enterWhere, lowerFactors, lowerValue } from './lower-value.ts';
import type { AxisEntity, Definition, Scope, TensorEntity } from './model.ts';
import { reportReadings } from './readings.ts';
import { axisExtent } from './sizes.ts';

interface Term {
  readonly slots: readonly number[];
  readonly reducer: Reducer;
  readonly value: Expression;
  readonly domain: readonly Constraint[];
  readonly span: Span;
}

interface Gathered {
  readonly plain: Expression[];
  readonly terms: Term[];
  readonly common: (readonly Constraint[])[];
}

export function lowerTensor(tensor: TensorEntity, context: LoweringContext): void {
  const equations = tensor.definitions.flatMap((definition) => lowerDefinition(tensor, definition, context));
  tensor.equations = equations;
}

function lowerDefinition(tensor: TensorEntity, definition: Definition, context: LoweringContext): readonly Equation[] {
  const { item, scope, leftAxes, store } = definition;
  const placement = placeSums(item.value, new Set(leftAxes), scope);
  const b = newBuilder(tensor.name, leftAxes, placement, scope, context);
  reportReadings(placement, b.axesIn, scope.instance.module, context.report);
  const left = leftAxes.map((axis) => newSlot(b, axis));
  const root = rootEnv(scope, new Map(leftAxes.map((axis, i) => [axis, left[i]])));
  const { env: bound } = bind(b, root, reportUnplaced(placement, definition, context));
  const whole = tensor.dtype === 'i32';
  const env: Env = whole ? { ...bound, integers: 'tensor' } : bound;
  if (whole && !sumsNothing(placement, tensor, context)) return [];

  const gathered: Gathered = { plain: [], terms: [], common: [] };
  const sole = tensor.definitions.length === 1 && storesApart(definition, context);
  lowerTop(b, item.value, env, { negative: false, sole }, gathered);
  if (definition.broken || placement.unplaced.length > 0) return [];

  const common = conjunction(b, gathered.common);
  const indices = store as readonly Affine[];
  if (!b.open) {
    checkWrites(b, definition, indices, common);
    if (item.operator === '=') checkOnce(b, tensor, definition, common);
  }
  const { plain, terms } = gathered;
  const drafts: Term[] = [...terms];
  if (plain.length > 0) drafts.unshift({ slots: [], reducer: 'sum', value: sum(plain), domain: [], span: item.span });
  const equations = drafts.flatMap((term) => {
    const domain = conjunction(b, [common, term.domain]);
    if (domain.includes(never)) return [];
    const { reducer, value, span } = term;
    return [finish(b, { axes: [...left, ...term.slots], domain, store: indices, reducer, value, span })];
  });
  return equations.length > 0 ? equations : [zeroEquation(b, left, indices, item.span)];
}

/** An integer tensor is made of what stands at its own axes. */
function sumsNothing({ sums }: Placement, { localName }: TensorEntity, { report }: LoweringContext): boolean {
  for (const [product, [axis]] of sums) {
    const message = `\`${report.textOf(product.span)}\` would be summed over \`${axis.name}\`, and \`${localName}\` is i32`;
    report.error('E0510', product.span, message, 'an integer tensor sums nothing: put the axis on the left');
  }
  return sums.size === 0;
}

/** Nothing is ever present: the tensor is 0, which one equation says. */
function zeroEquation(b: Builder, left: readonly number[], store: readonly Affine[], span: Span): Equation {
  const domain = store.map((index): Constraint => ({ kind: 'nonnegative', affine: index }));
  return finish(b, { axes: left, domain: conjunction(b, [domain]), store, reducer: 'sum', value: constant(0), span });
}

function newBuilder(
  target: string,
  left: readonly AxisEntity[],
  placement: Placement,
  scope: Scope,
  context: LoweringContext,
): Builder {
  return {
    context,
    target,
    slots: [],
    placement,
    left,
    axesIn: axesOfEquation(scope),
    guardUses: 0,
    nodes: 0,
    integers: new Set(),
    open: false,
  };
}

function rootEnv(scope: Scope, bound: ReadonlyMap<AxisEntity, number>): Env {
  const { module } = scope.instance;
  return { scope, module, frame: undefined, bound, guards: [], restrictions: [], integers: undefined, functions: [] };
}

/** Axes that nothing sums are reported, and then bound as if something did. */
function reportUnplaced(
  placement: Placement,
  definition: Definition,
  { report }: LoweringContext,
): readonly AxisEntity[] {
  for (const { axis, at, place } of placement.unplaced) {
    const target = report.textOf(definition.item.target.span);
    const inCondition = at.kind === 'where' && place.span.start >= at.condition.span.start;
    const message = inCondition
      ? `\`${axis.name}\` is neither on the left of \`${target}\` nor summed in what this condition restricts`
      : `\`${axis.name}\` is neither on the left of \`${target}\` nor in a product, so nothing says how to reduce it`;
    const help = `write \`sum[${axis.name}](${report.textOf(at.span)})\`, or put \`${axis.name}\` on the left`;
    report.error('E0601', place.span, message, help);
  }
  return [...new Set(placement.unplaced.map(({ axis }) => axis))];
}

interface Position {
  readonly negative: boolean;
  /** Whether each element is this expression at one point and nothing else, so that any reducer may be its equation's. */
  readonly sole: boolean;
}

/** Takes the right-hand side apart into the terms of its outermost sum. */
function lowerTop(b: Builder, e: Syntax, env: Env, position: Position, into: Gathered): void {
  const { negative } = position;
  const signed = (value: Expression): Expression => (negative ? negate(value) : value);
  switch (e.kind) {
    case 'paren':
      lowerTop(b, e.inner, env, position, into);
      return;
    case 'negate':
      lowerTop(b, e.operand, env, { negative: !negative, sole: false }, into);
      return;
    case 'sum':
      for (const { operator, value } of e.terms) {
        lowerTop(b, value, env, { negative: negative !== (operator === '-'), sole: false }, into);
      }
      return;
    case 'where': {
      const { env: inner, constraints, done } = enterWhere(b, e, env);
      into.common.push(constraints);
      lowerTop(b, e.value, inner, position, into);
      done();
      return;
    }
    case 'product': {
      if (!b.placement.sums.has(e)) break;
      const { env: inner, slots, constraints } = bindProduct(b, e, env);
      const lowered = lowerFactors(b, factorsOf(e), inner, e.span);
      const domain = conjunction(b, [lowered.present, lowered.support, constraints]);
      into.terms.push({ slots, reducer: 'sum', value: signed(lowered.value), domain, span: e.span });
      return;
    }
    case 'call': {
      const term = topReduction(b, e, env, position);
      if (term === undefined) break;
      into.terms.push({ ...term, value: signed(term.value), span: e.span });
      return;
    }
    default:
      break;
  }
  const lowered: Lowered = lowerValue(b, e, env);
  into.common.push(lowered.present);
  const { value, support } = lowered;
  if (support.length === 0) into.plain.push(signed(value));
  else into.terms.push({ slots: [], reducer: 'sum', value: signed(value), domain: support, span: e.span });
}

/** A reduction that can be the equation's own: over axes that are not on the left, and alone unless it is a sum. */
function topReduction(b: Builder, e: Call, env: Env, { negative, sole }: Position): Omit<Term, 'span'> | undefined {
  const callee = calleeOf(e, env.module);
  if (callee.kind !== 'reduction' || e.arguments.length !== 1 || (e.axes === undefined && !e.every)) return undefined;
  const { reduction } = callee;
  if (!isPlain(reduction) || env.integers !== undefined) return undefined;
  if (reduction !== 'sum' && reduction !== 'mean' && (negative || !sole)) return undefined;
  const axes = reducedAxes(b, e, env);
  if (axes.some((axis) => env.bound.has(axis))) return undefined;
  const { env: inner, slots } = enterReduction(b, axes, env);
  const before = b.guardUses;
  const argument = lowerValue(b, e.arguments[0], inner);
  return draftReduction(b, reduction, slots, argument, around(b, inner, before), e.span);
}

function isPlain(reduction: Reduction): reduction is PlainReduction {
  return reduction !== 'softmax' && reduction !== 'var' && reduction !== 'rms';
}

/** What is written lies at 0 or above; there is no upper bound, the extent follows what is written. */
function checkWrites(b: Builder, { item }: Definition, store: readonly Affine[], domain: readonly Constraint[]): void {
  const { report } = b.context;
  store.forEach((index, d) => {
    if (!(range(index, b.slots).min < 0)) return;
    const outside: Constraint = { kind: 'nonnegative', affine: affine(-1 - index.constant, negated(index)) };
    const point = pointOf(b, [...domain, outside]);
    if (point === undefined) return;
    const written = item.indices?.[d]?.span ?? item.target.span;
    const text = report.textOf(written);
    const at = point === 'unknown' || isConstant(index) ? '' : ` at ${shownPoint(b, index, point)}`;
    const value =
      point === 'unknown'
        ? range(index, b.slots).min
        : index.terms.reduce((v, t) => v + t.coefficient * point[t.axis], index.constant);
    const help = isConstant(index) ? undefined : `leave it out: \`… where ${text} >= 0\``;
    report.error('E0504', written, `\`${text}\` is ${value}${at}, and indices count from 0`, help);
  });
}

function negated(a: Affine): Affine['terms'] {
  return a.terms.map(({ axis, coefficient }) => ({ axis, coefficient: -coefficient }));
}

/** An `=` writes each element at most once: no two points of the domain store to the same place. */
function checkOnce(b: Builder, tensor: TensorEntity, definition: Definition, domain: readonly Constraint[]): void {
  const { item, leftAxes, store } = definition;
  const { report } = b.context;
  const extents = leftAxes.map((axis) => axisExtent(axis, b.context));
  if (extents.includes(undefined)) return;
  const free = undetermined(store as readonly Affine[], extents);
  if (free.length === 0) return;
  // The axes a second time: another point that stores to the same element.
  const n = b.slots.length;
  const twin: Builder = { ...b, slots: [...b.slots, ...b.slots] };
  const shift = (a: Affine): Affine =>
    affine(
      a.constant,
      a.terms.map((t) => ({ ...t, axis: t.axis + n })),
    );
  const same = (store as readonly Affine[]).map(
    (a): Constraint => ({ kind: 'zero', affine: affine(0, [...a.terms, ...negated(shift(a))]) }),
  );
  const both = [...domain, ...domain.map((c) => rewriteConstraint(c, { affine: shift })), ...same];
  for (const axis of free) {
    const later: Affine = affine(-1, [
      { axis: axis + n, coefficient: 1 },
      { axis, coefficient: -1 },
    ]);
    const point = pointOf(twin, [...both, { kind: 'nonnegative', affine: later }]);
    if (point === undefined) continue;
    const written = report.textOf({ ...item.target.span, end: item.indices?.at(-1)?.span.end ?? item.target.span.end });
    const shown = (offset: number): string =>
      leftAxes.map((a, i) => `${a.name} = ${point === 'unknown' ? '?' : point[i + offset]}`).join(', ');
    const twice = point === 'unknown' ? '' : `: at ${shown(0)} and at ${shown(n)}`;
    const place = item.indices === undefined ? written : `${written}]`;
    const message = `\`${place} =\` writes an element of \`${tensor.localName}\` twice${twice}`;
    report.error('E0505', item.target.span, message, 'write `+=` if the values are to be added');
    return;
  }
}

/** Whether no two points of the left's axes store to one element, as far as the store map alone tells. */
function storesApart({ leftAxes, store, broken }: Definition, context: LoweringContext): boolean {
  const extents = leftAxes.map((axis) => axisExtent(axis, context));
  return !broken && undetermined(store as readonly Affine[], extents).length === 0;
}

/** Axes whose index the stored place does not tell at once: not alone in a position, nor digits of one. */
function undetermined(store: readonly Affine[], extents: readonly (number | undefined)[]): readonly number[] {
  const free = new Set(extents.map((_, axis) => axis).filter((axis) => extents[axis] !== 1));
  for (let more = true; more; ) {
    more = false;
    for (const index of store) {
      const open = index.terms.filter((term) => free.has(term.axis));
      if (open.length === 0) continue;
      const sorted = [...open].sort((p, q) => Math.abs(p.coefficient) - Math.abs(q.coefficient));
      let reach = 0;
      const digits = sorted.every(({ axis, coefficient }) => {
        const fits = Math.abs(coefficient) > reach;
        reach += Math.abs(coefficient) * ((extents[axis] ?? Number.POSITIVE_INFINITY) - 1);
        return fits;
      });
      if (!digits) continue;
      for (const { axis } of open) free.delete(axis);
      more = true;
    }
  }
  return [...free];
}

/** The initial values of a param: all arithmetic here is real. */
export function lowerInit(tensor: TensorEntity, item: ParamItem, context: LoweringContext): Init | undefined {
  const { report } = context;
  const { init } = item;
  const real = (e: Syntax): number | undefined => realNumber(e, tensor.scope, context);
  switch (init.kind) {
    case 'ones':
      return { kind: 'constant', value: 1 };
    case 'zeros': {
      if (init.fanIn === undefined) return { kind: 'constant', value: 0 };
      const fanIn = fanInOf(init.fanIn, tensor, item, context);
      return fanIn === undefined ? undefined : { kind: 'constant', value: 0, fanIn };
    }
    case 'constant': {
      const value = real(init.value);
      return value === undefined ? undefined : { kind: 'constant', value };
    }
    case 'normal-std': {
      const std = real(init.std);
      if (std !== undefined && std < 0) {
        report.error(
          'E0605',
          init.std.span,
          `the standard deviation \`${report.textOf(init.std.span)}\` = ${std} is negative`,
        );
        return undefined;
      }
      return std === undefined ? undefined : { kind: 'normal', std };
    }
    case 'normal-fan-in': {
      const fanIn = fanInOf(init.axes, tensor, item, context);
      return fanIn === undefined ? undefined : { kind: 'normal', std: 1 / Math.sqrt(fanIn), fanIn };
    }
    default:
      return init satisfies never;
  }
}

/** The product of the extents of the axes that `fan_in` names. */
function fanInOf(
  axes: readonly Identifier[],
  tensor: TensorEntity,
  item: ParamItem,
  context: LoweringContext,
): number | undefined {
  const { report } = context;
  const names = item.axes?.map((axis) => axis.text) ?? [];
  let fanIn = 1;
  const seen = new Set<string>();
  for (const name of axes) {
    const position = names.indexOf(name.text);
    if (position < 0 || seen.has(name.text)) {
      const near = report.suggest(name.text, names);
      const message =
        position < 0
          ? `\`${name.text}\` is not an axis of \`${item.name.text}\`, which has ${names.join(', ') || 'none'}`
          : `the axis \`${name.text}\` stands twice in \`fan_in\``;
      report.error('E0605', name.span, message, near);
      return undefined;
    }
    seen.add(name.text);
    const axis = tensor.axes[position];
    const extent = axis && axisExtent(axis, context);
    if (extent === undefined) return undefined;
    fanIn *= extent;
  }
  return fanIn;
}

/** An expression of numbers, sizes and consts: all arithmetic in it is real. */
export function realNumber(e: Syntax, scope: Scope, context: LoweringContext): number | undefined {
  const { report } = context;
  const placement = placeSums(e, new Set(), scope);
  const b = newBuilder('', [], placement, scope, context);
  const errors = report.diagnostics.length;
  const { env } = bind(
    b,
    rootEnv(scope, new Map()),
    placement.unplaced.map(({ axis }) => axis),
  );
  const { value } = lowerValue(b, e, env);
  if (report.diagnostics.length > errors || !isSaid(value)) return undefined;
  if (value.kind === 'constant') return value.value;
  report.error('E0605', e.span, `\`${report.textOf(e.span)}\` is not a number: only sizes and consts may stand here`);
  return undefined;
}
