/**
 * The contraction family, each form forced with tiles of several sizes, on small ragged products: axis orders, masks on every pair of
 * classes, prologues, epilogues, several equations. The interpreter in float64 is what comes out right.
 */
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { constant, negate, product, select, sum, unary } from '../../../../compiler/ir/expression.ts';
import { ndarray } from '../../../../compiler/ir/ndarray.ts';
import type { Affine, Constraint, Expression, Program } from '../../../../compiler/ir/program.ts';
import { type ScheduleOptions, schedule } from '../../../../compiler/schedule/schedule.ts';
import type { ContractionTuning } from '../../../../kernels/families/contraction/tuning.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

const tunings: Readonly<Record<string, ContractionTuning>> = {
  'tiled 16×16': { form: 'tiled', tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 },
  'tiled 32×16': { form: 'tiled', tileM: 32, tileN: 16, tileK: 8, rows: 8, columns: 4 },
  'tiled 16×32': { form: 'tiled', tileM: 16, tileN: 32, tileK: 4, rows: 4, columns: 8 },
  'tiled 32×32, two buffers': { form: 'tiled', tileM: 32, tileN: 32, tileK: 8, rows: 8, columns: 8, buffers: 2 },
  'tiled 32×16, two slices': { form: 'tiled', tileM: 32, tileN: 16, tileK: 8, rows: 8, columns: 4, slices: 2 },
  'tiled 16×32, four slices': { form: 'tiled', tileM: 16, tileN: 32, tileK: 4, rows: 4, columns: 8, slices: 4 },
  'direct 8×8': { form: 'direct', tileM: 8, tileN: 8, tileK: 1, rows: 4, columns: 4 },
  'direct 32×32': { form: 'direct', tileM: 32, tileN: 32, tileK: 1, rows: 8, columns: 4 },
  ...(opened.features.includes('subgroups')
    ? {
        'subgroup 8×16': { form: 'subgroup', tileM: 8, tileN: 16, tileK: 1, rows: 8, columns: 4 },
        'subgroup 4×32': { form: 'subgroup', tileM: 4, tileN: 32, tileK: 1, rows: 4, columns: 8 },
      }
    : {}),
  'lanes 4×4': { form: 'lanes', tileM: 4, tileN: 4, tileK: 1, rows: 4, columns: 4 },
  'lanes 8×8': { form: 'lanes', tileM: 8, tileN: 8, tileK: 1, rows: 8, columns: 8 },
};
const few = ['tiled 16×16', 'direct 8×8', 'lanes 4×4', ...('subgroup 8×16' in tunings ? ['subgroup 8×16'] : [])];

function forced(name: string): Partial<ScheduleOptions> {
  const tuning = tunings[name];
  const deviceClass = tuning.form === 'tiled' ? ('gpu' as const) : ('cpu' as const);
  const unrollsLoops = opened.target.unrollsLoops === true || name === 'direct 8×8';
  const target = { ...opened.target, class: deviceClass, unrollsLoops };
  return { target, contractAll: true, override: { contraction: tuning } };
}

/** Runs the program in the form and holds every output to the interpreter; `contractions` kernels of the family must have run. */
async function hold(p: Program, form: string, contractions = 1): Promise<void> {
  const { worst, worstOutput, plan } = await compare(opened, p, feed(p), forced(form));
  const ran = plan.kernels.filter((kernel) => kernel.family === 'contraction');
  expect(ran.map((kernel) => kernel.tuning.form)).toEqual(new Array(contractions).fill(tunings[form].form));
  expect(worst, worstOutput).toBeLessThan(2e-6);
}

/** y[i, j] = Σ_k a[i, k] b[k, j] */
function matrixProduct(m: number, k: number, n: number): Program {
  return program(
    [
      input('a', [m, k]),
      input('b', [k, n]),
      computed(
        'y',
        [m, n],
        [over({ i: m, j: n, k }, ({ i, j, k }) => ({ store: [i, j], value: product([at('a', i, k), at('b', k, j)]) }))],
      ),
    ],
    ['y'],
  );
}

describe('ragged sizes', () => {
  const sizes = [
    [1, 2, 1],
    [2, 3, 5],
    [7, 16, 17],
    [16, 17, 31],
    [17, 33, 16],
    [33, 65, 7],
    [64, 5, 3],
    [65, 64, 33],
    [3, 31, 65],
    [31, 7, 64],
  ] as const;
  test.each(sizes)('%i × %i × %i', async (m, k, n) => {
    await hold(matrixProduct(m, k, n), 'tiled 16×16');
    await hold(matrixProduct(m, k, n), m % 2 === 0 ? 'direct 8×8' : 'lanes 4×4');
    for (const form of Object.keys(tunings).filter((name) => name.startsWith('subgroup')))
      await hold(matrixProduct(m, k, n), form);
  });
  test.each(Object.keys(tunings))('%s', (form) => hold(matrixProduct(37, 19, 41), form));
});

/** Programs of one contraction `y`, and how many kernels of the family they take. */
const cases: Record<string, { readonly program: Program; readonly contractions?: number }> = {};

function addCase(name: string, tensors: Program['tensors'], outputs = ['y'], contractions = 1): void {
  cases[name] = { program: program(tensors, outputs), contractions };
}

// Every order of the axes of both operands and of the output.
for (const [a, b, y] of [
  ['ik', 'jk', 'ij'],
  ['ki', 'kj', 'ij'],
  ['ki', 'jk', 'ji'],
  ['ik', 'kj', 'ji'],
] as const) {
  const extents = { i: 17, j: 9, k: 7 };
  const shape = (axes: string): number[] => [...axes].map((axis) => extents[axis as 'i' | 'j' | 'k']);
  addCase(`${a},${b}→${y}`, [
    input('a', shape(a)),
    input('b', shape(b)),
    computed('y', shape(y), [
      over(extents, (axes) => {
        const of = (names: string): Affine[] => [...names].map((axis) => axes[axis as 'i' | 'j' | 'k']);
        return { store: of(y), value: product([constant(0.5), at('a', ...of(a)), at('b', ...of(b))]) };
      }),
    ]),
  ]);
}

addCase('batched, batch innermost in one operand', [
  input('a', [3, 9, 5]),
  input('b', [5, 6, 3]),
  computed(
    'y',
    [9, 3, 6],
    [
      over({ h: 3, i: 9, j: 6, k: 5 }, ({ h, i, j, k }) => ({
        store: [i, h, j],
        value: product([at('a', h, i, k), at('b', k, j, h)]),
      })),
    ],
  ),
]);
addCase('composite axes, block diagonal store', [
  input('U', [2, 5, 3]),
  input('V', [2, 4, 3]),
  computed(
    'y',
    [10, 8],
    [
      over({ k: 2, p: 5, q: 4, r: 3 }, ({ k, p, q, r }) => ({
        store: [add(scale(k, 5), p), add(scale(k, 4), q)],
        value: product([at('U', k, p, r), at('V', k, q, r)]),
      })),
    ],
  ),
]);
addCase('digits of one index, rank 6', [
  input('R', [3, 4, 2, 2]),
  input('x', [5, 12]),
  computed(
    'y',
    [1, 5, 1, 2, 3, 2],
    [
      over({ n: 5, g: 3, d: 4, b: 2, s: 2 }, ({ n, g, d, b, s }) => ({
        store: [0, n, 0, b, g, s],
        value: product([at('R', g, d, b, s), at('x', n, add(scale(g, 4), d))]),
      })),
    ],
  ),
]);
addCase('several reduced axes, one in one operand only', [
  input('a', [6, 3, 4]),
  input('b', [3, 5]),
  computed(
    'y',
    [6, 5],
    [
      over({ i: 6, j: 5, k: 3, l: 4 }, ({ i, j, k, l }) => ({
        store: [i, j],
        value: product([at('a', i, k, l), at('b', k, j)]),
      })),
    ],
  ),
]);
addCase('reduced axis in no operand counts its points', [
  input('a', [6, 3]),
  input('b', [3, 5]),
  computed(
    'y',
    [6, 5],
    [
      over({ i: 6, j: 5, k: 3, l: 4 }, ({ i, j, k, l }) => ({
        store: [i, j],
        domain: [atLeastZero(subtract(l, k))],
        value: product([at('a', i, k), at('b', k, j)]),
      })),
    ],
  ),
]);
addCase('stored axis of a scale alone', [
  input('a', [6, 3]),
  input('b', [3, 5]),
  input('g', [4]),
  computed(
    'y',
    [6, 4, 5],
    [
      over({ i: 6, h: 4, j: 5, k: 3 }, ({ i, h, j, k }) => ({
        store: [i, h, j],
        value: product([constant(-2), at('g', h), at('a', i, k), at('b', k, j)]),
      })),
    ],
  ),
]);
addCase('overlapping windows of one operand, strides and offsets', [
  input('x', [24]),
  input('w', [6, 3]),
  computed(
    'y',
    [9, 6],
    [
      over({ t: 9, c: 6, s: 3 }, ({ t, c, s }) => ({
        store: [t, c],
        value: product([at('x', add(add(scale(t, 2), s), affine(3))), at('w', c, s)]),
      })),
    ],
  ),
]);
addCase('a reversed axis', [
  input('a', [6, 7]),
  input('b', [7, 9]),
  computed(
    'y',
    [6, 9],
    [
      over({ i: 6, j: 9, k: 7 }, ({ i, j, k }) => ({
        store: [i, j],
        value: product([at('a', i, subtract(affine(6), k)), at('b', k, subtract(affine(8), j))]),
      })),
    ],
  ),
]);
addCase('stored into a part of the tensor, offset and stride', [
  input('a', [4, 5]),
  input('b', [5, 3]),
  input('h', [11, 8]),
  computed(
    'y',
    [11, 8],
    [
      over({ i: 4, j: 3, k: 5 }, ({ i, j, k }) => ({
        store: [add(scale(i, 3), affine(1)), add(scale(j, 2), affine(1))],
        value: product([at('a', i, k), at('b', k, j)]),
      })),
      over({ i: 11, j: 8 }, ({ i, j }) => ({ store: [i, j], value: at('h', i, j) })),
    ],
  ),
]);
const threeProducts = (scale: number): Parameters<typeof computed>[2] => [
  over({ i: 20, j: 9, k: 7 }, ({ i, j, k }) => ({ store: [i, j], value: product([at('a', i, k), at('b', k, j)]) })),
  over({ i: 20, j: 9, k: 20 }, ({ i, j, k }) => ({
    store: [i, j],
    domain: [atLeastZero(subtract(i, k))],
    value: product([at('c', i, k), at('h', k, j)]),
  })),
  over({ i: 20, j: 9, k: 7 }, ({ i, j, k }) => ({
    store: [i, j],
    value: product([constant(scale), at('a', i, k), at('b', k, j)]),
  })),
];
const threeInputs = [input('a', [20, 7]), input('b', [7, 9]), input('c', [20, 20]), input('h', [20, 9])];
addCase(
  'products of the same elements are one kernel, whatever k is and where a domain cuts it',
  [...threeInputs, computed('y', [20, 9], threeProducts(1))],
  ['y'],
  1,
);
addCase(
  'and so are those whose scales differ by a number',
  [...threeInputs, computed('y', [20, 9], threeProducts(0.3))],
  ['y'],
  1,
);
addCase(
  'one whose scale is of another order adds to what is there',
  [...threeInputs, computed('y', [20, 9], threeProducts(3000))],
  ['y'],
  2,
);
/** Scores of two levels, y[h, t, u] = Σ_r s[h] q[h, t, r] p[h, u, r] / 2 + …, the second where `u <= t + ahead` and the first where `u <= t`. */
const levels = (ahead: number): Program['tensors'] => {
  const level = (q: string, p: string, ranks: number, factor: number, from: Affine) =>
    over({ h: 2, t: 20, u: 12, r: ranks }, ({ h, t, u, r }) => ({
      store: [h, t, u],
      domain: [atLeastZero(add(subtract(t, u), from))],
      value: product([constant(factor), at('s', h), at(q, h, t, r), at(p, h, u, r)]),
    }));
  return [
    input('s', [2]),
    ...['q', 'p'].flatMap((name) => [8, 4].map((r) => input(`${name}${r}`, [2, name === 'q' ? 20 : 12, r]))),
    computed('y', [2, 20, 12], [level('q8', 'p8', 8, 0.5, affine(0)), level('q4', 'p4', 4, -0.7, affine(ahead))]),
  ];
};
addCase('levels under one mask are one kernel', levels(0), ['y'], 1);
addCase('levels under different masks are two', levels(3), ['y'], 2);
addCase(
  'two contractions and a pointwise equation add up',
  [
    input('a', [6, 7]),
    input('b', [7, 9]),
    input('c', [9, 6]),
    input('h', [6, 9]),
    computed(
      'y',
      [6, 9],
      [
        over({ i: 6, j: 9, k: 7 }, ({ i, j, k }) => ({
          store: [i, j],
          value: product([at('a', i, k), at('b', k, j)]),
        })),
        over({ i: 6, j: 9 }, ({ i, j }) => ({
          store: [i, j],
          domain: [atLeastZero(subtract(i, j))],
          value: product([at('h', i, j), { kind: 'index', affine: i }]),
        })),
        over({ i: 6, j: 9, k: 6 }, ({ i, j, k }) => ({
          store: [i, j],
          value: product([at('c', j, k), at('h', k, i)]),
        })),
      ],
    ),
    computed(
      'z',
      [6, 9],
      [over({ i: 6, j: 9 }, ({ i, j }) => ({ store: [i, j], value: unary('tanh', at('y', i, j)) }))],
    ),
  ],
  ['y', 'z'],
  1,
);
addCase(
  'epilogues: several tensors, conditions, broadcasts, its own row and column',
  [
    input('a', [6, 7]),
    input('b', [7, 9]),
    input('bias', [9]),
    input('h', [9, 6]),
    computed(
      'y',
      [6, 9],
      [
        over({ i: 6, j: 9, k: 7 }, ({ i, j, k }) => ({
          store: [i, j],
          value: product([at('a', i, k), at('b', k, j)]),
        })),
      ],
    ),
    computed(
      'z',
      [6, 9],
      [
        over({ i: 6, j: 9 }, ({ i, j }) => ({
          store: [i, j],
          value: unary('gelu', sum([at('y', i, j), at('bias', j)])),
        })),
      ],
    ),
    computed(
      'w',
      [6, 9],
      [
        over({ i: 6, j: 9 }, ({ i, j }) => ({
          store: [i, j],
          domain: [atLeastZero(subtract(j, i))],
          value: sum([at('z', i, j), at('h', j, i), negate(at('y', i, j))]),
        })),
        over({ i: 6, j: 9 }, ({ i, j }) => ({
          store: [i, j],
          value: select(
            { kind: 'domain', constraints: [atLeastZero(subtract(i, affine(1)))] },
            at('h', j, subtract(i, affine(1))),
            constant(0),
          ),
        })),
      ],
    ),
  ],
  ['z', 'w'],
);
const maskedEpilogue = [
  input('a', [9, 7]),
  input('b', [7, 9]),
  input('h', [9]),
  computed(
    'y',
    [9, 9],
    [over({ i: 9, j: 9, k: 7 }, ({ i, j, k }) => ({ store: [i, j], value: product([at('a', i, k), at('b', k, j)]) }))],
  ),
  computed(
    'z',
    [9, 9],
    [
      over({ i: 9, j: 9 }, ({ i, j }) => ({
        store: [i, j],
        domain: [atLeastZero(subtract(i, j))],
        value: product([at('y', i, j), at('h', subtract(i, j))]),
      })),
    ],
  ),
];
addCase('epilogue: a load kept inside by its domain alone', maskedEpilogue, ['z']);
addCase('prologue: a softmax weight read in place', [
  input('S', [2, 9, 7]),
  input('L', [2, 9]),
  input('v', [2, 7, 5]),
  computed(
    'y',
    [2, 9, 5],
    [
      over({ h: 2, t: 9, u: 7, r: 5 }, ({ h, t, u, r }) => ({
        store: [h, t, r],
        domain: [atLeastZero(subtract(t, u))],
        value: product([unary('exp', sum([at('S', h, t, u), negate(at('L', h, t))])), at('v', h, u, r)]),
      })),
    ],
  ),
]);
addCase('prologue: a selected load that lies outside elsewhere', [
  input('a', [6, 7]),
  input('b', [7, 9]),
  computed(
    'y',
    [6, 9],
    [
      over({ i: 6, j: 9, k: 7 }, ({ i, j, k }) => ({
        store: [i, j],
        value: product([
          select(
            { kind: 'domain', constraints: [atLeastZero(subtract(k, affine(2)))] },
            at('a', i, subtract(k, affine(2))),
            constant(0.5),
          ),
          at('b', k, j),
        ]),
      })),
    ],
  ),
]);
addCase('a load kept inside by the output mask alone', [
  input('a', [9, 5]),
  input('b', [9, 5]),
  computed(
    'y',
    [9, 9],
    [
      over({ t: 9, u: 9, k: 5 }, ({ t, u, k }) => ({
        store: [t, u],
        domain: [atLeastZero(subtract(t, u))],
        value: product([at('a', subtract(t, u), k), at('b', u, k)]),
      })),
    ],
  ),
]);
addCase('a domain that is never met', [
  input('a', [6, 7]),
  input('b', [7, 9]),
  computed(
    'y',
    [6, 9],
    [
      over({ i: 6, j: 9, k: 7 }, ({ i, j, k }) => ({
        store: [i, j],
        domain: [atLeastZero(affine(-1)), atLeastZero(subtract(i, affine(40)))],
        value: product([at('a', i, k), at('b', k, j)]),
      })),
    ],
  ),
]);
addCase('i32 operands count as numbers', [
  input('a', [6, 7], 'i32'),
  input('b', [7, 9]),
  computed(
    'y',
    [6, 9],
    [over({ i: 6, j: 9, k: 7 }, ({ i, j, k }) => ({ store: [i, j], value: product([at('a', i, k), at('b', k, j)]) }))],
  ),
]);

describe.each(few)('%s', (form) => {
  test.each(Object.entries(cases))('%s', (_, { program: p, contractions }) => hold(p, form, contractions));
});

/** Whether operands come out of memory four elements at a time: where they lie so, and nothing reads single ones. */
describe('quads of memory', () => {
  interface Quads {
    readonly a: readonly Affine[];
    readonly b: readonly Affine[];
    readonly bound: readonly ('a' | 'b')[];
  }
  const [i, j, k] = [0, 1, 2].map((axis) => affine(0, [{ axis, coefficient: 1 }]));
  const extents = { i: 20, j: 24, k: 12 };
  const orders: Readonly<Record<string, Quads>> = {
    'both along k': { a: [i, k], b: [j, k], bound: ['a', 'b'] },
    'left along m, right along n': { a: [k, i], b: [k, j], bound: ['a', 'b'] },
    'left along m, right along k': { a: [k, i], b: [j, k], bound: ['a', 'b'] },
    'left along k, right along n': { a: [i, k], b: [k, j], bound: ['a', 'b'] },
    'shifted by four': { a: [i, add(k, affine(4))], b: [j, k], bound: ['a', 'b'] },
    'shifted by two': { a: [i, add(k, affine(2))], b: [j, k], bound: ['b'] },
    'every other': { a: [i, scale(k, 2)], b: [scale(j, 2), k], bound: ['b'] },
  };
  const size = 48;
  const productOf = ({ a, b }: Pick<Quads, 'a' | 'b'>, more: Program['tensors'] = [], bName = 'b'): Program =>
    program(
      [
        input('a', [size, size]),
        input('b', [size, size]),
        computed(
          'y',
          [extents.i, extents.j],
          [over(extents, () => ({ store: [i, j], value: product([at('a', ...a), at(bName, ...b)]) }))],
        ),
        ...more,
      ],
      ['y', ...more.map(({ name }) => name)],
    );
  const boundAsQuads = (wgsl: string): string[] =>
    [...wgsl.matchAll(/(\w+): array<vec4<f32>>/g)].map(([, name]) => name);

  async function holdBound(p: Program, form: string, bound: readonly string[]): Promise<void> {
    const { worst, worstOutput, plan } = await compare(opened, p, feed(p), forced(form));
    expect(worst, worstOutput).toBeLessThan(2e-6);
    expect(plan.kernels.map(({ wgsl }) => boundAsQuads(wgsl))).toEqual([bound]);
  }

  test.each(Object.entries(orders))('%s', (_, { bound, ...operands }) =>
    holdBound(productOf(operands), 'tiled 16×16', ['y', ...bound]),
  );
  test.each(Object.entries(orders))('%s, a thread for itself', (_, { bound, ...operands }) =>
    holdBound(productOf(operands), 'lanes 8×8', bound),
  );
  test('blocks of 4×4 by the threads that the other slab leaves idle', () =>
    holdBound(productOf(orders['both along k']), 'tiled 32×32, two buffers', ['y', 'a', 'b']));
  test('one tensor twice', () => holdBound(productOf(orders['both along k'], [], 'a'), 'tiled 16×16', ['y', 'a']));
  test('a tensor of which single elements are read elsewhere gives them out of its quads', () => {
    const z = computed(
      'z',
      [extents.i, extents.j],
      [
        over({ i: extents.i, j: extents.j }, ({ i, j }) => ({
          store: [i, j],
          value: sum([at('y', i, j), at('a', j, i)]),
        })),
      ],
    );
    return holdBound(productOf(orders['both along k'], [z]), 'tiled 16×16', ['y', 'z', 'a', 'b']);
  });
  /** y[i, j] = Σ_k a[i, k] b[k, j] + c[i, j], or b[j, k]; z = y · d; y of another order where its indices are given. */
  const withEnd = (columns: number, b: readonly Affine[], order: readonly Affine[] = [i, j]): Program => {
    const sizes = { i: 20, j: columns, k: 12 };
    const shape = order[0] === i ? [20, columns] : [columns, 20];
    const pointwise = (value: Expression) => over({ i: 20, j: columns }, () => ({ store: order, value }));
    return program(
      [
        input('a', [size, size]),
        input('b', [size, size]),
        input('c', shape),
        input('d', shape),
        computed('y', shape, [
          over(sizes, () => ({ store: order, value: product([at('a', i, k), at('b', ...b)]) })),
          pointwise(at('c', ...order)),
        ]),
        computed('z', shape, [pointwise(product([at('y', ...order), at('d', ...order)]))]),
      ],
      ['y', 'z'],
    );
  };
  test.each(['tiled 16×16', 'tiled 16×32', 'tiled 32×16, two slices'])('the end goes in them too: %s', async (form) => {
    const all = ['y', 'z', 'a', 'b', 'c', 'd'];
    await holdBound(withEnd(24, [k, j]), form, all);
    await holdBound(withEnd(24, [j, k]), form, all);
    await holdBound(withEnd(24, [k, j], [j, i]), form, ['y', 'z', 'b', 'a', 'c', 'd']);
  });
  test('the end of four slices, which read the left operand one by one', () =>
    holdBound(withEnd(24, [k, j]), 'tiled 16×32, four slices', ['y', 'z', 'b', 'c', 'd']));
  test('not where its rows are no whole quads, the right operand has none, or a thread would have but one column', async () => {
    await holdBound(withEnd(22, [k, j]), 'tiled 16×16', ['a']);
    await holdBound(withEnd(24, [k, add(j, affine(2))]), 'tiled 16×16', ['a']);
    await holdBound(withEnd(4, [k, j]), 'tiled 16×16', ['a']);
  });
  const causal = (shape: readonly [number, number], ...a: readonly Affine[]): Program =>
    program(
      [
        input('a', shape),
        input('b', [24, 12]),
        computed(
          'y',
          [20, 24],
          [
            over(extents, () => ({
              store: [i, j],
              domain: [atLeastZero(subtract(i, k))],
              value: product([at('a', ...a), at('b', j, k)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
  test.each([
    { name: 'along k', p: causal([20, 12], i, k), isOutside: (at: number) => at % 12 > Math.floor(at / 12) },
    { name: 'along m', p: causal([12, 20], k, i), isOutside: (at: number) => Math.floor(at / 20) > at % 20 },
  ])('what a domain leaves out of a quad $name counts for nothing, whatever it is', async ({ p, isOutside }) => {
    await holdBound(p, 'tiled 16×16', ['y', 'a', 'b']);
    const inputs = feed(p);
    const { shape, data } = inputs.get('a')!;
    const withNaN = ndarray(
      shape,
      data.map((x, at) => (isOutside(at) ? Number.NaN : x)),
    );
    const { worst, plan } = await compare(opened, p, new Map([...inputs, ['a', withNaN]]), forced('tiled 16×16'));
    expect(worst).toBeLessThan(2e-6);
    // Memory is not asked for four that all are outside.
    expect(plan.kernels[0].wgsl).toContain('any(kept))) >> 2u]');
  });
  test('where it looks into memory the elements come one by one', () => {
    const p = program(
      [
        input('a', [20, 12]),
        input('b', [24, 12]),
        input('c', [20, 12]),
        computed(
          'y',
          [20, 24],
          [
            over(extents, () => ({
              store: [i, j],
              domain: [{ kind: 'data', operator: '>', left: at('c', i, k), right: constant(0) }],
              value: product([at('a', i, k), at('b', j, k)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
    return holdBound(p, 'tiled 16×16', ['y', 'b']);
  });
});

describe('masks', () => {
  type Axes = { readonly b: Affine; readonly i: Affine; readonly j: Affine; readonly k: Affine };
  const pairs = ['ik', 'ki', 'jk', 'kj', 'ij', 'ji', 'bk', 'bi', 'jb'] as const;
  const masks: Record<string, (axes: Axes) => readonly Constraint[]> = {};
  for (const [p, q] of pairs) {
    const at = (axes: Axes, name: string): Affine => axes[name as 'b' | 'i' | 'j' | 'k'];
    masks[`${p} >= ${q}`] = (axes) => [atLeastZero(subtract(at(axes, p!), at(axes, q!)))];
    masks[`window ${p}, ${q}`] = (axes) => [
      atLeastZero(subtract(at(axes, p!), at(axes, q!))),
      atLeastZero(subtract(add(at(axes, q!), affine(3)), at(axes, p!))),
    ];
  }
  masks['2i + 3 >= k'] = ({ i, k }) => [atLeastZero(subtract(add(scale(i, 2), affine(3)), k))];
  masks['k >= 2j - 5'] = ({ j, k }) => [atLeastZero(add(subtract(k, scale(j, 2)), affine(5)))];
  masks['2k <= i'] = ({ i, k }) => [atLeastZero(subtract(i, scale(k, 2)))];
  masks['i + j <= 20'] = ({ i, j }) => [atLeastZero(subtract(affine(20), add(i, j)))];
  masks['k alone, i = j left out'] = ({ i, j, k }) => [
    atLeastZero(subtract(affine(11), k)),
    { kind: 'nonzero', affine: subtract(i, j) },
  ];
  masks['i = k'] = ({ i, k }) => [{ kind: 'zero', affine: subtract(i, k) }];

  const odd = { b: 2, i: 33, j: 18, k: 21 };
  const inQuads = { b: 2, i: 36, j: 20, k: 24 };
  const masked = (mask: (axes: Axes) => readonly Constraint[], extents = odd): Program => {
    const { b, i, j, k } = extents;
    return program(
      [
        input('a', [b, i, k]),
        input('c', [b, j, k]),
        computed(
          'y',
          [b, i, j],
          [
            over(extents, (axes) => ({
              store: [axes.b, axes.i, axes.j],
              domain: mask(axes),
              value: product([at('a', axes.b, axes.i, axes.k), at('c', axes.b, axes.j, axes.k)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
  };
  test.each(Object.entries(masks).map(([name, mask], i) => ({ name, mask, i })))('$name', async ({ mask, i }) => {
    await hold(masked(mask), 'tiled 16×16');
    for (const form of ['tiled 16×16', 'lanes 8×8']) await hold(masked(mask, inQuads), form);
    await hold(masked(mask), i % 2 === 0 ? 'direct 8×8' : 'lanes 4×4');
  });

  test('a causal axis among several reduced ones', async () => {
    const p = program(
      [
        input('a', [20, 3, 21]),
        input('c', [3, 21, 18]),
        computed(
          'y',
          [20, 18],
          [
            over({ t: 20, r: 18, u: 21, h: 3 }, ({ t, r, u, h }) => ({
              store: [t, r],
              domain: [atLeastZero(subtract(t, u)), atLeastZero(subtract(add(u, affine(9)), t))],
              value: product([at('a', t, h, u), at('c', h, u, r)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
    for (const form of few) await hold(p, form);
  });
});

/** Where several axes are numbered as a whole, a tile still goes through that part of k alone which its part of one of them needs. */
describe('masks between k and one of several axes', () => {
  const domain = ({ t, u }: { readonly t: Affine; readonly u: Affine }) => [atLeastZero(subtract(t, u))];
  const summed = (h: number, u: number): Program =>
    program(
      [
        input('a', [2, h, u, u]),
        input('c', [2, u, 18]),
        computed(
          'y',
          [2, h, u, 18],
          [
            over({ n: 2, h, t: u, u, i: 18 }, ({ n, h, t, u, i }) => ({
              store: [n, h, u, i],
              domain: domain({ t, u }),
              value: product([at('a', n, h, t, u), at('c', n, t, i)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
  const scores = (h: number, u: number): Program =>
    program(
      [
        input('c', [2, u, 18]),
        input('d', [2, h, u, 18]),
        computed(
          'y',
          [2, h, u, u],
          [
            over({ n: 2, h, t: u, u, i: 18 }, ({ n, h, t, u, i }) => ({
              store: [n, h, t, u],
              domain: domain({ t, u }),
              value: product([at('c', n, t, i), at('d', n, h, u, i)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
  const sizes = [
    [3, 32],
    [3, 20],
    [5, 8],
    [2, 33],
  ] as const;
  test.each(sizes)('%i × %i', async (h, u) => {
    for (const form of few) {
      await hold(summed(h, u), form);
      await hold(scores(h, u), form);
    }
  });
  test.each([
    { name: 'sums', p: summed(3, 32), line: 'let k_from = max(0, tile_m % 32);' },
    { name: 'scores', p: scores(3, 32), line: 'if (tile_m + 15 - tile_n % 32 < 0) { k_to = k_from; }' },
    { name: 'tiles across several', p: summed(3, 20), line: 'let k_from = 0;' },
  ])('the loop of $name', ({ p, line }) => {
    const { kernels } = schedule(p, { target: opened.target, ...forced('tiled 16×16') });
    expect(kernels.map(({ wgsl }) => wgsl).join()).toContain(line);
  });
});

test('an epilogue reads in no branch, and inside the tensor beyond its domain', () => {
  const [{ wgsl }] = schedule(program(maskedEpilogue, ['z']), {
    target: opened.target,
    ...forced('tiled 16×16'),
  }).kernels;
  expect(wgsl).toContain('let z_value = select(0.0, y * h[clamp(m - n, 0, 8)], m >= n);');
});

test('beyond the domain nothing is stored where the store would leave the tensor', async () => {
  const p = program(
    [
      input('a', [6, 7]),
      input('b', [7, 9]),
      computed(
        'y',
        [4, 9],
        [
          over({ i: 6, j: 9, k: 7 }, ({ i, j, k }) => ({
            store: [subtract(i, affine(2)), j],
            domain: [atLeastZero(subtract(i, affine(2)))],
            value: product([at('a', i, k), at('b', k, j)]),
          })),
        ],
      ),
    ],
    ['y'],
  );
  for (const form of few) await hold(p, form, 0);
});
