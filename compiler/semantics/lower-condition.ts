/**
 * Conditions: comparisons of affine expressions and of whole numbers → constraints, and those of values.
 *
 * A `where` takes only the first two kinds. A comparison that speaks of an axis which is summed further inside is no
 * constraint yet: it is handed down as a `Restriction`, and becomes one at the product that binds the axis.
 */
import { comparedAffine, comparedWhole } from '../ir/piecewise.ts';
import type { Constraint } from '../ir/program.ts';
import type { Expression } from '../syntax/ast.ts';
import { opposite } from '../syntax/slips.ts';
import { evaluateAffine } from './arithmetic.ts';
import { type Builder, conjunction, type Env, materialised, type Restriction } from './builder.ts';
import { type AxisSet, axesOfBody } from './einstein.ts';
import { needsIntegers } from './integers.ts';
import { indexContext } from './lower-index.ts';
import { lowerValue } from './lower-value.ts';
import { actual } from './model.ts';
import { meaningOf } from './names.ts';
import { resolve } from './references.ts';
import { type Report, silently } from './report.ts';
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
      report.error('E0602', e.span, `\`${text}\` is not a comparison`, comparisonMeant(e, text, report));
      return [];
    }
  }
}

function comparisonMeant(e: Expression, text: string, report: Report): string {
  if (e.kind === 'call' && e.callee.text === 'not' && e.arguments.length === 1) {
    const meant = opposite(report.lineOfSource(e.arguments[0].span));
    const how = meant === undefined ? 'write the opposite of each comparison' : `write \`${meant}\``;
    return `there is no \`not\`, as every comparison has its opposite: ${how}`;
  }
  if (/^(true|True|always)$/.test(text)) return 'leave it out, with its `where`';
  return `write \`${text} != 0\``;
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
      const found = constraintsOf(b, comparison, env);
      if (found === undefined) b.open = true;
      else constraints.push(...found);
    }
  }
  return { constraints: conjunction(b, [constraints]), restrictions };
}

/** `where x[i] > 0` is a frequent mistake. */
function refuseValues(b: Builder, e: Expression, env: Env): boolean {
  const { report } = b.context;
  if (!readsReals(b, e, env)) return false;
  const message = `\`${report.textOf(e.span)}\` compares reals, and \`where\` compares indices, sizes and integer tensors`;
  report.error('E0602', e.span, message, 'choose by a value with `select(condition, a, b)`');
  return true;
}

function readsReals(b: Builder, e: Expression, env: Env): boolean {
  if (e.kind !== 'read' && e.kind !== 'name') return childrenOf(e).some((child) => readsReals(b, child, env));
  const meaning = meaningOf(e.reference.name.text, env.scope, env.frame);
  if (meaning?.kind === 'argument')
    return env.frame !== undefined && readsReals(b, meaning.argument.expression, env.frame.callEnv);
  if (meaning?.kind !== 'entity') return false;
  if (meaning.entity.kind !== 'tensor' && meaning.entity.kind !== 'instance') return false;
  const entity = resolve(e.reference, env.scope, { ...b.context, report: silently(b.context.report) });
  return entity?.kind === 'tensor' && actual(entity).dtype !== 'i32';
}

/** A comparison as constraints: affine where it is, else of whole numbers. Undefined where it is wrong, which is told. */
export function constraintsOf(b: Builder, e: Comparison, env: Env): readonly Constraint[] | undefined {
  const plain = needsIntegers(e, env) ? constraintIfAffine(b, e, env) : constraintOf(b, e, env);
  if (plain !== undefined) return [plain];
  if (!needsIntegers(e, env)) return undefined;
  const { report } = b.context;
  const before = report.diagnostics.length;
  const inner: Env = { ...env, integers: 'index' };
  const [left, right] = [lowerValue(b, e.left, inner), lowerValue(b, e.right, inner)];
  if (report.diagnostics.length > before) return undefined;
  const compared = comparedWhole(materialised(left), e.operator, materialised(right), b.slots);
  return [...left.present, ...right.present, ...compared];
}

function constraintOf(b: Builder, e: Comparison, env: Env): Constraint | undefined {
  const context = indexContext(b, env, 'a condition', e.span);
  const left = evaluateAffine(e.left, context);
  const right = evaluateAffine(e.right, context);
  return left && right && comparedAffine(left, e.operator, right);
}

/** The same, or undefined without a word where it is no comparison of affine expressions. */
export function constraintIfAffine(b: Builder, e: Comparison, env: Env): Constraint | undefined {
  const quiet: Builder = { ...b, context: { ...b.context, report: silently(b.context.report) } };
  return constraintOf(quiet, e, env);
}
