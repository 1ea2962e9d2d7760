/**
 * Scalar expressions as WGSL f32, with as few parentheses as a person would write.
 *
 * The trap: `select` evaluates both of its branches, so the offset of a load that lies inside its tensor only in the
 * branch taken is clamped.
 */
import { product, sum } from '../../compiler/ir/expression.ts';
import type { Condition, Expression, UnaryOperator } from '../../compiler/ir/program.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { atom, f32Literal, type Piece, paren } from '../wgsl/text.ts';
import { affineText, constraintText, loadText } from './address.ts';
import type { Scope } from './scope.ts';
import { isWhole, realOfWhole, wholeComparison, wholeNumber } from './whole.ts';

/** Unary operators that are a call of the library's function. */
const libraryFunctions = {
  exp: 'exp_f32',
  log: 'log_f32',
  sign: 'sign_f32',
  tanh: 'tanh_f32',
  erf: 'erf_f32',
  sigmoid: 'sigmoid_f32',
  relu: 'relu_f32',
  gelu: 'gelu_f32',
  silu: 'silu_f32',
} as const;

/** And those that WGSL's own does right on every device. */
const ownFunctions = { sqrt: 'sqrt', rsqrt: 'inverseSqrt', abs: 'abs' } as const;

/** By exponent: functions, so that a long base is written once. */
const integerPowers: readonly (string | undefined)[] = [
  undefined,
  undefined,
  'square_f32',
  'cube_f32',
  'power_4_f32',
  'power_5_f32',
  'power_6_f32',
  'power_7_f32',
  'power_8_f32',
];

export function expressionText(e: Expression, scope: Scope): string {
  return pieceOf(e, scope).text;
}

/** `name * factor`. */
export function multiplied(name: string, factor: Expression, scope: Scope): string {
  return `${name} * ${paren(pieceOf(factor, scope), 'unary')}`;
}

/** An expression as i32, exact where it is whole by its making, else cut off. */
export function integerText(e: Expression, scope: Scope): string {
  return wholeNumber(e, scope) ?? `i32(${expressionText(e, scope)})`;
}

function pieceOf(e: Expression, scope: Scope): Piece {
  const known = scope.known?.get(e);
  if (known !== undefined) return atom(known);
  const whole = keepsWhole(e) ? realOfWhole(e, scope) : undefined;
  if (whole !== undefined) return atom(whole);
  switch (e.kind) {
    case 'constant':
      return constantPiece(e.value, scope);
    case 'index':
      return atom(`f32(${affineText(e.affine, scope)})`);
    case 'load':
      return atom(loadText(e, scope));
    case 'sum':
      return { text: sumText(wholeTogether(e.terms, scope), scope), precedence: 'sum' };
    case 'product':
      return { text: productText(e.factors, scope), precedence: 'product' };
    case 'unary':
      return unaryPiece(e.operator, e.operand, scope);
    case 'binary':
      return binaryPiece(e, scope);
    case 'select': {
      const inner = e.condition.kind === 'domain' ? { ...scope, unguarded: true } : scope;
      const otherwise = expressionText(e.otherwise, inner);
      return atom(`select(${otherwise}, ${expressionText(e.then, inner)}, ${conditionText(e.condition, scope)})`);
    }
    case 'random': {
      const call = libraryCall(`${e.distribution}_f32`, scope.emitter);
      const [seed, step] = [integerText(e.seed, scope), integerText(e.step, scope)];
      return atom(`${call}(${seed}, ${e.stream >>> 0}u, ${affineText(e.element, scope)}, ${step})`);
    }
    default:
      return e satisfies never;
  }
}

/**
 * Where the parts may round apart and not the whole: a difference may be small where they are not. A choice, an extreme and a
 * product lose nothing by parts that are rounded before.
 */
function keepsWhole(e: Expression): boolean {
  return e.kind === 'sum' || (e.kind === 'binary' && (e.operator === 'quotient' || e.operator === 'remainder'));
}

/** In a sum that holds reals too, the whole terms as one. */
function wholeTogether(terms: readonly Expression[], scope: Scope): readonly Expression[] {
  const whole = terms.filter((term) => term.kind !== 'constant' && isWhole(term, scope));
  if (whole.length < 2 || whole.length === terms.length) return terms;
  const [first] = whole;
  return terms.flatMap((term) => (term === first ? [sum(whole)] : whole.includes(term) ? [] : [term]));
}

function constantPiece(value: number, { emitter }: Scope): Piece {
  if (Number.isNaN(value)) return atom(`${libraryCall('nan_f32', emitter)}()`);
  if (Math.abs(value) !== Number.POSITIVE_INFINITY)
    return { text: f32Literal(value), precedence: value < 0 ? 'unary' : 'atom' };
  const call = `${libraryCall('infinity_f32', emitter)}()`;
  return value < 0 ? { text: `-${call}`, precedence: 'unary' } : atom(call);
}

/** The trap: NaN is unequal to everything, but WGSL's `!=` may be false of it, so unequal is written as not equal. */
export function conditionText(condition: Condition, scope: Scope): string {
  if (condition.kind === 'domain') {
    const [first, ...others] = condition.constraints.map((c) => constraintText(c, scope));
    if (first === undefined) return 'true';
    // No `&&`: it is a branch, see library.ts.
    return others.length === 0 ? first : [first, ...others].map((text) => `(${text})`).join(' & ');
  }
  const whole = wholeComparison(condition, scope);
  if (whole !== undefined) return whole;
  const { operator, left, right } = condition;
  const [a, b] = [left, right].map((side) => paren(pieceOf(side, scope), 'sum'));
  return operator === '!=' ? `!(${a} == ${b})` : `${a} ${operator} ${b}`;
}

function sumText(terms: readonly Expression[], scope: Scope): string {
  return terms
    .map((term, i) => {
      const subtracted = i === 0 ? undefined : negated(term);
      if (subtracted) return ` - ${paren(pieceOf(subtracted, scope), 'unary')}`;
      return (i === 0 ? '' : ' + ') + paren(pieceOf(term, scope), 'product');
    })
    .join('');
}

/** The expression whose negation this is, where it is written as one. */
function negated(e: Expression): Expression | undefined {
  if (e.kind === 'constant') return e.value < 0 ? { kind: 'constant', value: -e.value } : undefined;
  if (e.kind === 'unary') return e.operator === 'negate' ? e.operand : undefined;
  const first = e.kind === 'product' ? e.factors[0] : undefined;
  if (e.kind !== 'product' || first?.kind !== 'constant' || first.value >= 0) return undefined;
  return product([{ kind: 'constant', value: -first.value }, ...e.factors.slice(1)]);
}

function productText(factors: readonly Expression[], scope: Scope): string {
  const [first, second, ...rest] = factors;
  const times = (list: readonly Expression[]): string[] => list.map((f) => paren(pieceOf(f, scope), 'unary'));
  if (first!.kind === 'constant' && first!.value === -1 && second !== undefined)
    return [`-${paren(pieceOf(second, scope), 'atom')}`, ...times(rest)].join(' * ');
  return times(factors).join(' * ');
}

function unaryPiece(operator: UnaryOperator, operand: Expression, scope: Scope): Piece {
  switch (operator) {
    case 'negate':
      return { text: `-${paren(pieceOf(operand, scope), 'atom')}`, precedence: 'unary' };
    case 'sin':
    case 'cos': {
      const call = libraryCall('sincos_f32', scope.emitter);
      return atom(`${call}(${expressionText(operand, scope)}).${operator === 'sin' ? 'x' : 'y'}`);
    }
    case 'sqrt':
    case 'rsqrt':
    case 'abs':
      return atom(`${ownFunctions[operator]}(${expressionText(operand, scope)})`);
    default:
      return atom(`${libraryCall(libraryFunctions[operator], scope.emitter)}(${expressionText(operand, scope)})`);
  }
}

function binaryPiece(e: Extract<Expression, { kind: 'binary' }>, scope: Scope): Piece {
  const left = pieceOf(e.left, scope);
  switch (e.operator) {
    case 'divide':
      return { text: `${paren(left, 'product')} / ${paren(pieceOf(e.right, scope), 'unary')}`, precedence: 'product' };
    case 'minimum':
    case 'maximum': {
      const call = libraryCall(e.operator === 'minimum' ? 'min_f32' : 'max_f32', scope.emitter);
      return atom(`${call}(${left.text}, ${expressionText(e.right, scope)})`);
    }
    case 'power':
      return powerPiece(left, e.right, scope);
    case 'quotient':
    case 'remainder':
      throw new Error(`a ${e.operator} of what may not be whole`);
    default:
      return e.operator satisfies never;
  }
}

/** Integer powers up to 8 are products, ±1/2 are roots, so that a negative base and exact squares work everywhere. */
function powerPiece(base: Piece, exponent: Expression, scope: Scope): Piece {
  if (exponent.kind === 'constant') {
    const p = exponent.value;
    if (p === 0.5) return atom(`sqrt(${base.text})`);
    if (p === -0.5) return atom(`inverseSqrt(${base.text})`);
    if (p === 0) return atom('1.0');
    if (p === 1) return base;
    if (p === -1) return { text: `1.0 / ${paren(base, 'unary')}`, precedence: 'product' };
    const name = integerPowers[Math.abs(p)];
    if (name !== undefined) {
      const text = `${libraryCall(name, scope.emitter)}(${base.text})`;
      return p > 0 ? atom(text) : { text: `1.0 / ${text}`, precedence: 'product' };
    }
  }
  return atom(`${libraryCall('power_f32', scope.emitter)}(${base.text}, ${expressionText(exponent, scope)})`);
}

/** Name of a function of `library.ts`, which goes along with the kernel from here on. */
function libraryCall(name: string, emitter: Emitter): string {
  emitter.use(name);
  return name;
}
