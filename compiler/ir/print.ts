/**
 * A program as a person reads it, and as golden files hold it: the same program always gives the same text.
 *
 *   param W: f32[4, 8] ~ normal(std = 0.5)
 *   tensor y: f32[2, 4]
 *     y[b, i] sum= W[i, j] * x[b, j]   over b: 2, i: 4, j: 8   where i - j >= 0
 *
 * Axes of one equation that share a name are told apart by primes: i, i', i''.
 */
import type {
  Affine,
  Axis,
  Condition,
  Constraint,
  Equation,
  Expression,
  Index,
  Init,
  Program,
  Tensor,
} from './program.ts';

export function printProgram(program: Program): string {
  const updates = program.updates.map(({ state, next }) => `update ${state} = ${next}`);
  const outputs = program.outputs.length > 0 ? [`output ${program.outputs.join(', ')}`] : [];
  return [...program.tensors.map(printTensor), ...outputs, ...updates].map((part) => `${part}\n`).join('');
}

export function printTensor(tensor: Tensor): string {
  const { name, source } = tensor;
  const typed = `${name}: ${tensor.dtype}[${tensor.shape.join(', ')}]`;
  switch (source.kind) {
    case 'input':
      return `input ${typed}`;
    case 'param':
      return `param ${typed} ~ ${printInit(source.init)}${source.fixed ? ', fixed' : ''}`;
    case 'computed':
      return [`tensor ${typed}`, ...source.equations.map((e) => `  ${printEquation(e, name)}`)].join('\n');
    case 'view':
      return `view ${typed} = ${source.base} from ${source.offset}`;
    case 'concat':
      return `concat ${typed} = ${source.parts.map((part) => `${part.tensor} at ${part.offset}`).join(', ')}`;
    default:
      return source satisfies never;
  }
}

function printInit(init: Init): string {
  const fanIn = init.fanIn === undefined ? '' : `, fan_in = ${init.fanIn}`;
  if (init.kind === 'constant') {
    return init.fanIn === undefined ? `constant(${printNumber(init.value)})` : `zeros(fan_in = ${init.fanIn})`;
  }
  return `normal(std = ${printNumber(init.std)}${fanIn})`;
}

/** `target[store] reducer= value   over axes   where domain`. */
export function printEquation(equation: Equation, target: string): string {
  const names = axisNames(equation.axes);
  const over = equation.axes
    .map(({ extent, symbol }, i) => `${names[i]}: ${extent}${symbol === undefined ? '' : ` = ${symbol}`}`)
    .join(', ');
  const where = equation.domain.map((c) => printConstraint(c, names)).join(' and ');
  const left = printElement(target, equation.store, names);
  return (
    `${left} ${equation.reducer}= ${printExpression(equation.value, names)}` +
    `${over === '' ? '' : `   over ${over}`}${where === '' ? '' : `   where ${where}`}`
  );
}

/** One distinct name for each axis. */
export function axisNames(axes: readonly Axis[]): readonly string[] {
  const taken = new Set<string>();
  return axes.map((axis) => {
    let name = axis.name;
    while (taken.has(name)) name += "'";
    taken.add(name);
    return name;
  });
}

export function printAffine(a: Affine, names: readonly string[]): string {
  const terms = a.terms.map(({ axis, coefficient }) => {
    const name = names[axis] ?? `axis${axis}`;
    const size = Math.abs(coefficient);
    return { negative: coefficient < 0, text: size === 1 ? name : `${size}*${name}` };
  });
  // The positive terms lead, so that a difference reads as one.
  const ordered = [...terms.filter((term) => !term.negative), ...terms.filter((term) => term.negative)];
  if (a.constant !== 0 || ordered.length === 0) {
    ordered.push({ negative: a.constant < 0, text: String(Math.abs(a.constant)) });
  }
  if (ordered[0].negative && a.constant > 0) ordered.unshift(ordered.pop() as { negative: boolean; text: string });
  return ordered
    .map(({ negative, text }, i) => (i === 0 ? (negative ? '-' : '') : negative ? ' - ' : ' + ') + text)
    .join('');
}

export function printConstraint(constraint: Constraint, names: readonly string[]): string {
  if (constraint.kind === 'data') {
    const { operator, left, right } = constraint;
    return `${printExpression(left, names)} ${operator} ${printExpression(right, names)}`;
  }
  const relation = { nonnegative: '>=', zero: '==', nonzero: '!=' }[constraint.kind];
  return `${printAffine(constraint.affine, names)} ${relation} 0`;
}

function printIndex(index: Index, names: readonly string[]): string {
  return index.kind === 'affine' ? printAffine(index, names) : printElement(index.tensor, index.indices, names);
}

function printElement(tensor: string, indices: readonly Index[], names: readonly string[]): string {
  return indices.length === 0 ? tensor : `${tensor}[${indices.map((index) => printIndex(index, names)).join(', ')}]`;
}

/** How tightly each kind of expression binds, loosest first; what binds no tighter than its place gets parentheses. */
const sumLevel = 1;
const productLevel = 2;
const negationLevel = 3;
const powerLevel = 4;
const atomLevel = 5;

export function printExpression(expression: Expression, names: readonly string[]): string {
  return print(expression, names).text;
}

interface Printed {
  readonly text: string;
  readonly binding: number;
}

function print(expression: Expression, names: readonly string[]): Printed {
  const at = (e: Expression, binding: number): string => {
    const printed = print(e, names);
    return printed.binding < binding ? `(${printed.text})` : printed.text;
  };
  switch (expression.kind) {
    case 'constant':
      return number(expression.value);
    case 'index': {
      const text = printAffine(expression.affine, names);
      // In brackets of its own, since `i - j` as a value is one leaf and must not read as a sum of two.
      return { text: `index(${text})`, binding: atomLevel };
    }
    case 'load':
      return { text: printElement(expression.tensor, expression.indices, names), binding: atomLevel };
    case 'sum':
      return { text: printSum(expression.terms, (e) => at(e, productLevel)), binding: sumLevel };
    case 'product':
      return { text: expression.factors.map((e) => at(e, negationLevel)).join(' * '), binding: productLevel };
    case 'unary':
      return expression.operator === 'negate'
        ? { text: `-${at(expression.operand, powerLevel)}`, binding: negationLevel }
        : { text: `${expression.operator}(${print(expression.operand, names).text})`, binding: atomLevel };
    case 'binary': {
      const { operator, left, right } = expression;
      switch (operator) {
        case 'divide':
          return { text: `${at(left, negationLevel)} / ${at(right, powerLevel)}`, binding: productLevel };
        case 'power':
          return { text: `${at(left, atomLevel)}^${at(right, atomLevel)}`, binding: powerLevel };
        case 'minimum':
        case 'maximum':
        case 'quotient':
        case 'remainder':
          return { text: `${operator}(${print(left, names).text}, ${print(right, names).text})`, binding: atomLevel };
        default:
          return operator satisfies never;
      }
    }
    case 'select': {
      const parts = [printCondition(expression.condition, names), expression.then, expression.otherwise];
      const text = parts.map((part) => (typeof part === 'string' ? part : print(part, names).text)).join(', ');
      return { text: `select(${text})`, binding: atomLevel };
    }
    case 'random': {
      const { distribution, stream } = expression;
      const seed = print(expression.seed, names).text;
      const step = print(expression.step, names).text;
      const element = printAffine(expression.element, names);
      const text = `${distribution}(seed = ${seed}, stream = ${stream}, step = ${step}, element = ${element})`;
      return { text, binding: atomLevel };
    }
    default:
      return expression satisfies never;
  }
}

/** A term whose leading constant is negative is subtracted. */
function printSum(terms: readonly Expression[], printTerm: (e: Expression) => string): string {
  return terms
    .map((term, i) => {
      const text = printTerm(term);
      if (i === 0) return text;
      return text.startsWith('-') ? ` - ${text.slice(1)}` : ` + ${text}`;
    })
    .join('');
}

function printCondition(condition: Condition, names: readonly string[]): string {
  if (condition.kind === 'domain') return condition.constraints.map((c) => printConstraint(c, names)).join(' and ');
  return `${printExpression(condition.left, names)} ${condition.operator} ${printExpression(condition.right, names)}`;
}

function number(value: number): Printed {
  const text = printNumber(value);
  return { text, binding: text.startsWith('-') ? negationLevel : atomLevel };
}

function printNumber(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}
