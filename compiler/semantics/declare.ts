/**
 * Declarations: what an item puts into its scope, and into the members by which a level's tensors are known outside it.
 *
 * Sizes, axes, tensors and instances share one set of names, which holds for the scopes around too; only tensors of
 * different scopes may share a name, since outside its level a level's tensor has a member. The trap: a declaration may
 * stand before the axes that it names, so that these are looked for afterwards.
 */
import type { Item, SlotItem } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import {
  type AxisEntity,
  type ConstEntity,
  type Entity,
  type InstanceEntity,
  kindName,
  lookUp,
  type Scope,
  type SizeEntity,
  type StructureInstance,
  type TensorEntity,
} from './model.ts';
import { reportNoAxis, reportUnknown } from './names.ts';
import type { ElaborationContext } from './references.ts';
import { aloneIn } from './usage.ts';

export function declareItem(item: Item, scope: Scope, context: ElaborationContext): void {
  const { instance } = scope;
  switch (item.kind) {
    case 'size':
      for (const { names, tuple, value } of item.bindings) {
        names.forEach(({ text, span }, position) => {
          const size: SizeEntity = {
            ...newSize(text, span, scope, 'declared'),
            doc: item.doc,
            expression: value,
            tuplePosition: tuple ? position : undefined,
          };
          if (tuple && names.length !== 2 && position === 0) {
            const message = `\`split\` gives two numbers, and here are ${names.length} names`;
            context.report.error('E0313', span, message, 'write `size (a, b) = split(D)`');
          }
          if (declare(size, scope, context)) instance.sizes.push(size);
        });
      }
      return;
    case 'const': {
      const { text, span } = item.name;
      const entity: ConstEntity = { kind: 'const', name: text, span, scope, item, state: 'fresh', value: undefined };
      if (declare(entity, scope, context)) instance.consts.push(entity);
      return;
    }
    case 'slot':
      declareSlot(item, scope, context);
      return;
    case 'axis':
      for (const { names, extent } of item.groups) {
        for (const { text, span } of names) {
          const axis: AxisEntity = {
            kind: 'axis',
            id: context.nextAxis++,
            name: text,
            span,
            scope,
            expression: extent,
            sizeName: aloneIn(extent)?.text,
            known: false,
            extent: undefined,
          };
          if (declare(axis, scope, context)) instance.axes.push(axis);
        }
      }
      return;
    case 'input':
    case 'param': {
      const tensor = newTensor(item.kind, item.name.text, item.name.span, item.doc, scope);
      const declared: TensorEntity = {
        ...tensor,
        dtype: item.kind === 'input' ? item.dtype : 'f32',
        declaration: item,
      };
      if (declare(declared, scope, context)) addTensor(declared, scope, context);
      return;
    }
    case 'use': {
      const { text, span } = item.alias;
      const entity: InstanceEntity = {
        kind: 'instance',
        name: instance.prefix + text + pathSuffix(scope),
        localName: text + pathSuffix(scope),
        span,
        scope,
        item,
        state: 'fresh',
        instance: undefined,
      };
      if (!declare(entity, scope, context)) return;
      instance.instances.push(entity);
      addMember(entity, text, scope, context);
      return;
    }
    case 'equation': {
      if (item.operator === '+=' || item.target.members.length > 0) return;
      const { text, span } = item.target.name;
      const known = lookUp(scope, text);
      // A second `=`, or one for an input or param, is told where the definition is attached.
      if (known?.kind === 'tensor' && (known.scope === scope || known.role !== 'computed')) return;
      const tensor = newTensor('computed', text, span, item.doc, scope);
      if (declare(tensor, scope, context)) addTensor(tensor, scope, context);
      return;
    }
    default:
      return;
  }
}

/** Slots share the names of the structures that the file can see. */
function declareSlot(item: SlotItem, scope: Scope, { report }: ElaborationContext): void {
  const { instance, path } = scope;
  const { text, span } = item.name;
  if (path.length > 0) {
    report.error('E0110', span, `the slot \`${text}\` stands in a level`, 'move it out: a slot is one for all levels');
    return;
  }
  const known = instance.slots.get(text);
  const isStructure = instance.module.structures.has(text);
  if (isStructure || (known !== undefined && !known.postponed)) {
    const what = isStructure ? 'a structure' : 'a slot';
    report.error('E0404', span, `\`${text}\` is already ${what}`, 'slots and structures share one set of names');
    return;
  }
  instance.slots.set(text, { item, scope, postponed: false });
}

export function newSize(name: string, span: Span, scope: Scope, role: SizeEntity['role']): SizeEntity {
  return {
    kind: 'size',
    name,
    span,
    doc: undefined,
    scope,
    role,
    expression: undefined,
    tuplePosition: undefined,
    state: 'fresh',
    value: undefined,
    unbound: false,
  };
}

export function newTensor(
  role: TensorEntity['role'],
  name: string,
  span: Span,
  doc: string | undefined,
  scope: Scope,
  localName = name + pathSuffix(scope),
): TensorEntity {
  return {
    kind: 'tensor',
    role,
    name: scope.instance.prefix + localName,
    localName,
    span,
    doc,
    dtype: 'f32',
    scope,
    declaration: undefined,
    axes: [],
    init: undefined,
    alias: undefined,
    definitions: [],
    shape: undefined,
    equations: [],
  };
}

function pathSuffix(scope: Scope): string {
  return scope.path.map((value) => `.${value ?? '?'}`).join('');
}

function addTensor(tensor: TensorEntity, scope: Scope, context: ElaborationContext): void {
  scope.instance.tensors.push(tensor);
  addMember(tensor, tensor.localName.slice(0, tensor.localName.length - pathSuffix(scope).length), scope, context);
}

/** What belongs to a level is a member, by which it is known outside. */
function addMember(
  entity: TensorEntity | InstanceEntity,
  base: string,
  scope: Scope,
  context: ElaborationContext,
): void {
  const { instance, path } = scope;
  if (path.length === 0) return;
  if (path.includes(undefined)) instance.openFamilies.add(base);
  registerMember(entity, base, instance, context);
}

export function registerMember(
  entity: TensorEntity | InstanceEntity,
  base: string,
  instance: StructureInstance,
  { report }: ElaborationContext,
): void {
  const known = instance.members.get(entity.localName);
  if (known !== undefined) {
    const help = `the first is in ${report.lineOf(known.span, entity.span)}`;
    report.error('E0404', entity.span, `\`${entity.localName}\` is defined twice`, help);
    return;
  }
  instance.members.set(entity.localName, entity);
  const family = instance.families.get(base);
  if (family === undefined) instance.families.set(base, [entity.localName]);
  else family.push(entity.localName);
}

/** Puts a name into a scope. Tensors of different scopes may share one, anything else may not. */
export function declare(entity: Entity, scope: Scope, { report }: ElaborationContext): boolean {
  const name = nameOf(entity);
  const known = lookUp(scope, name);
  const shadowed = known?.kind === 'tensor' && entity.kind === 'tensor' && known.scope !== scope;
  if (known !== undefined && known.kind !== 'postponed' && !shadowed) {
    const place = known.kind === 'size' && known.role === 'implicit' ? 'used' : 'declared';
    const rule = 'sizes, axes, tensors and instances share one set of names';
    const help = `it is ${place} in ${report.lineOf(known.span, entity.span)}; ${rule}`;
    report.error('E0404', entity.span, `\`${name}\` is already ${kindName(known)}`, help);
    return false;
  }
  scope.names.set(name, entity);
  return true;
}

function nameOf(entity: Entity): string {
  if (entity.kind === 'tensor' || entity.kind === 'instance') {
    const dot = entity.localName.indexOf('.');
    return dot < 0 ? entity.localName : entity.localName.slice(0, dot);
  }
  return entity.name;
}

/** Finds the axes of the scope's inputs and params; `last`: what is not found now is reported. */
export function resolveDeclarations(scope: Scope, context: ElaborationContext, last: boolean): void {
  const { report } = context;
  for (const entity of scope.names.values()) {
    if (entity.kind !== 'tensor' || entity.declaration?.axes === undefined) continue;
    const written = entity.declaration.axes;
    if (entity.axes.length === written.length && !last) continue;
    const axes: AxisEntity[] = [];
    for (const name of written) {
      const found = lookUp(scope, name.text);
      if (found?.kind === 'axis') {
        if (last && axes.includes(found)) {
          const owner = entity.declaration.name.text;
          const message = `the axis \`${name.text}\` stands twice in the declaration of \`${owner}\``;
          report.error('E0507', name.span, message, 'declare a second axis of the same size: `axis i, j: D`');
        }
        axes.push(found);
      } else if (last) {
        if (found === undefined) reportUnknown(name, { scope, frame: undefined, report }, 'axis');
        else if (found.kind === 'postponed') report.postponed = true;
        else reportNoAxis(name, found, { scope, report });
      }
    }
    if (axes.length === written.length) entity.axes = axes;
  }
}
