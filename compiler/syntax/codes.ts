/**
 * The one table of diagnostic codes of the whole compiler, and the two functions that make a diagnostic.
 *
 * E00xx is what the commands report, E01xx the parser, E02xx and further `semantics/`, W... are warnings. A code is stable: it
 * is never given a second meaning, so that people can search for it. To add one, add a line here; `Code` follows.
 */
import type { Diagnostic, Span } from './diagnostic.ts';

export const codes = {
  // Before there is a text
  E0001: 'file cannot be read',

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

  // Files and what they hold
  E0201: 'import not found',
  E0202: 'import cycle',
  E0203: 'no structure',
  E0204: 'unknown structure',
  E0205: 'structure without output',
  E0206: 'structure uses itself',
  E0207: 'binding of use',
  E0208: 'structure does not fit its slot',
  E0209: 'slot without a structure',
  E0210: 'unknown slot filled',
  // Sizes
  E0301: 'unknown size bound',
  E0302: 'size without a value',
  E0303: 'cycle of sizes',
  E0304: 'inexact division',
  E0305: 'impossible arithmetic',
  E0306: 'list or number',
  E0307: 'list index out of range',
  E0308: 'size out of range',
  E0309: 'broken check',
  E0310: 'axis without extent',
  E0312: 'shape does not fit',
  E0313: 'not a size',
  // Names
  E0401: 'unknown name',
  E0402: 'wrong kind of name',
  E0403: 'unknown member',
  E0404: 'declared twice',
  E0405: 'not to be defined',
  E0406: 'cycle of definitions',
  E0407: 'unknown function',
  E0408: 'wrong arguments',
  E0409: 'recursive function',
  // Indices and shapes
  E0501: 'wrong number of indices',
  E0502: 'index not affine',
  E0503: 'read out of bounds',
  E0504: 'write out of bounds',
  E0505: 'element written twice',
  E0506: 'not an index tensor',
  E0507: 'axes repeat',
  E0508: 'tensor too large',
  E0510: 'not a whole number',
  // Expressions
  E0601: 'axis in no product',
  E0602: 'not a condition',
  E0603: 'not a value',
  E0604: 'not a finite number',
  E0605: 'initialisation',
  E0606: 'condition on unrelated sums',
  E0607: 'product with two readings',
  // What a structure is used for
  E0801: 'score looks ahead',
  E0802: 'no equal in PyTorch',

  // Limits
  E0901: 'too large for the compiler',

  W0201: 'unused size',
  W0202: 'unused tensor',
  W0601: 'axis that one factor carries',
  W0602: 'one axis for two contractions',
  W0603: 'axes in another order than declared',
} as const satisfies Record<string, string>;

export type Code = keyof typeof codes;

export function error(code: Code, span: Span, message: string, help?: string): Diagnostic {
  return { code, severity: 'error', span, message, ...(help === undefined ? {} : { help }) };
}

export function warning(code: Code, span: Span, message: string, help?: string): Diagnostic {
  return { code, severity: 'warning', span, message, ...(help === undefined ? {} : { help }) };
}
