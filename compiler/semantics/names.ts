import type { Expression, Identifier } from '../syntax/ast.ts';
import { builtinNames } from './calls.ts';
import { foreignConstant } from './foreign-names.ts';
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

/** The names in reach that are of one of the kinds, the parameters of a function never. */
function* namesOfKinds(scope: Scope, frame: Frame | undefined, kinds: readonly Entity['kind'][]): Iterable<string> {
  if (frame !== undefined) yield* frame.axes.keys();
  else for (const name of visibleNames(scope)) if (kinds.includes(lookUp(scope, name)?.kind ?? 'tensor')) yield name;
}

/** What is asked for where a name is not known: nothing is proposed that could not stand there. */
export type Wanted = 'axis' | 'index' | 'bound' | 'size' | 'any';

export function reportUnknown(
  name: Identifier,
  context: { scope: Scope; frame: Frame | undefined; report: Report },
  wanted: Wanted = 'any',
): void {
  const { scope, frame, report } = context;
  const near = report.suggest(name.text, candidates(scope, frame, wanted));
  const help = wanted === 'any' ? undefined : `declare it: \`${declarationOf(name.text, wanted)}\``;
  if (frame !== undefined) {
    const message = `\`${name.text}\` is not known in this function: only its parameters and axes are`;
    report.error('E0401', name.span, message, near);
  } else if (usageOf(scope.instance.structure).declared.has(name.text)) {
    const message =
      `\`${name.text}\` is not known here: what declares it stands in a level that this is not in or that ` +
      'has no iterations, or in a branch that is not taken';
    report.error('E0401', name.span, message);
  } else {
    const asFunction = builtinNames.has(name.text) ? `it is a function: \`${name.text}(…)\`` : undefined;
    const known =
      near ?? asFunction ?? foreignConstant(name.text) ?? report.behindComment(name.text, name.span) ?? help;
    report.error('E0401', name.span, `\`${name.text}\` is not known here`, known);
  }
}

function candidates(scope: Scope, frame: Frame | undefined, wanted: Wanted): Iterable<string> {
  switch (wanted) {
    case 'axis':
      return namesOfKinds(scope, frame, ['axis']);
    case 'index':
    case 'bound':
      return namesOfKinds(scope, frame, ['axis', 'size']);
    case 'size':
      return frame === undefined ? namesOfKinds(scope, frame, ['size']) : namesInReach(scope, frame);
    case 'any':
      return namesInReach(scope, frame);
    default:
      return wanted satisfies never;
  }
}

function declarationOf(name: string, wanted: Exclude<Wanted, 'any'>): string {
  return wanted === 'size' || wanted === 'bound' ? `size ${name}` : `axis ${name}: N`;
}

/** Something else stands where an axis must: of a size, its axes are what was meant. */
export function reportNoAxis(
  name: Identifier,
  found: Entity,
  { scope, report }: { scope: Scope; report: Report },
): void {
  const message = `\`${name.text}\` is ${kindName(found)}, not an axis`;
  report.error('E0402', name.span, message, found.kind === 'size' ? axesOfSize(name.text, scope) : undefined);
}

function axesOfSize(size: string, scope: Scope): string {
  const axes = [...visibleNames(scope)].filter((name) => {
    const entity = lookUp(scope, name);
    return entity?.kind === 'axis' && entity.sizeName === size;
  });
  if (axes.length > 0) return `write an axis of that size: ${axes.map((axis) => `\`${axis}\``).join(' or ')}`;
  const fresh = lookUp(scope, size.toLowerCase()) === undefined ? size.toLowerCase() : `${size.toLowerCase()}1`;
  return `declare an axis of that size, \`axis ${fresh}: ${size}\`, and write its name`;
}

/** The axes that a name in brackets or in a group stands for; reported where it is no axis. */
export function axesNamed(
  name: Identifier,
  context: { scope: Scope; frame: Frame | undefined; report: Report },
): readonly AxisEntity[] | undefined {
  const meaning = meaningOf(name.text, context.scope, context.frame);
  if (meaning === undefined) {
    reportUnknown(name, context, 'axis');
    return undefined;
  }
  if (meaning.kind === 'axes') return meaning.axes;
  if (meaning.kind === 'entity') {
    if (meaning.entity.kind === 'axis') return [meaning.entity];
    if (meaning.entity.kind === 'postponed') {
      context.report.postponed = true;
      return undefined;
    }
    reportNoAxis(name, meaning.entity, context);
    return undefined;
  }
  context.report.error('E0402', name.span, `\`${name.text}\` is a parameter of the function, not an axis`);
  return undefined;
}
