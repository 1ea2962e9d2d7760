/**
 * What a value computes or reads more than once, computed once: a gradient may hold one `log` nineteen times. GPU compilers
 * find that themselves; software devices do not, and there every function is written out where it is called.
 *
 *   log(x[i]) ^ 2 * exp(log(x[i]))   →   let reused = log_f32(x[i]);  square_f32(reused) * exp_f32(reused)
 *
 * The trap: a branch of a `select` is evaluated where it is not taken too, so a load that stands only there is clamped here
 * as it is there (`Scope.unguarded`).
 */
import { children } from '../../compiler/ir/expression.ts';
import { expressionKey } from '../../compiler/ir/hash.ts';
import type { Expression } from '../../compiler/ir/program.ts';
import { costs } from './invariant.ts';
import { expressionText } from './scalar.ts';
import type { Scope } from './scope.ts';

/** A subexpression, wherever it stands. */
interface Repeat {
  readonly places: Expression[];
  /** It stands outside of branches too. */
  isPlain: boolean;
}

/** `let` lines, and the value's text after them. */
export function sharedText(
  value: Expression,
  scope: Scope,
): { readonly lines: readonly string[]; readonly text: string } {
  const repeats = new Map<number, Repeat>();
  const number = numbering();
  const find = (e: Expression, isPlain: boolean): void => {
    if (scope.known?.has(e)) return;
    if (isWorthIt(e, scope)) {
      const id = number(e);
      const before = repeats.get(id);
      if (before !== undefined) {
        before.places.push(e);
        before.isPlain ||= isPlain;
        return;
      }
      repeats.set(id, { places: [e], isPlain });
    }
    const isBranch = e.kind === 'select' && e.condition.kind === 'domain';
    for (const child of children(e)) find(child, isPlain && !isBranch);
  };
  find(value, scope.unguarded !== true);
  const known = new Map(scope.known);
  const lines: string[] = [];
  const write = (e: Expression): void => {
    if (known.has(e)) return;
    for (const child of children(e)) write(child);
    const repeat = isWorthIt(e, scope) ? repeats.get(number(e)) : undefined;
    if (repeat === undefined || repeat.places.length < 2) return;
    const { emitter } = scope;
    const text = expressionText(e, { ...scope, known, unguarded: !repeat.isPlain });
    const name = e.kind === 'load' ? emitter.named(e.tensor, 'value') : emitter.fresh('reused');
    lines.push(`let ${name} = ${text};`);
    for (const place of repeat.places) known.set(place, name);
  };
  write(value);
  return { lines, text: expressionText(value, lines.length === 0 ? scope : { ...scope, known }) };
}

/** Whether there is anything to save; a sign or a constant factor is written with the terms around it. */
function isWorthIt(e: Expression, scope: Scope): boolean {
  if (e.kind === 'unary' && e.operator === 'negate') return false;
  if (e.kind === 'product') return e.factors.filter(({ kind }) => kind !== 'constant').length > 1;
  return costs(e, scope);
}

/** Numbers expressions so that equal ones have one number, each in the time that it takes to look at it once. */
function numbering(): (e: Expression) => number {
  const byKey = new Map<string, number>();
  const known = new Map<Expression, number>();
  const number = (e: Expression): number => {
    const before = known.get(e);
    if (before !== undefined) return before;
    const key = keyOf(e, number);
    const id = byKey.get(key) ?? byKey.size;
    byKey.set(key, id);
    known.set(e, id);
    return id;
  };
  return number;
}

function keyOf(e: Expression, number: (e: Expression) => number): string {
  switch (e.kind) {
    case 'sum':
      return `+ ${e.terms.map(number).join(' ')}`;
    case 'product':
      return `* ${e.factors.map(number).join(' ')}`;
    case 'unary':
      return `${e.operator} ${number(e.operand)}`;
    case 'binary':
      return `${e.operator} ${number(e.left)} ${number(e.right)}`;
    default:
      return expressionKey(e);
  }
}
