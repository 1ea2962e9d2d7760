/**
 * The scalar functions of the kernels against float64, over wide ranges and at their ends. The bounds are the promise: what a kernel
 * computes differs by at most `absolute + relative · |value|`, on every device. Denormals are left out: devices may flush them.
 */
import { describe, expect, test } from 'vitest';
import { affine } from '../../compiler/ir/affine.ts';
import { at, computed, input, over, program } from '../../compiler/ir/build.ts';
import { binary, constant, load, unary } from '../../compiler/ir/expression.ts';
import { ndarray } from '../../compiler/ir/ndarray.ts';
import { drawNormal, drawUniform } from '../../compiler/ir/philox.ts';
import type { Expression } from '../../compiler/ir/program.ts';
import { binaryFunctions, unaryFunctions } from '../../compiler/ir/scalar.ts';
import { testDevice } from '../support/device.ts';
import { runOnDevice } from '../support/run-on-device.ts';

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
