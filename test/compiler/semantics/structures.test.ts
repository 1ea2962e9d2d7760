// The shared structures: they analyse at their default sizes, are valid programs that run, and survive any damage to
// their text.
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../compiler/ir/ndarray.ts';
import { elementCount, type Program } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { type AnalyseOptions, analyse } from '../../../compiler/semantics/analyse.ts';
import { tokenize } from '../../../compiler/syntax/lexer.ts';
import { readStructure, resolveStructure, structureFiles } from './support.ts';

const files = structureFiles();

function of(name: string, options: Partial<AnalyseOptions> = {}) {
  const source = { file: name, text: readStructure(name) };
  return analyse({ source, sizes: {}, unbound: 'refuse', resolve: resolveStructure, ...options });
}

/** The shape that an input has at default sizes, unbound ones 2. */
function shapesOf(name: string, sizes: AnalyseOptions['sizes'] = {}): Record<string, readonly number[]> {
  const face = of(name, { unbound: 'postpone', sizes }).interface;
  return Object.fromEntries(
    (face?.inputs ?? []).map((input) => [input.name, input.shape.map((extent) => extent ?? 2)]),
  );
}

/** Small numbers that repeat in no axis. */
function values(program: Program): Map<string, NdArray> {
  const given = program.tensors.filter((t) => t.source.kind === 'input' || t.source.kind === 'param');
  return new Map(
    given.map(({ name, shape }, k) => [
      name,
      ndarray(
        shape,
        Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(1 + k + 1.7 * i)),
      ),
    ]),
  );
}

function outputs(program: Program): Map<string, NdArray> {
  return interpret(program, values(program), program.outputs);
}

test('there are the shared structures to test', () => {
  expect(files.length).toBeGreaterThanOrEqual(15);
});

describe.each(files)('%s', (name) => {
  test('analyses at default sizes without a diagnostic', () => {
    const inputShapes = shapesOf(name);
    for (const unbound of ['refuse', 'one', 'postpone'] as const) {
      const analysis = of(name, { unbound, inputShapes });
      expect(analysis.diagnostics).toEqual([]);
      expect(verify(analysis.program as Program)).toEqual([]);
    }
    const check = of(name, { unbound: 'postpone' });
    expect(check.diagnostics).toEqual([]);
    expect(of(name, { unbound: 'one' }).diagnostics).toEqual([]);
  });

  test('two analyses give the same program', () => {
    const inputShapes = shapesOf(name);
    expect(of(name, { inputShapes })).toEqual(of(name, { inputShapes }));
  });

  test('every single-token deletion gives a diagnostic or a program', () => {
    const text = readStructure(name);
    const inputShapes = shapesOf(name);
    for (const { startOffset, endOffset } of tokenize({ file: name, text }).tokens) {
      const damaged = text.slice(0, startOffset) + text.slice((endOffset as number) + 1);
      for (const unbound of ['postpone', 'refuse'] as const) {
        const source = { file: name, text: damaged };
        const analysis = analyse({ source, sizes: {}, unbound, resolve: resolveStructure, inputShapes });
        const wrong = analysis.diagnostics.some((d) => d.severity === 'error');
        expect(wrong || analysis.program !== undefined || unbound === 'postpone').toBe(true);
        if (analysis.program !== undefined) expect(verify(analysis.program)).toEqual([]);
      }
    }
  });

  test('every prefix gives a diagnostic or a program', () => {
    const text = readStructure(name);
    for (const { startOffset } of tokenize({ file: name, text }).tokens) {
      const source = { file: name, text: text.slice(0, startOffset) };
      const analysis = analyse({ source, sizes: {}, unbound: 'one', resolve: resolveStructure });
      expect(analysis.diagnostics.some((d) => d.severity === 'error')).toBe(true);
    }
  });
});

describe('other sizes', () => {
  test.each<[string, AnalyseOptions['sizes'], readonly number[]]>([
    ['dense.mlbtc', { I: 3, O: 5 }, [2, 5]],
    ['low_rank.mlbtc', { D: 7, rank: 1 }, [2, 7]],
    ['kronecker.mlbtc', { a: 2, b: 3, c: 5, d: 1 }, [2, 6]],
    ['monarch.mlbtc', { D: 12 }, [2, 12]],
    ['btt.mlbtc', { D: 7, s: 2 }, [2, 7]],
    ['btt.mlbtc', { D: 1 }, [2, 1]],
    ['mlr.mlbtc', { D: 8, ranks: [2, 1] }, [2, 8]],
    ['mlbtc.mlbtc', { D: 12, outer: [1, 3], inner: [2, 4], ranks: [2, 1] }, [2, 12]],
    ['butterfly.mlbtc', { depth: 3 }, [2, 8]],
    ['butterfly.mlbtc', { depth: 0 }, [2, 1]],
    ['tensor_train.mlbtc', { m: 2, rank: 3 }, [2, 8]],
    ['attention.mlbtc', { D: 6, H: 2, T: 3 }, [2, 2, 3, 3]],
    ['sliding_window.mlbtc', { D: 6, H: 2, w: 1, T: 4 }, [2, 2, 4, 4]],
    ['global_sliding_window.mlbtc', { D: 10, H: 2, w: 1, global: 2, local: 3, T: 4 }, [2, 2, 4, 4]],
    ['bilinear_btt.mlbtc', { D: 6, H: 2, s: 2, T: 3 }, [2, 2, 3, 3]],
    ['bilinear_mlr.mlbtc', { D: 8, H: 2, ranks: [3, 1], T: 3 }, [2, 2, 3, 3]],
    ['mlr_attention.mlbtc', { D: 8, H: 2, T: 4, ranks: [2, 1, 1] }, [2, 2, 4, 4]],
  ])('%s at %o', (name, sizes, shape) => {
    const analysis = of(name, { sizes, inputShapes: shapesOf(name, sizes) });
    expect(analysis.diagnostics).toEqual([]);
    const program = analysis.program as Program;
    expect(verify(program)).toEqual([]);
    const [result] = outputs(program).values();
    expect(result.shape).toEqual(shape);
    expect(result.data.every(Number.isFinite)).toBe(true);
  });

  test.each<[string, AnalyseOptions['sizes'], string]>([
    [
      'attention.mlbtc',
      { D: 10, H: 4 },
      'the heads must share D evenly: `D % H == 0` does not hold: D % H = 2, D = 10, H = 4',
    ],
    ['mlr.mlbtc', { D: 12, ranks: [1, 1, 1, 1] }, 'D must split evenly at the finest level'],
    ['bilinear_mlr.mlbtc', { ranks: [1] }, 'the ranks must add up to the head size D / H'],
    ['mlbtc.mlbtc', { ranks: [1] }, 'one rank per level'],
    ['global_sliding_window.mlbtc', { local: 3 }, 'the two parts must fill a head'],
  ])('%s at %o breaks a check, and nothing else is told', (name, sizes, message) => {
    for (const unbound of ['postpone', 'refuse', 'one'] as const) {
      const { diagnostics } = of(name, { sizes, unbound });
      const errors = diagnostics.filter((d) => d.code !== 'E0302');
      expect(errors[0].message).toContain(message);
      expect(errors.filter((d) => d.code !== 'E0309')).toEqual([]);
    }
  });
});

describe('what they compute', () => {
  const matrix = (name: string, sizes: AnalyseOptions['sizes'], W: (g: (n: string) => NdArray) => number[][]): void => {
    const program = of(name, { sizes, inputShapes: shapesOf(name, sizes) }).program as Program;
    const given = values(program);
    const get = (n: string): NdArray => given.get(n) as NdArray;
    const x = get('x');
    const dense = W(get);
    const [y] = outputs(program).values();
    for (let b = 0; b < x.shape[0]; b++) {
      for (const [i, row] of dense.entries()) {
        const expected = row.reduce((s, w, j) => s + w * x.data[b * x.shape[1] + j], 0);
        expect(y.data[b * dense.length + i]).toBeCloseTo(expected, 10);
      }
    }
  };
  const zeros = (n: number, m = n): number[][] => Array.from({ length: n }, () => new Array<number>(m).fill(0));
  const el = ({ shape, data }: NdArray, ...at: number[]): number => data[at.reduce((o, i, d) => o * shape[d] + i, 0)];

  test('MLR: a sum over levels of block-diagonal low-rank matrices', () => {
    matrix('mlr.mlbtc', { D: 8, ranks: [2, 1, 3] }, (g) => {
      const W = zeros(8);
      for (let l = 0; l < 3; l++) {
        const p = 8 / 2 ** l;
        for (let i = 0; i < 8; i++)
          for (let j = 0; j < 8; j++) {
            if (Math.floor(i / p) !== Math.floor(j / p)) continue;
            for (let r = 0; r < [2, 1, 3][l]; r++)
              W[i][j] += el(g(`U.${l}`), Math.floor(i / p), i % p, r) * el(g(`V.${l}`), Math.floor(j / p), j % p, r);
          }
      }
      return W;
    });
  });

  test('BTT: two block-diagonal factors with a permutation between', () => {
    matrix('btt.mlbtc', { D: 24, s: 2 }, (g) => {
      const W = zeros(24);
      for (let i = 0; i < 24; i++)
        for (let j = 0; j < 24; j++)
          for (let s = 0; s < 2; s++) {
            const [alpha, beta, gamma, delta] = [Math.floor(i / 6), i % 6, Math.floor(j / 6), j % 6];
            W[i][j] += el(g('L'), beta, alpha, gamma, s) * el(g('R'), gamma, delta, beta, s);
          }
      return W;
    });
  });

  test('Butterfly: a product of factors', () => {
    matrix('butterfly.mlbtc', { depth: 3 }, (g) => {
      let M: number[][] = zeros(8).map((row, i) => row.map((_, j) => (i === j ? 1 : 0)));
      for (let l = 0; l < 3; l++) {
        const p = 2 ** (2 - l);
        const B = zeros(8);
        for (let o = 0; o < 2 ** l; o++)
          for (let e = 0; e < 2; e++)
            for (let f = 0; f < 2; f++)
              for (let k = 0; k < p; k++) B[(o * 2 + e) * p + k][(o * 2 + f) * p + k] = el(g(`F.${l}`), o, e, f, k);
        M = B.map((row) => M[0].map((_, j) => row.reduce((s, w, k) => s + w * M[k][j], 0)));
      }
      return M;
    });
  });

  test('multi-level attention: scores over levels of positions, divided by how many levels share them', () => {
    const sizes = { D: 8, H: 2, T: 4, ranks: [2, 1, 1] };
    const program = of('mlr_attention.mlbtc', { sizes, inputShapes: { x: [1, 4, 8] } }).program as Program;
    const all = interpret(program, values(program));
    const [q, k, A] = ['q', 'k', 'A'].map((n) => all.get(n) as NdArray);
    for (let h = 0; h < 2; h++)
      for (let t = 0; t < 4; t++) {
        const score = (u: number): number => {
          let [s, shared, from] = [0, 0, 0];
          for (const [l, rank] of sizes.ranks.entries()) {
            const n = 4 / 2 ** l;
            if (Math.floor(t / n) === Math.floor(u / n)) {
              shared++;
              for (let e = 0; e < rank; e++) s += (el(q, 0, h, t, from + e) * el(k, 0, h, u, from + e)) / rank;
            }
            from += rank;
          }
          return s / shared;
        };
        const weights = [0, 1, 2, 3].map((u) => (u <= t ? Math.exp(score(u)) : 0));
        const total = weights.reduce((p, c) => p + c);
        for (let u = 0; u < 4; u++) expect(el(A, 0, h, t, u)).toBeCloseTo(weights[u] / total, 10);
      }
  });

  test('a window attends to w + 1 keys, with the weights of the scores that the instance has', () => {
    const sizes = { D: 6, H: 2, w: 1, T: 5 };
    const program = of('sliding_window.mlbtc', { sizes, inputShapes: { x: [1, 5, 6] } }).program as Program;
    const all = interpret(program, values(program));
    const [S, A] = ['full.S', 'A'].map((n) => all.get(n) as NdArray);
    for (let t = 1; t < 5; t++) {
      const [a, b] = [Math.exp(el(S, 0, 1, t, t - 1)), Math.exp(el(S, 0, 1, t, t))];
      expect(el(A, 0, 1, t, t)).toBeCloseTo(b / (a + b), 12);
      expect(el(A, 0, 1, t, Math.max(0, t - 2))).toBeCloseTo(t === 1 ? a / (a + b) : 0, 12);
    }
  });
});
