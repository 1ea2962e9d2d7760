/**
 * Scalar expressions as Python over whole tensors: each leaf is brought into the frame of the equation, and PyTorch broadcasts.
 *
 *   -slope[h] * (t - u)   over h, t, u   →   -slope[:, None, None] * (t[:, None] - u)
 *
 * The traps: what a condition excludes is computed all the same, and differentiated: an infinite slope there times a cotangent of 0 is not a
 * number. So where a function has one, its argument is 1 there. PyTorch makes integers real by its default dtype, not by that of the module, so an integer
 * that meets no real tensor is made real here. And a tensor and a literal have other functions than two tensors: `clamp` for `maximum`.
 */
import type {
  Affine,
  BinaryOperator,
  ComparisonOperator,
  Condition,
  Constraint,
  Expression,
  UnaryOperator,
} from '../../ir/program.ts';
import { binaryFunctions, comparisons, unaryFunctions } from '../../ir/scalar.ts';
import { aligned, operandOf } from './operand.ts';
import { binding, numberText, within } from './python.ts';
import { atom, type EquationScope, NotExpressible, type Term } from './scope.ts';

type Frame = readonly number[];

const functions: Readonly<Record<Exclude<UnaryOperator, 'negate'>, string>> = {
  exp: 'torch.exp',
  log: 'torch.log',
  sqrt: 'torch.sqrt',
  rsqrt: 'torch.rsqrt',
  abs: 'torch.abs',
  sign: 'torch.sign',
  tanh: 'torch.tanh',
  erf: 'torch.erf',
  sigmoid: 'torch.sigmoid',
  relu: 'torch.relu',
  gelu: 'functional.gelu',
  silu: 'functional.silu',
  sin: 'torch.sin',
  cos: 'torch.cos',
};
/** Whole numbers of whole numbers. */
const wholeFunctions: readonly UnaryOperator[] = ['abs', 'sign', 'relu'];

export function literal(value: number): Term {
  return {
    text: numberText(value),
    binding: value < 0 ? binding.negation : binding.atom,
    kind: 'literal',
    axes: new Set(),
    value,
  };
}

export function termOf(e: Expression, frame: Frame, scope: EquationScope): Term {
  switch (e.kind) {
    case 'constant':
      return literal(e.value);
    case 'index':
      return positions(e.affine, frame, scope);
    case 'load': {
      const { isInteger, alwaysFinite } = scope.tensor(e.tensor);
      return tame(
        aligned(operandOf(e.tensor, e.indices, scope), frame, isInteger ? 'integer' : 'real'),
        !alwaysFinite,
        scope,
      );
    }
    case 'sum':
      return sumOf(e.terms.map((term) => termOf(term, frame, scope)));
    case 'product':
      return productOf(e.factors.map((factor) => termOf(factor, frame, scope)));
    case 'unary':
      return unaryOf(e.operator, tame(termOf(e.operand, frame, scope), singular.includes(e.operator), scope));
    case 'binary': {
      const [left, right] = [e.left, e.right].map((operand) => termOf(operand, frame, scope));
      const isRoot = e.operator === 'power' && !(Number.isInteger(right.value) && (right.value ?? 0) >= 0);
      return binaryOf(e.operator, tame(left, isRoot, scope), tame(right, e.operator === 'divide', scope));
    }
    case 'select': {
      const condition = conditionOf(e.condition, frame, scope);
      if (condition.value !== undefined) return termOf(condition.value === 0 ? e.otherwise : e.then, frame, scope);
      const [then, otherwise] = [
        { branch: e.then, chosen: condition },
        { branch: e.otherwise, chosen: opposite(condition) },
      ].map(({ branch, chosen }) =>
        termOf(branch, frame, {
          ...scope,
          isGuarded: true,
          keep: both(scope.keep === undefined ? [chosen] : [scope.keep, chosen]),
        }),
      );
      return where(condition, then, otherwise);
    }
    case 'random':
      throw new NotExpressible('a draw has no equal in PyTorch: its numbers are defined here, bit by bit', scope.span);
    default:
      return e satisfies never;
  }
}

/** Their slopes are infinite somewhere. */
const singular: readonly UnaryOperator[] = ['exp', 'log', 'sqrt', 'rsqrt'];

/** What may be infinite, or the argument of a function that may be or have an infinite slope: 1 where it is not kept. */
function tame(argument: Term, isSingular: boolean, { keep }: EquationScope): Term {
  const isOpen = isSingular && keep !== undefined && keep.value === undefined && argument.kind !== 'literal';
  return isOpen ? where(keep, real(argument), literal(1)) : argument;
}

function opposite(condition: Term): Term {
  return { ...condition, text: `~(${condition.text})`, binding: binding.atom };
}

const axesOfTerms = (terms: readonly Term[]): ReadonlySet<number> => new Set(terms.flatMap(({ axes }) => [...axes]));

/** Of parts that are computed with: real where one is, or where a literal is not whole. */
function joinedKind(terms: readonly Term[]): Term['kind'] {
  if (terms.every(({ kind }) => kind === 'literal')) return 'literal';
  const isReal = terms.some(({ kind, value }) => kind === 'real' || (value !== undefined && !Number.isInteger(value)));
  return isReal ? 'real' : 'integer';
}

/** Integers that no real tensor makes real. */
function promoted(terms: readonly Term[]): readonly Term[] {
  const isAlone = joinedKind(terms) === 'real' && terms.every(({ kind }) => kind !== 'real');
  return isAlone ? terms.map(real) : terms;
}

/** A term of the module's dtype; a literal stays one. */
export function real(term: Term): Term {
  if (term.kind === 'real' || term.kind === 'literal') return term;
  return { ...atom(`${within(term, binding.atom)}.to(dtype)`), kind: 'real', axes: term.axes };
}

export function sumOf(given: readonly Term[]): Term {
  const literals = given.filter(({ kind }) => kind === 'literal');
  const constant = literals.reduce((total, { value = 0 }) => total + value, 0);
  const others = promoted(given).filter(({ kind }) => kind !== 'literal');
  if (others.length === 0) return literal(constant);
  const parts = constant === 0 ? others : [...others, literal(constant)];
  if (parts.length === 1) return parts[0];
  // A difference reads best with what is taken away last.
  const isNegative = ({ text }: Term) => text.startsWith('-');
  const ordered = [...parts.filter((part) => !isNegative(part)), ...parts.filter(isNegative)];
  const text = ordered
    .map((part, i) => {
      const own = within(part, i > 0 && isNegative(part) ? binding.product : binding.sum);
      if (i === 0) return own;
      return own.startsWith('-') ? ` - ${own.slice(1)}` : ` + ${own}`;
    })
    .join('');
  return { text, binding: binding.sum, kind: joinedKind(parts), axes: axesOfTerms(parts) };
}

export function productOf(given: readonly Term[]): Term {
  const constant = given.reduce((product, { kind, value = 1 }) => (kind === 'literal' ? product * value : product), 1);
  const others = promoted(given).filter(({ kind }) => kind !== 'literal');
  if (others.length === 0) return literal(constant);
  const isSigned = constant === -1;
  const parts = constant === 1 || isSigned ? others : [literal(constant), ...others];
  if (parts.length === 1 && !isSigned) return parts[0];
  const text = parts.map((part, i) => within(part, i === 0 ? binding.product : binding.negation)).join(' * ');
  const joined: Term = {
    text,
    binding: binding.product,
    kind: joinedKind([literal(constant), ...others]),
    axes: axesOfTerms(parts),
  };
  if (!isSigned) return joined;
  // -(a + b), and -a * b, which is the same as -(a * b).
  return { ...joined, text: `-${text}` };
}

function unaryOf(operator: UnaryOperator, operand: Term): Term {
  if (operand.value !== undefined) return literal(unaryFunctions[operator](operand.value));
  if (operator === 'negate') return productOf([literal(-1), operand]);
  const given = operand.kind === 'integer' && wholeFunctions.includes(operator) ? operand : real(operand);
  return { ...atom(`${functions[operator]}(${given.text})`), kind: given.kind, axes: given.axes };
}

function binaryOf(operator: BinaryOperator, left: Term, right: Term): Term {
  if (left.value !== undefined && right.value !== undefined) {
    return literal(binaryFunctions[operator](left.value, right.value));
  }
  const axes = axesOfTerms([left, right]);
  switch (operator) {
    case 'divide': {
      const [a, b] = [real(left), real(right)];
      const text = `${within(a, binding.product)} / ${within(b, binding.power)}`;
      return { text, binding: binding.product, kind: 'real', axes };
    }
    case 'power': {
      const [a, b] = [real(left), real(right)];
      const text = `${within(a, binding.atom)} ** ${within(b, binding.power)}`;
      return { text, binding: binding.power, kind: 'real', axes };
    }
    case 'minimum':
    case 'maximum': {
      const kind = joinedKind([left, right]);
      const [a, b] = promoted([left, right]);
      const bound = operator === 'minimum' ? 'max' : 'min';
      const [tensor, limit] = a.kind === 'literal' ? [b, a] : [a, b];
      if (limit.kind === 'literal') {
        return { ...atom(`${within(tensor, binding.atom)}.clamp(${bound}=${limit.text})`), kind, axes };
      }
      return { ...atom(`torch.${operator}(${a.text}, ${b.text})`), kind, axes };
    }
    case 'quotient':
      return { ...atom(`torch.div(${left.text}, ${right.text}, rounding_mode="floor")`), kind: 'integer', axes };
    case 'remainder': {
      const divisor = right.value === undefined ? `torch.abs(${right.text})` : String(Math.abs(right.value));
      // Of a literal by a tensor there is no function.
      const dividend = left.kind === 'literal' ? `torch.full_like(${right.text}, ${left.text})` : left.text;
      return { ...atom(`torch.remainder(${dividend}, ${divisor})`), kind: 'integer', axes };
    }
    default:
      return operator satisfies never;
  }
}

export function where(condition: Term, then: Term, otherwise: Term): Term {
  if (condition.value !== undefined) return condition.value !== 0 ? then : otherwise;
  const [a, b] = promoted([then, otherwise]);
  const kind = joinedKind([a, b]);
  const own = kind === 'literal' ? 'real' : kind;
  // One of the branches must be a tensor.
  const text =
    a.kind === 'literal' && b.kind === 'literal' ? `torch.full((), ${a.text}, dtype=dtype, device=device)` : a.text;
  const axes = axesOfTerms([condition, a, b]);
  return { ...atom(`torch.where(${condition.text}, ${text}, ${b.text})`), kind: own, axes };
}

const truth = (holds: boolean): Term => ({ ...literal(holds ? 1 : 0), text: holds ? 'True' : 'False' });

export function conditionOf(condition: Condition, frame: Frame, scope: EquationScope): Term {
  if (condition.kind === 'domain') return conjunction(condition.constraints, frame, scope);
  const [left, right] = [condition.left, condition.right].map((side) => termOf(side, frame, scope));
  return comparison(condition.operator, left, right);
}

/** A literal where nothing is asked, or no tensor. */
export function conjunction(constraints: readonly Constraint[], frame: Frame, scope: EquationScope): Term {
  const parts = constraints.map((constraint) => constraintOf(constraint, frame, scope));
  if (parts.some(({ value }) => value === 0)) return truth(false);
  return both(parts);
}

function both(conditions: readonly Term[]): Term {
  const open = conditions.filter(({ value }) => value === undefined);
  if (open.length === 0) return truth(true);
  if (open.length === 1) return open[0];
  const text = open.map((part) => within(part, binding.atom)).join(' & ');
  return { text, binding: binding.comparison, kind: 'boolean', axes: axesOfTerms(open) };
}

function constraintOf(constraint: Constraint, frame: Frame, scope: EquationScope): Term {
  if (constraint.kind === 'data') {
    const { operator, left, right } = constraint;
    return comparison(operator, termOf(left, frame, scope), termOf(right, frame, scope));
  }
  const { constant, terms } = constraint.affine;
  // What is added stands on the left, what is taken away on the right.
  const side = (sign: 1 | -1, own: number): Term =>
    positions(
      {
        kind: 'affine',
        constant: own,
        terms: terms.flatMap(({ axis, coefficient }) =>
          coefficient * sign > 0 ? [{ axis, coefficient: coefficient * sign }] : [],
        ),
      },
      frame,
      scope,
    );
  // a - b - 1 >= 0 is a > b.
  const isStrict = constraint.kind === 'nonnegative' && constant === -1;
  const operators = { nonnegative: isStrict ? '>' : '>=', zero: '==', nonzero: '!=' } as const;
  const [left, right] = isStrict ? [0, 0] : [Math.max(constant, 0), Math.max(-constant, 0)];
  return comparison(operators[constraint.kind], side(1, left), side(-1, right));
}

const turned: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
  '==': '==',
  '!=': '!=',
};

function comparison(operator: ComparisonOperator, left: Term, right: Term): Term {
  if (left.value !== undefined && right.value !== undefined) {
    return truth(comparisons[operator](left.value, right.value));
  }
  if (left.kind === 'literal') return comparison(turned[operator], right, left);
  const text = `${within(left, binding.sum)} ${operator} ${within(right, binding.sum)}`;
  return { text, binding: binding.comparison, kind: 'boolean', axes: axesOfTerms([left, right]) };
}

/** An affine expression of axes as whole numbers. */
export function positions({ constant, terms }: Affine, frame: Frame, scope: EquationScope): Term {
  const parts = terms.map(({ axis, coefficient }) => {
    const position = aligned(
      { text: scope.position(scope.axes[axis].name, scope.extent(axis)), axes: [axis] },
      frame,
      'integer',
    );
    return productOf([literal(coefficient), position]);
  });
  return sumOf([...parts, literal(constant)]);
}
