/**
 * Unrolling: items of a structure → scopes with their sizes, axes, tensors and definitions, for given sizes.
 *
 * A scope is filled in three steps: everything it declares, its `if`s chosen as soon as their sizes are known; then its
 * checks, declarations and equations; then its levels, one child scope an iteration. So items may stand in any order.
 *
 * The trap is which tensor an equation means: `=` without members makes a tensor of this scope; `+=` goes to the
 * nearest one around that has the name, and if there is none to the structure's own; with members it means exactly what
 * is written.
 */
import type { EquationItem, IfItem, Item, LevelItem, Reference, SizeItem } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { evaluateNumber } from './arithmetic.ts';
import { constValue } from './consts.ts';
import { declare, declareItem, newSize, newTensor, registerMember, resolveDeclarations } from './declare.ts';
import { kindName, lookUp, type Scope, type SizeEntity, type StructureInstance, type TensorEntity } from './model.ts';
import { reportUnknown } from './names.ts';
import { type ElaborationContext, memberValue } from './references.ts';
import { evaluateCondition } from './size-conditions.ts';
import { sizeContext, sizeValue } from './sizes.ts';
import { checkSignature } from './slots.ts';
import { usageOf } from './usage.ts';
import { referencesIn } from './walk.ts';

/** Work of an unrolled item, in the units of `Report.spend`. */
const itemWork = 20;

type Node = { readonly kind: 'item'; readonly item: Item } | Branch;

interface Branch {
  readonly kind: 'branch';
  readonly item: IfItem;
  chosen: readonly Node[] | undefined;
}

export function elaborate(instance: StructureInstance, context: ElaborationContext): void {
  const { structure, root } = instance;
  const usage = usageOf(structure);
  for (const [name, { span }] of usage.implicit) {
    const size = newSize(name, span, root, 'implicit');
    root.names.set(name, size);
    instance.sizes.push(size);
  }
  for (const { text, span } of usage.undeclared) {
    const message = `\`${text}\` is not declared, and stands here as more than the size of an axis`;
    context.report.error('E0401', span, message, `declare it: \`size ${text}\``);
  }
  elaborateScope(root, structure.items, context);
}

function elaborateScope(scope: Scope, items: readonly Item[], context: ElaborationContext): void {
  const { instance } = scope;
  const { report } = context;
  const flat = flatten(scope, items, context);
  resolveDeclarations(scope, context, true);
  for (const item of flat) if (item.kind === 'check') runCheck(item, scope, context);
  for (const item of flat) if (item.kind === 'slot') checkSignature(item, scope, context);
  for (const item of flat) {
    if (item.kind === 'equation') attach(item, scope, context);
    else if (item.kind === 'output') {
      for (const reference of item.references) instance.outputs.push({ reference, scope, doc: item.doc });
    } else if (item.kind === 'size') checkSizeNames(item, scope, context);
  }
  for (const item of flat) if (item.kind === 'level') unroll(item, scope, context);
  report.spend(flat.length * itemWork, instance.structure.span, 'the structure');
}

// Declarations

function flatten(scope: Scope, items: readonly Item[], context: ElaborationContext): readonly Item[] {
  const pending: Branch[] = [];
  const nodesOf = (list: readonly Item[]): readonly Node[] =>
    list.map((item): Node => {
      if (item.kind === 'if') {
        const branch: Branch = { kind: 'branch', item, chosen: undefined };
        pending.push(branch);
        return branch;
      }
      declareItem(item, scope, context);
      return { kind: 'item', item };
    });
  const nodes = nodesOf(items);
  resolveDeclarations(scope, context, false);
  while (pending.length > 0) {
    const ready = pending.findIndex(({ item }) => namesKnown(item.condition, scope));
    const [branch] = pending.splice(Math.max(0, ready), 1);
    const verdict = evaluateCondition(branch.item.condition, sizeContext(scope, context, 'a condition'));
    if (verdict === undefined) {
      postponeNames(branch.item, scope);
      scope.instance.postponed = true;
      branch.chosen = [];
    } else {
      branch.chosen = nodesOf((verdict.holds ? branch.item.then : branch.item.otherwise) ?? []);
      resolveDeclarations(scope, context, false);
    }
  }
  const flat: Item[] = [];
  const gather = (list: readonly Node[]): void => {
    for (const node of list) {
      if (node.kind === 'item') flat.push(node.item);
      else gather(node.chosen ?? []);
    }
  };
  gather(nodes);
  return flat;
}

/** Whether every size that a condition needs has been declared, those of their defaults included. */
function namesKnown(e: IfItem['condition'], scope: Scope): boolean {
  const seen = new Set<string>();
  const pending = [e];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const { name } of referencesIn(next)) {
      if (seen.has(name.text)) continue;
      seen.add(name.text);
      const entity = lookUp(scope, name.text);
      if (entity === undefined) return false;
      if (entity.kind === 'size' && entity.state === 'fresh' && entity.expression !== undefined) {
        pending.push(entity.expression);
      }
    }
  }
  return true;
}

/** Names that the branches of an undecided `if` may declare; nobody shall call them unknown. */
function postponeNames(item: IfItem, scope: Scope): void {
  const put = (name: string, span: Span): void => {
    if (lookUp(scope, name) === undefined) scope.names.set(name, { kind: 'postponed', name, span });
  };
  const visit = (items: readonly Item[]): void => {
    for (const inner of items) {
      if (inner.kind === 'size') for (const b of inner.bindings) for (const n of b.names) put(n.text, n.span);
      if (inner.kind === 'axis') for (const g of inner.groups) for (const n of g.names) put(n.text, n.span);
      if (inner.kind === 'input' || inner.kind === 'param') put(inner.name.text, inner.name.span);
      if (inner.kind === 'const') put(inner.name.text, inner.name.span);
      if (inner.kind === 'slot') scope.instance.slots.set(inner.name.text, { item: inner, scope, postponed: true });
      if (inner.kind === 'use') put(inner.alias.text, inner.alias.span);
      if (inner.kind === 'equation') {
        if (inner.target.members.length === 0) put(inner.target.name.text, inner.target.span);
        else scope.instance.openFamilies.add(inner.target.name.text);
      }
      if (inner.kind === 'level') {
        for (const name of declaredIn(inner.items)) scope.instance.openFamilies.add(name);
        visit(inner.items.filter((i) => i.kind === 'equation' && i.operator === '+='));
      }
      if (inner.kind === 'if') visit([...inner.then, ...(inner.otherwise ?? [])]);
    }
  };
  visit([...item.then, ...(item.otherwise ?? [])]);
}

function declaredIn(items: readonly Item[]): readonly string[] {
  return items.flatMap((item) => {
    switch (item.kind) {
      case 'param':
      case 'input':
        return [item.name.text];
      case 'equation':
        return [item.target.name.text];
      case 'use':
        return [item.alias.text];
      case 'level':
        return declaredIn(item.items);
      case 'if':
        return declaredIn([...item.then, ...(item.otherwise ?? [])]);
      default:
        return [];
    }
  });
}

/** Names in a default are wrong even where a binding hides the default. */
function checkSizeNames(item: SizeItem, scope: Scope, context: ElaborationContext): void {
  for (const { value } of item.bindings) {
    if (value === undefined) continue;
    for (const { name } of referencesIn(value)) {
      if (lookUp(scope, name.text) === undefined)
        reportUnknown(name, { scope, frame: undefined, report: context.report }, 'size');
    }
  }
}

function runCheck(item: Item & { kind: 'check' }, scope: Scope, context: ElaborationContext): void {
  const { report } = context;
  const verdict = evaluateCondition(item.condition, sizeContext(scope, context, 'a check'));
  if (verdict === undefined || verdict.holds) return;
  context.checkBroken = true;
  const message = item.text === '' ? verdict.why : `${item.text}: ${verdict.why}`;
  report.error('E0309', item.condition.span, message);
}

// Equations

function attach(item: EquationItem, scope: Scope, context: ElaborationContext): void {
  const { report } = context;
  const tensor = targetOf(item, scope, context);
  if (tensor === undefined) return;
  if (tensor.role !== 'computed') {
    const what = tensor.role === 'input' ? 'an input' : 'a param';
    report.error('E0405', item.target.span, `\`${report.textOf(item.target.span)}\` is ${what}, and cannot be defined`);
    return;
  }
  if (item.operator === '=' && tensor.definitions.some((d) => d.item.operator === '=')) {
    const written = report.textOf(item.target.span);
    const first = report.lineOf(tensor.span, item.span);
    const help = `the first is in ${first}; \`+=\` adds to it`;
    const meant = written === tensor.localName ? '' : ` (\`${tensor.localName}\`)`;
    report.error('E0404', item.target.span, `\`${written}\`${meant} is defined twice by \`=\``, help);
    return;
  }
  if (item.dtype !== undefined && item.dtype !== tensor.dtype) {
    if (tensor.definitions.length > 0) {
      const first = report.lineOf(tensor.definitions[0].item.span, item.span);
      const message = `\`${tensor.localName}\` is ${item.dtype} here, and ${tensor.dtype} in ${first}`;
      report.error('E0405', item.target.span, message, 'say its element type where it is defined first');
      return;
    }
    tensor.dtype = item.dtype;
  }
  tensor.definitions.push({ item, scope, leftAxes: [], store: [], broken: false });
}

function targetOf(item: EquationItem, scope: Scope, context: ElaborationContext): TensorEntity | undefined {
  const { report } = context;
  const { instance } = scope;
  const { name, members } = item.target;
  if (members.length > 0) return memberTarget(item, item.target, scope, context);
  const known = lookUp(scope, name.text);
  if (known === undefined && item.operator === '+=') {
    const tensor = newTensor('computed', name.text, name.span, item.doc, instance.root);
    instance.root.names.set(name.text, tensor);
    instance.tensors.push(tensor);
    return tensor;
  }
  if (known?.kind === 'tensor') return known;
  if (known?.kind === 'postponed') report.postponed = true;
  else if (known !== undefined && item.operator === '+=') {
    report.error('E0405', name.span, `\`${name.text}\` is ${kindName(known)}, and cannot be defined`);
  }
  return undefined;
}

function memberTarget(
  item: EquationItem,
  target: Reference,
  scope: Scope,
  context: ElaborationContext,
): TensorEntity | undefined {
  const { report } = context;
  const { instance } = scope;
  const base = target.name.text;
  const known = lookUp(scope, base);
  if (known !== undefined && known.kind !== 'tensor' && known.kind !== 'postponed') {
    const written = report.textOf(target.span);
    const message =
      known.kind === 'instance'
        ? `\`${written}\` belongs to the instance \`${base}\`, and cannot be defined here`
        : `\`${base}\` is ${kindName(known)}, and cannot have the member \`${written}\``;
    report.error(known.kind === 'instance' ? 'E0405' : 'E0404', target.span, message);
    return undefined;
  }
  const values = target.members.map((member) => memberValue(member, instance, scope, context));
  if (values.includes(undefined)) {
    instance.openFamilies.add(base);
    return undefined;
  }
  const negative = values.findIndex((value) => (value as number) < 0);
  if (negative >= 0) {
    const message = `\`${report.textOf(target.span)}\` has the member ${values[negative]}, and members count from 0`;
    report.error('E0403', target.members[negative].span, message);
    return undefined;
  }
  const localName = [base, ...values].join('.');
  const found = instance.members.get(localName);
  if (found?.kind === 'tensor') return found;
  if (found?.kind === 'instance') {
    report.error('E0405', target.span, `\`${localName}\` is an instance of a structure, and cannot be defined`);
    return undefined;
  }
  const tensor = newTensor('computed', base, target.span, item.doc, instance.root, localName);
  instance.tensors.push(tensor);
  registerMember(tensor, base, instance, context);
  return tensor;
}

// Levels

function unroll(item: LevelItem, scope: Scope, context: ElaborationContext): void {
  const bounds = sizeContext(scope, context, 'the bounds of a level');
  const from = evaluateNumber(item.from, bounds);
  const to = evaluateNumber(item.to, bounds);
  if (from === undefined || to === undefined) {
    // Once with an unknown level, so that what is wrong at every level is told nevertheless.
    scope.instance.postponed = true;
    for (const name of declaredIn(item.items)) scope.instance.openFamilies.add(name);
    iterate(item, undefined, scope, context);
    return;
  }
  for (let value = from; value <= to; value++) iterate(item, value, scope, context);
}

function iterate(item: LevelItem, value: number | undefined, scope: Scope, context: ElaborationContext): void {
  const { report } = context;
  const { instance, path } = scope;
  report.spend(itemWork * (1 + item.items.length), item.span, 'this level');
  const inner: Scope = { parent: scope, instance, path: [...path, value], names: new Map() };
  const { text, span } = item.variable;
  const variable: SizeEntity = { ...newSize(text, span, inner, 'level'), state: 'done', value };
  declare(variable, inner, context);
  elaborateScope(inner, item.items, context);
}

/** Every size and axis has its value looked at, so that what is wrong with one is told even where nothing uses it. */
export function checkValues(instance: StructureInstance, context: ElaborationContext): void {
  for (const size of instance.sizes) {
    // A size without a value that nothing uses is no mistake; one that something uses has been asked for.
    const given = size.expression !== undefined || instance.overrides.has(size.name);
    if (given || size.state !== 'fresh') sizeValue(size, context);
  }
  for (const entity of instance.consts) constValue(entity, context);
}
