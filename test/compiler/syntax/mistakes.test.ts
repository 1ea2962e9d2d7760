import { describe, expect, test } from 'vitest';
import { codes } from '../../../compiler/syntax/codes.ts';
import { inA, single } from './mistakes.ts';
import { parseText, places } from './support.ts';

describe('one mistake, one diagnostic', () => {
  test.each(single.map(([text, place, message, help]) => ({ text, place, message, help })))('$text', (mistake) => {
    const { text, place, message, help } = mistake;
    expect(places(text)).toEqual([place]);
    const [diagnostic] = parseText(text).diagnostics;
    expect(diagnostic.message).toContain(message);
    if (help !== undefined) expect(diagnostic.help).toContain(help);
    expect(diagnostic.severity).toBe('error');
    expect(diagnostic.span.end).toBeGreaterThanOrEqual(diagnostic.span.start);
  });

  test('every code of the parser is reached', () => {
    const reached = new Set(single.map(([, place]) => place.slice(0, 5)));
    reached.add('E0117'); // below
    expect(Object.keys(codes).filter((code) => code.startsWith('E01') && !reached.has(code))).toEqual([]);
  });

  test('messages speak of the language, not of the parser', () => {
    for (const [text] of single) {
      for (const { message, help } of parseText(text).diagnostics) {
        expect(`${message} ${help}`).not.toMatch(/Literal|Token|LeftParen|RightB|Reserved_|EOF|NaN|undefined`/);
      }
    }
  });
});

describe('several mistakes, several diagnostics', () => {
  test('each item has its own', () => {
    const text = `structure A {
  size D = , H = 8
  axis i D
  input x[2]
  param W[i] ~ uniform(3)
  y[i] = W[i j] * x[j]
  z[i] = W[i] x[i]
  level l in 0 ... 3 {
    parm U ~ ones
    q = (3
  }
  check D < 3 < 4 "no"
  output y[i]
}
structur B {
}
structure C {
  y = * 3
}`;
    expect(places(text)).toEqual([
      'E0106 2:12', // no value
      'E0106 3:10', // no colon
      'E0106 4:11', // 2 is no axis
      'E0111 5:16',
      'E0106 6:14', // no comma
      'E0121 7:15',
      'E0106 8:18', // `...`
      'E0122 9:5',
      'E0106 10:11', // no `)`
      'E0107 12:15',
      'E0106 13:11',
      'E0122 15:1',
      'E0106 18:7',
    ]);
  });

  test('what is right is kept', () => {
    const { file } = parseText(inA('size D = 3\naxis i D\ny = 4\nlevel l in { z = 3 }\noutput y'));
    expect(file.structures[0].items.map((item) => item.kind)).toEqual(['size', 'equation', 'output']);
  });

  test('a hundred are enough', () => {
    const { diagnostics } = parseText(inA('y = )\n'.repeat(500)));
    expect(diagnostics).toHaveLength(101);
    expect(diagnostics[100].code).toBe('E0117');
    const characters = parseText('$ x '.repeat(500)).diagnostics;
    expect(characters).toHaveLength(101);
    expect(characters[100].code).toBe('E0117');
  });
});
