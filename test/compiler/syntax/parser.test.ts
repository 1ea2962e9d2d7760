import { describe, expect, test } from 'vitest';
import type { Item } from '../../../compiler/syntax/ast.ts';
import { items, parseText, structures, tree } from './support.ts';

describe('precedence', () => {
  test.each([
    ['a + b * c', '(+ a + (* b * c))'],
    ['a - b + c - d', '(+ a - b + c - d)'],
    ['a / b * c % d', '(* a / b * c % d)'],
    ['-x^2', '(neg (^ x 2))'],
    ['x^-2', '(^ x (neg 2))'],
    ['-x * y', '(* (neg x) * y)'],
    ['2 * -x', '(* 2 * (neg x))'],
    ['a - -b', '(+ a - (neg b))'],
    ['--x', '(neg (neg x))'],
    ['a^b^c', '(^ a (^ b c))'],
    ['a^-b^c', '(^ a (neg (^ b c)))'],
    ['a^b * c', '(* (^ a b) * c)'],
    ['(a + b) * c', '(* {(+ a + b)} * c)'],
    ['a * (b * c)', '(* a * {(* b * c)})'],
    ['a where u <= t', '(where a (<= u t))'],
    ['a + b where u <= t and t - u <= w', '(where (+ a + b) (and (<= u t) (<= (+ t - u) w)))'],
    ['select(v == t, z, 0)', 'select((== v t), z, 0)'],
    ['softmax[u](G[t, u] where u <= t) + H[t, u]', '(+ softmax[u]((where G[t u] (<= u t))) + H[t u])'],
    ['f(a where b < c, d)', 'f((where a (< b c)), d)'],
    ['x[t] / D^0.5', '(* x[t] / (^ D 0.5))'],
  ])('%s', (text, expected) => expect(tree(text)).toBe(expected));
});

describe('names, reads, calls, groups, numbers', () => {
  test.each([
    ['U.0.1', 'U.0.1'],
    ['z.(l + 1)[n, (o e p)]', 'z.((+ l + 1))[n <o e p>]'],
    ['z.depth[n]', 'z.depth[n]'],
    ['m.z.0[i]', 'm.z.0[i]'],
    ['z.1e', undefined],
    ['f(x)', 'f(x)'],
    ['f (x)', 'f(x)'],
    ['f[i](x)', 'f[i](x)'],
    ['layernorm[r, k](x, g)', 'layernorm[r k](x, g)'],
    ['mean[*](W^2)', 'mean[*]((^ W 2))'],
    ['f()', 'f()'],
    ['W[i, j]', 'W[i j]'],
    ['W[(k p), q]', 'W[<k p> q]'],
    ['W[(k), q]', 'W[{k} q]'],
    ['W[(k + p), q]', 'W[{(+ k + p)} q]'],
    ['E[tokens[b, t], i]', 'E[tokens[b t] i]'],
    ['q[global + e, 2*t, u - w]', 'q[(+ global + e) (* 2 * t) (+ u - w)]'],
    ['[8, 8, 4]', '[8 8 4]'],
    ['[]', '[]'],
    ['1e-5 + 1.5e3 + 2E+2', '(+ 1e-5 + 1.5e3 + 2E+2)'],
    ['(γ σ_1)', undefined],
    ['αβ * 𝔘₁', undefined],
    ['αβ * 𝔘1', '(* αβ * 𝔘1)'],
    ['inputs + index + _', undefined],
    ['inputs + structured', '(+ inputs + structured)'],
  ])('%s', (text, expected) => {
    if (expected === undefined) expect(() => tree(text)).toThrow();
    else expect(tree(text)).toBe(expected);
  });

  test('numbers keep their value', () => {
    const [item] = items('y = 1e-5');
    expect(item).toMatchObject({ value: { kind: 'number', value: 1e-5, text: '1e-5' } });
  });

  test('a range needs no spaces, and digits after a dot are an integer', () => {
    expect(items('level l in 0..3 { }')[0]).toMatchObject({ from: { value: 0 }, to: { value: 3 } });
    expect(items('level l in a..b { }')[0]).toMatchObject({ to: { reference: { name: { text: 'b' } } } });
    expect(items('output U.0.1')[0]).toMatchObject({
      references: [
        {
          members: [
            { kind: 'integer', value: 0 },
            { kind: 'integer', value: 1 },
          ],
        },
      ],
    });
  });
});

describe('an item ends where the next begins', () => {
  const kinds = (body: string) => items(body).map((item: Item) => item.kind);

  test('without newlines', () => {
    expect(kinds('size D = 3 axis i: D input x[i] y[i] = x[i] z = y[0] loss = sum[i](x[i]) output y output z')).toEqual(
      [...['size', 'axis', 'input', 'equation', 'equation', 'equation', 'output', 'output']],
    );
  });

  test('an equation after an equation', () => {
    const [y, loss, z] = items('y[b, i] = W[i, j] * x[b, j]\nloss = mean[b](y[b, 0])\nz = loss * 2');
    expect([y, loss, z].map((item) => item.kind === 'equation' && item.target.name.text)).toEqual(['y', 'loss', 'z']);
  });

  test('an equation over several lines', () => {
    expect(kinds('y[b]\n=\nW[b]\n+\nx[b]\noutput\ny')).toEqual(['equation', 'output']);
  });

  test('sizes and axes in groups', () => {
    expect(items('size (a, b) = split(D), (c, d) = split(D), e, f = 2\naxis b: B, i, j: D y[i] = 2')).toMatchObject([
      {
        bindings: [
          { tuple: true, names: [{ text: 'a' }, { text: 'b' }] },
          { tuple: true, names: [{ text: 'c' }, { text: 'd' }] },
          { tuple: false, names: [{ text: 'e' }], value: undefined },
          { tuple: false, names: [{ text: 'f' }], value: { value: 2 } },
        ],
      },
      { groups: [{ names: [{ text: 'b' }] }, { names: [{ text: 'i' }, { text: 'j' }] }] },
      { kind: 'equation' },
    ]);
  });

  test('inputs and params', () => {
    expect(
      items(`input x[b, t]: i32  input s  input h[b]: f16
        param W[o, i] ~ normal(fan_in = i)  param R[γ, δ] ~ normal(fan_in = (γ δ)), fixed
        param a ~ normal(std = 0.02)  param c ~ constant(1 / 2)  param g[i] ~ ones  param z[i] ~ zeros, fixed`),
    ).toMatchObject([
      { kind: 'input', dtype: 'i32', axes: [{ text: 'b' }, { text: 't' }] },
      { kind: 'input', dtype: 'f32', axes: undefined },
      { kind: 'input', dtype: 'f16' },
      { init: { kind: 'normal-fan-in', axes: [{ text: 'i' }] }, fixed: false },
      { init: { kind: 'normal-fan-in', axes: [{ text: 'γ' }, { text: 'δ' }] }, fixed: true },
      { init: { kind: 'normal-std', std: { value: 0.02 } }, axes: undefined },
      { init: { kind: 'constant', value: { kind: 'product' } } },
      { init: { kind: 'ones' } },
      { init: { kind: 'zeros' }, fixed: true },
    ]);
  });

  test('blocks, instances, outputs', () => {
    expect(
      items(`level l in 0 .. len(r) - 1 { level k in l .. 2 { } }
        use Other(D = D, x = z) as m  use P() as n
        output y, z.depth, m.y, z.(l + 1)`),
    ).toMatchObject([
      { kind: 'level', variable: { text: 'l' }, items: [{ kind: 'level' }] },
      { kind: 'use', structure: { text: 'Other' }, bindings: [{ name: { text: 'D' } }, {}], alias: { text: 'm' } },
      { kind: 'use', bindings: [] },
      { kind: 'output', references: [{}, { members: [{ kind: 'name' }] }, {}, { members: [{ kind: 'expression' }] }] },
    ]);
  });

  test('if, else if, else', () => {
    const [item] = items('if causal == 1 and D > 2 { y = 1 } else if D == 0 { } else { y = 2 y += 3 }');
    if (item.kind !== 'if' || item.otherwise?.[0].kind !== 'if') throw new Error('an if and an else if');
    expect(item.condition.kind).toBe('and');
    expect(item.then).toHaveLength(1);
    expect(item.otherwise[0].then).toEqual([]);
    expect(item.otherwise[0].otherwise).toMatchObject([{ operator: '=' }, { operator: '+=' }]);
    expect(items('if D == 0 { }')[0]).toMatchObject({ otherwise: undefined });
    expect(items('if D == 0 { } else { }')[0]).toMatchObject({ otherwise: [] });
  });
});

describe('files', () => {
  test.each(structures.map((s) => [s.file, s] as const))('%s has no mistakes', (_, source) => {
    const { file, diagnostics } = parseText(source.text);
    expect(diagnostics).toEqual([]);
    expect(file.structures).toHaveLength(1);
    expect(file.structures[0].doc).toBeDefined();
  });

  test('imports, functions and structures in order', () => {
    const { file, diagnostics } = parseText(`import "btt" /// Root mean square.
      /// Of the axes i.
      fn f[i, j](x, g) = x / sqrt(mean[i](x^2) + 1e-5) * g
      fn h(x) = x structure A { } import "b.mlbtc" structure B { }`);
    expect(diagnostics).toEqual([]);
    expect(file.items.map((item) => item.kind)).toEqual([
      ...['import', 'function', 'function', 'structure', 'import', 'structure'],
    ]);
    expect(file.imports.map((i) => i.path)).toEqual(['btt', 'b.mlbtc']);
    expect(file.functions[0]).toMatchObject({ doc: 'Of the axes i.', axes: [{ text: 'i' }, { text: 'j' }] });
    expect(file.functions[1]).toMatchObject({ axes: undefined, parameters: [{ text: 'x' }] });
  });

  test('documentation goes to what follows it', () => {
    const { file } = parseText(`// no doc\n/// One.\n//// no doc\n///\n///  Two.\nstructure A {
      /// The width.
      size D = 3 /// not of W
      /// A weight.
      param W ~ ones
      /// Input.
      input x
      // plain
      input z
      /// Sum.
      y = x /// nobody's
        + /// nobody's
        /// nobody's
        W
      /// Out.
      output y
      /// nobody's
    }`);
    expect(file.structures[0].doc).toBe('One.\n\n Two.');
    expect(file.structures[0].items.map((item) => ('doc' in item ? item.doc : 'none'))).toEqual([
      ...['The width.', 'A weight.', 'Input.', undefined, 'Sum.', 'Out.'],
    ]);
    expect(file.comments).toHaveLength(16);
    expect(file.comments[0]).toMatchObject({ kind: 'line', text: '// no doc', own: true });
    expect(file.comments[6]).toMatchObject({ kind: 'doc', text: '/// not of W', own: false });
  });

  test('positions', () => {
    const text = '\uFEFF// é𝔘\r\nstructure A {\r\n  y[b, i] = -W[i, j]^2 * 3\r\n  output y\r\n}\r\n';
    const { file, diagnostics } = parseText(text);
    expect(diagnostics).toEqual([]);
    const [equation] = file.structures[0].items;
    const cut = (span: { start: number; end: number }) => text.slice(span.start, span.end);
    if (equation.kind !== 'equation' || equation.value.kind !== 'product') throw new Error('an equation');
    expect(cut(file.structures[0].span)).toBe(text.trim().slice(text.trim().indexOf('structure')));
    expect(cut(equation.span)).toBe('y[b, i] = -W[i, j]^2 * 3');
    expect(cut(equation.target.span)).toBe('y');
    expect(cut(equation.value.factors[0].value.span)).toBe('-W[i, j]^2');
    expect(file.comments[0].own).toBe(true);
  });
});

describe('what looks like a mistake and is none', () => {
  test.each([
    ['y = x if a == 1 { z = 1 } else { z = 2 }', ['equation', 'if']],
    ['if a == 1 { y = x } else if a == 2 { y = 2 } else { y = 3 }', ['if']],
    ['axis or: 3 input x[or] y = sum[or](x[or])', ['axis', 'input', 'equation']],
    ['y = W[(k or)] + or', ['equation']],
    ['y = a or = 2', ['equation', 'equation']],
    ['y += 1', ['equation']],
  ])('%s', (text, kinds) => {
    const { file, diagnostics } = parseText(`structure S {\n${text}\n}`);
    expect(diagnostics).toEqual([]);
    expect(file.structures[0].items.map((item) => item.kind)).toEqual(kinds);
  });
});
