/** Small tools for writing WGSL as text: indentation, parentheses, number literals. */

/**
 * Template for WGSL: takes the common indentation off, and indents a value of several lines as its placeholder is.
 * A placeholder alone on its line that is empty takes the line with it.
 */
export function wgsl(strings: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  let text = strings[0];
  values.forEach((value, i) => {
    const indent = /(?:^|\n)([ \t]*)$/.exec(text)?.[1];
    const shown = String(value);
    const alone = indent !== undefined && strings[i + 1].startsWith('\n');
    if (alone && shown === '') text = `${text.slice(0, text.length - indent.length)}\u0000`;
    else text += indent === undefined ? shown : shown.replaceAll('\n', `\n${indent}`);
    text += strings[i + 1];
  });
  const lines = text.replaceAll('\u0000\n', '').replaceAll('\u0000', '').split('\n');
  while (lines.length > 0 && lines[0].trim() === '') lines.shift();
  while (lines.length > 0 && lines.at(-1)!.trim() === '') lines.pop();
  const indents = lines.filter((line) => line.trim() !== '').map((line) => /^[ \t]*/.exec(line)![0].length);
  const common = Math.min(...indents, Number.POSITIVE_INFINITY);
  return lines.map((line) => line.slice(Math.min(common, line.length)).trimEnd()).join('\n');
}

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
  const largest = 3.4028234663852886e38;
  const rounded = Math.fround(Math.max(-largest, Math.min(largest, value)));
  if (Math.abs(rounded) === largest) return rounded < 0 ? `-${largest}` : String(largest);
  let digits = 1;
  while (digits < 9 && Math.fround(Number(rounded.toPrecision(digits))) !== rounded) digits++;
  const text = String(Number(rounded.toPrecision(digits)));
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** `name + offset`, the offset left out where it is 0. */
export function plus(name: string, offset: number): string {
  return offset === 0 ? name : offset > 0 ? `${name} + ${offset}` : `${name} - ${-offset}`;
}
