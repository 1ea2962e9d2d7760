/**
 * The scalar functions of the kernels against float64, over wide ranges and at their ends. The bounds are the promise: what a kernel
 * computes differs by at most `absolute + relative · |value|`, on every device. Denormals are left out: devices may flush them.
 */
import { describe, expect, test } from 'vitest';
import { affine } from '../../../compiler/ir/affine.ts';
import { at, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { binary, constant, load, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { drawNormal, drawUniform } from '../../../compiler/ir/philox.ts';
import type { Expression } from '../../../compiler/ir/program.ts';
import { binaryFunctions, comparisons, unaryFunctions } from '../../../compiler/ir/scalar.ts';
import { testDevice } from '../../support/device.ts';
import { runOnDevice } from '../../support/run-on-device.ts';

const opened = await testDevice();

const smallestNormal = 2 ** -126;
const largest = 3.4028234663852886e38;

/** `low` to `high` in equal steps of the logarithm, both included. */
function geometric(low: number, high: number, count = 200): number[] {
  return Array.from({ length: count }, (_, i) => low * (high / low) ** (i / (count - 1)));
}

function linear(low: number, high: number, count = 400): number[] {
  return Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
}

const both = (values: readonly number[]): number[] => [...values, ...values.map((x) => -x)];

interface Case {
  readonly of: (x: Expression) => Expression;
  readonly want: (x: number) => number;
  readonly points: readonly number[];
  readonly absolute: number;
  readonly relative: number;
}

const call = (operator: Parameters<typeof unary>[0]): Pick<Case, 'of' | 'want'> => ({
  of: (x) => unary(operator, x),
  want: unaryFunctions[operator],
});
const powerOf = (exponent: number): Pick<Case, 'of' | 'want'> => ({
  of: (x) => binary('power', x, constant(exponent)),
  want: (x) => binaryFunctions.power(x, exponent),
});
const powers = (base: number): Pick<Case, 'of' | 'want'> => ({
  of: (x) => binary('power', constant(base), x),
  want: (x) => binaryFunctions.power(base, x),
});

const everywhere = [...both(geometric(1e-30, 1e30)), ...linear(-10, 10), 0, 100, -100, largest, -largest];

const cases: Readonly<Record<string, Case>> = {
  exp: { ...call('exp'), points: [...linear(-87, 88.7), 0, 88.72], absolute: 0, relative: 2e-5 },
  log: {
    ...call('log'),
    points: [...geometric(smallestNormal, largest), ...linear(0.5, 2), 1],
    absolute: 1e-7,
    relative: 3e-7,
  },
  sqrt: { ...call('sqrt'), points: [...geometric(smallestNormal, largest), 0], absolute: 0, relative: 3e-7 },
  rsqrt: { ...call('rsqrt'), points: geometric(smallestNormal, largest), absolute: 0, relative: 1e-6 },
  tanh: { ...call('tanh'), points: everywhere, absolute: 0, relative: 1e-6 },
  erf: { ...call('erf'), points: everywhere, absolute: 3e-7, relative: 0 },
  'erf near 0': { ...call('erf'), points: both(geometric(1e-30, 0.9)), absolute: 0, relative: 1e-6 },
  sigmoid: { ...call('sigmoid'), points: everywhere, absolute: 2e-35, relative: 2e-5 },
  silu: { ...call('silu'), points: [...linear(-100, 100), 0, 1e30], absolute: 2e-33, relative: 2e-5 },
  gelu: { ...call('gelu'), points: [...linear(-20, 20), 0, 1e30, -1e30], absolute: 3e-7, relative: 1e-6 },
  sin: { ...call('sin'), points: [...linear(-8192, 8192), ...linear(-7, 7), 0], absolute: 2e-7, relative: 0 },
  cos: { ...call('cos'), points: [...linear(-8192, 8192), ...linear(-7, 7), 0], absolute: 2e-7, relative: 0 },
  'sin to 1e5': { ...call('sin'), points: linear(-1e5, 1e5), absolute: 5e-6, relative: 0 },
  'cos to 1e5': { ...call('cos'), points: linear(-1e5, 1e5), absolute: 5e-6, relative: 0 },
  relu: { ...call('relu'), points: everywhere, absolute: 0, relative: 0 },
  abs: { ...call('abs'), points: everywhere, absolute: 0, relative: 0 },
  sign: { ...call('sign'), points: everywhere, absolute: 0, relative: 0 },
  'x^2': { ...powerOf(2), points: both(geometric(1e-18, 1e18)), absolute: 0, relative: 1e-6 },
  'x^3': { ...powerOf(3), points: both(geometric(1e-12, 1e12)), absolute: 0, relative: 1e-6 },
  'x^7': { ...powerOf(7), points: both(geometric(1e-5, 1e5)), absolute: 0, relative: 1e-6 },
  'x^8': { ...powerOf(8), points: both(geometric(1e-4, 1e4)), absolute: 0, relative: 1e-6 },
  'x^-1': { ...powerOf(-1), points: both(geometric(1e-30, 1e30)), absolute: 0, relative: 1e-6 },
  'x^-3': { ...powerOf(-3), points: both(geometric(1e-12, 1e12)), absolute: 0, relative: 1e-6 },
  'x^0.5': { ...powerOf(0.5), points: [...geometric(1e-30, 1e30), 0], absolute: 0, relative: 1e-6 },
  'x^-0.5': { ...powerOf(-0.5), points: geometric(1e-30, 1e30), absolute: 0, relative: 1e-6 },
  'x^1.5': { ...powerOf(1.5), points: [...geometric(1e-20, 1e20), 0], absolute: 0, relative: 3e-5 },
  'x^11, negative bases': { ...powerOf(11), points: [...both(geometric(1e-3, 1e3)), 0], absolute: 0, relative: 3e-5 },
  'x^12, negative bases': { ...powerOf(12), points: [...both(geometric(1e-3, 1e3)), 0], absolute: 0, relative: 3e-5 },
  'x^0': { ...powerOf(0), points: everywhere, absolute: 0, relative: 0 },
  '2^x': { ...powers(2), points: linear(-125, 127), absolute: 0, relative: 2e-5 },
  '(-3)^x, whole x': { ...powers(-3), points: [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 21], absolute: 0, relative: 3e-5 },
  '0^x': { ...powers(0), points: [0, 0.5, 1, 2, 3.5], absolute: 0, relative: 0 },
};

describe('scalar functions', () => {
  test.each(Object.entries(cases))('%s', async (_name, { of, want, points, absolute, relative }) => {
    const xs = ndarray([points.length], Float32Array.from(points));
    const { length } = points;
    const p = program(
      [
        input('x', [length]),
        computed('y', [length], [over({ i: length }, ({ i }) => ({ store: [i], value: of(at('x', i)) }))]),
      ],
      ['y'],
    );
    const { values } = await runOnDevice(opened, p, new Map([['x', xs]]));
    const have = values.get('y')!.data;
    let [worst, where] = [0, 0];
    xs.data.forEach((x, i) => {
      const wanted = want(x);
      if (wanted !== 0 && Math.abs(wanted) < smallestNormal) return;
      const apart = Math.abs(have[i] - wanted);
      const error = apart === 0 ? 0 : apart / (absolute + relative * Math.abs(wanted));
      if (!(error <= worst)) [worst, where] = [error, x];
    });
    expect(worst, `of the bound, at ${where}`).toBeLessThanOrEqual(1);
  });
});

/** Ordinary numbers and all that is not: zeros, infinities, NaN, the smallest normal and the largest numbers. */
const table = [0, -0, Infinity, -Infinity, Number.NaN, smallestNormal, -smallestNormal, largest, -largest].concat([
  1, -1, 0.5, -0.5, 2, -2, 3, -3, 1.5, -5, 87, -87, 89, -104, 1e-10, -1e10,
]);

/** What f32 makes of an exact value: beyond its range an infinity, below its normal numbers what it likes. */
function agrees(have: number, want: number): boolean {
  if (Number.isNaN(want)) return Number.isNaN(have);
  const rounded = Math.fround(want);
  if (Math.abs(rounded) < smallestNormal) return Math.abs(have) < 4 * smallestNormal;
  // At the very top an error of the last digits overflows.
  if (Math.abs(rounded) > 0.9999 * largest) return have * Math.sign(rounded) > 0.9999 * largest;
  return have === rounded || Math.abs(have - rounded) <= 1e-4 * Math.abs(rounded) + 1e-6;
}

describe('at the ends of f32, and beyond the domain', () => {
  async function hold(of: (a: Expression, b: Expression) => Expression, pairs: readonly (readonly [number, number])[]) {
    const { length } = pairs;
    const value = over({ i: length }, ({ i }) => ({ store: [i], value: of(at('a', i), at('b', i)) }));
    const p = program([input('a', [length]), input('b', [length]), computed('y', [length], [value])], ['y']);
    const inputs = new Map(
      ['a', 'b'].map((name, k) => [
        name,
        ndarray(
          [length],
          Float32Array.from(pairs, (x) => x[k]),
        ),
      ]),
    );
    const want = interpret(p, inputs, ['y']).get('y')!.data;
    const have = (await runOnDevice(opened, p, inputs)).values.get('y')!.data;
    const wrong = pairs.flatMap(([a, b], i) =>
      agrees(have[i], want[i]) ? [] : [`(${a}, ${b}): ${have[i]}, not ${want[i]}`],
    );
    expect(wrong).toEqual([]);
  }
  const alone = table.map((x) => [x, 0] as const);
  const pairs = table.flatMap((a) => table.map((b) => [a, b] as const));

  test.each(Object.keys(unaryFunctions) as (keyof typeof unaryFunctions)[])('%s', async (operator) => {
    // The reduction of sin and cos ends at 8192.
    const points =
      operator === 'sin' || operator === 'cos'
        ? alone.filter(([x]) => !(Math.abs(x) > 8192 && Math.abs(x) < Infinity))
        : alone;
    await hold((a) => unary(operator, a), points);
  });

  test('sin and cos beyond their range are no numbers rather than wrong ones', async () => {
    const far = over({ i: 3 }, ({ i }) => ({
      store: [i],
      value: sum([unary('sin', at('x', i)), unary('cos', at('x', i))]),
    }));
    const p = program([input('x', [3]), computed('y', [3], [far])], ['y']);
    const { values } = await runOnDevice(opened, p, new Map([['x', ndarray([3], [2e6, -1e30, largest])]]));
    expect([...values.get('y')!.data]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  });

  test.each([0.5, -0.5, 1.5, -1, 2, 3, -3, 8, 11, 0])('x ^ %d', async (exponent) => {
    // The sign of a zero's reciprocal root is that of the zero, as WGSL has it.
    const points = exponent === -0.5 ? alone.filter(([x]) => !Object.is(x, -0)) : alone;
    await hold((a) => binary('power', a, constant(exponent)), points);
  });

  test.each(['divide', 'power', 'minimum', 'maximum'] as const)('%s', async (operator) => {
    // WGSL promises nothing of a quotient whose divisor is beyond 2^126.
    const promised = operator === 'divide' ? pairs.filter(([, b]) => !(Math.abs(b) > 2 ** 126)) : pairs;
    await hold((a, b) => binary(operator, a, b), promised);
  });

  test.each(Object.keys(comparisons) as (keyof typeof comparisons)[])('a %s b', async (operator) => {
    await hold((left, right) => select({ kind: 'compare', operator, left, right }, constant(1), constant(2)), pairs);
  });

  test.each([Infinity, -Infinity, Number.NaN])('the constant %d', async (value) => {
    await hold((a) => sum([a, constant(value)]), alone);
  });

  test('log of subnormal numbers, where the device keeps them', async () => {
    await hold(
      (a) => unary('log', a),
      [
        [2 ** -127, 0],
        [2 ** -149, 0],
        [3 * 2 ** -140, 0],
      ],
    );
  });
});

describe('draws', () => {
  const count = 4096;
  const inputs = (seed: number, step: number) =>
    new Map([
      ['seed', ndarray([], [seed])],
      ['step', ndarray([], [step])],
    ]);
  const draws = (distribution: 'uniform' | 'normal', stream: number, seed: Expression = load('seed', [])) =>
    program(
      [
        input('seed', [], 'i32'),
        input('step', [], 'i32'),
        computed(
          'z',
          [count],
          [
            over({ i: count }, ({ i }) => ({
              store: [i],
              value: { kind: 'random', distribution, seed, stream, step: load('step', []), element: i },
            })),
          ],
        ),
      ],
      ['z'],
    );
  const words = [
    [0, 0, 0],
    [1, 2, 3],
    [2 ** 31 - 1, 4_294_967_295, 123_456_789],
    [-1, 77, -5],
  ] as const;

  test.each(words)('uniform: the same 23 bits of the word, seed %i, stream %i, step %i', async (seed, stream, step) => {
    const { values } = await runOnDevice(opened, draws('uniform', stream), inputs(seed, step));
    const want = Float64Array.from({ length: count }, (_, i) => drawUniform(seed, stream, step, i));
    expect(values.get('z')!.data).toEqual(want);
  });

  test.each(words)('normal, seed %i, stream %i, step %i', async (seed, stream, step) => {
    const { values } = await runOnDevice(opened, draws('normal', stream), inputs(seed, step));
    const have = values.get('z')!.data;
    const apart = have.map((z, i) => Math.abs(z - drawNormal(seed, stream, step, i)));
    expect(Math.max(...apart)).toBeLessThan(3e-6);
  });

  test('a seed beyond i32 counts modulo 2^32, as the interpreter has it', async () => {
    const { values } = await runOnDevice(opened, draws('uniform', 1, constant(4_000_000_000)), inputs(0, 9));
    expect(values.get('z')!.data[7]).toBe(drawUniform(4_000_000_000, 1, 9, 7));
  });

  test('a step that another tensor of the kernel has just made', async () => {
    const p = program(
      [
        input('step', [], 'i32'),
        computed(
          'next',
          [],
          [over({}, () => ({ store: [], value: { kind: 'sum', terms: [at('step'), constant(1)] } }))],
          'i32',
        ),
        computed(
          'z',
          [],
          [
            over({}, () => ({
              store: [],
              value: {
                kind: 'random',
                distribution: 'uniform',
                seed: constant(3),
                stream: 0,
                step: at('next'),
                element: affine(5),
              },
            })),
          ],
        ),
      ],
      ['z'],
    );
    const { values } = await runOnDevice(opened, p, new Map([['step', ndarray([], [41])]]));
    expect(values.get('z')!.data[0]).toBe(drawUniform(3, 0, 42, 5));
  });
});
