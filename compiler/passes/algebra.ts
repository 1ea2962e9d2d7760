/**
 * Rules of arithmetic on scalar expressions, from the leaves up.
 *
 *   1 * x + 0  →  x        --x  →  x        x / 4  →  0.25 * x        x ^ 1  →  x        sqrt(4)  →  2
 *   select(always, a, b)  →  a        select(c, a, a)  →  a        2 * (3 * x)  →  6 * x
 *
 * The trap: a condition is decided by the box of the axes and by the equation's domain, never by the values.
 */
import { decide, isConstant } from '../ir/affine.ts';
import { constant, divide, mapFactors, mapTerms, negate, select, unary } from '../ir/expression.ts';
import { constraintKey, expressionKey } from '../ir/hash.ts';
import type { Axis, Condition, Constraint, Expression } from '../ir/program.ts';
import { binaryFunctions, comparisons, unaryFunctions } from '../ir/scalar.ts';

export interface Surroundings {
  readonly axes: readonly Axis[];
  /** What holds wherever the expression is evaluated. */
  readonly domain: readonly Constraint[];
}

/** The same object where no rule applies. */
export function simplifyExpression(expression: Expression, where: Surroundings): Expression {
  const go = (e: Expression): Expression => simplifyExpression(e, where);
  switch (expression.kind) {
    case 'constant':
    case 'load':
      return expression;
    case 'index':
      return isConstant(expression.affine) ? constant(expression.affine.constant) : expression;
    case 'sum':
      return mapTerms(expression, go);
    case 'product':
      return mapFactors(expression, go);
    case 'unary': {
      const operand = go(expression.operand);
      if (expression.operator === 'negate') return negate(operand);
      if (operand.kind === 'constant') return constant(unaryFunctions[expression.operator](operand.value));
      return operand === expression.operand ? expression : unary(expression.operator, operand);
    }
    case 'binary':
      return simplifyBinary({ ...expression, left: go(expression.left), right: go(expression.right) }, expression);
    case 'select':
      return simplifySelect(expression, where);
    case 'random': {
      const [seed, step] = [go(expression.seed), go(expression.step)];
      return seed === expression.seed && step === expression.step ? expression : { ...expression, seed, step };
    }
    default:
      return expression satisfies never;
  }
}

type Binary = Extract<Expression, { kind: 'binary' }>;

function simplifyBinary(rebuilt: Binary, original: Binary): Expression {
  const { operator, left, right } = rebuilt;
  if (left.kind === 'constant' && right.kind === 'constant') {
    return constant(binaryFunctions[operator](left.value, right.value));
  }
  if (right.kind === 'constant') {
    if (operator === 'divide') return divide(left, right);
    if (operator === 'power' && right.value === 1) return left;
    if (operator === 'power' && right.value === 0) return constant(1);
  }
  if (operator === 'divide' && left.kind === 'constant' && left.value === 0) return left;
  return left === original.left && right === original.right ? original : rebuilt;
}

type Select = Extract<Expression, { kind: 'select' }>;

function simplifySelect(expression: Select, where: Surroundings): Expression {
  const { condition } = expression;
  if (condition.kind === 'domain') {
    const open: Constraint[] = [];
    for (const c of condition.constraints) {
      const domain = [...where.domain, ...open];
      if (decide(c, where.axes, domain) === 'never') return simplifyExpression(expression.otherwise, where);
      if (!holdsIn(c, { ...where, domain })) open.push(c);
    }
    if (open.length === 0) return simplifyExpression(expression.then, where);
    const then = simplifyExpression(expression.then, { ...where, domain: [...where.domain, ...open] });
    const otherwise = simplifyExpression(expression.otherwise, where);
    return rebuild(
      expression,
      open.length === condition.constraints.length ? condition : { kind: 'domain', constraints: open },
      then,
      otherwise,
    );
  }
  const left = simplifyExpression(condition.left, where);
  const right = simplifyExpression(condition.right, where);
  if (left.kind === 'constant' && right.kind === 'constant') {
    const taken = comparisons[condition.operator](left.value, right.value) ? expression.then : expression.otherwise;
    return simplifyExpression(taken, where);
  }
  const same = left === condition.left && right === condition.right;
  return rebuild(
    expression,
    same ? condition : { ...condition, left, right },
    simplifyExpression(expression.then, where),
    simplifyExpression(expression.otherwise, where),
  );
}

function rebuild(original: Select, condition: Condition, then: Expression, otherwise: Expression): Expression {
  if (then === otherwise || expressionKey(then) === expressionKey(otherwise)) return then;
  const same = condition === original.condition && then === original.then && otherwise === original.otherwise;
  return same ? original : select(condition, then, otherwise);
}

/** Whether the box or the domain says that a constraint holds. */
export function holdsIn(constraint: Constraint, { axes, domain }: Surroundings): boolean {
  if (decide(constraint, axes, domain) === 'always') return true;
  const key = constraintKey(constraint);
  return domain.some((known) => constraintKey(known) === key);
}
