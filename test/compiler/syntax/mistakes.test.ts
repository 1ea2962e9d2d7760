import { describe, expect, test } from 'vitest';
import { codes } from '../../../compiler/syntax/codes.ts';
import { parseText, places } from './support.ts';

const inA = (body: string) => `structure A {\n${body}\n}`;

/** One mistake a text: code, line and column, a piece of the message, a piece of the help. */
const single: readonly (readonly [text: string, place: string, message: string, help?: string])[] = [
  ['structure A { \0 }', 'E0101 1:15', 'NUL'],
  ['structure A { \uFFFD\uFFFD }', 'E0101 1:15', 'not UTF-8'],
  [inA(`y = ${'('.repeat(70)}x${')'.repeat(70)}`), 'E0102 2:68', 'more than 64 deep', 'equation of its own'],
  [inA('y = $'), 'E0103 2:5', '`$` has no meaning'],
  [inA('y = x | z'), 'E0103 2:7', '`|`', 'joined by `and`'],
  [inA('y = \u0007x'), 'E0103 2:5', 'U+0007'],
  [inA('y = x;'), 'E0103 2:6', '`;`', 'leave it out'],
  [inA('y = a × b'), 'E0103 2:7', '`×` is not an operator', 'write `*`'],
  [inA('y = a ** b'), 'E0103 2:7', '`**`', 'write `^`'],
  [inA('y = a where b ≤ c'), 'E0103 2:15', '`≤`', 'write `<=`'],
  [inA('/* y */ x = 3'), 'E0103 2:1', '`/*`', '`//`'],
  [inA('# y\nx = 3'), 'E0103 2:1', '`#`', '`//`'],
  [inA('check D == 1 "never closed'), 'E0104 2:14', 'no closing'],
  [inA('y = 2x'), 'E0105 2:5', '`2x` is neither', '`2 * x`'],
  [inA('y = _a'), 'E0105 2:5', 'begins with a letter'],
  [inA('y = .5 * x'), 'E0105 2:5', '`.5`', '`0.5`'],
  [inA('y = W[i, j'), 'E0106 2:11', 'expected an operator, `,` or `]` after `j`'],
  [inA('y ='), 'E0106 2:4', 'expected an expression after `=`'],
  [inA('y = +x'), 'E0106 2:5', 'expected an expression, found `+`'],
  [inA('y = x)'), 'E0106 2:6', '`)` closes nothing'],
  [inA('y == 3'), 'E0106 2:3', 'expected `=` or `+=`, found `==`', 'equation is written with `=`'],
  [inA('W[i] ~ ones'), 'E0106 2:6', 'found `~`', 'param W[i] ~'],
  [inA('check D = 3 "three"'), 'E0106 2:9', 'expected a comparison', '`==`'],
  [inA('y = x where t = 3'), 'E0106 2:15', 'found `=`', '`==`'],
  [inA('check D == 3'), 'E0106 2:13', 'in double quotes'],
  [inA('axis i, j'), 'E0106 2:10', '`:` and the size'],
  [inA('axis i: D, 3: E'), 'E0106 2:12', 'the name of an axis, found `3`'],
  [inA('input x[i + 1]'), 'E0106 2:11', 'expected `,` or `]`'],
  [inA('param W[i]'), 'E0106 2:11', '`~` and how the param begins'],
  [inA('param W ~ normal'), 'E0106 2:17', 'fan_in'],
  [inA('param W ~ ones, fixd'), 'E0106 2:17', 'expected `fixed`'],
  [inA('level l 0 .. 3 { }'), 'E0106 2:9', '`in`'],
  [inA('use B(D = 3)'), 'E0106 2:13', '`as`'],
  [inA('use B as b'), 'E0106 2:7', 'expected `(`'],
  [inA('output y[i]'), 'E0106 2:9', '`,` or the next item', 'without its indices'],
  [inA('else { y = 3 }'), 'E0106 2:1', 'no `if`'],
  ['import btt', 'E0106 1:8', 'path of a file'],
  ['fn f x = x', 'E0106 1:6', '`(`'],
  [inA('check 1 < D < 3 "x"'), 'E0107 2:13', 'do not chain', '`1 < D and D < 3`'],
  [inA('size level = 3'), 'E0108 2:6', '`level` is a reserved word', 'another name'],
  [inA('axis i, in: 3'), 'E0108 2:9', '`in` is a reserved word'],
  ['structure A {\n  y = 3', 'E0109 2:8', 'close the `structure` of line 1'],
  ['structure A {\n  level l in 0 .. 3 {\n}\n\nstructure B { }', 'E0109 3:2', 'close the `structure` of line 1'],
  ['structure A { } }', 'E0109 1:17', 'closes nothing'],
  ['size D = 3\nstructure A { }', 'E0110 1:1', '`size` stands inside a structure', 'around it'],
  ['y[i] = 3\nstructure A { }', 'E0110 1:1', 'an equation stands inside'],
  [inA('fn f(x) = x'), 'E0110 2:1', '`fn` stands outside'],
  [inA('import "b"'), 'E0110 2:1', '`import` stands outside'],
  [inA('param W ~ uniform(0, 1)'), 'E0111 2:11', '`uniform`', '`normal(std = …)`'],
  [inA('param W ~ one'), 'E0111 2:11', '`one`', 'did you mean `ones`?'],
  [inA('param W ~ normal(fanin = i)'), 'E0111 2:18', '`fanin`', 'did you mean `fan_in`?'],
  [inA('input x[i]: f64'), 'E0112 2:13', '`f64` is not an element type', '`f32`'],
  [inA('y = (a b)'), 'E0113 2:5', '`(a b)` can only be a whole index', '`a * b`'],
  [inA('y = W[(a b) + 1]'), 'E0113 2:7', 'whole index'],
  [inA('y[] = 3'), 'E0114 2:2', 'nothing in these brackets', 'without them'],
  [inA('input x[]'), 'E0114 2:8', 'nothing in these brackets'],
  [inA('y = m.f(x)'), 'E0115 2:5', '`m.f`', 'product'],
  [inA('y = f[i + 1](x)'), 'E0115 2:7', '`i + 1` is not an axis', 'product'],
  [inA('y = x[*]'), 'E0115 2:7', '`*` is not an index'],
  ['', 'E0116 1:1', 'neither a structure nor a function'],
  ['// only a comment\n/// and another\n', 'E0116 1:1', 'neither'],
  [' \n\t\r\n', 'E0116 1:1', 'neither'],
  ['import "b"', 'E0116 1:1', 'neither'],
  [inA('y = x where a < b where c < d'), 'E0118 2:19', 'one `where`', '`and`'],
  [inA('y = 1e999'), 'E0119 2:5', 'too large'],
  [inA('y = z.99999999999999999999'), 'E0119 2:7', 'too large'],
  [inA('input x[i], y[i]'), 'E0120 2:13', '`y` is its second', '`input y`'],
  [inA('param W ~ ones, V ~ ones'), 'E0120 2:17', '`V` is its second', '`param V`'],
  [inA('y = W[i, j] x[j]'), 'E0121 2:13', 'operator is missing before `x[j]`', '`* x[j]`'],
  [inA('y = 2 3'), 'E0121 2:7', 'operator is missing'],
  [inA('parm W ~ ones'), 'E0122 2:1', '`parm`', 'did you mean `param`?'],
  [inA('for i in 0 .. 3 { }'), 'E0122 2:1', '`for`', 'did you mean `level`?'],
  [inA('constructor W ~ ones'), 'E0122 2:1', '`constructor` begins no item'],
  ['structur A { y = 3 }', 'E0122 1:1', '`structur`', 'did you mean `structure`?'],
];

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
