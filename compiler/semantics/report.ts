/**
 * Where the analysis reports to, and what all of its parts share: options, diagnostics, budget.
 *
 * A level or a structure used several times would tell the same mistake many times over: one code at one place is told
 * once. The trap is time: "did you mean" over 20,000 names for 20,000 mistakes would take minutes, so both are bounded, and warnings
 * by themselves: however many there are, a mistake behind them is told.
 */
import { type Code, error, warning } from '../syntax/codes.ts';
import type { Diagnostic, Source, Span } from '../syntax/diagnostic.ts';
import { positionOf } from '../syntax/position.ts';
import { closest, looksLike } from '../syntax/suggest.ts';
import { prelude } from './prelude.ts';

export interface Report {
  readonly diagnostics: Diagnostic[];
  /** Something could not be said because a size has no value: there will be no program, and it is no mistake. */
  postponed: boolean;
  readonly error: (code: Code, span: Span, message: string, help?: string) => void;
  readonly warning: (code: Code, span: Span, message: string, help?: string) => void;
  /** "did you mean `b`?", or nothing. */
  readonly suggest: (word: string, candidates: Iterable<string>) => string | undefined;
  /** That a name stands behind a `//` on a line that begins otherwise, where whole division may have been meant. */
  readonly behindComment: (word: string, from: Span) => string | undefined;
  /** Counts work that a small file can ask for in any amount; throws `LimitError` when it is too much. */
  readonly spend: (amount: number, span: Span, what: string) => void;
  /** The text of a place on one line, shortened where it is long. */
  readonly textOf: (span: Span) => string;
  /** The text of a place, whole and as it stands. */
  readonly sourceOf: (span: Span) => string;
  /** The text of a place, whole, on one line and without comments: to be pasted. */
  readonly lineOfSource: (span: Span) => string;
  /** The call of a library function whose body one is in: what is told of the body is told there. */
  site: Span | undefined;
  readonly placeOf: (span: Span) => Span;
  /** `line 7`, or with its file where that is another. */
  readonly lineOf: (span: Span, from: Span) => string;
}

/** Thrown, and caught in `analyse.ts`, where a file asks for more than the compiler handles. */
export class LimitError extends Error {
  readonly span: Span;
  constructor(span: Span, message: string) {
    super(message);
    this.span = span;
  }
}

const suggestionLimit = 200;
const candidateLimit = 2000;
const quoteLimit = 60;
const workLimit = 2_000_000;
/** Errors that are told at most, and warnings. */
export const diagnosticLimit = 1000;

export function createReport(sources: () => readonly Source[]): Report {
  const diagnostics: Diagnostic[] = [];
  const told = new Set<string>();
  const counts = { error: 0, warning: 0 };
  let suggestions = 0;
  let work = 0;

  const placeOf = (span: Span): Span => (span.file === prelude.file ? (report.site ?? span) : span);
  const tell = (given: Diagnostic): void => {
    const diagnostic = { ...given, span: placeOf(given.span) };
    const { code, severity, span } = diagnostic;
    const key = `${code} ${span.file} ${span.start} ${span.end}`;
    if (told.has(key) || counts[severity] === diagnosticLimit) return;
    told.add(key);
    counts[severity] += 1;
    diagnostics.push(diagnostic);
  };

  const report: Report = {
    diagnostics,
    postponed: false,
    site: undefined,
    placeOf,
    error: (code, span, message, help) => tell(error(code, span, message, help)),
    warning: (code, span, message, help) => tell(warning(code, span, message, help)),
    suggest: (word, candidates) => {
      if (word.length > 64 || ++suggestions > suggestionLimit) return undefined;
      const near = closest(word, bounded(candidates));
      if (near === undefined) return undefined;
      const isLookAlike = near !== word && looksLike(near) === looksLike(word);
      return `did you mean \`${near}\`?${isLookAlike ? ` ${lookAlikeOf(word, near)}` : ''}`;
    },
    behindComment: (word, { file }) => {
      const text = sources().find((s) => s.file === file)?.text ?? '';
      if (word.length > 64 || ++suggestions > suggestionLimit) return undefined;
      const line = text.split(/\r\n|\r|\n/).findIndex((written) => isBehindComment(written, word));
      if (line < 0) return undefined;
      return `in line ${line + 1} it stands behind \`//\`, which begins a comment; to divide write \`/\``;
    },
    spend: (amount, span, what) => {
      work += amount;
      if (work > workLimit) throw new LimitError(placeOf(span), what);
    },
    lineOf: (span, from) => {
      const source = sources().find((s) => s.file === span.file);
      const line = source === undefined ? 1 : positionOf(source, span.start).line;
      return span.file === from.file ? `line ${line}` : `${span.file}:${line}`;
    },
    sourceOf: ({ file, start, end }) => {
      const source = sources().find((s) => s.file === file) ?? prelude;
      return source.file === file ? source.text.slice(start, end) : '';
    },
    lineOfSource: (span) => oneLine(report.sourceOf(span)),
    textOf: (span) => {
      const line = report.sourceOf(span).replace(/\s+/g, ' ');
      return line.length > quoteLimit ? `${line.slice(0, quoteLimit - 1)}…` : line;
    },
  };
  return report;
}

/** Whether the word stands in a comment that has something before it. */
function isBehindComment(line: string, word: string): boolean {
  const from = line.indexOf('//');
  if (from < 0 || line.slice(0, from).trim() === '') return false;
  return line
    .slice(from)
    .split(/[^\p{L}\p{Nd}_]+/u)
    .includes(word);
}

/** Which letter only looks like the one that is meant. */
function lookAlikeOf(word: string, meant: string): string {
  const [letters, others] = [[...word], [...meant]];
  const at = letters.findIndex((letter, i) => letter !== others[i]);
  const code = (letter: string): string => `U+${letter.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
  return `\`${letters[at]}\` is ${code(letters[at])} and only looks like \`${others[at]}\`, ${code(others[at])}`;
}

/** A piece of source on one line. */
export function oneLine(text: string): string {
  return text
    .replace(/\/\/[^\n\r]*/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

/** A report that nobody reads, for trying whether something would be a mistake. */
export function silently(report: Report): Report {
  const ignore = (): void => {};
  return { ...report, error: ignore, warning: ignore, suggest: () => undefined, diagnostics: [] };
}

function* bounded(candidates: Iterable<string>): Generator<string> {
  let count = 0;
  for (const candidate of candidates) {
    if (++count > candidateLimit) return;
    if (candidate.length <= 64) yield candidate;
  }
}
