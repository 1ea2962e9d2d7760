/**
 * `slot Up(w[n, t, i]) -> z[n, t, f] = "dense"`: a part of a structure that its caller chooses.
 *
 *   use Up(w = a, D = D) as up      with Up filled by  structure Dense { input x[b, i] … output y }
 *
 *   up.x[(n t), i] = a[n, t, i]     x takes the place of w; what has fewer axes sees the first ones together
 *   … the equations of Dense …
 *   up.z[n, t, f] = up.y[(n t), f]  only z has a name outside
 *
 * This file reads signatures, finds what fills a slot, and joins the two; the instance itself is made in `instances.ts`.
 * The trap is whose mistake it is: a structure that does not fit is told at its own line and names the slot, since the same
 * slot fits others; what the `use` gives wrongly is told there.
 */
import type { EquationItem, Expression, Identifier, SlotItem, SlotTensor, Structure, UseItem } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { newTensor } from './declare.ts';
import { declaredNames } from './declared-names.ts';
import type { Module, VisibleStructure } from './files.ts';
import {
  type AxisEntity,
  actual,
  type Filling,
  type GivenByName,
  type GivenShape,
  lookUp,
  type Scope,
  type SlotEntity,
  type StructureInstance,
  type TensorEntity,
} from './model.ts';
import { axesNamed } from './names.ts';
import { type ElaborationContext, resolveTensor } from './references.ts';
import { count, rankOf, type Shape, tensorShape } from './shapes.ts';
import { axisExtent } from './sizes.ts';

/** The axes of a slot's inputs and outputs, in the order of the text; undefined where one has been reported. */
export function signatureOf(item: SlotItem, scope: Scope, { report }: ElaborationContext): void {
  const context = { scope, frame: undefined, report };
  const seen = new Set<string>();
  for (const { name, axes } of [...item.inputs, ...item.outputs]) {
    if (seen.has(name.text)) report.error('E0404', name.span, `\`${name.text}\` stands twice in the slot`);
    seen.add(name.text);
    const found = (axes ?? []).map((axis) => axesNamed(axis, context));
    const twice = (axes ?? []).find((_, i) => found[i] !== undefined && firstOf(found, found[i]) < i);
    if (twice === undefined) continue;
    const help = 'declare a second axis of the same size: `axis i, j: D`';
    report.error('E0507', twice.span, `the axis \`${twice.text}\` stands twice in \`${name.text}\``, help);
  }
  let optional: Identifier | undefined;
  for (const { name, axes, otherwise } of item.outputs) {
    if (otherwise === undefined) {
      if (optional === undefined) continue;
      const message = `\`${name.text}\` follows \`${optional.text}\`, which a structure may leave out`;
      report.error('E0208', name.span, message, 'outputs with `else` stand last');
      continue;
    }
    optional = name;
    const input = item.inputs.find((tensor) => tensor.name.text === otherwise.text);
    if (input === undefined) {
      const near = report.suggest(
        otherwise.text,
        item.inputs.map((tensor) => tensor.name.text),
      );
      const message = `\`${otherwise.text}\` is no input of the slot, and \`else\` names one`;
      report.error('E0208', otherwise.span, message, near);
    } else if (namesOf(input.axes) !== namesOf(axes)) {
      const message = `\`${otherwise.text}\` has the axes [${namesOf(input.axes)}], and \`${name.text}\` [${namesOf(axes)}]`;
      report.error('E0208', otherwise.span, message);
    }
  }
}

function firstOf(
  found: readonly (readonly AxisEntity[] | undefined)[],
  axes: readonly AxisEntity[] | undefined,
): number {
  return found.findIndex((other) => other !== undefined && axes !== undefined && other[0] === axes[0]);
}

function namesOf(axes: readonly Identifier[] | undefined): string {
  return (axes ?? []).map((axis) => axis.text).join(', ');
}

// What fills a slot

/**
 * What fills a slot of an instance: what its caller chose, else the slot's default. 'nothing' where neither is there; undefined
 * where that has been reported.
 */
export function fillingOf(
  slot: SlotEntity,
  instance: StructureInstance,
  context: ElaborationContext,
  around: readonly SlotItem[] = [slot.item],
): Filling | 'nothing' | undefined {
  const { item } = slot;
  const chosen = instance.fillings.get(item.name.text);
  const given = chosen?.given ?? { values: {}, slots: {} };
  if (chosen !== undefined && chosen.visible !== 'default') return chosen;
  if (item.fallback === undefined) return 'nothing';
  if (item.fallback.kind === 'structure') return fillingNamed(item.fallback.name, instance, context, given, around);
  // A file that was not found has been reported where files are read.
  const module = instance.module.fillers.get(item.fallback.path);
  const visible = module && mainStructure(module, context, item.fallback.span);
  return visible && { visible, given };
}

/** The structure that a file gives, its last. */
export function mainStructure(
  module: Module,
  { report }: ElaborationContext,
  span: Span,
): VisibleStructure | undefined {
  const structure = module.file.structures.at(-1);
  if (structure !== undefined) return { structure, module };
  // A file with mistakes may have lost its structures to them.
  if (module.file.functions.length === 0 && module.file.items.length === 0) return undefined;
  report.error('E0203', span, `${module.source.file} holds no structure, and a slot is filled by one`);
  return undefined;
}

/** What a name stands for where a slot is filled: a structure, or another slot with what fills that. */
export function fillingNamed(
  name: Identifier,
  instance: StructureInstance,
  context: ElaborationContext,
  given: GivenByName = { values: {}, slots: {} },
  around: readonly SlotItem[] = [],
): Filling | 'nothing' | undefined {
  const { report } = context;
  const visible = instance.module.structures.get(name.text);
  if (visible !== undefined) return { visible, given };
  const slot = instance.slots.get(name.text);
  if (slot === undefined) {
    const near = report.suggest(name.text, [...instance.module.structures.keys(), ...instance.slots.keys()]);
    const help = near ?? 'bring its file in with `import "…"`';
    report.error('E0204', name.span, `there is no structure \`${name.text}\` here`, help);
    return undefined;
  }
  if (around.includes(slot.item)) {
    report.error('E0406', name.span, `the slot \`${name.text}\` is filled by itself`);
    return undefined;
  }
  const found = fillingOf(slot, instance, context, [...around, slot.item]);
  if (found === undefined || found === 'nothing') return found;
  const { values, slots } = found.given;
  return { ...found, given: { values: { ...values, ...given.values }, slots: { ...slots, ...given.slots } } };
}

/** Told once a `use` of the slot, unless sizes are postponed, and then it may still be filled. */
export function reportUnfilled(
  item: UseItem,
  instance: StructureInstance,
  { report, unbound }: ElaborationContext,
): void {
  if (unbound === 'postpone') {
    report.postponed = true;
    return;
  }
  const name = item.structure.text;
  const owner = instance.structure.name.text;
  const help =
    instance.parent === undefined
      ? `fill it: \`--slot ${name}=FILE\`, or give the slot a default: \`= "dense"\``
      : `fill it where \`${owner}\` is used: \`use ${owner}(${name} = …)\``;
  report.error('E0209', item.structure.span, `nothing fills the slot \`${name}\``, help);
}

// Values by name

export interface Bound {
  readonly overrides: StructureInstance['overrides'];
  readonly fillings: StructureInstance['fillings'];
}

/**
 * Values and slots given by name from the command line, sorted: those of the structure itself, and those of what fills its
 * slots (`up.rank`). A slot's name counts in upper and lower case alike.
 */
export function bindByName(
  { values, slots }: GivenByName,
  structure: Structure,
  slotName: string | undefined,
  { report }: ElaborationContext,
): Bound {
  const declared = declaredNames(structure);
  const own = structure.name.text;
  const subject = slotName === undefined ? `\`${own}\`` : `\`${own}\`, which fills the slot \`${slotName}\`,`;
  const { span } = structure.name;
  const overrides = new Map<string, { value: SizeValueOrNothing; span: Span }>();
  const inner = new Map<string, { visible: Filling['visible']; values: Values; slots: Slots }>();
  const innerOf = (written: string): { name: string; rest: string } | undefined => {
    const dot = written.indexOf('.');
    const [name, rest] = dot < 0 ? [written, ''] : [written.slice(0, dot), written.slice(dot + 1)];
    const lower = name.toLowerCase();
    const found = declared.slots.has(name) ? name : [...declared.slots].find((slot) => slot.toLowerCase() === lower);
    if (found !== undefined) return { name: found, rest };
    const near = report.suggest(name, declared.slots);
    const listed = [...declared.slots].map((slot) => `\`${slot}\``).join(', ');
    report.error(
      'E0210',
      span,
      `${subject} has no slot \`${name}\``,
      near ?? (listed === '' ? 'it has no slots' : `it has ${listed}`),
    );
    return undefined;
  };
  const entryOf = (name: string) => {
    const entry = inner.get(name) ?? { visible: 'default', values: {}, slots: {} };
    inner.set(name, entry);
    return entry;
  };
  for (const [written, visible] of Object.entries(slots)) {
    const found = innerOf(written);
    if (found === undefined) continue;
    const entry = entryOf(found.name);
    if (found.rest === '') entry.visible = visible;
    else entry.slots[found.rest] = visible;
  }
  for (const [name, value] of Object.entries(values)) {
    if (name.includes('.')) {
      const found = innerOf(name);
      if (found !== undefined) entryOf(found.name).values[found.rest] = value;
    } else overrides.set(name, { value: checkedValue(name, value), span });
  }
  const fillings = new Map(
    [...inner].map(([name, entry]): [string, Filling] => [
      name,
      { visible: entry.visible, given: { values: entry.values, slots: entry.slots } },
    ]),
  );
  return { overrides, fillings };

  function checkedValue(name: string, value: number | readonly number[]): SizeValueOrNothing {
    if (declared.consts.has(name)) return value;
    if (!declared.sizes.has(name)) {
      const known = [...declared.sizes, ...declared.consts];
      const near = report.suggest(name, known);
      const listed = known.map((n) => `\`${n}\``).join(', ');
      const message = `${subject} has no size \`${name}\`, which is bound to ${JSON.stringify(value)}`;
      report.error('E0301', span, message, near ?? (listed === '' ? 'it has no sizes' : `it has ${listed}`));
      return undefined;
    }
    const wrong = (typeof value === 'number' ? [value] : value).find((n) => !Number.isInteger(n) || n < 0);
    if (wrong === undefined) return value;
    report.error('E0308', span, `the size \`${name}\` cannot be ${wrong}: sizes are whole numbers from 0`);
    return undefined;
  }
}

type SizeValueOrNothing = number | readonly number[] | undefined;
type Values = Record<string, number | readonly number[]>;
type Slots = Record<string, VisibleStructure | undefined>;

// Joining

/** A tensor of the slot's signature that a `use` has bound. */
export interface SlotInput {
  readonly declared: SlotTensor;
  readonly tensor: TensorEntity | undefined;
  readonly span: Span;
}

/** Holds what a `use` binds to an input against the slot's signature. */
export function checkSlotInput(
  { declared, tensor, span }: SlotInput,
  slot: SlotEntity,
  context: ElaborationContext,
): TensorEntity | undefined {
  if (tensor === undefined) return undefined;
  const { report } = context;
  const { axes = [], name } = declared;
  const owner = `the slot \`${slot.item.name.text}\``;
  const written = report.textOf(span);
  const isInteger = tensor.dtype === 'i32';
  if (isInteger !== (declared.dtype === 'i32')) {
    const [is, wants] = isInteger ? ['is i32', 'a float'] : ['is a float', 'i32'];
    report.error('E0312', span, `\`${written}\` ${is}, and \`${name.text}\` of ${owner} is ${wants}`);
    return undefined;
  }
  const rank = rankOf(tensor);
  if (rank !== axes.length) {
    const message = `\`${written}\` has ${count(rank, 'axis')}, and \`${name.text}\` of ${owner} has ${axes.length}`;
    report.error('E0312', span, message);
    return undefined;
  }
  const wanted = signatureExtents(declared, slot, context);
  const wrong = tensorShape(tensor, context).findIndex(
    (extent, d) => extent !== undefined && wanted[d] !== undefined && extent !== wanted[d],
  );
  if (wrong < 0) return tensor;
  const has = tensorShape(tensor, context)[wrong];
  const message =
    `\`${written}\` has ${has} elements along \`${axes[wrong].text}\` (position ${wrong + 1}), ` +
    `and \`${name.text}\` of ${owner} has ${wanted[wrong]} there`;
  report.error('E0312', span, message);
  return undefined;
}

/** Axes of the signature that were found; a missing one has been reported. */
function signatureAxes({ axes = [] }: SlotTensor, { scope }: SlotEntity): readonly (AxisEntity | undefined)[] {
  return axes.map((axis) => {
    const found = lookUp(scope, axis.text);
    return found?.kind === 'axis' ? found : undefined;
  });
}

function signatureExtents(tensor: SlotTensor, slot: SlotEntity, context: ElaborationContext): Shape {
  return signatureAxes(tensor, slot).map((axis) => axis && axisExtent(axis, context));
}

/** A shape as a structure with `rank` axes sees it: the first ones together. Too few axes stay as they are. */
function groupedShape(shape: Shape, rank: number): Shape {
  const together = shape.length - rank + 1;
  if (together < 2 || rank < 1) return shape;
  const first = shape.slice(0, together).reduce((product, n) => product && n && product * n, 1);
  return [first, ...shape.slice(together)];
}

export function shapeForInput(
  tensor: TensorEntity,
  { declared, rank }: { declared: SlotTensor; rank: number },
  slot: SlotEntity,
  context: ElaborationContext,
): GivenShape {
  const shape = groupedShape(tensorShape(tensor, context), rank);
  return { shape, span: undefined, what: `\`${declared.name.text}\` of the slot \`${slot.item.name.text}\`` };
}

/** The tensor that is an input of the structure: the bound one itself, or, where it has fewer axes, a view of it. */
export function tensorForInput(
  tensor: TensorEntity,
  { declared, rank, name }: { declared: SlotTensor; rank: number; name: string },
  slot: SlotEntity,
  instance: StructureInstance,
): TensorEntity {
  const { axes = [] } = declared;
  if (rank >= axes.length || rank < 1) return tensor;
  return view(name, tensor, { target: groupedIndices(axes, rank), read: plainIndices(axes) }, slot, instance);
}

/**
 * The outputs of what fills a slot, under the names of the signature. Where one does not fit it is reported at the line of the
 * structure.
 */
export function exposeOutputs(
  instance: StructureInstance,
  slot: SlotEntity,
  inputs: ReadonlyMap<string, TensorEntity | undefined>,
  context: ElaborationContext,
): ReadonlyMap<string, TensorEntity | undefined> {
  const { report } = context;
  const { item } = slot;
  const exposed = new Map<string, TensorEntity | undefined>();
  const given = new Map<TensorEntity, Span>();
  let complete = !instance.postponed;
  for (const { reference, scope } of instance.outputs) {
    const tensor = resolveTensor(reference, scope, context);
    if (tensor === undefined) complete = false;
    else if (!given.has(actual(tensor))) given.set(actual(tensor), reference.span);
  }
  const found = [...given];
  const fills = `\`${instance.structure.name.text}\` fills the slot \`${item.name.text}\``;
  const help = `the slot is \`${report.textOf({ ...item.span, end: item.outputs.at(-1)?.span.end ?? item.span.end })}\``;
  for (const [position, declared] of item.outputs.entries()) {
    const name = declared.name.text;
    const entry = found[position];
    if (entry === undefined) {
      const { otherwise } = declared;
      const input = otherwise && inputs.get(otherwise.text);
      exposed.set(name, input);
      if (otherwise === undefined && complete) {
        const message = `${fills}, which has ${counted(item.outputs.length, 'output')}, and gives ${found.length}`;
        report.error('E0208', instance.structure.name.span, message, help);
      }
      continue;
    }
    const [tensor, span] = entry;
    exposed.set(name, undefined);
    if (!fitsOutput(tensor, declared, slot, fills, { span, help }, context)) continue;
    const { axes = [] } = declared;
    const rank = rankOf(tensor);
    const indices = { target: plainIndices(axes), read: groupedIndices(axes, rank) };
    exposed.set(name, rank === axes.length ? tensor : view(`${name}~slot`, tensor, indices, slot, instance));
  }
  const extra = found[item.outputs.length];
  if (extra !== undefined) {
    const message = `${fills}, which has ${counted(item.outputs.length, 'output')}, and gives ${found.length}`;
    report.error('E0208', extra[1], message, help);
  }
  return exposed;
}

function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

function fitsOutput(
  tensor: TensorEntity,
  declared: SlotTensor,
  slot: SlotEntity,
  fills: string,
  { span, help }: { span: Span; help: string },
  context: ElaborationContext,
): boolean {
  const { report } = context;
  const { name, axes = [] } = declared;
  const rank = rankOf(tensor);
  const isInteger = tensor.dtype === 'i32';
  if (isInteger !== (declared.dtype === 'i32')) {
    const [is, wants] = isInteger ? ['i32', 'a float'] : ['a float', 'i32'];
    report.error('E0208', span, `${fills}: \`${tensor.localName}\` is ${is}, and \`${name.text}\` ${wants}`, help);
    return false;
  }
  const full = signatureExtents(declared, slot, context);
  const wanted = groupedShape(full, rank);
  const shape = tensorShape(tensor, context);
  const isRankWrong = rank > axes.length || (rank === 0) !== (axes.length === 0);
  const isWrong = shape.some((n, d) => n !== undefined && wanted[d] !== undefined && n !== wanted[d]);
  if (!isRankWrong && !isWrong) return true;
  const shown = (extents: Shape): string => `[${extents.map((n) => n ?? '?').join(', ')}]`;
  const signature = axes.length === 0 ? name.text : `${name.text}[${namesOf(axes)}]`;
  const together = isRankWrong || rank === axes.length ? '' : `, with the first axes together ${shown(wanted)}`;
  const message = `${fills}: \`${tensor.localName}\` has the shape ${shown(shape)}, and \`${signature}\` ${shown(full)}${together}`;
  report.error('E0208', span, message, help);
  return false;
}

// Views: an equation that the compiler writes

function plainIndices(axes: readonly Identifier[]): readonly Expression[] {
  return axes.map((name) => ({ kind: 'name', reference: { name, members: [], span: name.span }, span: name.span }));
}

function groupedIndices(axes: readonly Identifier[], rank: number): readonly Expression[] {
  const together = axes.length - rank + 1;
  if (together < 2) return plainIndices(axes);
  const first = axes.slice(0, together);
  return [{ kind: 'group', axes: first, span: first[0].span }, ...plainIndices(axes.slice(together))];
}

/** `NAME[target] = tensor[read]` over the axes of the signature, as a tensor of the instance. */
function view(
  name: string,
  tensor: TensorEntity,
  { target, read }: { readonly target: readonly Expression[]; readonly read: readonly Expression[] },
  slot: SlotEntity,
  instance: StructureInstance,
): TensorEntity {
  const { span } = slot.item.name;
  // No name of a file, so that it hides none of the axes.
  const source: Identifier = { text: '~viewed', span };
  const scope: Scope = {
    parent: slot.scope,
    instance: slot.scope.instance,
    path: [],
    names: new Map([[source.text, tensor]]),
  };
  const item: EquationItem = {
    kind: 'equation',
    target: { name: { text: name, span }, members: [], span },
    indices: target,
    dtype: undefined,
    operator: '=',
    value: { kind: 'read', reference: { name: source, members: [], span }, indices: read, span },
    doc: undefined,
    span,
  };
  const made = newTensor('computed', name, span, undefined, instance.root);
  made.definitions.push({ item, scope, leftAxes: [], store: [], broken: false });
  instance.tensors.push(made);
  return made;
}
