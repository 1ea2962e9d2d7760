/**
 * What to write for `p or q`, which the language does not have: a comparison is a difference that is not negative, and of
 * several one holds where the largest difference is not negative.
 *
 *   u <= t or 4 > u            max(t - u, 4 - u - 1) >= 0       of whole numbers, as `where` compares them
 *   i == j or a <= b           max(min(j - i, i - j), b - a) >= 0
 *   x[i] < a or x[i] > b       max(a - x[i], x[i] - b) > 0      where all are strict, of reals too
 */
import type { ComparisonOperator, Expression } from './ast.ts';

type Quote = (e: Expression) => string;

const strict: readonly ComparisonOperator[] = ['<', '>', '!='];

/** The one condition; undefined where what is joined are not comparisons, or none does of reals (`whole` is false). */
export function withoutOr(alternatives: readonly Expression[], whole: boolean, quote: Quote): string | undefined {
  const operators = alternatives.flatMap(operatorsIn);
  const allStrict = operators.every((operator) => strict.includes(operator));
  if (!whole && !allStrict && operators.some((operator) => strict.includes(operator))) return undefined;
  const margins = alternatives.map((e) => margin(e, allStrict ? '' : ' - 1', quote));
  return margins.includes(undefined) ? undefined : `max(${margins.join(', ')}) ${allStrict ? '>' : '>='} 0`;
}

function operatorsIn(e: Expression): readonly ComparisonOperator[] {
  if (e.kind === 'paren') return operatorsIn(e.inner);
  if (e.kind === 'and') return e.operands.flatMap(operatorsIn);
  return e.kind === 'compare' ? [e.operator] : [];
}

/** A number that is not negative where the condition holds; `less` is what makes a strict comparison one that is not. */
function margin(e: Expression, less: string, quote: Quote): string | undefined {
  switch (e.kind) {
    case 'paren':
      return margin(e.inner, less, quote);
    case 'and': {
      const margins = e.operands.map((operand) => margin(operand, less, quote));
      return margins.includes(undefined) ? undefined : `min(${margins.join(', ')})`;
    }
    case 'compare': {
      const [forth, back] = [difference(e.right, e.left, quote), difference(e.left, e.right, quote)];
      switch (e.operator) {
        case '<=':
          return forth;
        case '<':
          return forth + less;
        case '>=':
          return back;
        case '>':
          return back + less;
        case '==':
          return `min(${forth}, ${back})`;
        case '!=':
          return `max(${forth}, ${back})${less}`;
        default:
          return e.operator satisfies never;
      }
    }
    default:
      return undefined;
  }
}

function difference(a: Expression, b: Expression, quote: Quote): string {
  if (b.kind === 'number' && b.value === 0) return quote(a);
  const subtracted = b.kind === 'sum' || b.kind === 'negate' ? `(${quote(b)})` : quote(b);
  return a.kind === 'number' && a.value === 0 ? `-${subtracted}` : `${quote(a)} - ${subtracted}`;
}
