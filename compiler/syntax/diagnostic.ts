/**
 * Diagnostics: what a user sees when a `.mlbtc` file is wrong. Every stage of the compiler reports through this one type;
 * an exception is a bug of ours. `render.ts` prints them with the source line and a caret.
 */

/** Half-open range of UTF-16 offsets into one source file. */
export interface Span {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

export interface Diagnostic {
  /** Stable code such as `E0201`; the table of all codes is `codes.ts`. */
  readonly code: string;
  readonly severity: 'error' | 'warning';
  readonly span: Span;
  /** What is wrong, in the user's own names, with both values. */
  readonly message: string;
  /** What to do about it, where there is something. */
  readonly help?: string;
}

/** A source text with its name, as the user gave it. */
export interface Source {
  readonly file: string;
  readonly text: string;
}
