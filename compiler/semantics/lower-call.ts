/**
 * Calls in values: pointwise functions, `select`, and functions of sizes, which are numbers in a value.
 *
 * The trap is a reduction without brackets, `sum(x[i])`: `sum` and `max` of a list of sizes are written the same way.
 */
import { isConstant } from '../ir/affine.ts';
import { binary, select, unary } from '../ir/expression.ts';
import type { Constraint, Expression } from '../ir/program.ts';
import { evaluateIndex } from './arithmetic.ts';
import { withAxesMeant } from './axes-meant.ts';
import {
  type Builder,
  conjunction,
  type Env,
  isSaid,
  type Lowered,
  materialised,
  never,
  placeholder,
  small,
} from './builder.ts';
import {
  binaryFunctions as binaryNames,
  type Call,
  calleeOf,
  reductions,
  unaryFunctions as unaryNames,
} from './calls.ts';
import { functionIn } from './files.ts';
import { foreignCall } from './foreign-names.ts';
import { isWholeValue, meantWhole, refuseReal } from './integers.ts';
import { comparisonsOf, constraintIfAffine } from './lower-condition.ts';
import { lowerFunction } from './lower-function.ts';
import { indexContext } from './lower-index.ts';
import { lowerReduction } from './lower-reduction.ts';
import { fold, lowerValue, number, pointwise } from './lower-value.ts';
import { meaningOf } from './names.ts';
import { count } from './shapes.ts';
import { referencesIn } from './walk.ts';

export function lowerCall(b: Builder, e: Call, env: Env): Lowered {
  const { report } = b.context;
  const callee = calleeOf(e, env.module);
  const name = e.callee.text;
  if (callee.kind !== 'reduction' && callee.kind !== 'function' && (e.axes !== undefined || e.every)) {
    if (callee.kind !== 'unknown') {
      report.error('E0408', e.span, `\`${name}\` takes no axes in brackets`);
      return placeholder;
    }
  }
  switch (callee.kind) {
    case 'unary':
      if (!takes(b, e, 1)) return placeholder;
      if (env.integers !== undefined && callee.operator !== 'abs' && callee.operator !== 'sign') {
        refuseReal(b, e.callee.span, `\`${name}\` gives reals, and ${meantWhole(env)} takes whole numbers`);
        return placeholder;
      }
      return pointwise(b, e.arguments, env, e.span, ([x]) => unary(callee.operator, x));
    case 'binary': {
      const [least, most] = callee.operator === 'power' ? [2, 2] : [2, Number.POSITIVE_INFINITY];
      if (!takes(b, e, least, most)) return placeholder;
      if (env.integers !== undefined && callee.operator === 'power') {
        refuseReal(b, e.callee.span, `\`${name}\` gives reals, and ${meantWhole(env)} takes whole numbers`);
        return placeholder;
      }
      return pointwise(b, e.arguments, env, e.span, (values) =>
        values.reduce((left, right) => fold(b, binary(callee.operator, left, right), e.span)),
      );
    }
    case 'select':
      return takes(b, e, 3) ? lowerSelect(b, e, env) : placeholder;
    case 'reduction':
      if (e.axes === undefined && !e.every) {
        const help = `write \`${axisAsArgument(b, e, env) ?? withAxesMeant(b, e, env, callee.reduction === 'softmax')}\``;
        report.error('E0408', e.span, `\`${report.textOf(e.span)}\` does not say over which axes`, help);
        return placeholder;
      }
      return takes(b, e, 1) ? lowerReduction(b, e, callee.reduction, env) : placeholder;
    case 'size':
      return lowerSizeCall(b, e, env);
    case 'function':
      return lowerFunction(b, e, callee.found, env);
    case 'unknown': {
      const { functions } = env.module;
      const library = ['layernorm', 'rmsnorm', 'cross_entropy', 'rms_clip'].filter((f) => functionIn(env.module, f));
      const known = [
        ...functions.keys(),
        ...unaryNames.keys(),
        ...binaryNames.keys(),
        'select',
        ...reductions,
        ...library,
      ];
      const axes = (e.axes ?? []).map(({ text }) => text);
      const given = e.arguments.map(({ span }) => report.lineOfSource(span));
      const meant = foreignCall(name, given, axes);
      const near = meant === undefined ? report.suggest(name, known) : `write \`${meant}\``;
      report.error('E0407', e.callee.span, `there is no function \`${name}\``, near);
      return placeholder;
    }
    default:
      return callee satisfies never;
  }
}

/** `softmax(u, x)` with its axis where it belongs. */
function axisAsArgument(b: Builder, e: Call, env: Env): string | undefined {
  const [first, second, ...more] = e.arguments;
  if (second === undefined || more.length > 0) return undefined;
  const { report } = b.context;
  for (const [axis, value] of [
    [first, second],
    [second, first],
  ]) {
    const meaning = axis.kind === 'name' ? meaningOf(axis.reference.name.text, env.scope, env.frame) : undefined;
    const isAxis = meaning?.kind === 'axes' || (meaning?.kind === 'entity' && meaning.entity.kind === 'axis');
    if (isAxis) return `${e.callee.text}[${report.textOf(axis.span)}](${report.lineOfSource(value.span)})`;
  }
  return undefined;
}

export function takes(b: Builder, e: Call, least: number, most = least): boolean {
  const given = e.arguments.length;
  if (given >= least && given <= most) return true;
  const wanted = count(least, 'argument');
  const text = `\`${e.callee.text}\` takes ${most > least ? `at least ${wanted}` : wanted}, not ${given}`;
  b.context.report.error('E0408', e.span, text);
  return false;
}

/** `len(ranks)`, `sum(ranks)`, `max(ranks)`: functions of sizes, in a value a number. */
function lowerSizeCall(b: Builder, e: Call, env: Env): Lowered {
  const { report } = b.context;
  const name = e.callee.text;
  if (name === 'log2' && e.arguments.length === 1) {
    // All arithmetic of values is real, so that the logarithm need not be whole.
    const operand = lowerValue(b, e.arguments[0], env);
    if (operand.value.kind === 'constant') return number(b, Math.log2(operand.value.value), e.span);
    if (!isSaid(operand.value)) return placeholder;
    report.error('E0603', e.span, '`log2` takes a size; of a value write `log(x) / log(2)`');
    return placeholder;
  }
  const plain = e.arguments.some((argument) =>
    referencesIn(argument).some((reference) => {
      const meaning = meaningOf(reference.name.text, env.scope, env.frame);
      return meaning?.kind === 'entity' && meaning.entity.kind !== 'size' && meaning.entity.kind !== 'postponed';
    }),
  );
  if (plain && reductions.some((r) => r === name)) {
    const help = `write \`${withAxesMeant(b, e, env, false)}\``;
    report.error('E0408', e.span, `\`${report.textOf(e.span)}\` does not say over which axes`, help);
    return placeholder;
  }
  const value = evaluateIndex(e, indexContext(b, env, 'a size in a value', e.span));
  return value?.kind === 'affine' && isConstant(value) ? number(b, value.constant, e.span) : placeholder;
}

function lowerSelect(b: Builder, e: Call, env: Env): Lowered {
  const [condition, thenSyntax, otherwiseSyntax] = e.arguments;
  const comparisons = comparisonsOf(b, condition);
  const then = lowerValue(b, thenSyntax, env);
  const otherwise = lowerValue(b, otherwiseSyntax, env);
  const presents = [then.present, otherwise.present];
  const constraints: Constraint[] = [];
  const values: { operator: (typeof comparisons)[number]['operator']; left: Expression; right: Expression }[] = [];
  for (const comparison of comparisons) {
    const constraint = constraintIfAffine(b, comparison, env);
    if (constraint !== undefined) {
      constraints.push(constraint);
      continue;
    }
    const left = lowerValue(b, comparison.left, env);
    const right = lowerValue(b, comparison.right, env);
    // A label is looked for among positions: what excludes it around must be asked before.
    if (comparison.operator === '==' && isWholeValue(b, left.value) && isWholeValue(b, right.value)) b.guardUses++;
    presents.push(left.present, right.present);
    values.push({ operator: comparison.operator, left: materialised(left), right: materialised(right) });
  }
  const domain = conjunction(b, [constraints]);
  const other = values.length > 0 && domain.length + values.length > 1 ? small(b, otherwise, env, e.span) : otherwise;
  const no = materialised(other);
  let value = materialised(then);
  for (const { operator, left, right } of values.reverse()) {
    value = select({ kind: 'compare', operator, left, right }, value, no);
  }
  if (domain.includes(never)) value = no;
  else if (domain.length > 0) value = select({ kind: 'domain', constraints: domain }, value, no);
  return { value, present: conjunction(b, presents), support: [] };
}
