/**
 * The vocabulary of the language: every token type, in the order in which the lexer tries them.
 *
 * First the tables (reserved words, punctuation, what people type instead of it), then the Chevrotain token types made from
 * them. The trap is the dot: `0..3` is a range, `1.5` a number, and in `U.0.1` the digits after a dot are integers, so the
 * number pattern looks at the token before it. Mistakes that can be read anyway (`≤`, `2x`, a string without its end) are
 * tokens too: the lexer reports them and the parser goes on as if the right thing stood there.
 */
import { createToken, type IToken, Lexer, type TokenType } from './chevrotain.ts';
import type { Code } from './codes.ts';

/** Every token but the end of the file. */
export const AnyToken = createToken({ name: 'AnyToken', pattern: Lexer.NA });
/** `+ - * / % ^`, comparisons, `and`, `where`. */
export const BinaryOperator = createToken({ name: 'BinaryOperator', pattern: Lexer.NA, categories: AnyToken });
/** Reserved words, wherever they stand. */
export const Keyword = createToken({ name: 'Keyword', pattern: Lexer.NA, categories: AnyToken });

const nameAt = /\p{L}[\p{L}\p{Nd}_]*/uy;
const badNameAt = /_[\p{L}\p{Nd}_]*/uy;
const numberAt = /[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const integerAt = /[0-9]+/y;
const nameTailAt = /[\p{L}\p{Nd}_]+/uy;

function matchAt(pattern: RegExp, text: string, offset: number): RegExpExecArray | null {
  pattern.lastIndex = offset;
  return pattern.exec(text);
}

/** Characters a name may begin with, as the lexer's index wants them: one of each bucket beyond Latin-1. */
const nameStarts = [
  ...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ',
  ...Array.from({ length: 128 }, (_, i) => String.fromCharCode(128 + i)),
  ...Array.from({ length: 1020 }, (_, i) => String.fromCharCode(256 + 64 * i)),
];

export const Name = createToken({
  name: 'Name',
  pattern: (text: string, offset: number) => matchAt(nameAt, text, offset),
  line_breaks: false,
  start_chars_hint: nameStarts,
  categories: AnyToken,
});

export const NumberLiteral = createToken({
  name: 'NumberLiteral',
  pattern: (text: string, offset: number, tokens: IToken[]) => {
    const afterDot = tokens.length > 0 && tokens[tokens.length - 1].tokenType === Dot;
    const match = matchAt(afterDot ? integerAt : numberAt, text, offset);
    return match !== null && matchAt(nameTailAt, text, offset + match[0].length) === null ? match : null;
  },
  line_breaks: false,
  start_chars_hint: [...'0123456789'],
  categories: AnyToken,
});

export const StringLiteral = createToken({ name: 'StringLiteral', pattern: /"[^"\n\r]*"/, categories: AnyToken });

function punctuation(name: string, pattern: string, ...more: TokenType[]): TokenType {
  return createToken({ name, pattern, categories: [AnyToken, ...more] });
}

export const DotDot = punctuation('DotDot', '..');
export const Dot = punctuation('Dot', '.');
export const LeftParen = punctuation('LeftParen', '(');
export const RightParen = punctuation('RightParen', ')');
export const LeftBracket = punctuation('LeftBracket', '[');
export const RightBracket = punctuation('RightBracket', ']');
export const LeftBrace = punctuation('LeftBrace', '{');
export const RightBrace = punctuation('RightBrace', '}');
export const Comma = punctuation('Comma', ',');
export const Colon = punctuation('Colon', ':');
export const Tilde = punctuation('Tilde', '~');
export const Arrow = punctuation('Arrow', '->');
export const PlusEqual = punctuation('PlusEqual', '+=');
export const EqualEqual = punctuation('EqualEqual', '==', BinaryOperator);
export const Equal = punctuation('Equal', '=');
const Plus = punctuation('Plus', '+', BinaryOperator);
export const Minus = punctuation('Minus', '-', BinaryOperator);
export const Star = punctuation('Star', '*', BinaryOperator);
const Slash = punctuation('Slash', '/', BinaryOperator);
const Percent = punctuation('Percent', '%', BinaryOperator);
export const Caret = punctuation('Caret', '^', BinaryOperator);
const LessEqual = punctuation('LessEqual', '<=', BinaryOperator);
const Less = punctuation('Less', '<', BinaryOperator);
const GreaterEqual = punctuation('GreaterEqual', '>=', BinaryOperator);
const Greater = punctuation('Greater', '>', BinaryOperator);
const NotEqual = punctuation('NotEqual', '!=', BinaryOperator);

function reserved(word: string, ...more: TokenType[]): TokenType {
  return createToken({ name: `Reserved_${word}`, pattern: word, longer_alt: Name, categories: [Keyword, ...more] });
}

export const Structure = reserved('structure');
export const Size = reserved('size');
export const Check = reserved('check');
export const Axis = reserved('axis');
export const Input = reserved('input');
export const Param = reserved('param');
export const Fixed = reserved('fixed');
export const Level = reserved('level');
export const In = reserved('in');
export const Slot = reserved('slot');
export const Const = reserved('const');
export const Use = reserved('use');
export const As = reserved('as');
export const Import = reserved('import');
export const Fn = reserved('fn');
export const Output = reserved('output');
const Where = reserved('where', BinaryOperator);
const And = reserved('and', BinaryOperator);
export const If = reserved('if');
export const Else = reserved('else');

/** Longer words before their beginnings (`input` before `in`), as the lexer takes the first that fits. */
const keywords: readonly TokenType[] = [
  ...[
    Structure,
    Size,
    Check,
    Axis,
    Input,
    Import,
    Param,
    Fixed,
    Level,
    In,
    Slot,
    Const,
    Use,
    As,
    Fn,
    Output,
    Where,
    And,
    If,
    Else,
  ],
];
export const reservedWords: readonly string[] = keywords.map((type) => String(type.PATTERN));

/** What people write for an operator of ours: read as the operator, reported all the same. */
const operatorAliases: readonly (readonly [written: string, meant: TokenType])[] = [
  ['**', Caret],
  ['&&', And],
  ['=>', GreaterEqual],
  ['=<', LessEqual],
  ['<>', NotEqual],
  ['×', Star],
  ['·', Star],
  ['⋅', Star],
  ['−', Minus],
  ['÷', Slash],
  ['≤', LessEqual],
  ['≥', GreaterEqual],
  ['≠', NotEqual],
  ['∧', And],
  ['≔', Equal],
  ...([...'∗•⋆＊'].map((written) => [written, Star]) as [string, TokenType][]),
  ...([...'–—‐‑－'].map((written) => [written, Minus]) as [string, TokenType][]),
  ...([...'⩽≦'].map((written) => [written, LessEqual]) as [string, TokenType][]),
  ...([...'⩾≧'].map((written) => [written, GreaterEqual]) as [string, TokenType][]),
  ['＋', Plus],
  ['／', Slash],
  ['＝', Equal],
  ['＜', Less],
  ['＞', Greater],
  ['，', Comma],
  ['：', Colon],
  ['（', LeftParen],
  ['）', RightParen],
  ['［', LeftBracket],
  ['］', RightBracket],
  ['｛', LeftBrace],
  ['｝', RightBrace],
];

/** Operators of two characters with a space between them. */
const spacedOperators: readonly (readonly [written: RegExp, meant: TokenType])[] = [
  [/<[ \t]+=/, LessEqual],
  [/>[ \t]+=/, GreaterEqual],
  [/![ \t]+=/, NotEqual],
  [/=[ \t]+=/, EqualEqual],
  [/\+[ \t]+=/, PlusEqual],
];

/** A token that is a mistake: how to report it, and what it counts as (`image`: as if that had been written). */
export interface Mistake {
  readonly code: Code;
  readonly message: (written: string) => string;
  /** `before` is the text of its line up to there. */
  readonly help?: (written: string, before: string) => string;
  readonly image?: string;
}

export const mistakes = new Map<TokenType, Mistake>();

function mistake(type: TokenType, report: Mistake): TokenType {
  mistakes.set(type, report);
  return type;
}

const aliasTokens = [...operatorAliases, ...spacedOperators].map(([pattern, meant], i) =>
  mistake(createToken({ name: `Alias${i}`, pattern, categories: meant }), {
    code: 'E0103',
    message: (written) =>
      `\`${written}\` ${/^[，：（）［］｛｝]/.test(written) ? 'has no meaning' : 'is not an operator'} here`,
    help: () => `write \`${meant.PATTERN}\``,
    image: String(meant.PATTERN),
  }),
);

const UnterminatedString = mistake(
  createToken({ name: 'UnterminatedString', pattern: /"[^"\n\r]*/, categories: StringLiteral }),
  { code: 'E0104', message: () => 'this text has no closing `"`', help: () => 'a text begins and ends on one line' },
);

/** What a number of another language is in ours: `1_000`, `0x1f`, `0.5f`, `1e`. */
function plainNumber(written: string): string | undefined {
  if (/^[0-9]+(_[0-9]+)+$/.test(written)) return written.replaceAll('_', '');
  if (/^0[xX][0-9a-fA-F]+$|^0[bB][01]+$|^0[oO][0-7]+$/.test(written)) return String(Number(written));
  return /^([0-9]+(?:\.[0-9]+)?)(?:f|F|e|E|L|u|f32|f64|i32)$/.exec(written)?.[1];
}

/** `2x`, `0b1`, `x.1e5`. */
const BadNumber = mistake(
  createToken({
    name: 'BadNumber',
    pattern: (text: string, offset: number, tokens: IToken[]) => {
      const afterDot = tokens.length > 0 && tokens[tokens.length - 1].tokenType === Dot;
      const match = matchAt(afterDot ? integerAt : numberAt, text, offset);
      const tail = match === null ? null : matchAt(nameTailAt, text, offset + match[0].length);
      if (match === null || tail === null) return null;
      match[0] += tail[0];
      return match;
    },
    line_breaks: false,
    start_chars_hint: [...'0123456789'],
    categories: NumberLiteral,
  }),
  {
    code: 'E0105',
    message: (written) => `\`${written}\` is neither a number nor a name`,
    help: (written) => {
      const digits = /^[0-9]+(\.[0-9]+)?/.exec(written)![0];
      const number = plainNumber(written);
      if (number !== undefined) return `numbers are decimal, without suffixes or \`_\`: write \`${number}\``;
      return `a name begins with a letter; for a product write \`${digits} * ${written.slice(digits.length)}\``;
    },
  },
);

const LeadingDot = mistake(
  createToken({
    name: 'LeadingDot',
    // Only where no name, bracket or number stands before it: there it would be a member.
    pattern: (text: string, offset: number, tokens: IToken[]) => {
      const before = tokens.length === 0 ? undefined : tokens[tokens.length - 1].tokenType;
      if (before === Name || before === NumberLiteral || before === RightParen || before === RightBracket) return null;
      return matchAt(/\.[0-9]+(?:[eE][+-]?[0-9]+)?/y, text, offset);
    },
    line_breaks: false,
    start_chars_hint: ['.'],
    categories: NumberLiteral,
  }),
  {
    code: 'E0105',
    message: (written) => `a number begins with a digit, \`${written}\` does not`,
    help: (written) => `write \`0${written}\``,
  },
);

const BadName = mistake(
  createToken({
    name: 'BadName',
    pattern: (text: string, offset: number) => matchAt(badNameAt, text, offset),
    line_breaks: false,
    start_chars_hint: ['_'],
    categories: Name,
  }),
  { code: 'E0105', message: (written) => `a name begins with a letter, \`${written}\` does not` },
);

/** Mistakes that stand for nothing: reported and skipped. */
const Semicolon = mistake(createToken({ name: 'Semicolon', pattern: ';', group: 'skipped' }), {
  code: 'E0103',
  message: () => '`;` has no meaning here',
  help: (_, before) =>
    /[[(][^\])]*$|^\s*(?:axis|size)\b[^{}]*$/.test(before)
      ? 'write `,` between them, and nothing at the end of an item'
      : 'leave it out: an item ends where the next begins',
});
const BlockComment = mistake(
  createToken({
    name: 'BlockComment',
    pattern: /\/\*(?:[^*]|\*(?!\/))*(?:\*\/)?/,
    line_breaks: true,
    group: 'skipped',
  }),
  { code: 'E0103', message: () => '`/*` does not begin a comment', help: () => 'begin each line with `//`' },
);
const HashComment = mistake(createToken({ name: 'HashComment', pattern: /#[^\n\r]*/, group: 'skipped' }), {
  code: 'E0103',
  message: () => '`#` does not begin a comment',
  help: () => 'comments begin with `//`',
});

/** Characters without a width, as they come with text from a page or an editor. */
const Invisible = mistake(
  createToken({ name: 'Invisible', pattern: /[\u200B-\u200F\u2060\u00AD]+/, group: 'skipped' }),
  {
    code: 'E0103',
    message: (written) => `the invisible character U+${hexOf(written)} has no meaning here`,
    help: () => 'leave it out',
  },
);

/** `||` is read as the name `or`, and refused with what it was meant for. */
const DoubleBar = createToken({ name: 'DoubleBar', pattern: '||', categories: Name });

function hexOf(character: string): string {
  return character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
}

const Space = createToken({ name: 'Space', pattern: /\s+/, line_breaks: true, group: Lexer.SKIPPED });
const CommentToken = createToken({ name: 'Comment', pattern: /\/\/[^\n\r]*/, group: 'comments' });

/** Alias tokens stand before the operators they begin with (`**` before `*`); `==` is no alias and stands before `=`. */
const lexerOrder: readonly TokenType[] = [
  Space,
  CommentToken,
  BlockComment,
  HashComment,
  Semicolon,
  Invisible,
  DoubleBar,
  ...keywords,
  Name,
  BadName,
  NumberLiteral,
  BadNumber,
  StringLiteral,
  UnterminatedString,
  ...aliasTokens,
  LeadingDot,
  DotDot,
  Dot,
  ...[LeftParen, RightParen, LeftBracket, RightBracket, LeftBrace, RightBrace, Comma, Colon, Tilde],
  ...[Arrow, PlusEqual, EqualEqual, LessEqual, GreaterEqual, NotEqual],
  ...[Equal, Plus, Minus, Star, Slash, Percent, Caret, Less, Greater],
];

/** The parser's vocabulary: the lexer's tokens and the categories that the grammar names. */
export const vocabulary: TokenType[] = [AnyToken, BinaryOperator, Keyword, ...lexerOrder];

export const lexer = new Lexer([...lexerOrder], { positionTracking: 'onlyOffset', ensureOptimizations: true });
