/**
 * Gives axes that number the inside of a block the whole range that the blocks cover: what stores through digits stores plainly.
 *
 *   S[512·c + y, 512·c + z] sum= q[512·c + y, e] · k[512·c + z, e]   over c: 2, y: 512, z: 512, e
 *   S[y, z]                 sum= q[y, e] · k[z, e]                   over y: 1024, z: 1024, e   where y / 512 == z / 512
 *
 * A level of a score is then seen as one more term of each of its elements, which is what a tile of scores wants to know. As a loop
 * it would be the longer way: this is for streams (schedule/streams), not for the program as a whole.
 */
import { affine, coefficientOf, substitute } from '../../ir/affine.ts';
import {
  affinesOf,
  affinesOfConstraint,
  affinesOfIndex,
  binary,
  constant,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
} from '../../ir/expression.ts';
import type { Affine, Axis, Constraint, Equation, Expression } from '../../ir/program.ts';
import { remembered } from '../../ir/remembered.ts';

const wholes = new WeakMap<Equation, Equation>();

export function wholeAxes(equation: Equation): Equation {
  return remembered(wholes, equation, withWholeAxes);
}

function withWholeAxes(equation: Equation): Equation {
  const affines = allAffines(equation);
  for (const block of equation.axes.keys()) {
    if (equation.axes[block].extent === 1 || equation.axes[block].symbol !== undefined) continue;
    for (const size of new Set(equation.axes.map(({ extent }) => extent))) {
      const inside = [...equation.axes.keys()].filter(
        (axis) =>
          axis !== block &&
          equation.axes[axis].extent === size &&
          size > 1 &&
          affines.some(
            (a) => coefficientOf(a, axis) !== 0 && coefficientOf(a, block) === size * coefficientOf(a, axis),
          ),
      );
      if (inside.length >= 2 && explains(affines, block, inside, size))
        return withWholeAxes(without(equation, block, inside));
    }
  }
  return equation;
}

function allAffines({ store, domain, value }: Equation): readonly Affine[] {
  return [...store.flatMap(affinesOfIndex), ...domain.flatMap(affinesOfConstraint), ...affinesOf(value)];
}

/** Whether the block's number never stands without the places inside of blocks that it goes with. */
function explains(affines: readonly Affine[], block: number, inside: readonly number[], size: number): boolean {
  return affines.every((a) => {
    const places = inside.reduce((total, axis) => total + coefficientOf(a, axis), 0);
    return coefficientOf(a, block) === size * places;
  });
}

function without(equation: Equation, block: number, inside: readonly number[]): Equation {
  const { extent: blocks } = equation.axes[block];
  const size = equation.axes[inside[0]].extent;
  const place = (axis: number): number => (axis > block ? axis - 1 : axis);
  const rewrite = {
    affine: (a: Affine): Affine =>
      substitute(a, (axis) => (axis === block ? affine(0) : affine(0, [{ axis: place(axis), coefficient: 1 }]))),
  };
  const axes = equation.axes.map((axis, i): Axis => (inside.includes(i) ? { ...axis, extent: blocks * size } : axis));
  const number = (axis: number): Expression =>
    binary('quotient', { kind: 'index', affine: affine(0, [{ axis: place(axis), coefficient: 1 }]) }, constant(size));
  const [first, ...others] = inside;
  const together = others.map(
    (axis): Constraint => ({ kind: 'data', operator: '==', left: number(first), right: number(axis) }),
  );
  return {
    ...equation,
    axes: axes.filter((_, i) => i !== block),
    domain: [...equation.domain.map((c) => rewriteConstraint(c, rewrite)), ...together],
    store: equation.store.map((index) => rewriteIndex(index, rewrite)),
    value: rewriteExpression(equation.value, rewrite),
  };
}
