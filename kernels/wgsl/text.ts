/** Small tools for writing WGSL as text: indentation, parentheses, number literals. */
import { largestF32 } from '../../compiler/ir/scalar.ts';

/**
 * Template for WGSL: takes the common indentation off, and indents a value of several lines as its placeholder is.
 * A placeholder alone on its line that is empty takes the line with it.
 */
export function wgsl(strings: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  let text = '';
  /** What there is of the line that is being written. */
  let line = '';
  const write = (piece: string): void => {
    text += piece;
    const end = piece.lastIndexOf('\n');
    line = end < 0 ? line + piece : piece.slice(end + 1);
  };
  write(strings[0]);
  values.forEach((value, i) => {
    const shown = String(value);
    const isFirst = indentOf(line) === line.length;
    if (isFirst && shown === '' && strings[i + 1].startsWith('\n')) write(dropped);
    else write(isFirst && line !== '' ? shown.replaceAll('\n', `\n${line}`) : shown);
    write(strings[i + 1]);
  });
  const lines = text.split('\n').filter((each) => !each.endsWith(dropped));
  while (lines.length > 0 && isBlank(lines[0])) lines.shift();
  while (lines.length > 0 && isBlank(lines.at(-1)!)) lines.pop();
  let common = Number.POSITIVE_INFINITY;
  for (const each of lines) if (!isBlank(each)) common = Math.min(common, indentOf(each));
  return lines.map((each) => each.slice(Math.min(common, each.length)).trimEnd()).join('\n');
}

/** Ends a line that its placeholder takes with it. */
const dropped = '\u0000';

/** Blanks that a line begins with. */
function indentOf(line: string): number {
  let count = 0;
  while (line[count] === ' ' || line[count] === '\t') count++;
  return count;
}

const isBlank = (line: string): boolean => line.trim() === '';

export function indent(text: string, spaces = 2): string {
  return text === '' ? '' : text.replaceAll(/^(?=.)/gm, ' '.repeat(spaces));
}

/** `text` under a condition, which is all of `guards`; bare where there is none. */
export function guarded(guards: readonly string[], text: string): string {
  return guards.length === 0 ? text : `if (${guards.join(' && ')}) {\n${indent(text)}\n}`;
}

type Precedence = 'sum' | 'product' | 'unary' | 'atom';
const strength: Readonly<Record<Precedence, number>> = { sum: 1, product: 2, unary: 3, atom: 4 };

/** Text of an expression, and how strongly its outermost operator binds. */
export interface Piece {
  readonly text: string;
  readonly precedence: Precedence;
}

export function atom(text: string): Piece {
  return { text, precedence: 'atom' };
}

/** The text, in parentheses where it binds less strongly than `least`. */
export function paren(piece: Piece, least: Precedence): string {
  return strength[piece.precedence] >= strength[least] ? piece.text : `(${piece.text})`;
}

/** The f32 literal nearest to `value`; values beyond f32 are clamped to its largest. */
export function f32Literal(value: number): string {
  if (Number.isNaN(value)) throw new Error('NaN has no WGSL literal');
  const rounded = Math.fround(Math.max(-largestF32, Math.min(largestF32, value)));
  if (Math.abs(rounded) === largestF32) return String(rounded);
  let digits = 1;
  while (digits < 9 && Math.fround(Number(rounded.toPrecision(digits))) !== rounded) digits++;
  const text = String(Number(rounded.toPrecision(digits)));
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** A text as an operand of any operator: in parentheses where it is more than a name. */
export function operand(text: string): string {
  return /^\w+$/.test(text) ? text : `(${text})`;
}

/** `name + offset`, the offset left out where it is 0. */
export function plus(name: string, offset: number): string {
  return offset === 0 ? name : offset > 0 ? `${name} + ${offset}` : `${name} - ${-offset}`;
}
