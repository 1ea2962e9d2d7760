/**
 * What is known of a program's tensors without running it: between which bounds their elements lie, and whether some of them may be
 * 0 because something excluded them.
 *
 *   count[i] sum= 1 over u where u <= i    in [1, T]: every i has a u
 *   r[i] sum= 1 / x[i]                     not surely finite
 *   cot.y[i] sum= cot.z[i] where i >= 1    may be excluded: nothing stores to cot.y[0]
 *
 * The trap: an element that no point stores to is 0, so a reduction over what may be nothing has 0 among its bounds.
 */
import { asAxis } from '../ir/affine.ts';
import type { Bounds } from '../ir/bounds.ts';
import { anyNumber, boundsOf, either, exactly, plus, repeated } from '../ir/bounds.ts';
import { pointCount, storeAxes } from '../ir/equation.ts';
import type { Equation, Expression, Tensor } from '../ir/program.ts';
import { shadowOf } from '../ir/shadow.ts';
import { fills } from './store.ts';

export interface Facts {
  /** Takes note of a tensor; those that it reads come before it. */
  readonly add: (tensor: Tensor) => void;
  readonly bounds: (tensor: string) => Bounds;
  readonly mayBeExcluded: (tensor: string) => boolean;
  /** Whether an expression of an equation is a finite number wherever the equation asks for it. */
  readonly surelyFinite: (e: Expression, within: Pick<Equation, 'axes' | 'domain'>) => boolean;
}

export function factsOf(tensors: readonly Tensor[]): Facts {
  const bounds = new Map<string, Bounds>();
  const excluded = new Set<string>();
  const facts: Facts = {
    add: (tensor) => {
      bounds.set(tensor.name, boundsOfTensor(tensor, facts));
      if (isExcluded(tensor, facts)) excluded.add(tensor.name);
    },
    bounds: (name) => bounds.get(name) ?? anyNumber,
    mayBeExcluded: (name) => excluded.has(name),
    surelyFinite: (e, { axes, domain }) => boundsOf(e, { axes, domain, tensor: facts.bounds }).finite,
  };
  for (const tensor of tensors) facts.add(tensor);
  return facts;
}

function boundsOfTensor({ source, shape }: Tensor, facts: Facts): Bounds {
  switch (source.kind) {
    case 'input':
    case 'param':
      return anyNumber;
    case 'view':
      return facts.bounds(source.base);
    case 'concat':
      return source.parts.map(({ tensor }) => facts.bounds(tensor)).reduce(either, exactly(0));
    case 'computed':
      return source.equations.map((e) => boundsOfEquation(e, shape, facts)).reduce(plus, exactly(0));
    default:
      return source satisfies never;
  }
}

function boundsOfEquation(equation: Equation, shape: readonly number[], facts: Facts): Bounds {
  const { axes, domain, reducer, value } = equation;
  const one = boundsOf(value, { axes, domain, tensor: facts.bounds });
  const points = pointCount(equation);
  const many = ((): Bounds => {
    switch (reducer) {
      case 'sum':
        return repeated(one, points);
      case 'product':
        return { ...anyNumber, low: one.low >= 0 ? 0 : anyNumber.low, zero: one.zero, finite: one.finite };
      case 'max':
      case 'min':
        return one;
      case 'logsumexp':
        return plus(one, { ...exactly(Math.log(points)), low: 0, zero: true });
      default:
        return reducer satisfies never;
    }
  })();
  return storesEverywhere(equation, shape) ? many : either(many, exactly(0));
}

/** Whether every element of the tensor surely takes a point. */
function storesEverywhere(equation: Equation, shape: readonly number[]): boolean {
  const { axes, domain, store } = equation;
  if (domain.length === 0) return fills(equation, shape);
  const whole = store.every((index, d) => {
    const axis = index.kind === 'affine' ? asAxis(index) : undefined;
    return axis === undefined ? shape[d] === 1 : axes[axis].extent === shape[d];
  });
  const stored = storeAxes(equation);
  const dimensions = store.filter((index) => index.kind === 'affine' && asAxis(index) !== undefined);
  if (!whole || stored.length !== dimensions.length) return false;
  const { constraints, exact } = shadowOf(domain, axes, (axis) => stored.includes(axis));
  return exact && constraints.length === 0;
}

function isExcluded({ source, shape }: Tensor, facts: Facts): boolean {
  switch (source.kind) {
    case 'input':
    case 'param':
      return false;
    case 'view':
      return facts.mayBeExcluded(source.base);
    case 'concat':
      return source.parts.some(({ tensor }) => facts.mayBeExcluded(tensor));
    case 'computed':
      return source.equations.every((e) => !storesEverywhere(e, shape) || mayVanish(e.value, facts));
    default:
      return source satisfies never;
  }
}

/** Whether a value may be 0 because a branch was not taken, or what it reads was excluded. */
function mayVanish(e: Expression, facts: Facts): boolean {
  const go = (part: Expression): boolean => mayVanish(part, facts);
  switch (e.kind) {
    case 'load':
      return facts.mayBeExcluded(e.tensor);
    case 'product':
      return e.factors.some(go);
    case 'sum':
      return e.terms.every(go);
    case 'select':
      return [e.then, e.otherwise].some((branch) => isZero(branch) || go(branch));
    case 'binary':
      return e.operator === 'divide' && go(e.left);
    case 'constant':
    case 'index':
    case 'unary':
    case 'random':
      return false;
    default:
      return e satisfies never;
  }
}

function isZero(e: Expression): boolean {
  return e.kind === 'constant' && e.value === 0;
}
