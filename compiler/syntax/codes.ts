/**
 * The one table of diagnostic codes of the whole compiler, and the two functions that make a diagnostic.
 *
 * E01xx is what the parser reports, E02xx and further what `semantics/` does, W... are warnings. A code is stable: it
 * is never given a second meaning, so that people can search for it. To add one, add a line here; `Code` follows.
 */
import type { Diagnostic, Span } from './diagnostic.ts';

export const codes = {
  // The text of a file
  E0101: 'not a text file',
  E0102: 'nested too deeply',
  E0103: 'unexpected character',
  E0104: 'unterminated string',
  E0105: 'malformed number or name',
  E0106: 'unexpected token',
  E0107: 'comparisons do not chain',
  E0108: 'reserved word used as a name',
  E0109: 'unbalanced brace',
  E0110: 'item in the wrong place',
  E0111: 'unknown initialisation',
  E0112: 'unknown element type',
  E0113: 'group outside an index',
  E0114: 'empty brackets',
  E0115: 'not a function call',
  E0116: 'nothing in the file',
  E0117: 'too many mistakes',
  E0118: 'more than one where',
  E0119: 'number out of range',
  E0120: 'one declaration an item',
  E0121: 'missing operator',
  E0122: 'unknown item',
} as const satisfies Record<string, string>;

export type Code = keyof typeof codes;

export function error(code: Code, span: Span, message: string, help?: string): Diagnostic {
  return { code, severity: 'error', span, message, ...(help === undefined ? {} : { help }) };
}

export function warning(code: Code, span: Span, message: string, help?: string): Diagnostic {
  return { code, severity: 'warning', span, message, ...(help === undefined ? {} : { help }) };
}
