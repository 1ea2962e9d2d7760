/**
 * Random scalar expressions over the axes of an equation, every kind and every operator among them, kept where central differences
 * and float32 can follow: exponents and divisors are bounded, kinks stand on inputs alone (see `random-program.ts`).
 */
import { affine, axisIndex } from '../../compiler/ir/affine.ts';
import { binary, constant, load, product, select, sum, unary } from '../../compiler/ir/expression.ts';
import type {
  BinaryOperator,
  ComparisonOperator,
  Constraint,
  Expression,
  Tensor,
  UnaryOperator,
} from '../../compiler/ir/program.ts';
import type { Scope } from './random-program.ts';
import { indexInto, randomConstraint } from './random-program.ts';

/** Bounded values lie in about -2 .. 2, positive ones in about 0.5 .. 4. */
type Range = 'any' | 'bounded' | 'positive';

const squashingFunctions: readonly UnaryOperator[] = ['tanh', 'sigmoid', 'erf', 'sin', 'cos'];
const smoothFunctions: readonly UnaryOperator[] = ['exp', 'gelu', 'silu', 'negate'];
const positiveFunctions: readonly UnaryOperator[] = ['log', 'sqrt', 'rsqrt'];
const kinkedFunctions: readonly UnaryOperator[] = ['relu', 'abs', 'sign'];
const comparisons: readonly ComparisonOperator[] = ['<', '<=', '>', '>=', '==', '!='];
const extremes: readonly BinaryOperator[] = ['maximum', 'minimum'];
const exponents = [2, 3, 0.5, -1, 1.5, 0, 1];

export function randomExpression(scope: Scope, guards: Constraint[], wanted: Range, depth = 3): Expression {
  const { choices } = scope;
  const go = (part: Range): Expression => randomExpression(scope, guards, part, depth - 1);
  const leaf = (): Expression => randomLeaf(scope, guards);
  if (wanted === 'positive') {
    if (depth <= 0) return sum([constant(2), leaf()]);
    const bounded = go('bounded');
    return choices.pick([
      () => sum([constant(1.5), product([bounded, bounded])]),
      () => unary('exp', product([constant(0.5), bounded])),
    ])();
  }
  if (wanted === 'bounded') {
    if (depth <= 0 || choices.oneIn(2)) return leaf();
    return unary(choices.pick(squashingFunctions), go('any'));
  }
  if (depth <= 0) return randomLoad(scope, guards);
  const some = (): Expression[] => Array.from({ length: choices.between(2, 4) }, () => go('any'));
  const options: readonly (() => Expression)[] = [
    () => randomLoad(scope, guards),
    () => product([randomLoad(scope, guards), randomLoad(scope, guards)]),
    () => product(Array.from({ length: choices.between(2, 4) }, () => randomLoad(scope, guards))),
    () => product([constant(choices.pick([0.5, -1, 2])), go('any')]),
    () => sum(some()),
    () => product(some()),
    () => sum([randomLoad(scope, guards), product([constant(-1), randomLoad(scope, guards)])]),
    () => unary(choices.pick(squashingFunctions), go('any')),
    () => unary(choices.pick(smoothFunctions), go('bounded')),
    () => unary(choices.pick(positiveFunctions), go('positive')),
    () => unary(choices.pick(kinkedFunctions), leaf()),
    () => binary(choices.pick(extremes), leaf(), leaf()),
    () => binary('divide', go('any'), go('positive')),
    () => binary('power', go('positive'), constant(choices.pick(exponents))),
    () => binary('power', go('positive'), go('bounded')),
    () => {
      const operator = choices.pick(comparisons);
      return select(
        { kind: 'compare', operator, left: leaf(), right: choices.pick([constant(0.1), leaf()]) },
        go('any'),
        go('any'),
      );
    },
    () => selectOnPosition(scope, go),
    () => positionValue(scope),
    () => draw(scope),
    () => wholeNumber(scope) ?? randomLoad(scope, guards),
  ];
  return choices.pick(options)();
}

/** A load of an input: safe under a kink. */
export function randomLeaf(scope: Scope, guards: Constraint[]): Expression {
  const given = scope.readable.filter(
    (t) => t.dtype !== 'i32' && t.source.kind !== 'computed' && t.source.kind !== 'concat',
  );
  return loadOf(scope.choices.pick(given.filter((t) => t.name !== 'arena')), scope, guards);
}

/** A load of anything floating, the newest tensors first. */
export function randomLoad(scope: Scope, guards: Constraint[]): Expression {
  const floats = scope.readable.filter((t) => t.dtype !== 'i32').toReversed();
  const newest = floats.filter((t) => t.source.kind === 'computed').slice(0, 2);
  return loadOf(scope.choices.pick([...newest, ...floats]), scope, guards);
}

function loadOf(tensor: Tensor, scope: Scope, guards: Constraint[]): Expression {
  return load(
    tensor.name,
    tensor.shape.map((extent) => indexInto(extent, scope, guards)),
  );
}

/** A load that lies inside its tensor only in the branch that takes it. */
function selectOnPosition(scope: Scope, go: (part: Range) => Expression): Expression {
  const inner: Constraint[] = [];
  const guarded = product([randomLoad(scope, inner), randomLoad(scope, inner)]);
  const extra = scope.axes.length > 0 ? [randomConstraint(scope)] : [];
  return select({ kind: 'domain', constraints: [...inner, ...extra] }, guarded, go('any'));
}

function positionValue({ choices, axes }: Scope): Expression {
  const at = axes.length === 0 ? affine(2) : axisIndex(choices.below(axes.length));
  return product([constant(0.25), { kind: 'index', affine: at }]);
}

function draw({ choices, axes }: Scope): Expression {
  const element = axes.length === 0 ? affine(3) : axisIndex(choices.below(axes.length));
  const distribution = choices.pick(['uniform', 'normal'] as const);
  return { kind: 'random', distribution, seed: constant(17), stream: choices.below(3), step: constant(4), element };
}

function wholeNumber(scope: Scope): Expression | undefined {
  const ids = scope.readable.findLast((t) => t.dtype === 'i32');
  if (ids === undefined) return undefined;
  const indices = ids.shape.map((length) => {
    const axis = scope.axes.findIndex(({ extent }) => extent <= length);
    return axis < 0 ? affine(0) : axisIndex(axis);
  });
  return load(ids.name, indices);
}
