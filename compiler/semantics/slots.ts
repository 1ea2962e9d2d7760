/**
 * `slot Up(w[n, t, i]) -> z[n, t, f] = "dense"`: a part of a structure that its caller chooses. This file checks signatures and
 * finds what fills a slot: what the caller chose, by name or from the command line (`bind-by-name.ts`), else the slot's default.
 * How the two are joined is in `slot-join.ts`.
 *
 * The trap: a slot may be filled by another one, `use Model(Up = Part)`, whose own filling, with the sizes that the command line
 * gives it, goes along.
 */
import type { Identifier, SlotItem, UseItem } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import type { Module, VisibleStructure } from './files.ts';
import type { AxisEntity, Filling, GivenByName, Scope, SlotEntity, StructureInstance } from './model.ts';
import { axesNamed } from './names.ts';
import type { ElaborationContext } from './references.ts';

/** Whether a slot's signature makes sense: names once, axes that are axes, optional outputs last and like the input they are. */
export function checkSignature(item: SlotItem, scope: Scope, { report }: ElaborationContext): void {
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

export function namesOf(axes: readonly Identifier[] | undefined): string {
  return (axes ?? []).map((axis) => axis.text).join(', ');
}

const nothingGiven: GivenByName = { values: {}, slots: {} };

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
  const given = chosen?.given ?? nothingGiven;
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
  given: GivenByName = nothingGiven,
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
