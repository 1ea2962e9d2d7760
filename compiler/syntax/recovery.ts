/**
 * The part of the parser that deals with mistakes: how one is worded, and where to read on after it.
 *
 * Chevrotain's own recovery is off, since it resumes at any token that may follow a rule, and in a language where newlines
 * separate nothing and every name may begin an equation that gives a cascade. Here a mistake ends its item; reading goes on
 * at the next reserved word that begins an item, or at a line that begins like an equation (`y[…] =`). Newlines mean
 * nothing in the grammar, but they tell where people think that an item ends.
 */
import type { Comment, Identifier } from './ast.ts';
import {
  EmbeddedActionsParser,
  EOF,
  type IToken,
  isRecognitionException,
  type TokenType,
  tokenMatcher,
} from './chevrotain.ts';
import { type Code, error } from './codes.ts';
import type { Diagnostic, Source, Span } from './diagnostic.ts';
import type { Lexed } from './lexer.ts';
import { slipHelp } from './slips.ts';
import * as T from './tokens.ts';
import { itemWords, meantWord } from './vocabulary.ts';

/** Mistakes in one file after which the rest is not looked at. */
export const mistakeLimit = 100;

const itemStarts: ReadonlySet<TokenType> = new Set([
  ...[T.Size, T.Check, T.Axis, T.Input, T.Param, T.Const, T.Level, T.If, T.Slot, T.Use, T.Output, T.Fn],
  ...[T.Import, T.Structure],
]);
const topStarts: ReadonlySet<TokenType> = new Set([T.Structure, T.Fn, T.Import]);
/** After a reserved word, these say that it was meant as a name: `size check = 3`. */
const followsName: ReadonlySet<TokenType> = new Set([
  ...[T.Equal, T.PlusEqual, T.Comma, T.Colon, T.LeftBracket, T.RightBracket, T.RightParen, T.Tilde, T.LeftBrace],
]);

/** Between the words of what an equation defines: `z.0`, `bucket[t, u]: i32`. */
function joins(type: TokenType): boolean {
  return type === T.Dot || type === T.Colon;
}

/** Thrown where an item cannot be read on; its diagnostic has been reported. */
class Abandoned extends Error {}

const expectedMessages = {
  buildMismatchTokenMessage: ({ expected }: { expected: TokenType }) => expectedWords(expected),
  buildNoViableAltMessage: ({ customUserDescription }: { customUserDescription?: string }) =>
    customUserDescription ?? 'something else',
  buildEarlyExitMessage: ({ customUserDescription }: { customUserDescription?: string }) =>
    customUserDescription ?? 'more',
  buildNotAllInputParsedMessage: () => 'the end of the file',
};

function expectedWords(type: TokenType): string {
  if (type === T.Name) return 'a name';
  if (type === T.StringLiteral) return 'a text in double quotes';
  return `\`${type.PATTERN}\``;
}

export function foundWords(token: IToken): string {
  if (token.tokenType === EOF) return 'the end of the file';
  const written = token.image.length > 30 ? `${token.image.slice(0, 29)}…` : token.image;
  if (tokenMatcher(token, T.StringLiteral)) return `the text \`${written}\``;
  return tokenMatcher(token, T.Keyword) ? `the reserved word \`${written}\`` : `\`${written}\``;
}

export abstract class RecoveringParser extends EmbeddedActionsParser {
  protected source: Source = { file: '', text: '' };
  protected diagnostics: Diagnostic[] = [];
  private comments: readonly Comment[] = [];
  private unreadable: readonly Span[] = [];
  private readonly reported = new Set<number>();
  private commentCursor = 0;
  private stopped = false;
  /** A block's `{` is missing: where one is left open at the end follows from that. */
  protected braceMissing = false;

  constructor() {
    super(T.vocabulary, {
      recoveryEnabled: false,
      maxLookahead: 1,
      errorMessageProvider: expectedMessages,
    });
  }

  protected begin(source: Source, lexed: Lexed): void {
    this.source = source;
    this.diagnostics = [];
    this.comments = lexed.comments;
    this.unreadable = lexed.unreadable;
    this.reported.clear();
    for (const { span } of lexed.diagnostics) this.reported.add(span.start);
    this.commentCursor = 0;
    this.stopped = false;
    this.braceMissing = false;
    this.input = [...lexed.tokens];
  }

  // Positions

  protected is(type: TokenType, ahead = 1): boolean {
    return tokenMatcher(this.LA(ahead), type);
  }

  protected endOf(token: IToken): number {
    return token.tokenType === EOF ? 0 : token.endOffset! + 1;
  }

  /** From a token to the last one consumed. */
  protected spanFrom(start: IToken | number): Span {
    if (this.RECORDING_PHASE) return { file: '', start: 0, end: 0 };
    const offset = typeof start === 'number' ? start : start.startOffset;
    return { file: this.source.file, start: offset, end: this.endOf(this.LA(0)) };
  }

  protected tokenSpan(token: IToken): Span {
    if (token.tokenType !== EOF) return { file: this.source.file, start: token.startOffset, end: this.endOf(token) };
    const end = this.endOf(this.LA(0));
    return { file: this.source.file, start: end, end };
  }

  protected identifierOf(token: IToken): Identifier {
    return { text: token.image, span: this.tokenSpan(token) };
  }

  /** Whether a line ends between the last token consumed and the next. */
  protected atNewLine(): boolean {
    if (this.LA(0).tokenType === EOF || this.LA(1).tokenType === EOF) return true;
    return /[\n\r]/.test(this.source.text.slice(this.endOf(this.LA(0)), this.LA(1).startOffset));
  }

  /** Whether the token before the next one stands on the same line and ends an operand. */
  protected operandBefore(): boolean {
    const before = this.LA(0);
    const ends = [T.Name, T.NumberLiteral, T.RightParen, T.RightBracket];
    return !this.atNewLine() && ends.some((type) => tokenMatcher(before, type));
  }

  protected lineOf(offset: number): number {
    return this.source.text.slice(0, offset).split(/\r\n|\r|\n/).length;
  }

  protected quote(span: Span): string {
    const text = this.source.text.slice(span.start, span.end).replace(/\s+/g, ' ');
    return text.length > 40 ? `${text.slice(0, 39)}…` : text;
  }

  /** The text of the `///` comments that stand directly before the next token, on lines of their own. */
  protected docBefore(): string | undefined {
    const from = this.endOf(this.LA(0));
    const to = this.LA(1).startOffset;
    const lines: string[] = [];
    for (; this.commentCursor < this.comments.length; this.commentCursor++) {
      const comment = this.comments[this.commentCursor];
      if (comment.span.start >= to) break;
      if (comment.span.start >= from && comment.kind === 'doc' && comment.own) {
        lines.push(comment.text.replace(/^\/\/\/ ?/, ''));
      }
    }
    return lines.length === 0 ? undefined : lines.join('\n');
  }

  // Mistakes

  /** Reports and goes on. A second mistake at the same place, or right after unreadable text, is the first one's echo. */
  protected report(code: Code, span: Span, message: string, help?: string): void {
    if (this.RECORDING_PHASE || this.stopped || this.reported.has(span.start)) return;
    // What could not be read has been reported: that is where the missing piece is.
    const textBefore = this.source.text.slice(0, span.start).trimEnd().length;
    if (this.unreadable.some(({ end }) => end === textBefore)) return;
    this.reported.add(span.start);
    const known = code === 'E0106' && help === undefined ? slipHelp(this.source.text, span.start) : help;
    this.diagnostics.push(error(code, span, message, known));
    if (this.diagnostics.length < mistakeLimit) return;
    this.stopped = true;
    const end = { file: this.source.file, start: this.source.text.length, end: this.source.text.length };
    this.diagnostics.push(error('E0117', end, `more than ${mistakeLimit} mistakes; the rest was not looked at`));
    while (this.LA(1).tokenType !== EOF) this.SKIP_TOKEN();
  }

  /** Reports and gives up the item. */
  protected fail(code: Code, span: Span, message: string, help?: string): never {
    this.report(code, span, message, help);
    throw new Abandoned();
  }

  /** The next token is not what must stand here. */
  protected failExpecting(expected: string, help?: string): never {
    this.reportExpecting(expected, 'E0106', help);
    throw new Abandoned();
  }

  protected reportExpecting(expected: string, code: Code, help?: string): void {
    const found = this.LA(1);
    const before = this.LA(0);
    const from = this.endOf(before);
    const to = found.tokenType === EOF ? this.source.text.length : found.startOffset;
    if (this.unreadable.some(({ start, end }) => start >= from && end <= to)) return;
    const nextLine = found.tokenType !== EOF && before.tokenType !== EOF && this.atNewLine();
    if (nextLine) {
      const span = { file: this.source.file, start: from, end: from };
      this.report(code, span, `expected ${expected} after ${foundWords(before)}`, help);
    } else {
      this.report(code, this.tokenSpan(found), `expected ${expected}, found ${foundWords(found)}`, help);
    }
  }

  /** Runs `read`; after a mistake in it reports that, skips to where reading can go on, and gives undefined. */
  protected recovering<R>(read: () => R, skip: () => void): R | undefined {
    if (this.RECORDING_PHASE) return read();
    const before = this.LA(1);
    try {
      return read();
    } catch (mistake) {
      if (mistake instanceof Error && isRecognitionException(mistake)) this.reportExpecting(mistake.message, 'E0106');
      else if (!(mistake instanceof Abandoned)) throw mistake;
      const stuck = this.LA(1) === before && before.tokenType !== EOF;
      if (stuck && skip !== this.skipToBlock) this.SKIP_TOKEN();
      skip();
      return undefined;
    }
  }

  protected skipToItem = (): void => {
    let open = 0;
    for (let type = this.LA(1).tokenType; type !== EOF; type = this.LA(1).tokenType) {
      if (type === T.Structure) return;
      if (open === 0 && (type === T.RightBrace || itemStarts.has(type) || this.itemBegins())) return;
      if (type === T.LeftBrace) open++;
      if (type === T.RightBrace) open--;
      this.SKIP_TOKEN();
    }
  };

  protected skipToTop = (): void => {
    while (this.LA(1).tokenType !== EOF && !topStarts.has(this.LA(1).tokenType)) this.SKIP_TOKEN();
  };

  protected skipLine = (): void => {
    while (this.LA(1).tokenType !== EOF && !this.atNewLine()) this.SKIP_TOKEN();
  };

  /** After a broken header: to its `{`, unless an item begins before. */
  protected skipToBlock = (): void => {
    for (let type = this.LA(1).tokenType; type !== EOF; type = this.LA(1).tokenType) {
      if (type === T.LeftBrace || type === T.RightBrace || itemStarts.has(type) || this.itemBegins()) return;
      this.SKIP_TOKEN();
    }
  };

  /** At a reserved word where a name must stand: by what follows it, it was meant as one, or it begins something else. */
  protected refuseReserved(expected: string): void {
    const token = this.LA(1);
    if (!followsName.has(this.LA(2).tokenType) || this.atNewLine()) this.failExpecting(expected);
    const message = `\`${token.image}\` is a reserved word and cannot be ${expected}`;
    this.report('E0108', this.tokenSpan(token), message, 'choose another name');
  }

  /** At the beginning of a line: a misspelt item, or a name, members, brackets, then `=` or `+=`. */
  private itemBegins(): boolean {
    if (!this.is(T.Name) || !this.atNewLine()) return false;
    if (this.is(T.Name, 2) && meantWord(this.LA(1).image, itemWords) !== undefined) return true;
    let open = 0;
    for (let ahead = 2; ahead < 200; ahead++) {
      const type = this.LA(ahead).tokenType;
      if (open === 0 && (type === T.Equal || type === T.PlusEqual)) return true;
      if (type === T.LeftBracket || type === T.LeftParen) open++;
      else if (type === T.RightBracket || type === T.RightParen) open--;
      else if (open === 0 && !joins(type) && !joins(this.LA(ahead - 1).tokenType)) return false;
      if (open < 0 || type === EOF || itemStarts.has(type)) return false;
    }
    return false;
  }
}
