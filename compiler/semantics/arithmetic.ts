/**
 * Index arithmetic: the integers of sizes, axes, checks and level bounds, and the affine expressions of indices and
 * conditions, which are the same arithmetic with axes in it. `/` is exact here, or it is a mistake; the real arithmetic
 * of values is in `lower-value.ts`.
 *
 * `undefined` comes back where a mistake has been reported or a size has no value yet. The trap: 2^l grows out of a
 * double's whole numbers long before anybody looks at it, so every step is checked.
 */
import { add, affine, isConstant, scale } from '../ir/affine.ts';
import type { Affine } from '../ir/program.ts';
import type { Expression } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { type AxisEntity, kindName, lookUp, type Scope } from './model.ts';
import { type Frame, meaningOf, reportUnknown, type Wanted } from './names.ts';
import { evaluateCall } from './size-functions.ts';
import { axisExtent, type SizeContext, sizeValue } from './sizes.ts';
import { referencesIn } from './walk.ts';

/** What an axis's extent is called. */
export const axisSize = "an axis's size";

export interface List {
  readonly kind: 'list';
  readonly values: readonly number[];
}

export interface IndexContext extends SizeContext {
  readonly scope: Scope;
  readonly frame: Frame | undefined;
  /** What an axis is; absent where no axis may stand. */
  readonly axisIndex: ((axis: AxisEntity) => Affine) | undefined;
  /** What is being written: `a size`, `an index`, `a condition`. */
  readonly what: string;
}

export function evaluateIndex(e: Expression, context: IndexContext): Affine | List | undefined {
  const { report } = context;
  switch (e.kind) {
    case 'number':
      if (!Number.isSafeInteger(e.value)) {
        const help =
          context.what === 'a condition'
            ? 'multiply both sides until all numbers are whole: for `u <= 1.5 * t` write `2 * u <= 3 * t`'
            : undefined;
        report.error('E0305', e.span, `${e.text} is not a whole number, and ${context.what} takes only those`, help);
        return undefined;
      }
      return affine(e.value);
    case 'list': {
      const values = e.elements.map((element) => evaluateNumber(element, context));
      return values.includes(undefined) ? undefined : { kind: 'list', values: values as number[] };
    }
    case 'name':
      return evaluateName(e, context);
    case 'read':
      return evaluateElement(e, context);
    case 'call':
      return evaluateCall(e, context);
    case 'group':
      report.error('E0502', e.span, `the group \`${report.textOf(e.span)}\` can only be a whole index`);
      return undefined;
    case 'paren':
      return evaluateIndex(e.inner, context);
    case 'negate': {
      const operand = evaluateAffine(e.operand, context);
      return operand && scale(operand, -1);
    }
    case 'sum': {
      const terms = e.terms.map(({ operator, value }) => {
        const term = evaluateAffine(value, context);
        return term && (operator === '+' ? term : scale(term, -1));
      });
      if (terms.includes(undefined)) return undefined;
      const known = terms as Affine[];
      const constant = known.reduce((total, term) => total + term.constant, 0);
      return inRange(
        affine(
          constant,
          known.flatMap((term) => term.terms),
        ),
        e.span,
        context,
      );
    }
    case 'product':
      return evaluateProduct(e, context);
    case 'power': {
      const base = evaluateNumber(e.base, context);
      const exponent = evaluateNumber(e.exponent, context);
      if (base === undefined || exponent === undefined) return undefined;
      if (exponent < 0) {
        report.error('E0305', e.span, `\`${report.textOf(e.span)}\` is ${base} to the power of ${exponent}, not whole`);
        return undefined;
      }
      return inRange(affine(base ** exponent), e.span, context);
    }
    case 'compare':
    case 'and':
      report.error('E0313', e.span, `a comparison is not a number, and ${context.what} is one`);
      return undefined;
    case 'where':
      report.error('E0313', e.span, `\`where\` cannot stand in ${context.what}`);
      return undefined;
    default:
      return e satisfies never;
  }
}

/** An expression of axes and sizes; a list is reported. */
export function evaluateAffine(e: Expression, context: IndexContext): Affine | undefined {
  const value = evaluateIndex(e, context);
  if (value?.kind !== 'list') return value;
  const { report } = context;
  report.error('E0306', e.span, `\`${report.textOf(e.span)}\` is a list, where a number is needed`);
  return undefined;
}

/** A number; axes and lists are reported. */
export function evaluateNumber(e: Expression, context: IndexContext): number | undefined {
  const value = evaluateAffine(e, context);
  if (value === undefined || isConstant(value)) return value?.constant;
  const { report } = context;
  report.error('E0502', e.span, `\`${report.textOf(e.span)}\` depends on an axis, where a number is needed`);
  return undefined;
}

function inRange(a: Affine, span: Span, { report }: IndexContext): Affine | undefined {
  if (Number.isSafeInteger(a.constant) && a.terms.every((term) => Number.isSafeInteger(term.coefficient))) return a;
  report.error('E0308', span, `\`${report.textOf(span)}\` is too large a number`);
  return undefined;
}

/** An unknown bound of a condition is more likely a size than an axis, though either may stand there. */
function wantedIn({ axisIndex, what }: IndexContext): Wanted {
  if (axisIndex === undefined) return 'size';
  return what === 'an index' ? 'index' : 'bound';
}

function evaluateName(e: Expression & { kind: 'name' }, context: IndexContext): Affine | List | undefined {
  const { report, scope, frame, what } = context;
  const { name, members } = e.reference;
  if (members.length > 0) {
    report.error('E0313', e.span, `\`${report.textOf(e.span)}\` cannot stand in ${what}: only sizes and axes can`);
    return undefined;
  }
  const meaning = meaningOf(name.text, scope, frame);
  if (meaning === undefined) {
    reportUnknown(name, context, wantedIn(context));
    return undefined;
  }
  if (meaning.kind === 'argument') {
    const { expression, scope: argumentScope, frame: argumentFrame } = meaning.argument;
    return evaluateIndex(expression, { ...context, scope: argumentScope, frame: argumentFrame });
  }
  if (meaning.kind === 'axes') {
    if (meaning.axes.length === 1) return axisValue(meaning.axes[0], e.span, context);
    const message = `\`${name.text}\` stands for ${meaning.axes.length} axes in this call, and cannot be an index`;
    report.error('E0408', e.span, message);
    return undefined;
  }
  const { entity } = meaning;
  switch (entity.kind) {
    case 'size':
      return asIndex(sizeValue(entity, context));
    case 'axis':
      return axisValue(entity, e.span, context);
    case 'const':
    case 'tensor':
    case 'instance': {
      const help =
        entity.kind === 'const'
          ? 'a const is real and stands in values; for a whole number write `size`'
          : what === axisSize
            ? `sizes and tensors share one set of names: give the size another, such as \`${name.text}1\``
            : undefined;
      report.error('E0313', e.span, `\`${name.text}\` is ${kindName(entity)}, and cannot stand in ${what}`, help);
      return undefined;
    }
    case 'postponed':
      report.postponed = true;
      return undefined;
    default:
      return entity satisfies never;
  }
}

function asIndex(value: number | readonly number[] | undefined): Affine | List | undefined {
  if (value === undefined) return undefined;
  return typeof value === 'number' ? affine(value) : { kind: 'list', values: value };
}

function axisValue(axis: AxisEntity, span: Span, { axisIndex, report, what }: IndexContext): Affine | undefined {
  if (axisIndex !== undefined) return axisIndex(axis);
  report.error('E0313', span, `\`${axis.name}\` is an axis, and cannot stand in ${what}`);
  return undefined;
}

/** `ranks[l]`. */
function evaluateElement(e: Expression & { kind: 'read' }, context: IndexContext): Affine | undefined {
  const { report, what } = context;
  const { name } = e.reference;
  const bare: Expression = { kind: 'name', reference: e.reference, span: e.reference.span };
  const meaning = meaningOf(name.text, context.scope, context.frame);
  if (meaning?.kind === 'entity' && (meaning.entity.kind === 'tensor' || meaning.entity.kind === 'instance')) {
    const what2 = context.axisIndex === undefined ? what : `a part of ${what}`;
    const message = `\`${report.textOf(e.span)}\` is an element of a tensor, and cannot be ${what2}`;
    report.error('E0313', e.span, message);
    return undefined;
  }
  const list = evaluateIndex(bare, context);
  if (e.indices.length !== 1) {
    report.error('E0501', e.span, `the list \`${name.text}\` takes one index, not ${e.indices.length}`);
    return undefined;
  }
  const index = evaluateNumber(e.indices[0], context);
  if (list === undefined || index === undefined) return undefined;
  if (list.kind !== 'list') {
    report.error('E0306', e.span, `\`${name.text}\` is a number, not a list`);
    return undefined;
  }
  const value = list.values[index];
  if (value === undefined) {
    const written = report.textOf(e.indices[0].span);
    const shown = written === String(index) ? `${index}` : `${written} = ${index}`;
    const have = list.values.length === 0 ? 'is empty' : `has entries 0 .. ${list.values.length - 1}`;
    report.error('E0307', e.indices[0].span, `\`${name.text}\` ${have}, and ${shown} is read`);
    return undefined;
  }
  return affine(value);
}

function evaluateProduct(e: Expression & { kind: 'product' }, context: IndexContext): Affine | undefined {
  const { report } = context;
  const factors = e.factors.map(({ value }) => evaluateAffine(value, context));
  if (factors.includes(undefined)) return undefined;
  let product = factors[0] as Affine;
  for (let i = 1; i < factors.length; i++) {
    const { operator, value: written } = e.factors[i];
    const factor = factors[i] as Affine;
    const next = multiply(product, operator, factor);
    if (typeof next === 'string') {
      const before: Span = { ...e.span, end: e.factors[i - 1].value.span.end };
      const names = `\`${report.textOf(before)}\` ${operator} \`${report.textOf(written.span)}\``;
      const [left, right] = [product, factor].map((a) => (isConstant(a) ? String(a.constant) : 'an axis'));
      const message =
        next === 'inexact'
          ? `${names} is ${left} / ${right}, which is not a whole number`
          : next === 'zero'
            ? `${names} divides ${left} by 0`
            : `${names} is not affine in its axes`;
      const code = next === 'inexact' ? 'E0304' : next === 'zero' ? 'E0305' : 'E0502';
      const whole = { ...e.span, end: written.span.end };
      report.error(code, whole, message, next === 'curved' ? curvedHelp(e, whole, context) : undefined);
      return undefined;
    }
    const safe = inRange(next, e.span, context);
    if (safe === undefined) return undefined;
    product = safe;
  }
  return product;
}

/** What is no sum of axes is an integer tensor, where `/` rounds down and axes are multiplied. */
function curvedHelp(e: Expression, span: Span, { report, scope, frame, what }: IndexContext): string {
  const plain = 'an index is a sum of axes, each times a number; a group `(k p)` counts through two axes';
  if (frame !== undefined) return plain;
  const names = [...new Set(referencesIn(e).map(({ name }) => name.text))];
  const axes = names.filter((name) => lookUp(scope, name)?.kind === 'axis');
  let name = 'n';
  while (lookUp(scope, name) !== undefined) name += 'n';
  const target = `${name}[${axes.join(', ')}]`;
  const apart = `\`${target}: i32 = ${report.lineOfSource(span)}\`, and here \`${target}\``;
  return what === 'a condition' ? `write an equation ${apart}` : `${plain}; anything else is an equation: ${apart}`;
}

function multiply(a: Affine, operator: '*' | '/' | '%', b: Affine): Affine | 'inexact' | 'zero' | 'curved' {
  if (operator === '*') return isConstant(b) ? scale(a, b.constant) : isConstant(a) ? scale(b, a.constant) : 'curved';
  if (!isConstant(b)) return 'curved';
  const divisor = b.constant;
  if (divisor === 0) return 'zero';
  if (operator === '%') {
    return isConstant(a) ? affine(((a.constant % divisor) + Math.abs(divisor)) % Math.abs(divisor)) : 'curved';
  }
  const exact = [a.constant, ...a.terms.map((term) => term.coefficient)].every((n) => n % divisor === 0);
  if (!exact) return isConstant(a) ? 'inexact' : 'curved';
  return affine(
    a.constant / divisor,
    a.terms.map(({ axis, coefficient }) => ({ axis, coefficient: coefficient / divisor })),
  );
}

/** `(k p q)`: row-major through the axes; undefined where an extent is not known. */
export function groupIndex(
  axes: readonly AxisEntity[],
  indices: readonly Affine[],
  context: SizeContext,
): Affine | undefined {
  let index = affine(0);
  for (const [i, axis] of axes.entries()) {
    const extent = axisExtent(axis, context);
    if (extent === undefined) return undefined;
    index = add(scale(index, extent), indices[i]);
  }
  return index;
}
