/**
 * Expressions of the language → scalar expressions over loads, with where they are present.
 *
 * All arithmetic of values is real: a size is its number. What is pointwise is present where all of its parts are; sums
 * and products of a part's own (Einstein sums that are not the equation's, and named reductions) become tensors, see
 * `builder.ts`.
 *
 * The trap is doubling: a function's argument may stand many times in its body, and calls nest. An argument is lowered
 * once a call; if it is large and needed more than once it becomes a tensor.
 */
import { affine, axisIndex, isConstant } from '../ir/affine.ts';
import { binary, constant, divide, load, negate, product, sum } from '../ir/expression.ts';
import type { Affine, Constraint, Expression } from '../ir/program.ts';
import { binaryFunctions, largestF32, unaryFunctions } from '../ir/scalar.ts';
import type { ProductFactor, Expression as Syntax } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { evaluateAffine, evaluateIndex } from './arithmetic.ts';
import {
  around,
  type Builder,
  bind,
  conjunction,
  type Env,
  type Lowered,
  lift,
  materialised,
  placeholder,
  present,
} from './builder.ts';
import { constValue } from './consts.ts';
import { factorsOf } from './einstein.ts';
import { isWholeValue, meantWhole, needsIntegers, refuseReal } from './integers.ts';
import { lowerCall } from './lower-call.ts';
import { constraintsOf, splitWhere } from './lower-condition.ts';
import { lowerParameter } from './lower-function.ts';
import { declaredAs, indexContext, lowerIndices } from './lower-index.ts';
import { type AxisEntity, actual, kindName, type TensorEntity } from './model.ts';
import { meaningOf, reportUnknown } from './names.ts';
import { resolve } from './references.ts';
import { LimitError } from './report.ts';
import { count, rankOf } from './shapes.ts';
import { sizeValue } from './sizes.ts';

type Product = Syntax & { readonly kind: 'product' };

/** Nodes of one definition with its functions written out: a sum of 20,000 terms has a tenth of it. */
const definitionLimit = 400_000;

export function lowerValue(b: Builder, e: Syntax, env: Env): Lowered {
  const { report } = b.context;
  report.spend(1, e.span, 'this expression, its functions written out,');
  if (++b.nodes > definitionLimit) throw new LimitError(e.span, 'this expression, its functions written out,');
  switch (e.kind) {
    case 'number':
      if (env.integers !== undefined && !Number.isSafeInteger(e.value)) {
        refuseReal(b, e.span, `${e.text} is not a whole number, and ${meantWhole(env)} takes only those`);
        return placeholder;
      }
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
      if (env.integers !== undefined) {
        const value = evaluateAffine(e, indexContext(b, env, meantWhole(env), e.span));
        return value === undefined ? placeholder : present(ofAffine(value));
      }
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

/** Positions as a number. */
function ofAffine(a: Affine): Expression {
  return isConstant(a) ? constant(a.constant) : { kind: 'index', affine: a };
}

function refuse(b: Builder, e: Syntax, message: string, help?: string): Lowered {
  b.context.report.error('E0603', e.span, message, help);
  return placeholder;
}

export function number(b: Builder, value: number, span: Span): Lowered {
  if (Math.abs(value) <= largestF32) return present(constant(value));
  const { report } = b.context;
  const shown = Number.isFinite(value) ? 'too large for 32 bits' : 'not a finite number';
  report.error('E0604', span, `\`${report.textOf(span)}\` is ${value}, ${shown}`);
  return placeholder;
}

/** Constants are computed at once, in full precision; what is not finite is a mistake. */
export function fold(b: Builder, e: Expression, span: Span): Expression {
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
export function pointwise(
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
      const stands = `\`${name.text}\` stands for ${count(meaning.axes.length, 'axis')} in this call`;
      const message = `${stands}, and cannot be a number`;
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
    case 'const': {
      const value = constValue(entity, b.context);
      return value === undefined ? placeholder : number(b, value, e.span);
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
      const kind = meaning.kind === 'argument' ? 'parameter' : 'name';
      const message = `\`${name.text}\` is a ${kind} of the function, not a tensor`;
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
    report.error('E0501', span, message, declaredAs(tensor));
    return placeholder;
  }
  const { dtype, name } = actual(tensor);
  if (dtype === 'i32') b.integers.add(name);
  else if (env.integers !== undefined) {
    refuseReal(b, span, `\`${report.textOf(span)}\` is ${dtype}, and ${meantWhole(env)} takes whole numbers`);
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
    return constraintsOf(b, restriction.condition, inner);
  });
  if (found.includes(undefined)) b.open = true;
  const constraints = conjunction(
    b,
    found.filter((c) => c !== undefined),
  );
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
  if (env.integers === 'index' && e.factors.some((factor) => factor.operator === '/')) {
    if (needsIntegers(e, env)) {
      const { report } = b.context;
      const message = `\`${report.textOf(e.span)}\` divides, and \`/\` rounds down in an integer tensor alone`;
      refuseReal(b, e.span, message, 'define it: `quotient[…]: i32 = …`, and read that here');
      return placeholder;
    }
    const value = evaluateAffine(e, indexContext(b, env, 'an index', e.span));
    return value === undefined ? placeholder : present(ofAffine(value));
  }
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
    around: around(b, env, before),
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
    if (right.kind === 'constant' && right.value === 0) {
      report.error('E0604', written.span, `\`${report.textOf(written.span)}\` is 0, and divides`);
      return placeholder;
    }
    const left = product(values);
    if (operator === '/') {
      if (env.integers !== undefined) {
        values = [fold(b, binary('quotient', left, right), span)];
        continue;
      }
      values = [left.kind === 'constant' ? foldDivide(left, right) : divide(left, right)];
      continue;
    }
    if (!isWholeValue(b, left) || !isWholeValue(b, right)) {
      const message = '`%` takes whole numbers: sizes, axes and integer tensors';
      report.error('E0603', written.span, message);
      return placeholder;
    }
    values = [fold(b, binary('remainder', left, right), span)];
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
      const written = report.textOf(condition.span);
      const message = `no one sum is over ${names.join(' and ')}, which \`${written}\` would restrict`;
      report.error('E0606', condition.span, message);
    }
  };
  return { env: inner, constraints, done };
}
