/** The library's matrix structures, lowered by hand: what they cost, that they are never formed, and that nothing changes. */
import { describe, expect, test } from 'vitest';
import { leftToRightMultiplyAdds, multiplyAdds } from '../../../compiler/analysis/cost.ts';
import { equationsOf } from '../../../compiler/ir/equation.ts';
import { printProgram } from '../../../compiler/ir/print.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import { differentiate } from '../../../compiler/passes/differentiate/differentiate.ts';
import { optimise } from '../../../compiler/passes/pipeline.ts';
import { expectSameOutputs, randomInputs } from './agree.ts';
import {
  bilinearBtt,
  btt,
  butterfly,
  dense,
  kronecker,
  lowRank,
  matrixProgram,
  mlbtc,
  mlr,
  split,
  tensorTrain,
} from './matrices.ts';

interface Case {
  readonly name: string;
  readonly make: (n: number) => Program;
  /** Multiply-adds for one row of x. */
  readonly perRow: number;
  /** Elements of a dense W, which no tensor may have. */
  readonly denseElements: number;
}

/** A batch that makes forming W dear. */
const rowCount = 12;

const cases: readonly Case[] = [
  { name: 'low rank', make: (n) => lowRank(16, 2, n), perRow: 2 * 16 * 2, denseElements: 256 },
  { name: 'kronecker', make: (n) => kronecker(4, 5, 4, 3, n), perRow: 4 * 4 * 3 + 4 * 3 * 5, denseElements: 240 },
  { name: 'btt', make: (n) => btt(64, 1, n), perRow: 64 * (4 + 16), denseElements: 4096 },
  { name: 'btt of rank 2', make: (n) => btt(64, 2, n), perRow: 2 * 64 * (4 + 16), denseElements: 4096 },
  { name: 'mlr', make: (n) => mlr(16, [2, 1, 1], n), perRow: 2 * 16 * 4, denseElements: 256 },
  {
    name: 'mlbtc',
    make: (n) => mlbtc(64, [1, 2, 4], [8, 4, 1], [1, 1, 3], n),
    perRow: 64 * (8 + 8) + 64 * (4 + 4) + 64 * 6,
    denseElements: 4096,
  },
  {
    name: 'tensor train',
    make: (n) => tensorTrain(3, 4, 2, n),
    perRow: 4 ** 4 * 2 + 4 ** 4 * 4 + 4 ** 4 * 2,
    denseElements: 4096,
  },
  {
    name: 'tensor train of four cores',
    make: (n) => tensorTrain(4, 2, 2, n),
    // The cores are joined in pairs first, once for all rows.
    perRow: 256 + 128 / rowCount,
    denseElements: 256,
  },
  { name: 'butterfly', make: (n) => butterfly(4, n), perRow: 16 * 2 * 4, denseElements: 256 },
];

function backward(program: Program): Program {
  const wrt = program.tensors.filter((t) => t.source.kind === 'input' || t.source.kind === 'param').map((t) => t.name);
  return differentiate(program, { seeds: Object.fromEntries(program.outputs.map((name) => [name, 'input'])), wrt });
}

function computedElements(program: Program): readonly number[] {
  return program.tensors.filter((t) => t.source.kind === 'computed').map((t) => elementCount(t.shape));
}

describe.each(cases)('$name', ({ make, perRow, denseElements }) => {
  const program = make(rowCount);
  const optimised = optimise(program);

  test('costs what the best order costs', () => {
    expect(multiplyAdds(optimised), printProgram(optimised)).toBe(rowCount * perRow);
    expect(multiplyAdds(optimised)).toBeLessThanOrEqual(
      leftToRightMultiplyAdds(optimise(program, { disabled: new Set(['order']) })),
    );
  });

  test('is never formed, forward or backward', () => {
    const both = optimise(backward(optimised));
    for (const [stage, found] of Object.entries({ forward: optimised, both })) {
      const largest = Math.max(...computedElements(found));
      expect(largest / rowCount, `${stage}\n${printProgram(found)}`).toBeLessThan(denseElements / 2);
    }
    expect(both.tensors.some((tensor) => tensor.name === 'W')).toBe(false);
  });

  test('keeps its value', () => {
    expectSameOutputs(program, optimised, randomInputs(program, 3));
  });

  test('forward and backward cost at most three times forward', () => {
    const both = optimise(backward(optimised));
    expect(multiplyAdds(both), printProgram(both)).toBeLessThanOrEqual(3 * multiplyAdds(optimised));
    expectSameOutputs(backward(program), both, randomInputs(both, 3));
  });

  test('is in two operands a step', () => {
    for (const equation of optimised.tensors.flatMap(equationsOf)) {
      expect(equation.value.kind === 'product' ? equation.value.factors.length : 1).toBeLessThanOrEqual(2);
    }
  });
});

test('dense stays as it is written', () => {
  const optimised = optimise(dense(8, 5));
  expect(printProgram(optimised)).toBe(printProgram(dense(8, 5)));
});

test('BTT at the sizes that the page promises', () => {
  expect(multiplyAdds(optimise(btt(256, 1, 1)))).toBe(10_240);
  expect(split(4096)).toEqual([32, 128]);
  expect(multiplyAdds(optimise(btt(4096, 1, 1)))).toBe(655_360);
});

test('more cores than the exhaustive search takes are still applied one after another', () => {
  const optimised = optimise(tensorTrain(9, 2, 2, 64));
  expect(optimised.tensors.some((tensor) => tensor.name === 'W')).toBe(false);
  // The two cores at each end are joined first, 2⁶. Then 2⁹ elements a row against two digits and a bond, or one and two, each 2¹².
  expect(multiplyAdds(optimised)).toBe(2 * 2 ** 6 + 64 * 7 * 2 ** 12);
});

test('a matrix that is cheaper formed is formed', () => {
  // rank 12 of 16: 2·16·12 a row factored against 16·16 formed.
  const optimised = optimise(lowRank(16, 12, 1000));
  expect(optimised.tensors.map((tensor) => tensor.name)).toContain('W');
  expect(multiplyAdds(optimised)).toBe(16 * 16 * 12 + 1000 * 256);
});

test('a structured matrix that is also an output is still not used as one', () => {
  const program = btt(64, 1, 3);
  const both = { ...program, outputs: ['y', 'W'] };
  const optimised = optimise(both);
  expect(elementCount(optimised.tensors.find((tensor) => tensor.name === 'y~1')?.shape ?? [])).toBe(3 * 16 * 4);
  expectSameOutputs(both, optimised, randomInputs(both, 5));
});

test('a diagonal scale between the matrix and the vector does not form it', () => {
  const program = btt(64, 1, 9);
  const [W] = program.tensors.filter((tensor) => tensor.name === 'W');
  const scaled = {
    ...matrixProgram(64, 64, 9, []),
    tensors: [
      ...program.tensors.filter((tensor) => tensor.name !== 'y' && tensor !== W),
      { ...W, name: 'V' },
      {
        name: 'g',
        dtype: 'f32',
        shape: [64],
        source: { kind: 'param', init: { kind: 'constant', value: 1 }, fixed: false },
      },
      {
        name: 'W',
        dtype: 'f32',
        shape: [64, 64],
        source: {
          kind: 'computed',
          equations: [
            {
              axes: [
                { name: 'i', extent: 64 },
                { name: 'j', extent: 64 },
              ],
              domain: [],
              store: [0, 1].map((axis) => ({ kind: 'affine', constant: 0, terms: [{ axis, coefficient: 1 }] })),
              reducer: 'sum',
              value: {
                kind: 'product',
                factors: [
                  {
                    kind: 'load',
                    tensor: 'V',
                    indices: [0, 1].map((axis) => ({ kind: 'affine', constant: 0, terms: [{ axis, coefficient: 1 }] })),
                  },
                  {
                    kind: 'load',
                    tensor: 'g',
                    indices: [{ kind: 'affine', constant: 0, terms: [{ axis: 1, coefficient: 1 }] }],
                  },
                ],
              },
            },
          ],
        },
      },
      ...program.tensors.filter((tensor) => tensor.name === 'y'),
    ],
  } as Program;
  const optimised = optimise(scaled);
  expect(Math.max(...computedElements(optimised))).toBeLessThan(4096);
  expectSameOutputs(scaled, optimised, randomInputs(scaled, 5));
});

describe('bilinear BTT scores', () => {
  const [D, H, N, T] = [16, 2, 2, 5];
  const program = bilinearBtt(D, H, 1, N, T);
  const optimised = optimise(program);
  const [a, b] = split(D);

  test('cores are clipped once, at their own size, and no bilinear form is made', () => {
    const shapes = optimised.tensors.filter((t) => /^k~\d$/.test(t.name)).map((t) => elementCount(t.shape));
    expect(shapes).toEqual([H * b * a * a, a * b * H * b, N * H * T * b * a]);
    const keys = N * T * H * D * (a + b);
    const scores = N * H * T * T * D;
    // The squares of both cores and of the keys, and the gain of the norm, which is taken to the queries.
    const norms = H * b * a * a + a * b * H * b + N * T * H * D + N * T * D;
    expect(multiplyAdds(optimised), printProgram(optimised)).toBe(keys + scores + norms);
  });

  test('value and gradients', () => {
    expectSameOutputs(program, optimised, randomInputs(program, 3));
    const both = optimise(backward(optimised));
    expectSameOutputs(backward(program), both, randomInputs(both, 3));
    // At this size the row reductions of the norm are a tenth of everything.
    expect(multiplyAdds(both), printProgram(both)).toBeLessThanOrEqual(3.5 * multiplyAdds(optimised));
  });
});
