/** Kernels that are stages of one, on ragged sizes, against the float64 interpreter; and those that may not be. */
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { binary, constant, divide, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import type { Affine, Expression, Tensor } from '../../../../compiler/ir/program.ts';
import type { Plan } from '../../../../compiler/schedule/plan.ts';
import { type ScheduleOptions, schedule } from '../../../../compiler/schedule/schedule.ts';
import type { Target } from '../../../../kernels/target.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { h100 } from '../../../support/h100-target.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();
const gpu: Target = { ...opened.target, class: 'gpu' };
const forced: Partial<ScheduleOptions> = {
  target: gpu,
  residents: { rows: 16, workgroupSize: 16 },
};

const makes = (plan: Plan): string[] => plan.kernels.map((kernel) => `${kernel.family}: ${kernel.makes.join(' ')}`);

async function hold(tensors: readonly Tensor[], outputs: readonly string[]): Promise<string[]> {
  const p = program(tensors, outputs);
  const { worst, worstOutput, plan } = await compare(opened, p, feed(p), forced);
  expect(worst, worstOutput).toBeLessThan(1e-5);
  return makes(plan);
}

/** out[t, o] = Σ_i from[t, i] W[o, i] */
const linear = (out: string, from: string, t: number, o: number, i: number): Tensor[] => [
  input(`W.${out}`, [o, i]),
  computed(
    out,
    [t, o],
    [
      over({ t, o, i }, ({ t, o, i }) => ({
        store: [t, o],
        value: product([at(from, t, i), at(`W.${out}`, o, i)]),
      })),
    ],
  ),
];

/** out[t, o] = f(from[t, o]) */
const each = (out: string, t: number, o: number, f: (t: Affine, o: Affine) => Expression): Tensor =>
  computed(out, [t, o], [over({ t, o }, ({ t, o }) => ({ store: [t, o], value: f(t, o) }))]);

/** Mean, variance, and what is normalised by them. */
const norm = (from: string, t: number, o: number): Tensor[] => [
  computed(
    `${from}.mean`,
    [t],
    [over({ t, o }, ({ t, o }) => ({ store: [t], value: product([constant(1 / 8), at(from, t, o)]) }))],
  ),
  computed(
    `${from}.var`,
    [t],
    [
      over({ t, o }, ({ t, o }) => ({
        store: [t],
        value: squared(subtracted(at(from, t, o), at(`${from}.mean`, t))),
      })),
    ],
  ),
  each(`${from}.norm`, t, o, (t, o) =>
    divide(subtracted(at(from, t, o), at(`${from}.mean`, t)), unary('sqrt', sum([at(`${from}.var`, t), constant(1)]))),
  ),
];

const squared = (a: Expression): Expression => binary('power', a, constant(2));
const subtracted = (a: Expression, b: Expression): Expression => sum([a, product([constant(-1), b])]);

describe('a block of tokens goes through', () => {
  test.each([33, 5])('a perceptron with a norm and a residual: %i tokens', async (t) => {
    const tensors = [
      input('x', [t, 4]),
      ...linear('y', 'x', t, 8, 4),
      ...norm('y', t, 8),
      ...linear('up', 'y.norm', t, 20, 8),
      each('active', t, 20, (t, f) => unary('tanh', at('up', t, f))),
      ...linear('down', 'active', t, 8, 20),
      each('next', t, 8, (t, o) => sum([at('y', t, o), at('down', t, o)])),
      ...linear('v', 'next', t, 6, 8),
    ];
    const outputs = ['next', 'up', 'v', 'y.norm'];
    const found = await hold(tensors, outputs);
    // All fit into one piece where they are few, and one piece is no piece. One kernel, or two where a device binds few buffers.
    expect(found.every((kernel) => kernel.startsWith('resident: '))).toBe(t > 16);
    const withRoom = makes(schedule(program(tensors, outputs), { ...forced, target: h100 }));
    expect(withRoom.includes('resident: y y.mean y.var y.norm up active down next v')).toBe(t > 16);
  });

  test('rows first, and two products of what they make', async () => {
    const t = 64;
    const tensors = [
      input('y', [t, 8]),
      ...norm('y', t, 8),
      ...linear('q', 'y.norm', t, 20, 8),
      ...linear('p', 'q', t, 7, 20),
    ];
    expect(await hold(tensors, ['p', 'y.norm'])).toEqual(['resident: y.mean y.var y.norm q p']);
  });

  test.each([
    [44, 1],
    [33, 2],
  ])('both halves of a BTT matrix, one interleaved in memory: %i tokens, kernels: %i', async (t, kernels) => {
    const [a, b, c, d] = [4, 32, 5, 4];
    const tensors = [
      input('x', [t, c * d]),
      input('R', [c, d, b]),
      input('L', [b, a, c]),
      computed(
        'half',
        [t, c, b],
        [
          over({ t, c, b, d }, (o) => ({
            store: [o.t, o.c, o.b],
            value: product([at('R', o.c, o.d, o.b), at('x', o.t, add(scale(o.c, d), o.d))]),
          })),
        ],
      ),
      computed(
        'y',
        [t, a * b],
        [
          over({ t, a, b, c }, (o) => ({
            store: [o.t, add(scale(o.a, b), o.b)],
            value: product([at('L', o.b, o.a, o.c), at('half', o.t, o.c, o.b)]),
          })),
        ],
      ),
    ];
    // A thread has eight tokens: 40 are no three pieces of as many workgroups.
    expect(await hold(tensors, ['half', 'y'])).toHaveLength(kernels);
  });
});

test('kernels whose tiles are given are stages where those have the threads of a piece', () => {
  const tensors = [
    input('x', [33, 4]),
    ...linear('y', 'x', 33, 8, 4),
    ...norm('y', 33, 8),
    ...linear('q', 'y.norm', 33, 20, 8),
  ];
  const p = program(tensors, ['y', 'q']);
  const tile = { form: 'tiled', tileM: 16, tileN: 16, tileK: 16 } as const;
  const familiesOf = (rows: number, columns: number): string[] =>
    schedule(p, { ...forced, target: gpu, override: { contraction: { ...tile, rows, columns } } }).kernels.map(
      ({ family }) => family,
    );
  expect(familiesOf(4, 4)).toEqual(['resident']);
  expect(familiesOf(4, 2)).not.toContain('resident');
});

describe('a sequence and a head', () => {
  const [h, t, e] = [6, 15, 5];
  const product3 = (
    out: string,
    of: (o: Record<'h' | 't' | 'u' | 'e', Affine>) => [Affine[], Expression, Expression],
    extents: Record<string, number>,
    shape: number[],
  ): Tensor =>
    computed(out, shape, [
      over(extents as Record<'h' | 't' | 'u' | 'e', number>, (o) => {
        const [store, a, b] = of(o);
        return { store, value: product([a, b]), domain: [atLeastZero(subtract(o.t, o.u))] };
      }),
    ]);
  const all = { h, t, u: t, e };

  test('scores, their exponentials and what these mix, heads side by side', async () => {
    const tensors = [
      input('q', [h, t, e]),
      input('k', [h, t, e]),
      input('v', [t, h * e]),
      product3('S', (o) => [[o.h, o.t, o.u], at('q', o.h, o.t, o.e), at('k', o.h, o.u, o.e)], all, [h, t, t]),
      computed(
        'A',
        [h, t, t],
        [
          over({ h, t, u: t }, ({ h, t, u }) => ({
            store: [h, t, u],
            value: unary('exp', at('S', h, t, u)),
            domain: [atLeastZero(subtract(t, u))],
          })),
        ],
      ),
      product3(
        'y',
        (o) => [[o.t, add(scale(o.h, e), o.e)], at('A', o.h, o.t, o.u), at('v', o.u, add(scale(o.h, e), o.e))],
        { h, t, e, u: t },
        [t, h * e],
      ),
    ];
    expect(await hold(tensors, ['y', 'A'])).toEqual(['resident: S A y']);
  });

  test('a product of columns of what one before made in rows', async () => {
    const tensors = [
      input('q', [h, t, e]),
      input('k', [h, t, e]),
      product3('S', (o) => [[o.h, o.t, o.u], at('q', o.h, o.t, o.e), at('k', o.h, o.u, o.e)], all, [h, t, t]),
      product3('y', (o) => [[o.h, o.u, o.e], at('S', o.h, o.t, o.u), at('q', o.h, o.t, o.e)], { h, u: t, e, t }, [
        h,
        t,
        e,
      ]),
    ];
    expect(await hold(tensors, ['y', 'S'])).toEqual(['resident: S y']);
  });
});

describe('is a kernel of its own', () => {
  const t = 48;
  const begun = [input('x', [t, 8]), ...linear('y', 'x', t, 8, 8)];
  const second = (value: (t: Affine, o: Affine, i: Affine) => Expression, extent = t): Tensor[] => [
    input('V', [8, 8]),
    computed(
      'z',
      [extent, 8],
      [
        over({ t: extent, o: 8, i: 8 }, ({ t, o, i }) => ({
          store: [t, o],
          value: product([value(t, o, i), at('V', o, i)]),
        })),
      ],
    ),
  ];

  test.each<[string, Tensor[]]>([
    ['what reads the token before', second((t, _, i) => at('y', add(t, affine(1)), i), t - 1)],
    ['what reads tokens in another order', second((t, _, i) => at('y', subtract(affine(47), t), i))],
    [
      'a sum over all tokens',
      [
        computed(
          'z',
          [8, 8],
          [
            over({ o: 8, i: 8, t }, ({ o, i, t }) => ({
              store: [o, i],
              value: product([at('y', t, o), at('x', t, i)]),
            })),
          ],
        ),
      ],
    ],
    [
      'what reads by another name',
      [
        { name: 'tail', dtype: 'f32', shape: [t, 8], source: { kind: 'view', base: 'y', offset: 0 } },
        ...second((t, _, i) => at('tail', t, i)),
      ],
    ],
  ])('%s', async (_, tensors) => {
    const found = await hold([...begun, ...tensors], ['y', 'z']);
    expect(found.join('\n')).not.toContain('resident');
    expect(found.length).toBeGreaterThan(1);
  });
});

test('what was decided can be pinned, and layers share it', () => {
  const [t, d] = [4096, 64];
  const layer = (n: number): Tensor[] => [
    ...linear(`up${n}`, n === 0 ? 'x' : `down${n - 1}`, t, 4 * d, d),
    each(`active${n}`, t, 4 * d, (t, f) => unary('tanh', at(`up${n}`, t, f))),
    ...linear(`down${n}`, `active${n}`, t, d, 4 * d),
  ];
  const p = program([input('x', [t, d]), ...[0, 1, 2].flatMap(layer)], ['down2']);
  const plan = schedule(p, { target: h100 });
  expect(plan.kernels.map(({ family }) => family)).toContain('resident');
  const choices = {
    ...plan.choices,
    pieces: Object.fromEntries(Object.keys(plan.choices.pieces).map((key) => [key, 1])),
  };
  expect(schedule(p, { target: h100, choices: plan.choices }).kernels.map(({ key }) => key)).toEqual(
    plan.kernels.map(({ key }) => key),
  );
  expect(schedule(p, { target: h100, choices }).kernels.length).toBeGreaterThan(plan.kernels.length);
});
