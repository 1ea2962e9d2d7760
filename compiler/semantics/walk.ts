/** Walking expressions of the syntax tree. Recursion goes as deep as the file nests, which the parser has limited. */
import type { Expression, Reference } from '../syntax/ast.ts';

/** The direct sub-expressions, member expressions (`z.(l + 1)`) included. */
export function childrenOf(e: Expression): readonly Expression[] {
  switch (e.kind) {
    case 'number':
    case 'group':
      return [];
    case 'list':
      return e.elements;
    case 'name':
      return memberExpressions(e.reference);
    case 'read':
      return [...memberExpressions(e.reference), ...e.indices];
    case 'call':
      return e.arguments;
    case 'paren':
      return [e.inner];
    case 'negate':
      return [e.operand];
    case 'sum':
      return e.terms.map((term) => term.value);
    case 'product':
      return e.factors.map((factor) => factor.value);
    case 'power':
      return [e.base, e.exponent];
    case 'compare':
      return [e.left, e.right];
    case 'and':
      return e.operands;
    case 'where':
      return [e.value, e.condition];
    default:
      return e satisfies never;
  }
}

function memberExpressions(reference: Reference): readonly Expression[] {
  if (reference.members.length === 0) return [];
  return reference.members.flatMap((member) => (member.kind === 'expression' ? [member.value] : []));
}

/** Every reference that stands in the expression, in order. */
export function referencesIn(e: Expression): readonly Reference[] {
  const found: Reference[] = [];
  const visit = (node: Expression): void => {
    if (node.kind === 'name' || node.kind === 'read') found.push(node.reference);
    for (const child of childrenOf(node)) visit(child);
  };
  visit(e);
  return found;
}

/** Without the parentheses around it. */
export function unparenthesised(e: Expression): Expression {
  let inner = e;
  while (inner.kind === 'paren') inner = inner.inner;
  return inner;
}
