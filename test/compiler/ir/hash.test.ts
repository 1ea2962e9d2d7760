import { expect, test } from 'vitest';
import { affine, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, param, program } from '../../../compiler/ir/build.ts';
import { binary, constant, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { hashEquation, hashExpression, hashProgram, hashText } from '../../../compiler/ir/hash.ts';
import type { Equation, Expression } from '../../../compiler/ir/program.ts';

const base = over({ i: 4, j: 3 }, ({ i, j }) => ({ store: [i], value: product([at('W', i, j), at('x', j)]) }));

test('names of axes and places in the source do not count', () => {
  const renamed = over({ a: 4, b: 3 }, ({ a, b }) => ({ store: [a], value: product([at('W', a, b), at('x', b)]) }));
  expect(hashEquation(renamed)).toBe(hashEquation(base));
  const x = input('x', [3]);
  const documented = { ...x, doc: 'the input' };
  expect(hashProgram(program([documented], ['x']))).toBe(hashProgram(program([x], ['x'])));
});

test('everything else does', () => {
  const [i, j] = [0, 1].map((axis) => affine(0, [{ axis, coefficient: 1 }]));
  const variants: Equation[] = [
    base,
    { ...base, axes: [base.axes[1], base.axes[0]] },
    { ...base, reducer: 'max' },
    { ...base, store: [j] },
    { ...base, domain: [atLeastZero(subtract(i, j))] },
    { ...base, domain: [{ kind: 'zero', affine: subtract(i, j) }] },
    { ...base, domain: [{ kind: 'nonzero', affine: subtract(i, j) }] },
    { ...base, value: product([at('x', j), at('W', i, j)]) },
    { ...base, value: sum([at('W', i, j), at('x', j)]) },
  ];
  expect(new Set(variants.map(hashEquation)).size).toBe(variants.length);

  const a = at('a', i);
  const b = at('b', i);
  const expressions: Expression[] = [
    a,
    b,
    at('a', j),
    at('a', { kind: 'gather', tensor: 'b', indices: [i] }),
    constant(0),
    constant(-0),
    constant(1),
    { kind: 'index', affine: i },
    unary('exp', a),
    unary('log', a),
    binary('divide', a, b),
    binary('divide', b, a),
    binary('power', a, b),
    select({ kind: 'compare', operator: '<', left: a, right: b }, a, b),
    select({ kind: 'compare', operator: '<=', left: a, right: b }, a, b),
    select({ kind: 'domain', constraints: [] }, a, b),
    { kind: 'sum', terms: [a, { kind: 'sum', terms: [b, a] }] },
    { kind: 'sum', terms: [{ kind: 'sum', terms: [a, b] }, a] },
    { kind: 'sum', terms: [a, b, a] },
    { kind: 'random', distribution: 'normal', seed: a, stream: 0, step: b, element: i },
    { kind: 'random', distribution: 'uniform', seed: a, stream: 0, step: b, element: i },
    { kind: 'random', distribution: 'normal', seed: a, stream: 1, step: b, element: i },
  ];
  expect(new Set(expressions.map(hashExpression)).size).toBe(expressions.length);

  const programs = [
    program([input('x', [3])], ['x']),
    program([input('x', [3])], []),
    program([input('y', [3])], ['y']),
    program([input('x', [4])], ['x']),
    program([input('x', [3], 'i32')], ['x']),
    program([param('x', [3])], ['x']),
    program([param('x', [3], { kind: 'normal', std: 2 })], ['x']),
    program([param('x', [3], { kind: 'normal', std: 1, fanIn: 1 })], ['x']),
    program([param('x', [3], { kind: 'constant', value: 1 })], ['x']),
    program([param('x', [3], { kind: 'normal', std: 1 }, true)], ['x']),
    program([computed('x', [3], [])], ['x']),
    program([computed('x', [3], [base])], ['x']),
    program([input('x', [3])], ['x'], [{ state: 'x', next: 'x' }]),
  ];
  expect(new Set(programs.map(hashProgram)).size).toBe(programs.length);
});

test('64 bits, spread evenly', () => {
  const hashes = Array.from({ length: 20_000 }, (_, i) => hashText(`x[${i}]`));
  expect(hashes.every((hash) => /^[0-9a-f]{16}$/.test(hash))).toBe(true);
  expect(new Set(hashes).size).toBe(hashes.length);
  // Each half by itself: as few collisions as 32 random bits have among 20,000 (0.05 expected).
  expect(new Set(hashes.map((hash) => hash.slice(0, 8))).size).toBeGreaterThan(hashes.length - 4);
  expect(new Set(hashes.map((hash) => hash.slice(8))).size).toBeGreaterThan(hashes.length - 4);
});
