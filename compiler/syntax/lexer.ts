/**
 * Text → tokens and comments. What cannot be read is reported here, once, and left out or read as what was meant, so that the
 * parser never sees it. The trap: a file that is not text at all (a tensor file, UTF-16) must give one diagnostic, not a
 * thousand, so that is looked at first.
 */
import type { Comment } from './ast.ts';
import type { IToken } from './chevrotain.ts';
import { error } from './codes.ts';
import type { Diagnostic, Source, Span } from './diagnostic.ts';
import { opposite } from './slips.ts';
import { lexer, mistakes } from './tokens.ts';

export interface Lexed {
  readonly tokens: readonly IToken[];
  readonly comments: readonly Comment[];
  readonly diagnostics: readonly Diagnostic[];
  /** Characters that no token could be made of, or only by a guess: a mistake right behind them follows from that. */
  readonly unreadable: readonly Span[];
}

/** What to write instead of a character that the language does not know. */
const characterHelp: Readonly<Record<string, string | ((after: string) => string)>> = {
  "'": 'a text stands in double quotes, `"…"`',
  '“': 'a text stands in straight double quotes, `"…"`',
  '”': 'a text stands in straight double quotes, `"…"`',
  '!': (after) => {
    const meant = opposite(after.slice(1));
    return meant === undefined ? '`!=` means “is not equal”; a condition has no other negation' : `write \`${meant}\``;
  },
  '|': 'the absolute value is `abs(…)`; conditions are joined by `and`',
  '@': 'a product is written with `*`; an axis that is not on the left is summed',
  '?': 'a value is chosen by `select(condition, a, b)`',
  '′': 'a name is made of letters, digits and `_`',
  '&': 'conditions are joined by `and`',
  '∑': 'a sum over axes is written `sum[i](…)`, or left out where the Einstein rule sums',
  '√': 'write `sqrt(…)`',
  '²': 'write `^2`',
  '³': 'write `^3`',
  '…': 'write `..` for a range',
  '∼': 'write `~`',
};

/** Characters before a mistake that its help looks at. */
const lookBack = 200;

export function tokenize(source: Source): Lexed {
  const { file, text } = source;
  const notText = text.search(/[\0\uFFFD]/);
  if (notText >= 0) {
    const what =
      text[notText] === '\0' ? 'holds a NUL byte, so it is no text' : 'holds bytes that are not UTF-8 at this place';
    const span = { file, start: notText, end: notText + 1 };
    const help = 'a `.mlbtc` file is text in UTF-8';
    return { tokens: [], comments: [], diagnostics: [error('E0101', span, `the file ${what}`, help)], unreadable: [] };
  }

  const result = lexer.tokenize(text);
  const diagnostics: Diagnostic[] = [];
  for (const token of [...result.tokens, ...(result.groups.skipped ?? [])]) {
    const written = token.image;
    // Set here, as the lexer leaves it out when it tracks offsets only, and an alias's image will not be what was written.
    token.endOffset = token.startOffset + written.length - 1;
    const mistake = mistakes.get(token.tokenType);
    if (mistake === undefined) continue;
    const span = { file, start: token.startOffset, end: token.endOffset + 1 };
    const before = /[^\n\r]*$/.exec(text.slice(Math.max(0, span.start - lookBack), span.start))![0];
    diagnostics.push(error(mistake.code, span, mistake.message(written), mistake.help?.(written, before)));
    if (mistake.image !== undefined) token.image = mistake.image;
  }
  const unreadable = result.errors.map(({ offset, length }) => ({ file, start: offset, end: offset + length }));
  for (const span of unreadable) {
    const character = String.fromCodePoint(text.codePointAt(span.start)!);
    const known = characterHelp[character];
    const after = (): string => /^[^\n\r]*/.exec(text.slice(span.start, span.start + lookBack))![0];
    const help = typeof known === 'function' ? known(after()) : known;
    diagnostics.push(error('E0103', span, `${describeCharacter(character)} has no meaning here`, help));
  }

  const comments = (result.groups.comments ?? []).map((token: IToken): Comment => {
    const written = token.image.trimEnd();
    const lineStart =
      Math.max(text.lastIndexOf('\n', token.startOffset), text.lastIndexOf('\r', token.startOffset)) + 1;
    return {
      kind: /^\/\/\/(?!\/)/.test(written) ? 'doc' : 'line',
      text: written,
      own: text.slice(lineStart, token.startOffset).trim() === '',
      span: { file, start: token.startOffset, end: token.startOffset + written.length },
    };
  });
  const guessed = diagnostics.filter(({ code }) => code === 'E0103' || code === 'E0105').map(({ span }) => span);
  return { tokens: result.tokens, comments, diagnostics, unreadable: guessed };
}

function describeCharacter(character: string): string {
  const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
  return /^[\p{C}\p{Z}\p{M}]$/u.test(character) ? `the character U+${code}` : `\`${character}\``;
}
