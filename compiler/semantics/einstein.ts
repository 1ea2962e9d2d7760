/**
 * The Einstein rule: where each axis is summed that neither stands on the left nor is bound by a reduction.
 *
 *   q[b, h, t, r] = layernorm[r](W[h, r, i] * x[b, t, i], g[r])      i is summed in the product inside
 *   y[a]          = clip(L[a, c]) * x[c]                             c in the product outside
 *   y[b, i]       = s * (W[i, j] * x[b, j] + v[i])                   j in the inner product: v is added once
 *
 * Three questions, each asked of a node: which axes stand in it (`axesIn`); could it sum an axis that stands nowhere
 * else (`canSum`: it is a product, or all its parts in which the axis stands can); and then, from the top, who does
 * (`place`): the smallest product that holds every place, and in a sum each term by itself. A parenthesised product
 * that is a factor belongs to the product around it. If one term of a sum cannot, as in `(a[i] + b[i] * c[i]) * d`, the
 * product around sums all of it.
 *
 * The trap: `[*]` binds every axis of its argument; in a function's body the arguments' own sums are taken first, so
 * that there `[*]` binds what is left of them, and an axis that only the body's `[*]` binds (`absorbed`) is not summed
 * at all.
 */
import type { Expression, Identifier, ProductFactor } from '../syntax/ast.ts';
import { type Call, calleeOf } from './calls.ts';
import type { Module, VisibleFunction } from './files.ts';
import type { AxisEntity, Scope } from './model.ts';
import { type Frame, meaningOf } from './names.ts';

export type AxisSet = ReadonlySet<AxisEntity>;
type Product = Expression & { readonly kind: 'product' };

export interface Placement {
  /** The axes that a product sums, in order of appearance. */
  readonly sums: ReadonlyMap<Expression, readonly AxisEntity[]>;
  /** Axes of a call's arguments that the function's body binds by `[*]`. */
  readonly absorbed: ReadonlyMap<Expression, readonly AxisEntity[]>;
  /** Axes that no product sums, with the smallest expression at fault. */
  readonly unplaced: readonly { readonly axis: AxisEntity; readonly at: Expression; readonly place: Expression }[];
}

/** Axes by name, the same question asked of an equation and of a function's body. */
interface Names {
  readonly of: (name: Identifier) => AxisSet;
  readonly module: Module;
  readonly memo: Map<Expression, AxisSet>;
  readonly calls: Map<string, AxisSet>;
}

const none: AxisSet = new Set();

function union(sets: readonly AxisSet[]): AxisSet {
  const filled = sets.filter((set) => set.size > 0);
  if (filled.length === 0) return none;
  if (filled.length === 1) return filled[0];
  const all = new Set<AxisEntity>();
  for (const set of filled) for (const axis of set) all.add(axis);
  return all;
}

function without(set: AxisSet, removed: AxisSet): AxisSet {
  if (set.size === 0 || removed.size === 0) return set;
  return new Set([...set].filter((axis) => !removed.has(axis)));
}

function axesIn(e: Expression, names: Names): AxisSet {
  const known = names.memo.get(e);
  if (known !== undefined) return known;
  const found = findAxes(e, names);
  names.memo.set(e, found);
  return found;
}

function findAxes(e: Expression, names: Names): AxisSet {
  const all = (parts: readonly Expression[]): AxisSet => union(parts.map((part) => axesIn(part, names)));
  switch (e.kind) {
    case 'number':
      return none;
    case 'list':
      return all(e.elements);
    case 'name':
      return e.reference.members.length > 0 ? none : names.of(e.reference.name);
    case 'read':
      return all(e.indices);
    case 'group':
      return union(e.axes.map(names.of));
    case 'paren':
      return axesIn(e.inner, names);
    case 'negate':
      return axesIn(e.operand, names);
    case 'sum':
      return all(e.terms.map((term) => term.value));
    case 'product':
      return all(e.factors.map((factor) => factor.value));
    case 'power':
      return all([e.base, e.exponent]);
    case 'compare':
      return all([e.left, e.right]);
    case 'and':
      return all(e.operands);
    case 'where':
      return all([e.value, e.condition]);
    case 'call':
      return callAxes(e, names);
    default:
      return e satisfies never;
  }
}

function callAxes(e: Call, names: Names): AxisSet {
  const callee = calleeOf(e, names.module);
  const given = union(e.arguments.map((argument) => axesIn(argument, names)));
  const bracketed = union((e.axes ?? []).map(names.of));
  if (callee.kind === 'reduction') {
    if (bindsAll(e)) return callee.reduction === 'softmax' ? given : none;
    return callee.reduction === 'softmax' ? union([given, bracketed]) : without(given, bracketed);
  }
  if (callee.kind === 'size') return none;
  if (callee.kind !== 'function') return given;
  return bodyAxes(
    callee.found,
    e.arguments.map((argument) => axesIn(argument, names)),
    e,
    names,
  );
}

/** `[*]`; and a reduction without brackets, whose mistake is told where it is lowered. */
function bindsAll(e: Call): boolean {
  return e.every || e.axes === undefined;
}

/** The axes that are free in what a function gives. Calls with the same axes are asked once. */
function bodyAxes({ item, module }: VisibleFunction, given: readonly AxisSet[], call: Call, names: Names): AxisSet {
  const axes = frameAxes(item.axes, (call.axes ?? []).map(names.of));
  const show = (set: AxisSet): string => [...set].map((axis) => axis.id).join(' ');
  const shown = `(${given.map(show).join(',')})[${axes.map((a) => show(a)).join(',')}]`;
  const key = `${module.source.file}/${item.name.text}${shown}`;
  const known = names.calls.get(key);
  if (known !== undefined) return known;
  // A function that calls itself is told elsewhere; here it only must not go on for ever.
  names.calls.set(key, none);
  const meanings = new Map<string, AxisSet>();
  for (const [i, name] of (item.axes ?? []).entries()) meanings.set(name.text, axes[i] ?? none);
  for (const [i, name] of item.parameters.entries()) meanings.set(name.text, given[i] ?? none);
  const inner: Names = {
    of: (name) => meanings.get(name.text) ?? none,
    module,
    memo: new Map(),
    calls: names.calls,
  };
  const found = axesIn(item.body, inner);
  names.calls.set(key, found);
  return found;
}

/** Several axes of a call for the one that is declared, else one for one. */
export function frameAxes<T>(
  declared: readonly Identifier[] | undefined,
  given: readonly ReadonlySet<T>[],
): readonly ReadonlySet<T>[] {
  if (declared?.length !== 1) return given;
  return [new Set(given.flatMap((set) => [...set]))];
}

function scopeNames(scope: Scope, frame: Frame | undefined, module: Module): Names {
  const memo = new Map<Expression, AxisSet>();
  const calls = new Map<string, AxisSet>();
  const of = (name: Identifier): AxisSet => {
    const meaning = meaningOf(name.text, scope, frame);
    if (meaning?.kind === 'entity') return meaning.entity.kind === 'axis' ? new Set([meaning.entity]) : none;
    return none;
  };
  return { of, module, memo, calls };
}

/** Axes in an expression of an equation; for `[*]` and for conditions. */
export function axesOfEquation(scope: Scope): (e: Expression) => AxisSet {
  const names = scopeNames(scope, undefined, scope.instance.module);
  return (e) => axesIn(e, names);
}

/** Axes in an expression of a function's body, where `parameterAxes` are those that the arguments keep. */
export function axesOfBody(
  e: Expression,
  module: Module,
  parameterAxes: (name: string) => AxisSet | undefined,
  frame: Frame,
): AxisSet {
  const of = (name: Identifier): AxisSet => parameterAxes(name.text) ?? new Set(frame.axes.get(name.text) ?? []);
  return axesIn(e, { of, module, memo: new Map(), calls: new Map() });
}

/** A product's factors, those of parenthesised products among them in their place. */
export function factorsOf(e: Product): readonly ProductFactor[] {
  const flat: ProductFactor[] = [];
  const visit = (product: Product): void => {
    for (const factor of product.factors) {
      const inner = factor.operator === '*' ? innerProduct(factor.value) : undefined;
      if (inner === undefined) flat.push(factor);
      else visit(inner);
    }
  };
  visit(e);
  return flat;
}

function innerProduct(e: Expression): Product | undefined {
  let inner = e;
  if (inner.kind !== 'paren') return undefined;
  while (inner.kind === 'paren') inner = inner.inner;
  return inner.kind === 'product' && inner.factors.every((f) => f.operator !== '%') ? inner : undefined;
}

export function placeSums(value: Expression, left: AxisSet, scope: Scope): Placement {
  const names = scopeNames(scope, undefined, scope.instance.module);
  const sums = new Map<Expression, AxisEntity[]>();
  const absorbed = new Map<Expression, readonly AxisEntity[]>();
  const stands = (e: Expression, axis: AxisEntity): boolean => axesIn(e, names).has(axis);
  const summable = new Map<Expression, Map<AxisEntity, boolean>>();

  /** The parts of a node that may sum for themselves. */
  const partsOf = (e: Expression): readonly Expression[] => {
    switch (e.kind) {
      case 'paren':
        return [e.inner];
      case 'negate':
        return [e.operand];
      case 'sum':
        return e.terms.map((term) => term.value);
      case 'product':
        return factorsOf(e).map((factor) => factor.value);
      case 'power':
        return [e.base, e.exponent];
      case 'compare':
        return [e.left, e.right];
      case 'and':
        return e.operands;
      case 'where':
        return [e.value];
      case 'call':
        return e.arguments;
      case 'list':
        return e.elements;
      default:
        return [];
    }
  };

  const canSum = (e: Expression, axis: AxisEntity): boolean => {
    if (e.kind === 'product') return stands(e, axis);
    let known = summable.get(e);
    if (known === undefined) {
      known = new Map();
      summable.set(e, known);
    }
    const before = known.get(axis);
    if (before !== undefined) return before;
    const parts = partsOf(e).filter((part) => stands(part, axis));
    const kept = e.kind === 'call' && (e.axes ?? []).some((name) => names.of(name).has(axis));
    const starred = e.kind === 'call' && bindsAll(e) && calleeOf(e, names.module).kind === 'reduction';
    const can = !kept && !starred && parts.length > 0 && parts.every((part) => canSum(part, axis));
    known.set(axis, can);
    return can;
  };

  /**
   * Gives every axis of `open`, each of which `e` can sum, to a product in `e`. `bound`: those that are not to be
   * summed.
   */
  const place = (e: Expression, open: AxisSet, bound: AxisSet): void => {
    if (axesIn(e, names).size === 0 && e.kind !== 'call' && !mayHideAxes(e)) return;
    if (e.kind === 'product') {
      placeInProduct(e, open, bound);
      return;
    }
    if (e.kind === 'call') {
      placeInCall(e, open, bound);
      return;
    }
    for (const part of partsOf(e)) {
      const standing = axesIn(part, names);
      place(part, new Set([...open].filter((axis) => standing.has(axis))), bound);
    }
    if (e.kind === 'read') for (const index of e.indices) place(index, none, bound);
  };

  const placeInProduct = (e: Product, open: AxisSet, bound: AxisSet): void => {
    const parts = partsOf(e);
    const own: AxisEntity[] = [];
    const passed = new Map<Expression, Set<AxisEntity>>();
    // In order of appearance, which is the order of the set of all axes in the product.
    for (const axis of axesIn(e, names)) {
      if (!open.has(axis)) continue;
      const holders = parts.filter((part) => stands(part, axis));
      if (holders.length === 1 && canSum(holders[0], axis)) {
        const set = passed.get(holders[0]) ?? new Set();
        passed.set(holders[0], set.add(axis));
      } else own.push(axis);
    }
    if (own.length > 0) sums.set(e, own);
    const inner = own.length > 0 ? union([bound, new Set(own)]) : bound;
    for (const part of parts) place(part, passed.get(part) ?? none, inner);
  };

  const placeInCall = (e: Call, open: AxisSet, bound: AxisSet): void => {
    const callee = calleeOf(e, names.module);
    const given = union(e.arguments.map((argument) => axesIn(argument, names)));
    if (callee.kind === 'reduction') {
      const taken = bindsAll(e) ? given : union((e.axes ?? []).map(names.of));
      const inner = union([bound, taken]);
      for (const argument of e.arguments) {
        const standing = axesIn(argument, names);
        place(argument, new Set([...open].filter((axis) => standing.has(axis) && !taken.has(axis))), inner);
      }
      return;
    }
    if (callee.kind === 'size') return;
    if (callee.kind !== 'function') {
      for (const argument of e.arguments) {
        const standing = axesIn(argument, names);
        place(argument, new Set([...open].filter((axis) => standing.has(axis))), bound);
      }
      return;
    }
    const taken = union((e.axes ?? []).map(names.of));
    const leaving = axesIn(e, names);
    const caught = new Set<AxisEntity>();
    const sets = e.arguments.map((argument) => {
      const mine = new Set<AxisEntity>();
      for (const axis of axesIn(argument, names)) {
        if (taken.has(axis)) continue;
        if (open.has(axis)) mine.add(axis);
        else if (!bound.has(axis) && !leaving.has(axis)) {
          if (canSum(argument, axis)) mine.add(axis);
          else caught.add(axis);
        }
      }
      return mine;
    });
    if (caught.size > 0) absorbed.set(e, [...caught]);
    const inner = union([bound, taken, caught]);
    for (const [i, argument] of e.arguments.entries()) place(argument, without(sets[i], caught), inner);
  };

  const unplaced: { axis: AxisEntity; at: Expression; place: Expression }[] = [];
  /** The parts in which an axis stands that they cannot sum. */
  const blame = (e: Expression, axis: AxisEntity): void => {
    if (e.kind === 'sum' || e.kind === 'paren' || e.kind === 'negate') {
      for (const part of partsOf(e)) if (stands(part, axis) && !canSum(part, axis)) blame(part, axis);
    } else if (e.kind === 'where' && stands(e.value, axis) && !canSum(e.value, axis)) blame(e.value, axis);
    else unplaced.push({ axis, at: e, place: firstPlace(e, axis) });
  };
  const firstPlace = (e: Expression, axis: AxisEntity): Expression => {
    if (e.kind === 'name' || e.kind === 'read' || e.kind === 'group') return e;
    const parts = e.kind === 'where' ? [e.value, e.condition] : partsOf(e);
    const inner = parts.find((part) => stands(part, axis));
    return inner === undefined ? e : firstPlace(inner, axis);
  };

  const free = [...axesIn(value, names)].filter((axis) => !left.has(axis));
  const placed = free.filter((axis) => canSum(value, axis));
  for (const axis of free) if (!placed.includes(axis)) blame(value, axis);
  const lost = free.filter((axis) => !placed.includes(axis));
  place(value, new Set(placed), union([left, new Set(lost)]));
  return { sums, absorbed, unplaced };
}

/** A node without free axes may still have axes bound by reductions inside it, and products under those. */
function mayHideAxes(e: Expression): boolean {
  return e.kind !== 'number' && e.kind !== 'name' && e.kind !== 'group';
}
