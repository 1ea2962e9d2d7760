import { describe, expect, test } from 'vitest';
import { add, affine, scale, subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, gather, input, over, param, program } from '../../../../compiler/ir/build.ts';
import { equationsOf } from '../../../../compiler/ir/equation.ts';
import { binary, constant, negate, product, select, sum, unary } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import type { NdArray } from '../../../../compiler/ir/ndarray.ts';
import { ndarray } from '../../../../compiler/ir/ndarray.ts';
import { printProgram, printTensor } from '../../../../compiler/ir/print.ts';
import type {
  Affine,
  BinaryOperator,
  Equation,
  Expression,
  Program,
  Reducer,
  UnaryOperator,
} from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { binaryDerivatives, unaryDerivatives } from '../../../../compiler/passes/differentiate/derivatives.ts';
import { differentiate } from '../../../../compiler/passes/differentiate/differentiate.ts';
import { checkGradients } from '../../../support/check-gradients.ts';
import { cpuTimeMs } from '../../../support/cpu-time.ts';
import { integers, normals, uniforms } from '../../../support/random-values.ts';

/** What differentiation added to a program, printed. */
function added(p: Program, wrt: readonly string[], seeds: Record<string, 'input' | 'one'> = { y: 'input' }): string {
  const before = new Set(p.tensors.map((tensor) => tensor.name));
  const after = differentiate(p, { seeds, wrt });
  expect(verify(after)).toEqual([]);
  return after.tensors
    .filter((tensor) => !before.has(tensor.name))
    .map((tensor) => `${printTensor(tensor)}\n`)
    .join('');
}

const vector = (value: Expression, ...names: string[]): Program =>
  program(
    [
      ...names.map((name) => input(name, [3])),
      computed('y', [3], [over({ i: 3 }, ({ i }) => ({ store: [i], value }))]),
    ],
    ['y'],
  );
const i0 = affine(0, [{ axis: 0, coefficient: 1 }]);
const x = at('x', i0);

describe('equations of the gradient', () => {
  test('a contraction exchanges maps', () => {
    const p = program(
      [
        param('W', [4, 3]),
        input('x', [2, 3]),
        computed(
          'y',
          [2, 4],
          [
            over({ b: 2, i: 4, j: 3 }, ({ b, i, j }) => ({
              store: [b, i],
              value: product([at('W', i, j), at('x', b, j)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
    expect(printProgram(differentiate(p, { seeds: { y: 'input' }, wrt: ['W', 'x'] }))).toBe(`\
param W: f32[4, 3] ~ normal(std = 1)
input x: f32[2, 3]
tensor y: f32[2, 4]
  y[b, i] sum= W[i, j] * x[b, j]   over b: 2, i: 4, j: 3
input cot.y: f32[2, 4]
tensor grad.x: f32[2, 3]
  grad.x[b, j] sum= cot.y[b, i] * W[i, j]   over b: 2, i: 4, j: 3
tensor grad.W: f32[4, 3]
  grad.W[i, j] sum= cot.y[b, i] * x[b, j]   over b: 2, i: 4, j: 3
output y, grad.W, grad.x
`);
  });

  test('slices, diagonals and domains turn around', () => {
    const p = program(
      [
        input('x', [5]),
        computed(
          'D',
          [4, 4],
          [
            over({ i: 4 }, ({ i }) => ({
              domain: [atLeastZero(subtract(affine(2), i))],
              store: [i, i],
              value: at('x', add(i, affine(1))),
            })),
          ],
        ),
        computed('y', [4], [over({ i: 4 }, ({ i }) => ({ store: [i], value: at('D', i, i) }))]),
      ],
      ['y'],
    );
    expect(added(p, ['x'])).toBe(`\
input cot.y: f32[4]
tensor cot~D: f32[4, 4]
  cot~D[i, i] sum= cot.y[i]   over i: 4
tensor grad.x: f32[5]
  grad.x[i + 1] sum= cot~D[i, i]   over i: 4   where 2 - i >= 0
`);
  });

  test('exp, tanh, sigmoid, sqrt and quotients load their stored result', () => {
    expect(added(vector(unary('exp', x), 'x'), ['x'])).toContain('grad.x[i] sum= cot.y[i] * y[i]');
    expect(added(vector(unary('tanh', x), 'x'), ['x'])).toContain('cot.y[i] * (-1 * y[i] * y[i] + 1)');
    expect(added(vector(unary('sigmoid', x), 'x'), ['x'])).toContain('cot.y[i] * y[i] * (-1 * y[i] + 1)');
    expect(added(vector(unary('sqrt', x), 'x'), ['x'])).toContain('0.5 * cot.y[i] * (1 / y[i])');
    expect(added(vector(binary('divide', x, at('z', i0)), 'x', 'z'), ['z'])).toContain(
      '-1 * cot.y[i] * y[i] * (1 / z[i])',
    );
  });

  test('a result that holds more than the one value is not used', () => {
    const p = program(
      [
        input('x', [3]),
        computed('y', [], [over({ i: 3 }, ({ i }) => ({ store: [], value: unary('exp', at('x', i)) }))]),
      ],
      ['y'],
    );
    expect(added(p, ['x'])).toContain('grad.x[i] sum= cot.y * exp(x[i])');
    const twice = over({ i: 3 }, ({ i }) => ({ store: [i], value: unary('exp', at('x', i)) }));
    expect(added(program([input('x', [3]), computed('y', [3], [twice, twice])], ['y']), ['x'])).toContain(
      'cot.y[i] * exp(x[i])',
    );
  });

  test('constants fold, what is zero goes', () => {
    expect(added(vector(product([constant(3), x]), 'x'), ['x'])).toContain('sum= 3 * cot.y[i]');
    expect(added(vector(sum([x, at('z', i0)]), 'x', 'z'), ['x'])).toContain('grad.x[i] sum= cot.y[i]   over');
    expect(added(vector(binary('power', x, constant(2)), 'x'), ['x'])).toContain('sum= 2 * cot.y[i] * x[i]');
    expect(added(vector(binary('power', x, constant(0)), 'x'), ['x'])).toContain('tensor grad.x: f32[3]\n');
    expect(added(vector(unary('sign', x), 'x'), ['x'])).not.toContain('sum=');
  });

  test('one equation for a load that stands in several places of a value, one each for factors of a product', () => {
    expect(added(vector(product([x, unary('sigmoid', x)]), 'x'), ['x']).match(/sum=/g)).toHaveLength(1);
    expect(added(vector(product([x, x, at('z', i0)]), 'x', 'z'), ['x']).match(/sum=/g)).toHaveLength(2);
  });

  test('a scalar loss starts from 1, and a tensor that takes no part has gradient 0', () => {
    const p = program(
      [
        input('x', [3]),
        input('unused', [2]),
        computed('loss', [], [over({ i: 3 }, ({ i }) => ({ store: [], value: at('x', i) }))]),
      ],
      ['loss'],
    );
    expect(added(p, ['unused', 'x'], { loss: 'one' })).toBe(`\
tensor cot.loss: f32[]
  cot.loss sum= 1
tensor grad.x: f32[3]
  grad.x[i] sum= cot.loss   over i: 3
tensor grad.unused: f32[2]
`);
  });

  test('what cannot be differentiated is refused', () => {
    const p = program([input('n', [2], 'i32'), input('x', [2])], ['x']);
    expect(() => differentiate(p, { seeds: { x: 'input' }, wrt: ['n'] })).toThrow('it holds integers');
    expect(() => differentiate(p, { seeds: { x: 'input' }, wrt: ['q'] })).toThrow('no such tensor');
    expect(() => differentiate(p, { seeds: { x: 'one' }, wrt: ['x'] })).toThrow('not a scalar');
  });

  test('an output that is itself asked for, and one that others read', () => {
    const p = program(
      [
        input('x', [2]),
        computed('y', [2], [over({ i: 2 }, ({ i }) => ({ store: [i], value: product([constant(3), at('x', i)]) }))]),
        computed('z', [], [over({ i: 2 }, ({ i }) => ({ store: [], value: product([at('y', i), at('y', i)]) }))]),
      ],
      ['y', 'z'],
    );
    const derived = differentiate(p, { seeds: { y: 'input', z: 'one' }, wrt: ['x', 'y'] });
    const values = interpret(
      derived,
      new Map([
        ['x', ndarray([2], [1, 2])],
        ['cot.y', ndarray([2], [10, 20])],
      ]),
    );
    expect([...values.get('grad.y')!.data]).toEqual([10 + 2 * 3, 20 + 2 * 6]);
    expect([...values.get('grad.x')!.data]).toEqual([48, 96]);
  });
});

describe('operators against central differences', () => {
  /** Where each is smooth, away from its kinks. */
  const ranges: Partial<Record<UnaryOperator, readonly [number, number]>> = {
    log: [0.5, 2],
    sqrt: [0.5, 2],
    rsqrt: [0.5, 2],
  };
  const operators = Object.keys(unaryDerivatives) as UnaryOperator[];
  test.each(operators)('%s', (operator) => {
    const [low, high] = ranges[operator] ?? [-2, 2];
    // 0 stands 0.01 away from every value.
    const values = uniforms([7], 5, low, high).data.map((v) => (Math.abs(v) < 0.01 ? 0.5 : v));
    const equation = over({ i: 7 }, ({ i }) => ({ store: [i], value: unary(operator, at('x', i)) }));
    const nested = over({ i: 7 }, ({ i }) => ({
      store: [],
      value: product([at('z', i), unary(operator, product([constant(0.9), at('x', i)])), constant(2)]),
    }));
    const p = program(
      [input('x', [7]), input('z', [7]), computed('y', [7], [equation]), computed('w', [], [nested])],
      ['y', 'w'],
    );
    checkGradients({
      program: p,
      inputs: new Map([
        ['x', ndarray([7], values)],
        ['z', normals([7], 1)],
      ]),
      wrt: ['x', 'z'],
    });
  });

  const ofWholeNumbers: readonly BinaryOperator[] = ['quotient', 'remainder'];
  const ofReals = (Object.keys(binaryDerivatives) as BinaryOperator[]).filter((name) => !ofWholeNumbers.includes(name));
  test.each(ofReals)('%s', (operator) => {
    const equation = over({ i: 7 }, ({ i }) => ({ store: [i], value: binary(operator, at('a', i), at('b', i)) }));
    const shared = over({ i: 7 }, ({ i }) => ({
      store: [],
      value: product([at('a', i), binary(operator, at('b', i), at('a', i))]),
    }));
    const p = program(
      [input('a', [7]), input('b', [7]), computed('y', [7], [equation]), computed('w', [], [shared])],
      ['y', 'w'],
    );
    const inputs = new Map([
      ['a', uniforms([7], 1, 0.5, 2)],
      ['b', uniforms([7], 2, 0.5, 2)],
    ]);
    checkGradients({ program: p, inputs, wrt: ['a', 'b'] });
  });

  test.each(ofWholeNumbers)('%s of whole numbers: a factor and an exponent, without a slope of its own', (operator) => {
    const whole = (i: Affine): Expression =>
      binary(operator, sum([at('n', i), { kind: 'index', affine: i }]), constant(3));
    const p = program(
      [
        input('x', [7]),
        input('n', [7], 'i32'),
        computed('y', [7], [over({ i: 7 }, ({ i }) => ({ store: [i], value: product([at('x', i), whole(i)]) }))]),
        computed('w', [], [over({ i: 7 }, ({ i }) => ({ store: [], value: binary('power', at('x', i), whole(i)) }))]),
      ],
      ['y', 'w'],
    );
    const inputs = new Map([
      ['x', uniforms([7], 1, 0.5, 2)],
      ['n', integers([7], 2, 5)],
    ]);
    checkGradients({ program: p, inputs, wrt: ['x'] });
  });

  test.each([-2, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4])('power by the constant %f', (exponent) => {
    const p = vector(binary('power', x, constant(exponent)), 'x');
    checkGradients({ program: p, inputs: new Map([['x', uniforms([3], 1, 0.5, 2)]]), wrt: ['x'] });
  });

  test.each<Reducer>(['sum', 'max', 'min', 'logsumexp'])(
    'the reducer %s, over values that are not loads too',
    (reducer) => {
      const rows = (value: (i: Expression, j: Expression) => Expression): Equation =>
        over({ i: 3, j: 5 }, ({ i, j }) => ({
          domain: [{ kind: 'nonzero', affine: subtract(i, j) }],
          store: [i],
          reducer,
          value: value(at('x', i, j), at('z', j)),
        }));
      const p = program(
        [
          input('x', [3, 5]),
          input('z', [5]),
          computed('a', [3], [rows((u) => u)]),
          computed('b', [3], [rows((u, v) => product([u, v]))]),
          computed('c', [3], [rows((u, v) => unary('tanh', sum([u, v])))]),
        ],
        ['a', 'b', 'c'],
      );
      checkGradients({
        program: p,
        inputs: new Map([
          ['x', normals([3, 5], 3)],
          ['z', normals([5], 4)],
        ]),
        wrt: ['x', 'z'],
      });
    },
  );
});

describe('kinks and edges', () => {
  const gradientAt = (value: Expression, inputs: Record<string, readonly number[]>, wrt: string): number[] => {
    const names = Object.keys(inputs);
    const p = vector(value, ...names);
    const given = new Map<string, NdArray>(names.map((name) => [name, ndarray([3], inputs[name])]));
    given.set('cot.y', ndarray([3], [1, 1, 1]));
    return [...interpret(differentiate(p, { seeds: { y: 'input' }, wrt: [wrt] }), given).get(`grad.${wrt}`)!.data];
  };
  const z = at('z', i0);

  test('relu, abs and sign give 0 at 0', () => {
    expect(gradientAt(unary('relu', x), { x: [-1, 0, 1] }, 'x')).toEqual([0, 0, 1]);
    expect(gradientAt(unary('abs', x), { x: [-1, 0, 1] }, 'x')).toEqual([-1, 0, 1]);
    expect(gradientAt(unary('sign', x), { x: [-1, 0, 1] }, 'x')).toEqual([0, 0, 0]);
  });

  test('maximum and minimum give to the first in a tie', () => {
    const inputs = { x: [1, 2, 3], z: [2, 2, 2] };
    expect(gradientAt(binary('maximum', x, z), inputs, 'x')).toEqual([0, 1, 1]);
    expect(gradientAt(binary('maximum', x, z), inputs, 'z')).toEqual([1, 0, 0]);
    expect(gradientAt(binary('minimum', x, z), inputs, 'x')).toEqual([1, 1, 0]);
    expect(gradientAt(binary('minimum', x, z), inputs, 'z')).toEqual([0, 0, 1]);
  });

  test('powers at 0', () => {
    expect(gradientAt(binary('power', x, z), { x: [0, 0, 0], z: [0, 1, 2] }, 'x')).toEqual([0, 1, 0]);
    expect(gradientAt(binary('power', x, z), { x: [0, 0, 1], z: [0, 2, 5] }, 'z')).toEqual([0, 0, 0]);
    expect(gradientAt(binary('power', x, constant(0)), { x: [0, 1, 2] }, 'x')).toEqual([0, 0, 0]);
    expect(gradientAt(binary('power', x, constant(2)), { x: [-3, 0, 2] }, 'x')).toEqual([-6, 0, 4]);
    expect(gradientAt(unary('sqrt', x), { x: [0, 1, 4] }, 'x')).toEqual([Infinity, 0.5, 0.25]);
  });

  test('a branch that is not taken adds nothing, not even NaN', () => {
    const positive = { kind: 'compare', operator: '>', left: x, right: constant(0) } as const;
    expect(gradientAt(select(positive, unary('log', x), product([x, x])), { x: [-3, 0, 2] }, 'x')).toEqual([
      -6, 0, 0.5,
    ]);
    expect(gradientAt(unary('relu', unary('log', x)), { x: [0, 0.5, 2] }, 'x')).toEqual([0, 0, 0.5]);
    expect(gradientAt(binary('maximum', constant(-5), unary('log', x)), { x: [0, 1, 2] }, 'x')).toEqual([0, 1, 0.5]);
  });

  test.each<Reducer>(['max', 'min'])('%s shares equally among ties', (reducer) => {
    const sign = reducer === 'max' ? 1 : -1;
    const p = program(
      [
        input('x', [2, 4]),
        computed('y', [2], [over({ i: 2, j: 4 }, ({ i, j }) => ({ store: [i], reducer, value: at('x', i, j) }))]),
      ],
      ['y'],
    );
    const inputs = new Map([
      [
        'x',
        ndarray(
          [2, 4],
          [1, 3, 3, 2, 5, 5, 5, 5].map((v) => sign * v),
        ),
      ],
      ['cot.y', ndarray([2], [1, 8])],
    ]);
    const derived = differentiate(p, { seeds: { y: 'input' }, wrt: ['x'] });
    expect(verify(derived)).toEqual([]);
    expect([...interpret(derived, inputs).get('grad.x')!.data]).toEqual([0, 0.5, 0.5, 0, 2, 2, 2, 2]);
  });

  test('a select on positions guards the store that its load becomes', () => {
    const shifted = (i: typeof i0): Expression =>
      select(
        { kind: 'domain', constraints: [atLeastZero(subtract(i, affine(1))), atLeastZero(subtract(affine(2), i))] },
        at('x', subtract(i, affine(1))),
        product([at('x', subtract(affine(3), i)), at('z', i)]),
      );
    const p = program(
      [
        input('x', [4]),
        input('z', [4]),
        computed('y', [4], [over({ i: 4 }, ({ i }) => ({ store: [i], value: shifted(i) }))]),
      ],
      ['y'],
    );
    checkGradients({
      program: p,
      inputs: new Map([
        ['x', normals([4], 1)],
        ['z', normals([4], 2)],
      ]),
      wrt: ['x', 'z'],
    });
  });
});

describe('softmax', () => {
  const softmax = (domain: boolean, swapped = false): Program => {
    const causal = (t: typeof i0, u: typeof i0) => (domain ? [atLeastZero(subtract(t, u))] : []);
    return program(
      [
        input('S', [4, 4]),
        input('V', [4, 2]),
        computed(
          'L',
          [4],
          [
            over({ t: 4, u: 4 }, ({ t, u }) => ({
              domain: causal(t, u),
              store: [t],
              reducer: 'logsumexp',
              value: at('S', t, u),
            })),
          ],
        ),
        computed(
          'A',
          [4, 4],
          [
            swapped
              ? over({ k: 4, q: 4 }, ({ k, q }) => ({
                  domain: causal(q, k),
                  store: [q, k],
                  value: unary('exp', sum([at('S', q, k), unary('negate', at('L', q))])),
                }))
              : over({ t: 4, u: 4 }, ({ t, u }) => ({
                  domain: causal(t, u),
                  store: [t, u],
                  value: unary('exp', sum([at('S', t, u), negate(at('L', t))])),
                })),
          ],
        ),
        computed(
          'y',
          [4, 2],
          [
            over({ t: 4, u: 4, c: 2 }, ({ t, u, c }) => ({
              store: [t, c],
              value: product([at('A', t, u), at('V', u, c)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
  };

  test.each([
    [false, false],
    [true, false],
    [true, true],
  ])('backward is A * (cot - …), causal %s, axes swapped %s', (domain, swapped) => {
    const p = softmax(domain, swapped);
    const text = added(p, ['S', 'V']);
    expect(text).not.toContain('exp(');
    expect(text).toContain(swapped ? 'sum= cot~A[q, k] * A[q, k]' : 'sum= cot~A[t, u] * A[t, u]');
    expect(text).toContain('grad.S[t, u] sum= cot~L[t] * A[t, u]');
    checkGradients({
      program: p,
      inputs: new Map([
        ['S', normals([4, 4], 1)],
        ['V', normals([4, 2], 2)],
      ]),
      wrt: ['S', 'V'],
    });
  });

  test('by hand: the gradient of a row sums to nothing and is A (cot - <A, cot>)', () => {
    const derived = differentiate(softmax(false), { seeds: { A: 'input' }, wrt: ['S'] });
    const inputs = new Map([
      ['S', ndarray([4, 4], [0, 0, 0, 0, 0, Math.log(2), 0, 0, 1, 2, 3, 4, 1, 1, 1, 1])],
      ['V', normals([4, 2], 0)],
      ['cot.A', ndarray([4, 4], [4, 0, 0, 0, 0, 5, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1])],
    ]);
    const rows = interpret(derived, inputs).get('grad.S')!.data;
    const expected = [0.75, -0.25, -0.25, -0.25, -0.4, 1.2, -0.4, -0.4, 0, 0, 0, 0, -0.125, 0.125, -0.125, 0.125];
    expected.forEach((value, i) => {
      expect(rows[i]).toBeCloseTo(value, 12);
    });
  });

  test('a different domain is not taken for the same softmax', () => {
    const p = softmax(true);
    const wider = { ...p, tensors: p.tensors.map((t) => (t.name === 'L' ? softmax(false).tensors[2] : t)) };
    expect(added(wider, ['S'])).toContain('exp(S[t, u] - 1 * L[t])');
    checkGradients({
      program: wider,
      inputs: new Map([
        ['S', normals([4, 4], 1)],
        ['V', normals([4, 2], 2)],
      ]),
      wrt: ['S'],
    });
  });
});

describe('gathers, views and concats', () => {
  test('a gather scatters back, repeated rows adding', () => {
    const p = program(
      [
        param('E', [4, 2]),
        input('ids', [3], 'i32'),
        computed(
          'y',
          [3, 2],
          [over({ t: 3, c: 2 }, ({ t, c }) => ({ store: [t, c], value: at('E', gather('ids', t), c) }))],
        ),
      ],
      ['y'],
    );
    expect(added(p, ['E'])).toContain('grad.E[ids[t], c] sum= cot.y[t, c]');
    const inputs = new Map([
      ['E', normals([4, 2], 1)],
      ['ids', ndarray([3], [2, 0, 2])],
    ]);
    checkGradients({ program: p, inputs, wrt: ['E'] });
    const derived = differentiate(p, { seeds: { y: 'input' }, wrt: ['E'] });
    const values = interpret(derived, new Map([...inputs, ['cot.y', ndarray([3, 2], [1, 2, 3, 4, 5, 6])]]));
    expect([...values.get('grad.E')!.data]).toEqual([3, 4, 0, 0, 6, 8, 0, 0]);
  });

  test('a scatter gathers back', () => {
    const p = program(
      [
        input('x', [5]),
        input('ids', [5], 'i32'),
        computed(
          'y',
          [3],
          [over({ t: 5 }, ({ t }) => ({ store: [gather('ids', t)], value: unary('tanh', at('x', t)) }))],
        ),
      ],
      ['y'],
    );
    checkGradients({
      program: p,
      inputs: new Map([
        ['x', normals([5], 1)],
        ['ids', integers([5], 2, 3)],
      ]),
      wrt: ['x'],
    });
  });

  test('a param in its arena, and an arena of results', () => {
    const p = program(
      [
        input('arena', [9]),
        { name: 'W', dtype: 'f32', shape: [2, 3], source: { kind: 'view', base: 'arena', offset: 2 } },
        computed(
          's',
          [3],
          [over({ i: 2, j: 3 }, ({ i, j }) => ({ store: [j], value: product([at('W', i, j), at('W', i, j)]) }))],
        ),
        {
          name: 'y',
          dtype: 'f32',
          shape: [11],
          source: {
            kind: 'concat',
            parts: [
              { tensor: 'W', offset: 4 },
              { tensor: 's', offset: 0 },
            ],
          },
        },
      ],
      ['y'],
    );
    const derived = checkGradients({ program: p, inputs: new Map([['arena', normals([9], 1)]]), wrt: ['arena'] });
    expect(derived.outputs).toEqual(['y', 'grad.arena']);
  });
});

describe('larger than life', () => {
  test('a sum of many terms under a function stays linear in size', () => {
    const count = 400;
    const many = sum(Array.from({ length: count }, (_, k) => product([constant(k + 1), at('x', affine(k))])));
    const p = program(
      [
        input('x', [count]),
        computed(
          'y',
          [],
          [over({}, () => ({ store: [], value: unary('tanh', product([constant(1e-5), many, many])) }))],
        ),
      ],
      ['y'],
    );
    const text = added(p, ['x']);
    expect(text.length).toBeLessThan(100_000);
    checkGradients({ program: p, inputs: new Map([['x', normals([count], 1)]]), wrt: ['x'], directions: 3 });
  });

  test('a product of n factors has a gradient of about 3n products', () => {
    const names = Array.from({ length: 100 }, (_, f) => `x${f}`);
    const p = vector(product(names.map((name) => at(name, i0))), ...names);
    const after = differentiate(p, { seeds: { y: 'input' }, wrt: names });
    expect(verify(after)).toEqual([]);
    const products = after.tensors
      .flatMap(equationsOf)
      .map(({ value }) => (value.kind === 'product' ? value.factors.length - 1 : 0));
    expect(products.reduce((all, one) => all + one, 0)).toBeLessThanOrEqual(300);
  });

  test('the gradient of a long product is right, a factor of 0 and a sum over it included', () => {
    const names = Array.from({ length: 11 }, (_, f) => `x${f}`);
    const value = sum([product(names.map((name) => at(name, i0))), at('x3', i0)]);
    const whole = computed('y', [], [over({ i: 3 }, () => ({ store: [], value }))]);
    const p = program([...names.map((name) => input(name, [3])), whole], ['y']);
    const inputs = new Map(names.map((name, f) => [name, normals([3], f + 1)]));
    (inputs.get('x5') as NdArray).data[1] = 0;
    checkGradients({ program: p, inputs, wrt: names });
  });

  test('what is stored apart keeps to the axes that it needs and the conditions that keep its loads inside', () => {
    const many = (i: typeof i0, j: typeof i0): Expression =>
      sum(
        Array.from({ length: 300 }, (_, k) =>
          product([constant(k / 1e4), at('x', subtract(i, j)), at('z', affine(k % 4))]),
        ),
      );
    const p = program(
      [
        input('x', [4]),
        input('z', [4]),
        computed(
          'y',
          [2],
          [
            over({ b: 2, i: 4, c: 2, j: 4 }, ({ b, i, j }) => ({
              domain: [atLeastZero(subtract(i, j)), { kind: 'nonzero', affine: subtract(b, i) }],
              store: [b],
              value: product([unary('tanh', many(i, j)), at('z', b)]),
            })),
          ],
        ),
        computed(
          'l',
          [4],
          [
            over({ i: 4, j: 4 }, ({ i, j }) => ({
              domain: [atLeastZero(subtract(i, j))],
              store: [i],
              reducer: 'logsumexp',
              value: many(i, j),
            })),
          ],
        ),
        computed(
          'm',
          [4],
          [
            over({ c: 3, i: 4, j: 4 }, ({ i, j }) => ({
              domain: [atLeastZero(subtract(i, j))],
              store: [i],
              reducer: 'max',
              value: unary('tanh', many(i, j)),
            })),
          ],
        ),
      ],
      ['y', 'l', 'm'],
    );
    const derived = checkGradients({
      program: p,
      inputs: new Map([
        ['x', normals([4], 1)],
        ['z', normals([4], 2)],
      ]),
      wrt: ['x', 'z'],
    });
    const shapes = Object.fromEntries(
      derived.tensors.filter((t) => /^[ylm]~[0-9]$/.test(t.name)).map((t) => [t.name, t.shape]),
    );
    expect(shapes).toEqual({ 'y~1': [2, 4, 4], 'y~2': [2, 4, 4], 'l~1': [4, 4], 'm~1': [4, 4], 'm~2': [4, 4] });
  });

  test('20,000 terms', () => {
    const count = 20_000;
    const many = sum(Array.from({ length: count }, (_, k) => at('x', affine(k % 7))));
    const equation = over({}, () => ({ store: [], value: unary('exp', many) }));
    const long = program([input('x', [7]), computed('y', [], [equation])], ['y']);
    const takenMs = cpuTimeMs(() => {
      expect(differentiate(long, { seeds: { y: 'one' }, wrt: ['x'] }).tensors.length).toBeGreaterThan(3);
    });
    expect(takenMs).toBeLessThan(5000);
  });
});

test('second derivatives', () => {
  const p = program(
    [
      input('x', [3]),
      input('z', [3]),
      computed(
        'y',
        [],
        [
          over({ i: 3 }, ({ i }) => ({
            store: [],
            value: product([
              unary('tanh', at('x', i)),
              binary('power', at('z', i), constant(3)),
              unary('sigmoid', sum([at('x', i), at('z', i)])),
            ]),
          })),
        ],
      ),
    ],
    ['y'],
  );
  const first = differentiate(p, { seeds: { y: 'one' }, wrt: ['x'] });
  const inputs = new Map([
    ['x', normals([3], 1)],
    ['z', normals([3], 2)],
  ]);
  // The gradient of <cot, grad.x> is held against differences of grad.x itself.
  const gradientOnly = { ...first, outputs: ['grad.x'] };
  checkSecond(gradientOnly, inputs);
});

function checkSecond(first: Program, inputs: ReadonlyMap<string, NdArray>): void {
  const second = differentiate(first, { seeds: { 'grad.x': 'input' }, wrt: ['x', 'z'] });
  expect(second.outputs).toEqual(['grad.x', 'grad.x~2', 'grad.z']);
  expect(verify(second)).toEqual([]);
  const cotangent = normals([3], 9);
  const values = interpret(second, new Map([...inputs, ['cot.grad.x', cotangent]]));
  for (const name of ['x', 'z']) {
    const found = values.get(name === 'x' ? 'grad.x~2' : 'grad.z')!.data;
    found.forEach((value, element) => {
      const objective = (h: number): number => {
        const moved = ndarray(
          [3],
          inputs.get(name)!.data.map((v, i) => (i === element ? v + h : v)),
        );
        const { data } = interpret(first, new Map([...inputs, [name, moved]])).get('grad.x')!;
        return data.reduce((total, g, i) => total + g * cotangent.data[i], 0);
      };
      expect(value).toBeCloseTo((objective(1e-5) - objective(-1e-5)) / 2e-5, 6);
    });
  }
}

test('transposed convolution by scale and stride', () => {
  const p = program(
    [
      input('x', [7]),
      input('k', [3]),
      computed(
        'y',
        [3],
        [
          over({ o: 3, f: 3 }, ({ o, f }) => ({
            store: [o],
            value: product([at('x', add(scale(o, 2), f)), at('k', f)]),
          })),
        ],
      ),
    ],
    ['y'],
  );
  expect(added(p, ['x'])).toContain('grad.x[2*o + f] sum= cot.y[o] * k[f]');
  checkGradients({
    program: p,
    inputs: new Map([
      ['x', normals([7], 1)],
      ['k', normals([3], 2)],
    ]),
    wrt: ['x', 'k'],
  });
});
