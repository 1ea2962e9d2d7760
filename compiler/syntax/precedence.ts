/**
 * How tightly operators bind, as one table, and the tree that an operand–operator row becomes by it.
 *
 * The parser reads an expression as a flat row, `a + b * c where d`, and this file gives it its shape: sums, products and
 * `and` are n-ary and nothing recurses over them, so that a sum of 20,000 terms is one node. Only powers and minus signs
 * nest (`a^b^c`, `- - a`), which `depth.ts` has counted before. The formatter reads the same table for its parentheses.
 */
import type { ComparisonOperator, Expression, ProductFactor, SumTerm } from './ast.ts';
import { error } from './codes.ts';
import type { Diagnostic, Span } from './diagnostic.ts';
import { withoutOr } from './disjunction.ts';

/** Binding strength of what an expression is made of; higher binds tighter. */
export const precedence: Readonly<Record<Expression['kind'], number>> = {
  where: 1,
  and: 2,
  compare: 3,
  sum: 4,
  product: 5,
  negate: 6,
  power: 7,
  number: 8,
  list: 8,
  name: 8,
  read: 8,
  call: 8,
  group: 8,
  paren: 8,
};

export const comparisonOperators: readonly string[] = ['<', '<=', '>', '>=', '==', '!='];

/** An operand with the minus signs before it (their start offsets), and the operator before those, if one stands there. */
export interface RowEntry {
  readonly minuses: readonly number[];
  readonly operand: Expression;
  readonly operator?: string;
  readonly operatorSpan?: Span;
}

export interface Shaped {
  readonly expression: Expression;
  readonly diagnostics: readonly Diagnostic[];
}

/** The tree of a row. `text` is the source, for diagnostics that quote it. */
export function shape(row: readonly RowEntry[], text: string): Shaped {
  if (row.length === 1 && row[0].minuses.length === 0) return { expression: row[0].operand, diagnostics: [] };
  const diagnostics: Diagnostic[] = [];
  let at = 0;

  const next = (...operators: readonly string[]): string | undefined => {
    const operator = at < row.length ? row[at].operator : undefined;
    return operator !== undefined && operators.includes(operator) ? operator : undefined;
  };
  const over = (first: Expression, last: Expression): Span => ({ ...first.span, end: last.span.end });
  const quote = (e: Expression) => text.slice(e.span.start, e.span.end).replace(/\s+/g, ' ');

  function where(): Expression {
    const value = or();
    if (!next('where')) return value;
    const condition = or();
    while (next('where')) {
      const span = row[at].operatorSpan!;
      const help = 'join the conditions by `and`; put parentheses around what an inner `where` belongs to';
      diagnostics.push(error('E0118', span, 'an expression has one `where`, this is its second', help));
      and();
    }
    return { kind: 'where', value, condition, span: over(value, condition) };
  }

  /** There is none; it is read so that the help can say what to write, and only its first operand is kept. */
  function or(): Expression {
    const first = and();
    if (!next('or')) return first;
    const inWhere = row.slice(0, at).some(({ operator }) => operator === 'where');
    const alternatives = [first];
    while (next('or')) alternatives.push(and());
    const span = over(first, alternatives[alternatives.length - 1]);
    const one = withoutOr(alternatives, inWhere, quote);
    const help =
      one === undefined ? 'for `select(p or q, a, b)` write `select(p, a, select(q, a, b))`' : `write \`${one}\``;
    diagnostics.push(error('E0121', span, 'conditions are joined by `and` only, there is no `or`', help));
    return first;
  }

  function and(): Expression {
    const operands = [compare()];
    while (next('and')) operands.push(compare());
    if (operands.length === 1) return operands[0];
    return { kind: 'and', operands, span: over(operands[0], operands[operands.length - 1]) };
  }

  function compare(): Expression {
    const left = sum();
    let operator = next(...comparisonOperators);
    if (operator === undefined) return left;
    let right = sum();
    const node: Expression = {
      kind: 'compare',
      operator: operator as ComparisonOperator,
      left,
      right,
      span: over(left, right),
    };
    let reported = false;
    while (true) {
      const first = operator;
      const span = at < row.length ? row[at].operatorSpan : undefined;
      operator = next(...comparisonOperators);
      if (operator === undefined) return node;
      const middle = right;
      right = sum();
      if (reported) continue;
      reported = true;
      const [a, b, c] = [node.left, middle, right].map(quote);
      const fits = a.length + b.length + c.length < 80;
      const help = fits ? `write \`${a} ${first} ${b} and ${b} ${operator} ${c}\`` : 'join two comparisons by `and`';
      diagnostics.push(error('E0107', span!, 'comparisons do not chain', help));
    }
  }

  function sum(): Expression {
    const first = product();
    let operator = next('+', '-');
    if (operator === undefined) return first;
    const terms: SumTerm[] = [{ operator: '+', value: first }];
    while (operator !== undefined) {
      terms.push({ operator: operator as SumTerm['operator'], value: product() });
      operator = next('+', '-');
    }
    return { kind: 'sum', terms, span: over(first, terms[terms.length - 1].value) };
  }

  function product(): Expression {
    const first = unary();
    let operator = next('*', '/', '%');
    if (operator === undefined) return first;
    const factors: ProductFactor[] = [{ operator: '*', value: first }];
    while (operator !== undefined) {
      factors.push({ operator: operator as ProductFactor['operator'], value: unary() });
      operator = next('*', '/', '%');
    }
    return { kind: 'product', factors, span: over(first, factors[factors.length - 1].value) };
  }

  function unary(): Expression {
    const { minuses, operand } = row[at++];
    let value: Expression = operand;
    if (next('^')) {
      const exponent = unary();
      value = { kind: 'power', base: operand, exponent, span: over(operand, exponent) };
    }
    for (let i = minuses.length - 1; i >= 0; i--) {
      value = { kind: 'negate', operand: value, span: { ...value.span, start: minuses[i] } };
    }
    return value;
  }

  return { expression: where(), diagnostics };
}
