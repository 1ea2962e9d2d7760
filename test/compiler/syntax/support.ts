/** What the syntax tests share: the structures of the language page, trees without positions, expressions as S-expressions. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Expression, Item, SourceFile } from '../../../compiler/syntax/ast.ts';
import type { Diagnostic, Source } from '../../../compiler/syntax/diagnostic.ts';
import { parse } from '../../../compiler/syntax/parser.ts';

const folder = fileURLToPath(new URL('../../structures/', import.meta.url));

export const structures: readonly Source[] = readdirSync(folder)
  .filter((name) => name.endsWith('.mlbtc'))
  .map((file) => ({ file, text: readFileSync(folder + file, 'utf8') }));

/** A tree with everything dropped that layout may change: positions, the text, where comments stood. */
export function withoutPositions(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPositions);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'span' && key !== 'pathSpan' && !(key === 'text' && 'imports' in value))
      .map(([key, inner]) => [key, withoutPositions(inner)]),
  );
}

export function parseText(text: string): { file: SourceFile; diagnostics: readonly Diagnostic[] } {
  return parse({ file: 'test.mlbtc', text });
}

/** The items of a structure with this body, which must have no mistakes. */
export function items(body: string): readonly Item[] {
  const { file, diagnostics } = parseText(`structure A {\n${body}\n}`);
  if (diagnostics.length > 0) throw new Error(`${body}: ${diagnostics.map((d) => d.message).join('; ')}`);
  return file.structures[0].items;
}

/** The tree of one expression. */
export function tree(text: string): string {
  const [item, ...more] = items(`y = ${text}`);
  if (item.kind !== 'equation' || more.length > 0) throw new Error(`${text} is more than an expression`);
  return show(item.value);
}

/** `code line:column` of each diagnostic. */
export function places(text: string): string[] {
  return parseText(text).diagnostics.map((d) => {
    const before = text.slice(0, d.span.start).split('\n');
    return `${d.code} ${before.length}:${before[before.length - 1].length + 1}`;
  });
}

export function show(e: Expression): string {
  switch (e.kind) {
    case 'number':
      return e.text;
    case 'name':
      return reference(e.reference);
    case 'read':
      return `${reference(e.reference)}[${e.indices.map(show).join(' ')}]`;
    case 'call':
      return `${e.callee.text}${e.every ? '[*]' : e.axes === undefined ? '' : `[${e.axes.map((a) => a.text).join(' ')}]`}(${e.arguments.map(show).join(', ')})`;
    case 'list':
      return `[${e.elements.map(show).join(' ')}]`;
    case 'group':
      return `<${e.axes.map((a) => a.text).join(' ')}>`;
    case 'paren':
      return `{${show(e.inner)}}`;
    case 'negate':
      return `(neg ${show(e.operand)})`;
    case 'sum':
      return `(${e.terms.map((t) => `${t.operator} ${show(t.value)}`).join(' ')})`;
    case 'product':
      return `(${e.factors.map((f) => `${f.operator} ${show(f.value)}`).join(' ')})`;
    case 'power':
      return `(^ ${show(e.base)} ${show(e.exponent)})`;
    case 'compare':
      return `(${e.operator} ${show(e.left)} ${show(e.right)})`;
    case 'and':
      return `(and ${e.operands.map(show).join(' ')})`;
    case 'where':
      return `(where ${show(e.value)} ${show(e.condition)})`;
    default:
      return e satisfies never;
  }
}

function reference(r: { name: { text: string }; members: readonly { kind: string }[] }): string {
  return `${r.name.text}${(r.members as never[]).map(member).join('')}`;
}

function member(m: { kind: string; value: number | Expression; name: { text: string } }): string {
  if (m.kind === 'integer') return `.${m.value as number}`;
  return m.kind === 'name' ? `.${m.name.text}` : `.(${show(m.value as Expression)})`;
}
