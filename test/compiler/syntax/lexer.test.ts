import { describe, expect, test } from 'vitest';
import { tokenize } from '../../../compiler/syntax/lexer.ts';
import { reservedWords } from '../../../compiler/syntax/tokens.ts';

const images = (text: string) => tokenize({ file: 'a', text }).tokens.map((token) => token.image);
const types = (text: string) => tokenize({ file: 'a', text }).tokens.map((token) => token.tokenType.name);

describe('tokens', () => {
  test.each([
    ['0..3', ['0', '..', '3']],
    ['1.5 1e-5 2E+3 1.5e3', ['1.5', '1e-5', '2E+3', '1.5e3']],
    ['1.5..2.5', ['1.5', '..', '2.5']],
    ['U.0.1', ['U', '.', '0', '.', '1']],
    ['m.z.0..3', ['m', '.', 'z', '.', '0', '..', '3']],
    ['z.(l+1).0', ['z', '.', '(', 'l', '+', '1', ')', '.', '0']],
    ['a+=b==c<=d!=e', ['a', '+=', 'b', '==', 'c', '<=', 'd', '!=', 'e']],
    ['αβ_1 x² 行列 𝔘', ['αβ_1', 'x', '行列', '𝔘']],
    ['input in inner', ['input', 'in', 'inner']],
    ['"a // b" // c\nd', ['"a // b"', 'd']],
    ['\uFEFF\u00A0a\tb\r\nc', ['a', 'b', 'c']],
  ])('%s', (text, expected) => expect(images(text)).toEqual(expected));

  test('the reserved words are those of the language page, and only whole words', () => {
    expect([...reservedWords].sort()).toEqual(
      'structure size check axis input param const fixed level in slot use as import fn output where and if else'
        .split(' ')
        .sort(),
    );
    for (const word of reservedWords) {
      expect(types(word)).toEqual([`Reserved_${word}`]);
      expect(types(`${word}s ${word}_ ${word}1 ${word}é`)).toEqual(['Name', 'Name', 'Name', 'Name']);
    }
  });

  test('comments', () => {
    const { comments } = tokenize({ file: 'a', text: '// a  \r\nx /// b\n  /// c\n//// d\n//' });
    expect(comments.map(({ kind, text, own }) => [kind, text, own])).toEqual([
      ['line', '// a', true],
      ['doc', '/// b', false],
      ['doc', '/// c', true],
      ['line', '//// d', true],
      ['line', '//', true],
    ]);
    expect(comments[2].span).toEqual({ file: 'a', start: 18, end: 23 });
  });

  test('what was meant takes the place of what was written', () => {
    const { tokens, diagnostics } = tokenize({ file: 'a', text: 'a × b ≤ c ** 2' });
    expect(tokens.map((t) => t.image)).toEqual(['a', '*', 'b', '<=', 'c', '^', '2']);
    expect(tokens.map((t) => [t.startOffset, t.endOffset])).toContainEqual([10, 11]);
    expect(diagnostics.map((d) => d.span.end - d.span.start)).toEqual([1, 1, 2]);
  });
});
