/**
 * Causality by domains, held to programs whose answer is known and to the probe; and what reaches what, held to the interpreter:
 * an element that changes with an input must be among the pairs, whatever the program.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { causality } from '../../../compiler/analysis/causality.ts';
import { probeCausality } from '../../../compiler/analysis/probe.ts';
import { type Reach, reachOf } from '../../../compiler/analysis/reach.ts';
import { evaluate, holds } from '../../../compiler/ir/affine.ts';
import { at, computed, over } from '../../../compiler/ir/build.ts';
import { product } from '../../../compiler/ir/expression.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { type NdArray, stridesOf } from '../../../compiler/ir/ndarray.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { lowered, loweredLibrary, type Sizes } from '../../support/lowered.ts';
import { randomProgram } from '../../support/random-program.ts';

const clocks = { inputs: [{ tensor: 'x', dimension: 1 }], outputs: [{ tensor: 'y', dimension: 1 }] };

/** A score and what attention makes of it, `y[b, t, i]`. */
function attention(body: string): { readonly program: Program; readonly text: string } {
  const text = `structure Mine {
  size B = 1, T = 8, D = 4, H = 2
  axis b: B, t, u, v: T, i, j: D, h: H, r: D / H
  input x[b, t, i]
  param Q[h, r, i] ~ normal(fan_in = i)
  param K[h, r, i] ~ normal(fan_in = i)
  q[b, h, t, r] = Q[h, r, i] * x[b, t, i]
  k[b, h, t, r] = K[h, r, i] * x[b, t, i]
  S[b, h, t, u] = q[b, h, t, r] * k[b, h, u, r]
${body}
  y[b, t, i] = A[b, h, t, u] * x[b, u, i]
  output y
}`;
  return { program: lowered(text), text };
}

const causalScores: readonly (readonly [string, string])[] = [
  ['a causal softmax', '  A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)'],
  ['without a softmax', '  A[b, h, t, u] = S[b, h, t, u] where u <= t'],
  ['a sigmoid', '  A[b, h, t, u] = sigmoid(S[b, h, t, u]) where u <= t'],
  ['a window', '  A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t and t - u <= 3)'],
  ['tokens before only, and distances', '  A[b, h, t, u] = exp(S[b, h, t, u] - (t - u)) where u < t'],
  [
    'what was shifted back',
    `  p[b, h, t, r] = k[b, h, t - 1, r] where t >= 1
  A[b, h, t, u] = softmax[u](q[b, h, t, r] * p[b, h, u, r] where u <= t)`,
  ],
  [
    'keys read one further on, of tokens before',
    '  A[b, h, t, u] = softmax[u](q[b, h, t, r] * k[b, h, u + 1, r] where u + 1 <= t)',
  ],
  [
    'blocks of 4, and before in them',
    `  axis c: 2, y1, z1: 4
  M[b, h, (c y1), (c z1)] = S[b, h, (c y1), (c z1)] where z1 <= y1
  A[b, h, t, u] = M[b, h, t, u]`,
  ],
  [
    'whole blocks before',
    `  axis c, e: 4, y1, z1: 2
  A[b, h, (c y1), (e z1)] = S[b, h, (c y1), (e z1)] where e < c`,
  ],
  [
    'a mean over what came before',
    `  m[b, t, i] = mean[v](x[b, v, i] where v <= t)
  A[b, h, t, u] = softmax[u](Q[h, r, i] * m[b, t, i] * k[b, h, u, r] where u <= t)`,
  ],
  [
    'a gather of what is no token’s',
    `  param slope[h, v] ~ zeros
  A[b, h, t, u] = softmax[u](S[b, h, t, u] + slope[h, t - u] where u <= t)`,
  ],
  ['a branch that is taken before', '  A[b, h, t, u] = select(u <= t, S[b, h, t, u], 0)'],
];

/** Weights over all pairs are no fault of theirs: it is the sum over them that sees too much. */
const taken = 'A[b, h, t, u] * x[b, u, i]';
const aheadScores: readonly (readonly [name: string, body: string, blamed: string])[] = [
  ['a softmax over all', '  A[b, h, t, u] = softmax[u](S[b, h, t, u])', 'softmax[u](S[b, h, t, u])'],
  ['no softmax, no mask', '  A[b, h, t, u] = S[b, h, t, u]', taken],
  [
    'one token too many',
    '  A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t + 1)',
    'softmax[u](S[b, h, t, u] where u <= t + 1)',
  ],
  [
    'a query of the next token',
    `  p[b, h, t, r] = q[b, h, t + 1, r] where t + 1 < T
  A[b, h, t, u] = softmax[u](p[b, h, t, r] * k[b, h, u, r] where u <= t)`,
    'p[b, h, t, r] = q[b, h, t + 1, r] where t + 1 < T',
  ],
  [
    'a mean over all tokens',
    `  m[b, i] = mean[v](x[b, v, i])
  A[b, h, t, u] = softmax[u](Q[h, r, i] * m[b, i] * k[b, h, u, r] where u <= t)`,
    'mean[v](x[b, v, i])',
  ],
  [
    'a norm over the tokens',
    `  n[b, h, u, r] = k[b, h, u, r] - mean[u](k[b, h, u, r])
  A[b, h, t, u] = softmax[u](q[b, h, t, r] * n[b, h, u, r] where u <= t)`,
    'mean[u](k[b, h, u, r])',
  ],
  [
    'a softmax over the queries',
    '  A[b, h, t, u] = softmax[t](S[b, h, t, u]) where u <= t',
    'softmax[t](S[b, h, t, u])',
  ],
  [
    'blocks of 4',
    `  axis c: 2, y1, z1: 4
  A[b, h, (c y1), (c z1)] = S[b, h, (c y1), (c z1)]`,
    taken,
  ],
  [
    'tokens in reverse',
    `  p[b, h, t, r] = k[b, h, T - 1 - t, r]
  A[b, h, t, u] = softmax[u](q[b, h, t, r] * p[b, h, u, r] where u <= t)`,
    'p[b, h, t, r] = k[b, h, T - 1 - t, r]',
  ],
  [
    'two hops back and forth',
    `  p[b, h, t, r] = k[b, h, t - 2, r] where t >= 2
  o[b, h, t, r] = p[b, h, t + 3, r] where t + 3 < T
  A[b, h, t, u] = softmax[u](q[b, h, t, r] * o[b, h, u, r] where u <= t)`,
    'o[b, h, t, r] = p[b, h, t + 3, r] where t + 3 < T',
  ],
  ['weights that say nothing of the tokens', '  A[b, h, t, u] = 1 / T', taken],
];

describe('scores', () => {
  test.each(causalScores)('%s: causal', (_, body) => {
    const { program } = attention(body);
    expect(causality(program, clocks)).toEqual({ kind: 'causal' });
    expect(probeCausality(program, clocks)).toBeUndefined();
  });

  test.each(aheadScores)('%s: looks ahead', (_, body, blamed) => {
    const { program, text } = attention(body);
    const found = causality(program, clocks);
    if (found.kind !== 'looks ahead') throw new Error(found.kind);
    expect(found.sees).toBeGreaterThan(found.at);
    expect(probeCausality(program, clocks)).toBeDefined();
    const { start, end } = found.equation?.span ?? { start: 0, end: 0 };
    expect(text.slice(start, end)).toBe(blamed);
  });

  test('a mask of a large negative number is one that only the values show', () => {
    const { program } = attention('  A[b, h, t, u] = softmax[u](select(u <= t, S[b, h, t, u], -1e9))');
    expect(causality(program, clocks).kind).toBe('looks ahead');
    expect(probeCausality(program, clocks)).toBeUndefined();
  });

  test('what the data say of whether a token is there is seen as well', () => {
    const documents = (where: string) =>
      lowered(`structure Documents {
  size B = 1, T = 6
  axis b: B, t, u: T
  input x[b, t]: i32
  y[b, t] = sum[u](u where ${where})
  output y
}`);
    expect(causality(documents('u <= t and x[b, u] == x[b, t]'), clocks)).toEqual({ kind: 'causal' });
    const ahead = documents('x[b, u] == x[b, t]');
    expect(causality(ahead, clocks).kind).toBe('looks ahead');
    expect(probeCausality(ahead, clocks)).toBeDefined();
  });

  test('a gather by data is unknown; by the token’s own number it is not', () => {
    const gathered = (index: string) =>
      lowered(`structure Gathered {
  size B = 1, T = 6, V = 5, D = 2
  axis b: B, t: T, e: V, i: D
  input x[b, t]: i32
  param E[e, i] ~ normal(std = 1)
  param P[t, i] ~ normal(std = 1)
  y[b, t, i] = ${index}
  output y
}`);
    expect(causality(gathered('E[x[b, t], i]'), clocks)).toEqual({ kind: 'causal' });
    expect(causality(gathered('E[x[b, t], i] * P[x[b, t], i]'), clocks)).toEqual({ kind: 'causal' });
    const jumping = lowered(`structure Jumping {
  size B = 1, T = 6, D = 2
  axis b: B, t: T, i: D
  input x[b, t, i]
  input to[t]: i32
  y[b, t, i] = x[b, to[t], i]
  output y
}`);
    expect(causality(jumping, clocks).kind).toBe('unknown');
    expect(probeCausality(jumping, clocks)).toBeDefined();
  });
});

const T = 8;
const library: readonly (readonly [name: string, sizes: Sizes, causal: boolean])[] = [
  ['attention', { D: 8, H: 2, B: 1, T }, true],
  ['attention', { D: 8, H: 2, B: 1, T, identity_link: 1 }, true],
  ['sliding_window', { D: 8, H: 2, B: 1, T, w: 2 }, true],
  ['linear_attention', { D: 8, H: 2, B: 1, T }, true],
  ['alternating_window', { D: 8, H: 2, B: 1, T, w: 2, layer: 1 }, true],
  ['global_sliding_window', { D: 8, H: 2, B: 1, T, w: 2, global: 2, local: 2 }, true],
  ['mlr_attention', { D: 8, H: 2, B: 1, T, ranks: [2, 1, 1] }, true],
  ['bilinear_mlr', { D: 8, H: 2, B: 1, T, ranks: [2, 1, 1] }, true],
  ['bilinear_btt', { D: 8, H: 2, N: 1, T, s: 1 }, true],
  ['bilinear_btt', { D: 8, H: 2, N: 1, T, s: 1, causal: 0 }, false],
  ['bilinear_btt', { D: 8, H: 2, N: 1, T, s: 1, causal: 0, identity_link: 1 }, false],
];

test.each(library)('the library’s %s %j', (name, sizes, causal) => {
  const scores = loweredLibrary(name, sizes);
  // What attention makes of the weights: a weight that is not 0 sees its token.
  const values = over({ b: 1, h: 2, t: T, u: T, i: 8 }, ({ b, h, t, u, i }) => ({
    store: [b, h, t, i],
    value: product([at('A', b, h, t, u), at('x', b, u, i)]),
  }));
  const program: Program = { ...scores, tensors: [...scores.tensors, computed('y', [1, 2, T, 8], [values])] };
  const attended = { inputs: clocks.inputs, outputs: [{ tensor: 'y', dimension: 2 }] };
  expect(causality(program, attended).kind).toBe(causal ? 'causal' : 'looks ahead');
  expect(probeCausality(program, attended) === undefined).toBe(causal);
});

test('time may run in other steps: a point is two tokens', () => {
  const points = lowered(`structure Points {
  size P = 4
  axis p: P, t, u: 2 * P
  input xs[p]
  input ys[p]
  s[2 * p] += xs[p]
  s[2 * p + 1] += ys[p]
  c[t] = sum[u](s[u] where u <= t)
  before[p] = c[2 * p]
  after[p] = c[2 * p + 1]
  output before, after
}`);
  const at = (output: string) => ({
    inputs: [
      { tensor: 'xs', dimension: 0, stride: 2 },
      { tensor: 'ys', dimension: 0, stride: 2, offset: 1 },
    ],
    outputs: [{ tensor: output, dimension: 0, stride: 2 }],
  });
  expect(causality(points, at('before'))).toEqual({ kind: 'causal' });
  expect(probeCausality(points, at('before'))).toBeUndefined();
  expect(causality(points, at('after'))).toMatchObject({ kind: 'looks ahead', input: 'ys', at: 0, sees: 1 });
  expect(probeCausality(points, at('after'))).toEqual({ output: 'after', at: 0 });
});

describe('what an input reaches, in random programs', () => {
  test('an element that changes is among the pairs', () => {
    let [changes, pairs] = [0, 0];
    fc.assert(
      fc.property(randomProgram(), ({ program, inputs }) => {
        const source = program.tensors.find(
          ({ source, dtype, shape }) => source.kind === 'input' && dtype !== 'i32' && shape.length > 0,
        );
        if (source === undefined) return;
        const [extent] = source.shape;
        const reach = reachOf(program, { tensor: source.name, dimension: 0 });
        const before = interpret(program, inputs);
        for (let position = 0; position < extent; position++) {
          const given = inputs.get(source.name) as NdArray;
          const rows = given.data.length / extent;
          const data = given.data.map((x, i) => (Math.floor(i / rows) === position ? x + 0.03125 : x));
          const after = interpret(program, new Map(inputs).set(source.name, { shape: given.shape, data }));
          for (const [name, value] of before) {
            const reached = new Set(
              (reach.get(name) ?? []).flatMap((piece) => elementsAt(piece, position, value.shape)),
            );
            const isExact = (reach.get(name) ?? []).every((piece) => piece.isExact);
            if (isExact) pairs += reached.size;
            value.data.forEach((x, i) => {
              if (Object.is(x, after.get(name)?.data[i])) return;
              if (isExact) changes += 1;
              if (!reached.has(i)) throw new Error(`${name}, element ${i}, changes with ${source.name}[${position}]`);
            });
          }
        }
      }),
      { numRuns: 150, seed: 5 },
    );
    // A maximum that stays and a branch not taken hide some; the pairs are no wide guess all the same.
    expect(changes / pairs).toBeGreaterThan(0.25);
  });
});

/** Flat positions of the elements that a piece pairs with a position. */
function elementsAt(
  { relation: { axes, domain, columns } }: Reach,
  position: number,
  shape: readonly number[],
): number[] {
  const strides = stridesOf(shape);
  const points = axes.reduce((n, axis) => n * axis.extent, 1);
  const found: number[] = [];
  for (let k = 0, rest = 0; k < points; k++) {
    rest = k;
    const point = axes.map(({ extent }) => {
      const at = rest % extent;
      rest = Math.floor(rest / extent);
      return at;
    });
    if (!domain.every((c) => holds(c, point))) continue;
    const tuple = columns.map((column) => evaluate(column, point));
    if (tuple[shape.length] === position) found.push(strides.reduce((flat, stride, d) => flat + stride * tuple[d], 0));
  }
  return found;
}
