/** What is done to a program before it is cut into kernels keeps its outputs, and does what it is there for. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, program } from '../../../../compiler/ir/build.ts';
import { equationsOf } from '../../../../compiler/ir/equation.ts';
import { constant, product, select, sum, unary } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import type { NdArray } from '../../../../compiler/ir/ndarray.ts';
import { printEquation, printProgram } from '../../../../compiler/ir/print.ts';
import type { Constraint, Program } from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { normalise, splitLongSums } from '../../../../compiler/schedule/normalise/normalise.ts';
import { portableTarget } from '../../../../kernels/target.ts';
import { feed } from '../../../support/feed.ts';
import { randomProgram } from '../../../support/random-program.ts';
import { relativeError } from '../../../support/relative-error.ts';

const gpu = { ...portableTarget, class: 'gpu' as const };
const cpu = { ...portableTarget, class: 'cpu' as const };

function hold(p: Program, inputs: ReadonlyMap<string, NdArray> = feed(p)): Record<'gpu' | 'cpu', Program> {
  const want = interpret(p, inputs, p.outputs);
  const ready = { gpu: splitLongSums(normalise(p), gpu, new Set()), cpu: splitLongSums(normalise(p), cpu, new Set()) };
  for (const [kind, normal] of Object.entries(ready)) {
    const text = `${kind}\n${printProgram(p)}\nbecame\n${printProgram(normal)}`;
    expect(verify(normal), text).toEqual([]);
    const have = interpret(normal, inputs, p.outputs);
    for (const name of p.outputs)
      expect(relativeError(have.get(name)!.data, want.get(name)!.data), `${name} of ${text}`).toBeLessThan(1e-9);
  }
  return ready;
}

/** The equations of a tensor after the pass, printed. */
function equations(p: Program, name: string): string[] {
  return equationsOf(p.tensors.find((t) => t.name === name)!).map((e) => printEquation(e, name));
}

test('random programs keep their outputs and stay valid', () => {
  fc.assert(
    fc.property(randomProgram(), ({ program: p, inputs }) => {
      hold(p, inputs);
    }),
    { numRuns: 250, seed: 12, endOnFailure: true },
  );
});

describe('equations over one box are one', () => {
  const square = { i: 4, j: 5 };
  test('pointwise, each with its condition', () => {
    const p = program(
      [
        input('a', [4, 5]),
        input('b', [4]),
        computed(
          'y',
          [4, 5],
          [
            over(square, ({ i, j }) => ({ store: [i, j], value: at('a', i, j) })),
            over({ q: 5, p: 4 }, ({ q, p }) => ({
              store: [p, q],
              domain: [atLeastZero(subtract(p, q))],
              value: at('b', p),
            })),
          ],
        ),
      ],
      ['y'],
    );
    expect(equations(hold(p).cpu, 'y')).toEqual([
      'y[i, j] sum= a[i, j] + select(i - j >= 0, b[i], 0)   over i: 4, j: 5',
    ]);
  });
  test('sums over the same reduced axes, a load guarded by one condition alone', () => {
    const p = program(
      [
        input('a', [4, 5]),
        computed(
          'y',
          [4],
          [
            over(square, ({ i, j }) => ({ store: [i], value: unary('sin', at('a', i, j)) })),
            over(square, ({ i, j }) => ({
              store: [i],
              domain: [atLeastZero(subtract(j, affine(1)))],
              value: at('a', i, subtract(j, affine(1))),
            })),
          ],
        ),
      ],
      ['y'],
    );
    expect(equations(hold(p).cpu, 'y').length).toBe(1);
  });
});

describe('zeros limit sums', () => {
  const axes = { t: 7, u: 7 };
  const causal = (mask: Constraint[], reducer: 'sum' | 'logsumexp' = 'sum'): Program =>
    program(
      [
        input('S', [7, 7]),
        input('v', [7, 3]),
        computed(
          'A',
          [7, 7],
          [over(axes, ({ t, u }) => ({ store: [t, u], reducer, domain: mask, value: unary('exp', at('S', t, u)) }))],
        ),
        computed(
          'y',
          [7, 3],
          [
            over({ ...axes, r: 3 }, ({ t, u, r }) => ({
              store: [t, r],
              value: product([at('A', t, u), at('v', u, r)]),
            })),
          ],
        ),
      ],
      ['A', 'y'],
    );
  const t = { kind: 'affine', constant: 0, terms: [{ axis: 0, coefficient: 1 }] } as const;
  const u = { kind: 'affine', constant: 0, terms: [{ axis: 1, coefficient: 1 }] } as const;
  test('a domain', () => {
    expect(equations(hold(causal([atLeastZero(subtract(t, u))])).cpu, 'y')[0]).toContain('where t - u >= 0');
  });
  test('a window', () => {
    const window = [atLeastZero(subtract(t, u)), atLeastZero(subtract(add(u, affine(2)), t))];
    expect(equations(hold(causal(window)).cpu, 'y')[0]).toMatch(/t - u >= 0 and .*>= 0/);
  });
  test('a select is a domain only on the axes that are stored, and not under a logsumexp', () => {
    for (const reducer of ['sum', 'max', 'logsumexp'] as const) {
      const p = program(
        [
          input('x', [7, 7]),
          input('w', [7, 3]),
          computed(
            'm',
            [7],
            [
              over(axes, ({ t, u }) => ({
                store: [t],
                reducer,
                value: select(
                  { kind: 'domain', constraints: [atLeastZero(subtract(u, t))] },
                  at('x', t, u),
                  constant(0),
                ),
              })),
            ],
          ),
          computed(
            'n',
            [7],
            [
              over(axes, ({ t, u }) => ({
                store: [t],
                reducer,
                value: select(
                  { kind: 'domain', constraints: [atLeastZero(subtract(t, affine(3)))] },
                  at('x', t, u),
                  constant(0),
                ),
              })),
            ],
          ),
          computed(
            'y',
            [3],
            [
              over({ t: 7, r: 3 }, ({ t, r }) => ({
                store: [r],
                value: product([at('m', t), at('w', t, r), at('n', t)]),
              })),
            ],
          ),
        ],
        ['y'],
      );
      hold(p);
    }
  });
});

describe('what nobody reads is not made', () => {
  test('a demand that every reader has', () => {
    const axes = { t: 6, u: 6 };
    const causal = (value: ReturnType<typeof at>) => ({
      domain: [atLeastZero(subtract(value.indices[0] as never, value.indices[1] as never))],
    });
    const p = (outputs: string[]): Program =>
      program(
        [
          input('q', [6, 4]),
          input('k', [6, 4]),
          computed(
            'S',
            [6, 6],
            [
              over({ ...axes, d: 4 }, ({ t, u, d }) => ({
                store: [t, u],
                value: product([at('q', t, d), at('k', u, d)]),
              })),
            ],
          ),
          computed(
            'L',
            [6],
            [
              over(axes, ({ t, u }) => ({
                store: [t],
                reducer: 'logsumexp',
                value: at('S', t, u),
                ...causal(at('S', t, u)),
              })),
            ],
          ),
          computed(
            'A',
            [6, 6],
            [
              over(axes, ({ t, u }) => ({
                store: [t, u],
                value: unary('exp', sum([at('S', t, u), product([constant(-1), at('L', t)])])),
                ...causal(at('S', t, u)),
              })),
            ],
          ),
        ],
        outputs,
      );
    expect(equations(hold(p(['A', 'L'])).cpu, 'S')[0]).toContain('where t - u >= 0');
    expect(equations(hold(p(['A', 'S'])).cpu, 'S')[0]).not.toContain('where');
  });
});

describe('long sums are made in pieces on a GPU', () => {
  const pieces = (p: Program): string[] => p.tensors.map((t) => t.name).filter((name) => name.includes('~pieces'));
  test('a contraction, a column sum and a scalar', () => {
    const p = program(
      [
        input('x', [60, 40, 5]),
        input('d', [60, 40, 6]),
        computed(
          'dW',
          [6, 5],
          [
            over({ b: 60, t: 40, i: 6, j: 5 }, ({ b, t, i, j }) => ({
              store: [i, j],
              domain: [atLeastZero(subtract(add(i, affine(2)), j)), atLeastZero(subtract(b, t))],
              value: product([at('d', b, t, i), at('x', b, t, j)]),
            })),
          ],
        ),
        computed('s', [5], [over({ b: 60, t: 40, j: 5 }, ({ b, t, j }) => ({ store: [j], value: at('x', b, t, j) }))]),
        computed(
          'q',
          [],
          [
            over({ b: 60, t: 40, j: 5 }, ({ b, t, j }) => ({
              store: [],
              value: product([at('x', b, t, j), at('x', b, t, j)]),
            })),
          ],
        ),
      ],
      ['dW', 's', 'q'],
    );
    const ready = hold(p);
    expect(pieces(ready.cpu)).toEqual([]);
    expect(pieces(ready.gpu)).toContain('dW~pieces');
    expect(pieces(ready.gpu)).toContain('s~pieces');
  });
  test('block diagonals, strides, several equations, prime lengths, a store that the domain keeps inside', () => {
    const p = program(
      [
        input('x', [2048, 6]),
        input('w', [2048, 4]),
        input('z', [1031, 3]),
        computed(
          'y',
          [16, 8],
          [
            over({ n: 2048, i: 6, j: 4 }, ({ n, i, j }) => ({
              store: [add(scale(i, 2), affine(3)), scale(j, 2)],
              value: product([at('x', n, i), at('w', n, j)]),
            })),
            over({ n: 2048, i: 6 }, ({ n, i }) => ({ store: [i, i], value: at('x', n, i) })),
          ],
        ),
        computed('u', [3], [over({ n: 1031, i: 3 }, ({ n, i }) => ({ store: [i], value: at('z', n, i) }))]),
        computed(
          'v',
          [4],
          [
            over({ n: 2048, i: 6 }, ({ n, i }) => ({
              store: [subtract(i, affine(2))],
              domain: [atLeastZero(subtract(i, affine(2)))],
              value: at('x', n, i),
            })),
            over({ n: 2048, i: 6 }, ({ n, i }) => ({
              store: [subtract(scale(i, 2), affine(2))],
              domain: [
                atLeastZero(subtract(i, affine(1))),
                atLeastZero(subtract(affine(2), i)),
                atLeastZero(subtract(n, i)),
              ],
              value: at('x', n, i),
            })),
          ],
        ),
      ],
      ['y', 'u', 'v'],
    );
    expect(pieces(hold(p).gpu).length).toBeGreaterThan(0);
  });

  test('a sum that goes where whole numbers say, its pieces as large as the tensor', () => {
    const p = program(
      [
        input('ids', [4, 300], 'i32'),
        input('c', [4, 300, 5]),
        computed(
          'g',
          [7, 5],
          [
            over({ n: 4, t: 300, i: 5 }, ({ n, t, i }) => ({
              store: [gather('ids', n, t), i],
              domain: [atLeastZero(subtract(t, add(i, n)))],
              value: at('c', n, t, i),
            })),
          ],
        ),
      ],
      ['g'],
    );
    const { gpu, cpu } = hold(p);
    expect(pieces(cpu)).toEqual([]);
    expect(gpu.tensors.find(({ name }) => name === 'g~pieces')?.shape).toEqual([15, 7, 5]);
  });

  test('one with places and columns enough for tiles, as a product', () => {
    const p = program(
      [
        input('ids', [4, 300], 'i32'),
        input('c', [4, 300, 24]),
        computed(
          'g',
          [9, 24],
          [
            over({ n: 4, t: 300, i: 24 }, ({ n, t, i }) => ({
              store: [gather('ids', n, t), i],
              value: at('c', n, t, i),
            })),
          ],
        ),
      ],
      ['g'],
    );
    const { gpu, cpu } = hold(p);
    expect(equations(cpu, 'g')[0]).toContain('g[place, i] sum= select(ids[n, t] == index(place), 1, 0) * c[');
    expect(equations(gpu, 'g~pieces')[0]).toContain('select(ids[n, t + 20*piece] == index(place), 1, 0) * c[');
  });

  test('columns over two axes, where one alone gives too few', () => {
    const p = program(
      [
        input('x', [16, 12, 32, 8]),
        computed(
          's',
          [8],
          [over({ b: 16, h: 12, t: 32, j: 8 }, ({ b, h, t, j }) => ({ store: [j], value: at('x', b, h, t, j) }))],
        ),
      ],
      ['s'],
    );
    expect(hold(p).gpu.tensors.find(({ name }) => name === 's~pieces')?.shape).toEqual([32, 3, 8]);
  });

  test.each([
    ['as many as are long enough', 8192, 8],
    ['in whole quads, as a lane reads them', 5000, 2],
    ['where there are no quads in elements', 6250, 5],
  ])('what lies side by side, a workgroup a piece, %s', (_, extent, pieces) => {
    const p = program(
      [input('x', [extent]), computed('s', [], [over({ i: extent }, ({ i }) => ({ store: [], value: at('x', i) }))])],
      ['s'],
    );
    expect(hold(p).gpu.tensors.find(({ name }) => name === 's~pieces')?.shape).toEqual([pieces]);
  });
});
