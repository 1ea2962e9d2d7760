/** What one kernel computes: which tensors join it, and which it is better without. */
import { expect, test } from 'vitest';
import { add, scale } from '../../../../compiler/ir/affine.ts';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { product, unary } from '../../../../compiler/ir/expression.ts';
import type { Tensor } from '../../../../compiler/ir/program.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { portableTarget, type Target } from '../../../../kernels/target.ts';

const cpu = { ...portableTarget, class: 'cpu' as const };

/** y[i] = Σ_t f(x[t, i]): down the columns, which is a loop's work. */
const columnSum = (y: string, t: number, f: 'sin' | 'cos'): Tensor =>
  computed(y, [8], [over({ i: 8, t }, ({ i, t }) => ({ store: [i], value: unary(f, at('x', t, i)) }))]);

test('loops of one shape share a kernel as long as no thread has too much to do', () => {
  const kernelsFor = (t: number): readonly (readonly string[])[] => {
    const p = program([input('x', [t, 8]), columnSum('y', t, 'sin'), columnSum('z', t, 'cos')], ['y', 'z']);
    return schedule(p, { target: cpu }).kernels.map(({ makes }) => makes);
  };
  expect(kernelsFor(2048)).toEqual([['y', 'z']]);
  expect(kernelsFor(2049)).toEqual([['y'], ['z']]);
});

test('a few long columns are added up by many threads each on a GPU', () => {
  const familyOf = (t: number, target: Target): readonly string[] => {
    const sum = over({ i: 8, t }, ({ i, t }) => ({ store: [i], value: at('x', t, i) }));
    const p = program([input('x', [t, 8]), computed('y', [8], [sum])], ['y']);
    return schedule(p, { target }).kernels.map(({ family }) => family);
  };
  expect(familyOf(511, portableTarget)).toEqual(['loop']);
  expect(familyOf(512, portableTarget)).toEqual(['row']);
  expect(familyOf(512, cpu)).toEqual(['loop']);
});

test('products are added in the order in which what they read is there, and the rest goes with the first that need not wait for it', () => {
  const t = 64;
  const linear = (y: string, x: string): Tensor[] => [
    input(`W.${y}`, [16, 16]),
    computed(
      y,
      [t, 16],
      [
        over({ t, o: 16, i: 16 }, ({ t, o, i }) => ({
          store: [t, o],
          value: product([at(`W.${y}`, o, i), at(x, t, i)]),
        })),
      ],
    ),
  ];
  const p = program(
    [
      input('x', [t, 16]),
      ...linear('v', 'x'),
      ...linear('s', 'v'),
      ...linear('k', 's'),
      input('K', [4, 4, 4]),
      input('W', [16, 16]),
      input('g', [16]),
      computed(
        'z',
        [t, 16],
        [
          over({ t, b: 4, d: 4, h: 4 }, ({ t, b, d, h }) => ({
            store: [t, add(scale(b, 4), d)],
            value: product([at('k', t, add(scale(b, 4), h)), at('K', b, d, h)]),
          })),
          over({ t, o: 16, i: 16 }, ({ t, o, i }) => ({
            store: [t, o],
            value: product([at('W', o, i), at('v', t, i)]),
          })),
          over({ t, o: 16 }, ({ t, o }) => ({ store: [t, o], value: product([at('g', o), at('s', t, o)]) })),
        ],
      ),
    ],
    ['z'],
  );
  const { kernels } = schedule(p, { target: portableTarget, combine: false, residents: 'never' });
  const reads = kernels
    .filter(({ makes }) => makes.includes('z'))
    .map(({ equations }) => equations.map((equation) => equation.replace(/^.*sum= | {3}over.*$/g, '')));
  expect(reads).toEqual([
    ['W[o, i] * v[t, i]'],
    [expect.stringMatching(/^k\[.*\] \* K\[b, d, h\]$/), 'g[o] * s[t, o]'],
  ]);
});
