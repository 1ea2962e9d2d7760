/**
 * Where a program needs an integer that it reads to lie between two others, whatever the data: as an index of a dimension, and as a
 * label that is looked for among the positions of a summed axis.
 *
 *   E[tokens[b, t], i]                         0 <= tokens[b, t] < |E|
 *   sum[v](select(v == target[b], z[b, v], 0))   0 <= target[b] < |v|: no label picks nothing
 *
 * Each use comes with the conditions under which it is one. A comparison of reals guards nothing here: who checks before anything
 * runs does not know them.
 *
 * The trap: a label compared at an axis that stays, `select(v == k[n], 1, 0)` into y[n, v], may well be none of them.
 */
import { affine, complement, range } from './affine.ts';
import { reducedAxes } from './equation.ts';
import { axesOf, children, constraintOperands } from './expression.ts';
import type { Condition, Constraint, Equation, Expression, Index, Tensor } from './program.ts';
import { type IntegerTensors, integers32, wholeBounds } from './whole.ts';

export interface IntegerUse {
  readonly kind: 'index' | 'label';
  /** The integer, whole by its making. */
  readonly value: Expression;
  readonly least: number;
  readonly most: number;
  /** What holds wherever it is used, over the axes of the equation. */
  readonly when: readonly Constraint[];
  /** The tensor and dimension that are indexed, or the axis. */
  readonly of: string;
}

/** The uses in the order in which a point would meet them. */
export function integerUses(
  equation: Equation,
  target: Tensor,
  tensors: ReadonlyMap<string, Tensor>,
): readonly IntegerUse[] {
  const uses: IntegerUse[] = [];
  const integers: IntegerTensors = (name) => (tensors.get(name)?.dtype === 'i32' ? integers32 : undefined);
  const isWhole = (e: Expression): boolean => wholeBounds(e, equation.axes, integers) !== undefined;
  const reduced = reducedAxes(equation);

  const visitIndices = ({ name, shape }: Tensor, indices: readonly Index[], when: readonly Constraint[]): void => {
    indices.forEach((index, d) => {
      if (index.kind !== 'gather') return;
      const gathered = tensors.get(index.tensor);
      if (gathered !== undefined) visitIndices(gathered, index.indices, when);
      const value: Expression = { kind: 'load', tensor: index.tensor, indices: index.indices };
      uses.push({ kind: 'index', value, least: 0, most: shape[d] - 1, when, of: `dimension ${d} of \`${name}\`` });
    });
  };

  const visitConstraints = (constraints: readonly Constraint[], when: readonly Constraint[]): void => {
    constraints.forEach((c, i) => {
      for (const side of constraintOperands(c)) visit(side, [...when, ...constraints.slice(0, i)], false);
    });
  };

  /** `isTerm`: the value is what the equation sums, or a factor of it. */
  const visit = (e: Expression, when: readonly Constraint[], isTerm: boolean): void => {
    switch (e.kind) {
      case 'load': {
        const tensor = tensors.get(e.tensor);
        if (tensor !== undefined) visitIndices(tensor, e.indices, when);
        return;
      }
      case 'select': {
        const { condition, then, otherwise } = e;
        if (condition.kind === 'compare') {
          visit(condition.left, when, false);
          visit(condition.right, when, false);
          if (isTerm && otherwise.kind === 'constant' && otherwise.value === 0) visitLabel(condition, when);
          const known: Constraint[] =
            isWhole(condition.left) && isWhole(condition.right) ? [{ ...condition, kind: 'data' }] : [];
          visit(then, [...when, ...known], isTerm);
          for (const failing of known.length > 0 ? complement(known) : [[]])
            visit(otherwise, [...when, ...failing], isTerm);
          return;
        }
        visitConstraints(condition.constraints, when);
        visit(then, [...when, ...condition.constraints], isTerm);
        for (const failing of complement(condition.constraints)) visit(otherwise, [...when, ...failing], isTerm);
        return;
      }
      case 'sum':
      case 'product':
        for (const part of children(e)) visit(part, when, isTerm);
        return;
      default:
        for (const part of children(e)) visit(part, when, false);
    }
  };

  const visitLabel = (
    { operator, left, right }: Extract<Condition, { kind: 'compare' }>,
    when: readonly Constraint[],
  ): void => {
    if (operator !== '==' || equation.reducer !== 'sum') return;
    for (const [position, label] of [
      [left, right],
      [right, left],
    ]) {
      const [axis, ...others] = axesOf(position);
      if (position.kind !== 'index' || axis === undefined || others.length > 0 || !reduced.includes(axis)) continue;
      if (Math.abs(position.affine.terms[0].coefficient) !== 1 || axesOf(label).includes(axis) || !isWhole(label))
        continue;
      if (label.kind === 'index' || label.kind === 'constant') continue;
      const { min, max } = range(position.affine, equation.axes);
      uses.push({ kind: 'label', value: label, least: min, most: max, when, of: `\`${equation.axes[axis].name}\`` });
    }
  };

  visitConstraints(equation.domain, []);
  visitIndices(target, equation.store, equation.domain);
  visit(equation.value, equation.domain, equation.reducer === 'sum');
  return uses;
}

/** The points at which a use goes wrong, as constraints to look for. */
export function violations({ value, least, most, when }: IntegerUse): readonly (readonly Constraint[])[] {
  const bound = (limit: number): Expression => ({ kind: 'index', affine: affine(limit) });
  return [
    [...when, { kind: 'data', operator: '<', left: value, right: bound(least) }],
    [...when, { kind: 'data', operator: '>', left: value, right: bound(most) }],
  ];
}
