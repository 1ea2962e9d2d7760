import type { ComparisonOperator, Expression } from '../syntax/ast.ts';
import { evaluateIndex, evaluateNumber, type IndexContext } from './arithmetic.ts';
import { lookUp } from './model.ts';
import type { Report } from './report.ts';
import { sizeValue } from './sizes.ts';
import { referencesIn } from './walk.ts';

export interface Verdict {
  readonly holds: boolean;
  /** Of the comparison that fails: both sides with their values. */
  readonly why: string;
}

/** A condition on sizes, of `check` and `if`. */
export function evaluateCondition(e: Expression, context: IndexContext): Verdict | undefined {
  const { report } = context;
  switch (e.kind) {
    case 'paren':
      return evaluateCondition(e.inner, context);
    case 'and': {
      const verdicts = e.operands.map((operand) => evaluateCondition(operand, context));
      const broken = verdicts.find((v) => v !== undefined && !v.holds);
      if (broken !== undefined) return broken;
      return verdicts.includes(undefined) ? undefined : { holds: true, why: '' };
    }
    case 'compare': {
      const left = evaluateNumber(e.left, context);
      const right = evaluateNumber(e.right, context);
      if (left === undefined || right === undefined) return undefined;
      const shown = [valued(e.left, left, report), valued(e.right, right, report)].filter((s) => s !== '');
      const sizes = sizesIn(e, context).filter((s) => !shown.includes(s));
      const why = `\`${report.textOf(e.span)}\` does not hold: ${[...shown, ...sizes].join(', ')}`;
      return { holds: compare(left, e.operator, right), why };
    }
    default: {
      evaluateIndex(e, context);
      report.error(
        'E0602',
        e.span,
        `\`${report.textOf(e.span)}\` is not a comparison`,
        `write \`${report.textOf(e.span)} != 0\``,
      );
      return undefined;
    }
  }
}

function valued(e: Expression, value: number, report: Report): string {
  const text = report.textOf(e.span);
  return text === String(value) ? '' : `${text} = ${value}`;
}

/** `D = 64`, `ranks = [8, 8]` of the sizes that stand in an expression. */
function sizesIn(e: Expression, context: IndexContext): readonly string[] {
  const shown = new Set<string>();
  for (const { name } of referencesIn(e)) {
    const entity = lookUp(context.scope, name.text);
    if (entity?.kind !== 'size') continue;
    const value = sizeValue(entity, context);
    if (value !== undefined) shown.add(`${name.text} = ${showSize(value)}`);
  }
  return [...shown];
}

export function showSize(value: number | readonly number[]): string {
  return typeof value === 'number' ? String(value) : `[${value.join(', ')}]`;
}

export function compare(left: number, operator: ComparisonOperator, right: number): boolean {
  switch (operator) {
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    case '>=':
      return left >= right;
    case '==':
      return left === right;
    case '!=':
      return left !== right;
    default:
      return operator satisfies never;
  }
}
