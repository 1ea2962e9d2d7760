/**
 * `use Other(D = D, x = z) as m`: a structure inside a structure.
 *
 * The instance is a whole `StructureInstance` under the prefix `m.`; its inputs are other names for the tensors bound
 * to them, and the shapes of those settle the sizes that are not bound. The trap is the order: an instance needs shapes
 * of tensors that may lie in other instances, so instances are made when somebody first asks, and a circle of them is a
 * mistake.
 */
import type { Item, Structure, UseItem } from '../syntax/ast.ts';
import { evaluateIndex } from './arithmetic.ts';
import { checkValues, elaborate } from './elaborate.ts';
import type { Module } from './files.ts';
import type { GivenShape, InstanceEntity, Scope, SizeValue, StructureInstance, TensorEntity } from './model.ts';
import { actual, lookUp } from './model.ts';
import type { ElaborationContext } from './references.ts';
import { resolveTensor } from './references.ts';
import { LimitError } from './report.ts';
import { count, rankOf, tensorShape } from './shapes.ts';
import { axisExtent, sizeContext } from './sizes.ts';
import { usageOf } from './usage.ts';

const depthLimit = 64;

export interface InstanceParts {
  readonly prefix: string;
  readonly structure: Structure;
  readonly module: Module;
  readonly parent: StructureInstance | undefined;
  readonly overrides: StructureInstance['overrides'];
  readonly inputShape: (name: string) => GivenShape | undefined;
  readonly inputBinding: (name: string) => TensorEntity | undefined;
}

/** Unrolls a structure for its sizes, and then every instance in it. */
export function makeInstance(parts: InstanceParts, context: ElaborationContext): StructureInstance {
  const { parent } = parts;
  const names = new Map();
  const instance: StructureInstance = {
    ...parts,
    depth: parent === undefined ? 0 : parent.depth + 1,
    root: undefined as unknown as Scope,
    members: new Map(),
    families: new Map(),
    openFamilies: new Set(),
    tensors: [],
    axes: [],
    sizes: [],
    instances: [],
    outputs: [],
    postponed: false,
  };
  instance.root = { parent: undefined, instance, path: [], names };
  elaborate(instance, context);
  for (const tensor of instance.tensors) {
    if (tensor.role === 'input') tensor.alias = parts.inputBinding(tensor.localName);
  }
  checkValues(instance, context);
  for (const axis of instance.axes) axisExtent(axis, context);
  checkInputs(instance, context);
  return instance;
}

/**
 * Makes an instance, after those that its inputs come from: with a stack of our own, since that may be a long chain.
 */
export function forceInstance(entity: InstanceEntity, context: ElaborationContext): StructureInstance | undefined {
  if (entity.state !== 'fresh') return makeNow(entity, context);
  const stack = [entity];
  const seen = new Set<InstanceEntity>();
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    const needed = seen.has(top) ? [] : sourcesOf(top).filter((other) => other.state === 'fresh' && !seen.has(other));
    seen.add(top);
    if (needed.length > 0) {
      stack.push(...needed);
      continue;
    }
    stack.pop();
    if (top.state === 'fresh') makeNow(top, context);
  }
  return entity.instance;
}

/** Instances that the inputs of one are bound to tensors of, as far as the names tell. */
function sourcesOf({ item, scope }: InstanceEntity): readonly InstanceEntity[] {
  return item.bindings.flatMap(({ value }) => {
    const found = value.kind === 'name' ? lookUp(scope, value.reference.name.text) : undefined;
    return found?.kind === 'instance' ? [found] : [];
  });
}

function makeNow(entity: InstanceEntity, context: ElaborationContext): StructureInstance | undefined {
  const { report } = context;
  const { item, scope } = entity;
  if (entity.state === 'done') return entity.instance;
  if (entity.state === 'busy') {
    report.error('E0406', item.span, `the inputs of \`${entity.localName}\` depend on \`${entity.localName}\` itself`);
    return undefined;
  }
  entity.state = 'busy';
  entity.instance = instantiate(entity, item, scope, context);
  if (entity.instance === undefined) scope.instance.postponed = true;
  entity.state = 'done';
  return entity.instance;
}

function instantiate(
  entity: InstanceEntity,
  item: UseItem,
  scope: Scope,
  context: ElaborationContext,
): StructureInstance | undefined {
  const { report } = context;
  const outer = scope.instance;
  const name = item.structure.text;
  const visible = outer.module.structures.get(name);
  if (visible === undefined) {
    const near = report.suggest(name, outer.module.structures.keys());
    const help = near ?? 'bring its file in with `import "…"`';
    report.error('E0204', item.structure.span, `there is no structure \`${name}\` here`, help);
    return undefined;
  }
  for (let around: StructureInstance | undefined = outer; around !== undefined; around = around.parent) {
    if (around.structure !== visible.structure) continue;
    const way =
      around === outer ? `\`${name}\` uses itself` : `\`${name}\` uses itself through \`${outer.structure.name.text}\``;
    report.error('E0206', item.structure.span, way);
    return undefined;
  }
  if (outer.depth >= depthLimit) {
    throw new LimitError(item.span, `structures use each other more than ${depthLimit} deep`);
  }

  const declared = declaredNames(visible.structure);
  const overrides = new Map<string, { value: SizeValue | undefined; span: typeof item.span }>();
  const inputs = new Map<string, { tensor: TensorEntity | undefined; span: typeof item.span; text: string }>();
  for (const { name: bound, value, span } of item.bindings) {
    if (overrides.has(bound.text) || inputs.has(bound.text)) {
      report.error('E0404', bound.span, `\`${bound.text}\` is bound twice`);
      continue;
    }
    if (declared.inputs.has(bound.text)) {
      if (value.kind !== 'name') {
        const help = 'define it as a tensor first, and bind its bare name';
        report.error('E0207', value.span, `the input \`${bound.text}\` takes the bare name of a tensor`, help);
        inputs.set(bound.text, { tensor: undefined, span, text: '' });
        continue;
      }
      const tensor = resolveTensor(value.reference, scope, context);
      inputs.set(bound.text, { tensor: tensor && actual(tensor), span: value.span, text: report.textOf(value.span) });
    } else if (declared.sizes.has(bound.text)) {
      const given = evaluateIndex(value, sizeContext(scope, context));
      const list = given?.kind === 'list' ? given.values : given?.constant;
      overrides.set(bound.text, { value: list, span });
    } else {
      const near = report.suggest(bound.text, [...declared.sizes, ...declared.inputs]);
      const all = [...declared.sizes, ...declared.inputs].map((n) => `\`${n}\``).join(', ');
      const message = `\`${name}\` has no size or input \`${bound.text}\``;
      report.error('E0207', bound.span, message, near ?? `it has ${all}`);
    }
  }
  const instance = makeInstance(
    {
      prefix: `${entity.name}.`,
      structure: visible.structure,
      module: visible.module,
      parent: outer,
      overrides,
      inputBinding: (input) => inputs.get(input)?.tensor,
      inputShape: (input) => {
        const bound = inputs.get(input);
        if (bound?.tensor === undefined) return undefined;
        return { shape: tensorShape(bound.tensor, context), span: bound.span, what: `\`${bound.text}\`` };
      },
    },
    context,
  );
  for (const tensor of instance.tensors) {
    if (tensor.role !== 'input' || inputs.has(tensor.localName)) continue;
    const help = `bind it: \`${tensor.localName} = …\``;
    report.error('E0207', item.span, `the input \`${tensor.localName}\` of \`${name}\` is not bound`, help);
  }
  return instance;
}

interface Declared {
  readonly sizes: ReadonlySet<string>;
  readonly inputs: ReadonlySet<string>;
}

const declaredCache = new WeakMap<Structure, Declared>();

/** What a structure declares outside its levels, whatever its `if`s say. */
export function declaredNames(structure: Structure): Declared {
  const known = declaredCache.get(structure);
  if (known !== undefined) return known;
  const sizes = new Set<string>();
  const inputs = new Set<string>();
  const visit = (items: readonly Item[]): void => {
    for (const item of items) {
      if (item.kind === 'size') for (const binding of item.bindings) for (const n of binding.names) sizes.add(n.text);
      if (item.kind === 'input') inputs.add(item.name.text);
      if (item.kind === 'if') visit([...item.then, ...(item.otherwise ?? [])]);
    }
  };
  visit(structure.items);
  for (const name of usageOf(structure).implicit.keys()) sizes.add(name);
  const declared = { sizes, inputs };
  declaredCache.set(structure, declared);
  return declared;
}

/**
 * Every extent of a given shape is that of the declaration; where one is not, what follows is held to the declaration.
 */
function checkInputs(instance: StructureInstance, context: ElaborationContext): void {
  const { report } = context;
  for (const tensor of instance.tensors) {
    if (tensor.role !== 'input' || tensor.declaration === undefined) continue;
    const given = instance.inputShape(tensor.localName);
    const bound = tensor.alias;
    if (bound !== undefined) {
      const [inner, outer] = [tensor.dtype, bound.dtype].map((dtype) => (dtype === 'i32' ? 'i32' : 'a float'));
      if (inner !== outer) {
        const message = `${given?.what ?? 'the tensor'} is ${outer}, and the input \`${tensor.localName}\` is ${inner}`;
        report.error('E0312', given?.span ?? tensor.span, message);
        tensor.alias = undefined;
      }
    }
    if (given === undefined) continue;
    const rank = bound === undefined ? given.shape.length : rankOf(bound);
    const declaredRank = tensor.declaration.axes?.length ?? 0;
    if (rank !== declaredRank) {
      const has = `${given.what} has ${count(rank, 'axis')}`;
      const message = `${has}, and the input \`${tensor.localName}\` has ${declaredRank}`;
      report.error('E0312', given.span ?? tensor.span, message);
      tensor.alias = undefined;
      continue;
    }
    for (const [d, axis] of tensor.axes.entries()) {
      const extent = axisExtent(axis, context);
      const actualExtent = given.shape[d];
      if (extent === undefined || actualExtent === undefined || extent === actualExtent) continue;
      const written = report.textOf(axis.expression.span);
      const shown = written === String(extent) ? written : `${written} = ${extent}`;
      const at = given.span ?? tensor.declaration.axes?.[d]?.span ?? tensor.span;
      const message =
        `${given.what} has ${actualExtent} elements along \`${axis.name}\` (position ${d + 1}), ` +
        `and the input \`${tensor.localName}\` has ${shown} there`;
      report.error('E0312', at, message);
      tensor.alias = undefined;
    }
  }
}
