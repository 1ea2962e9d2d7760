/**
 * Conditions: comparisons of affine expressions → constraints, and those of values.
 *
 * A `where` takes only the first kind. A comparison that speaks of an axis which is summed further inside is no
 * constraint yet: it is handed down as a `Restriction`, and becomes one at the product that binds the axis.
 */
import { subtract } from '../ir/affine.ts';
import type { Affine, Constraint } from '../ir/program.ts';
import type { Expression } from '../syntax/ast.ts';
import { evaluateAffine } from './arithmetic.ts';
import { type Builder, conjunction, type Env, type Restriction } from './builder.ts';
import { type AxisSet, axesOfBody } from './einstein.ts';
import { indexContext } from './lower-index.ts';
import { meaningOf } from './names.ts';
import { silently } from './report.ts';
import { childrenOf } from './walk.ts';

type Comparison = Expression & { readonly kind: 'compare' };

/** The comparisons that a condition joins; anything else in it is reported. */
export function comparisonsOf(b: Builder, e: Expression): readonly Comparison[] {
  switch (e.kind) {
    case 'paren':
      return comparisonsOf(b, e.inner);
    case 'and':
      return e.operands.flatMap((operand) => comparisonsOf(b, operand));
    case 'compare':
      return [e];
    default: {
      const { report } = b.context;
      const text = report.textOf(e.span);
      report.error('E0602', e.span, `\`${text}\` is not a comparison`, `write \`${text} != 0\``);
      return [];
    }
  }
}

export function axesOf(b: Builder, e: Expression, env: Env): AxisSet {
  const { frame } = env;
  return frame === undefined ? b.axesIn(e) : axesOfBody(e, env.module, frame.parameterAxes, frame);
}

export interface Split {
  readonly constraints: readonly Constraint[];
  readonly restrictions: readonly Restriction[];
}

/** What a `where` means here, and what it means further inside. */
export function splitWhere(b: Builder, condition: Expression, env: Env): Split {
  const constraints: Constraint[] = [];
  const restrictions: Restriction[] = [];
  for (const comparison of comparisonsOf(b, condition)) {
    if (refuseValues(b, comparison, env)) {
      b.open = true;
      continue;
    }
    const axes = axesOf(b, comparison, env);
    if ([...axes].some((axis) => !env.bound.has(axis))) restrictions.push({ condition: comparison, axes, used: false });
    else {
      const constraint = constraintOf(b, comparison, env);
      if (constraint === undefined) b.open = true;
      else constraints.push(constraint);
    }
  }
  return { constraints: conjunction(b, [constraints]), restrictions };
}

/** `where x[i] > 0` is a frequent mistake. */
function refuseValues(b: Builder, e: Expression, env: Env): boolean {
  const { report } = b.context;
  if (!readsTensor(e, env)) return false;
  const message = `\`${report.textOf(e.span)}\` compares values, and \`where\` compares indices and sizes`;
  report.error('E0602', e.span, message, 'choose by a value with `select(condition, a, b)`');
  return true;
}

function readsTensor(e: Expression, env: Env): boolean {
  if (e.kind !== 'read' && e.kind !== 'name') return childrenOf(e).some((child) => readsTensor(child, env));
  const meaning = meaningOf(e.reference.name.text, env.scope, env.frame);
  if (meaning?.kind === 'argument')
    return env.frame !== undefined && readsTensor(meaning.argument.expression, env.frame.callEnv);
  return meaning?.kind === 'entity' && (meaning.entity.kind === 'tensor' || meaning.entity.kind === 'instance');
}

export function constraintOf(b: Builder, e: Comparison, env: Env): Constraint | undefined {
  const context = indexContext(b, env, 'a condition', e.span);
  const left = evaluateAffine(e.left, context);
  const right = evaluateAffine(e.right, context);
  return left && right && comparisonConstraint(left, e.operator, right);
}

/** The same, or undefined without a word where it is no comparison of affine expressions. */
export function constraintIfAffine(b: Builder, e: Comparison, env: Env): Constraint | undefined {
  const quiet: Builder = { ...b, context: { ...b.context, report: silently(b.context.report) } };
  return constraintOf(quiet, e, env);
}

function comparisonConstraint(left: Affine, operator: Comparison['operator'], right: Affine): Constraint {
  const nonnegative = (a: Affine): Constraint => ({ kind: 'nonnegative', affine: a });
  switch (operator) {
    case '<=':
      return nonnegative(subtract(right, left));
    case '<':
      return nonnegative(subtract(right, { ...left, constant: left.constant + 1 }));
    case '>=':
      return nonnegative(subtract(left, right));
    case '>':
      return nonnegative(subtract(left, { ...right, constant: right.constant + 1 }));
    case '==':
      return { kind: 'zero', affine: subtract(left, right) };
    case '!=':
      return { kind: 'nonzero', affine: subtract(left, right) };
    default:
      return operator satisfies never;
  }
}
