/** Small tools for writing WGSL as text: indentation, parentheses, identifiers from a user's names, number literals. */

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

const reserved = new Set(
  `alias array atomic bool break case const const_assert continue continuing default diagnostic discard else enable f16 f32 false
  fn for global i32 if let loop mat2x2 mat3x3 mat4x4 override ptr requires return struct switch true u32 var vec2 vec3 vec4 while
  abs all any asm await bf16 binding builtin cast class common component compile cos cross delete demote discard distance do dot
  else enum exp explicit export extends extern final finally fixed float from get group goto half handle highp impl implements
  import in inline inout input instanceof int interface layout lowp macro main match max mediump meta min mod module mut mutable
  namespace new nil null of operator out output package packed partial pass patch pixelfragment point precision precise private
  protected pub public readonly ref register require resource restrict return self set shared sign signed sin smooth static
  std step sqrt storage super target template texture this throw trait try type typedef typename typeof union unless uniform
  unsigned use using varying virtual void volatile where with workgroup writeonly yield bitcast clamp exp fract inverseSqrt
  log pow round select sign storageBarrier subgroupShuffleXor unpack2x16float workgroupBarrier`
    .split(/\s+/)
    .filter(Boolean),
);

/** A WGSL identifier that reads like the user's name; distinct names may give the same one (see `Names`). */
export function identifier(name: string): string {
  const plain = name
    .normalize('NFC')
    .replaceAll(/[^\p{L}\p{N}_]+/gu, '_')
    .replace(/^(?=\d)/, 'n')
    .replace(/^_+/, '')
    .replaceAll(/_+/g, '_');
  const safe = plain === '' ? 'v' : plain;
  return reserved.has(safe) ? `${safe}_` : safe;
}

/** Hands out identifiers, each once. */
export class Names {
  private readonly taken = new Set<string>();

  fresh(name: string): string {
    const base = identifier(name);
    let candidate = base;
    for (let i = 2; this.taken.has(candidate); i++) candidate = `${base}_${i}`;
    this.taken.add(candidate);
    return candidate;
  }
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
