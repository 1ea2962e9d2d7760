/** What one kernel computes: which tensors join it, and which it is better without. */
import { expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { unary } from '../../../../compiler/ir/expression.ts';
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
