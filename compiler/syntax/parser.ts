/**
 * Text → syntax tree and diagnostics: the one door into this folder.
 *
 * Lexer, then the depth check, then the grammar. A file is always given, with what could be read of it: an item with a
 * mistake is left out of the tree. So a tree that comes with an error is for an editor's outline, not for the compiler.
 */

import type { FunctionItem, ImportItem, SourceFile, Structure } from './ast.ts';
import { error } from './codes.ts';
import { checkDepth } from './depth.ts';
import type { Diagnostic, Source } from './diagnostic.ts';
import { readFile, type TopItem } from './grammar.ts';
import { tokenize } from './lexer.ts';
import { mistakeLimit } from './recovery.ts';

export interface ParseResult {
  readonly file: SourceFile;
  readonly diagnostics: readonly Diagnostic[];
}

const results = new WeakMap<Source, ParseResult>();

export function parse(source: Source): ParseResult {
  const known = results.get(source) ?? parseText(source);
  results.set(source, known);
  return known;
}

function parseText(source: Source): ParseResult {
  const lexed = tokenize(source);
  const diagnostics: Diagnostic[] = [...lexed.diagnostics];
  let items: readonly TopItem[] = [];

  const readable = !diagnostics.some((d) => d.code === 'E0101');
  const tooDeep = readable ? checkDepth(source.file, lexed.tokens) : [];
  diagnostics.push(...tooDeep);
  // The parser recurses over nesting, so it must not even look at a file that nests too deeply.
  if (readable && tooDeep.length === 0) {
    const parsed = readFile(source, lexed);
    items = parsed.items;
    diagnostics.push(...parsed.diagnostics);
  }

  const structures = items.filter((item): item is Structure => item.kind === 'structure');
  const functions = items.filter((item): item is FunctionItem => item.kind === 'function');
  const imports = items.filter((item): item is ImportItem => item.kind === 'import');
  if (diagnostics.length === 0 && structures.length === 0 && functions.length === 0) {
    const span = { file: source.file, start: 0, end: 0 };
    const help = 'write `structure NAME { … }`';
    diagnostics.push(error('E0116', span, 'the file holds neither a structure nor a function', help));
  }

  const { file, text } = source;
  return {
    file: { file, text, imports, functions, structures, items, comments: lexed.comments },
    diagnostics: inOrder(diagnostics, source),
  };
}

/** By position, and no more of them than a person reads. */
function inOrder(diagnostics: Diagnostic[], { file, text }: Source): Diagnostic[] {
  diagnostics.sort((a, b) => a.span.start - b.span.start);
  if (diagnostics.length <= mistakeLimit + 1) return diagnostics;
  const shown = diagnostics.filter((d) => d.code !== 'E0117').slice(0, mistakeLimit);
  const end = { file, start: text.length, end: text.length };
  return [...shown, error('E0117', end, `more than ${mistakeLimit} mistakes; the rest was not looked at`)];
}
