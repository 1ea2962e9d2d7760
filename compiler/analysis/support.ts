/**
 * Where a tensor or an expression can be other than 0, by domains alone: `A[t, u] = … where u <= t` is 0 for u > t, so a product
 * with A reads nothing there. Following dependences without it, every masked score would see the future.
 *
 * A `Context` is a point of an equation and what is known of it: the equation's own axes come first, those that loads bring
 * behind them, so that the equation's affine expressions keep their meaning as it grows.
 *
 * The trap: what is said of a tensor is where it may be other than 0. That a value happens to be 0 there, as exp(-1e9) is, no
 * domain says.
 */
import { add, axisIndex, complement, isAffine, scale, substitute } from '../ir/affine.ts';
import { equationsOf } from '../ir/equation.ts';
import type { Affine, Axis, Constraint, Equation, Expression, Index, Program } from '../ir/program.ts';
import { contains, type Relation, relationKey, simplifyRelation } from './relation.ts';

export interface Context {
  readonly axes: readonly Axis[];
  readonly domain: readonly Constraint[];
}

/** By tensor: the indices where it may be other than 0; tensors that are not there may be so everywhere. */
export type Supports = ReadonlyMap<string, readonly Relation[]>;

/** Alternatives beyond which a context is left as wide as it was. */
const mostAlternatives = 24;

export function supportsOf(program: Program): Supports {
  const supports = new Map<string, readonly Relation[]>();
  for (const tensor of program.tensors) {
    if (tensor.source.kind !== 'computed') continue;
    let pieces: Relation[] = [];
    for (const equation of equationsOf(tensor)) {
      for (const context of narrowed(contextOf(equation), equation.value, supports)) {
        const [axes, columns] = columnsOf(equation.store, context.axes, tensor.shape);
        const piece = simplifyRelation({ axes, domain: context.domain.filter(isAffine), columns });
        if (piece !== undefined) pieces = withRelation(pieces, piece);
      }
    }
    const whole: Relation = {
      axes: tensor.shape.map((extent, d) => ({ name: `d${d}`, extent })),
      domain: [],
      columns: tensor.shape.map((_, d) => axisIndex(d)),
    };
    if (pieces.length > mostAlternatives || pieces.some((piece) => contains(piece, whole))) continue;
    supports.set(tensor.name, pieces);
  }
  return supports;
}

export function contextOf({ axes, domain }: Equation): Context {
  return { axes, domain };
}

/** The relations with one more, none that another holds. */
export function withRelation(relations: readonly Relation[], relation: Relation): Relation[] {
  const key = relationKey(relation);
  if (relations.some((known) => relationKey(known) === key || contains(known, relation))) return [...relations];
  return [...relations.filter((known) => !contains(relation, known)), relation];
}

/** The columns of indices; a gathered index may be anything, so it is an axis of its own. */
export function columnsOf(
  indices: readonly Index[],
  axes: readonly Axis[],
  shape: readonly number[],
): readonly [axes: readonly Axis[], columns: readonly Affine[]] {
  const all = [...axes];
  const columns = indices.map((index, d) => {
    if (index.kind === 'affine') return index;
    all.push({ name: index.tensor, extent: shape[d] });
    return axisIndex(all.length - 1);
  });
  return [all, columns];
}

/** The context and the points of a relation whose first columns the indices name; gathered indices name nothing. */
export function joined(
  context: Context,
  indices: readonly Index[],
  relation: Relation,
): Context & { readonly shift: number } {
  const shift = context.axes.length;
  const moved = (a: Affine): Affine => substitute(a, (axis) => axisIndex(axis + shift));
  const equal = indices.flatMap((index, d): Constraint[] =>
    index.kind === 'affine' ? [{ kind: 'zero', affine: add(moved(relation.columns[d]), scale(index, -1)) }] : [],
  );
  return {
    axes: [...context.axes, ...relation.axes],
    domain: [...context.domain, ...relation.domain.map((c) => ({ kind: c.kind, affine: moved(c.affine) })), ...equal],
    shift,
  };
}

/** What of the context is left where the expression may be other than 0; the context itself where that is all of it. */
export function narrowed(context: Context, expression: Expression, supports: Supports): readonly Context[] {
  const found = alternatives(context, expression, supports);
  return found.length > mostAlternatives ? [context] : found;
}

function alternatives(context: Context, expression: Expression, supports: Supports): readonly Context[] {
  const go = (e: Expression, within: Context = context): readonly Context[] => alternatives(within, e, supports);
  /** Where any of them is other than 0. */
  const union = (all: readonly (readonly Context[])[]): readonly Context[] =>
    all.some((contexts) => contexts.includes(context)) ? [context] : all.flat();
  switch (expression.kind) {
    case 'constant':
      return expression.value === 0 ? [] : [context];
    case 'load': {
      const pieces = supports.get(expression.tensor);
      if (pieces === undefined) return [context];
      return pieces.map((piece) => joined(context, expression.indices, piece));
    }
    case 'sum':
      return union(expression.terms.map((term) => go(term)));
    case 'product':
      return expression.factors.reduce<readonly Context[]>(
        (contexts, factor) => contexts.flatMap((within) => go(factor, within)).slice(0, mostAlternatives + 1),
        [context],
      );
    case 'unary':
      return zeroAtZero.has(expression.operator) ? go(expression.operand) : [context];
    case 'binary':
      switch (expression.operator) {
        case 'divide':
          return go(expression.left);
        case 'power':
          return expression.right.kind === 'constant' && expression.right.value > 0 ? go(expression.left) : [context];
        default:
          return union([go(expression.left), go(expression.right)]);
      }
    case 'select': {
      const { condition, then, otherwise } = expression;
      if (condition.kind === 'compare') return union([go(then), go(otherwise)]);
      const isEverywhere = [then, otherwise].every((branch) => go(branch).includes(context));
      return isEverywhere ? [context] : branches(context, expression).flatMap(([within, branch]) => go(branch, within));
    }
    case 'index':
    case 'random':
      return [context];
    default:
      return expression satisfies never;
  }
}

const zeroAtZero: ReadonlySet<string> = new Set([
  'negate',
  'sqrt',
  'abs',
  'sign',
  'tanh',
  'erf',
  'relu',
  'gelu',
  'silu',
  'sin',
]);

/** The branches of a select by domain, each with the context in which it is taken; that of the other branch is in disjoint parts. */
export function branches(
  context: Context,
  { condition, then, otherwise }: Extract<Expression, { kind: 'select' }>,
): readonly (readonly [Context, Expression])[] {
  if (condition.kind === 'compare')
    return [
      [context, then],
      [context, otherwise],
    ];
  const under = (constraints: readonly Constraint[]): Context => ({
    axes: context.axes,
    domain: [...context.domain, ...constraints],
  });
  return [
    [under(condition.constraints), then],
    ...complement(condition.constraints).map((failing) => [under(failing), otherwise] as const),
  ];
}
