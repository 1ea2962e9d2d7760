/** The loop family: store maps of every kind solved for their axes, gathers and scatters, reducers, several tensors in a kernel. */
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, program } from '../../../compiler/ir/build.ts';
import { binary, constant, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import type { Affine, Index, Program, Reducer } from '../../../compiler/ir/program.ts';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { testDevice } from '../../support/device.ts';
import { feed } from '../../support/feed.ts';
import { compare, runOnDevice } from '../../support/run-on-device.ts';

const opened = await testDevice();
const cpu = { ...opened.target, class: 'cpu' as const };

async function hold(p: Program, families: readonly string[] = ['loop']): Promise<void> {
  const { worst, worstOutput, plan } = await compare(opened, p, feed(p), { target: cpu });
  expect(plan.kernels.map((kernel) => kernel.family)).toEqual(families);
  expect(worst, worstOutput).toBeLessThan(2e-6);
}

describe('store maps', () => {
  /** y[store(t, s)] = Σ x[t] w[s], with points that meet, gaps between them and a border on both sides. */
  const stores: Record<string, { extent: number; store: (t: Affine, s: Affine) => Affine; t?: number; s?: number }> = {
    't + s': { extent: 12, store: (t, s) => add(t, s) },
    '2t + s': { extent: 23, store: (t, s) => add(scale(t, 2), s) },
    '2t + 4s': { extent: 40, store: (t, s) => add(scale(t, 2), scale(s, 4)) },
    '3t + s, digits': { extent: 27, store: (t, s) => add(scale(t, 3), s) },
    '4t + s + 2, digits with gaps': { extent: 40, store: (t, s) => add(add(scale(t, 4), s), affine(2)) },
    '3t': { extent: 25, store: (t) => scale(t, 3) },
    '8 - t': { extent: 9, store: (t) => subtract(affine(8), t) },
    '9 - 2s': { extent: 10, store: (_, s) => subtract(affine(9), scale(s, 2)) },
    't - s + 2': { extent: 11, store: (t, s) => add(subtract(t, s), affine(2)) },
    '2s - t + 8': { extent: 13, store: (t, s) => add(subtract(scale(s, 2), t), affine(8)) },
    '6t + 3s + 1': { extent: 59, store: (t, s) => add(add(scale(t, 6), scale(s, 3)), affine(1)) },
    constant: { extent: 3, store: () => affine(1) },
    'size 1': { extent: 1, store: (t, s) => add(t, s), t: 1, s: 1 },
    'prime, one axis of size 1': { extent: 17, store: (t, s) => add(t, scale(s, 5)), t: 17, s: 1 },
  };
  test.each(Object.entries(stores))('%s', (_, { extent, store, t: long = 9, s: short = 3 }) =>
    hold(
      program(
        [
          input('x', [long]),
          input('w', [short]),
          computed(
            'y',
            [extent],
            [
              over({ t: long, s: short }, ({ t, s }) => ({
                store: [store(t, s)],
                value: product([at('x', t), at('w', s)]),
              })),
            ],
          ),
        ],
        ['y'],
      ),
    ),
  );

  const p2: Record<string, { shape: number[]; store: (i: Affine, j: Affine, k: Affine) => Index[] }> = {
    diagonal: { shape: [5, 5, 3], store: (i, j) => [i, i, j] },
    'block diagonal': { shape: [15, 20], store: (i, j, k) => [add(scale(i, 3), j), add(scale(i, 4), k)] },
    'a sum in one dimension, one of its axes in another': { shape: [7, 5], store: (i, j) => [add(i, j), i] },
    'three digits': { shape: [60], store: (i, j, k) => [add(add(scale(i, 12), scale(j, 4)), k)] },
    'digits and an overlap': { shape: [34], store: (i, j, k) => [add(add(scale(i, 6), scale(j, 2)), k)] },
    transposed: { shape: [4, 3, 5], store: (i, j, k) => [k, j, i] },
    'rank 6 with ones': { shape: [1, 5, 1, 3, 4, 1], store: (i, j, k) => [affine(0), i, affine(0), j, k, affine(0)] },
    scalar: { shape: [], store: () => [] },
    'reversed and strided': { shape: [5, 7], store: (i, _, k) => [subtract(affine(4), i), scale(k, 2)] },
  };
  test.each(Object.entries(p2))('%s', (name, { shape, store }) =>
    hold(
      program(
        [
          input('x', [5, 3, 4]),
          computed('y', shape, [
            over({ i: 5, j: 3, k: 4 }, ({ i, j, k }) => ({ store: store(i, j, k), value: at('x', i, j, k) })),
          ]),
        ],
        ['y'],
      ),
      [name === 'scalar' ? 'row' : 'loop'],
    ),
  );

  test('out of the tensor but for the domain', () =>
    hold(
      program(
        [
          input('x', [9]),
          computed(
            'y',
            [4],
            [
              over({ t: 9 }, ({ t }) => ({
                store: [subtract(t, affine(3))],
                domain: [atLeastZero(subtract(t, affine(3))), atLeastZero(subtract(affine(6), t))],
                value: at('x', t),
              })),
            ],
          ),
        ],
        ['y'],
      ),
    ));
});

describe('gather and scatter', () => {
  test('scatter-add loses none of many equal indices', () =>
    hold(
      program(
        [
          input('ids', [2, 40], 'i32'),
          input('g', [2, 40, 3]),
          computed(
            'E',
            [7, 3],
            [
              over({ b: 2, t: 40, i: 3 }, ({ b, t, i }) => ({
                store: [gather('ids', b, t), i],
                value: at('g', b, t, i),
              })),
            ],
          ),
        ],
        ['E'],
      ),
    ));
  test('scatter by two gathers, and beside an affine index that guards the gather', () =>
    hold(
      program(
        [
          input('ids', [9], 'i32'),
          input('g', [9]),
          computed(
            'E',
            [5, 5],
            [
              over({ t: 9 }, ({ t }) => ({ store: [gather('ids', t), gather('ids', t)], value: at('g', t) })),
              over({ t: 12 }, ({ t }) => ({
                store: [gather('ids', subtract(t, affine(3))), 2],
                domain: [atLeastZero(subtract(t, affine(3)))],
                value: at('g', subtract(t, affine(3))),
              })),
            ],
          ),
        ],
        ['E'],
      ),
    ));
  // The sum of a logsumexp reads the largest value at another element than its own, from memory.
  test.each([
    ['max', ['loop']],
    ['min', ['loop']],
    ['logsumexp', ['loop', 'loop']],
  ] satisfies [Reducer, string[]][])('scatter by %s', (reducer, families) =>
    hold(
      program(
        [
          input('ids', [30], 'i32'),
          input('g', [30]),
          computed('E', [9], [over({ t: 30 }, ({ t }) => ({ store: [gather('ids', t)], reducer, value: at('g', t) }))]),
        ],
        ['E'],
      ),
      families,
    ),
  );
  test('gathers of values, of indices and within sums', () =>
    hold(
      program(
        [
          input('ids', [6], 'i32'),
          input('T', [5, 4]),
          input('w', [6]),
          computed(
            'y',
            [6, 4],
            [
              over({ t: 6, i: 4 }, ({ t, i }) => ({
                store: [t, i],
                value: product([at('T', gather('ids', gather('ids', t)), i), at('w', gather('ids', t))]),
              })),
            ],
          ),
          computed(
            'z',
            [4],
            [
              over({ t: 6, i: 4 }, ({ t, i }) => ({
                store: [i],
                domain: [{ kind: 'nonzero', affine: subtract(t, i) }],
                value: product([at('T', gather('ids', t), i), at('y', t, i)]),
              })),
            ],
          ),
        ],
        ['y', 'z'],
      ),
      ['loop', 'loop'],
    ));
});

describe('what a thread computes', () => {
  test.each(['sum', 'max', 'min', 'logsumexp'] satisfies Reducer[])('%s down the columns, some empty', (reducer) =>
    hold(
      program(
        [
          input('x', [13, 7]),
          computed(
            'y',
            [7],
            [
              over({ t: 13, i: 7 }, ({ t, i }) => ({
                store: [i],
                reducer,
                domain: [atLeastZero(subtract(t, scale(i, 3)))],
                value: at('x', t, i),
              })),
            ],
          ),
        ],
        ['y'],
      ),
    ),
  );
  test('several equations, domains of every kind, positions as values', () =>
    hold(
      program(
        [
          input('x', [5, 6]),
          computed(
            'y',
            [5, 6],
            [
              over({ i: 5, j: 6 }, ({ i, j }) => ({ store: [i, j], value: { kind: 'index', affine: subtract(i, j) } })),
              over({ i: 5, j: 6 }, ({ i, j }) => ({
                store: [i, j],
                domain: [{ kind: 'zero', affine: subtract(i, j) }],
                value: at('x', i, j),
              })),
              over({ i: 5 }, ({ i }) => ({ store: [i, i], value: at('x', subtract(affine(4), i), 2) })),
              over({ i: 4, j: 3 }, ({ i, j }) => ({
                store: [add(i, affine(1)), scale(j, 2)],
                domain: [{ kind: 'nonzero', affine: subtract(i, scale(j, 2)) }],
                value: at('x', i, add(j, affine(3))),
              })),
              over({ i: 5, j: 6, k: 5 }, ({ i, j, k }) => ({
                store: [i, j],
                domain: [atLeastZero(subtract(k, i)), atLeastZero(subtract(add(i, j), k))],
                value: product([at('x', k, j), at('x', i, j)]),
              })),
            ],
          ),
        ],
        ['y'],
      ),
    ));
  test('a tensor read at its own element stays in the thread', async () => {
    const p = program(
      [
        input('x', [4, 5]),
        computed(
          'a',
          [4, 5],
          [over({ i: 4, j: 5 }, ({ i, j }) => ({ store: [i, j], value: unary('exp', at('x', i, j)) }))],
        ),
        computed(
          'b',
          [4, 5],
          [
            over({ i: 4, j: 5 }, ({ i, j }) => ({
              store: [i, j],
              domain: [atLeastZero(subtract(i, j))],
              value: product([at('a', i, j), at('x', i, j)]),
            })),
          ],
        ),
        computed(
          'c',
          [4, 5],
          [over({ i: 4, j: 5 }, ({ i, j }) => ({ store: [i, j], value: sum([at('a', i, j), at('b', i, j)]) }))],
        ),
      ],
      ['c'],
    );
    const { worst, plan } = await compare(opened, p, feed(p), { target: cpu });
    expect(worst).toBeLessThan(1e-6);
    expect(plan.kernels.map((k) => k.bindings.map((b) => b.tensors.join()))).toEqual([['x', 'c']]);
  });
  test('a tensor read at another element is made in a kernel before', () =>
    hold(
      program(
        [
          input('x', [4, 4]),
          computed(
            'a',
            [4, 4],
            [over({ i: 4, j: 4 }, ({ i, j }) => ({ store: [i, j], value: unary('sin', at('x', i, j)) }))],
          ),
          computed(
            'b',
            [4, 4],
            [over({ i: 4, j: 4 }, ({ i, j }) => ({ store: [i, j], value: sum([at('a', j, i), at('a', i, j)]) }))],
          ),
        ],
        ['b'],
      ),
      ['loop', 'loop'],
    ));
  test('a load that lies outside where the other branch is taken', () =>
    hold(
      program(
        [
          input('x', [6]),
          input('ids', [6], 'i32'),
          computed(
            'y',
            [9],
            [
              over({ i: 9 }, ({ i }) => ({
                store: [i],
                value: select(
                  { kind: 'domain', constraints: [atLeastZero(subtract(i, affine(3)))] },
                  sum([at('x', subtract(i, affine(3))), at('x', gather('ids', subtract(i, affine(3))))]),
                  at('x', i),
                ),
              })),
            ],
          ),
        ],
        ['y'],
      ),
    ));
  test('nothing stores: zeros', () => hold(program([computed('y', [3, 2], [])], ['y'])));
});

describe('sums whose turns groups of threads share out, on a GPU', () => {
  const gpu = { ...opened.target, class: 'gpu' as const };
  /** y[i] = Σ_(t, s) 3 · sin(x[t, i]) · cos(x[t + s, i]), beside what is as long as t. */
  const columns = (t: number, i: number, s = 1): Program =>
    program(
      [
        input('x', [t + s, i]),
        computed(
          'y',
          [i],
          [
            over({ t, s, i }, ({ t, s, i }) => ({
              store: [i],
              value: product([constant(3), unary('sin', at('x', t, i)), unary('cos', at('x', add(t, s), i))]),
            })),
          ],
        ),
      ],
      ['y'],
    );
  const heldInSlices = async (p: Program, tuning: object): Promise<void> => {
    const { worst, plan } = await compare(opened, p, feed(p), { target: gpu });
    expect(plan.kernels.map((kernel) => kernel.tuning)).toEqual([tuning]);
    expect(worst).toBeLessThan(2e-6);
  };
  test.each([
    ['two of half the turns each', 48, 96, 1, { workgroupSize: 64, slices: 2 }],
    ['of the outer loop', 14, 64, 3, { workgroupSize: 64, slices: 2 }],
    ['none where turns are few', 30, 64, 1, { workgroupSize: 64 }],
    ['none where turns are odd', 63, 64, 1, { workgroupSize: 64 }],
    ['none where elements fill no workgroup', 64, 48, 1, { workgroupSize: 64 }],
  ] as const)('%s', (_, t, i, s, tuning) => heldInSlices(columns(t, i, s), tuning));
  test('none where neighbours lie apart', () => {
    const apart = over({ t: 64, i: 64 }, ({ t, i }) => ({ store: [i], value: unary('sin', at('x', t, scale(i, 2))) }));
    return heldInSlices(program([input('x', [64, 128]), computed('y', [64], [apart])], ['y']), { workgroupSize: 64 });
  });
});

describe('sums of four neighbouring elements a thread, on a GPU', () => {
  const gpu = { ...opened.target, class: 'gpu' as const };
  const inQuads = { workgroupSize: 64, elements: 4 };
  const plain = { workgroupSize: 64 };
  /** y[r, i] = Σ_p x[p, r, from + i·apart] */
  const pieces = (p: number, r: number, i: number, from = 0, apart = 1): Program =>
    program(
      [
        input('x', [p, r, from + i * apart]),
        computed(
          'y',
          [r, i],
          [
            over({ p, r, i }, (a) => ({
              store: [a.r, a.i],
              value: at('x', a.p, a.r, add(scale(a.i, apart), affine(from))),
            })),
          ],
        ),
      ],
      ['y'],
    );
  const held = async (p: Program, tuning: object): Promise<void> => {
    const { worst, plan } = await compare(opened, p, feed(p), { target: gpu });
    expect(plan.kernels.map((kernel) => kernel.tuning)).toEqual([tuning]);
    expect(worst).toBeLessThan(2e-6);
  };
  test.each([
    ['of whole tensors', pieces(5, 64, 1024), inQuads],
    ['of a part of each row', pieces(3, 1024, 64, 4), inQuads],
    ['the last workgroup is not full', pieces(3, 331, 204), inQuads],
    ['none where elements are few', pieces(5, 63, 1024), plain],
    ['none where a row is no quads', pieces(3, 1024, 66, 4), plain],
    ['none where rows begin within a quad', pieces(3, 1024, 64, 2), plain],
    ['none where neighbours lie apart', pieces(3, 1024, 64, 0, 2), plain],
  ] as const)('%s', (_, p, tuning) => held(p, tuning));

  test('one dimension of two axes', () => {
    const split = over({ h: 32, p: 4, r: 32, i: 64 }, (a) => ({
      store: [add(scale(a.h, 32), a.r), a.i],
      value: at('x', a.p, a.h, a.r, a.i),
    }));
    return held(program([input('x', [4, 32, 32, 64]), computed('y', [1024, 64], [split])], ['y']), inQuads);
  });

  test('none on a diagonal', () => {
    const diagonal = over({ p: 3, j: 256 }, (a) => ({ store: [a.j, a.j], value: at('x', a.p, a.j) }));
    return held(program([input('x', [3, 256]), computed('y', [256, 256], [diagonal])], ['y']), plain);
  });

  test('none where rows meet', () => {
    const meeting = over({ p: 2, s: 32, t: 225, i: 256 }, (a) => ({
      store: [add(a.s, a.t), a.i],
      value: at('x', a.p, a.s, a.i),
    }));
    return held(program([input('x', [2, 32, 256]), computed('y', [256, 256], [meeting])], ['y']), plain);
  });

  test('what they sum is read one by one beside', async () => {
    const sums = pieces(3, 1024, 64);
    const beside = over({ i: 9 }, ({ i }) => ({ store: [i], value: at('x', affine(1), affine(2), scale(i, 5)) }));
    const p = { ...sums, tensors: [...sums.tensors, computed('z', [9], [beside])], outputs: ['y', 'z'] };
    const { worst, plan } = await compare(opened, p, feed(p), { target: gpu });
    expect(plan.kernels).toHaveLength(1);
    expect(worst).toBeLessThan(2e-6);
  });
});

describe('maps of four neighbouring elements a thread, on a GPU', () => {
  const gpu = { ...opened.target, class: 'gpu' as const };
  const inQuads = { workgroupSize: 64, elements: 4 };
  const plain = { workgroupSize: 64 };
  /** y = x + rate[block] · g,  z = y · x, over blocks of 64; `from`: what y reads of x is so far from its own element. */
  const stepped = (blocks: number, from = 0, width = 64): Program => {
    const extents = { block: blocks, lane: width };
    const element = ({ block, lane }: Record<'block' | 'lane', Affine>): Affine => add(scale(block, width), lane);
    const y = over(extents, (a) => ({
      store: [element(a)],
      value: sum([at('x', add(element(a), affine(from))), product([at('rate', a.block), at('g', element(a))])]),
    }));
    const z = over(extents, (a) => ({
      store: [element(a)],
      value: product([at('y', element(a)), at('x', add(element(a), affine(from)))]),
    }));
    const n = blocks * width;
    return program(
      [
        input('x', [n + from]),
        input('g', [n]),
        input('rate', [blocks]),
        computed('y', [n], [y]),
        computed('z', [n], [z]),
      ],
      ['y', 'z'],
    );
  };
  const held = async (p: Program, tuning: object): Promise<string> => {
    const { worst, plan } = await compare(opened, p, feed(p), { target: gpu });
    expect(plan.kernels.map((kernel) => kernel.tuning)).toEqual([tuning]);
    expect(worst).toBeLessThan(2e-6);
    return plan.kernels[0].wgsl;
  };
  test.each([
    ['of whole workgroups', stepped(1024), inQuads],
    ['the last workgroup is not full', stepped(1027), inQuads],
    ['none where elements are few', stepped(1023), plain],
    ['none where elements are no quads', stepped(1285, 0, 51), plain],
  ] as const)('%s', async (_, p, tuning) => {
    await held(p, tuning);
  });

  test('what they read of another element is read one by one', async () => {
    const text = await held(stepped(1024, 3), inQuads);
    expect(text).toMatch(/ x: array<f32>/);
    expect(text).toMatch(/ g: array<vec4<f32>>/);
  });

  test('none where an element has no point', async () => {
    const within = over({ e: 65536 }, ({ e }) => ({
      store: [e],
      value: at('x', e),
      domain: [atLeastZero(subtract(affine(60000), e))],
    }));
    await held(program([input('x', [65536]), computed('y', [65536], [within])], ['y']), plain);
  });

  test('a state is written over in place', async () => {
    const next = over({ e: 65536 }, ({ e }) => ({ store: [e], value: sum([at('m', e), at('g', e)]) }));
    const p: Program = {
      ...program([input('m', [65536]), input('g', [65536]), computed('m~next', [65536], [next])], []),
      updates: [{ state: 'm', next: 'm~next' }],
    };
    const text = await held(p, inQuads);
    expect(text).toMatch(/read_write> m: array<vec4<f32>>/);
  });

  test('what they read is read one by one beside', async () => {
    const one = stepped(1024);
    const beside = over({ i: 9 }, ({ i }) => ({ store: [i], value: at('g', scale(i, 5)) }));
    const p = { ...one, tensors: [...one.tensors, computed('w', [9], [beside])], outputs: ['y', 'z', 'w'] };
    const { worst, plan } = await compare(opened, p, feed(p), { target: gpu });
    expect(plan.kernels).toHaveLength(1);
    expect(worst).toBeLessThan(2e-6);
  });
});

describe('dtypes', () => {
  const odd = 16_777_217; // the first whole number that f32 does not hold
  test('i32 sums and products are exact, copies too', async () => {
    const p = program(
      [
        input('n', [3], 'i32'),
        computed(
          'next',
          [3],
          [over({ i: 3 }, ({ i }) => ({ store: [i], value: sum([at('n', i), constant(1)]) }))],
          'i32',
        ),
        computed(
          'twice',
          [3],
          [
            over({ i: 3 }, ({ i }) => ({
              store: [i],
              value: sum([product([constant(2), at('next', i)]), { kind: 'index', affine: scale(i, -1) }]),
            })),
          ],
          'i32',
        ),
        computed(
          'half',
          [3],
          [over({ i: 3 }, ({ i }) => ({ store: [i], value: product([constant(0.5), at('twice', i)]) }))],
        ),
      ],
      ['next', 'twice', 'half'],
    );
    const inputs = new Map([['n', ndarray([3], [odd - 1, -odd, 5])]]);
    const want = interpret(p, inputs, p.outputs);
    const { values, plan } = await runOnDevice(opened, p, inputs, { target: cpu });
    expect(plan.kernels.length).toBe(1);
    for (const name of ['next', 'twice']) expect(values.get(name)!.data).toEqual(want.get(name)!.data);
    expect(values.get('half')!.data).toEqual(want.get('half')!.data.map(Math.fround));
  });
  test('i32 from a sum over floats is cut off', async () => {
    const p = program(
      [
        input('x', [4, 3]),
        computed(
          'n',
          [3],
          [over({ i: 4, j: 3 }, ({ i, j }) => ({ store: [j], value: product([constant(10), at('x', i, j)]) }))],
          'i32',
        ),
      ],
      ['n'],
    );
    const inputs = feed(p);
    const want = interpret(p, inputs, ['n']).get('n')!.data.map(Math.trunc);
    const { values } = await runOnDevice(opened, p, inputs, { target: cpu });
    expect(values.get('n')!.data).toEqual(want);
  });
  test('f16 inputs, of odd length and in a contraction', async () => {
    const p = program(
      [
        input('h', [5, 7], 'f16'),
        input('x', [7, 3]),
        computed(
          'y',
          [5, 7],
          [over({ i: 5, j: 7 }, ({ i, j }) => ({ store: [i, j], value: sum([at('h', i, j), constant(1)]) }))],
        ),
        computed(
          'z',
          [5, 3],
          [
            over({ i: 5, j: 3, k: 7 }, ({ i, j, k }) => ({
              store: [i, j],
              value: product([at('h', i, k), at('x', k, j)]),
            })),
          ],
        ),
      ],
      ['y', 'z'],
    );
    const inputs = feed(p);
    // Quarters are halves exactly.
    inputs.set(
      'h',
      ndarray(
        [5, 7],
        Array.from({ length: 35 }, (_, i) => (i - 17) / 4),
      ),
    );
    for (const contractAll of [false, true]) {
      const { worst, worstOutput } = await compare(opened, p, inputs, { target: cpu, contractAll });
      expect(worst, worstOutput).toBeLessThan(1e-6);
    }
  });
});

test('a computed f16 tensor is refused with words', () => {
  const half = over({ i: 4 }, ({ i }) => ({ store: [i], value: at('x', i) }));
  const p = program([input('x', [4]), computed('y', [4], [half], 'f16')], ['y']);
  expect(() => schedule(p, { target: cpu })).toThrow('y is f16');
});

test('powers of a long base are written once', async () => {
  let value = sum([at('x'), constant(0.25)]);
  for (let i = 0; i < 4; i++)
    value = product([constant(0.9), binary('power', sum([value, constant(0.1)]), constant(i + 2))]);
  const p = program([input('x', []), computed('y', [], [over({}, () => ({ store: [], value }))])], ['y']);
  const { worst, plan } = await compare(opened, p, new Map([['x', ndarray([], [0.5])]]), { target: cpu });
  expect(worst).toBeLessThan(1e-5);
  expect(plan.kernels[0].wgsl.match(/x\[/g)!.length).toBe(1);
});
