/** Which tensors are taken apart into f16 once, beforehand, and who reads them so. What comes out: matrix-values.test.ts. */
import { expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { constant, product, sum, unary } from '../../../compiler/ir/expression.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { type Plan, planBytes } from '../../../compiler/schedule/plan.ts';
import { type ScheduleOptions, schedule } from '../../../compiler/schedule/schedule.ts';
import { exponentBytes } from '../../../kernels/parts/halves.ts';
import { h100, h100WithoutTensorCores } from '../../support/h100-target.ts';

const many = 8192;

/** a = gelu(x), y = W·a, z = gelu(y), v = Wᵀ·z of n rows, and what becomes of W: half of it. */
function twice(n: number, width = 512): Program {
  const rows = { n, i: width };
  const gelu = (from: string) => over(rows, (a) => ({ store: [a.n, a.i], value: unary('gelu', at(from, a.n, a.i)) }));
  const byRows = over({ ...rows, o: width }, (a) => ({
    store: [a.n, a.o],
    value: product([at('W', a.o, a.i), at('a', a.n, a.i)]),
  }));
  const byColumns = over({ ...rows, o: width }, (a) => ({
    store: [a.n, a.o],
    value: product([at('W', a.i, a.o), at('z', a.n, a.i)]),
  }));
  const halved = over({ o: width, i: width }, (a) => ({
    store: [a.o, a.i],
    value: product([constant(0.5), at('W', a.o, a.i)]),
  }));
  const tensors = [
    input('W', [width, width]),
    input('x', [n, width]),
    computed('a', [n, width], [gelu('x')]),
    computed('y', [n, width], [byRows]),
    computed('z', [n, width], [gelu('y')]),
    computed('v', [n, width], [byColumns]),
    computed('W~next', [width, width], [halved]),
  ];
  return { ...program(tensors, ['v']), updates: [{ state: 'W', next: 'W~next' }] };
}

const planOf = (p: Program, options: Partial<ScheduleOptions> = {}): Plan =>
  schedule(p, { target: h100, residents: 'never', ...options });

const makesHalves = ({ kernels }: Plan): boolean => kernels.some(({ family }) => family.includes('halves'));

/** The equation that makes a tensor, as it is printed. */
const equationOf = ({ kernels }: Plan, tensor: string): string =>
  kernels.flatMap(({ equations }) => equations).find((text) => text.startsWith(`${tensor}[`))!;

test('once for all products that read it, along rows and along columns; all else reads it as it is', () => {
  const plan = planOf(twice(many));
  expect(plan.kernels.flatMap(({ makes }) => makes).filter((name) => name === 'W~halves')).toHaveLength(1);
  expect(equationOf(plan, 'y')).toContain('W~halves[o, i] * a[n, i]');
  expect(equationOf(plan, 'v')).toContain('W~halves[i, o] * z[n, i]');
  expect(equationOf(plan, 'W~next')).toContain('W[o, i]');
  const { buffer, offsetBytes } = plan.tensors['W~halves'];
  const { sizeBytes } = plan.kernels
    .flatMap(({ bindings }) => bindings)
    .find((b) => b.tensors.includes('W~halves') && b.access === 'read')!;
  expect(sizeBytes).toBe(4 * 512 * 512 + exponentBytes);
  expect(offsetBytes + sizeBytes).toBeLessThanOrEqual(plan.buffers.find(({ id }) => id === buffer)!.sizeBytes);
});

test('not where few tiles read it, nor where it is no octets, nor without tensor cores', () => {
  expect(makesHalves(planOf(twice(512)))).toBe(false);
  expect(makesHalves(planOf(twice(many, 516)))).toBe(false);
  expect(makesHalves(planOf(twice(many), { target: h100WithoutTensorCores }))).toBe(false);
});

test('not of what a kernel makes', () => {
  const rows = { n: many, o: 512, i: 512 };
  const weight = over({ o: 512, i: 512 }, (a) => ({ store: [a.o, a.i], value: unary('exp', at('V', a.o, a.i)) }));
  const y = over(rows, (a) => ({ store: [a.n, a.o], value: product([at('W', a.o, a.i), at('a', a.n, a.i)]) }));
  const a = over({ n: many, i: 512 }, (a) => ({ store: [a.n, a.i], value: sum([at('x', a.n, a.i), constant(1)]) }));
  const tensors = [
    input('V', [512, 512]),
    input('x', [many, 512]),
    computed('W', [512, 512], [weight]),
    computed('a', [many, 512], [a]),
    computed('y', [many, 512], [y]),
  ];
  expect(makesHalves(planOf(program(tensors, ['y'])))).toBe(false);
});

test('it gives way where memory is tight, before anything is computed again', () => {
  const plain = planOf(twice(many));
  const tight = planOf(twice(many), { memoryBytes: planBytes(plain) - 1 });
  expect(makesHalves(plain)).toBe(true);
  expect(makesHalves(tight)).toBe(false);
  expect(tight.recomputed.tensors).toEqual([]);
});
