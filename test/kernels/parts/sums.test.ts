/** Long sums in f32: how loops are cut, and what comes out, in every family and form. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, program } from '../../../compiler/ir/build.ts';
import { binary, constant, product, unary } from '../../../compiler/ir/expression.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import type { ScheduleOptions } from '../../../compiler/schedule/schedule.ts';
import { chainOf } from '../../../kernels/families/contraction/block.ts';
import type { ContractionTuning } from '../../../kernels/families/contraction/tuning.ts';
import { cutLoop, longestChain, withoutScale } from '../../../kernels/parts/sums.ts';
import { testDevice } from '../../support/device.ts';
import { runOnDevice } from '../../support/run-on-device.ts';

const opened = await testDevice();
const cpu = { ...opened.target, class: 'cpu' as const };
const gpu = { ...opened.target, class: 'gpu' as const };

test('no chain is longer than the bound, whatever the loop', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      fc.integer({ min: 1, max: longestChain / 2 }),
      (turns, each) => {
        const { blocks, chain } = cutLoop(turns, each);
        expect(chain).toBeLessThanOrEqual(longestChain);
        let inside = each;
        for (const [i, block] of [...blocks].reverse().entries()) {
          // A block takes in blocks of the size below it, the smallest the loop's own turns.
          const smaller = i === 0 ? 1 : [...blocks].reverse()[i - 1];
          inside = (block / smaller) * (i === 0 ? each : 1);
          expect(inside).toBeLessThanOrEqual(longestChain);
        }
        expect(blocks.length === 0 ? turns * each : Math.ceil(turns / blocks[0])).toBe(chain);
      },
    ),
  );
  for (const k of [1, 4096, 4097, 2 ** 24, 1e8, 2e9]) {
    expect(chainOf(k) % 64).toBe(0);
    expect(Math.ceil(k / chainOf(k))).toBeLessThanOrEqual(chainOf(k));
  }
});

test('a constant that rounds is multiplied after the sum', () => {
  const x = at('x', 0);
  expect(withoutScale(product([constant(0.1), x]))).toEqual({ value: x, scale: 0.1 });
  for (const value of [x, product([constant(-0.25), x]), product([x, x])])
    expect(withoutScale(value)).toEqual({ value, scale: 1 });
});

/** The output `y` for inputs of one value each. */
async function filled(p: Program, fill: Readonly<Record<string, number>>, options: Partial<ScheduleOptions> = {}) {
  const inputs = new Map(
    Object.entries(fill).map(([name, value]) => {
      const { shape } = p.tensors.find((t) => t.name === name)!;
      return [name, ndarray(shape, new Float64Array(shape.reduce((n, m) => n * m, 1)).fill(value))];
    }),
  );
  const { values, plan } = await runOnDevice(opened, p, inputs, options);
  return { y: Array.from(values.get('y')!.data), families: plan.kernels.map(({ family }) => family) };
}

describe('ones and tenths', () => {
  const broadcast = (i: number): Program =>
    program(
      [input('x', [1000]), computed('y', [], [over({ i, j: 1000 }, ({ j }) => ({ store: [], value: at('x', j) }))])],
      ['y'],
    );
  test('millions in one row of one lane, and of many', async () => {
    const many = { target: cpu, override: { row: { lanes: 32, workgroupSize: 32, shuffle: false } } };
    for (const options of [{ target: cpu }, many]) {
      const { y, families } = await filled(broadcast(2000), { x: 0.1 }, options);
      expect(families).toEqual(['row']);
      expect(Math.abs(y[0] / (2e6 * Math.fround(0.1)) - 1)).toBeLessThan(4e-6);
    }
  });

  test('a hundred million, in the pieces that a GPU makes of them', async () => {
    const { y } = await filled(broadcast(100_000), { x: 0.1 }, { target: gpu });
    expect(Math.abs(y[0] / (1e8 * Math.fround(0.1)) - 1)).toBeLessThan(4e-6);
  });

  test('down the columns, by a loop kernel, with a condition and over two axes', async () => {
    const p = program(
      [
        input('x', [3000, 4]),
        computed(
          'y',
          [4],
          [
            over({ c: 4, s: 1500, i: 3000 }, ({ c, s, i }) => ({
              store: [c],
              domain: [atLeastZero(subtract(add(scale(s, 2), affine(1)), i))],
              value: at('x', i, c),
            })),
          ],
        ),
      ],
      ['y'],
    );
    const points = 1500 * 1501;
    // As a software device makes it; for a GPU it is in pieces.
    const { y, families } = await filled(p, { x: 0.1 }, { target: cpu });
    expect(families).toEqual(['loop']);
    for (const total of y) expect(Math.abs(total / (points * Math.fround(0.1)) - 1)).toBeLessThan(4e-6);
  });

  test('through a gather', async () => {
    const n = 200_000;
    const p = program(
      [
        input('ids', [n], 'i32'),
        input('x', [n]),
        computed('y', [2], [over({ i: n }, ({ i }) => ({ store: [gather('ids', i)], value: at('x', i) }))]),
      ],
      ['y'],
    );
    const { y } = await filled(p, { ids: 1, x: 0.1 });
    expect(y[0]).toBe(0);
    expect(Math.abs(y[1] / (n * Math.fround(0.1)) - 1)).toBeLessThan(4e-6);
  });

  test('the mean of ones is one, and its root mean square', async () => {
    const n = 1000;
    const axes = { b: n, t: n };
    const mean = (power: number) =>
      over(axes, ({ b, t }) => ({
        store: [],
        value: product([constant(1e-6), power === 1 ? at('x', b, t) : binary('power', at('x', b, t), constant(power))]),
      }));
    const root = over({}, () => ({ store: [], value: unary('sqrt', at('square')) }));
    const p = program(
      [
        input('x', [n, n]),
        computed('y', [], [mean(1)]),
        computed('square', [], [mean(2)]),
        computed('root', [], [root]),
      ],
      ['y', 'root'],
    );
    expect((await filled(p, { x: 1 }, { target: cpu })).y).toEqual([1]);
    expect((await filled(p, { x: 1 }, { target: gpu })).y[0]).toBeCloseTo(1, 6);
  });
});

describe('long contractions', () => {
  const forms: Readonly<Record<string, ContractionTuning>> = {
    tiled: { form: 'tiled', tileM: 16, tileN: 16, tileK: 16, rows: 4, columns: 4 },
    direct: { form: 'direct', tileM: 8, tileN: 8, tileK: 1, rows: 4, columns: 4 },
    lanes: { form: 'lanes', tileM: 4, tileN: 4, tileK: 1, rows: 4, columns: 4 },
    ...(opened.target.subgroupSize?.min === 4
      ? { subgroup: { form: 'subgroup', tileM: 8, tileN: 16, tileK: 1, rows: 8, columns: 4 } as const }
      : {}),
  };
  const k = 10_000;
  const whole = over({ m: 8, n: 8, k }, ({ m, n, k }) => ({
    store: [m, n],
    value: product([at('a', k, m), at('b', k, n)]),
  }));
  // Two k axes, one of them cut short for a whole tile: short segments, and segments longer than a chain.
  const limited = (outer: number) =>
    over({ m: 8, n: 8, s: outer, l: k / outer }, ({ m, n, s, l }) => ({
      store: [m, n],
      domain: [atLeastZero(subtract(add(m, affine(k / outer - 5)), l))],
      value: product([at('a', add(scale(s, k / outer), l), m), at('b', add(scale(s, k / outer), l), n)]),
    }));
  const cases = { whole, 'short segments': limited(1000), 'long segments': limited(2) };
  for (const [form, contraction] of Object.entries(forms)) {
    test.each(Object.entries(cases))(`${form}: %s`, async (_, equation) => {
      const p = program([input('a', [k, 8]), input('b', [k, 8]), computed('y', [8, 8], [equation])], ['y']);
      const { y, families } = await filled(
        p,
        { a: 0.1, b: 1 },
        { target: cpu, contractAll: true, override: { contraction } },
      );
      expect(families).toEqual(['contraction']);
      const [outer, inner] =
        equation.axes.slice(2).length === 1 ? [1, k] : equation.axes.slice(2).map(({ extent }) => extent);
      y.forEach((total, i) => {
        const points = outer * Math.min(inner, equation === whole ? inner : Math.floor(i / 8) + inner - 4);
        expect(Math.abs(total / (points * Math.fround(0.1)) - 1), `${total} of ${points}`).toBeLessThan(5e-5);
      });
    });
  }
});
