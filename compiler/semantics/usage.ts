/**
 * Where names stand in a structure, by looking at its text alone: which sizes are declared implicitly, and which slots, sizes,
 * consts, inputs, params, tensors and instances are never used.
 *
 * "A name that only ever appears as an axis size is implicitly declared": it must stand alone as the extent of some
 * axis, and nowhere but in extents. Both branches of an `if` and the items of a level without iterations count, so that
 * whether a name is declared does not depend on the sizes.
 */
import type { Expression, Identifier, Item, Structure } from '../syntax/ast.ts';
import { childrenOf, referencesIn } from './walk.ts';

export interface Usage {
  /** First place of each implicitly declared size, in the order of the text. */
  readonly implicit: ReadonlyMap<string, Identifier>;
  /** Where one of them stands that is no extent: it must be declared, and is implicit only so that no more is told. */
  readonly undeclared: readonly Identifier[];
  /** Slots, sizes and consts that are declared and never used; of a `split` neither. */
  readonly unused: readonly UnusedName[];
  /** What is declared or defined and never read, an output included. */
  readonly unread: readonly Unread[];
  /** Names that are used as lists: `ranks[l]`, `len(ranks)`. */
  readonly lists: ReadonlySet<string>;
  /** Every name that some item declares, whether or not it comes to be. */
  readonly declared: ReadonlySet<string>;
}

export interface UnusedName extends Identifier {
  readonly kind: 'size' | 'const' | 'slot';
}

export interface Unread {
  readonly kind: 'input' | 'param' | 'tensor' | 'instance';
  readonly name: Identifier;
}

interface Seen {
  readonly declared: Set<string>;
  /** The names of each binding: `split` gives two, and one cannot be left out. */
  readonly bindings: (readonly UnusedName[])[];
  readonly slots: UnusedName[];
  /** Names of structures and slots that a `use`, a binding of one or a slot's default names. */
  readonly structures: Set<string>;
  /** What can be read, by name, where it stands first. */
  readonly readable: Map<string, Unread>;
  readonly used: Set<string>;
  /** The first place of each name outside extents; an output, which can only be a tensor, is not counted. */
  readonly elsewhere: Map<string, Identifier>;
  readonly alone: Map<string, Identifier>;
  readonly lists: Set<string>;
}

const known = new WeakMap<Structure, Usage>();

export function usageOf(structure: Structure): Usage {
  const before = known.get(structure);
  if (before !== undefined) return before;
  const seen: Seen = {
    declared: new Set(),
    bindings: [],
    slots: [],
    structures: new Set(),
    readable: new Map(),
    used: new Set(),
    elsewhere: new Map(),
    alone: new Map(),
    lists: new Set(),
  };
  visitItems(structure.items, seen);
  const implicit = new Map([...seen.alone].filter(([name]) => !seen.declared.has(name)));
  const undeclared = [...implicit.keys()].flatMap((name) => seen.elsewhere.get(name) ?? []);
  const unusedNames = seen.bindings.filter((names) => names.every((name) => !seen.used.has(name.text))).flat();
  const unused = [...unusedNames, ...seen.slots.filter(({ text }) => !seen.structures.has(text))];
  const unread = [...seen.readable].filter(([name]) => !seen.used.has(name)).map(([, item]) => item);
  const usage = { implicit, undeclared, unused, unread, lists: seen.lists, declared: seen.declared };
  known.set(structure, usage);
  return usage;
}

function visitItems(items: readonly Item[], seen: Seen): void {
  const use = (e: Expression | undefined): void => {
    if (e === undefined) return;
    markLists(e, seen.lists);
    for (const reference of referencesIn(e)) {
      const names = [reference.name, ...reference.members.flatMap((m) => (m.kind === 'name' ? [m.name] : []))];
      for (const name of names) {
        seen.used.add(name.text);
        if (!seen.elsewhere.has(name.text)) seen.elsewhere.set(name.text, name);
      }
    }
  };
  const declare = (name: Identifier): void => {
    seen.declared.add(name.text);
  };
  const declareReadable = (kind: Unread['kind'], name: Identifier): void => {
    declare(name);
    if (!seen.readable.has(name.text)) seen.readable.set(name.text, { kind, name });
  };
  for (const item of items) {
    switch (item.kind) {
      case 'size':
        for (const { names, value } of item.bindings) {
          names.forEach(declare);
          seen.bindings.push(names.map((name) => ({ ...name, kind: 'size' })));
          use(value);
        }
        break;
      case 'check':
        use(item.condition);
        break;
      case 'axis':
        for (const { names, extent } of item.groups) {
          names.forEach(declare);
          const alone = aloneIn(extent);
          if (alone !== undefined && !seen.alone.has(alone.text)) seen.alone.set(alone.text, alone);
          markLists(extent, seen.lists);
          for (const { name } of referencesIn(extent)) seen.used.add(name.text);
        }
        break;
      case 'input':
        declareReadable('input', item.name);
        break;
      case 'param':
        declareReadable('param', item.name);
        if (item.init.kind === 'normal-std') use(item.init.std);
        if (item.init.kind === 'constant') use(item.init.value);
        break;
      case 'const':
        declare(item.name);
        seen.bindings.push([{ ...item.name, kind: 'const' }]);
        use(item.value);
        break;
      case 'slot':
        seen.slots.push({ ...item.name, kind: 'slot' });
        if (item.fallback?.kind === 'structure') seen.structures.add(item.fallback.name.text);
        break;
      case 'level':
        declare(item.variable);
        use(item.from);
        use(item.to);
        visitItems(item.items, seen);
        break;
      case 'if':
        use(item.condition);
        visitItems(item.then, seen);
        visitItems(item.otherwise ?? [], seen);
        break;
      case 'equation': {
        declareReadable('tensor', item.target.name);
        // What an equation defines it does not read; what stands in its members and indices it does.
        for (const member of item.target.members) {
          if (member.kind === 'name') seen.used.add(member.name.text);
          if (member.kind === 'expression') use(member.value);
        }
        item.indices?.forEach(use);
        use(item.value);
        break;
      }
      case 'use':
        declareReadable('instance', item.alias);
        seen.structures.add(item.structure.text);
        for (const { value } of item.bindings) {
          use(value);
          if (value.kind === 'name') seen.structures.add(value.reference.name.text);
        }
        break;
      case 'output':
        for (const { name, members } of item.references) {
          seen.used.add(name.text);
          for (const member of members) if (member.kind === 'expression') use(member.value);
        }
        break;
      default:
        item satisfies never;
    }
  }
}

function markLists(e: Expression, lists: Set<string>): void {
  if (e.kind === 'read') lists.add(e.reference.name.text);
  if (e.kind === 'call' && ['len', 'sum', 'prefix'].includes(e.callee.text) && e.arguments[0]?.kind === 'name') {
    lists.add(e.arguments[0].reference.name.text);
  }
  for (const child of childrenOf(e)) markLists(child, lists);
}

/** The size that alone is an axis's extent. */
export function aloneIn(extent: Expression): Identifier | undefined {
  return extent.kind === 'name' && extent.reference.members.length === 0 ? extent.reference.name : undefined;
}
