// Bounds against what the interpreter gives.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { axisIndex, subtract } from '../../../compiler/ir/affine.ts';
import { anyNumber, type Bounds, boundsOf } from '../../../compiler/ir/bounds.ts';
import { binary, constant, load, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import type { Expression } from '../../../compiler/ir/program.ts';
import { factsOf } from '../../../compiler/passes/facts.ts';
import { randomProgram } from '../../support/random-program.ts';

const x = load('x', []);
const of = (e: Expression): Bounds => boundsOf(e, { axes: [], domain: [], tensor: () => anyNumber });
const positive: Expression = sum([product([x, x]), constant(0.5)]);

test.each<[string, Expression, Partial<Bounds>]>([
  ['a square and a half', positive, { low: 0.5, zero: false, finite: true }],
  ['its logarithm', unary('log', positive), { finite: true }],
  ['its inverse', binary('divide', constant(1), positive), { low: 0, high: 2, zero: false, finite: true }],
  ['exp', unary('exp', x), { low: 0, zero: false, finite: true }],
  ['log of anything', unary('log', x), { finite: false }],
  ['the root of a square', unary('sqrt', binary('power', x, constant(2))), { low: 0, finite: true }],
  ['its inverse', unary('rsqrt', binary('power', x, constant(2))), { finite: false }],
  ['a divisor of at least 1', binary('divide', x, binary('maximum', x, constant(1))), { finite: true }],
  ['a power with a negative base', binary('power', x, constant(1.5)), { finite: false }],
  ['1 - tanh^2', sum([constant(1), product([constant(-1), unary('tanh', x), unary('tanh', x)])]), { finite: true }],
  [
    'a branch knows its condition',
    select({ kind: 'compare', operator: '>', left: x, right: constant(0) }, unary('log', x), constant(0)),
    { finite: true },
  ],
  [
    'the other one does not',
    select({ kind: 'compare', operator: '>=', left: x, right: constant(0) }, unary('log', x), constant(0)),
    { finite: false },
  ],
])('%s', (_, e, want) => {
  expect(of(e)).toMatchObject(want);
});

test('an index as a divisor is bounded by the domain', () => {
  const [a, b] = [axisIndex(0), axisIndex(1)];
  const difference = subtract(a, b);
  const e = binary('divide', constant(1), { kind: 'index', affine: difference });
  const axes = [
    { name: 'a', extent: 4 },
    { name: 'b', extent: 4 },
  ];
  const within = (kind: 'nonzero' | 'nonnegative'): Bounds =>
    boundsOf(e, { axes, domain: [{ kind, affine: difference }], tensor: () => anyNumber });
  expect(within('nonzero').finite).toBe(true);
  expect(within('nonnegative').finite).toBe(false);
});

test("every element of random programs lies within its tensor's bounds", () => {
  fc.assert(
    fc.property(randomProgram(), ({ program, inputs }) => {
      const facts = factsOf(program.tensors);
      for (const [name, { data }] of interpret(program, inputs)) {
        const { low, high, zero, finite } = facts.bounds(name);
        const slack = 1e-9 * Math.max(1, ...[low, high].filter(Number.isFinite).map(Math.abs));
        for (const value of data) {
          if (finite) expect(Number.isFinite(value)).toBe(true);
          if (Number.isNaN(value)) continue;
          expect(value).toBeGreaterThanOrEqual(low - slack);
          expect(value).toBeLessThanOrEqual(high + slack);
          if (!zero) expect(value).not.toBe(0);
        }
      }
    }),
    { numRuns: 300, seed: 6 },
  );
});
