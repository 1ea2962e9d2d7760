/**
 * What a structure declares outside its levels, whatever its `if`s say: the names that a caller may bind.
 */
import type { InputItem, Item, Structure } from '../syntax/ast.ts';
import { usageOf } from './usage.ts';

export interface Declared {
  readonly sizes: ReadonlySet<string>;
  readonly consts: ReadonlySet<string>;
  /** In the order of the text. */
  readonly inputs: ReadonlyMap<string, InputItem>;
  readonly slots: ReadonlySet<string>;
}

const known = new WeakMap<Structure, Declared>();

export function declaredNames(structure: Structure): Declared {
  const before = known.get(structure);
  if (before !== undefined) return before;
  const sizes = new Set<string>();
  const consts = new Set<string>();
  const inputs = new Map<string, InputItem>();
  const slots = new Set<string>();
  const visit = (items: readonly Item[]): void => {
    for (const item of items) {
      if (item.kind === 'size') for (const binding of item.bindings) for (const n of binding.names) sizes.add(n.text);
      if (item.kind === 'const') consts.add(item.name.text);
      if (item.kind === 'input' && !inputs.has(item.name.text)) inputs.set(item.name.text, item);
      if (item.kind === 'slot') slots.add(item.name.text);
      if (item.kind === 'if') visit([...item.then, ...(item.otherwise ?? [])]);
    }
  };
  visit(structure.items);
  for (const name of usageOf(structure).implicit.keys()) sizes.add(name);
  const declared = { sizes, consts, inputs, slots };
  known.set(structure, declared);
  return declared;
}
