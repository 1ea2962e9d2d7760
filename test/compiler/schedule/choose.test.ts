/** The table of decisions: what is in it, that it is obeyed, and that a plan's own table makes the plan again. */
import { describe, expect, test } from 'vitest';
import { subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { product } from '../../../compiler/ir/expression.ts';
import type { Program, Tensor } from '../../../compiler/ir/program.ts';
import type { Choices } from '../../../compiler/schedule/choose.ts';
import { type ScheduleOptions, schedule } from '../../../compiler/schedule/schedule.ts';
import type { ContractionTuning } from '../../../kernels/families/contraction/tuning.ts';
import { portableTarget as target } from '../../../kernels/target.ts';

/** y[t, f] = Σ_i x[t, i] W[f, i], of the names and sizes given. */
function layer(y: string, x: string, w: string, sizes: Readonly<Record<'t' | 'f' | 'i', number>>): Tensor {
  const equation = over(sizes, ({ t, f, i }) => ({ store: [t, f], value: product([at(x, t, i), at(w, f, i)]) }));
  return computed(y, [sizes.t, sizes.f], [equation]);
}

const square = { t: 64, f: 64, i: 64 };
const twoLayers: Program = program(
  [
    input('x', [64, 64]),
    input('W', [64, 64]),
    input('U', [64, 64]),
    layer('y', 'x', 'W', square),
    layer('z', 'y', 'U', square),
  ],
  ['z'],
);
/** dW[o, i] = Σ_n g[n, o] x[n, i], long enough to be made in pieces. */
const weightGradient: Program = program(
  [
    input('g', [4096, 32]),
    input('x', [4096, 32]),
    computed(
      'dW',
      [32, 32],
      [
        over({ n: 4096, o: 32, i: 32 }, ({ n, o, i }) => ({
          store: [o, i],
          value: product([at('g', n, o), at('x', n, i)]),
        })),
      ],
    ),
  ],
  ['dW'],
);
const rowMaximum: Program = program(
  [
    input('S', [8, 64]),
    computed('L', [8], [over({ t: 8, u: 64 }, ({ t, u }) => ({ store: [t], reducer: 'max', value: at('S', t, u) }))]),
  ],
  ['L'],
);

const small: ContractionTuning = { form: 'tiled', tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 };

function only<T>(table: Readonly<Record<string, T>>): readonly [key: string, choice: T] {
  const entries = Object.entries(table);
  expect(entries).toHaveLength(1);
  return entries[0];
}

test('one problem is one entry, whatever tensors and axes are called', () => {
  const { choices, kernels } = schedule(twoLayers, { target });
  const [key] = only(choices.contractions);
  expect(kernels.map((kernel) => kernel.choices)).toEqual([[key], [key]]);
});

describe('what a problem is', () => {
  const keyOf = (p: Program, options: Partial<ScheduleOptions> = {}) =>
    only(schedule(p, { target, contractAll: true, ...options }).choices.contractions)[0];
  const of = (x: Tensor, sizes: typeof square, domain = false) => {
    const tensor = layer('y', 'x', 'W', sizes);
    const [equation] = tensor.source.kind === 'computed' ? tensor.source.equations : [];
    const axes = [0, 1, 2].map((axis) => ({ kind: 'affine' as const, constant: 0, terms: [{ axis, coefficient: 1 }] }));
    const limited = { ...equation, domain: domain ? [atLeastZero(subtract(axes[0], axes[1]))] : [] };
    return program([x, input('W', [64, 64]), { ...tensor, source: { kind: 'computed', equations: [limited] } }], ['y']);
  };
  const plain = keyOf(of(input('x', [64, 64]), square));
  test.each([
    ['extents', of(input('x', [64, 64]), { ...square, t: 32 }), {}],
    ['strides', of(input('x', [64, 128]), square), {}],
    ['masks', of(input('x', [64, 64]), square, true), {}],
    ['dtypes', of(input('x', [64, 64], 'i32'), square), {}],
    ['the target', of(input('x', [64, 64]), square), { target: { ...target, name: 'another' } }],
  ] as const)('%s tell problems apart', (_, p, options) => expect(keyOf(p, options)).not.toBe(plain));
});

test('a table is obeyed where it knows a problem, the rules where it does not', () => {
  const { choices } = schedule(twoLayers, { target });
  const [key, byRule] = only(choices.contractions);
  expect(byRule).not.toEqual(small);
  const plan = schedule(twoLayers, { target, choices: { contractions: { [key]: small, 'another problem': byRule } } });
  expect(plan.choices.contractions).toEqual({ [key]: small });
  expect(plan.kernels.map(({ tuning }) => tuning)).toEqual([small, small]);
});

test('lanes of a row are a choice', () => {
  const [key, byRule] = only(schedule(rowMaximum, { target }).choices.rows);
  const tuning = { ...byRule, lanes: byRule.lanes / 2 };
  const plan = schedule(rowMaximum, { target, choices: { rows: { [key]: tuning } } });
  expect(plan.kernels.map((kernel) => kernel.tuning.lanes)).toEqual([tuning.lanes]);
});

test.each([
  { pieces: 1, shape: undefined },
  { pieces: 8, shape: [8, 32, 32] },
])('a long sum is made in the pieces of the table: $pieces', ({ pieces, shape }) => {
  const [key, byRule] = only(schedule(weightGradient, { target }).choices.pieces);
  expect(byRule).toBe(64);
  const plan = schedule(weightGradient, { target, choices: { pieces: { [key]: pieces } } });
  expect(plan.tensors['dW~pieces']?.shape).toEqual(shape);
});

test.each([twoLayers, weightGradient, rowMaximum])('the table of a plan makes the plan again, as JSON too', (p) => {
  const override = { contraction: small, row: { lanes: 2, workgroupSize: 64, shuffle: false } };
  const plan = schedule(p, { target, override });
  const choices = JSON.parse(JSON.stringify(plan.choices)) as Choices;
  expect(schedule(p, { target, choices })).toEqual(plan);
});
