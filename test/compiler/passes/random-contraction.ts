/**
 * Random structured matrices and their products: cores over digits, levels, block diagonals, diagonals, slices, domains, strides,
 * scalars, clipped cores, axes of extent 1 and primes. The first choice is always the simplest, so that tapes shrink.
 */
import fc from 'fast-check';
import { add, affine, axisIndex, scale, subtract } from '../../../compiler/ir/affine.ts';
import { computed, input, param, program } from '../../../compiler/ir/build.ts';
import { binary, constant, divide, load, loadAxes, product, sum, unary } from '../../../compiler/ir/expression.ts';
import type { Affine, Axis, Constraint, Equation, Expression, Program, Tensor } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import type { Choices } from '../../support/choices.ts';
import { choicesFrom } from '../../support/choices.ts';

const extents = [2, 3, 1, 4, 5];
const mostPoints = 3000;

export function randomContraction(): fc.Arbitrary<Program> {
  return fc.uint8Array({ minLength: 30, maxLength: 160, size: 'max' }).map((tape) => build(choicesFrom(tape)));
}

function build(choices: Choices): Program {
  const tensors: Tensor[] = [];
  const levels = Array.from({ length: choices.between(1, 3) }, (_, l) => level(`${l}`, tensors, choices));
  const shape = [0, 1].map((d) => Math.max(...levels.map((e) => reach(e, d))) + choices.below(2));
  tensors.push(computed('W', shape, levels));
  const outputs = [product1('y', 'W', shape, tensors, choices)];
  if (choices.oneIn(3)) outputs.push(product1('z', choices.oneIn(2) ? 'y' : 'W', shape, tensors, choices));
  if (choices.oneIn(5)) outputs.push('W');
  return program(tensors, [...new Set(outputs)]);
}

function reach({ axes, store }: Equation, d: number): number {
  const index = store[d] as Affine;
  return index.terms.reduce((most, t) => most + t.coefficient * (axes[t.axis].extent - 1), index.constant) + 1;
}

/** One level of W: a product of cores over row digits, column digits and inner axes. */
function level(suffix: string, tensors: Tensor[], choices: Choices): Equation {
  const axes: Axis[] = [];
  const newAxis = (name: string): number => {
    const points = axes.reduce((all, axis) => all * axis.extent, 1);
    const wanted = choices.pick(extents);
    return axes.push({ name, extent: points * wanted > mostPoints ? 1 : wanted }) - 1;
  };
  const rows = Array.from({ length: choices.between(1, 3) }, (_, i) => newAxis(`i${i}`));
  const columns = Array.from({ length: choices.between(1, 3) }, (_, i) => newAxis(`j${i}`));
  if (choices.oneIn(3)) columns[0] = rows[0];
  const inner = Array.from({ length: choices.below(3) }, (_, i) => newAxis(`r${i}`));
  const used = [...new Set([...rows, ...columns, ...inner])];
  const cores = Array.from({ length: choices.between(1, 4) }, () => new Set<number>());
  for (const axis of used) {
    cores[choices.below(cores.length)].add(axis);
    if (inner.includes(axis) || choices.oneIn(4)) cores[choices.below(cores.length)].add(axis);
  }
  const factors = cores.map((members, c) => core(`C${suffix}.${c}`, [...members], axes, tensors, choices));
  const domain: Constraint[] = [];
  if (choices.oneIn(4)) domain.push(randomConstraint(used, axes, choices));
  const value = product([...(choices.oneIn(4) ? [constant(0.5)] : []), ...factors]);
  return {
    axes,
    domain,
    store: [rows, columns].map((digits) => add(group(digits, axes), affine(choices.oneIn(6) ? 1 : 0))),
    reducer: 'sum',
    value,
  };
}

function randomConstraint(used: readonly number[], axes: readonly Axis[], choices: Choices): Constraint {
  const [a, b] = [choices.pick(used), choices.pick(used)];
  const affineValue = subtract(axisIndex(a), choices.oneIn(3) ? affine(axes[a].extent - 1) : axisIndex(b));
  return { kind: choices.pick(['nonnegative', 'nonzero', 'zero'] as const), affine: affineValue };
}

function core(
  name: string,
  members: readonly number[],
  axes: readonly Axis[],
  tensors: Tensor[],
  choices: Choices,
): Expression {
  // A core may be larger than what is read of it, and be read at an offset.
  const extra = members.length > 0 && choices.oneIn(5) ? 1 : 0;
  const shape = members.map((axis, d) => axes[axis].extent + (d === 0 ? extra : 0));
  tensors.push(param(name, shape));
  const read = load(
    name,
    members.map((axis, d) => add(axisIndex(axis), affine(d === 0 ? extra : 0))),
  );
  if (!choices.oneIn(4)) return read;
  const squares: Equation = {
    axes: shape.map((extent, d) => ({ name: `w${d}`, extent })),
    domain: [],
    store: [],
    reducer: 'sum',
    value: product([
      constant(1 / elementCount(shape)),
      binary('power', loadAxes(name, [...shape.keys()]), constant(2)),
    ]),
  };
  tensors.push(computed(`${name}~ms`, [], [squares]));
  const root = unary('sqrt', sum([load(`${name}~ms`, []), constant(0.1)]));
  return choices.oneIn(2) ? product([read, root]) : divide(read, binary('maximum', constant(1), root));
}

function group(digits: readonly number[], axes: readonly Axis[]): Affine {
  return digits.reduce((all, axis) => add(scale(all, axes[axis].extent), axisIndex(axis)), affine(0));
}

/** y = W x, Wᵀ x, a product with digits of another radix, a slice, a diagonal, a sum with another matrix, or several factors. */
function product1(name: string, matrix: string, shape: readonly number[], tensors: Tensor[], choices: Choices): string {
  const of = tensors.find((tensor) => tensor.name === matrix) as Tensor;
  const [rows, columns] = of.shape;
  const n = choices.pick([2, 1, 3]);
  const axes: Axis[] = [
    { name: 'n', extent: n },
    { name: 'i', extent: rows },
    { name: 'j', extent: columns },
  ];
  let [row, column] = [axisIndex(1), axisIndex(2)];
  const form = choices.below(6);
  if (form === 1 && columns % 2 === 0) {
    axes[2] = { name: 'o', extent: columns / 2 };
    column = add(scale(axisIndex(2), 2), axisIndex(axes.push({ name: 'f', extent: 2 }) - 1));
  } else if (form === 2 && columns > 1) {
    axes[2] = { name: 'e', extent: columns - 1 };
    column = add(axisIndex(2), affine(1));
  } else if (form === 3) {
    axes[1] = { name: 'i', extent: Math.min(rows, columns) };
    [row, column] = [axisIndex(1), axisIndex(1)];
    axes.length = 2;
  } else if (form === 4 && rows % 2 === 0) {
    axes[1] = { name: 'e', extent: rows / 2 };
    row = add(scale(axisIndex(1), 2), affine(1));
  } else if (form === 5) {
    [row, column] = [subtract(affine(rows - 1), axisIndex(1)), axisIndex(2)];
  }
  const x = `x.${name}`;
  tensors.push(input(x, [n, columns]));
  let factor: Expression = load(matrix, [row, column]);
  if (choices.oneIn(4)) {
    tensors.push(param(`A.${name}`, [rows, columns]));
    factor = sum([factor, load(`A.${name}`, [row, column])]);
  }
  const factors = [factor, load(x, [axisIndex(0), column])];
  if (choices.oneIn(4)) {
    tensors.push(param(`g.${name}`, [columns]));
    factors.push(load(`g.${name}`, [column]));
  }
  if (choices.oneIn(5)) factors.push(load(x, [axisIndex(0), affine(0)]));
  const domain: Constraint[] = choices.oneIn(4)
    ? [randomConstraint(axes.map((_, a) => a).slice(1), axes, choices)]
    : [];
  const transposed = choices.oneIn(4);
  const stored = transposed ? [axisIndex(1), axisIndex(0)] : [axisIndex(0), axisIndex(1)];
  const extents = [n, Math.max(axes[1].extent, shape.length)];
  const equation: Equation = { axes, domain, store: stored, reducer: 'sum', value: product(factors) };
  tensors.push(computed(name, transposed ? extents.reverse() : extents, [equation]));
  return name;
}
