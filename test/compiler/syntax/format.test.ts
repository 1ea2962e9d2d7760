import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Comment, SourceFile } from '../../../compiler/syntax/ast.ts';
import { format, formatSource } from '../../../compiler/syntax/format.ts';
import { lineWidth } from '../../../compiler/syntax/layout.ts';
import { tokenize } from '../../../compiler/syntax/lexer.ts';
import { sourceFile } from './arbitrary.ts';
import { parseText, structures, withoutPositions } from './support.ts';

function formatted(text: string): string {
  const result = formatSource({ file: 'test.mlbtc', text });
  if ('diagnostics' in result) throw new Error(result.diagnostics.map((d) => d.message).join('; '));
  return result.text;
}

const bare = (file: SourceFile) => withoutPositions({ ...file, comments: [] });
const commentsOf = (file: SourceFile) => file.comments.map(({ kind, text, own }: Comment) => ({ kind, text, own }));

describe('the layout', () => {
  test('spacing', () => {
    expect(
      formatted(`import   "btt.mlbtc"
fn f [ i,j ] (x,y)=-x ^ - 2*y
structure A{size D=256,r=[8,8] size(a,b)=split(D),c
check D%2^(len(r)-1)==0 "even"
axis b:B,i,j:D input x[b,i]:i32 input s:f32
param W[o,i]~normal(fan_in=(o i)),fixed param g~normal( std=0.02 )
level l in 0..len(r)-1{z.(l+1)[(o e)]+=-z.l[(o e)]-2*y where u<=t and t-u<=3}
if a==1{y=1}else if b!=2{y=mean[*](x)}else{}
use B(D=D,x=z)as m output y,m.z.0}`),
    ).toBe(`import "btt.mlbtc"

fn f[i, j](x, y) = -x^-2 * y

structure A {
  size D = 256, r = [8, 8]
  size (a, b) = split(D), c
  check D % 2^(len(r) - 1) == 0  "even"
  axis b: B, i, j: D
  input x[b, i]: i32
  input s
  param W[o, i] ~ normal(fan_in = (o i)), fixed
  param g ~ normal(std = 0.02)
  level l in 0 .. len(r) - 1 {
    z.(l + 1)[(o e)] += -z.l[(o e)] - 2 * y where u <= t and t - u <= 3
  }
  if a == 1 {
    y = 1
  } else if b != 2 {
    y = mean[*](x)
  } else {
  }
  use B(D = D, x = z) as m
  output y, m.z.0
}
`);
  });

  test('comments and blank lines stay where they were', () => {
    const text = `// About the file.

/// About A.
structure A {  // open
  // sizes
  size D = 256,  // the width
      // and
      H = 8  // the heads


  // a part

  y = a  // one
      + b  // two
  if c == 1 {
    // nothing
  } else {  /// odd
    z = 3
    // end of else
  }
  // last
}
// after
`;
    expect(formatted(text)).toBe(text.replace('\n\n\n', '\n\n'));
  });

  test('comments beside tokens that the layout drops', () => {
    const text = 'structure A { input x: /* no */ f32 }';
    expect(formatSource({ file: 'a', text })).toHaveProperty('diagnostics');
    expect(formatted('structure A {\n input x // x\n : f32 // y\n\n else0 = 3 }')).toContain('// x');
    expect(formatted('structure A { if a == 1 { } else { // why\n if b == 2 { } } }')).toBe(`structure A {
  if a == 1 {
  } else  // why
      if b == 2 {
  }
}
`);
  });

  test('long lines are broken where it disturbs least', () => {
    const factor = 'layernorm[r, k](Wq[k, m, h, r] * x[b, t, (k m)], gq[r, k])';
    const text = formatted(`structure A { y[b, t] = ${[factor, factor, factor].join(' + ')} where u <= t }`);
    expect(text).toBe(
      `structure A {
  y[b, t] = ${factor}
      + ${factor}
      + ${factor} where u <= t
}
`.replace(`${factor}\n      + ${factor}\n      + ${factor} where`, `${text.split('= ')[1].split(' where')[0]} where`),
    );
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(lineWidth);
    const sizes = formatted(
      `structure A { size ${Array.from({ length: 60 }, (_, i) => `size${i} = ${i}`).join(', ')} }`,
    );
    for (const line of sizes.split('\n')) expect(line.length).toBeLessThanOrEqual(lineWidth);
  });

  test('a file with mistakes is refused', () => {
    const result = formatSource({ file: 'a', text: 'structure A { y = }' });
    expect('diagnostics' in result && result.diagnostics.map((d) => d.code)).toEqual(['E0106']);
  });

  test('BOM and CRLF are gone', () => {
    expect(formatted('\uFEFFstructure A {\r\n  y = 3\r\n}\r\n')).toBe('structure A {\n  y = 3\n}\n');
  });

  test('a tree that was made gets the parentheses that it needs', () => {
    const { file } = parseText('structure A { y = (a + b) * -(c * d)^(e + f) }');
    const unwrap = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(unwrap);
      if (typeof value !== 'object' || value === null) return value;
      if ('inner' in value) return unwrap(value.inner);
      return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, unwrap(v)]));
    };
    const made = { ...(unwrap(file) as SourceFile), text: '' };
    expect(format(made)).toBe('structure A {\n  y = (a + b) * -(c * d)^(e + f)\n}\n');
  });
});

describe('the structures of the language page', () => {
  test.each(structures.map((s) => [s.file, s] as const))('%s', (_, source) => {
    const once = formatted(source.text);
    expect(formatted(once)).toBe(once);
    const [before, after] = [parseText(source.text).file, parseText(once).file];
    expect(bare(after)).toEqual(bare(before));
    expect(commentsOf(after)).toEqual(commentsOf(before));
    // They are laid out by hand as we do it, but for aligned columns and the spaces around some `^`.
    const squeezed = (text: string) => text.replace(/ +~/g, ' ~').replace(/ ?\^ ?/g, '^');
    expect(squeezed(once)).toBe(squeezed(source.text));
  });
});

describe('random files', () => {
  test('format, then parse: the same tree', () => {
    fc.assert(
      fc.property(sourceFile, (file) => {
        const text = format(file);
        const { file: read, diagnostics } = parseText(text);
        expect(diagnostics).toEqual([]);
        expect(bare(read)).toEqual(bare(file));
        expect(format(read)).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  test('any spaces, lines and comments between the tokens: the same tree, the same comments, idempotent', () => {
    const separator = fc.constantFrom(
      ...[
        ' ',
        ' ',
        ' ',
        '\n',
        '\n\n\n',
        '\r\n',
        '\t',
        '  // c\n',
        '\n// own\n',
        '\n\n/// doc\n',
        ' /// trailing\n',
        '\n//// a\n\n// b  \n',
      ],
    );
    const text = fc.oneof(fc.constantFrom(...structures.map((s) => s.text)), sourceFile.map(format)).chain((source) => {
      const tokens = tokenize({ file: '', text: source }).tokens.map((token) => token.image);
      return fc
        .array(separator, { minLength: tokens.length + 1, maxLength: tokens.length + 1 })
        .map((between) => between[0] + tokens.map((token, i) => token + between[i + 1]).join(''));
    });
    fc.assert(
      fc.property(text, (messy) => {
        const before = parseText(messy);
        expect(before.diagnostics).toEqual([]);
        const once = format(before.file);
        const after = parseText(once);
        expect(after.diagnostics).toEqual([]);
        expect(bare(after.file)).toEqual(bare(before.file));
        expect(commentsOf(after.file).map((c) => c.text)).toEqual(commentsOf(before.file).map((c) => c.text));
        expect(format(after.file)).toBe(once);
      }),
      { numRuns: 150 },
    );
  });
});
