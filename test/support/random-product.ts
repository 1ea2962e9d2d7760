/**
 * Random sums of products of two operands, as the contraction family takes them: batch, m, n and k axes in any order, digits and
 * strides and offsets in every map, prologues, masks on any pair of axes, addends, several such sums, epilogues. The first choice is
 * always the simplest, so that tapes shrink.
 */
import fc from 'fast-check';
import { add, affine, axisIndex, scale, subtract } from '../../compiler/ir/affine.ts';
import { computed, input, program } from '../../compiler/ir/build.ts';
import { equation } from '../../compiler/ir/equation.ts';
import { constant, load, loadAxes, negate, product, select, sum, unary } from '../../compiler/ir/expression.ts';
import type {
  Affine,
  AffineConstraint,
  Axis,
  Constraint,
  Equation,
  Expression,
  Program,
  Tensor,
} from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import type { Choices } from './choices.ts';
import { choicesFrom } from './choices.ts';

const extents = [3, 2, 5, 1, 7, 9, 17, 4, 8, 12];
/** Points of one sum at most. */
const mostPoints = 20_000;

export function randomProduct(): fc.Arbitrary<Program> {
  return fc.uint8Array({ minLength: 40, maxLength: 200, size: 'max' }).map((tape) => build(choicesFrom(tape)));
}

interface Classes {
  readonly axes: readonly Axis[];
  readonly batch: readonly number[];
  readonly m: readonly number[];
  readonly n: readonly number[];
  readonly k: readonly number[];
}

function build(choices: Choices): Program {
  const tensors: Tensor[] = [];
  const classes = randomClasses(choices);
  const { store, shape } = randomStore(classes, choices);
  const first = sumOfProducts(classes, store, tensors, choices);
  const equations: Equation[] = [first];
  if (choices.oneIn(4)) equations.push(sumOfProducts(classes, store, tensors, choices));
  if (choices.oneIn(3)) equations.push(pointwise(shape, choices.oneIn(2) ? undefined : 'ends', tensors, choices));
  if (choices.oneIn(3)) equations.reverse();
  tensors.push(computed('y', shape, equations));
  const outputs = ['y'];
  if (choices.oneIn(2)) {
    tensors.push(computed('z', shape, [pointwise(shape, 'y', tensors, choices)]));
    outputs.push('z');
    if (choices.oneIn(2)) {
      tensors.push(
        computed('w', shape, [pointwise(shape, 'z', tensors, choices), pointwise(shape, 'y', tensors, choices)]),
      );
      outputs.push('w');
    }
    if (choices.oneIn(2)) outputs.shift();
  }
  if (shape.length > 1 && choices.oneIn(2)) addRows(shape, tensors, outputs, choices);
  return program(tensors, outputs);
}

/** A value of each row of the last output, and a tensor of its elements and their rows', the dimensions before in any order. */
function addRows(shape: readonly number[], tensors: Tensor[], outputs: string[], choices: Choices): void {
  const axes = shape.map((extent, d) => ({ name: `o${d}`, extent }));
  const all = shape.map((_, d) => d);
  const [from, kept] = [outputs.at(-1)!, shuffled(all.slice(0, -1), choices)];
  const domain = choices.oneIn(3) ? [mask(axes, choices)] : [];
  const own = loadAxes(from, all);
  const reduced = equation({
    axes,
    domain,
    store: kept.map(axisIndex),
    reducer: choices.pick(['sum', 'max', 'min']),
    value: choices.oneIn(2) ? own : product([own, own, constant(0.1)]),
  });
  const order = [...shuffled(all.slice(0, -1), choices), shape.length - 1];
  const row = loadAxes('r', kept);
  const mapped = equation({ axes, domain: [], store: order.map(axisIndex), value: sum([own, unary('tanh', row)]) });
  tensors.push(
    computed(
      'r',
      kept.map((d) => shape[d]),
      [reduced],
    ),
    computed(
      'u',
      order.map((d) => shape[d]),
      [mapped],
    ),
  );
  outputs.push(...(choices.oneIn(2) ? ['u', 'r'] : ['u']));
}

function randomClasses(choices: Choices): Classes {
  const axes: Axis[] = [];
  const some = (name: string, count: number): number[] =>
    Array.from({ length: count }, (_, i) => {
      const points = elementCount(axes.map((axis) => axis.extent));
      const extent = choices.pick(extents);
      return axes.push({ name: `${name}${i}`, extent: points * extent > mostPoints ? 1 : extent }) - 1;
    });
  const k = some('k', choices.pick([1, 2, 1, 3]));
  const m = some('m', choices.pick([1, 2, 0, 1]));
  const n = some('n', choices.pick([1, 2, 1, 0]));
  const batch = some('b', choices.pick([0, 1, 1, 2]));
  return { axes, batch, m, n, k };
}

function shuffled<T>(items: readonly T[], choices: Choices): T[] {
  const rest = [...items];
  return Array.from({ length: rest.length }, () => rest.splice(choices.below(rest.length), 1)[0]);
}

/** Axes dealt out to dimensions, several to one as digits, with strides and offsets; and the extents that hold them. */
function layOut(
  members: readonly number[],
  axes: readonly Axis[],
  choices: Choices,
  reversible = true,
): { readonly indices: readonly Affine[]; readonly shape: readonly number[] } {
  const indices: Affine[] = [];
  const shape: number[] = [];
  const pending = shuffled(members, choices);
  while (pending.length > 0) {
    const digits = pending.splice(0, pending.length > 1 && choices.oneIn(3) ? 2 : 1);
    let index = digits.reduce<Affine>((all, axis) => add(scale(all, axes[axis].extent), axisIndex(axis)), affine(0));
    let extent = elementCount(digits.map((axis) => axes[axis].extent));
    if (choices.oneIn(6)) [index, extent] = [scale(index, 2), 2 * extent - 1];
    if (choices.oneIn(6)) [index, extent] = [add(index, affine(1)), extent + 2];
    if (reversible && choices.oneIn(8)) index = subtract(affine(extent - 1), index);
    indices.push(index);
    shape.push(extent);
  }
  return { indices, shape };
}

function randomStore(classes: Classes, choices: Choices): { store: readonly Affine[]; shape: readonly number[] } {
  const members = [...classes.batch, ...classes.m, ...classes.n];
  const { indices, shape } = layOut(members, classes.axes, choices, choices.oneIn(8));
  // A diagonal: one more dimension with an axis that another has.
  if (members.length > 0 && choices.oneIn(5)) {
    const axis = choices.pick(members);
    return { store: [...indices, axisIndex(axis)], shape: [...shape, classes.axes[axis].extent] };
  }
  return { store: indices, shape };
}

function sumOfProducts(classes: Classes, store: readonly Affine[], tensors: Tensor[], choices: Choices): Equation {
  const { axes, batch, m, n, k } = classes;
  const left = operand([...batch, ...m, ...k], axes, tensors, choices);
  // Now and then an operand lacks a batch or a reduced axis.
  const kept = (list: readonly number[]): readonly number[] =>
    list.length > 1 && choices.oneIn(4) ? list.slice(1) : list;
  const right = operand([...kept(batch), ...n, ...kept(k)], axes, tensors, choices);
  const scales = choices.oneIn(3)
    ? [choices.oneIn(2) ? constant(-0.5) : operand([...batch, ...m], axes, tensors, choices)]
    : [];
  const domain = Array.from({ length: choices.pick([0, 1, 0, 2]) }, () => mask(axes, choices));
  return equation({
    axes,
    domain,
    store,
    value: product([...scales, ...(choices.oneIn(2) ? [right, left] : [left, right])]),
  });
}

function mask(axes: readonly Axis[], choices: Choices): AffineConstraint {
  const [a, b] = [choices.below(axes.length), choices.below(axes.length)];
  const [i, j] = [axisIndex(a), axisIndex(b)];
  return choices.pick<AffineConstraint>([
    { kind: 'nonnegative', affine: subtract(i, j) },
    { kind: 'nonnegative', affine: subtract(add(i, affine(2)), j) },
    { kind: 'nonnegative', affine: subtract(scale(i, 2), add(j, affine(1))) },
    { kind: 'nonnegative', affine: subtract(affine(axes[a].extent), add(i, j)) },
    { kind: 'nonzero', affine: subtract(i, j) },
    { kind: 'zero', affine: subtract(i, j) },
    { kind: 'nonnegative', affine: subtract(affine(axes[a].extent >> 1), i) },
  ]);
}

function operand(members: readonly number[], axes: readonly Axis[], tensors: Tensor[], choices: Choices): Expression {
  const read = (): Expression => {
    const { indices, shape } = layOut(members, axes, choices);
    const name = `x${tensors.length}`;
    tensors.push(input(name, shape));
    return load(name, indices);
  };
  if (members.length === 0) return read();
  switch (choices.pick(['load', 'load', 'load', 'weight', 'masked', 'shifted'])) {
    case 'weight':
      return unary('exp', sum([product([constant(0.3), read()]), negate(read())]));
    case 'masked':
      return select(
        {
          kind: 'domain',
          constraints: [
            mask(
              members.map((axis) => axes[axis]),
              choices,
            ),
          ].map((c) => onto(c, members)),
        },
        read(),
        constant(0.25),
      );
    case 'shifted': {
      // Read one back along an axis, and nothing before the first.
      const axis = choices.pick(members);
      const name = `x${tensors.length}`;
      tensors.push(
        input(
          name,
          members.map((a) => axes[a].extent),
        ),
      );
      const back = load(
        name,
        members.map((a) => (a === axis ? subtract(axisIndex(a), affine(1)) : axisIndex(a))),
      );
      return select(
        { kind: 'domain', constraints: [{ kind: 'nonnegative', affine: subtract(axisIndex(axis), affine(1)) }] },
        back,
        constant(0),
      );
    }
    default:
      return read();
  }
}

/** A constraint over positions in `members` as one over the axes themselves. */
function onto({ kind, affine: a }: AffineConstraint, members: readonly number[]): AffineConstraint {
  const terms = a.terms.map(({ axis, coefficient }) => ({ axis: members[axis], coefficient }));
  return { kind, affine: affine(a.constant, terms) };
}

/** A pointwise equation of the shape: of `other` at its own element, else of an input alone; conditions at the ends of its axes. */
function pointwise(shape: readonly number[], other: string | undefined, tensors: Tensor[], choices: Choices): Equation {
  const axes = shape.map((extent, d) => ({ name: `o${d}`, extent }));
  const dimensions = shape.map((_, d) => d);
  const own = other === undefined || other === 'ends' ? undefined : loadAxes(other, dimensions);
  const some = shuffled(dimensions, choices).slice(0, choices.below(dimensions.length + 1));
  const name = `h${tensors.length}`;
  tensors.push(
    input(
      name,
      some.map((d) => shape[d]),
    ),
  );
  const given = loadAxes(name, some);
  const value =
    own === undefined
      ? given
      : choices.pick([sum([own, given]), product([own, given]), unary('tanh', sum([own, given]))]);
  const domain: Constraint[] = other === 'ends' && axes.length > 0 ? [mask(axes, choices)] : [];
  return equation({ axes, domain, store: dimensions.map(axisIndex), value });
}
