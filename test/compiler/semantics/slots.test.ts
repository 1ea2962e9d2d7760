// `slot`: a part of a structure that its caller chooses.
import { describe, expect, test } from 'vitest';
import { analysed, diagnose, nested, run } from './support.ts';

const dense = `structure Dense { size I = 2, O = 2 axis b: B, i: I, o: O input x[b, i] param W[o, i] ~ normal(fan_in = i)
  y[b, o] = W[o, i] * x[b, i] output y }`;
/** z = Up(w) + w, with Up(w) of two axes before the features. */
const model = (slot: string, use = 'use Up(w = w, I = 2, O = 2) as up'): string => `structure Model {
  axis n: 1, t: 2, i: 2, f: 2
  slot Up(w[n, t, i]) -> z[n, t, f]${slot}
  input w[n, t, i]
  ${use}
  y[n, t, i] = up.z[n, t, i] + w[n, t, i]
  output y
}`;
const w = [
  [
    [1, 2],
    [3, 4],
  ],
];

describe('slots', () => {
  test('a default from a file; a structure with fewer axes sees the first ones together', () => {
    const { y } = run(
      model(' = "dense"'),
      {
        w,
        'up.W': [
          [1, 1],
          [0, 10],
        ],
      },
      { files: { dense }, inputShapes: { w: [1, 2, 2] } },
    );
    expect(nested(y)).toEqual([
      [
        [4, 22],
        [10, 44],
      ],
    ]);
  });

  test('a default by name, a caller’s choice, and a slot passed on', () => {
    const twice = 'structure Twice { axis n: N, t: T, i: D input x[n, t, i] v[n, t, i] = 2 * x[n, t, i] output v }';
    const thrice = twice.replace('Twice', 'Thrice').replace('2 *', '3 *');
    const outer = (fill: string): string => `${twice} ${thrice} ${model(' = Twice')}
      structure Outer { axis n: 1, t: 2, i: 2 slot Part(w[n, t, i]) -> z[n, t, i] = Thrice input w[n, t, i]
      use Model(w = w${fill}) as m y[n, t, i] = m.y[n, t, i] output y }`;
    expect(nested(run(outer(''), { w }).y)).toEqual([
      [
        [3, 6],
        [9, 12],
      ],
    ]);
    expect(nested(run(outer(', Up = Thrice'), { w }).y)).toEqual([
      [
        [4, 8],
        [12, 16],
      ],
    ]);
    const passed = outer(', Up = Part');
    expect(nested(run(passed, { w }).y)).toEqual([
      [
        [4, 8],
        [12, 16],
      ],
    ]);
    const four = { file: 'four.mlbtc', text: twice.replace('2 *', '4 *') };
    expect(nested(run(passed, { w }, { slots: { part: four } }).y)).toEqual([
      [
        [5, 10],
        [15, 20],
      ],
    ]);
  });

  test('sizes that the structure declares are bound, others dropped; the command line binds the rest, and has the last word', () => {
    const scaled = `structure Scaled { size layer = 7, k const c = 1 axis n: N, i: D input x[n, i]
      y[n, i] = (layer + 10 * k + 100 * c) * x[n, i] output y }`;
    const text = model(' = "scaled"', 'use Up(w = w, layer = 3, depth = 9, k = 2) as up');
    const files = { scaled };
    expect(nested(run(text, { w }, { files }).y)).toEqual([
      [
        [124, 248],
        [372, 496],
      ],
    ]);
    const sizes = { 'up.k': 1, 'Up.c': 0.5 };
    expect(nested(run(text, { w }, { files, sizes }).y)).toEqual([
      [
        [64, 128],
        [192, 256],
      ],
    ]);
    expect(diagnose(text, { files, sizes: { 'up.layr': 1 }, inputShapes: { w: [1, 2, 2] } })).toEqual([
      'E0301 scaled:1:11 `Scaled`, which fills the slot `Up`, has no size `layr`, which is bound to 1 | did you mean `layer`?',
    ]);
    expect(diagnose(text, { files, sizes: { 'dwon.k': 1 } })[0]).toContain('has no slot `dwon` | it has `Up`');
  });

  test('an output that is left out is an input', () => {
    const text = (fill: string): string => `structure One { axis i: D input x[i] a[i] = 2 * x[i] output a }
      structure Both { axis i: D input x[i] a[i] = 2 * x[i] c[i] = 5 * x[i] output a, c }
      structure S { axis i: 2 slot P(x[i]) -> a[i], v[i] else x = ${fill} input x[i] use P(x = x) as p
      y[i] = p.a[i] + 100 * p.v[i] output y }`;
    expect(nested(run(text('One'), { x: [1, 2] }).y)).toEqual([102, 204]);
    expect(nested(run(text('Both'), { x: [1, 2] }).y)).toEqual([502, 1004]);
  });

  test('in a level there is one instance each', () => {
    const text = `structure Layer { size l = 0 axis i: D input x[i] param W[i] ~ ones y[i] = (l + 1) * W[i] * x[i] output y }
      structure S { axis i: 2 slot P(x[i]) -> z[i] = Layer input x[i] h.0[i] = x[i]
      level l in 0 .. 1 { use P(x = h.l, l = l) as p h.(l + 1)[i] = p.z[i] } y[i] = h.2[i] output y }`;
    const { y } = run(text, { x: [1, 1], 'p.0.W': [3, 5], 'p.1.W': [1, 10] }, { inputShapes: { x: [2] } });
    expect(nested(y)).toEqual([6, 100]);
  });

  test('only the outputs of the signature have names', () => {
    const text = model(' = "dense"').replace('up.z[n, t, i]', 'up.W[n, t, i]');
    expect(diagnose(text, { files: { dense } })[0]).toContain('`up.W` is no output of the slot | there are `z`');
  });

  test('a slot that nothing uses is told', () => {
    expect(diagnose('input x slot P(x) -> z = "dense" output x', { files: { dense } })).toEqual([
      'W0201 2:14 nothing uses the slot `P` | remove it',
    ]);
    const passed = `structure M { input x slot P(x) -> z use P(x = x) as p output p.z }
      structure S { input x slot Q(x) -> z use M(x = x, P = Q) as m output m.p.z }`;
    expect(analysed(passed, { unbound: 'postpone' }).diagnostics).toEqual([]);
  });

  test('a slot that nothing fills: refused, but postponed by `check`', () => {
    expect(diagnose(model(''))).toEqual([
      'E0209 5:7 nothing fills the slot `Up` | fill it: `--slot Up=FILE`, or give the slot a default: `= "dense"`',
    ]);
    const { diagnostics, program } = analysed(model(''), { unbound: 'postpone' });
    expect([diagnostics, program]).toEqual([[], undefined]);
  });

  test.each([
    [
      'structure F { axis n: N, i: D input x[n, i] input s[n, i] y[n, i] = x[n, i] + s[n, i] output y }',
      'E0208 f.mlbtc:1:51 `F` fills the slot `Up`, which gives it 1 input, and has 2: `x`, `s`',
    ],
    [
      'structure F { axis n: N, i: D input x[n, i] y[n] = sum[i](x[n, i]) output y }',
      'E0208 f.mlbtc:1:75 `F` fills the slot `Up`: `y` has the shape [2], and `z[n, t, f]` [1, 2, 2], with the first axes together [4]',
    ],
    [
      'structure F { axis n: N, i: D, o: 3 input x[n, i] y[n, o] = sum[i](x[n, i]) * o output y }',
      'E0208 f.mlbtc:1:88 `F` fills the slot `Up`: `y` has the shape [2, 3], and `z[n, t, f]` [1, 2, 2], with the first axes together [2, 2]',
    ],
    [
      'structure F { axis n: N, i: 5 input x[n, i] y[n, i] = x[n, i] output y }',
      'E0312 f.mlbtc:1:42 `w` of the slot `Up` has 2 elements along `i` (position 2), and the input `x` has 5 there',
    ],
    [
      'structure F { axis n: N, i: D input x[n, i]: i32 y[n, i] = x[n, i] output y }',
      'E0312 f.mlbtc:1:37 `w` of the slot `Up` is a float, and the input `x` is i32',
    ],
    [
      'structure F { axis n: N, i: D input x[n, i] y[n, i] = x[n, i] u[n, i] = y[n, i] output y, u }',
      'E0208 f.mlbtc:1:91 `F` fills the slot `Up`, which has 1 output, and gives 2',
    ],
    [
      'structure F { axis n: N, a, b, i: D input x[n, a, b, i] y[n, i] = sum[a, b](x[n, a, b, i]) output y }',
      'E0312 f.mlbtc:1:43 `w` of the slot `Up` has 3 axes, and the input `x` has 4',
    ],
    ['structure F { size k, D axis n: N, i: D input x[n, i] check D == k  "no" y[n, i] = x[n, i] output y }', 'E0302'],
    [
      'structure F { size D axis n: N, i: D input x[n, i] check D == 3  "no" y[n, i] = x[n, i] output y }',
      'E0309 f.mlbtc',
    ],
    ['fn f(a) = a', 'E0203 f.mlbtc:1:1 f.mlbtc holds no structure'],
    ['structure F {', 'E0109 f.mlbtc'],
  ])('a structure that does not fit is told at its own line: %s', (filler, expected) => {
    const found = diagnose(model(''), {
      slots: { up: { file: 'f.mlbtc', text: filler } },
      inputShapes: { w: [1, 2, 2] },
    });
    expect(found[0]).toContain(expected);
  });

  test.each([
    ['use Up(w = q) as up', 'E0401 5:14 `q` is not known here'],
    ['use Up() as up', 'E0207 5:3 the input `w` of the slot `Up` is not bound | bind it: `w = …`'],
    ['use Up(w = w, w = w) as up', 'E0404 5:17 `w` is bound twice'],
    ['use Up(w = v) as up v[n, t] = 1', 'E0312 5:14 `v` has 2 axes, and `w` of the slot `Up` has 3'],
    [
      'use Up(w = v) as up v[n, t, (i f)] = 1',
      'E0312 5:14 `v` has 4 elements along `i` (position 3), and `w` of the slot `Up` has 2 there',
    ],
    ['use Up(w = w, k = zz) as up', 'E0401 5:21 `zz` is not known here'],
  ])('%s', (use, expected) => {
    expect(diagnose(model(' = "dense"', use), { files: { dense } })[0]).toContain(expected);
  });

  test.each([
    ['slot P(x[q]) -> z[i]', 'E0401'],
    ['slot P(x[i]) -> z[i], x[i]', 'E0404 2:36 `x` stands twice in the slot'],
    ['slot P(x[i, i]) -> z[i]', 'E0507'],
    ['slot P(x[i]) -> z[i] else q', 'E0208 2:40 `q` is no input of the slot'],
    ['slot P(x[i]) -> z[i] else x, y[i]', 'E0208 2:43 `y` follows `z`, which a structure may leave out'],
    ['slot P(x[i]) -> z[i, j] else x', 'E0208 2:43 `x` has the axes [i], and `z` [i, j]'],
    ['slot P(x[i]) -> z[i] slot P(x[i]) -> z[i]', 'E0404'],
    ['slot S(x[i]) -> z[i]', 'E0404 2:19 `S` is already a structure'],
    ['slot P(x[i]) -> z[i] = "nowhere"', 'E0201'],
    ['slot P(x[i]) -> z[i] = Nowhere use P(x = a) as p', 'E0204'],
    ['slot P(x[i]) -> z[i] = P use P(x = a) as p', 'E0406'],
    ['slot P(x[i]) -> z[i] = S use P(x = a) as p', 'E0206'],
    ['level l in 0 .. 1 { slot P(x[i]) -> z[i] }', 'E0110'],
    ['slot P(x[i])', 'E0106'],
    ['slot P(x[i]) -> = "dense"', 'E0106'],
  ])('%s', (item, expected) => {
    const text = `axis i, j: 2 ${item} a[i] = 1 output a`;
    expect(diagnose(text).join('\n')).toContain(expected);
  });
});

describe('consts', () => {
  test('are real, may use sizes and each other, and are bound like sizes', () => {
    const text =
      'size D = 4 const a = 1 / b const b = D ^ 0.5 const gamma = 0.9 axis i: 2 input x[i] y[i] = a * gamma * x[i] output y';
    expect(nested(run(text, { x: [1, 2] }).y)).toEqual([0.45, 0.9]);
    expect(nested(run(text, { x: [1, 2] }, { sizes: { gamma: -0.5, b: 0.25 } }).y)).toEqual([-2, -4]);
  });

  test('of an instance and of a level; in initialisations', () => {
    const text = `structure M { const c = 1 axis i: 2 input x[i] param W[i] ~ constant(2 * c) y[i] = c * W[i] * x[i] output y }
      structure S { const c = 0.5 axis i: 2 input x[i] use M(x = x, c = c / 2) as m
      level l in 0 .. 1 { const d = l + c z[i] += d * m.y[i] } y[i] = z[i] output y }`;
    const { program } = analysed(text);
    expect(program?.tensors.find(({ name }) => name === 'm.W')?.source).toMatchObject({ init: { value: 0.5 } });
    const { y } = run(text, { x: [1, 2], 'm.W': [1, 1] }, { inputShapes: { x: [2] } });
    expect(nested(y)).toEqual([0.5, 1]);
  });

  test.each([
    ['const c = 0.5 axis j: c', "E0313 2:33 `c` is a const, and cannot stand in an axis's size"],
    ['const c = 0.5 size k = 2 * c', 'E0313'],
    ['const c = c', 'E0303 2:17 the const `c` depends on itself'],
    ['const c = 1 / 0', 'E0604'],
    ['const c = x[0]', 'E0605'],
    ['const c = 1 const c = 2', 'E0404'],
    ['const c = 1, d = 2', 'E0120'],
    ['const c', 'E0106'],
  ])('%s', (item, expected) => {
    expect(diagnose(`axis i: 2 ${item} input x[i] y[i] = c * x[i] output y`).join()).toContain(expected);
  });

  test('a list is refused, and what is never used is told', () => {
    const text = 'const c = 1 axis i: 2 input x[i] y[i] = x[i] output y';
    expect(diagnose(text, { sizes: { c: [1] } }).join()).toContain('E0306');
    expect(diagnose(text).join()).toContain('W0201 2:7 nothing uses the const `c`');
  });
});

test('zeros with a fan_in', () => {
  const init = (written: string) =>
    analysed(`axis i: 4, j: 3 param W[i, j] ~ ${written} y[i] = sum[j](W[i, j]) output y`).program?.tensors[0]?.source;
  expect(init('zeros(fan_in = j)')).toEqual({
    kind: 'param',
    init: { kind: 'constant', value: 0, fanIn: 3 },
    fixed: false,
  });
  expect(init('zeros(fan_in = (i j)), fixed')).toEqual({
    kind: 'param',
    init: { kind: 'constant', value: 0, fanIn: 12 },
    fixed: true,
  });
  const wrong = (written: string) => diagnose(`axis i: 4 param W[i] ~ ${written} y[i] = W[i] output y`)[0];
  expect(wrong('zeros(fan_in = q)')).toContain('E0605');
  expect(wrong('zeros(std = 1)')).toContain('E0111 2:30 `zeros` has no `std` | write `fan_in = …`');
});
