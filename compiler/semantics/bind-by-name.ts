/**
 * What a command line gives by name, sorted: `-s D=64` and `--slot up=btt` are the structure's own, `-s up.rank=2` is for what fills
 * its slot `Up`, and so on inward. A slot's name counts in upper and lower case alike.
 *
 * The trap is who is told: a size that a filling structure does not have is a mistake of the command line, reported at that
 * structure, while a size that a `use` gives a slot in vain is none.
 */
import type { Structure } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { declaredNames } from './declared-names.ts';
import type { VisibleStructure } from './files.ts';
import type { Filling, GivenByName, StructureInstance } from './model.ts';
import type { ElaborationContext } from './references.ts';

export interface Bound {
  readonly overrides: StructureInstance['overrides'];
  readonly fillings: StructureInstance['fillings'];
}

/** `slotName`: the slot that the structure fills, where it is not the main one. */
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
