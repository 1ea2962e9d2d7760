import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Expression } from '../../../compiler/syntax/ast.ts';
import { depthLimit } from '../../../compiler/syntax/depth.ts';
import { formatSource } from '../../../compiler/syntax/format.ts';
import { tokenize } from '../../../compiler/syntax/lexer.ts';
import { renderDiagnostics } from '../../../compiler/syntax/render.ts';
import { vocabulary } from '../../../compiler/syntax/tokens.ts';
import { cpuTimeMs } from '../../support/cpu-time.ts';
import { parseText, structures } from './support.ts';

/** A diagnostic, well placed and printable, or a structure: never an exception, never nothing. */
function survives(text: string): void {
  const { file, diagnostics } = parseText(text);
  if (diagnostics.length === 0) expect(file.structures.length + file.functions.length).toBeGreaterThan(0);
  for (const { span, message } of diagnostics) {
    expect(span.start).toBeGreaterThanOrEqual(0);
    expect(span.end).toBeGreaterThanOrEqual(span.start);
    expect(span.end).toBeLessThanOrEqual(text.length);
    expect(message).not.toMatch(/undefined|NaN|\[object/);
  }
  renderDiagnostics(diagnostics, [{ file: 'test.mlbtc', text }]);
}

describe('damaged files', () => {
  test.each(structures.map((s) => [s.file, s] as const))(
    '%s: every prefix, every token left out',
    (_, { file, text }) => {
      const { tokens } = tokenize({ file, text });
      for (const { startOffset, endOffset } of tokens) {
        survives(text.slice(0, startOffset));
        survives(text.slice(0, startOffset) + text.slice(endOffset! + 1));
      }
    },
  );

  test.each(['mlr.mlbtc', 'monarch.mlbtc'])('%s: every prefix by character', (name) => {
    const { text } = structures.find((s) => s.file === name)!;
    for (let end = 0; end < text.length; end++) survives(text.slice(0, end));
  });

  test('a prefix of a structure always has a mistake', () => {
    const { file, text } = structures.find((s) => s.file === 'mlr.mlbtc')!;
    const { tokens } = tokenize({ file, text });
    for (const { startOffset } of tokens) expect(parseText(text.slice(0, startOffset)).diagnostics).not.toEqual([]);
  });

  test('random tokens', () => {
    const words = vocabulary.flatMap(({ PATTERN }) => (typeof PATTERN === 'string' ? [PATTERN] : []));
    const token = fc.constantFrom(
      ...words,
      'x',
      'y',
      'ones',
      '3',
      '1.5',
      '"text"',
      '\n',
      '// c\n',
      '/// d\n',
      '$',
      '2x',
    );
    const text = fc.array(token, { maxLength: 60 }).map((tokens) => tokens.join(' '));
    fc.assert(
      fc.property(
        fc.oneof(
          text,
          text.map((t) => `structure A { ${t} }`),
        ),
        (t) => {
          survives(t);
          formatSource({ file: 'test.mlbtc', text: t });
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('random characters', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), survives), { numRuns: 500 });
  });
});

describe('not a text', () => {
  test.each([
    ['a tensor file', '\u0010\0\0\0\0\0\0\0{"x":{"dtype":"F32"}}\0\uFFFD\uFFFD'],
    ['UTF-16', 'structure A { y = 3 }'.replace(/./g, '$&\0')],
    ['Latin-1', 'structure A { // caf\uFFFD\n y = 3 }'],
    ['a flood', '\uFFFD'.repeat(100_000)],
  ])('%s gives one diagnostic', (_, text) => {
    expect(parseText(text).diagnostics.map((d) => d.code)).toEqual(['E0101']);
  });
});

describe('nesting', () => {
  const inA = (expression: string) => `structure A { y = ${expression} }`;
  const bombs: readonly (readonly [string, (n: number) => string])[] = [
    ['parentheses', (n) => inA(`${'('.repeat(n)}x${')'.repeat(n)}`)],
    ['unclosed parentheses', (n) => inA('('.repeat(n))],
    ['brackets', (n) => inA(`${'x['.repeat(n)}i${']'.repeat(n)}`)],
    ['calls', (n) => inA(`${'f('.repeat(n)}i${')'.repeat(n)}`)],
    ['lists', (n) => inA('['.repeat(n) + ']'.repeat(n))],
    ['minus signs', (n) => inA(`${'-'.repeat(n)}x`)],
    ['minus signs apart', (n) => inA(`${'- '.repeat(n)}x`)],
    ['powers', (n) => inA(`a${'^a'.repeat(n)}`)],
    ['powers of powers', (n) => inA(`a${'^-a'.repeat(n / 2)}`)],
    ['powers of reads', (n) => inA(`a${'^a[i]'.repeat(n)}`)],
    ['members', (n) => inA(`${'z.('.repeat(n)}l${')'.repeat(n)}`)],
    ['levels', (n) => `structure A { ${'level l in 0 .. 1 {'.repeat(n)} ${'}'.repeat(n)} }`],
    ['ifs', (n) => `structure A { ${'if a == 1 {'.repeat(n)} ${'}'.repeat(n)} }`],
    ['else ifs', (n) => `structure A { if a == 1 { } ${'else if a == 2 { }'.repeat(n)} }`],
    ['braces', (n) => '{'.repeat(n)],
    ['all of them', (n) => inA('-f[i](2^(-z.(l[('.repeat(n))],
  ];

  test.each(bombs)('%s', (_, text) => {
    const { file, diagnostics } = parseText(text(10_000));
    expect(diagnostics.map((d) => d.code)).toEqual(['E0102']);
    expect(file.structures).toEqual([]);
  });

  test.each(bombs.filter(([name]) => !/unclosed|braces|all/.test(name)))('%s up to the limit', (_, text) => {
    const codes = parseText(text(depthLimit - 2)).diagnostics.map((d) => d.code);
    expect(codes).toEqual([]);
    const result = formatSource({ file: 'a', text: text(depthLimit / 2 - 2) });
    expect(result).toHaveProperty('text');
  });

  test('the diagnostic stands where the limit is passed', () => {
    const text = inA(`${'('.repeat(100)}x`);
    const [{ span }] = parseText(text).diagnostics;
    // One brace, then the parentheses.
    expect(span.start).toBe(text.indexOf('(') + depthLimit - 1);
  });

  test('chains end with their operand', () => {
    const many = (piece: string) => `structure A { ${piece.repeat(200)} }`;
    for (const piece of ['y = a^b^c ', 'y = -x - -x ', 'if a == 1 { } else if a == 2 { } ', 'y = f(a^2, -b)^2 ']) {
      expect(parseText(many(piece)).diagnostics).toEqual([]);
    }
    expect(parseText(`structure A { y = x${' - -x^2'.repeat(500)} }`).diagnostics).toEqual([]);
  });
});

describe('large files', () => {
  test('20,000 lines in seconds', () => {
    const lines = Array.from(
      { length: 20_000 },
      (_, i) => `  y${i}[b, i] = W[i, (j k)] * x[b, j] + exp(z.${i}[k] / 2)`,
    );
    const takenMs = cpuTimeMs(() => {
      const { file, diagnostics } = parseText(`structure A {\n${lines.join('\n')}\n}\n`);
      expect(diagnostics).toEqual([]);
      expect(file.structures[0].items).toHaveLength(20_000);
    });
    expect(takenMs).toBeLessThan(20_000);
  });

  test('20,000 lines, each with a mistake', () => {
    const { diagnostics } = parseText(`structure A {\n${'  output y[b]\n  param W[b, i = W[i, j\n'.repeat(10_000)}}\n`);
    expect(diagnostics).toHaveLength(101);
  });

  test.each([
    ['sum', ' + ', (e: Expression) => e.kind === 'sum' && e.terms.length],
    ['product', ' * ', (e: Expression) => e.kind === 'product' && e.factors.length],
    ['conjunction', ' and ', (e: Expression) => e.kind === 'and' && e.operands.length],
  ])('a %s of 20,000 is one node', (_, operator, length) => {
    const text = `structure A { y = ${Array.from({ length: 20_000 }, (_, i) => `x${i}`).join(operator)} }`;
    const { file, diagnostics } = parseText(text);
    expect(diagnostics).toEqual([]);
    const [item] = file.structures[0].items;
    expect(item.kind === 'equation' && length(item.value)).toBe(20_000);
    const result = formatSource({ file: 'a', text });
    expect('text' in result && result.text.length).toBeGreaterThan(100_000);
  });

  test('a comparison of 20,000 is one mistake', () => {
    expect(parseText(`structure A { y = ${'a < '.repeat(20_000)} b }`).diagnostics.map((d) => d.code)).toEqual([
      'E0107',
    ]);
  });

  test('a line of a million characters', () => {
    survives(`structure A { y = ${'x'.repeat(1_000_000)} $ }`);
    survives(`structure A { check a == 1 "${'x'.repeat(1_000_000)} }`);
    survives('/'.repeat(1_000_000));
    survives('/*'.repeat(500_000));
    survives('"'.repeat(100_001));
    survives('.'.repeat(100_000));
  });
});
