/**
 * Structural hashes: equal structure, equal hash, whatever axes are called, wherever the user wrote it. Expressions, equations and
 * programs are first written out in a canonical text (which callers may also use as an exact key), then hashed by two lanes of
 * 32-bit FNV-1a with different bases and a final mix, 64 bits in all. Plain TypeScript, since the compiler also runs in a web page.
 */
import type { Affine, Condition, Constraint, Equation, Expression, Index, Program, Tensor } from './program.ts';
import { remembered } from './remembered.ts';

export function hashExpression(expression: Expression): string {
  return hashText(expressionKey(expression));
}

/** Names of axes and source positions do not count; their extents and order do. */
export function hashEquation(equation: Equation): string {
  return hashText(equationKey(equation));
}

/** Names of tensors count, names of axes, documentation and source positions do not. */
export function hashProgram(program: Program): string {
  const updates = program.updates.map(({ state, next }) => `${quote(state)}=${quote(next)}`);
  const outputs = program.outputs.map(quote);
  return hashText([...program.tensors.map(tensorKey), `out ${outputs.join()}`, `up ${updates.join()}`].join('\n'));
}

/** 16 hexadecimal digits. */
export function hashText(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ ((unit << 5) + i), 0x85ebca6b);
    b ^= b >>> 15;
  }
  return hex(mix(a ^ (b >>> 7))) + hex(mix(b ^ text.length));
}

/** Finaliser of MurmurHash3: every bit of the input moves every bit of the output. */
function mix(word: number): number {
  let x = word;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}

/** Canonical text of an expression, axes by position: equal texts are equal expressions. */
export function expressionKey(expression: Expression): string {
  switch (expression.kind) {
    case 'constant':
      return Object.is(expression.value, -0) ? '-0' : String(expression.value);
    case 'index':
      return `#${affineKey(expression.affine)}`;
    case 'load':
      return `${quote(expression.tensor)}${indicesKey(expression.indices)}`;
    case 'sum':
      return `(+ ${expression.terms.map(expressionKey).join(' ')})`;
    case 'product':
      return `(* ${expression.factors.map(expressionKey).join(' ')})`;
    case 'unary':
      return `(${expression.operator} ${expressionKey(expression.operand)})`;
    case 'binary':
      return `(${expression.operator} ${expressionKey(expression.left)} ${expressionKey(expression.right)})`;
    case 'select': {
      const { condition, then, otherwise } = expression;
      return `(select ${conditionKey(condition)} ${expressionKey(then)} ${expressionKey(otherwise)})`;
    }
    case 'random': {
      const { distribution, seed, stream, step, element } = expression;
      return `(${distribution} ${expressionKey(seed)} ${stream} ${expressionKey(step)} ${affineKey(element)})`;
    }
    default:
      return expression satisfies never;
  }
}

export function equationKey(equation: Equation): string {
  const { axes, domain, store, reducer, value } = equation;
  const extents = axes.map((a) => (a.symbol === undefined ? a.extent : `${a.extent}=${quote(a.symbol)}`)).join('x');
  return `${reducer} ${extents} ${constraintsKey(domain)} ${indicesKey(store)} ${expressionKey(value)}`;
}

/** Canonical text of a tensor: equal texts are tensors of one name that are made in the same way. */
export function tensorKey({ name, dtype, shape, source }: Tensor): string {
  const head = `${quote(name)} ${dtype} ${shape.join('x')} ${source.kind}`;
  switch (source.kind) {
    case 'input':
      return head;
    case 'param': {
      const { init, fixed } = source;
      const value = init.kind === 'constant' ? init.value : init.std;
      const drawn = `${init.kind} ${value} ${init.fanIn ?? ''}`;
      return `${head} ${drawn} ${fixed}`;
    }
    case 'computed':
      return `${head} ${source.equations.map(equationKey).join(' ; ')}`;
    case 'view':
      return `${head} ${quote(source.base)} ${source.offset}`;
    case 'concat':
      return `${head} ${source.parts.map((part) => `${quote(part.tensor)}@${part.offset}`).join()}`;
    default:
      return source satisfies never;
  }
}

function conditionKey(condition: Condition): string {
  return condition.kind === 'domain'
    ? constraintsKey(condition.constraints)
    : `(${condition.operator} ${expressionKey(condition.left)} ${expressionKey(condition.right)})`;
}

function constraintsKey(constraints: readonly Constraint[]): string {
  return `{${constraints.map(constraintKey).join()}}`;
}

const constraintKeys = new WeakMap<Constraint, string>();

/** Equal texts are equal constraints. */
export function constraintKey(constraint: Constraint): string {
  return remembered(constraintKeys, constraint, (c) =>
    c.kind === 'data'
      ? `(${c.operator} ${expressionKey(c.left)} ${expressionKey(c.right)})`
      : `${c.kind} ${affineKey(c.affine)}`,
  );
}

function indicesKey(indices: readonly Index[]): string {
  return `[${indices.map((i) => (i.kind === 'affine' ? affineKey(i) : quote(i.tensor) + indicesKey(i.indices))).join()}]`;
}

export function affineKey(a: Affine): string {
  return `${a.constant}${a.terms.map(({ axis, coefficient }) => `+${coefficient}.${axis}`).join('')}`;
}

/** Names may hold any letter and a few signs, but no quote. */
function quote(name: string): string {
  return `'${name}'`;
}
