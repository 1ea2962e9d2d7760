/** What kernels take by the model that chooses stages, beside what they took: within a factor, and on the right side where it chooses. */
import { describe, expect, test } from 'vitest';
import { at, over } from '../../../../compiler/ir/build.ts';
import { product } from '../../../../compiler/ir/expression.ts';
import type { Cut } from '../../../../compiler/schedule/residents/stages.ts';
import { aloneUs, isWorth, stageUs } from '../../../../compiler/schedule/residents/worth.ts';
import type { ContractionTuning } from '../../../../kernels/families/contraction/tuning.ts';
import type { ContractionKernel, Layouts, RowKernel } from '../../../../kernels/kernel.ts';
import { h100 } from '../../../support/h100-target.ts';

const layouts: Layouts = (name) => {
  const [, ...shape] = name.split(' ');
  return { shape: shape.map(Number), dtype: 'f32', slot: name, start: 0 };
};

const matrix: ContractionTuning = { form: 'matrix', tileM: 64, tileN: 64, tileK: 32, rows: 32, columns: 32 };
const tiled: ContractionTuning = { form: 'tiled', tileM: 128, tileN: 64, tileK: 16, rows: 8, columns: 4 };
const inLanes: ContractionTuning = { form: 'lanes', tileM: 8, tileN: 8, tileK: 1, rows: 8, columns: 8 };

const contraction = (tensor: string, equation: ContractionKernel['equation'], tuning: ContractionTuning) =>
  ({
    family: 'contraction',
    tensor,
    equation,
    products: [],
    addends: [],
    accumulate: false,
    stored: true,
    epilogue: [],
    choice: { key: '', tuning },
  }) satisfies ContractionKernel;

/** y[t, o] = Σ_i x[t, i] W[o, i] */
const linear = (t: number, o: number, i: number, tuning: ContractionTuning): ContractionKernel =>
  contraction(
    `y ${t} ${o}`,
    over({ t, o, i }, (a) => ({
      store: [a.t, a.o],
      value: product([at(`x ${t} ${i}`, a.t, a.i), at(`W ${o} ${i}`, a.o, a.i)]),
    })),
    tuning,
  );

/** A norm, by what it reads and makes. */
const norm = (t: number, i: number): RowKernel => ({
  family: 'row',
  rows: [t],
  statements: [
    {
      kind: 'map',
      tensor: `norm ${t} ${i}`,
      equation: over({ t, i }, (a) => ({ store: [a.t, a.i], value: at(`x ${t} ${i}`, a.t, a.i) })),
      rowAxes: [0],
      stored: true,
    },
  ],
  choice: { key: '', tuning: { lanes: 32, workgroupSize: 128, shuffle: true, quads: true } },
});

const halves = { t: 16384, c: 8, b: 256, d: 32, a: 8 };
const half = `half ${halves.t} ${halves.c} ${halves.b}`;
/** half[t, c, b] = Σ_d R[c, d, b] x[t, c, d] and y[t, a, b] = Σ_c L[b, a, c] half[t, c, b], the halves of a BTT matrix. */
const first = contraction(
  half,
  over({ t: halves.t, c: halves.c, b: halves.b, d: halves.d }, (o) => ({
    store: [o.t, o.c, o.b],
    value: product([at('x 16384 8 32', o.t, o.c, o.d), at('R 8 32 256', o.c, o.d, o.b)]),
  })),
  tiled,
);
const second = contraction(
  'y 16384 8 256',
  over({ t: halves.t, a: halves.a, b: halves.b, c: halves.c }, (o) => ({
    store: [o.t, o.a, o.b],
    value: product([at('L 256 8 8', o.b, o.a, o.c), at(half, o.t, o.c, o.b)]),
  })),
  inLanes,
);

/** x[t, c, d] += Σ_b R[c, d, b] half[t, c, b], the way back of a small BTT matrix. */
const back: ContractionKernel = {
  ...contraction(
    'x 4096 4 16',
    over({ t: 4096, c: 4, d: 16, b: 128 }, (o) => ({
      store: [o.t, o.c, o.d],
      value: product([at('half 4096 4 128', o.t, o.c, o.b), at('R 4 16 128', o.c, o.d, o.b)]),
    })),
    { ...tiled, tileN: 16, rows: 4 },
  ),
  accumulate: true,
};

/** In 256 pieces, tiles of so many rows and columns, each in so many slices. */
const cut = (outer: number, inner: number, tileM?: number, tileN?: number, slices = 1): Cut => ({
  pieces: 256,
  outer,
  inner,
  ...(tileM && tileN && { tuning: { form: 'tiled', tileM, tileN, tileK: 16 * slices, rows: 4, columns: 4, slices } }),
});
const ofRows = cut(1, 2);

describe('µs on an H100, profiled, without the 6.5 of each that are the profile’s own', () => {
  test.each([
    ['256 × 256 features of 4096 tokens, on tensor cores', linear(4096, 256, 256, matrix), 18],
    ['the first half of a BTT matrix', first, 109],
    ['the second, in lanes', second, 111],
    ['a norm of 16384 tokens', norm(16384, 256), 11],
  ])('alone: %s', (_, kernel, measured) => {
    expect(aloneUs(kernel, layouts, h100) / measured).toBeGreaterThan(0.67);
    expect(aloneUs(kernel, layouts, h100) / measured).toBeLessThan(1.5);
  });

  test.each([
    [
      'a product of 16 tokens and the norm behind it',
      30.5,
      [linear(4096, 256, 256, matrix), norm(4096, 256)],
      [cut(1, 1, 16, 256), ofRows],
    ],
    [
      'a block of 16 tokens back: norm, W2, W1, attention’s output',
      24.1,
      [norm(4096, 64), linear(4096, 256, 64, tiled), linear(4096, 64, 256, tiled), linear(4096, 64, 64, tiled)],
      [ofRows, cut(1, 1, 16, 256), cut(1, 1, 16, 64, 4), cut(1, 1, 16, 64, 4)],
    ],
    ['the way back of a small BTT matrix', 21, [back], [cut(4, 1, 16, 64, 4)]],
    [
      'norm and both halves, 64 tokens',
      222,
      [norm(16384, 256), first, second],
      [cut(1, 8), cut(8, 4, 64, 64), cut(1, 8)],
    ],
    ['the same, 16 tokens', 350, [norm(16384, 256), first, second], [cut(1, 8), cut(8, 4, 16, 256), cut(1, 8)]],
  ] as const)('stages: %s', (_, measured, kernels, cuts) => {
    const sum = kernels.reduce((total, kernel, s) => total + stageUs(kernel, cuts[s], layouts), 0);
    expect(sum / measured).toBeGreaterThan(0.67);
    expect(sum / measured).toBeLessThan(1.5);
  });
});

describe('worth it', () => {
  const product256 = linear(4096, 256, 256, matrix);
  const tile = cut(1, 1, 16, 256);
  test('where a step took as long: a norm behind a product of 256 features (24.5 + 12.0 µs, 37.0 as one)', () => {
    expect(isWorth([product256, norm(4096, 256)], [tile, ofRows], 1, layouts, h100)).toBe(true);
  });
  test('not where three products share the dispatch that would be saved (12.0 + 61.4, 99.9 as one)', () => {
    expect(isWorth([norm(4096, 256), product256], [ofRows, tile], 3, layouts, h100)).toBe(false);
  });
  test('nor where a product is four times as large (12.0 + 55.5)', () => {
    const up = linear(4096, 1024, 256, { ...matrix, tileM: 128, tileN: 128, rows: 64 });
    expect(isWorth([norm(4096, 256), up], [ofRows, cut(1, 4, 16, 256)], 1, layouts, h100)).toBe(false);
  });
  test('both halves of a BTT matrix, and the norm before them (22.9 + 115 + 117, 229 as one)', () => {
    const cuts = [cut(1, 8), cut(8, 4, 64, 64), cut(1, 8)];
    expect(isWorth([norm(16384, 256), first], cuts.slice(0, 2), 1, layouts, h100)).toBe(true);
    expect(isWorth([norm(16384, 256), first, second], cuts, 1, layouts, h100)).toBe(true);
  });
  test('not where tiles are wider than all columns, 64 for 16 (22.9 + 33.6, with a block of 16 tokens back; 64.9 as one)', () => {
    const cuts = [cut(4, 1, 16, 64, 4), cut(1, 1)];
    expect(isWorth([back, norm(4096, 64)], cuts, 1, layouts, h100)).toBe(false);
    expect(isWorth([back, norm(4096, 64)], [{ ...cuts[0], outer: 1 }, cuts[1]], 1, layouts, h100)).toBe(true);
  });
  test('what adds to sums only where it reads what others make beside them', () => {
    const cuts = [cut(1, 1, 16, 64, 4), cut(1, 1, 16, 64, 4)];
    const adding = { ...linear(4096, 64, 64, tiled), accumulate: true };
    const others = linear(4096, 64, 128, tiled);
    expect(others.tensor).toBe(adding.tensor);
    expect(isWorth([others, adding], cuts, 1, layouts, h100)).toBe(false);
    expect(isWorth([{ ...others, tensor: 'x 4096 64' }, adding], cuts, 1, layouts, h100)).toBe(true);
  });
  test('not in more pieces than are begun at once', () => {
    const many = { ...tile, pieces: 512 };
    expect(isWorth([product256, norm(4096, 256)], [many, many], 1, layouts, h100)).toBe(false);
  });
});
