/**
 * `use Other(D = D, x = z) as m`: a structure inside a structure, by its name or as what fills a slot.
 *
 * The instance is a whole `StructureInstance` under the prefix `m.`; its inputs are other names for the tensors bound
 * to them, and the shapes of those settle the sizes that are not bound. The trap is the order: an instance needs shapes
 * of tensors that may lie in other instances, so instances are made when somebody first asks, and a circle of them is a
 * mistake.
 */
import type { Expression, Structure, UseItem } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { evaluateIndex } from './arithmetic.ts';
import { bindByName } from './bind-by-name.ts';
import { type Declared, declaredNames } from './declared-names.ts';
import { checkValues, elaborate } from './elaborate.ts';
import type { Module, VisibleStructure } from './files.ts';
import type {
  Filling,
  GivenByName,
  GivenShape,
  InstanceEntity,
  Scope,
  SizeValue,
  SlotEntity,
  StructureInstance,
  TensorEntity,
} from './model.ts';
import { actual, lookUp } from './model.ts';
import { reportUnknown } from './names.ts';
import type { ElaborationContext } from './references.ts';
import { resolveTensor } from './references.ts';
import { LimitError } from './report.ts';
import { count, rankOf, tensorShape } from './shapes.ts';
import { axisExtent, sizeContext } from './sizes.ts';
import { checkSlotInput, exposeOutputs, shapeForInput, tensorForInput } from './slot-join.ts';
import { fillingNamed, fillingOf, reportUnfilled } from './slots.ts';
import { referencesIn } from './walk.ts';

const depthLimit = 64;

export interface InstanceParts {
  readonly prefix: string;
  readonly structure: Structure;
  readonly module: Module;
  readonly parent: StructureInstance | undefined;
  readonly overrides: StructureInstance['overrides'];
  readonly inputShape: (name: string) => GivenShape | undefined;
  readonly inputBinding: (name: string, instance: StructureInstance) => TensorEntity | undefined;
  readonly fillings: StructureInstance['fillings'];
}

type OverrideEntry = { readonly value: SizeValue | undefined; readonly span: Span };

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
    consts: [],
    slots: new Map(),
    exposed: undefined,
    instances: [],
    outputs: [],
    postponed: false,
  };
  instance.root = { parent: undefined, instance, path: [], names };
  elaborate(instance, context);
  for (const tensor of instance.tensors) {
    if (tensor.role === 'input') tensor.alias = parts.inputBinding(tensor.localName, instance);
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
  const outer = scope.instance;
  const slot = outer.slots.get(item.structure.text);
  const filling = slot === undefined ? structureNamed(item, outer, context) : filledBy(item, slot, outer, context);
  if (filling === undefined || filling.visible === undefined || filling.visible === 'default') return undefined;
  const { visible } = filling;
  if (closesCircle(visible.structure, item, outer, context)) return undefined;
  const bindings = uniqueBindings(item, context);
  return slot === undefined
    ? useStructure(entity, visible, bindings, context)
    : useSlot(entity, slot, { visible, given: filling.given }, bindings, context);
}

function structureNamed(
  { structure: { text, span } }: UseItem,
  outer: StructureInstance,
  { report }: ElaborationContext,
): Filling | undefined {
  const visible = outer.module.structures.get(text);
  if (visible !== undefined) return { visible, given: { values: {}, slots: {} } };
  const near = report.suggest(text, [...outer.module.structures.keys(), ...outer.slots.keys()]);
  const help = near ?? 'bring its file in with `import "…"`';
  report.error('E0204', span, `there is no structure \`${text}\` here`, help);
  return undefined;
}

function filledBy(
  item: UseItem,
  slot: SlotEntity,
  outer: StructureInstance,
  context: ElaborationContext,
): Filling | undefined {
  if (slot.postponed) {
    context.report.postponed = true;
    return undefined;
  }
  const filling = fillingOf(slot, outer, context);
  if (filling === 'nothing') reportUnfilled(item, outer, context);
  return filling === 'nothing' ? undefined : filling;
}

/** Whether a structure would use itself, which is reported. Throws LimitError where structures use each other too deeply. */
function closesCircle(
  structure: Structure,
  item: UseItem,
  outer: StructureInstance,
  { report }: ElaborationContext,
): boolean {
  const name = structure.name.text;
  for (let around: StructureInstance | undefined = outer; around !== undefined; around = around.parent) {
    if (around.structure !== structure) continue;
    const way =
      around === outer ? `\`${name}\` uses itself` : `\`${name}\` uses itself through \`${outer.structure.name.text}\``;
    report.error('E0206', item.structure.span, way);
    return true;
  }
  if (outer.depth >= depthLimit) {
    throw new LimitError(item.span, `structures use each other more than ${depthLimit} deep`);
  }
  return false;
}

type Binding = UseItem['bindings'][number];

function uniqueBindings(item: UseItem, { report }: ElaborationContext): readonly Binding[] {
  const seen = new Set<string>();
  return item.bindings.filter(({ name }) => {
    const isFirst = !seen.has(name.text);
    if (!isFirst) report.error('E0404', name.span, `\`${name.text}\` is bound twice`);
    seen.add(name.text);
    return isFirst;
  });
}

function useStructure(
  entity: InstanceEntity,
  visible: VisibleStructure,
  bindings: readonly Binding[],
  context: ElaborationContext,
): StructureInstance {
  const { report } = context;
  const { item, scope } = entity;
  const name = visible.structure.name.text;
  const declared = declaredNames(visible.structure);
  const values = new Map<string, OverrideEntry>();
  const fillings = new Map<string, Filling>();
  const inputs = new Map<string, { tensor: TensorEntity | undefined; span: Span; text: string }>();
  for (const binding of bindings) {
    const bound = binding.name.text;
    const { value } = binding;
    if (declared.inputs.has(bound)) {
      const tensor = boundTensor(binding, scope, context);
      inputs.set(bound, { tensor, span: value.span, text: report.textOf(value.span) });
      continue;
    }
    if (bindValue(binding, declared, { values, fillings }, scope, context)) continue;
    const all = [...declared.sizes, ...declared.consts, ...declared.inputs.keys(), ...declared.slots];
    const near = report.suggest(bound, all);
    const message = `\`${name}\` has no size or input \`${bound}\``;
    report.error('E0207', binding.name.span, message, near ?? `it has ${all.map((n) => `\`${n}\``).join(', ')}`);
  }
  const instance = makeInstance(
    {
      prefix: `${entity.name}.`,
      ...visible,
      parent: scope.instance,
      overrides: values,
      fillings,
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

/**
 * Inputs are bound under the names of the slot's signature and given to those of the structure in order; of the sizes the
 * structure takes those that it declares.
 */
function useSlot(
  entity: InstanceEntity,
  slot: SlotEntity,
  { visible, given }: { readonly visible: VisibleStructure; readonly given: GivenByName },
  bindings: readonly Binding[],
  context: ElaborationContext,
): StructureInstance {
  const { report } = context;
  const { scope, item } = entity;
  const slotName = slot.item.name.text;
  const declared = declaredNames(visible.structure);
  const values = new Map<string, OverrideEntry>();
  const fillings = new Map<string, Filling>();
  const tensors = new Map<string, TensorEntity | undefined>();
  for (const binding of bindings) {
    const input = slot.item.inputs.find(({ name }) => name.text === binding.name.text);
    if (input === undefined) {
      if (!bindValue(binding, declared, { values, fillings }, scope, context))
        checkNames(binding.value, scope, context);
      continue;
    }
    const tensor = boundTensor(binding, scope, context);
    const { span } = binding.value;
    tensors.set(input.name.text, checkSlotInput({ declared: input, tensor, span }, slot, context));
  }
  for (const { name } of slot.item.inputs) {
    if (tensors.has(name.text)) continue;
    const help = `bind it: \`${name.text} = …\``;
    report.error('E0207', item.span, `the input \`${name.text}\` of the slot \`${slotName}\` is not bound`, help);
  }
  const named = bindByName(given, visible.structure, slotName, context);
  const names = [...declared.inputs.keys()];
  const signatureOfInput = (name: string) => {
    const position = names.indexOf(name);
    const signature = slot.item.inputs[position];
    const tensor = signature && tensors.get(signature.name.text);
    const rank = declared.inputs.get(name)?.axes?.length ?? 0;
    return signature === undefined || tensor === undefined ? undefined : { declared: signature, tensor, rank, name };
  };
  const made = makeInstance(
    {
      prefix: `${entity.name}.`,
      ...visible,
      parent: scope.instance,
      // The command line has the last word.
      overrides: new Map([...values, ...named.overrides]),
      fillings: new Map([...fillings, ...named.fillings]),
      inputShape: (name) => {
        const found = signatureOfInput(name);
        return found && shapeForInput(found.tensor, found, slot, context);
      },
      inputBinding: (name, instance) => {
        const found = signatureOfInput(name);
        return found && tensorForInput(found.tensor, found, slot, instance);
      },
    },
    context,
  );
  checkInputCount(made, slot, context);
  made.exposed = exposeOutputs(made, slot, tensors, context);
  return made;
}

function checkInputCount(instance: StructureInstance, { item }: SlotEntity, { report }: ElaborationContext): void {
  const inputs = instance.tensors.filter(({ role }) => role === 'input');
  const wanted = item.inputs.length;
  if (inputs.length === wanted || instance.postponed) return;
  const { name } = instance.structure;
  const gives = `which gives it ${wanted === 1 ? '1 input' : `${wanted} inputs`}`;
  const names = inputs.map((tensor) => `\`${tensor.localName}\``).join(', ');
  const has = inputs.length === 0 ? 'and has none' : `and has ${inputs.length}: ${names}`;
  const message = `\`${name.text}\` fills the slot \`${item.name.text}\`, ${gives}, ${has}`;
  const { span } = inputs[wanted] ?? name;
  report.error('E0208', span, message, `the slot is \`${report.textOf(item.span)}\``);
}

/** The tensor that a binding names; an input takes nothing else. */
function boundTensor({ name, value }: Binding, scope: Scope, context: ElaborationContext): TensorEntity | undefined {
  if (value.kind === 'name') {
    const tensor = resolveTensor(value.reference, scope, context);
    return tensor && actual(tensor);
  }
  const help = 'define it as a tensor first, and bind its bare name';
  context.report.error('E0207', value.span, `the input \`${name.text}\` takes the bare name of a tensor`, help);
  return undefined;
}

/** Binds a size, a const or a slot; false where the structure declares none of the name. */
function bindValue(
  { name: { text }, value, span }: Binding,
  declared: Declared,
  into: { readonly values: Map<string, OverrideEntry>; readonly fillings: Map<string, Filling> },
  scope: Scope,
  context: ElaborationContext,
): boolean {
  if (declared.sizes.has(text)) {
    const given = evaluateIndex(value, sizeContext(scope, context));
    into.values.set(text, { value: given?.kind === 'list' ? given.values : given?.constant, span });
    return true;
  }
  if (declared.consts.has(text)) {
    into.values.set(text, { value: context.realNumber(value, scope), span });
    return true;
  }
  if (!declared.slots.has(text)) return false;
  if (value.kind !== 'name' || value.reference.members.length > 0) {
    const message = `the slot \`${text}\` takes the name of a structure`;
    context.report.error('E0207', value.span, message, 'import its file, and write its bare name');
    return true;
  }
  const filling = fillingNamed(value.reference.name, scope.instance, context);
  // One that has been reported fills it all the same, so that the default is not looked at in its place.
  const wanting: Filling = { visible: undefined, given: { values: {}, slots: {} } };
  if (filling !== 'nothing') into.fillings.set(text, filling ?? wanting);
  return true;
}

/** What is given to a size that the structure does not have is dropped; its names are looked at nevertheless. */
function checkNames(value: Expression, scope: Scope, { report }: ElaborationContext): void {
  for (const { name } of referencesIn(value)) {
    if (lookUp(scope, name.text) === undefined) reportUnknown(name, { scope, frame: undefined, report });
  }
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
