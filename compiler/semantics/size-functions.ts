/** `len sum prefix min max sqrt log2`: the functions of sizes. Roots and logarithms are exact, or a mistake. */
import { affine, isConstant } from '../ir/affine.ts';
import type { Affine } from '../ir/program.ts';
import type { Expression } from '../syntax/ast.ts';
import { evaluateIndex, type IndexContext, type List } from './arithmetic.ts';

const sizeFunctions: readonly string[] = ['len', 'sum', 'prefix', 'min', 'max', 'sqrt', 'log2'];

export function isSizeFunction(name: string): boolean {
  return sizeFunctions.includes(name);
}

export function evaluateCall(e: Expression & { kind: 'call' }, context: IndexContext): Affine | undefined {
  const { report, what } = context;
  const { text: name, span } = e.callee;
  if (!isSizeFunction(name) || e.axes !== undefined || e.every) {
    const near = report.suggest(name, sizeFunctions);
    const message = isSizeFunction(name)
      ? `\`${name}\` takes no axes in ${what}`
      : name === 'split'
        ? '`split` gives two numbers, and stands only in `size (a, b) = split(D)`'
        : `\`${name}\` cannot stand in ${what}`;
    report.error('E0407', span, message, near ?? `functions of sizes are ${sizeFunctions.join(', ')}`);
    return undefined;
  }
  const given = e.arguments.map((argument) => evaluateIndex(argument, context));
  const counts: Record<string, readonly [number, number]> = {
    len: [1, 1],
    sum: [1, 1],
    prefix: [2, 2],
    min: [1, Number.POSITIVE_INFINITY],
    max: [1, Number.POSITIVE_INFINITY],
    sqrt: [1, 1],
    log2: [1, 1],
  };
  const [least, most] = counts[name];
  if (given.length < least || given.length > most) {
    const takes = most > least ? `at least ${least}` : String(least);
    report.error(
      'E0408',
      e.span,
      `\`${name}\` takes ${takes} argument${takes === '1' ? '' : 's'}, not ${given.length}`,
    );
    return undefined;
  }
  if (given.includes(undefined)) return undefined;
  const values = (given as (Affine | List)[]).map((value) => {
    if (value.kind === 'list') return value.values;
    return isConstant(value) ? value.constant : undefined;
  });
  const axisAt = values.indexOf(undefined);
  if (axisAt >= 0) {
    const written = report.textOf(e.arguments[axisAt].span);
    report.error('E0502', e.arguments[axisAt].span, `\`${written}\` depends on an axis, and \`${name}\` takes sizes`);
    return undefined;
  }
  return apply(e, name, values as (number | readonly number[])[], context);
}

function apply(
  e: Expression & { kind: 'call' },
  name: string,
  values: readonly (number | readonly number[])[],
  context: IndexContext,
): Affine | undefined {
  const { report } = context;
  const written = report.textOf(e.span);
  const wants = (position: number, kind: 'list' | 'number'): boolean => {
    if ((typeof values[position] === 'number') === (kind === 'number')) return true;
    const argument = e.arguments[position];
    report.error(
      'E0306',
      argument.span,
      `\`${report.textOf(argument.span)}\` is not a ${kind}, which \`${name}\` takes`,
    );
    return false;
  };
  switch (name) {
    case 'len':
      return wants(0, 'list') ? affine((values[0] as readonly number[]).length) : undefined;
    case 'sum':
      return wants(0, 'list') ? affine(total(values[0] as readonly number[])) : undefined;
    case 'prefix': {
      if (!wants(0, 'list') || !wants(1, 'number')) return undefined;
      const [list, count] = values as [readonly number[], number];
      if (count >= 0 && count <= list.length) return affine(total(list.slice(0, count)));
      report.error('E0307', e.span, `\`${written}\` sums the first ${count} of ${list.length} entries`);
      return undefined;
    }
    case 'min':
    case 'max': {
      const single = values.length === 1;
      if (!values.every((_, i) => wants(i, single ? 'list' : 'number'))) return undefined;
      const numbers = (single ? values[0] : values) as readonly number[];
      if (numbers.length > 0)
        return affine(numbers.reduce((a, b) => (name === 'min' ? Math.min(a, b) : Math.max(a, b))));
      report.error('E0305', e.span, `\`${written}\` is of an empty list`);
      return undefined;
    }
    case 'sqrt':
    case 'log2': {
      if (!wants(0, 'number')) return undefined;
      const value = values[0] as number;
      const root = Math.round(name === 'sqrt' ? Math.sqrt(value) : Math.log2(value));
      if (value >= (name === 'sqrt' ? 0 : 1) && (name === 'sqrt' ? root * root : 2 ** root) === value)
        return affine(root);
      const what = name === 'sqrt' ? 'a square number' : 'a power of two';
      report.error('E0305', e.span, `\`${written}\`: ${value} is not ${what}`);
      return undefined;
    }
    default:
      return undefined;
  }
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
