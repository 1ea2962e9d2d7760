/**
 * Values of sizes and extents of axes, on demand.
 *
 * A size takes its value from what binds it (`-s`, `use`), else from the shape of an input where that size alone is an
 * axis's extent, else from its default; defaults may use each other in any order. The trap: a chain of defaults may be
 * as long as the file, so it is walked with a stack of our own; and asking for a shape may come back here for another
 * instance's sizes.
 */
import type { Expression } from '../syntax/ast.ts';
import { axisSize, evaluateIndex, evaluateNumber, type IndexContext } from './arithmetic.ts';
import { type AxisEntity, lookUp, type Scope, type SizeEntity, type SizeValue } from './model.ts';
import type { Report } from './report.ts';
import { showSize } from './size-conditions.ts';
import { usageOf } from './usage.ts';
import { referencesIn } from './walk.ts';

export interface SizeContext {
  readonly report: Report;
  /** What a size without a value is: postponed, a mistake, or 1. */
  readonly unbound: 'postpone' | 'refuse' | 'one';
}

export const largestIndex = 2 ** 31 - 1;

function contextOf(scope: Scope, context: SizeContext, what: string): IndexContext {
  const { report, unbound } = context;
  return { report, unbound, scope, frame: undefined, axisIndex: undefined, what };
}

export function sizeContext(scope: Scope, context: SizeContext, what = 'a size'): IndexContext {
  return contextOf(scope, context, what);
}

export function sizeValue(size: SizeEntity, context: SizeContext): SizeValue | undefined {
  if (size.state === 'done') return size.value;
  if (size.state === 'busy') {
    reportCycle([size], context);
    return undefined;
  }
  const stack: SizeEntity[] = [size];
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    if (top.state === 'done') {
      stack.pop();
      continue;
    }
    if (top.state === 'busy') {
      finish(top, fromDefault(top, context), context);
      stack.pop();
      continue;
    }
    top.state = 'busy';
    const given = bound(top, context);
    if (given !== 'none') {
      finish(top, given, context);
      stack.pop();
      continue;
    }
    const needed = top.expression === undefined ? [] : sizesNeeded(top.expression, top.scope);
    const ring = needed.find((other) => other.state === 'busy');
    if (ring !== undefined) {
      const from = stack.indexOf(ring);
      reportCycle(from < 0 ? [ring] : stack.slice(from).filter((s) => s.state === 'busy'), context);
      for (const s of stack) if (s.state === 'busy') s.state = 'done';
      continue;
    }
    stack.push(...needed.filter((other) => other.state === 'fresh'));
  }
  return size.value;
}

function reportCycle(ring: readonly SizeEntity[], { report }: SizeContext): void {
  const names = [...ring, ring[0]].map((s) => `\`${s.name}\``).join(' → ');
  report.error('E0303', ring[0].span, `the size \`${ring[0].name}\` depends on itself: ${names}`);
}

function sizesNeeded(e: Expression, scope: Scope): readonly SizeEntity[] {
  return referencesIn(e).flatMap(({ name }) => {
    const entity = lookUp(scope, name.text);
    return entity?.kind === 'size' ? [entity] : [];
  });
}

/** What `-s`, `use` or an input's shape says; 'none' where they say nothing. */
function bound(size: SizeEntity, context: SizeContext): SizeValue | undefined | 'none' {
  const { instance } = size.scope;
  if (size.scope !== instance.root || size.role === 'level') return 'none';
  const override = instance.overrides.get(size.name);
  if (size.tuplePosition !== undefined) return 'none';
  if (override !== undefined) {
    const { value } = override;
    const isList = size.expression?.kind === 'list';
    if (value !== undefined && size.expression !== undefined && isList !== (typeof value !== 'number')) {
      const [is, given] = isList ? ['a list', 'a number'] : ['a number', 'a list'];
      const plain = isList || size.expression.kind === 'number';
      if (plain) {
        const message = `the size \`${size.name}\` is ${is}, and is bound to ${given}: ${showSize(value)}`;
        context.report.error('E0306', override.span, message);
        return undefined;
      }
    }
    return value;
  }
  for (const tensor of instance.tensors) {
    if (tensor.role !== 'input' || tensor.scope !== instance.root) continue;
    const position = tensor.axes.findIndex((axis) => axis.sizeName === size.name && axis.scope === instance.root);
    if (position < 0) continue;
    const given = instance.inputShape(tensor.localName);
    // In an instance every input is bound, or that is the mistake to tell.
    const fits = given?.shape.length === tensor.axes.length;
    if (!fits && instance.parent !== undefined) return undefined;
    if (given === undefined || given.shape.length !== tensor.axes.length) continue;
    if (given.shape[position] === undefined) context.report.postponed = true;
    return given.shape[position];
  }
  return 'none';
}

function fromDefault(size: SizeEntity, context: SizeContext): SizeValue | undefined {
  const { report } = context;
  if (size.expression === undefined) {
    size.unbound = true;
    switch (context.unbound) {
      case 'one':
        return usageOf(size.scope.instance.structure).lists.has(size.name) ? [1] : 1;
      case 'postpone':
        report.postponed = true;
        return undefined;
      case 'refuse': {
        // That it is to be declared has been told.
        const { undeclared } = usageOf(size.scope.instance.structure);
        if (size.role === 'implicit' && undeclared.some(({ text }) => text === size.name)) return undefined;
        const main = size.scope.instance.parent === undefined;
        const help = main ? `bind it: \`-s ${size.name}=…\`` : `bind it in the \`use\`: \`${size.name} = …\``;
        report.error('E0302', size.span, `the size \`${size.name}\` has no value`, help);
        return undefined;
      }
      default:
        return context.unbound satisfies never;
    }
  }
  if (size.tuplePosition !== undefined) return splitValue(size, size.expression, context);
  const value = evaluateIndex(size.expression, contextOf(size.scope, context, 'a size'));
  if (value === undefined) return undefined;
  return value.kind === 'list' ? value.values : value.constant;
}

/** `size (a, b) = split(D)`. */
function splitValue(size: SizeEntity, e: Expression, context: SizeContext): number | undefined {
  const { report } = context;
  const scope = contextOf(size.scope, context, 'a size');
  if (e.kind !== 'call' || e.callee.text !== 'split') {
    report.error('E0313', e.span, 'two sizes at once can only be `split(D)`', 'write `size (a, b) = split(D)`');
    return undefined;
  }
  if (e.arguments.length !== 1 || e.axes !== undefined || e.every) {
    report.error('E0408', e.span, `\`split\` takes one size, not ${e.arguments.length}`);
    return undefined;
  }
  const whole = evaluateNumber(e.arguments[0], scope);
  if (whole === undefined) return undefined;
  if (whole < 1) {
    report.error('E0305', e.span, `\`${report.textOf(e.span)}\` splits ${whole}, and only a positive size has factors`);
    return undefined;
  }
  const [a, b] = split(whole);
  const value = size.tuplePosition === 0 ? a : b;
  const override = size.scope === size.scope.instance.root && size.scope.instance.overrides.get(size.name);
  if (override && override.value !== undefined && override.value !== value) {
    const is = `\`${size.name}\` is bound by \`${report.textOf(e.span)}\` to ${value}`;
    const message = `${is}, and cannot be ${showSize(override.value)}`;
    report.error('E0301', override.span, message, `bind \`${report.textOf(e.arguments[0].span)}\` instead`);
  }
  return value;
}

/** (a, b) with a·b = whole, b its smallest divisor strictly above its square root; (1, 1) for 1. */
export function split(whole: number): readonly [number, number] {
  if (whole === 1) return [1, 1];
  let a = Math.floor(Math.sqrt(whole));
  while (whole % a !== 0 || a * a >= whole) a--;
  return [a, whole / a];
}

function finish(size: SizeEntity, value: SizeValue | undefined, { report }: SizeContext): void {
  size.state = 'done';
  size.value = value;
  if (value === undefined) return;
  const numbers = typeof value === 'number' ? [value] : value;
  const wrong = size.role === 'level' ? undefined : numbers.find((n) => n < 0 || n > largestIndex);
  if (wrong === undefined) return;
  size.value = undefined;
  const why = wrong < 0 ? 'is negative' : `is larger than ${largestIndex}`;
  report.error('E0308', size.span, `the size \`${size.name}\` = ${showSize(value)} ${why}`);
}

export function axisExtent(axis: AxisEntity, context: SizeContext): number | undefined {
  if (axis.known) return axis.extent;
  axis.known = true;
  const { report } = context;
  const value = evaluateNumber(axis.expression, contextOf(axis.scope, context, axisSize));
  if (value === undefined) return undefined;
  const written = report.textOf(axis.expression.span);
  const shown = written === String(value) ? written : `${written} = ${value}`;
  if (value < 1) {
    const message = `the axis \`${axis.name}\` has the extent ${shown}, and needs at least 1`;
    report.error('E0310', axis.expression.span, message);
    return undefined;
  }
  if (value > largestIndex) {
    report.error(
      'E0308',
      axis.expression.span,
      `the axis \`${axis.name}\` has the extent ${shown}, over ${largestIndex}`,
    );
    return undefined;
  }
  axis.extent = value;
  return value;
}
