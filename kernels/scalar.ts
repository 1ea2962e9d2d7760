/**
 * Scalar expressions as WGSL. An `Emitter` knows the bindings of one kernel; a `Scope` says what an axis and a tensor already
 * computed are called at the place where the expression stands. The trap: `select` evaluates both of its branches, so the
 * offset of a load that lies inside its tensor only in the branch taken is clamped.
 */

import { range } from '../compiler/ir/affine.ts';
import { loads, product } from '../compiler/ir/expression.ts';
import type { Affine, Axis, Condition, Constraint, Expression, Gather, Index, Load } from '../compiler/ir/program.ts';
import { elementCount } from '../compiler/ir/program.ts';
import type { KernelBinding, Layouts } from './kernel.ts';
import { libraryCode, libraryNames } from './library.ts';
import type { Target } from './target.ts';
import { f32Literal, identifier, Names } from './wgsl.ts';

/** What an expression's axes and tensors are called where it stands. */
export interface Scope {
  /** A WGSL i32 name, or '0' for an axis of extent 1. */
  readonly axis: (axis: number) => string;
  readonly axes: readonly Axis[];
  /** WGSL f32 for a tensor's element where the kernel holds it in a variable. */
  readonly held?: (load: Load) => string | undefined;
  /** The same as i32, for an i32 tensor. */
  readonly heldInteger?: (load: Load) => string | undefined;
  /** Subexpressions, by identity, whose value is in a variable already. */
  readonly known?: ReadonlyMap<Expression, string>;
  /** The expression is evaluated at points outside its domain too, its value then dropped: offsets are kept inside. */
  readonly unguarded?: boolean;
}

type Precedence = 'sum' | 'product' | 'unary' | 'atom';
const strength: Record<Precedence, number> = { sum: 1, product: 2, unary: 3, atom: 4 };
interface Piece {
  readonly text: string;
  readonly precedence: Precedence;
}

const atom = (text: string): Piece => ({ text, precedence: 'atom' });

function paren(piece: Piece, least: Precedence): string {
  return strength[piece.precedence] >= strength[least] ? piece.text : `(${piece.text})`;
}

/** Row-major strides of a shape, in elements. */
export function strides(shape: readonly number[]): number[] {
  const result = new Array<number>(shape.length).fill(1);
  for (let d = shape.length - 2; d >= 0; d--) result[d] = result[d + 1]! * shape[d + 1]!;
  return result;
}

const unaryCalls: Partial<Record<string, { call: string; library?: string }>> = {
  exp: { call: 'exp' },
  log: { call: 'log_f32', library: 'log_f32' },
  sqrt: { call: 'sqrt' },
  rsqrt: { call: 'inverseSqrt' },
  abs: { call: 'abs' },
  sign: { call: 'sign' },
  tanh: { call: 'tanh_f32', library: 'tanh_f32' },
  erf: { call: 'erf_f32', library: 'erf_f32' },
  sigmoid: { call: 'sigmoid_f32', library: 'sigmoid_f32' },
  gelu: { call: 'gelu_f32', library: 'gelu_f32' },
  silu: { call: 'silu_f32', library: 'silu_f32' },
};

/** What the families' own code calls its functions and variables: a user's tensor of that name is called otherwise. */
const ownNames = [
  ...['main', 'group', 'lane', 'invocation', 'zero', 'partial', 'row_sum', 'row_max', 'row_min'],
  ...['left_operand', 'left_quad', 'right_operand', 'right_quad', 'finish', 'slab_a', 'slab_b'],
  ...libraryNames,
];

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

export class Emitter {
  private readonly names = new Names();
  private readonly slots = new Map<
    string,
    { name: string; tensors: string[]; read: boolean; written: boolean; binding: KernelBinding }
  >();
  private readonly library = new Set<string>();
  private hasHiddenBound = false;

  constructor(
    private readonly layouts: Layouts,
    /** Canonical names make equal kernels equal text: the key under which pipelines are shared. */
    private readonly canonical: boolean,
    private readonly target: Target,
  ) {
    for (const name of ownNames) this.names.fresh(name);
  }

  /** A new WGSL identifier. */
  fresh(name: string): string {
    return this.names.fresh(this.canonical ? 'v' : shortName(name));
  }

  /** A new identifier for a tensor's element: the tensor's own name, unless its buffer has it. */
  value(tensor: string, stored: boolean): string {
    return this.fresh(stored || this.slots.has(this.layouts(tensor).slot) ? `${tensor}_value` : tensor);
  }

  layout(tensor: string): ReturnType<Layouts> {
    return this.layouts(tensor);
  }

  /**
   * A loop's constant bound. Where the driver unrolls loops, `zero` is added, which it does not know to be 0. Only there:
   * on SwiftShader it makes kernels a fifth slower.
   */
  bound(extent: number): string {
    if (!this.target.unrollsLoops) return String(extent);
    this.hasHiddenBound = true;
    return `${extent} + zero`;
  }

  /** The line that `bound` needs at the head of `main`, where it was used. */
  head(): string {
    return this.hasHiddenBound ? 'let zero = min(i32(group.z), 0); // hides the bounds of loops' : '';
  }

  use(libraryFunction: string): void {
    this.library.add(libraryFunction);
  }

  private slot(tensor: string): { name: string; tensors: string[]; read: boolean; written: boolean } {
    const layout = this.layouts(tensor);
    let entry = this.slots.get(layout.slot);
    if (!entry) {
      const name = this.fresh(tensor);
      entry = {
        name,
        tensors: [],
        read: false,
        written: false,
        binding: { slot: layout.slot, tensors: [], access: 'read', dtype: layout.dtype },
      };
      this.slots.set(layout.slot, entry);
    }
    if (!entry.tensors.includes(tensor)) entry.tensors.push(tensor);
    return entry;
  }

  /** WGSL name of the buffer that a tensor is read from. */
  reads(tensor: string): string {
    const slot = this.slot(tensor);
    slot.read = true;
    return slot.name;
  }

  /** Throws for f16: two elements share a word, which no family writes yet. */
  writes(tensor: string): string {
    if (this.layouts(tensor).dtype === 'f16') throw new Error(`${tensor} is f16, which kernels read but do not write`);
    const slot = this.slot(tensor);
    slot.written = true;
    return slot.name;
  }

  bindings(): KernelBinding[] {
    return [...this.slots.values()].map((slot) => ({
      slot: slot.binding.slot,
      tensors: slot.tensors,
      access: slot.written ? 'read_write' : 'read',
      dtype: slot.binding.dtype,
    }));
  }

  /** `@group(0) @binding(i) var<storage, …>` lines. A slot in `readWrite` is bound for writing whatever the kernel does. */
  declarations(readWrite: (slot: string) => boolean): string {
    return [...this.slots.entries()]
      .map(([key, slot], i) => {
        const access = slot.written || readWrite(key) ? 'read_write' : 'read';
        const element = { f32: 'f32', i32: 'i32', f16: 'u32' }[slot.binding.dtype];
        return `@group(0) @binding(${i}) var<storage, ${access}> ${slot.name}: array<${element}>;`;
      })
      .join('\n');
  }

  libraryText(): string {
    return libraryCode(this.library);
  }

  affine(a: Affine, scope: Scope): string {
    return this.affinePiece(a, scope).text;
  }

  private affinePiece(a: Affine, scope: Scope): Piece {
    const parts: { text: string; negative: boolean }[] = [];
    for (const { axis, coefficient } of a.terms) {
      const name = scope.axis(axis);
      if (name === '0') continue;
      const size = Math.abs(coefficient);
      parts.push({ text: size === 1 ? name : `${name} * ${size}`, negative: coefficient < 0 });
    }
    if (a.constant !== 0 || parts.length === 0)
      parts.push({ text: String(Math.abs(a.constant)), negative: a.constant < 0 });
    parts.sort((p, q) => Number(p.negative) - Number(q.negative));
    const text = parts
      .map((p, i) => (i === 0 ? (p.negative ? '-' : '') : p.negative ? ' - ' : ' + ') + p.text)
      .join('');
    const simple = parts.length === 1 && !parts[0]!.negative && /^\w+$/.test(parts[0]!.text);
    return { text, precedence: simple ? 'atom' : 'sum' };
  }

  /** Flat element offset of an element, as a WGSL i32 expression. */
  offset(shape: readonly number[], indices: readonly Index[], scope: Scope): string {
    // One index is a flat offset already, whatever the rank: see linear.ts.
    const stride = indices.length === 1 ? [1] : strides(shape);
    let constant = 0;
    const sum = new Map<number, number>();
    const gathers: string[] = [];
    indices.forEach((index, d) => {
      if (index.kind === 'affine') {
        constant += index.constant * stride[d]!;
        for (const { axis, coefficient } of index.terms) sum.set(axis, (sum.get(axis) ?? 0) + coefficient * stride[d]!);
      } else {
        const value = this.gather(index, scope);
        gathers.push(stride[d] === 1 ? value : `${value} * ${stride[d]}`);
      }
    });
    const terms = [...sum].filter(([, c]) => c !== 0).map(([axis, coefficient]) => ({ axis, coefficient }));
    terms.sort((a, b) => Math.abs(b.coefficient) - Math.abs(a.coefficient));
    const plain = this.affinePiece({ kind: 'affine', constant, terms }, scope).text;
    return gathers.length === 0 ? plain : [...gathers, ...(plain === '0' ? [] : [plain])].join(' + ');
  }

  gather(index: Gather, scope: Scope): string {
    return `${this.reads(index.tensor)}[${this.safeOffset(index.tensor, index.indices, scope)}]`;
  }

  /** `offset`, clamped to the tensor where the scope is unguarded and the axes alone do not keep it inside. */
  private safeOffset(tensor: string, indices: readonly Index[], scope: Scope): string {
    const { shape } = this.layouts(tensor);
    const text = this.offset(shape, indices, scope);
    if (!scope.unguarded) return text;
    const count = elementCount(shape);
    const extents = indices.length === 1 ? [count] : shape;
    const leaves = indices.some((index, d) => {
      if (index.kind === 'gather') return false;
      const { min, max } = range(index, scope.axes);
      return min < 0 || max >= extents[d]!;
    });
    return leaves ? `clamp(${text}, 0, ${count - 1})` : text;
  }

  /** Reads one element as f32. */
  load(load: Load, scope: Scope): string {
    const held = scope.held?.(load);
    if (held !== undefined) return held;
    return this.element(load.tensor, this.safeOffset(load.tensor, load.indices, scope));
  }

  /** The element at a flat offset, as f32. */
  element(tensor: string, offset: string): string {
    const name = this.reads(tensor);
    switch (this.layouts(tensor).dtype) {
      case 'f32':
        return `${name}[${offset}]`;
      case 'i32':
        return `f32(${name}[${offset}])`;
      case 'f16':
        return `unpack2x16float(${name}[(${offset}) / 2])[(${offset}) % 2]`;
    }
  }

  constraint(constraint: Constraint, scope: Scope): string {
    const positive = {
      kind: 'affine' as const,
      constant: 0,
      terms: constraint.affine.terms.filter((t) => t.coefficient > 0),
    };
    const negative = {
      kind: 'affine' as const,
      constant: 0,
      terms: constraint.affine.terms
        .filter((t) => t.coefficient < 0)
        .map((t) => ({ axis: t.axis, coefficient: -t.coefficient })),
    };
    const { constant } = constraint.affine;
    const left = { ...positive, constant: constant > 0 ? constant : 0 };
    const right = { ...negative, constant: constant < 0 ? -constant : 0 };
    const operator = { nonnegative: '>=', zero: '==', nonzero: '!=' }[constraint.kind];
    return `${this.affine(left, scope)} ${operator} ${this.affine(right, scope)}`;
  }

  condition(condition: Condition, scope: Scope): string {
    if (condition.kind === 'domain') {
      if (condition.constraints.length === 0) return 'true';
      return condition.constraints.map((c) => this.constraint(c, scope)).join(' && ');
    }
    const { operator, left, right } = condition;
    return `${paren(this.piece(left, scope), 'sum')} ${operator} ${paren(this.piece(right, scope), 'sum')}`;
  }

  expression(expression: Expression, scope: Scope): string {
    return this.piece(expression, scope).text;
  }

  /** `name * factor`. */
  multiplied(name: string, factor: Expression, scope: Scope): string {
    return `${name} * ${paren(this.piece(factor, scope), 'unary')}`;
  }

  private piece(e: Expression, scope: Scope): Piece {
    const known = scope.known?.get(e);
    if (known !== undefined) return atom(known);
    switch (e.kind) {
      case 'constant':
        return e.value < 0 ? { text: f32Literal(e.value), precedence: 'unary' } : atom(f32Literal(e.value));
      case 'index':
        return atom(`f32(${this.affine(e.affine, scope)})`);
      case 'load':
        return atom(this.load(e, scope));
      case 'sum':
        return { text: this.sumText(e.terms, scope), precedence: 'sum' };
      case 'product':
        return { text: this.productText(e.factors, scope), precedence: 'product' };
      case 'unary':
        return this.unaryPiece(e.operator, e.operand, scope);
      case 'binary':
        return this.binaryPiece(e, scope);
      case 'select': {
        const inner = e.condition.kind === 'domain' ? { ...scope, unguarded: true } : scope;
        const otherwise = this.expression(e.otherwise, inner);
        return atom(`select(${otherwise}, ${this.expression(e.then, inner)}, ${this.condition(e.condition, scope)})`);
      }
      case 'random': {
        const call = `${e.distribution}_f32`;
        this.use(call);
        const [seed, step] = [this.integer(e.seed, scope), this.integer(e.step, scope)];
        return atom(`${call}(${seed}, ${e.stream >>> 0}u, ${this.affine(e.element, scope)}, ${step})`);
      }
      default:
        return e satisfies never;
    }
  }

  private sumText(terms: readonly Expression[], scope: Scope): string {
    return terms
      .map((term, i) => {
        const subtracted = i === 0 ? undefined : negated(term);
        if (subtracted) return ` - ${paren(this.piece(subtracted, scope), 'unary')}`;
        return (i === 0 ? '' : ' + ') + paren(this.piece(term, scope), 'product');
      })
      .join('');
  }

  private productText(factors: readonly Expression[], scope: Scope): string {
    const [first, ...rest] = factors;
    if (first!.kind === 'constant' && first!.value === -1 && rest.length > 0) {
      return `-${paren(this.piece(rest[0]!, scope), 'atom')}${rest
        .slice(1)
        .map((f) => ` * ${paren(this.piece(f, scope), 'unary')}`)
        .join('')}`;
    }
    return factors.map((f) => paren(this.piece(f, scope), 'unary')).join(' * ');
  }

  private unaryPiece(operator: string, operand: Expression, scope: Scope): Piece {
    const known = unaryCalls[operator];
    if (known) {
      if (known.library) this.use(known.library);
      return atom(`${known.call}(${this.expression(operand, scope)})`);
    }
    switch (operator) {
      case 'negate':
        return { text: `-${paren(this.piece(operand, scope), 'atom')}`, precedence: 'unary' };
      case 'relu':
        return atom(`max(${this.expression(operand, scope)}, 0.0)`);
      case 'sin':
      case 'cos':
        this.use('sincos_f32');
        return atom(`sincos_f32(${this.expression(operand, scope)}).${operator === 'sin' ? 'x' : 'y'}`);
      default:
        throw new Error(`no WGSL for ${operator}`);
    }
  }

  private binaryPiece(e: Extract<Expression, { kind: 'binary' }>, scope: Scope): Piece {
    const left = this.piece(e.left, scope);
    switch (e.operator) {
      case 'divide':
        return {
          text: `${paren(left, 'product')} / ${paren(this.piece(e.right, scope), 'unary')}`,
          precedence: 'product',
        };
      case 'minimum':
      case 'maximum':
        return atom(`${e.operator === 'minimum' ? 'min' : 'max'}(${left.text}, ${this.expression(e.right, scope)})`);
      case 'power':
        return this.powerPiece(left, e.right, scope);
      default:
        return e.operator satisfies never;
    }
  }

  /** Integer powers up to 8 are products, ±1/2 are roots, so that a negative base and exact squares work everywhere. */
  private powerPiece(base: Piece, exponent: Expression, scope: Scope): Piece {
    if (exponent.kind === 'constant') {
      const p = exponent.value;
      if (p === 0.5) return atom(`sqrt(${base.text})`);
      if (p === -0.5) return atom(`inverseSqrt(${base.text})`);
      if (p === 0) return atom('1.0');
      if (p === 1) return base;
      if (p === -1) return { text: `1.0 / ${paren(base, 'unary')}`, precedence: 'product' };
      const call = integerPowers[Math.abs(p)];
      if (call !== undefined) {
        this.use(call);
        const text = `${call}(${base.text})`;
        return p > 0 ? atom(text) : { text: `1.0 / ${text}`, precedence: 'product' };
      }
    }
    this.use('power_f32');
    return atom(`power_f32(${base.text}, ${this.expression(exponent, scope)})`);
  }

  /** An expression as i32, exact where it is whole by its making, else cut off. */
  private integer(e: Expression, scope: Scope): string {
    return this.wholeNumber(e, scope) ?? `i32(${this.expression(e, scope)})`;
  }

  /** Sums and products of i32 tensors, positions and whole constants as i32: f32 is exact only up to 2^24. */
  wholeNumber(e: Expression, scope: Scope): string | undefined {
    return this.wholePiece(e, scope)?.text;
  }

  private wholePiece(e: Expression, scope: Scope): Piece | undefined {
    const all = (parts: readonly Expression[], precedence: 'sum' | 'product'): Piece | undefined => {
      const pieces = parts.map((part) => this.wholePiece(part, scope));
      if (pieces.includes(undefined)) return undefined;
      const inner = precedence === 'sum' ? 'product' : 'unary';
      return { text: pieces.map((p) => paren(p!, inner)).join(precedence === 'sum' ? ' + ' : ' * '), precedence };
    };
    switch (e.kind) {
      case 'constant':
        if (!Number.isInteger(e.value)) return undefined;
        // As i32 arithmetic has it, modulo 2^32.
        return { text: String(e.value | 0), precedence: e.value < 0 ? 'unary' : 'atom' };
      case 'index':
        return this.affinePiece(e.affine, scope);
      case 'load': {
        if (this.layouts(e.tensor).dtype !== 'i32') return undefined;
        const held = scope.heldInteger?.(e);
        if (held !== undefined) return atom(held);
        if (scope.held?.(e) !== undefined) return undefined;
        return atom(`${this.reads(e.tensor)}[${this.safeOffset(e.tensor, e.indices, scope)}]`);
      }
      case 'sum':
        return all(e.terms, 'sum');
      case 'product':
        return all(e.factors, 'product');
      default:
        return undefined;
    }
  }
}

/** The expression whose negation this is, where it is written as one. */
function negated(e: Expression): Expression | undefined {
  if (e.kind === 'constant') return e.value < 0 ? { kind: 'constant', value: -e.value } : undefined;
  if (e.kind === 'unary') return e.operator === 'negate' ? e.operand : undefined;
  const first = e.kind === 'product' ? e.factors[0] : undefined;
  if (e.kind !== 'product' || first?.kind !== 'constant' || first.value >= 0) return undefined;
  return product([{ kind: 'constant', value: -first.value }, ...e.factors.slice(1)]);
}

/** The last two members of a name are enough in a kernel: `h.3.attn.q` is `attn_q`, whichever layer it was written for. */
function shortName(name: string): string {
  const parts = name.split(/[.]/).filter((part) => !/^\d+$/.test(part));
  return identifier(parts.slice(-2).join('_'));
}

/** Whether an expression reads a tensor at all. */
export function readsMemory(e: Expression): boolean {
  return loads(e).length > 0;
}

export function scalarCount(shape: readonly number[]): number {
  return elementCount(shape);
}
