/**
 * What a reference with members means: `U.0`, `z.(l + 1)`, `m.y`, `m.0.U.1`.
 *
 * An instance's name comes first, then what is in it; numbers are the levels that a tensor or an instance belongs to.
 * Inside its level a tensor has its bare name, and a name written with a member of its own gets none added. The trap:
 * after a dot a name may be a tensor of the instance or a size that counts; the instance is asked first.
 */
import type { Expression, Member, Reference } from '../syntax/ast.ts';
import { evaluateNumber } from './arithmetic.ts';
import {
  type Entity,
  type InstanceEntity,
  kindName,
  lookUp,
  type Scope,
  type StructureInstance,
  type TensorEntity,
  visibleNames,
} from './model.ts';
import { reportUnknown } from './names.ts';
import { type SizeContext, sizeContext, sizeValue } from './sizes.ts';

export interface ReferenceContext extends SizeContext {
  readonly force: (entity: InstanceEntity) => StructureInstance | undefined;
  /** The value of an expression of numbers, sizes and consts; anything else in it is reported. */
  readonly realNumber: (e: Expression, scope: Scope) => number | undefined;
}

export interface ElaborationContext extends ReferenceContext {
  /** Set where a check is broken: what follows from the same sizes is then not told. */
  checkBroken: boolean;
  nextAxis: number;
}

/** What a reference names in `scope`, or undefined: then it has been reported, or cannot be said yet. */
export function resolve(reference: Reference, scope: Scope, context: ReferenceContext): Entity | undefined {
  const { report } = context;
  const { name, members } = reference;
  const entity = lookUp(scope, name.text);
  if (entity?.kind === 'postponed') {
    report.postponed = true;
    return undefined;
  }
  if (members.length > 0) return resolveMembers(scope.instance, entity, name.text, members, reference, scope, context);
  if (entity !== undefined) return entity;
  const family = scope.instance.families.get(name.text);
  if (family !== undefined) {
    const message = `\`${name.text}\` belongs to a level, and outside it one of its members must be named`;
    report.error('E0403', name.span, message, `there are ${listed(family)}`);
  } else if (scope.instance.openFamilies.has(name.text)) report.postponed = true;
  else reportUnknown(name, { scope, frame: undefined, report });
  return undefined;
}

/** The tensor that a reference names; anything else is reported. */
export function resolveTensor(
  reference: Reference,
  scope: Scope,
  context: ReferenceContext,
  otherwise?: () => string | undefined,
): TensorEntity | undefined {
  const entity = resolve(reference, scope, context);
  if (entity === undefined || entity.kind === 'tensor') return entity;
  const written = context.report.textOf(reference.span);
  const help = entity.kind === 'instance' ? `name one of its tensors: \`${written}.y\`` : otherwise?.();
  context.report.error('E0402', reference.span, `\`${written}\` is ${kindName(entity)}, not a tensor`, help);
  return undefined;
}

function resolveMembers(
  instance: StructureInstance,
  entity: Entity | undefined,
  base: string,
  members: readonly Member[],
  reference: Reference,
  scope: Scope,
  context: ReferenceContext,
): Entity | undefined {
  const { report } = context;
  if (members.length === 0) {
    if (entity === undefined) return unknownIn(instance, base, reference, context);
    return entity;
  }
  if (entity?.kind === 'instance') {
    const first = members[0];
    const inner = context.force(entity);
    if (inner === undefined) return undefined;
    if (inner.exposed !== undefined) return resolveExposed(inner, inner.exposed, members, reference, context);
    if (first.kind === 'name' && isNamed(inner, first.name.text))
      return descend(inner, members, reference, scope, context);
    if (first.kind === 'name' && lookUp(scope, first.name.text)?.kind !== 'size') {
      return unknownIn(inner, first.name.text, reference, context, first);
    }
  }
  let key = base;
  let known = instance.families.has(base) || instance.openFamilies.has(base);
  for (const [i, member] of members.entries()) {
    if (!known && i === 0) break;
    const value = memberValue(member, instance, scope, context);
    if (value === undefined) return undefined;
    key += `.${value}`;
    const found = instance.members.get(key);
    if (found === undefined) continue;
    const rest = members.slice(i + 1);
    if (rest.length === 0) return found;
    if (found.kind === 'instance') {
      const inner = context.force(found);
      if (inner === undefined) return undefined;
      if (inner.exposed !== undefined) return resolveExposed(inner, inner.exposed, rest, reference, context);
      return descend(inner, rest, reference, scope, context);
    }
  }
  if (instance.openFamilies.has(base)) {
    report.postponed = true;
    return undefined;
  }
  const family = instance.families.get(base);
  known = family !== undefined;
  if (known) {
    const written = report.textOf(reference.span);
    const meant = written === key ? '' : ` (\`${written}\`)`;
    report.error('E0403', reference.span, `there is no \`${key}\`${meant}`, `there are ${listed(family as string[])}`);
    return undefined;
  }
  if (entity === undefined) return unknownIn(instance, base, reference, context);
  const written = report.textOf(reference.span);
  report.error(
    'E0403',
    reference.span,
    `\`${base}\` is ${kindName(entity)} without members, so there is no \`${written}\``,
  );
  return undefined;
}

function isNamed(instance: StructureInstance, name: string): boolean {
  return instance.root.names.has(name) || instance.families.has(name) || instance.openFamilies.has(name);
}

/** In what fills a slot only the outputs of the signature have names. */
function resolveExposed(
  instance: StructureInstance,
  exposed: ReadonlyMap<string, TensorEntity | undefined>,
  members: readonly Member[],
  reference: Reference,
  { report }: ReferenceContext,
): TensorEntity | undefined {
  const [first] = members;
  const name = first.kind === 'name' && members.length === 1 ? first.name.text : undefined;
  if (instance.postponed || (name !== undefined && exposed.has(name))) return exposed.get(name ?? '');
  const message = `\`${report.textOf(reference.span)}\` is no output of the slot`;
  report.error('E0403', members.at(-1)?.span ?? reference.span, message, `there are ${listed([...exposed.keys()])}`);
  return undefined;
}

/** Goes on inside an instance: the first member is a name there. */
function descend(
  instance: StructureInstance,
  members: readonly Member[],
  reference: Reference,
  scope: Scope,
  context: ReferenceContext,
): Entity | undefined {
  const [first, ...rest] = members;
  const { report } = context;
  if (first.kind !== 'name') {
    const near = listedNames(instance);
    report.error('E0403', reference.span, `\`${report.textOf(reference.span)}\` names no tensor of the instance`, near);
    return undefined;
  }
  const name = first.name.text;
  const entity = instance.root.names.get(name);
  if (entity?.kind === 'postponed') {
    report.postponed = true;
    return undefined;
  }
  if (rest.length > 0) return resolveMembers(instance, entity, name, rest, reference, scope, context);
  if (entity !== undefined) return entity;
  const family = instance.families.get(name);
  if (family !== undefined) {
    report.error(
      'E0403',
      reference.span,
      `\`${name}\` belongs to a level there; one member must be named`,
      `there are ${listed(family)}`,
    );
    return undefined;
  }
  return unknownIn(instance, name, reference, context, first);
}

function unknownIn(
  instance: StructureInstance,
  name: string,
  reference: Reference,
  context: ReferenceContext,
  member?: Member,
): undefined {
  const { report } = context;
  if (instance.postponed && member !== undefined) {
    report.postponed = true;
    return undefined;
  }
  const near = report.suggest(name, [...visibleNames(instance.root), ...instance.families.keys()]);
  if (member === undefined) report.error('E0401', reference.name.span, `\`${name}\` is not known here`, near);
  else {
    const message = `\`${instance.structure.name.text}\` has no tensor \`${name}\``;
    report.error('E0401', member.span, message, near ?? listedNames(instance));
  }
  return undefined;
}

function listedNames(instance: StructureInstance): string {
  const tensors = [...instance.root.names.values()].filter((e) => e.kind === 'tensor').map((e) => e.name);
  return `it has ${listed([...tensors.map((n) => n.slice(instance.prefix.length)), ...instance.families.keys()])}`;
}

/** The number that a member is; sizes are looked for in the scope of the reference, then in the instance. */
export function memberValue(
  member: Member,
  instance: StructureInstance,
  scope: Scope,
  context: SizeContext,
): number | undefined {
  const { report } = context;
  switch (member.kind) {
    case 'integer':
      return member.value;
    case 'name': {
      const inScope = lookUp(scope, member.name.text);
      const size = inScope?.kind === 'size' ? inScope : instance.root.names.get(member.name.text);
      if (size === undefined) {
        reportUnknown(member.name, { scope, frame: undefined, report });
        return undefined;
      }
      if (size.kind !== 'size') {
        const message = `\`${member.name.text}\` is ${kindName(size)}; after a dot stands an integer or a size`;
        report.error('E0402', member.span, message);
        return undefined;
      }
      const value = sizeValue(size, context);
      if (typeof value === 'number' || value === undefined) return value;
      report.error('E0306', member.span, `\`${member.name.text}\` is a list, where a number is needed`);
      return undefined;
    }
    case 'expression':
      return evaluateNumber(member.value, sizeContext(scope, context, 'a member'));
    default:
      return member satisfies never;
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 4).map((n) => `\`${n}\``);
  if (names.length > 5) shown.push('…', `\`${names[names.length - 1]}\``);
  else shown.push(...names.slice(4).map((n) => `\`${n}\``));
  return shown.length === 0 ? 'none' : shown.join(', ');
}
