/** Each rule of simplification by hand: what goes in, what comes out, and what must not be touched. */
import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, param, program } from '../../../../compiler/ir/build.ts';
import { binary, constant, divide, product, select, sum, unary } from '../../../../compiler/ir/expression.ts';
import { printProgram } from '../../../../compiler/ir/print.ts';
import type { Affine, Equation, Expression, Program, Reducer, Tensor } from '../../../../compiler/ir/program.ts';
import { simplify } from '../../../../compiler/passes/simplify/simplify.ts';
import { expectSameOutputs, randomInputs } from '../agree.ts';

const x = input('x', [4]);
const A = input('A', [4, 4]);

/** The equations that are left, as text. */
function simplified(before: Program): string[] {
  const after = simplify(before);
  expectSameOutputs(before, after, randomInputs(before, 1));
  return printProgram(after)
    .split('\n')
    .filter((line) => line.startsWith('  '))
    .map((line) => line.trim().replace(/ {3}/g, ' | '));
}

function single(equation: Equation, shape: readonly number[] = [4], more: readonly Tensor[] = []): string[] {
  return simplified(program([x, A, ...more, computed('y', shape, [equation])], ['y']));
}

describe('arithmetic', () => {
  const raw = (kind: 'sum' | 'product', parts: readonly Expression[]): Expression =>
    kind === 'sum' ? { kind, terms: parts } : { kind, factors: parts };
  const load = (i: Affine): Expression => at('x', i);
  const cases: readonly (readonly [string, (e: Expression) => Expression, string])[] = [
    ['times one', (e) => raw('product', [constant(1), e]), 'x[i]'],
    ['plus zero', (e) => raw('sum', [e, constant(0)]), 'x[i]'],
    ['nested sums', (e) => raw('sum', [e, raw('sum', [e, constant(2)])]), 'x[i] + x[i] + 2'],
    ['nested products', (e) => raw('product', [constant(2), raw('product', [constant(3), e])]), '6 * x[i]'],
    ['double negation', (e) => unary('negate', unary('negate', e)), 'x[i]'],
    [
      'division by a constant',
      (e) => ({ kind: 'binary', operator: 'divide', left: e, right: constant(4) }),
      '0.25 * x[i]',
    ],
    ['power of one', (e) => binary('power', e, constant(1)), 'x[i]'],
    ['folded', (e) => sum([e, unary('sqrt', constant(9))]), 'x[i] + 3'],
    ['branches alike', (e) => select({ kind: 'compare', operator: '<', left: e, right: constant(0) }, e, e), 'x[i]'],
    [
      'comparison of constants',
      (e) => select({ kind: 'compare', operator: '<', left: constant(1), right: constant(0) }, constant(5), e),
      'x[i]',
    ],
  ];
  test.each(cases)('%s', (_, make, expected) => {
    const [line] = single(over({ i: 4 }, ({ i }) => ({ store: [i], value: make(load(i)) })));
    expect(line).toBe(`y[i] sum= ${expected} | over i: 4`);
  });
});

describe('loops', () => {
  test('axes that nothing speaks of, whatever their extent', () => {
    const made = (reducer: Reducer): string[] =>
      single(over({ a: 1, i: 4, j: 4, k: 3 }, ({ i, j }) => ({ reducer, store: [i], value: at('A', i, j) })));
    expect(made('sum')).toEqual(['y[i] sum= 3 * A[i, j] | over i: 4, j: 4']);
    expect(made('max')).toEqual(['y[i] max= A[i, j] | over i: 4, j: 4']);
    expect(made('logsumexp')[0]).toMatch(/^y\[i\] logsumexp= A\[i, j\] \+ 1\.09861\d+ \| over i: 4, j: 4$/);
  });

  test('an axis of extent 1 that something speaks of stays, and with it the reduction', () => {
    const one = over({ i: 4, j: 1 }, ({ i, j }) => ({ reducer: 'max', store: [i], value: at('A', i, j) }));
    expect(single(one)).toEqual(['y[i] max= A[i, j] | over i: 4, j: 1']);
  });

  test('a reducer with nothing to reduce', () => {
    expect(single(over({ i: 4 }, ({ i }) => ({ reducer: 'max', store: [i], value: at('x', i) })))).toEqual([
      'y[i] sum= x[i] | over i: 4',
    ]);
  });

  test('constraints that always hold, repeat, or never hold', () => {
    const where = (...limits: readonly number[]): string[] =>
      single(
        over({ i: 4, j: 4 }, ({ i, j }) => ({
          store: [i],
          domain: limits.map((limit) => atLeastZero(add(subtract(i, j), affine(limit)))),
          value: at('A', i, j),
        })),
      );
    expect(where(3, 0, 0)).toEqual(['y[i] sum= A[i, j] | over i: 4, j: 4 | where i - j >= 0']);
    expect(where(-4)).toEqual([]);
  });

  test('constraints that cannot hold together take the equation away', () => {
    const where = (make: (i: Affine, j: Affine) => Equation['domain']): string[] =>
      single(
        over({ i: 4, j: 4 }, ({ i, j }) => ({ store: [i], reducer: 'max', domain: make(i, j), value: at('A', i, j) })),
      );
    const atLeast = (a: Affine, number: number) => atLeastZero(add(a, affine(-number)));
    const zero = (a: Affine, number: number) => ({ kind: 'zero' as const, affine: add(a, affine(-number)) });
    expect(where((i, j) => [atLeast(subtract(i, j), 1), atLeast(subtract(j, i), 0)])).toEqual([]);
    expect(where((i, j) => [zero(subtract(i, j), 1), atLeast(subtract(j, i), 0)])).toEqual([]);
    expect(where((i, j) => [zero(subtract(i, j), 1), zero(subtract(j, i), 1)])).toEqual([]);
    expect(where((i, j) => [atLeast(subtract(i, j), 1), atLeast(subtract(j, i), -1)])).toEqual([
      'y[i] max= A[i, j] | over i: 4, j: 4 | where i - j - 1 >= 0 and j - i + 1 >= 0',
    ]);
  });

  test('a choice is none where the domain or its own conditions decide it', () => {
    const chosen = (...conditions: readonly number[]): string[] =>
      single(
        over({ i: 4, j: 4 }, ({ i, j }) => ({
          store: [i],
          reducer: 'max',
          domain: [atLeastZero(add(subtract(i, j), affine(-1)))],
          value: select(
            {
              kind: 'domain',
              constraints: conditions.map((c) => atLeastZero(add(c < 0 ? subtract(j, i) : subtract(i, j), affine(-c)))),
            },
            at('A', i, j),
            constant(5),
          ),
        })),
      );
    // i - j >= 1 is known: i - j >= 1 follows, j - i >= -3 is open, j - i >= -0.5 is never.
    expect(chosen(1)).toEqual(['y[i] max= A[i, j] | over i: 4, j: 4 | where i - j - 1 >= 0']);
    expect(chosen(2)).toEqual([
      'y[i] max= select(i - j - 2 >= 0, A[i, j], 5) | over i: 4, j: 4 | where i - j - 1 >= 0',
    ]);
    expect(chosen(2, 2)).toEqual(chosen(2));
    expect(chosen(3, -2)).toEqual(['y[i] max= 5 | over i: 4, j: 4 | where i - j - 1 >= 0']);
  });

  test('a bound on one axis is its extent', () => {
    const bounded = single(
      over({ i: 4, j: 4 }, ({ i, j }) => ({
        store: [i],
        domain: [atLeastZero(add(scale(j, 2), affine(-1))), atLeastZero(subtract(affine(5), scale(j, 2)))],
        value: at('A', i, j),
      })),
    );
    expect(bounded).toEqual(['y[i] sum= A[i, j + 1] | over i: 4, j: 2']);
  });

  test('an equality takes a reduced axis away', () => {
    const diagonal = single(
      over({ i: 4, j: 4 }, ({ i, j }) => ({
        store: [i],
        domain: [{ kind: 'zero', affine: subtract(i, j) }],
        value: at('A', i, j),
      })),
    );
    expect(diagonal).toEqual(['y[i] sum= A[i, i] | over i: 4']);
  });

  test('a branch that is 0 is the domain under a sum, and stays under a maximum', () => {
    const masked = (reducer: Reducer): string[] =>
      single(
        over({ i: 4, j: 4 }, ({ i, j }) => ({
          reducer,
          store: [i],
          value: select({ kind: 'domain', constraints: [atLeastZero(subtract(i, j))] }, at('A', i, j), constant(0)),
        })),
      );
    expect(masked('sum')).toEqual(['y[i] sum= A[i, j] | over i: 4, j: 4 | where i - j >= 0']);
    expect(masked('max')).toEqual(['y[i] max= select(i - j >= 0, A[i, j], 0) | over i: 4, j: 4']);
  });
});

describe('tensors', () => {
  const copy = (name: string, from: string): Tensor =>
    computed(name, [4, 4], [over({ i: 4, j: 4 }, ({ i, j }) => ({ store: [i, j], value: at(from, j, i) }))]);

  test('reads go through copies, transposed or not, and dead ones vanish', () => {
    const y = over({ i: 4 }, ({ i }) => ({ store: [i], value: at('T', i, 3) }));
    expect(single(y, [4], [copy('S', 'A'), copy('R', 'S'), copy('T', 'R')])).toEqual(['y[i] sum= A[3, i] | over i: 4']);
  });

  test('a copy that leaves elements unwritten is not seen through', () => {
    const S = computed('S', [4], [over({ i: 3 }, ({ i }) => ({ store: [i], value: at('x', i) }))]);
    const y = over({ i: 4 }, ({ i }) => ({ store: [i], value: unary('exp', at('S', i)) }));
    expect(single(y, [4], [S])).toHaveLength(2);
  });

  test('a copied index is gathered from the source', () => {
    const ids = input('ids', [3], 'i32');
    const again = computed('again', [3], [over({ b: 3 }, ({ b }) => ({ store: [b], value: at('ids', b) }))], 'i32');
    const y = over({ b: 3 }, ({ b }) => ({ store: [b], value: at('x', gather('again', b)) }));
    const before = program([x, ids, again, computed('y', [3], [y])], ['y']);
    const lines = printProgram(simplify(before)).split('\n');
    expect(lines).toContain('  y[b] sum= x[ids[b]]   over b: 3');
  });

  test('constants and zeros are read as numbers', () => {
    const two = computed('two', [4], [over({ i: 4 }, ({ i }) => ({ store: [i], value: constant(2) }))]);
    const none = computed('none', [4], []);
    const y = over({ i: 4 }, ({ i }) => ({
      store: [i],
      value: sum([product([at('two', i), at('x', i)]), at('none', i)]),
    }));
    expect(single(y, [4], [two, none])).toEqual(['y[i] sum= 2 * x[i] | over i: 4']);
  });

  test('an output that repeats a tensor takes its place', () => {
    const z = computed('z', [4], [over({ i: 4 }, ({ i }) => ({ store: [i], value: unary('exp', at('x', i)) }))]);
    expect(
      single(
        over({ j: 4 }, ({ j }) => ({ store: [j], value: at('z', j) })),
        [4],
        [z],
      ),
    ).toEqual(['y[i] sum= exp(x[i]) | over i: 4']);
  });

  test('equal computations are done once, whatever their axes are called and in whatever order they stand', () => {
    const W = param('W', [4, 4]);
    const p = over({ i: 4, j: 4 }, ({ i, j }) => ({ store: [i], value: product([at('W', i, j), at('x', j)]) }));
    const q = over({ r: 4, s: 4 }, ({ r, s }) => ({ store: [s], value: product([at('x', r), at('W', s, r)]) }));
    const y = over({ i: 4 }, ({ i }) => ({ store: [i], value: divide(unary('exp', at('p', i)), at('q', i)) }));
    expect(single(y, [4], [W, computed('p', [4], [p]), computed('q', [4], [q])])).toEqual([
      'p[i] sum= W[i, j] * x[j] | over i: 4, j: 4',
      'y[i] sum= exp(p[i]) / p[i] | over i: 4',
    ]);
  });

  test('two equal outputs are one computation and a copy', () => {
    const e = over({ i: 4 }, ({ i }) => ({ store: [i], value: unary('exp', at('x', i)) }));
    const before = program([x, computed('a', [4], [e]), computed('b', [4], [e])], ['a', 'b']);
    expect(simplified(before)).toEqual(['a[i] sum= exp(x[i]) | over i: 4', 'b[i0] sum= a[i0] | over i0: 4']);
  });

  test('what only an update needs stays', () => {
    const next = computed(
      'next',
      [4],
      [over({ i: 4 }, ({ i }) => ({ store: [i], value: sum([at('x', i), constant(1)]) }))],
    );
    const before = program([x, next], [], [{ state: 'x', next: 'next' }]);
    expect(simplified(before)).toEqual(['next[i] sum= x[i] + 1 | over i: 4']);
  });
});
