// Sizes: binding, arithmetic, lists, split, implicit sizes, checks, `if`, settling from shapes.
import { describe, expect, test } from 'vitest';
import { split } from '../../../compiler/semantics/sizes.ts';
import { analysed, diagnose, nested, type Options, run } from './support.ts';

/** The values of sizes by name. */
function sizes(items: string, options: Options = {}): Record<string, number | readonly number[] | undefined> {
  const analysis = analysed(`${items}\n y = 1 output y`, options);
  const errors = analysis.diagnostics.filter((d) => d.severity === 'error');
  expect(errors).toEqual([]);
  return Object.fromEntries((analysis.interface?.sizes ?? []).map(({ name, value }) => [name, value]));
}

/** Diagnostics without warnings; the items begin in line 2. */
function errors(items: string, options: Options = {}): readonly string[] {
  return diagnose(`${items}\ny = 1 output y`, options).filter((d) => !d.startsWith('W'));
}

describe('values', () => {
  test('defaults, in any order', () => {
    expect(sizes('size a = b + 1, b = c * 2  size c = 3')).toEqual({ a: 7, b: 6, c: 3 });
  });

  test('arithmetic on integers', () => {
    const items =
      'size a = 7 % 4, b = 2^3^2, c = (1 + 2) * 3, d = 12 / 4 / 3, e = 10 - 2 * 3, f = sqrt(49), g = log2(32), h = 2 - -3';
    expect(sizes(items)).toEqual({ a: 3, b: 512, c: 9, d: 1, e: 4, f: 7, g: 5, h: 5 });
  });

  test('lists', () => {
    const items = `size r = [8, 4, 2 + 1], s = r, n = len(r), t = sum(r), p = prefix(r, 2), p0 = prefix(r, 0),
      lo = min(r), hi = max(r), x = r[1], m = min(3, n, 9), q = max(n, 4)`;
    expect(sizes(items)).toEqual({
      ...{ r: [8, 4, 3], s: [8, 4, 3], n: 3, t: 15, p: 12, p0: 0, lo: 3, hi: 8, x: 4, m: 3, q: 4 },
    });
  });

  test('`-s` binds numbers and lists, and what depends on them follows', () => {
    const items = 'size D = 64, ranks = [1, 2], n = D / len(ranks)';
    expect(sizes(items, { sizes: { D: 12, ranks: [1, 1, 1] } })).toEqual({ D: 12, ranks: [1, 1, 1], n: 4 });
    expect(sizes('size r', { sizes: { r: [] } })).toEqual({ r: [] });
  });

  test('a size may be 0', () => {
    expect(sizes('size z = 0, w = z * 5')).toEqual({ z: 0, w: 0 });
  });

  test('split: the smallest divisor strictly above the square root', () => {
    const pairs = [1, 2, 7, 16, 24, 32, 36, 48, 64, 256, 1024].map((n) => split(n));
    expect(pairs).toEqual([
      ...[
        [1, 1],
        [1, 2],
        [1, 7],
        [2, 8],
        [4, 6],
        [4, 8],
        [4, 9],
        [6, 8],
        [4, 16],
        [8, 32],
        [16, 64],
      ],
    ]);
    for (let n = 2; n < 500; n++) {
      const b = Array.from({ length: n }, (_, i) => i + 1).find((d) => n % d === 0 && d * d > n);
      expect(split(n)).toEqual([n / (b ?? 0), b]);
    }
    expect(sizes('size (a, b) = split(D), (c, d) = split(2 * D)  size D = 64')).toEqual({
      a: 4,
      b: 16,
      c: 8,
      d: 16,
      D: 64,
    });
  });

  test('a name that is only ever the size of an axis is declared implicitly', () => {
    const { interface: face } = analysed('axis b: B, i: D  size D = 2  input x[b, i] y[b, i] = x[b, i] output y', {
      inputShapes: { x: [5, 2] },
    });
    expect(face?.sizes.map(({ name, value, implicit, unbound }) => [name, value, implicit, unbound])).toEqual([
      ['D', 2, false, false],
      ['B', 5, true, false],
    ]);
    expect(sizes('axis b: B', { sizes: { B: 7 } })).toEqual({ B: 7 });
    // Also beside an axis whose size only contains it.
    expect(sizes('axis t: T, s: T + 2', { sizes: { T: 7 } })).toEqual({ T: 7 });
  });

  test('a name that also stands elsewhere is not', () => {
    expect(errors('axis b: B  size C = B + 1')).toEqual([expect.stringContaining('E0401 2:21 `B` is not declared')]);
  });
});

describe('settling from the shapes of inputs', () => {
  const items = 'size D = 64, H = 4  axis t: T, j: D, s: T + 2, h: D / H  input x[t, j] input z[s, h]';
  const shapes = { x: [5, 12], z: [7, 3] };

  test('a size that is alone in an axis takes its value there, before its default', () => {
    expect(sizes(items, { inputShapes: shapes })).toEqual({ D: 12, H: 4, T: 5 });
  });

  test('every other extent is checked', () => {
    expect(errors(items, { inputShapes: { ...shapes, z: [8, 3] } })).toEqual([
      'E0312 2:80 the given `z` has 8 elements along `s` (position 1), and the input `z` has T + 2 = 7 there',
    ]);
    expect(errors(items, { inputShapes: { ...shapes, z: [7, 4] } })[0]).toContain('has D / H = 3 there');
    expect(errors(items, { inputShapes: { ...shapes, z: [7] } })[0]).toContain('the given `z` has 1 axis');
  });

  test('what is bound is checked against the shape', () => {
    expect(errors(items, { sizes: { D: 16 }, inputShapes: shapes })[0]).toContain(
      'has 12 elements along `j` (position 2), and the input `x` has D = 16 there',
    );
  });

  test('two inputs that disagree', () => {
    const two = 'axis i: D input x[i] input z[i]';
    expect(errors(two, { inputShapes: { x: [3], z: [4] } })[0]).toContain('the given `z` has 4 elements along `i`');
  });

  test('`s: T + 2` settles nothing, and neither do params', () => {
    const alone = 'axis t: T, s: T + 2 input z[s] param p[t] ~ ones';
    expect(errors(alone, { inputShapes: { z: [7] } })).toEqual([
      expect.stringContaining('E0302 2:9 the size `T` has no value'),
    ]);
  });

  test('a shape for an axis of fixed size is checked', () => {
    expect(errors('axis i: 3 input x[i]', { inputShapes: { x: [4] } })[0]).toContain('has 3 there');
  });
});

describe('sizes without a value', () => {
  const text = 'axis b: B, i: 3 input x[b, i] y[b] = sum[i](x[b, i]) output y';

  test('are refused where something depends on them', () => {
    expect(diagnose(text)).toEqual(['E0302 2:9 the size `B` has no value | bind it: `-s B=…`']);
    expect(errors('size Z')).toEqual([]);
    // Not beside an input that could not be read: it may be what settles them.
    expect(diagnose('axis i: D, t: T\ninput x[i], z[t]\ny[i] = x[i]\noutput y')).toEqual([
      expect.stringContaining('E0120 3:13'),
    ]);
  });

  test('are postponed without a word, and nothing else is', () => {
    const analysis = analysed(text, { unbound: 'postpone' });
    expect(analysis.diagnostics).toEqual([]);
    expect(analysis.program).toBeUndefined();
    const wrong = `${text} z[b] = x[b, 4] + q w[b, i] = x[b, i + 1]`;
    expect(diagnose(wrong, { unbound: 'postpone' })).toEqual([
      'E0503 2:75 `4`, outside position 2 of `x`, which is 0 .. 2',
      'E0401 2:80 `q` is not known here',
      expect.stringContaining('E0503 2:97 `i + 1` is 3 at i = 2, outside position 2 of `x`, which is 0 .. 2'),
    ]);
  });

  test('count as 1', () => {
    const { program, interface: face } = analysed(text, { unbound: 'one' });
    expect(program?.tensors.map((t) => t.shape)).toEqual([[1, 3], [1]]);
    expect(face?.sizes).toMatchObject([{ name: 'B', value: 1, unbound: true }]);
  });

  test('a level whose bounds are postponed is looked at once', () => {
    const level =
      'size n axis i: 3 input x[i] level l in 0 .. n - 1 { z[i] = x[i] * q  S[i] += z[i] * l } y[i] = S[i] + z.0[i] output y';
    expect(diagnose(level, { unbound: 'postpone' })).toEqual([expect.stringContaining('E0401 2:67 `q` is not known')]);
  });

  test('an `if` that is postponed makes no name unknown', () => {
    const text2 = 'size f axis i: 3 input x[i] if f == 1 { z[i] = x[i] } else { z[i] = 2 * x[i] } y[i] = z[i] output y';
    expect(diagnose(text2, { unbound: 'postpone' })).toEqual([]);
    expect(diagnose(text2)).toEqual([expect.stringContaining('E0302 2:6')]);
  });
});

describe('checks and conditions', () => {
  test('a broken check says its text and the values, and what follows from it is not told', () => {
    const text =
      'size D = 10, H = 4 check D % H == 0 "heads must share D" axis i: D / H input x[i] y[i] = x[i] output y';
    expect(diagnose(text)).toEqual([
      'E0309 2:26 heads must share D: `D % H == 0` does not hold: D % H = 2, D = 10, H = 4',
    ]);
    expect(diagnose(text, { sizes: { D: 12 } })).toEqual([]);
  });

  test('every comparison, joined by `and`', () => {
    const ok = 'size a = 1, b = 2 check a < b and a <= b and b > a and b >= a and a == 1 and a != b "no"';
    expect(errors(ok)).toEqual([]);
    expect(errors('size a = 1, b = 2 check a < b and a == b "no"')[0]).toContain(
      'no: `a == b` does not hold: a = 1, b = 2',
    );
  });

  test('a check in a level is made for each', () => {
    expect(errors('size r = [4, 2, 1] level l in 0 .. 2 { check r[l] > 1 "rank" }')[0]).toContain(
      'rank: `r[l] > 1` does not hold: r[l] = 1, r = [4, 2, 1], l = 2',
    );
  });

  test('`if` chooses items, which belong to what surrounds them', () => {
    const text = `size flag = 1, E = 7 axis i: 2 input x[i]
      if flag == 1 { size n = 3  y[i] = n * x[i] } else if flag == 2 { y[i] = -x[i] } else { y[i] = E * x[i] }
      output y`;
    const values = [1, 2, 3].map((flag) => nested(run(text, { x: [1, 2] }, { sizes: { flag } }).y));
    expect(values).toEqual([
      [3, 6],
      [-1, -2],
      [7, 14],
    ]);
  });

  test('an `if` may depend on a size that another declares', () => {
    const text = `size a = 1 if b == 2 { z = 5 } else { z = 6 } if a == 1 { size b = 2 } else { size b = 3 } y = z output y`;
    expect(nested(run(text).y)).toBe(5);
    expect(nested(run(text, {}, { sizes: { a: 0 } }).y)).toBe(6);
  });

  test('a condition must be a comparison', () => {
    expect(errors('size f = 1 if f { z = 1 }')).toEqual(['E0602 2:15 `f` is not a comparison | write `f != 0`']);
  });
});

describe('diagnostics of sizes', () => {
  test.each<[string, string, Options?]>([
    [
      'size D = 64',
      'E0301 1:11 `S` has no size `d_model`, which is bound to 3 | it has `D`',
      { sizes: { d_model: 3 } },
    ],
    ['size depth = 64', 'did you mean `depth`?', { sizes: { detph: 3 } }],
    ['size a = b, b = c, c = a', 'E0303 2:6 the size `a` depends on itself: `a` → `b` → `c` → `a`'],
    ['size D = 10 axis i: D / 4', 'E0304 2:21 `D` / `4` is 10 / 4, which is not a whole number'],
    ['size D = 10, E = D / 0', 'E0305 2:18 `D` / `0` divides 10 by 0'],
    ['size E = 2 ^ (1 - 2)', 'E0305 2:10 `2 ^ (1 - 2)` is 2 to the power of -1, not whole'],
    ['size E = sqrt(8)', 'E0305 2:10 `sqrt(8)`: 8 is not a square number'],
    ['size E = log2(12)', 'E0305 2:10 `log2(12)`: 12 is not a power of two'],
    ['size E = 1.5', 'E0305 2:10 1.5 is not a whole number'],
    ['size r = [1, 2], E = r + 1', 'E0306 2:22 `r` is a list, where a number is needed'],
    ['size r = 3, E = r[0]', 'E0306 2:17 `r` is a number, not a list'],
    ['size r = 3, E = len(r)', 'E0306 2:21 `r` is not a list, which `len` takes'],
    ['size r = [1, 2], E = r[2]', 'E0307 2:24 `r` has entries 0 .. 1, and 2 is read'],
    ['size r = [1], E = prefix(r, 2)', 'E0307 2:19 `prefix(r, 2)` sums the first 2 of 1 entries'],
    ['size E = 2 - 3', 'E0308 2:6 the size `E` = -1 is negative'],
    ['size E = 2 ^ 31', 'E0308 2:6 the size `E` = 2147483648 is larger than 2147483647'],
    ['size E = 2 ^ 60', 'E0308 2:10 `2 ^ 60` is too large a number'],
    ['size D = 4', 'E0308 1:11 the size `D` cannot be -1', { sizes: { D: -1 } }],
    ['size D = 4', 'the size `D` is a number, and is bound to a list: [1]', { sizes: { D: [1] } }],
    ['size z = 0 axis i: z', 'E0310 2:20 the axis `i` has the extent z = 0, and needs at least 1'],
    ['size E = exp(2)', 'E0407 2:10 `exp` cannot stand in a size'],
    ['size E = min()', 'E0408 2:10 `min` takes at least 1 argument'],
    ['axis i: 3 size E = i + 1', 'E0313 2:20 `i` is an axis, and cannot stand in a size'],
    ['size (a, b) = 3', 'E0313 2:15 two sizes at once can only be `split(D)`'],
    ['size (a, b, c) = split(8)', '`split` gives two numbers, and here are 3 names'],
    ['size a = split(8)', 'E0407 2:10 `split` gives two numbers'],
    ['size (a, b) = split(64)', 'E0301 1:11 `a` is bound by `split(64)` to 4, and cannot be 8', { sizes: { a: 8 } }],
    ['level l in 0 .. 100000000 { }', 'E0901'],
    ['size n = 3 level l in 0 .. m { }', 'E0401 2:28 `m` is not known here'],
    ['size D = 4 size D = 5', 'E0404 2:17 `D` is already a size'],
    ['size k = 4 axis k: 3', 'E0404 2:17 `k` is already a size'],
  ])('%s', (items, expected, options) => {
    const found = errors(items, options);
    expect(found.join('\n')).toContain(expected);
    expect(found).toHaveLength(1);
  });

  test('a size that nothing uses is a warning', () => {
    expect(
      diagnose('size D = 4, E = 5 axis i: D input x[i] y[i] = x[i] output y', { inputShapes: { x: [4] } }),
    ).toEqual(['W0201 2:13 nothing uses the size `E` | remove it']);
  });

  test('of a split one size may be left unused', () => {
    const text = (e: string) =>
      diagnose(`size (a, b) = split(8) axis i: ${e} input x[i] y[i] = x[i] output y`, { unbound: 'one' });
    expect(text('a')).toEqual([]);
    expect(text('3').map((d) => d.slice(0, 11))).toEqual(['W0201 2:7 n', 'W0201 2:10 ']);
  });

  test('a long chain of defaults needs no deep stack', () => {
    const n = 20_000;
    const chain = Array.from({ length: n }, (_, i) => `size a${i} = ${i + 1 < n ? `a${i + 1} + 1` : '0'}`).join('\n');
    expect(sizes(chain).a0).toBe(n - 1);
  });
});
