/** Ranks that are claimed are held to ranks that are computed: of matrices and scores with random params, in float64. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cachedTensors } from '../../../compiler/analysis/cache.ts';
import { matrixRankBound, matrixShape } from '../../../compiler/analysis/matrix.ts';
import { type RankBound, scoreRankBounds } from '../../../compiler/analysis/rank.ts';
import { analyse } from '../../../compiler/analysis/report.ts';
import { type Score, scoresOf } from '../../../compiler/analysis/scores.ts';
import { carriersOf } from '../../../compiler/analysis/tokens.ts';
import { stagesOf } from '../../../compiler/compile.ts';
import { isAffine } from '../../../compiler/ir/affine.ts';
import { computed } from '../../../compiler/ir/build.ts';
import { axesIn } from '../../../compiler/ir/contraction.ts';
import { equationsOf, pointwise } from '../../../compiler/ir/equation.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { type NdArray, stridesOf } from '../../../compiler/ir/ndarray.ts';
import type { Equation, Program } from '../../../compiler/ir/program.ts';
import { unfoldAxes } from '../../../compiler/passes/unfold.ts';
import { lowered, loweredLibrary, type Sizes } from '../../support/lowered.ts';
import { matrixRank } from '../../support/matrix-rank.ts';
import { normals } from '../../support/random-values.ts';

function bounds(program: Program): { readonly rank: RankBound | null; readonly cached: readonly string[] } {
  const { rankBound, cached } = analyse(stagesOf(program));
  return { rank: rankBound, cached: cached.map((c) => `${c.tensor} ${c.elementsPerToken}`) };
}

function randomValues({ tensors }: Program): Map<string, NdArray> {
  const given = tensors.filter(({ source }) => source.kind === 'input' || source.kind === 'param');
  return new Map(given.map(({ name, shape }, i) => [name, normals(shape, 7 + i)]));
}

/** A mask is absence: what is compared of a matrix is what is there, so conditions on both t and u are left out. */
function unmasked(program: Program): Program {
  const isMask = ({ axes }: Equation, terms: readonly { readonly axis: number }[]) =>
    ['t', 'u'].every((name) => terms.some(({ axis }) => axes[axis].name === name));
  const open = (e: Equation): Equation => ({
    ...e,
    domain: e.domain.filter((c) => !isAffine(c) || !isMask(e, c.affine.terms)),
  });
  return {
    ...program,
    tensors: program.tensors.map((tensor) =>
      tensor.source.kind === 'computed'
        ? { ...tensor, source: { ...tensor.source, equations: equationsOf(tensor).map(open) } }
        : tensor,
    ),
  };
}

/** The largest rank among the matrices of a score, one for each element of the batch and each head. */
function scoreRank(masked: Program, score: Score): number {
  const program = unmasked(masked);
  const { axes } = score.equation;
  const used = axes.map((axis) => ({ ...axis }));
  const table = score.isWhole
    ? undefined
    : computed(
        '~score',
        used.map(({ extent }) => extent),
        [pointwise(used, score.value)],
      );
  const whole = { ...program, tensors: [...program.tensors, ...(table === undefined ? [] : [table])] };
  const name = table?.name ?? score.maker.name;
  const { shape, data } = interpret(whole, randomValues(program), [name]).get(name) as NdArray;
  const dimensionsOf = (side: bigint): readonly number[] =>
    score.isWhole
      ? score.equation.store.flatMap((index, d) =>
          index.kind === 'affine' && index.terms.some(({ axis }) => ((side >> BigInt(axis)) & 1n) === 1n) ? [d] : [],
        )
      : axesIn(side);
  const [rows, columns] = [dimensionsOf(score.sides.first), dimensionsOf(score.sides.second)];
  const others = shape.map((_, d) => d).filter((d) => !rows.includes(d) && !columns.includes(d));
  const offsets = (dimensions: readonly number[]): readonly number[] =>
    dimensions.reduce<readonly number[]>(
      (all, d) => all.flatMap((offset) => Array.from({ length: shape[d] }, (_, i) => offset + i * stridesOf(shape)[d])),
      [0],
    );
  return Math.max(
    ...offsets(others).map((base) =>
      matrixRank(offsets(rows).map((r) => offsets(columns).map((c) => data[base + r + c]))),
    ),
  );
}

/** The order of contractions decides which tensor it is; how many elements a token has is the structure's own. */
const elements = (cached: string): string => cached.replace(/^\S+ /, '');

/** The bound and the largest computed rank of a program's scores; what fills a slot sees positions together until it is inlined. */
function boundAndRank(written: Program): readonly [RankBound | null, number] {
  const program = unfoldAxes(written);
  const scores = scoresOf(program, carriersOf(program));
  return [bounds(written).rank, Math.max(...scores.map((score) => scoreRank(program, score)))];
}

const matrices: readonly (readonly [name: string, sizes: Sizes])[] = [
  ['dense', { I: 6, O: 8, B: 2 }],
  ['low_rank', { D: 12, rank: 3, B: 2 }],
  ['low_rank', { D: 12, rank: 1, rows: 8, B: 2 }],
  ['block_diagonal', { blocks: 3, height: 2, width: 4, N: 2 }],
  ['kronecker', { a: 2, b: 3, c: 3, d: 2, N: 2 }],
  ['btt', { D: 16, s: 1, N: 2 }],
  ['btt', { D: 16, s: 2, N: 2 }],
  ['monarch', { D: 16, N: 2 }],
  ['butterfly', { depth: 4, N: 2 }],
  ['mlr', { D: 16, ranks: [2, 1, 1], B: 2 }],
  ['mlbtc', { D: 16, outer: [1, 2], inner: [4, 1], ranks: [1, 1], N: 2 }],
  ['tensor_train', { m: 3, rank: 2, N: 2 }],
];

describe('matrices', () => {
  /** W, from its action on the unit vectors. */
  function matrixOf(name: string, sizes: Sizes): readonly (readonly number[])[] {
    const { columns = 0, input = '', output = '' } = matrixShape(loweredLibrary(name, sizes)) ?? {};
    const program = loweredLibrary(name, { ...sizes, ...('B' in sizes ? { B: columns } : { N: columns }) });
    const values = randomValues(program);
    const unit = Float64Array.from({ length: columns ** 2 }, (_, i) => (i % (columns + 1) === 0 ? 1 : 0));
    const { data } = interpret(program, values.set(input, { shape: [columns, columns], data: unit })).get(
      output,
    ) as NdArray;
    const height = data.length / columns;
    return Array.from({ length: columns }, (_, j) => [...data.slice(j * height, (j + 1) * height)]);
  }

  test.each(matrices)('%s %j', (name, sizes) => {
    // With random params the bound is met.
    expect(bounds(loweredLibrary(name, sizes)).rank).toBe(matrixRank(matrixOf(name, sizes)));
  });

  test.each([
    ['a mask is a factor of full rank', '  y[n, i] = sum[j](L[i, r] * R[j, r] * x[n, j] where j <= i)', 6],
    ['a thin chain', '  z[n, r] = R[j, r] * x[n, j]\n  y[n, i] = L[i, r] * z[n, r]', 2],
    ['side by side', '  y[n, i] = L[i, r] * R[j, r] * x[n, j] + g[i] * g[j] * x[n, j]', 3],
    ['a diagonal', '  y[n, i] = g[i] * x[n, i]', 6],
    ['with a bias', '  y[n, i] = L[i, r] * R[j, r] * x[n, j] + g[i]', 2],
    ['no matrix', '  y[n, i] = relu(L[i, r] * R[j, r] * x[n, j])', null],
  ])('%s', (_, body, rank) => {
    const program = lowered(`structure Mine {
  size D = 6, N = 2
  axis n: N, i, j: D, r: 2
  input x[n, j]
  param L[i, r] ~ normal(std = 1)
  param R[j, r] ~ normal(std = 1)
  param g[i] ~ ones
${body}
  output y
}`);
    expect(bounds(program).rank).toBe(rank);
  });
});

const T = 12;
const library: readonly (readonly [name: string, sizes: Sizes, rank: RankBound, cached: readonly string[]])[] = [
  ['attention', { D: 8, H: 2, B: 2, T }, 4, ['8']],
  ['attention', { D: 8, H: 2, B: 2, T, identity_link: 1 }, 4, ['8']],
  ['sliding_window', { D: 8, H: 2, B: 2, T, w: 2 }, 4, ['8']],
  ['linear_attention', { D: 8, H: 2, B: 2, T }, 4, ['8']],
  ['alternating_window', { D: 8, H: 2, B: 2, T, w: 2, layer: 1 }, 4, ['8']],
  ['alternating_window', { D: 8, H: 2, B: 2, T, w: 2, layer: 0 }, 4, ['8']],
  ['global_sliding_window', { D: 8, H: 2, B: 2, T, w: 2, global: 1, local: 3 }, 3, ['8']],
  ['bilinear_mlr', { D: 8, H: 2, B: 2, T, ranks: [1, 3] }, 7, ['2', '12']],
  ['bilinear_btt', { D: 9, H: 3, N: 2, T, s: 1 }, 9, ['27']],
  ['bilinear_btt', { D: 9, H: 3, N: 2, T, s: 1, identity_link: 1, causal: 0 }, 9, ['27']],
  ['mlr_attention', { D: 8, H: 2, B: 2, T, ranks: [3, 1] }, 10, ['8']],
];

test.each(library)('%s %j of one token and one sequence keeps as much of a token', (name, sizes, _, cached) => {
  // Blocks of one token have no room for ranks.
  if (name === 'mlr_attention') return;
  const batch = 'B' in sizes ? 'B' : 'N';
  for (const one of [{ T: 1 }, { [batch]: 1 }, { T: 1, [batch]: 1 }]) {
    const found = bounds(loweredLibrary(name, { ...sizes, ...one }));
    expect(found.cached.map(elements)).toEqual(cached);
    if ('T' in one) expect(found.rank).toBe(1);
  }
});

test.each(library)('the library’s %s %j', (name, sizes, rank, cached) => {
  const program = loweredLibrary(name, sizes);
  const [bound, computedRank] = boundAndRank(program);
  expect(bound).toBe(rank);
  expect(bounds(program).cached.map(elements)).toEqual(cached);
  expect(computedRank).toBeLessThanOrEqual(rank as number);
});

/** A score of queries and keys of size 2, by its logits and what becomes of them. */
function score(logits: string, weights = 'softmax[u](S[b, h, t, u] where u <= t)', before = ''): Program {
  return lowered(`structure Mine {
  size B = 2, T = ${T}, D = 4, H = 2, E = 3
  axis b: B, t, u: T, i, j: D, h: H, r: D / H, m: E, s: 2 * T
  axis c: 2, y, z: T / 2
  input x[b, t, i]
  param Q[h, r, i] ~ normal(fan_in = i)
  param K[h, r, i] ~ normal(fan_in = i)
  param slope[h] ~ ones
  param far[h, s] ~ zeros
  param place[t] ~ zeros
  param mix[m, i] ~ normal(fan_in = i)
  q[b, h, t, r] = Q[h, r, i] * x[b, t, i]
  k[b, h, t, r] = K[h, r, i] * x[b, t, i]
${before}
  S[b, h, t, u] = ${logits}
  A[b, h, t, u] = ${weights}
  output A
}`);
}

const dot = 'q[b, h, t, r] * k[b, h, u, r]';
const odd: readonly [name: string, logits: string, rank: RankBound, weights?: string, before?: string][] = [
  ['plain', dot, 2],
  ['fallen with distance', `${dot} - slope[h] * (t - u)`, 4],
  ['a column and a row added', `${dot} + place[t] + place[u]`, 4],
  ['the distance squared', `${dot} - slope[h] * (t - u)^2`, 6],
  ['rows and columns scaled', `${dot} * exp(place[t]) * sigmoid(place[u])`, 2],
  ['one score times another', `(${dot}) * (place[t] + place[u])`, 4],
  ['over what a row and a column make', `${dot} / (1 + place[t]^2) - 3`, 3],
  ['a table of distances', `${dot} + far[h, t - u + T]`, 'unknown'],
  ['capped', dot, 'unknown', 'softmax[u](20 * tanh(S[b, h, t, u] / 20) where u <= t)'],
  ['by its distance in steps', `${dot} - slope[h] * abs(t - u)`, 12],
  ['a sigmoid of it', dot, 2, 'sigmoid(S[b, h, t, u]) where u <= t'],
  ['a relu of it', dot, 2, 'relu(S[b, h, t, u]) ^ 2 where u <= t'],
  ['itself', dot, 2, 'S[b, h, t, u] where u <= t'],
  ['zeros where it is masked early', `${dot} where u <= t`, 'unknown', 'softmax[u](S[b, h, t, u])'],
  ['masked early and late alike', `${dot} where u <= t`, 2],
  ['blocks', 'M[b, h, t, u]', 4, undefined, '  M[b, h, (c y), (c z)] = q[b, h, (c y), r] * k[b, h, (c z), r]'],
  [
    'softmax over mixtures',
    `${dot}`,
    2,
    'sum[m](softmax[m](mix[m, i] * x[b, t, i]) * softmax[u](S[b, h, t, u] * (1 + m) where u <= t))',
  ],
];

test.each(odd)('%s', (_, logits, rank, weights, before) => {
  const program = score(logits, weights, before);
  const [bound, computedRank] = boundAndRank(program);
  expect(bound).toBe(rank);
  if (typeof bound === 'number') expect(computedRank).toBeLessThanOrEqual(bound);
  // Keys alone are kept, whatever becomes of the score: 2 heads of 2.
  expect(bounds(program).cached.map(elements)).toEqual(['4']);
});

test('a grid of tokens, numbered by two axes or by one', () => {
  const grid = (positions: string, q: string, k: string, sizes = '') =>
    lowered(`structure Grid {
  size B = 2, D = 6, H = 2, R = 3, C = 4${sizes}
  axis b: B, i: D, h: H, r: D / H, y, y2: R, z, z2: C, t: R * C
  input x[b, ${positions}, i]
  param Q[h, r, i] ~ normal(fan_in = i)
  param K[h, r, i] ~ normal(fan_in = i)
  q[b, h, ${positions}, r] = Q[h, r, i] * x[b, ${positions}, i]
  k[b, h, ${positions}, r] = K[h, r, i] * x[b, ${positions}, i]
  A[b, h, ${q}, ${k}] = softmax[y2, z2](q[b, h, ${q}, r] * k[b, h, ${k}, r] where y - y2 <= 1 and y2 - y <= 1)
  output A
}`);
  for (const program of [grid('t', '(y z)', '(y2 z2)'), grid('y, z', 'y, z', 'y2, z2')]) {
    expect(bounds(program)).toEqual({ rank: 3, cached: ['k 6'] });
    expect(boundAndRank(program)[1]).toBe(3);
  }
});

test('queries and keys of different inputs; one head; no batch', () => {
  const cross = lowered(`structure Cross {
  size D = 3, T = 5, U = 7
  axis t: T, u: U, i, j: D
  input x[t, i]
  input z[u, j]
  param M[i, j] ~ normal(fan_in = i)
  k[u, i] = M[i, j] * z[u, j]
  A[t, u] = softmax[u](x[t, i] * k[u, i])
  output A
}`);
  // The cheaper order applies M to the queries, so that the keys are what is given.
  expect(bounds(cross)).toEqual({ rank: 3, cached: ['z 3'] });
});

test('no score, no rank: a layer of two products', () => {
  const layer = lowered(`structure Layer {
  size D = 3, T = 5
  axis b: B, t: T, i, j: D
  input x[b, t, i]
  param V[j, i] ~ normal(fan_in = i)
  y[b, t, j] = relu(V[j, i] * x[b, t, i])
  output y
  size B = 2
}`);
  expect(bounds(layer)).toEqual({ rank: null, cached: [] });
  expect(scoreRankBounds(layer)).toEqual([]);
  expect(matrixRankBound(layer)).toBeUndefined();
  expect(cachedTensors(layer)).toEqual([]);
});

describe('random scores', () => {
  const scalar = fc.constantFrom(
    '2',
    'slope[h]',
    'place[t]',
    'place[u]',
    'exp(place[u])',
    '(t - u)',
    't',
    '(1 + place[t] * place[u])',
  );
  const term = fc.oneof(
    fc.constantFrom(dot, '(q[b, h, t, r] * k[b, h, t, r])', 'q[b, h, t, 0] * k[b, h, u, 1]', 'x[b, t, i] * x[b, u, i]'),
    fc.tuple(fc.constantFrom(dot, 'x[b, t, 0]', 'M[b, h, t, u]', 'place[u]'), scalar).map(([a, b]) => `(${a}) * ${b}`),
    fc.tuple(scalar, scalar).map(([a, b]) => `${a} * ${b}`),
    fc.constantFrom(
      'M[b, h, t, u]',
      '(t - u)^2',
      'abs(t - u)',
      'far[h, t - u + T]',
      'tanh(M[b, h, t, u])',
      '(place[t] + place[u])^2',
    ),
  );
  const weights = fc.constantFrom('softmax[u](S[b, h, t, u] where u <= t)', 'sigmoid(S[b, h, t, u])', 'S[b, h, t, u]');
  const block = `  M[b, h, (c y), (c z)] = q[b, h, (c y), r] * k[b, h, (c z), r]
  N[b, h, (c y), (c z)] = x[b, (c y), 0] * x[b, (c z), 1] + place[(c y)]`;

  test('no computed rank is above its bound', () => {
    const seen = { bounded: 0, met: 0, unknown: 0 };
    fc.assert(
      fc.property(fc.array(term, { minLength: 1, maxLength: 3 }), weights, (terms, made) => {
        const program = score(`${dot} + ${terms.join(' + ')}`, made, block);
        const scores = scoresOf(program, carriersOf(program));
        if (scores.length === 0) return;
        const [bound, rank] = boundAndRank(program);
        if (typeof bound !== 'number') {
          seen.unknown += 1;
          return;
        }
        expect(rank).toBeLessThanOrEqual(bound);
        seen.bounded += 1;
        if (rank === bound) seen.met += 1;
      }),
      { numRuns: 80, seed: 11 },
    );
    expect(seen.bounded).toBeGreaterThan(30);
    expect(seen.met).toBeGreaterThan(15);
    expect(seen.unknown).toBeGreaterThan(5);
  });
});
