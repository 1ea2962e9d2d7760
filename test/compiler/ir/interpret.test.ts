import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, param, program } from '../../../compiler/ir/build.ts';
import { binary, constant, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import { interpret, nextInputs } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { drawNormal, drawUniform } from '../../../compiler/ir/philox.ts';
import type { Equation, Expression, Reducer, Tensor } from '../../../compiler/ir/program.ts';

const x4 = ndarray([4], [3, -1, 4, -1]);

/** The elements of a tensor of the given shape that these equations define, from x = [3, -1, 4, -1]. */
function evaluate(shape: readonly number[], equations: readonly Equation[], more: readonly Tensor[] = []): number[] {
  const p = program([input('x', [4]), ...more, computed('y', shape, equations)], ['y']);
  return [...(interpret(p, new Map([['x', x4]]), ['y']).get('y')?.data ?? [])];
}

describe('equations', () => {
  test('a contraction is the sum over the axes that do not stand in the store map', () => {
    const p = program(
      [
        input('W', [2, 3]),
        input('x', [3]),
        computed(
          'y',
          [2],
          [over({ i: 2, j: 3 }, ({ i, j }) => ({ store: [i], value: product([at('W', i, j), at('x', j)]) }))],
        ),
      ],
      ['y'],
    );
    const values = interpret(
      p,
      new Map([
        ['W', ndarray([2, 3], [1, 2, 3, 4, 5, 6])],
        ['x', ndarray([3], [1, 10, 100])],
      ]),
    );
    expect([...values.keys()]).toEqual(['W', 'x', 'y']);
    expect([...(values.get('y')?.data ?? [])]).toEqual([321, 654]);
  });

  test('equations of one tensor add, and what none writes is 0', () => {
    const diagonal = over({ i: 2 }, ({ i }) => ({ store: [i, i], value: at('x', i) }));
    const block = over({ k: 2, p: 2 }, ({ k, p }) => ({ store: [k, add(scale(k, 2), p)], value: constant(10) }));
    expect(evaluate([2, 4], [diagonal, block])).toEqual([13, 10, 0, 0, 0, -1, 10, 10]);
  });

  test('scalars have no axes', () => {
    expect(evaluate([], [over({ i: 4 }, ({ i }) => ({ store: [], value: at('x', i) }))])).toEqual([5]);
    expect(evaluate([], [over({}, () => ({ store: [], value: at('x', 2) }))])).toEqual([4]);
  });

  test('the domain excludes points, values included', () => {
    const shifted = over({ i: 4 }, ({ i }) => ({
      domain: [atLeastZero(subtract(i, affine(1)))],
      store: [i],
      value: at('x', subtract(i, affine(1))),
    }));
    expect(evaluate([4], [shifted])).toEqual([0, 3, -1, 4]);
    const triangle = over({ i: 4, j: 4 }, ({ i, j }) => ({
      domain: [atLeastZero(subtract(i, j)), { kind: 'nonzero', affine: subtract(j, affine(2)) }],
      store: [i],
      value: at('x', j),
    }));
    expect(evaluate([4], [triangle])).toEqual([3, 2, 2, 1]);
  });

  test('a select evaluates only the branch it takes', () => {
    const guarded = over({ i: 4 }, ({ i }) => ({
      store: [i],
      value: select(
        { kind: 'domain', constraints: [atLeastZero(subtract(i, affine(1)))] },
        at('x', subtract(i, affine(1))),
        constant(7),
      ),
    }));
    expect(evaluate([4], [guarded])).toEqual([7, 3, -1, 4]);
  });

  test('a load outside its tensor throws', () => {
    const shifted = over({ i: 4 }, ({ i }) => ({ store: [i], value: at('x', add(i, affine(1))) }));
    expect(() => evaluate([4], [shifted])).toThrow('x[4] lies outside its shape [4]');
  });

  test.each<[Reducer, number]>([
    ['sum', 5],
    ['max', 4],
    ['min', -1],
    ['logsumexp', Math.log(Math.exp(3) + 2 * Math.exp(-1) + Math.exp(4))],
  ])('%s', (reducer, expected) => {
    const all = over({ i: 4 }, ({ i }) => ({ store: [], reducer, value: at('x', i) }));
    expect(evaluate([], [all])[0]).toBeCloseTo(expected, 14);
    // Of element 0 nothing is present.
    const rows = over({ r: 2, i: 4 }, ({ r, i }) => ({
      domain: [atLeastZero(subtract(r, affine(1)))],
      store: [r],
      reducer,
      value: at('x', i),
    }));
    const [nothing, something] = evaluate([2], [rows]);
    expect(nothing).toBe(0);
    expect(something).toBeCloseTo(expected, 14);
  });

  test('logsumexp neither overflows nor loses infinities', () => {
    const of = (...values: number[]): number => {
      const p = program(
        [
          input('z', [values.length]),
          computed(
            'y',
            [],
            [over({ i: values.length }, ({ i }) => ({ store: [], reducer: 'logsumexp', value: at('z', i) }))],
          ),
        ],
        ['y'],
      );
      return interpret(p, new Map([['z', ndarray([values.length], values)]])).get('y')!.data[0];
    };
    expect(of(1000, 1000)).toBeCloseTo(1000 + Math.LN2, 12);
    expect(of(-1000, -1000)).toBeCloseTo(-1000 + Math.LN2, 12);
    expect(of(-Infinity, 2)).toBe(2);
    expect(of(-Infinity, -Infinity)).toBe(-Infinity);
    expect(of(Infinity, 1)).toBe(Infinity);
    expect(of(Number.NaN, 1)).toBeNaN();
  });
});

describe('gather', () => {
  const ids = input('ids', [3], 'i32');
  const inputs = new Map([
    ['x', x4],
    ['ids', ndarray([3], [2, 0, 2])],
  ]);

  test('in a load picks, in a store scatters and adds', () => {
    const picked = computed('p', [3], [over({ t: 3 }, ({ t }) => ({ store: [t], value: at('x', gather('ids', t)) }))]);
    const scattered = computed(
      's',
      [4],
      [over({ t: 3 }, ({ t }) => ({ store: [gather('ids', t)], value: { kind: 'index', affine: add(t, affine(1)) } }))],
    );
    const values = interpret(program([input('x', [4]), ids, picked, scattered], ['p', 's']), inputs);
    expect([...values.get('p')!.data]).toEqual([4, 3, 4]);
    expect([...values.get('s')!.data]).toEqual([2, 0, 4, 0]);
  });

  test('an i32 tensor is a number in a value', () => {
    const doubled = computed(
      'd',
      [3],
      [over({ t: 3 }, ({ t }) => ({ store: [t], value: product([constant(2), at('ids', t)]) }))],
    );
    expect([...interpret(program([ids, doubled], ['d']), inputs).get('d')!.data]).toEqual([4, 0, 4]);
  });

  test('an index outside throws', () => {
    const picked = computed('p', [3], [over({ t: 3 }, ({ t }) => ({ store: [t], value: at('x', gather('ids', t)) }))]);
    const bad = new Map(inputs).set('ids', ndarray([3], [2, 4, 2]));
    expect(() => interpret(program([input('x', [4]), ids, picked], ['p']), bad)).toThrow('x[4] lies outside');
  });
});

test('views and concats share a flat layout', () => {
  const p = program(
    [
      input('arena', [10]),
      { name: 'W', dtype: 'f32', shape: [2, 2], source: { kind: 'view', base: 'arena', offset: 1 } },
      input('g', [2]),
      {
        name: 'flat',
        dtype: 'f32',
        shape: [8],
        source: {
          kind: 'concat',
          parts: [
            { tensor: 'g', offset: 5 },
            { tensor: 'W', offset: 0 },
          ],
        },
      },
    ],
    ['flat'],
  );
  const inputs = new Map([
    ['arena', ndarray([10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])],
    ['g', ndarray([2], [-1, -2])],
  ]);
  expect([...interpret(p, inputs).get('flat')!.data]).toEqual([1, 2, 3, 4, 0, -1, -2, 0]);
});

test('updates carry state from run to run', () => {
  const next = computed('n.next', [], [over({}, () => ({ store: [], value: product([at('n'), constant(3)]) }))]);
  const p = program([input('n', []), next], [], [{ state: 'n', next: 'n.next' }]);
  let inputs = new Map([['n', ndarray([], [2])]]);
  for (let run = 0; run < 3; run++) inputs = nextInputs(p, inputs, interpret(p, inputs));
  expect(inputs.get('n')!.data[0]).toBe(54);
});

test('only what was asked for is computed', () => {
  const bad = computed('bad', [1], [over({ i: 1 }, ({ i }) => ({ store: [i], value: at('x', add(i, affine(9))) }))]);
  const good = computed('good', [1], [over({ i: 1 }, ({ i }) => ({ store: [i], value: at('x', i) }))]);
  const p = program([input('x', [4]), bad, good], ['good']);
  expect(interpret(p, new Map([['x', x4]]), ['good']).get('good')!.data[0]).toBe(3);
  expect(() => interpret(p, new Map([['x', x4]]))).toThrow();
  expect(() => interpret(p, new Map(), ['good'])).toThrow('no value for the input x');
  expect(() => interpret(p, new Map([['x', ndarray([2], [1, 2])]]), ['good'])).toThrow(
    'has shape [4], but was given [2]',
  );
});

test('draws depend on seed, stream, step and element alone', () => {
  const draw = (distribution: 'uniform' | 'normal'): Equation =>
    over({ i: 3 }, ({ i }) => ({
      store: [i],
      value: {
        kind: 'random',
        distribution,
        seed: at('seed'),
        stream: 5,
        step: at('step'),
        element: add(i, affine(7)),
      },
    }));
  const p = program(
    [
      input('seed', [], 'i32'),
      input('step', [], 'i32'),
      computed('u', [3], [draw('uniform')]),
      computed('n', [3], [draw('normal')]),
    ],
    ['u', 'n'],
  );
  const values = interpret(
    p,
    new Map([
      ['seed', ndarray([], [11])],
      ['step', ndarray([], [13])],
    ]),
  );
  expect([...values.get('u')!.data]).toEqual([7, 8, 9].map((element) => drawUniform(11, 5, 13, element)));
  expect([...values.get('n')!.data]).toEqual([7, 8, 9].map((element) => drawNormal(11, 5, 13, element)));
});

test('every comparison, minimum, maximum and power', () => {
  const value = (e: Expression): number => evaluate([], [over({}, () => ({ store: [], value: e }))])[0];
  const compare = (operator: '<' | '<=' | '>' | '>=' | '==' | '!=', a: number, b: number): number =>
    value(select({ kind: 'compare', operator, left: constant(a), right: constant(b) }, constant(1), constant(0)));
  const pairs = [
    [1, 2],
    [2, 2],
    [3, 2],
  ] as const;
  const table = {
    '<': [1, 0, 0],
    '<=': [1, 1, 0],
    '>': [0, 0, 1],
    '>=': [0, 1, 1],
    '==': [0, 1, 0],
    '!=': [1, 0, 1],
  } as const;
  for (const operator of Object.keys(table) as (keyof typeof table)[]) {
    expect(pairs.map(([a, b]) => compare(operator, a, b))).toEqual(table[operator]);
  }
  expect(value(binary('minimum', constant(1), constant(2)))).toBe(1);
  expect(value(binary('maximum', constant(1), constant(2)))).toBe(2);
  expect(value(binary('power', constant(2), constant(10)))).toBe(1024);
  expect(value(binary('divide', constant(1), constant(4)))).toBe(0.25);
  expect(value(sum([constant(1), at('x', 0), at('x', 1)]))).toBe(3);
  expect(value(unary('negate', at('x', 0)))).toBe(-3);
});

test('params are given by the caller', () => {
  expect(interpret(program([param('W', [1])], ['W']), new Map([['W', ndarray([1], [4])]])).get('W')!.data[0]).toBe(4);
});
