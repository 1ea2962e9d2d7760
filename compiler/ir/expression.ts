/**
 * Building, walking and rewriting scalar expressions. Everything that wants to visit loads or rename axes goes through here,
 * so that a new kind of expression needs its case in one place.
 */
import { affine, axisIndex, isAffine, substitute } from './affine.ts';
import { mapSame } from './lists.ts';
import type {
  Affine,
  BinaryOperator,
  Condition,
  Constraint,
  Expression,
  Gather,
  Index,
  Load,
  UnaryOperator,
} from './program.ts';
import { remembered } from './remembered.ts';

export function constant(value: number): Expression {
  return { kind: 'constant', value };
}

export function load(tensor: string, indices: readonly Index[]): Load {
  return { kind: 'load', tensor, indices };
}

/** Load with one axis per dimension. */
export function loadAxes(tensor: string, axes: readonly number[]): Load {
  return load(tensor, axes.map(axisIndex));
}

/** n-ary sum: flattens sums, folds constants; an empty sum is 0. */
export function sum(terms: readonly Expression[]): Expression {
  const flat: Expression[] = [];
  let folded = 0;
  for (const term of terms.flatMap((t) => (t.kind === 'sum' ? t.terms : [t]))) {
    if (term.kind === 'constant') folded += term.value;
    else flat.push(term);
  }
  if (folded !== 0 || flat.length === 0) flat.push(constant(folded));
  return flat.length === 1 ? flat[0] : { kind: 'sum', terms: flat };
}

/** n-ary product: flattens products, folds constants to the front; an empty product is 1. */
export function product(factors: readonly Expression[]): Expression {
  const flat: Expression[] = [];
  let folded = 1;
  for (const factor of factors.flatMap((f) => (f.kind === 'product' ? f.factors : [f]))) {
    if (factor.kind === 'constant') folded *= factor.value;
    else flat.push(factor);
  }
  if (folded === 0) return constant(0);
  if (folded !== 1 || flat.length === 0) flat.unshift(constant(folded));
  return flat.length === 1 ? flat[0] : { kind: 'product', factors: flat };
}

/** Whether `sum` of the terms would have them as they are. */
function isNormalSum(terms: readonly Expression[]): boolean {
  const last = terms.length - 1;
  return (
    terms.length > 1 &&
    terms.every((term, i) => term.kind !== 'sum' && (term.kind !== 'constant' || (i === last && term.value !== 0)))
  );
}

/** The same of `product`. */
function isNormalProduct(factors: readonly Expression[]): boolean {
  return (
    factors.length > 1 &&
    factors.every(
      (factor, i) =>
        factor.kind !== 'product' &&
        (factor.kind !== 'constant' || (i === 0 && factor.value !== 1 && factor.value !== 0)),
    )
  );
}

/** `sum` of the terms as changed; the same object where that is what it holds. */
export function mapTerms(
  e: Extract<Expression, { kind: 'sum' }>,
  change: (term: Expression) => Expression,
): Expression {
  const terms = mapSame(e.terms, change);
  return terms === e.terms && isNormalSum(terms) ? e : sum(terms);
}

/** The same of `product`. */
export function mapFactors(
  e: Extract<Expression, { kind: 'product' }>,
  change: (factor: Expression) => Expression,
): Expression {
  const factors = mapSame(e.factors, change);
  return factors === e.factors && isNormalProduct(factors) ? e : product(factors);
}

export function unary(operator: UnaryOperator, operand: Expression): Expression {
  return { kind: 'unary', operator, operand };
}

export function binary(operator: BinaryOperator, left: Expression, right: Expression): Expression {
  return { kind: 'binary', operator, left, right };
}

export function divide(left: Expression, right: Expression): Expression {
  return right.kind === 'constant' ? product([left, constant(1 / right.value)]) : binary('divide', left, right);
}

export function negate(operand: Expression): Expression {
  return product([constant(-1), operand]);
}

/** The load L of `-L`, however the minus is written. */
export function negatedLoad(e: Expression): Load | undefined {
  if (e.kind === 'unary' && e.operator === 'negate' && e.operand.kind === 'load') return e.operand;
  if (e.kind !== 'product' || e.factors.length !== 2) return undefined;
  const [sign, factor] = e.factors;
  return sign.kind === 'constant' && sign.value === -1 && factor.kind === 'load' ? factor : undefined;
}

export function select(condition: Condition, then: Expression, otherwise: Expression): Expression {
  return { kind: 'select', condition, then, otherwise };
}

/** The direct sub-expressions, those of a comparison included. */
export function children(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'constant':
    case 'index':
    case 'load':
      return [];
    case 'sum':
      return expression.terms;
    case 'product':
      return expression.factors;
    case 'unary':
      return [expression.operand];
    case 'binary':
      return [expression.left, expression.right];
    case 'select':
      return [...conditionOperands(expression.condition), expression.then, expression.otherwise];
    case 'random':
      return [expression.seed, expression.step];
    default:
      return expression satisfies never;
  }
}

/** What a condition compares, where that is values or data. */
export function conditionOperands(condition: Condition): readonly Expression[] {
  return condition.kind === 'compare'
    ? [condition.left, condition.right]
    : condition.constraints.flatMap(constraintOperands);
}

/** What a constraint compares, where that is data. */
export function constraintOperands(constraint: Constraint): readonly Expression[] {
  return constraint.kind === 'data' ? [constraint.left, constraint.right] : [];
}

/** The expression with its direct subexpressions changed; the same object where none changes. */
export function mapChildren(e: Expression, change: (child: Expression) => Expression): Expression {
  const before = children(e);
  const after = before.map(change);
  if (after.every((child, i) => child === before[i])) return e;
  switch (e.kind) {
    case 'constant':
    case 'index':
    case 'load':
      return e;
    case 'sum':
      return sum(after);
    case 'product':
      return product(after);
    case 'unary':
      return unary(e.operator, after[0]);
    case 'binary':
      return binary(e.operator, after[0], after[1]);
    case 'select': {
      const [then, otherwise] = after.slice(-2);
      const { condition } = e;
      return condition.kind === 'domain'
        ? select(condition, then, otherwise)
        : select({ ...condition, left: after[0], right: after[1] }, then, otherwise);
    }
    case 'random':
      return { ...e, seed: after[0], step: after[1] };
    default:
      return e satisfies never;
  }
}

/** How a rewrite treats the leaves; what is left out stays as it is. */
export interface Rewrite {
  readonly affine?: (a: Affine) => Affine;
  /** Called with the load after its indices were rewritten. */
  readonly load?: (l: Load) => Expression;
  /** Called with the gather after its indices were rewritten. */
  readonly gather?: (g: Gather) => Index;
  readonly tensor?: (name: string) => string;
}

/** These give back the very object that they were given where nothing of it changes. */
export function rewriteIndex(index: Index, rewrite: Rewrite): Index {
  if (index.kind === 'affine') return rewrite.affine?.(index) ?? index;
  const indices = mapSame(index.indices, (i) => rewriteIndex(i, rewrite));
  const tensor = rewrite.tensor?.(index.tensor) ?? index.tensor;
  const isSame = indices === index.indices && tensor === index.tensor;
  const renamed: Gather = isSame ? index : { kind: 'gather', tensor, indices };
  return rewrite.gather?.(renamed) ?? renamed;
}

export function rewriteConstraint(constraint: Constraint, rewrite: Rewrite): Constraint {
  if (constraint.kind === 'data') {
    const [left, right] = [rewriteExpression(constraint.left, rewrite), rewriteExpression(constraint.right, rewrite)];
    return left === constraint.left && right === constraint.right ? constraint : { ...constraint, left, right };
  }
  return rewrite.affine ? { kind: constraint.kind, affine: rewrite.affine(constraint.affine) } : constraint;
}

function rewriteCondition(condition: Condition, rewrite: Rewrite): Condition {
  if (condition.kind === 'domain') {
    const constraints = mapSame(condition.constraints, (c) => rewriteConstraint(c, rewrite));
    return constraints === condition.constraints ? condition : { kind: 'domain', constraints };
  }
  const { operator, left: before, right: after } = condition;
  const [left, right] = [rewriteExpression(before, rewrite), rewriteExpression(after, rewrite)];
  return left === before && right === after ? condition : { kind: 'compare', operator, left, right };
}

export function rewriteExpression(expression: Expression, rewrite: Rewrite): Expression {
  const go = (e: Expression): Expression => rewriteExpression(e, rewrite);
  switch (expression.kind) {
    case 'constant':
      return expression;
    case 'index':
      return rewrite.affine ? { kind: 'index', affine: rewrite.affine(expression.affine) } : expression;
    case 'load': {
      const indices = mapSame(expression.indices, (i) => rewriteIndex(i, rewrite));
      const tensor = rewrite.tensor?.(expression.tensor) ?? expression.tensor;
      const isSame = indices === expression.indices && tensor === expression.tensor;
      const renamed = isSame ? expression : load(tensor, indices);
      return rewrite.load?.(renamed) ?? renamed;
    }
    case 'sum':
      return mapTerms(expression, go);
    case 'product':
      return mapFactors(expression, go);
    case 'unary': {
      const operand = go(expression.operand);
      return operand === expression.operand ? expression : unary(expression.operator, operand);
    }
    case 'binary': {
      const [left, right] = [go(expression.left), go(expression.right)];
      const isSame = left === expression.left && right === expression.right;
      return isSame ? expression : binary(expression.operator, left, right);
    }
    case 'select': {
      const condition = rewriteCondition(expression.condition, rewrite);
      const [then, otherwise] = [go(expression.then), go(expression.otherwise)];
      const isSame = condition === expression.condition && then === expression.then;
      return isSame && otherwise === expression.otherwise ? expression : select(condition, then, otherwise);
    }
    case 'random':
      return {
        ...expression,
        seed: go(expression.seed),
        step: go(expression.step),
        element: rewrite.affine?.(expression.element) ?? expression.element,
      };
    default:
      return expression satisfies never;
  }
}

/** Renames axes: `axes[i]` is the new position (or affine expression of new positions) of axis i. */
export function renameAxes(expression: Expression, axes: readonly (number | Affine)[]): Expression {
  return rewriteExpression(expression, { affine: axisRenaming(axes) });
}

export function axisRenaming(axes: readonly (number | Affine)[]): (a: Affine) => Affine {
  return (a) =>
    substitute(a, (axis) => {
      const target = axes[axis];
      if (target === undefined) throw new Error(`axis ${axis} has no new position`);
      return typeof target === 'number' ? axisIndex(target) : target;
    });
}

const loadsIn = new WeakMap<Expression, readonly Load[]>();
const affinesIn = new WeakMap<Expression, readonly Affine[]>();
const axesUsed = new WeakMap<Expression, readonly number[]>();

/** Every load in the expression, in order, those that gather indices excepted (see `gatheredTensors`). */
export function loads(expression: Expression): readonly Load[] {
  if (expression.kind === 'load') return [expression];
  return remembered(loadsIn, expression, (whole) => {
    const found: Load[] = [];
    const visit = (e: Expression): void => {
      if (e.kind === 'load') found.push(e);
      else for (const child of children(e)) visit(child);
    };
    visit(whole);
    return found;
  });
}

/** Names of the i32 tensors that an index reads. */
export function gatheredTensors(index: Index): readonly string[] {
  return index.kind === 'affine' ? [] : [index.tensor, ...index.indices.flatMap(gatheredTensors)];
}

/** Every affine expression in an index, those inside a gather included. */
export function affinesOfIndex(index: Index): readonly Affine[] {
  return index.kind === 'affine' ? [index] : index.indices.flatMap(affinesOfIndex);
}

/** Every affine expression that stands in the expression: indices, index values, conditions, draws. */
export function affinesOf(expression: Expression): readonly Affine[] {
  if (expression.kind === 'load') return expression.indices.flatMap(affinesOfIndex);
  return remembered(affinesIn, expression, (whole) => {
    const found: Affine[] = [];
    const visit = (e: Expression): void => {
      if (e.kind === 'index') found.push(e.affine);
      else if (e.kind === 'load') for (const index of e.indices) found.push(...affinesOfIndex(index));
      else if (e.kind === 'random') found.push(e.element);
      else if (e.kind === 'select' && e.condition.kind === 'domain')
        for (const c of e.condition.constraints) if (isAffine(c)) found.push(c.affine);
      for (const child of children(e)) visit(child);
    };
    visit(whole);
    return found;
  });
}

/** Every affine expression that stands in a constraint. */
export function affinesOfConstraint(constraint: Constraint): readonly Affine[] {
  return constraint.kind === 'data' ? constraintOperands(constraint).flatMap(affinesOf) : [constraint.affine];
}

/** The axes that a constraint speaks of, some perhaps more than once. */
export function constraintAxes(constraint: Constraint): readonly number[] {
  return affinesOfConstraint(constraint).flatMap((a) => a.terms.map((term) => term.axis));
}

/** Every load of data that a constraint compares. */
export function constraintLoads(constraint: Constraint): readonly Load[] {
  return constraintOperands(constraint).flatMap(loads);
}

/** The axes that the expression's value depends on, ascending. */
export function axesOf(expression: Expression): readonly number[] {
  return remembered(axesUsed, expression, (whole) => {
    const axes = new Set(affinesOf(whole).flatMap((a) => a.terms.map((term) => term.axis)));
    return [...axes].sort((a, b) => a - b);
  });
}

/** The affine expression 0. */
export const zero: Affine = affine(0);
