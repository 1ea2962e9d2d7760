import type { Expression, Identifier } from '../syntax/ast.ts';
import { type AxisEntity, type Entity, kindName, lookUp, type Scope, visibleNames } from './model.ts';
import type { Report } from './report.ts';
import { usageOf } from './usage.ts';

/** What stands for the names of a function's body: the arguments and axes of the call. */
export interface Frame {
  readonly parameters: ReadonlyMap<string, Argument>;
  readonly axes: ReadonlyMap<string, readonly AxisEntity[]>;
}

export interface Argument {
  readonly expression: Expression;
  readonly scope: Scope;
  readonly frame: Frame | undefined;
}

export type Meaning =
  | { readonly kind: 'entity'; readonly entity: Entity }
  | { readonly kind: 'argument'; readonly argument: Argument }
  | { readonly kind: 'axes'; readonly axes: readonly AxisEntity[] };

/** What a bare name means here, or undefined with nothing said. */
export function meaningOf(name: string, scope: Scope, frame: Frame | undefined): Meaning | undefined {
  if (frame !== undefined) {
    const argument = frame.parameters.get(name);
    if (argument !== undefined) return { kind: 'argument', argument };
    const axes = frame.axes.get(name);
    return axes === undefined ? undefined : { kind: 'axes', axes };
  }
  const entity = lookUp(scope, name);
  return entity === undefined ? undefined : { kind: 'entity', entity };
}

export function namesInReach(scope: Scope, frame: Frame | undefined): Iterable<string> {
  return frame === undefined ? visibleNames(scope) : [...frame.parameters.keys(), ...frame.axes.keys()];
}

export function reportUnknown(
  name: Identifier,
  context: { scope: Scope; frame: Frame | undefined; report: Report },
  help?: string,
): void {
  const { scope, frame, report } = context;
  const near = report.suggest(name.text, namesInReach(scope, frame));
  if (frame !== undefined) {
    const message = `\`${name.text}\` is not known in this function: only its parameters and axes are`;
    report.error('E0401', name.span, message, near);
  } else if (usageOf(scope.instance.structure).declared.has(name.text)) {
    const message =
      `\`${name.text}\` is not known here: what declares it stands in a level that this is not in or that ` +
      'has no iterations, or in a branch that is not taken';
    report.error('E0401', name.span, message);
  } else report.error('E0401', name.span, `\`${name.text}\` is not known here`, near ?? help);
}

/** The axes that a name in brackets or in a group stands for; reported where it is no axis. */
export function axesNamed(
  name: Identifier,
  context: { scope: Scope; frame: Frame | undefined; report: Report },
): readonly AxisEntity[] | undefined {
  const meaning = meaningOf(name.text, context.scope, context.frame);
  if (meaning === undefined) {
    reportUnknown(name, context);
    return undefined;
  }
  if (meaning.kind === 'axes') return meaning.axes;
  if (meaning.kind === 'entity') {
    if (meaning.entity.kind === 'axis') return [meaning.entity];
    if (meaning.entity.kind === 'postponed') {
      context.report.postponed = true;
      return undefined;
    }
    context.report.error('E0402', name.span, `\`${name.text}\` is ${kindName(meaning.entity)}, not an axis`);
    return undefined;
  }
  context.report.error('E0402', name.span, `\`${name.text}\` is a parameter of the function, not an axis`);
  return undefined;
}
