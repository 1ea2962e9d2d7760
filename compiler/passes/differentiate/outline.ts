/**
 * Gives large or compared subexpressions a tensor of their own, before differentiation:
 *
 *   y[i] sum= exp(a[i] + … + z[i])^2   →   y~1[i] sum= a[i] + … + z[i]     y[i] sum= exp(y~1[i])^2
 *   y[i] sum= a[i] * … * z[i]          →   y~1[i] sum= a[i] * b[i]     …     y[i] sum= y~23[i] * y~24[i]
 *   m[i] max= a[i, j] * b[j]           →   m~1[i, j] sum= a[i, j] * b[j]   m[i] max= m~1[i, j]
 *
 * The first two because each of n loads would carry all n in its derivative, n² in all; the third because the derivative of max asks
 * where the value equals the result, and that of a product where it is 0, and two computations of one value may differ in their last
 * bit.
 */
import { axisIndex } from '../../ir/affine.ts';
import { equation as makeEquation } from '../../ir/equation.ts';
import {
  axesOf,
  axisRenaming,
  children,
  constraintAxes,
  loadAxes,
  loads,
  product,
  renameAxes,
  rewriteConstraint,
  rewriteExpression,
  sum,
} from '../../ir/expression.ts';
import { expressionKey } from '../../ir/hash.ts';
import { mapSame } from '../../ir/lists.ts';
import type { Equation, Expression, Program, Tensor } from '../../ir/program.ts';
import { freshName } from '../names.ts';

/** Loads times nodes of an equation from which on its derivatives would be too large to write out. */
const largeDerivative = 65_536;
/** Longest product that is differentiated as it is. */
const longProduct = 8;
/** Smallest number of loads in an operand that is worth a tensor. */
const largeOperand = 16;

/** `concerned` says which tensors will be differentiated through. */
export function outline(program: Program, concerned: ReadonlySet<string>): Program {
  const taken = new Set(program.tensors.map((tensor) => tensor.name));
  const tensors = program.tensors.flatMap((tensor): readonly Tensor[] => {
    const { source } = tensor;
    if (source.kind !== 'computed' || !concerned.has(tensor.name)) return [tensor];
    const made: Tensor[] = [];
    const equations = source.equations.map((e) => {
      const known = new Map<string, Expression>();
      const store = (value: Expression): Expression => {
        const key = expressionKey(value);
        const before = known.get(key);
        if (before !== undefined) return before;
        const { equation, axes } = storing(value, e);
        // What is stored may itself be too large; its parts come before it.
        const inner = outlineEquation(equation, (part) => renameAxes(store(renameAxes(part, axes)), invert(axes)));
        const name = freshName(`${tensor.name}~${made.length + 1}`, taken);
        const shape = equation.axes.map((axis) => axis.extent);
        made.push({ name, dtype: tensor.dtype, shape, source: { kind: 'computed', equations: [inner] } });
        const read = loadAxes(name, axes);
        known.set(key, read);
        return read;
      };
      return outlineEquation(e, store);
    });
    return made.length === 0 ? [tensor] : [...made, { ...tensor, source: { kind: 'computed', equations } }];
  });
  return { ...program, tensors };
}

/**
 * An equation that stores `value` over the axes that it depends on, and those axes. Axes that a condition ties to them come along:
 * without it a load may lie outside its tensor.
 */
function storing(value: Expression, { axes, domain }: Equation): { equation: Equation; axes: readonly number[] } {
  const used = new Set(axesOf(value));
  for (let size = -1; size !== used.size; ) {
    size = used.size;
    for (const c of domain) {
      const own = constraintAxes(c);
      if (own.some((axis) => used.has(axis))) for (const axis of own) used.add(axis);
    }
  }
  const kept = [...used].sort((a, b) => a - b);
  const rename = { affine: axisRenaming(invert(kept)) };
  const equation = makeEquation({
    axes: kept.map((axis) => axes[axis]),
    domain: domain
      .filter((c) => constraintAxes(c).some((axis) => used.has(axis)))
      .map((c) => rewriteConstraint(c, rename)),
    store: kept.map((_, position) => axisIndex(position)),
    value: rewriteExpression(value, rename),
  });
  return { equation, axes: kept };
}

/** Positions by axis of a list of axes by position; a hole where an axis is not among them. */
function invert(axes: readonly number[]): readonly number[] {
  const positions: number[] = [];
  axes.forEach((axis, position) => {
    positions[axis] = position;
  });
  return positions;
}

function outlineEquation(equation: Equation, store: (value: Expression) => Expression): Equation {
  const { value, reducer } = equation;
  const isCompared = reducer === 'max' || reducer === 'min' || reducer === 'product';
  if (isCompared && value.kind !== 'load') return { ...equation, value: store(value) };
  const paired = pairFactors(value, store);
  const isLarge = loads(paired).length * nodeCount(paired) > largeDerivative;
  if (!isLarge) return paired === value ? equation : { ...equation, value: paired };
  if (reducer === 'logsumexp') return { ...equation, value: store(paired) };
  return { ...equation, value: outlineOperands(paired, store) };
}

/** The expression with every long product made of two halves, stored, and those of halves of theirs. */
function pairFactors(e: Expression, store: (value: Expression) => Expression): Expression {
  const go = (part: Expression): Expression => pairFactors(part, store);
  switch (e.kind) {
    case 'constant':
    case 'index':
    case 'load':
    case 'random':
    case 'select':
      // A branch may be evaluated only where it is taken, so nothing of it is stored whole.
      return e;
    case 'sum': {
      const terms = mapSame(e.terms, go);
      return terms === e.terms ? e : sum(terms);
    }
    case 'product': {
      const factors = mapSame(e.factors, go);
      if (factors.length > longProduct) return inHalves(factors, store);
      return factors === e.factors ? e : product(factors);
    }
    case 'unary': {
      const operand = go(e.operand);
      return operand === e.operand ? e : { ...e, operand };
    }
    case 'binary': {
      const [left, right] = [go(e.left), go(e.right)];
      return left === e.left && right === e.right ? e : { ...e, left, right };
    }
    default:
      return e satisfies never;
  }
}

function inHalves(factors: readonly Expression[], store: (value: Expression) => Expression): Expression {
  const middle = Math.ceil(factors.length / 2);
  const half = (part: readonly Expression[]): Expression =>
    part.length === 1 ? (part[0] as Expression) : store(inHalves(part, store));
  return product([half(factors.slice(0, middle)), half(factors.slice(middle))]);
}

/** Stores the large operands of what is not linear in them; a sum's terms, and a lone factor beside constants, stay. */
function outlineOperands(e: Expression, store: (value: Expression) => Expression): Expression {
  const go = (part: Expression): Expression => outlineOperands(part, store);
  const outlined = (part: Expression): Expression =>
    part.kind !== 'load' && loads(part).length >= largeOperand ? store(part) : go(part);
  switch (e.kind) {
    case 'constant':
    case 'index':
    case 'load':
    case 'random':
      return e;
    case 'sum':
      return sum(e.terms.map(go));
    case 'product': {
      const linear = e.factors.filter((factor) => factor.kind !== 'constant').length === 1;
      return product(e.factors.map(linear ? go : outlined));
    }
    case 'unary':
      return { ...e, operand: outlined(e.operand) };
    case 'binary':
      return { ...e, left: outlined(e.left), right: outlined(e.right) };
    case 'select':
      // A branch may be evaluated only where it is taken, so nothing of it is stored whole.
      return e;
    default:
      return e satisfies never;
  }
}

function nodeCount(e: Expression): number {
  let count = 1;
  for (const child of children(e)) count += nodeCount(child);
  return count;
}
