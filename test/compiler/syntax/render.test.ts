import { describe, expect, test } from 'vitest';
import { error, warning } from '../../../compiler/syntax/codes.ts';
import { renderDiagnostic, renderDiagnostics, toJson } from '../../../compiler/syntax/render.ts';
import { parseText } from './support.ts';

function rendered(text: string, marked: string, help?: string): string {
  const start = text.indexOf(marked);
  const span = { file: 'a.mlbtc', start, end: start + marked.length };
  return renderDiagnostic(error('E0106', span, 'wrong', help), [{ file: 'a.mlbtc', text }]);
}

describe('a diagnostic as text', () => {
  test('file, place, line, caret, help', () => {
    expect(rendered('structure A {\n  y = x z\n}\n', 'z', 'write `* z`')).toBe(
      `a.mlbtc:2:9: error E0106: wrong
  2 |   y = x z
    |         ^
  help: write \`* z\``,
    );
  });

  test('the whole span is underlined, to the end of its first line', () => {
    expect(rendered('y = foo(a,\n  b)', 'foo(a,\n  b)')).toContain('  1 | y = foo(a,\n    |     ^^^^^^');
  });

  test('CRLF, CR and BOM', () => {
    expect(rendered('\uFEFFa\r\nbc\r\n', 'c')).toContain('a.mlbtc:2:2: error');
    expect(rendered('\uFEFFa\r\nbc\r\n', 'c')).toContain('  2 | bc\n    |  ^');
    expect(rendered('a\rbc\rd', 'd')).toContain('a.mlbtc:3:1:');
    expect(rendered('\uFEFFab', 'b')).toContain('a.mlbtc:1:2:');
  });

  test('columns are code points, carets stand where a terminal puts them', () => {
    expect(rendered('\t\tx = y', 'y')).toBe('a.mlbtc:1:7: error E0106: wrong\n  1 |     x = y\n    |         ^');
    expect(rendered('𝔘𝔘 = y', 'y')).toBe('a.mlbtc:1:6: error E0106: wrong\n  1 | 𝔘𝔘 = y\n    |      ^');
    expect(rendered('行列 = y', 'y')).toBe('a.mlbtc:1:6: error E0106: wrong\n  1 | 行列 = y\n    |        ^');
    expect(rendered('行列 = y', '列')).toContain('  1 | 行列 = y\n    |   ^^');
    expect(rendered('e\u0301 = y', 'y')).toContain('  1 | e\u0301 = y\n    |     ^');
  });

  test('a place at the end of a line or of the file', () => {
    const source = { file: 'a', text: 'y =\nz' };
    const at = (start: number) =>
      renderDiagnostic(error('E0106', { file: 'a', start, end: start }, 'm'), [source])
        .split('\n')
        .slice(1);
    expect(at(3)).toEqual(['  1 | y =', '    |    ^']);
    expect(at(5)).toEqual(['  2 | z', '    |  ^']);
    expect(renderDiagnostic(error('E0116', { file: 'b', start: 0, end: 0 }, 'm'), [{ file: 'b', text: '' }])).toBe(
      'b:1:1: error E0116: m\n  1 | \n    | ^',
    );
  });

  test('a very long line is clipped around the caret', () => {
    const long = `${'a + '.repeat(200)}$${' + b'.repeat(200)}`;
    const lines = rendered(long, '$').split('\n');
    expect(lines[0]).toContain('a.mlbtc:1:801:');
    expect(lines[1]).toMatch(/^ {2}1 \| ….*\$.*…$/);
    expect(lines[1].length).toBeLessThan(120);
    expect(lines[2].indexOf('^')).toBe(lines[1].indexOf('$'));
    const end = rendered(`${'x'.repeat(1_000_000)}$`, '$').split('\n');
    expect(end[1].length).toBeLessThan(120);
    expect(end[2].indexOf('^')).toBe(end[1].indexOf('$'));
  });

  test('control characters are shown, not sent', () => {
    const text = rendered('y = "\u001b[31m\u202E" $', '$');
    for (const sent of ['\u001b', '\u202E']) expect(text).not.toContain(sent);
    expect(text).toContain('\uFFFD[31m');
  });

  test('a file whose text is not at hand', () => {
    expect(renderDiagnostic(error('E0101', { file: 'gone', start: 3, end: 4 }, 'm', 'h'), [])).toBe(
      'gone: error E0101: m\n  help: h',
    );
  });

  test('several, and how many', () => {
    const source = { file: 'test.mlbtc', text: 'structure A { y = }\nstructure B { z = }' };
    const { diagnostics } = parseText(source.text);
    const text = renderDiagnostics([...diagnostics, warning('E0106', diagnostics[0].span, 'w')], [source]);
    expect(text).toMatch(/2 errors, 1 warning\n$/);
    expect(text.match(/ \| /g)).toHaveLength(6);
    expect(renderDiagnostics([], [])).toBe('');
  });
});

test('as JSON', () => {
  const source = { file: 'a', text: '\n  𝔘 x' };
  const span = { file: 'a', start: 6, end: 7 };
  expect(toJson(error('E0106', span, 'm', 'h'), [source])).toEqual({
    code: 'E0106',
    severity: 'error',
    file: 'a',
    line: 2,
    column: 5,
    message: 'm',
    help: 'h',
  });
  expect(toJson(warning('E0106', span, 'm'), [source])).toMatchObject({ severity: 'warning', help: null });
});
