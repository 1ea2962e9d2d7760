/**
 * Expressions of the language → scalar expressions over loads, with where they are present.
 *
 * All arithmetic of values is real: a size is its number. What is pointwise is present where all of its parts are; sums and
 * products of a part's own (Einstein sums that are not the equation's, and named reductions) become tensors, see `builder.ts`.
 *
 * The trap is doubling: a function's argument may stand many times in its body, and calls nest. An argument is lowered once a
 * call; if it is large and needed more than once it becomes a tensor.
 */
import { affine, axisIndex, isConstant } from '../ir/affine.ts';
import { binary, constant, divide, load, negate, product, select, sum, unary } from '../ir/expression.ts';
import type { Constraint, Expression } from '../ir/program.ts';
import { binaryFunctions, unaryFunctions } from '../ir/scalar.ts';
import type { ProductFactor, Expression as Syntax } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { axesNamed, evaluateIndex, meaningOf, reportUnknown } from './arithmetic.ts';
import {
  type BodyFrame,
  type Builder,
  bind,
  conjunction,
  type Env,
  inlineLimit,
  isSaid,
  type Lowered,
  lift,
  materialised,
  never,
  nodeCount,
  placeholder,
  present,
} from './builder.ts';
import {
  binaryFunctions as binaryNames,
  type Call,
  calleeOf,
  reductions,
  unaryFunctions as unaryNames,
} from './calls.ts';
import type { AxisSet } from './einstein.ts';
import { factorsOf, frameAxes } from './einstein.ts';
import { functionIn, type VisibleFunction } from './files.ts';
import { axesOf, comparisonsOf, constraintIfAffine, constraintOf, splitWhere } from './lower-condition.ts';
import { indexContext, lowerIndices } from './lower-index.ts';
import { lowerReduction } from './lower-reduction.ts';
import { type AxisEntity, actual, kindName, type TensorEntity } from './model.ts';
import { resolve } from './references.ts';
import { LimitError } from './report.ts';
import { count, rankOf } from './shapes.ts';
import { sizeValue } from './sizes.ts';
import { referencesIn } from './walk.ts';

type Product = Syntax & { readonly kind: 'product' };

const functionDepth = 64;
/** Nodes of one definition with its functions written out: a sum of 20,000 terms has a tenth of it. */
const definitionLimit = 400_000;
const largestFloat = 3.4028234663852886e38;

export function lowerValue(b: Builder, e: Syntax, env: Env): Lowered {
  const { report } = b.context;
  report.spend(1, e.span, 'this expression, its functions written out,');
  if (++b.nodes > definitionLimit) throw new LimitError(e.span, 'this expression, its functions written out,');
  switch (e.kind) {
    case 'number':
      return number(b, e.value, e.span);
    case 'list':
      return refuse(b, e, 'a list is not a value');
    case 'name':
      return lowerName(b, e, env);
    case 'read':
      return lowerRead(b, e, env);
    case 'call':
      return lowerCall(b, e, env);
    case 'group':
      return refuse(b, e, `the group \`${report.textOf(e.span)}\` can only be an index`);
    case 'paren':
      return lowerValue(b, e.inner, env);
    case 'negate': {
      const operand = lowerValue(b, e.operand, env);
      return { ...operand, value: negate(operand.value) };
    }
    case 'sum': {
      const terms = e.terms.map(({ operator, value }) => {
        const term = lowerValue(b, value, env);
        const written = materialised(term);
        return { value: operator === '+' ? written : negate(written), present: term.present };
      });
      const value = fold(b, sum(terms.map((term) => term.value)), e.span);
      return {
        value,
        present: conjunction(
          b,
          terms.map((term) => term.present),
        ),
        support: [],
      };
    }
    case 'product':
      return lowerProduct(b, e, env);
    case 'power':
      return pointwise(b, [e.base, e.exponent], env, e.span, ([base, exponent]) => binary('power', base, exponent));
    case 'compare':
    case 'and':
      return refuse(b, e, 'a comparison is not a value', 'write `select(condition, 1, 0)`');
    case 'where':
      return lowerWhere(b, e, env);
    default:
      return e satisfies never;
  }
}

function refuse(b: Builder, e: Syntax, message: string, help?: string): Lowered {
  b.context.report.error('E0603', e.span, message, help);
  return placeholder;
}

function number(b: Builder, value: number, span: Span): Lowered {
  if (Math.abs(value) <= largestFloat) return present(constant(value));
  const { report } = b.context;
  const shown = Number.isFinite(value) ? 'too large for 32 bits' : 'not a finite number';
  report.error('E0604', span, `\`${report.textOf(span)}\` is ${value}, ${shown}`);
  return placeholder;
}

/** Constants are computed at once, in full precision; what is not finite is a mistake. */
function fold(b: Builder, e: Expression, span: Span): Expression {
  if (e.kind === 'constant') return number(b, e.value, span).value;
  if (e.kind === 'unary' && e.operand.kind === 'constant') {
    return number(b, unaryFunctions[e.operator](e.operand.value), span).value;
  }
  if (e.kind === 'binary' && e.left.kind === 'constant' && e.right.kind === 'constant') {
    return number(b, binaryFunctions[e.operator](e.left.value, e.right.value), span).value;
  }
  return e;
}

/** A scalar function of several parts: present where all are. */
function pointwise(
  b: Builder,
  parts: readonly Syntax[],
  env: Env,
  span: Span,
  apply: (values: readonly Expression[]) => Expression,
): Lowered {
  const lowered = parts.map((part) => lowerValue(b, part, env));
  const value = fold(b, apply(lowered.map(materialised)), span);
  return {
    value,
    present: conjunction(
      b,
      lowered.map((l) => l.present),
    ),
    support: [],
  };
}

// Names and reads

function lowerName(b: Builder, e: Syntax & { kind: 'name' }, env: Env): Lowered {
  const { report } = b.context;
  const { name, members } = e.reference;
  if (env.frame !== undefined) {
    const meaning = members.length > 0 ? undefined : meaningOf(name.text, env.scope, env.frame);
    if (meaning === undefined) {
      reportUnknown(name, { scope: env.scope, frame: env.frame, report });
      return placeholder;
    }
    if (meaning.kind === 'argument') return lowerParameter(b, name.text, env.frame, env);
    if (meaning.kind === 'axes' && meaning.axes.length !== 1) {
      const message = `\`${name.text}\` stands for ${count(meaning.axes.length, 'axis')} in this call, and cannot be a number`;
      report.error('E0408', e.span, message);
      return placeholder;
    }
    const [axis] = meaning.kind === 'axes' ? meaning.axes : [];
    return axis === undefined ? placeholder : axisNumber(b, axis, e.span, env);
  }
  const entity = resolve(e.reference, env.scope, b.context);
  if (entity === undefined) return placeholder;
  switch (entity.kind) {
    case 'size': {
      const value = sizeValue(entity, b.context);
      if (value === undefined) return placeholder;
      if (typeof value === 'number') return number(b, value, e.span);
      return refuse(
        b,
        e,
        `the size \`${name.text}\` is a list, and not a value`,
        `read one entry: \`${name.text}[0]\``,
      );
    }
    case 'axis':
      return axisNumber(b, entity, e.span, env);
    case 'tensor':
      return lowerLoad(b, entity, [], e.span, env);
    case 'instance':
    case 'postponed': {
      const help = entity.kind === 'instance' ? `name one of its tensors: \`${name.text}.y[…]\`` : undefined;
      report.error('E0402', e.span, `\`${report.textOf(e.span)}\` is ${kindName(entity)}, not a value`, help);
      return placeholder;
    }
    default:
      return entity satisfies never;
  }
}

function axisNumber(b: Builder, axis: AxisEntity, span: Span, env: Env): Lowered {
  const slot = env.bound.get(axis);
  const index = slot === undefined ? indexContext(b, env, 'a value', span).axisIndex?.(axis) : axisIndex(slot);
  return present({ kind: 'index', affine: index ?? affine(0) });
}

function lowerRead(b: Builder, e: Syntax & { kind: 'read' }, env: Env): Lowered {
  const { report } = b.context;
  const { name, members } = e.reference;
  const meaning = meaningOf(name.text, env.scope, env.frame);
  if (env.frame !== undefined) {
    if (meaning === undefined || members.length > 0)
      reportUnknown(name, { scope: env.scope, frame: env.frame, report });
    else {
      const message = `\`${name.text}\` is a ${meaning.kind === 'argument' ? 'parameter' : 'name'} of the function, not a tensor`;
      report.error('E0402', e.span, message, `write \`${name.text}\` without brackets: it is the whole argument`);
    }
    return placeholder;
  }
  const isSize = members.length === 0 && meaning?.kind === 'entity' && meaning.entity.kind === 'size';
  if (isSize) {
    const value = evaluateIndex(e, indexContext(b, env, 'an index of a list', e.span));
    return value?.kind === 'affine' && isConstant(value) ? number(b, value.constant, e.span) : placeholder;
  }
  const entity = resolve(e.reference, env.scope, b.context);
  if (entity?.kind === 'tensor') return lowerLoad(b, entity, e.indices, e.span, env);
  if (entity !== undefined) {
    const written = report.textOf(e.reference.span);
    report.error('E0402', e.reference.span, `\`${written}\` is ${kindName(entity)}, not a tensor`);
  }
  return placeholder;
}

function lowerLoad(b: Builder, tensor: TensorEntity, written: readonly Syntax[], span: Span, env: Env): Lowered {
  const { report } = b.context;
  if (written.length === 0 && rankOf(tensor) > 0) {
    const message = `\`${report.textOf(span)}\` has ${count(rankOf(tensor), 'axis')}, and is written without indices`;
    report.error('E0501', span, message);
    return placeholder;
  }
  const indices = lowerIndices(b, tensor, written, span, env);
  return indices === undefined ? placeholder : present(load(actual(tensor).name, indices));
}

// Products and conditions

export interface BoundProduct {
  readonly env: Env;
  readonly slots: readonly number[];
  readonly constraints: readonly Constraint[];
}

/** The axes that a product sums, bound, and the conditions around that now restrict the sum. */
export function bindProduct(b: Builder, e: Syntax, env: Env): BoundProduct {
  const axes = env.frame === undefined ? b.placement.sums.get(e) : undefined;
  if (axes === undefined) return { env, slots: [], constraints: [] };
  const { env: inner, slots } = bind(b, env, axes);
  const ready = inner.restrictions.filter(
    (r) => [...r.axes].every((axis) => inner.bound.has(axis)) && axes.some((axis) => r.axes.has(axis)),
  );
  const found = ready.map((restriction) => {
    restriction.used = true;
    return constraintOf(b, restriction.condition, inner);
  });
  if (found.includes(undefined)) b.open = true;
  const constraints = conjunction(b, [found.filter((c) => c !== undefined)]);
  return {
    env: {
      ...inner,
      guards: conjunction(b, [inner.guards, constraints]),
      restrictions: inner.restrictions.filter((r) => !ready.includes(r)),
    },
    slots,
    constraints,
  };
}

function lowerProduct(b: Builder, e: Product, env: Env): Lowered {
  const { env: inner, slots, constraints } = bindProduct(b, e, env);
  const before = b.guardUses;
  const lowered = lowerFactors(b, factorsOf(e), inner, e.span);
  if (slots.length === 0) return lowered;
  const value = lift(b, {
    label: 'sum',
    reduced: slots,
    reducer: 'sum',
    value: lowered.value,
    domain: conjunction(b, [lowered.present, lowered.support, constraints]),
    guards: b.guardUses > before ? env.guards : [],
    span: e.span,
  });
  return present(value);
}

export function lowerFactors(b: Builder, factors: readonly ProductFactor[], env: Env, span: Span): Lowered {
  const { report } = b.context;
  let values: Expression[] = [];
  const presents: (readonly Constraint[])[] = [];
  const supports: (readonly Constraint[])[] = [];
  for (const { operator, value: written } of factors) {
    const factor = lowerValue(b, written, env);
    presents.push(factor.present);
    if (operator === '*') {
      values.push(factor.value);
      supports.push(factor.support);
      continue;
    }
    const right = materialised(factor);
    if (operator === '/') {
      if (right.kind === 'constant' && right.value === 0) {
        report.error('E0604', written.span, `\`${report.textOf(written.span)}\` is 0, and divides`);
        return placeholder;
      }
      const left = product(values);
      values = [left.kind === 'constant' ? foldDivide(left, right) : divide(left, right)];
      continue;
    }
    const left = product(values);
    if (!isSaid(left) || !isSaid(right)) return placeholder;
    if (left.kind !== 'constant' || right.kind !== 'constant') {
      report.error('E0603', written.span, '`%` in a value takes sizes only');
      return placeholder;
    }
    values = [constant(left.value - right.value * Math.floor(left.value / right.value))];
  }
  return {
    value: fold(b, product(values), span),
    present: conjunction(b, presents),
    support: conjunction(b, supports),
  };
}

function foldDivide(left: Expression, right: Expression): Expression {
  return left.kind === 'constant' && right.kind === 'constant'
    ? constant(left.value / right.value)
    : binary('divide', left, right);
}

function lowerWhere(b: Builder, e: Syntax & { kind: 'where' }, env: Env): Lowered {
  const { env: inner, constraints, done } = enterWhere(b, e, env);
  const lowered = lowerValue(b, e.value, inner);
  done();
  return { ...lowered, present: conjunction(b, [lowered.present, constraints]) };
}

/** The conditions of a `where` put around what stands in it; `done` tells those that nothing in it summed over. */
export function enterWhere(
  b: Builder,
  e: Syntax & { kind: 'where' },
  env: Env,
): { readonly env: Env; readonly constraints: readonly Constraint[]; readonly done: () => void } {
  const { constraints, restrictions } = splitWhere(b, e.condition, env);
  const inner: Env = {
    ...env,
    guards: conjunction(b, [env.guards, constraints]),
    restrictions: [...env.restrictions, ...restrictions],
  };
  const { report } = b.context;
  const done = (): void => {
    for (const { condition, axes, used } of restrictions) {
      if (used) continue;
      const names = [...axes].filter((axis) => !env.bound.has(axis)).map((axis) => `\`${axis.name}\``);
      const message = `no one sum is over ${names.join(' and ')}, which \`${report.textOf(condition.span)}\` would restrict`;
      report.error('E0606', condition.span, message);
    }
  };
  return { env: inner, constraints, done };
}

// Calls

function lowerCall(b: Builder, e: Call, env: Env): Lowered {
  const { report } = b.context;
  const callee = calleeOf(e, env.module);
  const name = e.callee.text;
  if (callee.kind !== 'reduction' && callee.kind !== 'function' && (e.axes !== undefined || e.every)) {
    if (callee.kind !== 'unknown') {
      report.error('E0408', e.span, `\`${name}\` takes no axes in brackets`);
      return placeholder;
    }
  }
  switch (callee.kind) {
    case 'unary':
      if (!takes(b, e, 1)) return placeholder;
      return pointwise(b, e.arguments, env, e.span, ([x]) => unary(callee.operator, x));
    case 'binary': {
      const [least, most] = callee.operator === 'power' ? [2, 2] : [2, Number.POSITIVE_INFINITY];
      if (!takes(b, e, least, most)) return placeholder;
      return pointwise(b, e.arguments, env, e.span, (values) =>
        values.reduce((left, right) => fold(b, binary(callee.operator, left, right), e.span)),
      );
    }
    case 'select':
      return takes(b, e, 3) ? lowerSelect(b, e, env) : placeholder;
    case 'reduction':
      if (e.axes === undefined && !e.every) {
        const text = report.textOf(e.span);
        const arg = e.arguments[0] === undefined ? '…' : report.textOf(e.arguments[0].span);
        report.error('E0408', e.span, `\`${text}\` does not say over which axes`, `write \`${name}[i](${arg})\``);
        return placeholder;
      }
      return takes(b, e, 1) ? lowerReduction(b, e, callee.reduction, env) : placeholder;
    case 'size':
      return lowerSizeCall(b, e, env);
    case 'function':
      return lowerFunction(b, e, callee.found, env);
    case 'unknown': {
      const { functions } = env.module;
      const library = ['layernorm', 'rmsnorm', 'cross_entropy', 'rms_clip'].filter((f) => functionIn(env.module, f));
      const known = [
        ...functions.keys(),
        ...unaryNames.keys(),
        ...binaryNames.keys(),
        'select',
        ...reductions,
        ...library,
      ];
      const near = report.suggest(name, known);
      report.error('E0407', e.callee.span, `there is no function \`${name}\``, near);
      return placeholder;
    }
    default:
      return callee satisfies never;
  }
}

function takes(b: Builder, e: Call, least: number, most = least): boolean {
  const given = e.arguments.length;
  if (given >= least && given <= most) return true;
  const wanted = count(least, 'argument');
  const text = `\`${e.callee.text}\` takes ${most > least ? `at least ${wanted}` : wanted}, not ${given}`;
  b.context.report.error('E0408', e.span, text);
  return false;
}

/** `len(ranks)`, `sum(ranks)`, `max(ranks)`: functions of sizes, in a value a number. */
function lowerSizeCall(b: Builder, e: Call, env: Env): Lowered {
  const { report } = b.context;
  const name = e.callee.text;
  if (name === 'log2' && e.arguments.length === 1) {
    // All arithmetic of values is real, so that the logarithm need not be whole.
    const operand = lowerValue(b, e.arguments[0], env);
    if (operand.value.kind === 'constant') return number(b, Math.log2(operand.value.value), e.span);
    if (!isSaid(operand.value)) return placeholder;
    report.error('E0603', e.span, '`log2` takes a size; of a value write `log(x) / log(2)`');
    return placeholder;
  }
  const plain = e.arguments.some((argument) =>
    referencesIn(argument).some((reference) => {
      const meaning = meaningOf(reference.name.text, env.scope, env.frame);
      return meaning?.kind === 'entity' && meaning.entity.kind !== 'size' && meaning.entity.kind !== 'postponed';
    }),
  );
  if (plain && reductions.some((r) => r === name)) {
    const argument = report.textOf(e.arguments[0].span);
    const help = `write \`${name}[i](${argument})\` with the axes to reduce, or \`${name}[*](${argument})\``;
    report.error('E0408', e.span, `\`${report.textOf(e.span)}\` does not say over which axes`, help);
    return placeholder;
  }
  const value = evaluateIndex(e, indexContext(b, env, 'a size in a value', e.span));
  return value?.kind === 'affine' && isConstant(value) ? number(b, value.constant, e.span) : placeholder;
}

function lowerSelect(b: Builder, e: Call, env: Env): Lowered {
  const [condition, thenSyntax, otherwiseSyntax] = e.arguments;
  const comparisons = comparisonsOf(b, condition);
  const then = lowerValue(b, thenSyntax, env);
  const otherwise = lowerValue(b, otherwiseSyntax, env);
  const presents = [then.present, otherwise.present];
  const constraints: Constraint[] = [];
  const values: { operator: (typeof comparisons)[number]['operator']; left: Expression; right: Expression }[] = [];
  for (const comparison of comparisons) {
    const constraint = constraintIfAffine(b, comparison, env);
    if (constraint !== undefined) {
      constraints.push(constraint);
      continue;
    }
    const left = lowerValue(b, comparison.left, env);
    const right = lowerValue(b, comparison.right, env);
    presents.push(left.present, right.present);
    values.push({ operator: comparison.operator, left: materialised(left), right: materialised(right) });
  }
  const domain = conjunction(b, [constraints]);
  const other = values.length > 0 && domain.length + values.length > 1 ? small(b, otherwise, env, e.span) : otherwise;
  const no = materialised(other);
  let value = materialised(then);
  for (const { operator, left, right } of values.reverse()) {
    value = select({ kind: 'compare', operator, left, right }, value, no);
  }
  if (domain.includes(never)) value = no;
  else if (domain.length > 0) value = select({ kind: 'domain', constraints: domain }, value, no);
  return { value, present: conjunction(b, presents), support: [] };
}

/** The same value, as a tensor if it is large: for what is needed more than once. */
export function small(b: Builder, lowered: Lowered, env: Env, span: Span, guarded = false): Lowered {
  if (nodeCount(lowered.value) <= inlineLimit) return lowered;
  const value = lift(b, {
    label: 'value',
    reduced: [],
    reducer: 'sum',
    value: lowered.value,
    domain: conjunction(b, [lowered.present, lowered.support]),
    guards: guarded ? env.guards : [],
    span,
  });
  return { value, present: lowered.present, support: [] };
}

// Functions

function lowerFunction(b: Builder, e: Call, found: VisibleFunction, env: Env): Lowered {
  const { report } = b.context;
  const { item, module } = found;
  const name = e.callee.text;
  if (env.functions.includes(item)) {
    const ring = [...env.functions.slice(env.functions.indexOf(item)), item].map((f) => `\`${f.name.text}\``);
    report.error('E0409', e.span, `the function \`${name}\` calls itself: ${ring.join(' → ')}`);
    return placeholder;
  }
  if (env.functions.length >= functionDepth) {
    throw new LimitError(e.span, `functions call each other more than ${functionDepth} deep`);
  }
  const axes = callAxes(b, e, item.axes, env);
  if (!takes(b, e, item.parameters.length) || axes === undefined) return placeholder;
  const taken = axes.flatMap((set) => [...set]);
  const { env: callEnv } = bind(b, env, [...taken, ...(b.placement.absorbed.get(e) ?? [])]);
  const frame: BodyFrame = {
    parameters: new Map(
      item.parameters.map(({ text }, i) => [text, { expression: e.arguments[i], scope: env.scope, frame: env.frame }]),
    ),
    axes: new Map((item.axes ?? []).map(({ text }, i) => [text, [...axes[i]]])),
    callEnv,
    parameterAxes: keptAxes(b, e, found, callEnv),
    uses: usesIn(found),
    memo: new Map(),
  };
  const site = report.site;
  report.site ??= e.span;
  const lowered = lowerValue(b, item.body, {
    scope: env.scope,
    module,
    frame,
    bound: callEnv.bound,
    guards: env.guards,
    restrictions: [],
    functions: [...env.functions, item],
  });
  report.site = site;
  return lowered;
}

/** The axes of a call for each declared one; several may be given for one. */
function callAxes(
  b: Builder,
  e: Call,
  declared: VisibleFunction['item']['axes'],
  env: Env,
): readonly AxisSet[] | undefined {
  const { report } = b.context;
  const name = e.callee.text;
  const wanted = declared?.length ?? 0;
  const given = e.axes?.length ?? 0;
  if (e.every) {
    report.error('E0408', e.span, `\`[*]\` is for reductions; \`${name}\` takes ${count(wanted, 'axis')} by name`);
    return undefined;
  }
  if (wanted === 0 && given === 0) return [];
  if (wanted === 0 || given === 0 || (wanted > 1 && given !== wanted)) {
    const text = `\`${name}\` takes ${count(wanted, 'axis')} in brackets, not ${given}`;
    const help = given === 0 ? `write \`${name}[${(declared ?? []).map((a) => a.text).join(', ')}](…)\`` : undefined;
    report.error('E0408', e.span, text, help);
    return undefined;
  }
  const sets: AxisSet[] = [];
  const seen = new Set<AxisEntity>();
  for (const axis of e.axes ?? []) {
    const found = axesNamed(axis, { scope: env.scope, frame: env.frame, report });
    if (found === undefined) return undefined;
    if (found.some((a) => seen.has(a))) {
      report.error('E0507', axis.span, `the axis \`${axis.text}\` stands twice in the brackets of \`${name}\``);
      return undefined;
    }
    for (const a of found) seen.add(a);
    sets.push(new Set(found));
  }
  return frameAxes(declared, sets);
}

/** The axes of each argument that are left after its own sums. */
function keptAxes(b: Builder, e: Call, { item }: VisibleFunction, callEnv: Env): (name: string) => AxisSet | undefined {
  const known = new Map<string, AxisSet>();
  return (name) => {
    const position = item.parameters.findIndex((p) => p.text === name);
    if (position < 0) return undefined;
    let axes = known.get(name);
    if (axes === undefined) {
      axes = new Set([...axesOf(b, e.arguments[position], callEnv)].filter((axis) => callEnv.bound.has(axis)));
      known.set(name, axes);
    }
    return axes;
  };
}

const usesCache = new WeakMap<VisibleFunction['item'], ReadonlyMap<string, number>>();

function usesIn({ item }: VisibleFunction): ReadonlyMap<string, number> {
  const known = usesCache.get(item);
  if (known !== undefined) return known;
  const uses = new Map<string, number>();
  for (const { name } of referencesIn(item.body)) uses.set(name.text, (uses.get(name.text) ?? 0) + 1);
  usesCache.set(item, uses);
  return uses;
}

function lowerParameter(b: Builder, name: string, frame: BodyFrame, env: Env): Lowered {
  const known = frame.memo.get(name);
  if (known !== undefined) return known;
  const argument = frame.parameters.get(name);
  if (argument === undefined) return placeholder;
  const before = b.guardUses;
  const inner: Env = { ...frame.callEnv, guards: env.guards };
  const plain = lowerValue(b, argument.expression, inner);
  const guarded = b.guardUses > before;
  const again = (frame.uses.get(name) ?? 0) > 1;
  const lowered = again ? small(b, plain, inner, argument.expression.span, guarded) : plain;
  // What only the conditions around this use keep inside its bounds is lowered anew for the next use.
  if (!guarded) frame.memo.set(name, lowered);
  return lowered;
}
