/**
 * An equation as Python: the frame is the axes of the result, then those that are reduced; the value is computed over it, what a
 * condition excludes is masked, the last dimensions are reduced, and what comes out is laid where the store map says.
 *
 *   y[b, i] sum= W[i, j] * x[b, j]                     torch.einsum("ij,bj->bi", W, x)
 *   l[t] logsumexp= S[t, u]   where t - u >= 0         _logsumexp(S, t[:, None] >= u, 1)
 *   y[b, 4*k + p] sum= U[k, p, r] * z[k, b, r]         torch.einsum("kpr,kbr->bkp", U, z).flatten(1, 2)
 *
 * The trap: a contraction has no mask of its own: one operand takes it, the one that has most of its axes.
 */
import { asAxis, range } from '../../ir/affine.ts';
import { factorsOf } from '../../ir/contraction.ts';
import { storeAxes } from '../../ir/equation.ts';
import { axesOf, constraintAxes } from '../../ir/expression.ts';
import type { Constraint, Equation, Expression, Index, Reducer } from '../../ir/program.ts';
import { conjunction, literal, productOf, real, termOf, where } from './expression.ts';
import { digitsOf, indexTerm, type Operand, operandOf } from './operand.ts';
import { binding, tuple, within } from './python.ts';
import { atom, type EquationScope, type HelperName, NotExpressible, type Term } from './scope.ts';

/** The tensor that an equation adds to. */
export interface Target {
  readonly shape: readonly number[];
  /** The same as text: a free size is a variable. */
  readonly dimensions: readonly string[];
  readonly isInteger: boolean;
}

/** Python for what the equation adds to its tensor. Throws NotExpressible. */
export function equationText(equation: Equation, target: Target, scope: EquationScope): string {
  if (equation.axes.some(({ symbol }) => symbol !== undefined)) {
    throw new NotExpressible('an axis whose one value is known only when it runs has no equal here', scope.span);
  }
  const placing = placingOf(equation, target.shape);
  const stored = placing.axes;
  const reduced = equation.axes.map((_, axis) => axis).filter((axis) => !stored.includes(axis));
  const result = reducedTerm(equation, stored, reduced, scope);
  const typed = target.isInteger ? result : real(result);
  if (placing.kind === 'scattered' && equation.reducer !== 'sum') {
    throw new NotExpressible(
      `a ${equation.reducer} over elements that the left side brings together has no equal here`,
      scope.span,
    );
  }
  return placed(filled(typed, stored, scope, target.isInteger), placing, equation, target, scope);
}

function reducedTerm(
  equation: Equation,
  stored: readonly number[],
  reduced: readonly number[],
  scope: EquationScope,
): Term {
  const { reducer, value, domain } = equation;
  if (reducer === 'sum') {
    const contracted = reduced.length === 0 ? undefined : contraction(equation, stored, reduced, scope);
    return contracted ?? plainSum(value, domain, stored, reduced, scope);
  }
  const frame = [...stored, ...reduced];
  const keep = conjunction(domain, frame, scope);
  const values = filled(real(termOf(value, frame, { ...scope, keep })), frame, scope, false);
  // Of one value it is the value itself, of none 0.
  if (reduced.length === 0) return where(keep, values, literal(0));
  const count = reduced.length;
  if (keep.value === 1) return { ...atom(reduction(reducer, values, count)), kind: 'real', axes: new Set(stored) };
  const helper = scope.helper(helpers[reducer]);
  return { ...atom(`${helper}(${values.text}, ${keep.text}, ${count})`), kind: 'real', axes: new Set(stored) };
}

const helpers: Readonly<Record<Exclude<Reducer, 'sum'>, HelperName>> = {
  product: 'prod',
  max: 'amax',
  min: 'amin',
  logsumexp: 'logsumexp',
};

function reduction(reducer: Exclude<Reducer, 'sum'>, values: Term, count: number): string {
  const text = within(values, binding.atom);
  switch (reducer) {
    case 'product':
      return `${text}${count > 1 ? `.flatten(-${count})` : ''}.prod(-1)`;
    case 'max':
      return `${text}.amax(${lastDimensions(count)})`;
    case 'min':
      return `${text}.amin(${lastDimensions(count)})`;
    case 'logsumexp':
      return `torch.logsumexp(${values.text}, ${lastDimensions(count)})`;
    default:
      return reducer satisfies never;
  }
}

/** `-1`, `(-2, -1)`. */
function lastDimensions(count: number): string {
  return count === 1 ? '-1' : tuple(Array.from({ length: count }, (_, i) => String(i - count)));
}

function plainSum(
  value: Expression,
  domain: readonly Constraint[],
  stored: readonly number[],
  reduced: readonly number[],
  scope: EquationScope,
): Term {
  const frame = [...stored, ...reduced];
  if (reduced.length === 0) return masked(value, domain, frame, scope);
  const { constant, factors } = factorsOf(value);
  const summed = real(masked({ kind: 'product', factors }, domain, frame, scope));
  const whole = filled(summed, frame, scope, false);
  const sum = atom(`${within(whole, binding.atom)}.sum(${lastDimensions(reduced.length)})`);
  return productOf([literal(constant), { ...sum, kind: 'real', axes: new Set(stored) }]);
}

/** 0 where the domain excludes a point. */
function masked(
  value: Expression,
  domain: readonly Constraint[],
  frame: readonly number[],
  scope: EquationScope,
): Term {
  const keep = conjunction(domain, frame, scope);
  const only = value.kind === 'product' && value.factors.length === 1 ? value.factors[0] : value;
  if (keep.value === undefined && only.kind === 'unary' && only.operator === 'exp') {
    const exponent = where(
      keep,
      real(termOf(only.operand, frame, { ...scope, keep })),
      literal(Number.NEGATIVE_INFINITY),
    );
    return { ...atom(`torch.exp(${exponent.text})`), kind: 'real', axes: exponent.axes };
  }
  return where(keep, termOf(value, frame, { ...scope, keep }), literal(0));
}

/** One of fewer than two operands is none. */
function contraction(
  { value, domain }: Equation,
  stored: readonly number[],
  reduced: readonly number[],
  scope: EquationScope,
): Term | undefined {
  const { constant, factors } = factorsOf(value);
  const operands = factors.filter((factor) => axesOf(factor).length > 0);
  if (operands.length < 2) return undefined;
  const scalars = factors.filter((factor) => axesOf(factor).length === 0);
  // What speaks of the result's axes alone masks the result, the rest an operand.
  const outside = domain.filter((c) => constraintAxes(c).every((axis) => stored.includes(axis)));
  const inside = domain.filter((c) => !outside.includes(c));
  const taken = operands.map((): Constraint[] => []);
  for (const constraint of inside) {
    const wanted = constraintAxes(constraint);
    const missing = operands.map((e) => wanted.filter((axis) => !axesOf(e).includes(axis)).length);
    taken[missing.indexOf(Math.min(...missing))].push(constraint);
  }
  const own = operands.map((e, i) =>
    [...new Set([...axesOf(e), ...taken[i].flatMap(constraintAxes)])].sort((a, b) => a - b),
  );
  const used = new Set(own.flat());
  // An axis that no operand has only multiplies.
  const times = reduced.filter((axis) => !used.has(axis)).map(scope.extent);
  const letters = lettersFor(scope, [...used]);
  if (letters === undefined) return undefined;
  const spelled = (axes: readonly number[]) => axes.map((axis) => letters.get(axis)).join('');
  const kept = stored.filter((axis) => used.has(axis));
  const parts = operands.map((e, i) => contracted(e, taken[i], own[i], scope));
  const subscripts = parts.map(({ axes }) => spelled(axes)).join(',');
  const texts = parts.map(({ text }) => text).join(', ');
  const einsum = `torch.einsum("${subscripts}->${spelled(kept)}", ${texts})`;
  const missing = stored.map((axis) => (used.has(axis) ? ':' : 'None'));
  const text = missing.includes('None') ? `${einsum}[${missing.join(', ')}]` : einsum;
  const product = productOf([
    literal(constant),
    ...scalars.map((factor) => termOf(factor, stored, scope)),
    ...times.map((extent): Term => ({ ...atom(extent), kind: 'real', axes: new Set() })),
    { ...atom(text), kind: 'real', axes: used },
  ]);
  return where(conjunction(outside, stored, scope), product, literal(0));
}

/** Its dimensions in whatever order they lie, where it is a tensor as it stands. */
function contracted(
  e: Expression,
  domain: readonly Constraint[],
  axes: readonly number[],
  scope: EquationScope,
): Operand {
  if (e.kind === 'load' && domain.length === 0 && !scope.tensor(e.tensor).isInteger) {
    return operandOf(e.tensor, e.indices, scope);
  }
  return { text: filled(real(masked(e, domain, axes, scope)), axes, scope, false).text, axes };
}

const alphabet = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** The axes' own names where those are letters, others from the alphabet; undefined where it has too few. */
function lettersFor({ axes }: EquationScope, used: readonly number[]): ReadonlyMap<number, string> | undefined {
  if (used.length > alphabet.length) return undefined;
  const letters = new Map<number, string>();
  const taken = new Set<string>();
  const give = (axis: number, letter: string) => {
    letters.set(axis, letter);
    taken.add(letter);
  };
  for (const axis of used) {
    const { name } = axes[axis];
    if (/^[a-zA-Z]$/.test(name) && !taken.has(name)) give(axis, name);
  }
  for (const axis of used) {
    if (!letters.has(axis)) give(axis, [...alphabet].find((letter) => !taken.has(letter)) as string);
  }
  return letters;
}

/** With all the dimensions of its frame, whatever it was computed from. */
function filled(term: Term, frame: readonly number[], scope: EquationScope, isInteger: boolean): Term {
  const shape = tuple(frame.map(scope.extent));
  if (term.kind === 'literal') {
    const dtype = isInteger ? '' : ', dtype=dtype';
    const text = frame.length === 0 ? '()' : shape;
    return { ...atom(`torch.full(${text}, ${term.text}${dtype}, device=device)`), kind: 'real', axes: new Set(frame) };
  }
  if (frame.every((axis) => term.axes.has(axis))) return term;
  return { ...term, ...atom(`${within(term, binding.atom)}.expand(${shape})`), axes: new Set(frame) };
}

/** Where the store map lays a result whose dimensions are `axes`. */
type Placing =
  /** Each dimension of the tensor is some of them, as digits, from `start` on in steps; an axis in two places makes a diagonal. */
  | {
      readonly kind: 'laid';
      readonly axes: readonly number[];
      readonly dimensions: readonly Laid[];
      readonly twice: readonly number[];
    }
  /** Element by element. */
  | { readonly kind: 'scattered'; readonly axes: readonly number[] };

interface Laid {
  readonly digits: readonly number[];
  readonly start: number;
  readonly step: number;
  readonly isWhole: boolean;
}

function placingOf(equation: Equation, shape: readonly number[]): Placing {
  const { store, axes } = equation;
  const dimensions = store.map((index, d) => laid(index, shape[d], equation));
  const digits = dimensions.flatMap((found) => found?.digits ?? []);
  const [once, twice] = [1, 2].map((times) =>
    [...new Set(digits)].filter((axis) => digits.filter((other) => other === axis).length === times),
  );
  const isLaid = dimensions.every((found) => found !== undefined) && digits.length === once.length + 2 * twice.length;
  // Those that make diagonals lie last, where `diag_embed` takes them from.
  if (isLaid) return { kind: 'laid', axes: [...once, ...twice], dimensions: dimensions as readonly Laid[], twice };
  // Single axes come in the order of the dimensions, so that a plain part of the map stays one.
  const first = store.flatMap((index) => (index.kind === 'affine' ? (asAxis(index) ?? []) : []));
  const ordered = [...new Set([...first, ...storeAxes(equation)])].filter((axis) => axis < axes.length);
  return { kind: 'scattered', axes: ordered };
}

function laid(index: Index, extent: number, { axes }: Equation): Laid | undefined {
  if (index.kind !== 'affine') return undefined;
  const found = digitsOf(index, axes);
  const { min, max } = range(index, axes);
  if (found === undefined || min < 0 || max >= extent) return undefined;
  const isWhole = min === 0 && max === extent - 1 && found.step === 1 && found.digits.length > 0;
  return { ...found, start: index.constant, isWhole };
}

function placed(result: Term, placing: Placing, { store }: Equation, target: Target, scope: EquationScope): string {
  if (placing.kind === 'laid') {
    const joined = joinedDigits(diagonals(result, placing), placing.dimensions);
    if (placing.dimensions.every(({ isWhole }) => isWhole)) return joined;
    const slices = placing.dimensions.map(({ digits, start, step, isWhole }) => {
      if (isWhole) return 'slice(None)';
      const count = digits.reduce((product, axis) => product * scope.axes[axis].extent, 1);
      return `slice(${start}, ${start + step * (count - 1) + 1}${step === 1 ? '' : `, ${step}`})`;
    });
    return `${scope.helper('placed')}(${joined}, ${tuple(target.dimensions)}, ${slices.join(', ')})`;
  }
  const indices = store.map((index, d) => storedAt(index, target.shape[d], placing.axes, scope));
  return `${scope.helper('scattered')}(${result.text}, ${tuple(target.dimensions)}, ${indices.join(', ')})`;
}

/** Each axis that stands twice as the diagonal of two dimensions. */
function diagonals(result: Term, { dimensions, twice }: Placing & { readonly kind: 'laid' }): Term {
  const digits = dimensions.flatMap((laidOut) => laidOut.digits);
  let { text } = result;
  for (const [i, axis] of [...twice.entries()].reverse()) {
    // In their places are so far all but those that are still to be doubled.
    const present = digits.filter((other) => !twice.slice(0, i).includes(other));
    text = `torch.diag_embed(${text}, 0, ${present.indexOf(axis)}, ${present.lastIndexOf(axis)})`;
  }
  return twice.length === 0 ? result : { ...result, ...atom(text) };
}

/** One dimension for each of the tensor's. */
function joinedDigits(result: Term, dimensions: readonly Laid[]): string {
  const calls = dimensions.map(({ digits }, d) => {
    if (digits.length === 0) return `.unsqueeze(${d})`;
    return digits.length === 1 ? '' : `.flatten(${d}, ${d + digits.length - 1})`;
  });
  const text = calls.join('');
  return text === '' ? result.text : within(result, binding.atom) + text;
}

function storedAt(index: Index, extent: number, frame: readonly number[], scope: EquationScope): string {
  const term = indexTerm(index, frame, scope);
  if (term.kind === 'literal') return `torch.full((), ${term.text}, device=device)`;
  return scope.isGuarded ? `${within(term, binding.atom)}.clamp(0, ${extent - 1})` : term.text;
}
