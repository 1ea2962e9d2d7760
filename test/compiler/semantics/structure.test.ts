// Items of a structure: axes, inputs, params, levels, members, definitions, `use`, imports, functions, outputs.
import { describe, expect, test } from 'vitest';
import { analysed, diagnose, nested, ramp, run } from './support.ts';

const x3 = 'axis i: 3 input x[i]';

function program(text: string, options = {}) {
  const analysis = analysed(text, { unbound: 'one', ...options });
  expect(analysis.diagnostics.filter((d) => d.severity === 'error')).toEqual([]);
  return analysis.program;
}

function names(text: string, options = {}): readonly string[] {
  return (program(text, options)?.tensors ?? []).map((t) => t.name);
}

describe('params', () => {
  const inits = (items: string) =>
    program(`size D = 16 axis i: D, j: 4, k: 2 ${items} y[i] = 1 output y`)?.tensors.flatMap(({ source }) =>
      source.kind === 'param' ? [source] : [],
    );

  test('every initialisation, with real arithmetic', () => {
    const items = `param a[i] ~ normal(std = 1 / D ^ 0.5 * 3 / 2) param b[i, j] ~ normal(fan_in = j)
      param c[i, j, k] ~ normal(fan_in = (j k)) param d[i] ~ ones param e[i] ~ zeros, fixed param f ~ constant(-D / 3)`;
    expect(inits(items)).toEqual([
      { kind: 'param', init: { kind: 'normal', std: 0.375 }, fixed: false },
      { kind: 'param', init: { kind: 'normal', std: 0.5, fanIn: 4 }, fixed: false },
      { kind: 'param', init: { kind: 'normal', std: 1 / Math.sqrt(8), fanIn: 8 }, fixed: false },
      { kind: 'param', init: { kind: 'constant', value: 1 }, fixed: false },
      { kind: 'param', init: { kind: 'constant', value: 0 }, fixed: true },
      { kind: 'param', init: { kind: 'constant', value: -16 / 3 }, fixed: false },
    ]);
  });

  test.each([
    ['param a[i] ~ normal(fan_in = j)', 'E0605 2:49 `j` is not an axis of `a`, which has i'],
    ['param a[i] ~ normal(std = x[0])', 'E0605 2:46'],
    ['param a[i] ~ normal(std = -1)', 'E0605 2:46 the standard deviation `-1` = -1 is negative'],
    ['param a[i] ~ constant(1 / 0)', 'E0604 2:46 `0` is 0, and divides'],
    ['param a[i, i] ~ ones', 'E0507 2:31 the axis `i` stands twice in the declaration of `a`'],
    ['param a[q] ~ ones', 'E0401 2:28 `q` is not known here'],
    ['param a[n] ~ ones', 'E0402 2:28 `n` is a size, not an axis'],
  ])('%s', (item, expected) => {
    const text = `size n = 2 axis i, j: n ${item} input x[i] y[i, j] = x[i] output y`.replace(/^/, 'structure S {\n');
    const found = diagnose(`${text} }`, { unbound: 'one' });
    const line = text.indexOf(item) - 'structure S {\n'.length;
    expect(line).toBe(24);
    expect(found.join('\n')).toContain(
      expected.replace('2:28', '2:33').replace('2:31', '2:36').replace('2:46', '2:51').replace('2:49', '2:54'),
    );
  });
});

describe('inputs', () => {
  test('dtypes, scalars and axes; an i32 tensor read as a value is a number', () => {
    const text = 'axis i: 2 input t[i]: i32 input h[i]: f16 input s y[i] = t[i] * h[i] / 2 + s output y';
    const { y } = run(text, { t: [3, 5], h: [2, 4], s: 10 });
    expect(nested(y)).toEqual([13, 20]);
    const tensors = program(text)?.tensors ?? [];
    expect(tensors.map((t) => `${t.name} ${t.dtype} [${t.shape}]`)).toEqual([
      't i32 [2]',
      'h f16 [2]',
      's f32 []',
      'y f32 [2]',
    ]);
  });

  test('cannot be defined, and neither can params', () => {
    expect(diagnose(`${x3} x[i] = 1 output x`)[0]).toContain('E0405 2:22 `x` is an input, and cannot be defined');
    expect(diagnose(`axis i: 3 param p[i] ~ ones p[i] += 1 output p`)[0]).toContain('E0405 2:29 `p` is a param');
    expect(diagnose(`${x3} level l in 0 .. 1 { x[i] += 1 } output x`)[0]).toContain('E0405');
  });

  test('an input may be an output', () => {
    expect(program(`${x3} output x`)?.outputs).toEqual(['x']);
  });
});

describe('levels', () => {
  test('params and tensors defined by `=` belong to the level, `+=` goes to the tensor outside', () => {
    const text = `${x3} level l in 1 .. 3 { param U[i] ~ ones z[i] = l * x[i] S[i] += z[i] + U[i] } y[i] = S[i] + z.2[i] output y`;
    const { y, ...rest } = run(
      text,
      { x: [1, 2, 3], 'U.1': [0, 0, 1], 'U.2': [0, 1, 0], 'U.3': [0, 0, 0] },
      { inputShapes: { x: [3] } },
    );
    expect(nested(y)).toEqual([8, 17, 25]);
    expect(Object.keys(rest)).toEqual(expect.arrayContaining(['U.1', 'U.2', 'U.3', 'z.1', 'z.2', 'z.3', 'S']));
  });

  test('nested levels: `U.0.1`; `+=` goes past a level that does not define the tensor', () => {
    const text = `${x3} level a in 0 .. 1 { w[i] = a * x[i] level b in 0 .. a { U[i] = b + x[i] S[i] += U[i] * w[i] w[i] += 1 } } y[i] = S[i] output y`;
    expect(names(text)).toEqual(expect.arrayContaining(['U.0.0', 'U.1.0', 'U.1.1', 'w.0', 'w.1']));
    // w.0 = 0 + 1, w.1 = x + 2; S = U00 w0 + (U10 + U11) w1
    const x = 5;
    const { y } = run(text.replace('i: 3', 'i: 1'), { x: [x] });
    expect(nested(y)).toEqual([x * 1 + (x + 1 + x) * (x + 2)]);
  });

  test('bounds are included; B < A is no level at all', () => {
    expect(
      names(`${x3} level l in 2 .. 2 { p[i] = x[i] } level m in 1 .. 0 { q[i] = r[i] } y[i] = p.2[i] output y`),
    ).toEqual([...['x', 'p.2', 'y']]);
  });

  test('sizes and axes inside depend on the level', () => {
    const text = `size ranks = [1, 2] axis n: 4 input x[n]
      level l in 0 .. len(ranks) - 1 { size q = 4 / 2^l axis k: 2^l, p: q, r: ranks[l] M[(k p)] += x[(k p)] * r * q }
      y[n] = M[n] output y`;
    // Level 0: r runs over 0; level 1: over 0, 1, each times q = 2.
    expect(nested(run(text, { x: [1, 2, 3, 4] }).y)).toEqual([2, 4, 6, 8]);
  });

  test('members by integer, name and expression; each defined once', () => {
    const text = `size depth = 2 ${x3} z.0[i] = x[i] level l in 0 .. depth - 1 { z.(l + 1)[i] = 2 * z.l[i] } y[i] = z.depth[i] + z.(depth - 1)[i] + z.0[i] output y`;
    expect(nested(run(text, { x: [1, 2, 3] }).y)).toEqual([7, 14, 21]);
    expect(diagnose(`${x3} z.0[i] = x[i] z.(1 - 1)[i] = x[i] output z.0`)).toEqual([
      'E0404 2:36 `z.(1 - 1)` (`z.0`) is defined twice by `=` | the first is in line 2; `+=` adds to it',
    ]);
    expect(diagnose(`${x3} level l in 0 .. 1 { z[i] = x[i] } z.1[i] = x[i] output z.0`)[0]).toContain('E0404');
    expect(
      diagnose(`${x3} level l in 0 .. 1 { z[i] = x[i] } level m in 1 .. 2 { z[i] = x[i] } output z.0`)[0],
    ).toContain('E0404 2:76 `z.1` is defined twice');
  });

  test('`+=` to a member adds to that member', () => {
    const text = `${x3} level l in 0 .. 2 { z.(l % 2)[i] += l + x[i] } y[i] = z.0[i] - z.1[i] output y`;
    expect(nested(run(text, { x: [1, 2, 3] }).y)).toEqual([2, 3, 4]);
  });

  test('unknown members say which there are', () => {
    const level = `${x3} level l in 0 .. 5 { z[i] = x[i] }`;
    expect(diagnose(`${level} y[i] = z.6[i] output y`)[0]).toContain(
      'E0403 2:63 there is no `z.6` | there are `z.0`, `z.1`, `z.2`, `z.3`, …, `z.5`',
    );
    expect(diagnose(`${level} y[i] = z[i] output y`)[0]).toContain(
      'E0403 2:63 `z` belongs to a level, and outside it one of its members must be named',
    );
    expect(diagnose(`${x3} y[i] = x.0[i] output y`)[0]).toContain('E0403 2:29 `x` is an input without members');
    expect(diagnose(`${level} y[i] = z.i[i] output y`)[0]).toContain(
      'E0402 2:65 `i` is an axis; after a dot stands an integer or a size',
    );
    expect(diagnose(`${x3} z.(0 - 1)[i] = x[i] output x`)[0]).toContain('E0403 2:24 `z.(0 - 1)` has the member -1');
  });

  test('a level whose variable hides a name', () => {
    expect(diagnose(`${x3} level i in 0 .. 1 { z[i] = 1 } output x`)[0]).toContain('E0404 2:28 `i` is already an axis');
  });
});

describe('definitions', () => {
  test('one `=` and any number of `+=`, in any order', () => {
    const text = `${x3} y[i] += 1 y[i] = x[i] y[i] += z[i] z[i] = 2 * x[i] output y`;
    expect(nested(run(text, { x: [1, 2, 3] }).y)).toEqual([4, 7, 10]);
    expect(diagnose(`${x3} y[i] = 1 y[i] = x[i] output y`)).toEqual([
      'E0404 2:31 `y` is defined twice by `=` | the first is in line 2; `+=` adds to it',
    ]);
  });

  test('no cycle', () => {
    expect(diagnose(`${x3} a[i] = b[i] b[i] = c[i] + x[i] c[i] = a[i] output a`)).toEqual([
      'E0406 2:22 `a` is defined by itself: `a` → `b` → `c` → `a`',
    ]);
    expect(diagnose(`axis t, u: 4 y[t] = 1 + y[t] output y`)[0]).toContain(
      'E0406 2:14 `y` is defined by itself: `y` → `y` | a recurrence needs',
    );
    expect(diagnose(`${x3} a[i] = mean[i](b[i]) + x[i] b[i] = a[i] output a`)[0]).toContain(
      'E0406 2:22 `a` is defined by itself: `a` → `b` → `a`',
    );
  });

  test('a scalar has no brackets', () => {
    expect(nested(run(`${x3} loss = mean[i](x[i]) y = loss * 2 output y`, { x: [1, 2, 3] }).y)).toBe(4);
    expect(diagnose(`${x3} s = sum[i](x[i]) y[i] = s[i] output y`)[0]).toContain(
      'E0501 2:46 `s` is a scalar, written without brackets',
    );
    expect(diagnose(`${x3} y = x output y`)[0]).toContain('E0501 2:26 `x` has 1 axis, and is written without indices');
  });

  test('names share one set', () => {
    expect(diagnose(`${x3} input i output x`)[0]).toContain('E0404 2:28 `i` is already an axis');
    expect(diagnose(`${x3} i[i] = 1 output x`)[0]).toContain('E0404 2:22 `i` is already an axis');
    expect(diagnose(`${x3} level l in 0 .. 0 { axis i: 2 } output x`)[0]).toContain(
      'E0404 2:47 `i` is already an axis | it is declared in line 2',
    );
    expect(diagnose(`${x3} level l in 0 .. 0 { i[0] += 1 } output x`)[0]).toContain('E0405');
    // Levels beside each other have names of their own.
    expect(
      names(
        `axis n: 4 input x[n] level l in 0 .. 0 { axis k: 4 a[k] = x[k] } level l in 0 .. 0 { axis k: 2 b[k] = x[k] } output x`,
      ),
    ).toContain('b.0');
  });

  test('unknown names, with what was meant', () => {
    const text = `axis batch: 2 input tokens[batch] y[batch] = token[batch] + tokens[bach] output y`;
    expect(diagnose(text)).toEqual([
      'E0401 2:46 `token` is not known here | did you mean `tokens`?',
      'E0401 2:68 `bach` is not known here | did you mean `batch`?',
    ]);
    expect(diagnose(`${x3} y[i] = layernrm[i](x[i], 1) output y`)).toEqual([
      'E0407 2:29 there is no function `layernrm` | did you mean `layernorm`?',
    ]);
    expect(diagnose(`${x3} y[i] = x[i] outptu y`).length).toBeGreaterThan(0);
    expect(diagnose(`${x3} output yy`)[0]).toContain('E0401 2:29 `yy` is not known here');
  });

  test('an unknown index is to be an axis, an unknown size a size; nothing is proposed that cannot stand there', () => {
    const head = 'size width = 3 axis row, col: width input rox[row]';
    expect(diagnose(`${head} y[row] = rox[row] * rox[k] output y`)).toEqual([
      'E0401 2:76 `k` is not known here | declare it: `axis k: N`',
    ]);
    expect(diagnose(`${head} y[row] = rox[roww] output y`)[0]).toContain('| did you mean `row`?');
    expect(diagnose(`${head} y[row] = rox[row + 2*widt - 6] output y`)[0]).toContain('| did you mean `width`?');
    expect(diagnose(`${head} y[rpw] = rox[row] output y`)[0]).toContain('| did you mean `row`?');
    expect(diagnose(`${head} y = sum[k](rox[k]) output y`)[0]).toContain('| declare it: `axis k: N`');
    expect(diagnose(`${head} param p[k] ~ ones y = sum[row](rox[row]) output y`)[0]).toContain('`axis k: N`');
    expect(diagnose(`${head} y[row] = rox[row] where row < limit output y`)[0]).toContain('`size limit`');
    expect(diagnose(`${head} size m = n * 2 axis q: m y[q] = rox[0] output y`)[0]).toContain('| declare it: `size n`');
  });

  test('several mistakes, several diagnostics', () => {
    const found = diagnose(`size D = 10 axis i: D / 4, j: 3 input x[j]
      a[j] = x[j, j] b[j] = x[j + 1] c[j] = exp(x[j], 1) d = x[j] e[j] = q[j] output a`);
    expect(found.map((d) => d.slice(0, 5))).toEqual(['E0304', 'E0501', 'E0503', 'E0408', 'E0601', 'E0401']);
  });
});

describe('outputs', () => {
  test('at least one, each once, members too', () => {
    expect(diagnose('y = 1')).toEqual(['E0205 1:11 the structure `S` has no output | add `output y`']);
    const text = `${x3} level l in 0 .. 1 { z[i] = x[i] output z } output z.1, x`;
    expect(program(text)?.outputs).toEqual(['z.1', 'x', 'z.0']);
    expect(diagnose(`${x3} output i`)[0]).toContain('E0402 2:29 `i` is an axis, not a tensor');
  });
});

describe('use', () => {
  const other = `structure Twice { size D = 5, k = 2 axis b: B, i: D, j: k input x[b, i] param p[i] ~ ones
    hidden[b, i] = x[b, i] * p[i] y[b, i] = k * hidden[b, i] level l in 0 .. 1 { U[i] = l * p[i] } output y }\n`;

  test('sizes by value or from the bound shapes, params under the prefix, hidden tensors to be read', () => {
    const text = `${other} structure S { axis n: 2, d: 3 input z[n, d] use Twice(x = z, k = 3) as m
      v[n, d] = m.y[n, d] + m.hidden[n, d] + m.U.1[d] + m.x[n, d] output v }`;
    const z = [
      [1, 2, 3],
      [4, 5, 6],
    ];
    const { v } = run(text, { z, 'm.p': [1, 10, 100] }, { inputShapes: { z: [2, 3] } });
    expect(nested(v)).toEqual([
      [3 + 1 + 1 + 1, 60 + 20 + 10 + 2, 900 + 300 + 100 + 3],
      [12 + 4 + 1 + 4, 150 + 50 + 10 + 5, 1800 + 600 + 100 + 6],
    ]);
    expect(names(text)).toEqual(expect.arrayContaining(['m.p', 'm.hidden', 'm.y', 'm.U.0', 'm.U.1']));
  });

  test('inside a level an instance belongs to it', () => {
    const text = `${other} structure S { axis n: 2, d: 1 input z[n, d] h.0[n, d] = z[n, d]
      level l in 0 .. 1 { use Twice(x = h.l, k = 2) as m h.(l + 1)[n, d] = m.y[n, d] + 0 * m.U.1[d] }
      y[n, d] = h.2[n, d] + m.0.y[n, d] + m.1.U.1[d] output y }`;
    const { y } = run(text, { z: [[1], [2]], 'm.0.p': [3], 'm.1.p': [5] }, { inputShapes: { z: [2, 1] } });
    expect(nested(y)).toEqual([[60 + 6 + 5], [120 + 12 + 5]]);
  });

  test('in any order, through another instance', () => {
    const text = `${other} structure S { axis n: 2, d: 3 input z[n, d] use Twice(x = a.y) as b use Twice(x = z) as a output b.y }`;
    const { 'b.y': y } = run(
      text,
      { z: ramp([2, 3]), 'a.p': [1, 1, 1], 'b.p': [1, 1, 1] },
      { inputShapes: { z: [2, 3] } },
    );
    expect(nested(y)).toEqual(nested(ramp([2, 3], 4)));
  });

  test('an instance in an instance', () => {
    const text = `${other} structure Mid { axis b: B, i: D input x[b, i] use Twice(x = x) as t output t.y }
      structure S { axis n: 2, d: 3 input z[n, d] use Mid(x = z) as m y[n, d] = m.t.y[n, d] output y }`;
    expect(names(text)).toEqual(expect.arrayContaining(['m.t.p', 'm.t.y']));
  });

  test("an instance's input is a computed tensor", () => {
    const text = `${other} structure S { axis n: 2, d: 3 input z[n, d] w[n, d] = z[n, d] + 1 use Twice(x = w) as m output m.y }`;
    const { 'm.y': y } = run(text, { z: ramp([2, 3]), 'm.p': [1, 1, 1] }, { inputShapes: { z: [2, 3] } });
    expect(nested(y)).toEqual(nested(ramp([2, 3], 2, 2)));
  });

  const use = (items: string): string =>
    `${other}structure S { axis n: 2, d: 3 input z[n, d] input t[n]: i32 input w[n]\n${items} output z }`;
  test.each([
    ['use Twce(x = z) as m', 'E0204 4:5 there is no structure `Twce` here | did you mean `Twice`?'],
    ['use Twice() as m', 'E0207 4:1 the input `x` of `Twice` is not bound | bind it: `x = …`'],
    ['use Twice(x = z, kk = 3) as m', 'E0207 4:18 `Twice` has no size or input `kk`'],
    ['use Twice(x = z, x = z) as m', 'E0404 4:18 `x` is bound twice'],
    ['use Twice(x = z[n, d]) as m', 'E0207 4:15 the input `x` takes the bare name of a tensor'],
    ['use Twice(x = w) as m', 'E0312 4:15 `w` has 1 axis, and the input `x` has 2'],
    [
      'use Twice(x = z, D = 4) as m',
      'E0312 4:15 `z` has 3 elements along `i` (position 2), and the input `x` has D = 4 there',
    ],
    ['use Twice(x = n) as m', 'E0402 4:15 `n` is an axis, not a tensor'],
    ['use Twice(x = q) as m', 'E0401 4:15 `q` is not known here'],
    ['use Twice(x = m.y) as m', 'E0406 4:1 the inputs of `m` depend on `m` itself'],
    ['use Twice(x = z) as m q[n, d] = m.yy[n, d]', 'E0401 4:35 `Twice` has no tensor `yy`'],
    ['use Twice(x = z) as m q[n, d] = m[n, d]', 'E0402 4:33 `m` is an instance of a structure, not a tensor'],
    ['use Twice(x = z) as m q[n, d] = m.U[d]', 'E0403 4:33 `U` belongs to a level there'],
    ['use Twice(x = z) as m q[n, d] = m.U.3[d]', 'E0403 4:33 there is no `U.3`'],
    ['use Twice(x = z) as m q[n, d] = m.0[d]', 'E0403 4:33'],
    ['use Twice(x = z) as m m.y[n, d] = 1', 'E0405 4:23 `m.y` belongs to the instance `m`'],
    ['use Twice(x = z) as n', 'E0404 4:21 `n` is already an axis'],
    ['use S(z = z, t = t, w = w) as m', 'E0206 4:5 `S` uses itself'],
  ])('%s', (items, expected) => {
    const found = diagnose(use(items), { unbound: 'one' });
    expect(found.join('\n')).toContain(expected);
    expect(found).toHaveLength(1);
  });

  test('an index tensor is not bound to a float input', () => {
    const text = `structure A { axis i: n input x[i] y[i] = x[i] output y } structure S { axis n: 2 input t[n]: i32 use A(x = t) as a output a.y }`;
    expect(diagnose(text)[0]).toContain('E0312 1:109 `t` is i32, and the input `x` is a float');
  });

  test('mistakes in an instance are told once, at their place', () => {
    const text = `structure A { size k axis i: n / k input x[i] y[i] = x[i] output y }
      structure S { axis n: 4 input z[n] use A(x = z, k = 3, n = 4) as a use A(x = z, k = 3, n = 4) as b output a.y }`;
    expect(diagnose(text)[0]).toContain('E0401 1:30 `n` is not known here');
    expect(diagnose(text.replaceAll('n / k', '4 / k').replaceAll(', n = 4', ''))).toEqual([
      'E0304 1:30 `4` / `k` is 4 / 3, which is not a whole number',
    ]);
  });

  test('structures that use each other', () => {
    const text = `structure A { input x use B(x = x) as b output b.x } structure B { input x use A(x = x) as a output a.x }`;
    expect(diagnose(text)[0]).toContain('E0206 1:27 `B` uses itself through `A`');
  });
});

describe('imports', () => {
  const files = {
    'a.mlbtc': 'fn twice(a) = 2 * a\nstructure A { input x y = twice(x) output y }',
    lib: 'structure Lib { input x y = x + 1 output y }',
    'c.mlbtc': 'import "d.mlbtc"\nstructure C { input x y = x output y }',
    'd.mlbtc': 'import "c.mlbtc"\nstructure D { input x y = x output y }',
    'bad.mlbtc': 'structure Bad { input x y = q output y }',
    'empty.mlbtc': 'fn f(a) = a',
    'outer.mlbtc': 'import "a.mlbtc"\nstructure O { input x use A(x = x) as a output a.y }',
  };

  test('structures and functions, by path and by bare name', () => {
    const text = `import "a.mlbtc" import "lib" structure S { input x use A(x = x) as a use Lib(x = x) as l y = twice(a.y) + l.y output y }`;
    expect(nested(run(text, { x: 3 }, { files }).y)).toBe(12 + 4);
  });

  test('what an imported file imports is not brought along', () => {
    const text = `import "outer.mlbtc" structure S { input x use O(x = x) as o y = o.a.y output y }`;
    expect(nested(run(text, { x: 3 }, { files }).y)).toBe(6);
    expect(diagnose(`import "outer.mlbtc" structure S { input x y = twice(x) output y }`, { files })[0]).toContain(
      'E0407 1:48',
    );
  });

  test.each([
    ['import "gone.mlbtc" structure S { y = 1 output y }', 'E0201 1:8 there is no file `gone.mlbtc`'],
    ['import "gone" structure S { y = 1 output y }', 'E0201 1:8 the library has no `gone`'],
    ['import "main.mlbtc" structure S { y = 1 output y }', 'E0202 1:8 `main.mlbtc` is this file itself'],
    [
      'import "c.mlbtc" structure S { y = 1 output y }',
      'E0202 d.mlbtc:1:8 `c.mlbtc` imports this file: c.mlbtc → d.mlbtc → c.mlbtc',
    ],
    [
      'import "a.mlbtc" structure A { y = 1 output y }',
      'E0404 1:8 `a.mlbtc` brings a structure `A`, and this file has one too',
    ],
    [
      'import "a.mlbtc" fn twice(a) = a structure S { y = 1 output y }',
      'E0404 1:8 `a.mlbtc` brings a function `twice`',
    ],
    ['structure S { y = 1 output y } structure S { y = 1 output y }', 'E0404 1:42 there are two structures called `S`'],
    [
      'import "bad.mlbtc" structure S { input x use Bad(x = x) as b output b.y }',
      'E0401 bad.mlbtc:1:29 `q` is not known',
    ],
  ])('%s', (text, expected) => {
    const self = { ...files, 'main.mlbtc': text };
    expect(diagnose(text, { files: self }).join('\n')).toContain(expected);
  });

  test('`--structure` names another than the last', () => {
    const text = 'structure A { y = 1 output y } structure B { y = 2 output y }';
    expect(nested(run(text).y)).toBe(2);
    expect(nested(run(text, {}, { structure: 'A' }).y)).toBe(1);
    expect(diagnose(text, { structure: 'C' })).toEqual(['E0204 1:1 the file has no structure `C` | it has `A`, `B`']);
    expect(diagnose('fn f(a) = a')).toEqual([
      'E0203 1:1 the file holds functions only, and no structure | import it, or add a structure',
    ]);
    expect(diagnose('fn f(a) = a', { unbound: 'postpone' })).toEqual([]);
  });

  test('`check` looks at every structure of the file', () => {
    const text = 'structure A { y = q output y } structure B { y = 2 output y }';
    expect(diagnose(text, { unbound: 'postpone' })).toEqual(['E0401 1:19 `q` is not known here']);
    expect(diagnose(text)).toEqual([]);
  });
});

describe('interface', () => {
  test('docs, sizes, axes with the sizes that name them, shapes', () => {
    const text = `/// A map.
      structure Map {
        /// width
        size D = 4
        axis b: B, i, o: D
        input x[b, i]
        /// the weights
        param W[o, i] ~ normal(fan_in = i), fixed
        y[b, o] = W[o, i] * x[b, i]
        /// the result
        output y
      }`;
    expect(analysed(text, { unbound: 'postpone' }).interface).toEqual({
      name: 'Map',
      doc: 'A map.',
      sizes: [
        { name: 'D', doc: 'width', default: '4', value: 4, unbound: false, implicit: false },
        { name: 'B', doc: undefined, default: undefined, value: undefined, unbound: true, implicit: true },
      ],
      consts: [],
      inputs: [
        {
          ...{ name: 'x', dtype: 'f32', doc: undefined, shape: [undefined, 4] },
          axes: [
            { name: 'b', size: 'B', extent: undefined },
            { name: 'i', size: 'D', extent: 4 },
          ],
        },
      ],
      params: [
        {
          ...{ name: 'W', doc: 'the weights', shape: [4, 4], fanIn: 4, fixed: true },
          init: { kind: 'normal', std: 0.5, fanIn: 4 },
          axes: [
            { name: 'o', size: 'D', extent: 4 },
            { name: 'i', size: 'D', extent: 4 },
          ],
        },
      ],
      outputs: [{ name: 'y', doc: 'the result', shape: [undefined, 4] }],
    });
  });
});

describe('what nothing reads is told', () => {
  const told = (text: string): readonly string[] => diagnose(`axis i: 3\n${text}`, { unbound: 'one' });

  test.each([
    ['input x[i] y = 1 output y', 'W0202 3:7 nothing reads the input `x` | remove it'],
    ['param p[i] ~ ones y = 1 output y', 'W0202 3:7 nothing reads the param `p` | remove it'],
    ['z[i] = i y = 1 output y', 'W0202 3:1 nothing reads `z` | remove it, or write `output z`'],
    ['level l in 0 .. 1 { z[i] = i } y = 1 output y', 'W0202 3:21 nothing reads `z` | remove it, or write `output z`'],
  ])('%s', (text, expected) => {
    expect(told(text)).toEqual([expected]);
  });

  test('an instance, too', () => {
    const other = 'structure A { axis i: 2 y[i] = i output y }';
    expect(diagnose(`${other} structure S { use A() as a y = 1 output y }`)).toEqual([
      'W0202 1:70 nothing reads the tensors of `a` | remove it',
    ]);
  });

  test.each([
    'input x[i] output x',
    'input n[i]: i32 input E[i] y[i] = E[n[i]] output y',
    'input x[i] y[i] = 1 where i > 0 z[i] += x[i] + y[i] output z',
    // Read where a branch that is not taken, or a level without iterations, would read it.
    'size f = 0 param p[i] ~ ones if f == 1 { y[i] = p[i] } else { y[i] = 1 } output y',
    'size n = 0 param p[i] ~ ones level l in 0 .. n - 1 { y[i] += p[i] } y[i] += 1 output y',
    'size n = 2 z.0[i] = i level l in 0 .. n - 1 { z.(l + 1)[i] = z.l[i] + 1 } output z.n',
  ])('%s is read', (text) => {
    expect(told(text)).toEqual([]);
  });

  test('but not beside a mistake, which may be what would have read it', () => {
    expect(told('input x[i] y[i] = xx[i] output y')).toEqual(['E0401 3:19 `xx` is not known here']);
  });
});
