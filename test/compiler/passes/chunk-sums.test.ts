/** Running sums in chunks: every size and direction against the triangle, forward and backward; and what stays a triangle. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { equationsOf } from '../../../compiler/ir/equation.ts';
import { constant, product, unary } from '../../../compiler/ir/expression.ts';
import { multiplyAddsOf } from '../../../compiler/ir/multiply-adds.ts';
import { printProgram } from '../../../compiler/ir/print.ts';
import type { Affine, Constraint, Equation, Program } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { chunkSums, chunkTensor } from '../../../compiler/passes/chunk-sums.ts';
import { differentiate } from '../../../compiler/passes/differentiate/differentiate.ts';
import { optimise, optimiseDerivatives } from '../../../compiler/passes/pipeline.ts';
import { expectSameOutputs, randomInputs } from './agree.ts';

type Triangle = (t: Affine, u: Affine) => Constraint;
const triangles: Readonly<Record<string, Triangle>> = {
  'u <= t': (t, u) => atLeastZero(subtract(t, u)),
  'u < t': (t, u) => atLeastZero(subtract(subtract(t, u), affine(1))),
  'u >= t': (t, u) => atLeastZero(subtract(u, t)),
  'u > t': (t, u) => atLeastZero(subtract(subtract(u, t), affine(1))),
};

/** y[b, t, e] = Σ f(q)[b, t, k] · key[b, u, k] · v[b, u, e] over a triangle of extent T. */
function attention(
  T: number,
  triangle: Triangle,
  more: (axes: Record<string, Affine>) => readonly Constraint[] = () => [],
): Program {
  const y = over({ b: 2, t: T, e: 3, u: T, k: 2 }, (axes) => ({
    store: [axes.b, axes.t, axes.e],
    domain: [triangle(axes.t, axes.u), ...more(axes)],
    value: product([
      constant(0.5),
      unary('tanh', at('q', axes.b, axes.t, axes.k)),
      at('key', axes.b, axes.u, axes.k),
      at('v', axes.b, axes.u, axes.e),
    ]),
  }));
  const inputs = [input('q', [2, T, 2]), input('key', [2, T, 2]), input('v', [2, T, 3])];
  return program([...inputs, computed('y', [2, T, 3], [y])], ['y']);
}

/** In chunks of `size`, the states too where they have so many chunks. */
function chunked(before: Program, size: number): Program {
  const taken = new Set(before.tensors.map(({ name }) => name));
  const tensors = before.tensors.flatMap((tensor) =>
    chunkTensor(tensor, taken, ({ extent }) => (size < extent ? size : undefined)),
  );
  return { ...before, tensors };
}

describe('in chunks', () => {
  const sizes = [7, 8, 13].flatMap((T) => [2, 3, 4, 5, T - 1].map((size) => ({ T, size })));
  const cases = sizes.flatMap((one) => Object.keys(triangles).map((name) => ({ ...one, name })));

  test.each(cases)('of $size, T = $T, $name: what the triangle is, and so are its gradients', ({ T, size, name }) => {
    const before = attention(T, triangles[name]);
    const after = chunked(before, size);
    expect(verify(after)).toEqual([]);
    expect(after.tensors.length).toBeGreaterThan(before.tensors.length);
    expectSameOutputs(before, after, randomInputs(before, T));
    const ordered = optimise(after, { disabled: new Set(['inline']) });
    expectSameOutputs(before, ordered, randomInputs(before, T));
    const settings = { seeds: { y: 'input' as const }, wrt: ['q', 'key', 'v'] };
    const wanted = differentiate(before, settings);
    const found = optimiseDerivatives(differentiate(ordered, settings));
    expect(verify(found)).toEqual([]);
    expectSameOutputs(wanted, found, randomInputs(wanted, T));
  });

  test('is four equations that can be read', () => {
    const lines = printProgram(chunked(attention(8, triangles['u <= t']), 4)).split('\n');
    expect(lines.filter((line) => line.startsWith('  ')).map((line) => line.trim().replace(/ {3}/g, ' | '))).toEqual([
      'y~chunk[tChunk, b, e, k] sum= key[b, 4*tChunk + u, k] * v[b, 4*tChunk + u, e] | over tChunk: 1, b: 2, e: 3, k: 2, u: 4',
      'y~state[tChunk, b, e, k] sum= y~chunk[uChunk, b, e, k] | over tChunk: 1, uChunk: 1, b: 2, e: 3, k: 2 | where tChunk - uChunk >= 0',
      'y[b, 4*tChunk + t, e] sum= 0.5 * tanh(q[b, 4*tChunk + t, k]) * key[b, 4*tChunk + u, k] * v[b, 4*tChunk + u, e] | over tChunk: 2, t: 4, u: 4, b: 2, e: 3, k: 2 | where t - u >= 0',
      'y[b, 4*tChunk + t + 4, e] sum= 0.5 * tanh(q[b, 4*tChunk + t + 4, k]) * y~state[tChunk, b, e, k] | over tChunk: 1, t: 4, b: 2, e: 3, k: 2',
    ]);
  });

  test('other conditions stay with their side, and a sum that nobody else needs is made with the chunk', () => {
    const window = ({ t, u, e }: Record<string, Affine>) => [
      atLeastZero(subtract(t, affine(2))),
      atLeastZero(subtract(affine(9), u)),
      atLeastZero(subtract(e, affine(1))),
    ];
    const before = attention(11, triangles['u <= t'], window);
    const after = chunked(before, 4);
    expect(verify(after)).toEqual([]);
    expectSameOutputs(before, after, randomInputs(before, 3));
    const norm = over({ t: 11, u: 11, k: 3 }, ({ t, u, k }) => ({
      store: [t],
      domain: [atLeastZero(subtract(t, u)), atLeastZero(subtract(k, affine(1)))],
      value: at('x', u, k),
    }));
    const sum = program([input('x', [11, 3]), computed('y', [11], [norm])], ['y']);
    const parts = chunked(sum, 4);
    expect(parts.tensors.find(({ name }) => name === 'y~chunk')?.shape).toEqual([2]);
    expectSameOutputs(sum, parts, randomInputs(sum, 4));
  });
});

/** A random product over a triangle: which axes each factor has, and the store; loads and the store may be shifted and strided. */
const randomSum = fc
  .record({
    T: fc.integer({ min: 3, max: 9 }),
    size: fc.integer({ min: 2, max: 5 }),
    triangle: fc.constantFrom(...Object.values(triangles)),
    extents: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 3, maxLength: 3 }),
    factors: fc.array(
      fc.record({
        side: fc.constantFrom('t', 'u', 'neither'),
        others: fc.subarray([0, 1, 2]),
        shift: fc.integer({ min: 0, max: 2 }),
        stride: fc.integer({ min: 1, max: 2 }),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    stored: fc.subarray([0, 1, 2]),
    stride: fc.integer({ min: 1, max: 2 }),
    least: fc.record({ t: fc.integer({ min: 0, max: 2 }), u: fc.integer({ min: 0, max: 2 }) }),
    isTied: fc.boolean(),
  })
  .map(({ T, size, triangle, extents, factors, stored, stride, least, isTied }) => {
    const [a, b, c] = extents;
    const shapes = factors.map(({ side, others, shift, stride: step }) => [
      ...(side === 'neither' ? [] : [step * (T - 1) + shift + 1]),
      ...others.map((k) => extents[k]),
    ]);
    const y = over({ t: T, a, b, c, u: T }, ({ t, u, ...axes }) => {
      const rest = Object.values(axes);
      const loads = factors.map(({ side, others, shift, stride: step }, n) => {
        const place = side === 'neither' ? [] : [add(scale(side === 't' ? t : u, step), affine(shift))];
        return at(`x${n}`, ...place, ...others.map((k) => rest[k]));
      });
      const more = [
        atLeastZero(subtract(t, affine(least.t))),
        atLeastZero(subtract(u, affine(least.u))),
        ...(isTied ? [atLeastZero(subtract(rest[0], rest[1]))] : []),
      ];
      return {
        store: [scale(t, stride), ...stored.map((k) => rest[k])],
        domain: [triangle(t, u), ...more],
        value: product(loads),
      };
    });
    const inputs = shapes.map((shape, n) => input(`x${n}`, shape));
    const shape = [stride * (T - 1) + 1, ...stored.map((k) => extents[k])];
    return { size, before: program([...inputs, computed('y', shape, [y])], ['y']) };
  });

test('random sums over a triangle keep their value in chunks, ordered and not', () => {
  let parted = 0;
  fc.assert(
    fc.property(randomSum, ({ size, before }) => {
      const after = chunked(before, size);
      if (after.tensors.length > before.tensors.length) parted += 1;
      const inputs = randomInputs(before, 5);
      expectSameOutputs(before, after, inputs);
      expectSameOutputs(before, optimise(after, { disabled: new Set(['inline']) }), inputs);
    }),
    { numRuns: 150, seed: 15 },
  );
  expect(parted).toBeGreaterThan(40);
});

describe('stays a triangle', () => {
  const T = 4096;
  const single = (equation: Equation) =>
    program([input('x', [T, T]), input('z', [2 * T]), computed('y', [T], [equation])], ['y']);
  const sum = (
    domain: (t: Affine, u: Affine) => readonly Constraint[],
    value: (t: Affine, u: Affine) => Equation['value'],
  ) => single(over({ t: T, u: T }, ({ t, u }) => ({ store: [t], domain: domain(t, u), value: value(t, u) })));
  const causal = (t: Affine, u: Affine) => [atLeastZero(subtract(t, u))];

  test.each([
    ['a term of both', sum(causal, (t, u) => at('x', t, u))],
    [
      'a band',
      sum(
        (t, u) => [...causal(t, u), atLeastZero(subtract(subtract(u, t), affine(-9)))],
        (_, u) => at('z', u),
      ),
    ],
    [
      'a triangle that is shifted',
      sum(
        (t, u) => [atLeastZero(subtract(subtract(t, u), affine(-5)))],
        (_, u) => at('z', u),
      ),
    ],
    [
      'a greatest',
      single({
        ...over({ t: T, u: T }, ({ t, u }) => ({ store: [t], domain: causal(t, u), value: at('z', u) })),
        reducer: 'max',
      }),
    ],
    ['what is small', attention(32, triangles['u <= t'])],
  ])('%s', (_, before) => expect(chunkSums(before)).toBe(before));
});

describe('by cost', () => {
  const multiplied = (T: number) => {
    const after = chunkSums(attention(T, triangles['u <= t']));
    return after.tensors.find(({ name }) => name === 'y~state')?.shape;
  };

  test('a long triangle goes in chunks, whose number grows with it', () => {
    expect(multiplied(256)).toBeUndefined();
    const [some, more] = [multiplied(8192), multiplied(65536)];
    expect(some?.[0]).toBeGreaterThan(10);
    expect(more?.[0]).toBeGreaterThan(2 * (some?.[0] as number));
  });

  test('then work grows with T and not with its square, forward and backward', () => {
    const work = (T: number) => {
      const forward = optimise(attention(T, triangles['u <= t']));
      const settings = { seeds: { y: 'input' as const }, wrt: ['q', 'key', 'v'] };
      const both = optimiseDerivatives(differentiate(forward, settings));
      const total = ({ tensors }: Program) =>
        tensors.flatMap(equationsOf).reduce((n, one) => n + multiplyAddsOf(one), 0);
      return [total(forward), total(both)];
    };
    const [some, more] = [work(8192), work(32768)];
    for (const k of [0, 1]) expect(more[k] / some[k]).toBeLessThan(4.2);
    expect(some[1]).toBeLessThan(3.5 * some[0]);
  });
});
