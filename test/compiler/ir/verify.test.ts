import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, inOrder, input, over, program } from '../../../compiler/ir/build.ts';
import { constant, select } from '../../../compiler/ir/expression.ts';
import { findPoint } from '../../../compiler/ir/feasible.ts';
import type {
  Affine,
  AffineConstraint,
  Axis,
  Constraint,
  Equation,
  Program,
  Tensor,
} from '../../../compiler/ir/program.ts';
import { assertValid, verify } from '../../../compiler/ir/verify.ts';

const x = input('x', [4]);
const copy = (target: string, source: string): Tensor =>
  computed(target, [4], [over({ i: 4 }, ({ i }) => ({ store: [i], value: at(source, i) }))]);
const define = (equation: Equation, more: readonly Tensor[] = []): Program =>
  program([x, ...more, computed('y', [4], [equation])], ['y']);

describe('broken rules', () => {
  const oneAxis: Affine = { kind: 'affine', constant: 0, terms: [{ axis: 0, coefficient: 1 }] };
  const eq = (parts: Partial<Equation>): Equation => ({
    axes: [{ name: 'i', extent: 4 }],
    domain: [],
    store: [oneAxis],
    reducer: 'sum',
    value: at('x', oneAxis),
    ...parts,
  });
  const axis1: Affine = { kind: 'affine', constant: 0, terms: [{ axis: 1, coefficient: 1 }] };
  const flat = (name: string, count: number): Tensor => ({
    name,
    dtype: 'f32',
    shape: [count],
    source: { kind: 'input' },
  });
  const cases: readonly (readonly [string, Program, string])[] = [
    ['order', program([copy('y', 'x'), x], []), 'reads x, which comes after it'],
    ['missing', program([copy('y', 'q')], []), 'reads q, which is nowhere'],
    ['twice', program([x, x], []), 'used twice'],
    ['output', program([x], ['y']), 'the output y is nowhere'],
    ['output twice', program([x], ['x', 'x']), 'listed twice'],
    ['shape', program([input('x', [0])], []), 'not of whole sizes'],
    ['extent', define(eq({ axes: [{ name: 'i', extent: 0 }] })), 'has extent 0'],
    ['axis', define(eq({ value: at('x', axis1) })), 'an axis that is not there'],
    [
      'normal form',
      define(eq({ value: { kind: 'index', affine: { ...axis1, terms: [{ axis: 0, coefficient: 0 }] } } })),
      'normal form',
    ],
    ['index count', define(eq({ value: at('x', oneAxis, oneAxis) })), '2 indices for x: f32[4]'],
    ['store count', define(eq({ store: [] })), '0 indices for y: f32[4]'],
    ['load outside', define(eq({ value: at('x', add(oneAxis, affine(1))) })), 'at i = 3 does leave 0 .. 3'],
    ['load below', define(eq({ value: at('x', subtract(oneAxis, affine(1))) })), 'at i = 0 does leave 0 .. 3'],
    ['store outside', define(eq({ store: [scale(oneAxis, 2)] })), 'the index 2*i of y: f32[4]'],
    ['gather type', define(eq({ value: at('x', gather('x', oneAxis)) })), 'x: f32[4] is not i32'],
    ['gather inside', define(eq({ value: at('x', gather('n', oneAxis)) }), [input('n', [2], 'i32')]), 'leave 0 .. 1'],
    ['reducer', program([x, computed('y', [4], [eq({ reducer: 'max' }), eq({})])], []), 'a reducer other than sum'],
    [
      'view base',
      program([input('m', [2, 2]), { ...x, name: 'v', source: { kind: 'view', base: 'm', offset: 0 } }], []),
      'not flat',
    ],
    ['view end', program([x, { ...x, name: 'v', source: { kind: 'view', base: 'x', offset: 1 } }], []), 'leaves x'],
    [
      'concat overlap',
      program(
        [
          x,
          {
            ...flat('c', 9),
            source: {
              kind: 'concat',
              parts: [
                { tensor: 'x', offset: 3 },
                { tensor: 'x', offset: 0 },
              ],
            },
          },
        ],
        [],
      ),
      'overlaps',
    ],
    [
      'concat end',
      program([x, { ...flat('c', 4), source: { kind: 'concat', parts: [{ tensor: 'x', offset: 1 }] } }], []),
      'not fit',
    ],
    ['state', program([x, copy('y', 'x')], [], [{ state: 'y', next: 'x' }]), 'not given by the caller'],
    ['update shape', program([x, flat('z', 3)], [], [{ state: 'x', next: 'z' }]), 'changes x: f32[4] into z: f32[3]'],
    [
      'update twice',
      program(
        [x],
        [],
        [
          { state: 'x', next: 'x' },
          { state: 'x', next: 'x' },
        ],
      ),
      'updated twice',
    ],
    ['lone product', define(eq({ value: { kind: 'product', factors: [constant(1)] } })), 'a product of 1'],
    [
      'a comparison guards nothing',
      define(
        eq({
          value: select(
            { kind: 'compare', operator: '>', left: constant(1), right: constant(0) },
            constant(0),
            at('x', add(oneAxis, affine(1))),
          ),
        }),
      ),
      'does leave',
    ],
  ];
  test.each(cases)('%s', (_, p, expected) => {
    expect(verify(p).join('\n')).toContain(expected);
    expect(() => assertValid(p, 'nothing')).toThrow(expected);
  });
});

describe('loads that a domain keeps inside', () => {
  const last = (a: Affine, value: number): Constraint => atLeastZero(subtract(affine(value), a));
  test('by a constraint on one axis, on two, and by a select on either side', () => {
    const valid = [
      over({ i: 4 }, ({ i }) => ({
        domain: [atLeastZero(subtract(i, affine(1)))],
        store: [i],
        value: at('x', subtract(i, affine(1))),
      })),
      over({ i: 4, j: 4 }, ({ i, j }) => ({
        domain: [atLeastZero(subtract(i, j))],
        store: [i],
        value: at('x', subtract(i, j)),
      })),
      over({ i: 4, j: 4 }, ({ i, j }) => ({
        domain: [last(add(i, j), 3)],
        store: [add(i, j)],
        value: constant(1),
      })),
      over({ i: 5 }, ({ i }) => ({
        domain: [{ kind: 'nonzero', affine: subtract(i, affine(4)) }],
        store: [i],
        value: at('x', i),
      })),
      over({ i: 4 }, ({ i }) => ({
        store: [i],
        value: select(
          { kind: 'domain', constraints: [last(i, 2), atLeastZero(i)] },
          at('x', add(i, affine(1))),
          at('x', subtract(i, affine(3))),
        ),
      })),
    ];
    for (const equation of valid) expect(verify(define(equation))).toEqual([]);
  });
});

describe('findPoint', () => {
  const axes = (...extents: number[]): Axis[] => extents.map((extent, i) => ({ name: `a${i}`, extent }));
  const form = (constant: number, ...coefficients: number[]): Affine =>
    affine(
      constant,
      coefficients.map((coefficient, axis) => ({ axis, coefficient })),
    );

  test('agrees with enumeration', () => {
    let state = 1;
    const next = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const found = { point: 0, none: 0, unknown: 0 };
    for (let trial = 0; trial < 400; trial++) {
      const box = axes(1 + next(6), 1 + next(6), 1 + next(6));
      const constraints = Array.from(
        { length: 1 + next(4) },
        (): AffineConstraint => ({
          kind: (['nonnegative', 'zero', 'nonzero'] as const)[next(3)],
          affine: form(next(9) - 5, next(5) - 2, next(5) - 2, next(5) - 2),
        }),
      );
      const meets = (p: readonly number[]): boolean =>
        constraints.every(({ kind, affine: a }) => {
          const value = a.terms.reduce((total, term) => total + term.coefficient * p[term.axis], a.constant);
          return kind === 'nonnegative' ? value >= 0 : kind === 'zero' ? value === 0 : value !== 0;
        });
      let exists = false;
      for (let i = 0; i < box[0].extent; i++)
        for (let j = 0; j < box[1].extent; j++) for (let k = 0; k < box[2].extent; k++) exists ||= meets([i, j, k]);
      const result = findPoint(box, constraints);
      found[result.kind]++;
      if (result.kind === 'point') expect(meets(result.point)).toBe(true);
      expect(result.kind).toBe(exists ? 'point' : 'none');
    }
    expect(found.point).toBeGreaterThan(50);
    expect(found.none).toBeGreaterThan(50);
  });

  test('decides large boxes', () => {
    const huge = axes(4096, 4096, 4096);
    // u <= t, t - u <= w: the offset t - u into a window of w + 1.
    const window = [atLeastZero(form(0, 1, -1)), atLeastZero(form(128, -1, 1))];
    expect(findPoint(huge, [...window, atLeastZero(form(-129, 1, -1))]).kind).toBe('none');
    expect(findPoint(huge, [...window, atLeastZero(form(-128, 1, -1))]).kind).toBe('point');
    expect(findPoint(huge, [atLeastZero(form(0, 1, -1)), atLeastZero(form(-1, -1, 1))]).kind).toBe('none');
    expect(findPoint(huge, [{ kind: 'zero', affine: form(-1, 2, 2, -4) }]).kind).toBe('none');
  });
});

test('inOrder sorts and refuses cycles', () => {
  const names = inOrder([copy('c', 'b'), copy('b', 'a'), x, copy('a', 'x')]).map((tensor) => tensor.name);
  expect(names).toEqual(['x', 'a', 'b', 'c']);
  expect(() => inOrder([copy('a', 'b'), copy('b', 'a')])).toThrow('depends on itself');
});
